#include <algorithm>
#include <cmath>

#include "app/ui/format.h"
#include "app/ui/kernels_panel.h"
#include "gpu/error.h"

namespace glassbox::app::ui {

void KernelsPanel::draw_histogram(const Frame& frame) {
  const float s = frame.scale;
  const auto& kernel = *frame.view.kernel;
  const auto layer = choice_.per_layer ? selected_layer_ : std::nullopt;
  ImGui::AlignTextToFramePadding();
  ImGui::PushFont(frame.fonts.bold);
  ImGui::TextUnformatted(kernel.c_str());
  ImGui::PopFont();
  ImGui::SameLine();
  const auto origin = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x;
  const std::size_t bins = static_cast<std::size_t>(std::clamp((width + origin.x) / (14 * s), 12.0F, 80.0F));
  if (times_.version != view_.version() || times_.kernel != kernel || times_.layer != layer ||
      times_.logarithmic != logarithmic_ || times_.bins != bins) {
    const auto times = view_.times(kernel, layer);
    times_ = {view_.version(),
              kernel,
              layer,
              logarithmic_,
              bins,
              ui::histogram(times, bins, logarithmic_),
              times.size(),
              gpu::quantile(times, 0.5),
              gpu::quantile(times, 0.99)};
  }
  if (times_.calls == 0) {
    histogram_area_ = {};
    ImGui::NewLine();
    muted(frame, "This kernel did not run in what is chosen above.");
    return;
  }
  auto text = fmt::format(
      "{}{}, half within {}, 99% within {}",
      layer ? *layer < 0 ? std::string("outside the layers, ") : fmt::format("layer {}, ", *layer) : std::string(),
      counted(times_.calls, "dispatch"), duration_text(times_.p50), duration_text(times_.p99));
  muted_line(frame, text);
  flow(check_width("Log axis"));
  ImGui::Checkbox("Log axis", &logarithmic_);

  const auto at = ImGui::GetCursorScreenPos();
  const auto room = ImGui::GetContentRegionAvail();
  const float line = ImGui::GetTextLineHeight();
  const float left = ImGui::CalcTextSize("0,000").x + 8 * s;
  const Area area{{at.x + left, at.y + line * 1.2F}, {at.x + room.x - 4 * s, at.y + room.y - line - 8 * s}};
  ImGui::Dummy(room);
  histogram_area_ = area;
  if (area.width() < 60 * s || area.height() < 20 * s) return;
  auto& draw = *ImGui::GetWindowDrawList();
  const auto& h = times_.histogram;
  const Scale x{h.low, h.high, area.min.x, area.max.x, h.logarithmic};
  const Scale y{0, static_cast<double>(std::max<std::size_t>(h.most(), 1)) * 1.05, area.max.y, area.min.y};
  draw_y_axis(
      draw, frame, area, y, [](double value) { return value == std::floor(value) ? tick_text(value) : ""; }, "calls");
  const double unit = h.high < 1e3 ? 1 : 1e3;
  draw_x_axis(
      draw, frame, area, x, [&](double value) { return tick_text(value / unit); }, unit == 1 ? "µs" : "ms");
  const auto fill = frame.colour_of(kernel);
  const auto mouse = ImGui::GetIO().MousePos;
  for (std::size_t i = 0; i < h.counts.size(); ++i) {
    const Area bar{{x.at(h.edge(i)), y.at(static_cast<double>(h.counts[i]))}, {x.at(h.edge(i + 1)), area.max.y}};
    const bool under = ImGui::IsItemHovered() && mouse.x >= bar.min.x && mouse.x < bar.max.x && area.contains(mouse);
    if (under) draw.AddRectFilled({bar.min.x, area.min.y}, bar.max, colour(frame.palette.faint, 0.5F));
    if (h.counts[i] > 0)
      draw.AddRectFilled({bar.min.x + 1, std::min(bar.min.y, area.max.y - 1)}, {bar.max.x - 1, bar.max.y},
                         colour(fill));
    if (under) {
      begin_tooltip(frame);
      ImGui::TextUnformatted(fmt::format("{} to {}: {}", duration_text(h.edge(i)), duration_text(h.edge(i + 1)),
                                         counted(h.counts[i], "dispatch"))
                                 .c_str());
      end_tooltip();
    }
  }
  const auto mark = [&](double value, const char* name, bool to_the_left) {
    const float at_x = std::round(x.at(value));
    if (at_x < area.min.x || at_x > area.max.x) return;
    draw.AddLine({at_x, area.min.y - 2 * s}, {at_x, area.max.y}, colour(frame.palette.text), s);
    const float text_width = ImGui::CalcTextSize(name).x;
    draw.AddText({to_the_left ? at_x - text_width - 4 * s : at_x + 4 * s, area.min.y - line},
                 colour(frame.palette.text), name);
  };
  const bool crowded = x.at(times_.p99) - x.at(times_.p50) < 60 * s;
  mark(times_.p50, "p50", crowded);
  mark(times_.p99, "p99", !crowded && area.max.x - x.at(times_.p99) < 40 * s);
}

}  // namespace glassbox::app::ui
