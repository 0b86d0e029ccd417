#include <algorithm>
#include <cmath>

#include "app/ui/diff_panel.h"
#include "app/ui/format.h"
#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

/// Exact outputs have an error of 0: on the lower edge of a logarithmic axis.
float height_of(const Scale& y, double error) {
  if (!std::isfinite(error)) return y.to;
  return error > y.low ? std::max(y.at(error), y.to) : y.from;
}

/// 0 to 1 over the three decades below the largest.
float heat_of(float error, float most) {
  if (!std::isfinite(error)) return 1;
  if (!(error > 0) || !(most > 0)) return 0;
  return std::clamp(1 + std::log10(error / most) / 3, 0.02F, 1.0F);
}

}  // namespace

void DiffPanel::draw_lines(ImDrawList& draw, const Frame& frame, const Scale& x, const Scale& y) const {
  const auto& kernels = check_->kernels;
  const auto line = [&](auto error_of, const ImVec4& ink, bool dots) {
    ImVec2 last;
    for (std::size_t i = 0; i < kernels.size(); ++i) {
      const ImVec2 at{x.at(static_cast<double>(i) + 0.5), height_of(y, error_of(kernels[i]))};
      if (i > 0) draw.AddLine(last, at, colour(ink, dots ? 0.6F : 1), 1.5F * frame.scale);
      if (dots) draw.AddCircleFilled(at, 2.2F * frame.scale, colour(kernels[i].ok ? ink : frame.palette.bad), 8);
      last = at;
    }
  };
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    const double bound = kernels[i].tolerance.nmse;
    if (!(bound > 0) || !std::isfinite(bound)) continue;
    const float height = height_of(y, bound);
    draw.AddLine({x.at(static_cast<double>(i)), height}, {x.at(static_cast<double>(i) + 1), height},
                 colour(frame.palette.bad), frame.scale);
  }
  if (check_->whole_model) line([](const auto& e) { return e.accumulated.nmse; }, frame.palette.series[1], false);
  line([](const auto& e) { return e.isolated.nmse; }, frame.palette.series[0], true);
}

void DiffPanel::draw_along_layers(Frame& frame, ImVec2 size) {
  const float s = frame.scale, line = ImGui::GetTextLineHeight();
  const auto origin = ImGui::GetCursorScreenPos();
  ImGui::InvisibleButton("along layers", size);
  const bool hovered = ImGui::IsItemHovered(), clicked = ImGui::IsItemClicked();
  auto& draw = *ImGui::GetWindowDrawList();
  const float left = ImGui::CalcTextSize("1e-12").x + 8 * s;
  const Area area{{origin.x + left, origin.y + line * 1.4F},
                  {origin.x + size.x - 2 * s, origin.y + size.y - line - 6 * s}};
  plot_ = area;
  if (area.width() < 60 * s || area.height() < 30 * s) return;
  const auto& kernels = check_->kernels;
  const Scale x{0, static_cast<double>(kernels.size()), area.min.x, area.max.x};
  const Scale y{low_, high_, area.max.y, area.min.y, true};
  draw_y_axis(draw, frame, area, y, tick_text, "");

  float legend = origin.x;
  const auto entry = [&](const char* text, const ImVec4& ink) {
    draw.AddLine({legend, origin.y + line / 2}, {legend + 14 * s, origin.y + line / 2}, colour(ink), 2 * s);
    draw.AddText({legend + 18 * s, origin.y}, colour(frame.palette.muted), text);
    legend += 18 * s + ImGui::CalcTextSize(text).x + 14 * s;
  };
  draw.PushClipRect(origin, {origin.x + size.x, origin.y + size.y}, true);
  entry("NMSE, isolated", frame.palette.series[0]);
  if (check_->whole_model) entry("accumulated", frame.palette.series[1]);
  entry("tolerance", frame.palette.bad);

  // A layer begins where its number changes; numbers that would touch are left out.
  float free_from = area.min.x;
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    if (i > 0 && kernels[i].layer == kernels[i - 1].layer) continue;
    const float at = std::round(x.at(static_cast<double>(i)));
    draw.AddLine({at, area.min.y}, {at, area.max.y}, colour(frame.palette.faint));
    const auto name = kernels[i].layer >= 0 ? std::to_string(kernels[i].layer) : std::string(i == 0 ? "" : "after");
    if (name.empty() || at < free_from || at + 3 * s + ImGui::CalcTextSize(name.c_str()).x > area.max.x) continue;
    draw.AddText({at + 3 * s, area.max.y + 3 * s}, colour(frame.palette.muted), name.c_str());
    free_from = at + ImGui::CalcTextSize(name.c_str()).x + 9 * s;
  }
  draw.AddText({origin.x, area.max.y + 3 * s}, colour(frame.palette.muted), "layer");
  draw_lines(draw, frame, x, y);
  if (shown_) {
    const float at = x.at(static_cast<double>(*shown_) + 0.5);
    draw.AddCircle({at, height_of(y, kernels[*shown_].isolated.nmse)}, 5 * s, colour(frame.palette.text), 16, 1.5F * s);
  }
  const auto mouse = ImGui::GetIO().MousePos;
  if (hovered && area.contains(mouse) && !kernels.empty()) {
    const auto near = std::min(kernels.size() - 1, static_cast<std::size_t>(std::max(0.0, x.value(mouse.x))));
    const float at = x.at(static_cast<double>(near) + 0.5);
    draw.AddLine({at, area.min.y}, {at, area.max.y}, colour(frame.palette.muted));
    plot_tooltip(frame, near);
    if (clicked) show(frame, near);
  }
  draw.PopClipRect();
}

void DiffPanel::plot_tooltip(const Frame& frame, std::size_t index) const {
  const auto& error = check_->kernels[index];
  begin_tooltip(frame);
  ImGui::PushFont(frame.fonts.bold);
  ImGui::TextColored(frame.colour_of(names_[index]), "%s", error.name.c_str());
  ImGui::PopFont();
  if (names_[index] != error.name) fact(frame, "kernel", names_[index]);
  fact(frame, "step", std::to_string(error.index));
  fact(frame, "layer", error.layer < 0 ? "outside the layers" : std::to_string(error.layer));
  fact(frame, "isolated", fmt::format("NMSE {}", error_text(error.isolated.nmse)));
  if (check_->whole_model) fact(frame, "accumulated", fmt::format("NMSE {}", error_text(error.accumulated.nmse)));
  fact(frame, "tolerance", error_text(error.tolerance.nmse));
  end_tooltip();
}

void DiffPanel::draw_heat(Frame& frame, ImVec2 size) {
  if (!ImGui::BeginChild("heat", size, false, ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse)) {
    ImGui::EndChild();
    return;
  }
  if (!shown_ || *shown_ >= check_->values.size()) {
    muted(frame, "The values of this check were not kept.");
    ImGui::EndChild();
    return;
  }
  const auto& error = check_->kernels[*shown_];
  const auto& values = check_->values[*shown_];
  ImGui::PushFont(frame.fonts.bold);
  ImGui::TextUnformatted(error.name.c_str());
  ImGui::PopFont();
  ImGui::SameLine();
  const bool kept = !values.computed.empty() && values.computed.size() == values.reference.size();
  muted(frame, fmt::format("{}{}", error.layer < 0 ? "" : fmt::format("layer {}, ", error.layer),
                           kept ? "|computed - float64| of " + shape_text(values.shape) : shape_text(error.shape)));
  if (!kept) {
    muted(
        frame,
        "Its values were not kept: of a token compared as it came only the worst kernel's are, and none of very large "
        "outputs. \"Check this token\" keeps more; \"Save inputs and outputs...\" writes them all.");
    ImGui::EndChild();
    return;
  }
  auto& draw = *ImGui::GetWindowDrawList();
  draw_cells(frame, draw, values);
  ImGui::EndChild();
}

void DiffPanel::draw_cells(const Frame& frame, ImDrawList& draw, const live::KernelValues& values) {
  const float s = frame.scale, line = ImGui::GetTextLineHeight();
  const auto origin = ImGui::GetCursorScreenPos();
  auto room = ImGui::GetContentRegionAvail();
  room.y -= line + 6 * s;
  const auto most_rows = static_cast<std::size_t>(std::max(0.0F, room.y / (5 * s)));
  const auto most_columns = static_cast<std::size_t>(std::max(0.0F, room.x / (5 * s)));
  if (most_rows == 0 || most_columns == 0) return;
  if (mapped_ != *shown_ || most_rows != most_rows_ || most_columns != most_columns_) {
    errors_.resize(values.computed.size());
    std::transform(values.computed.begin(), values.computed.end(), values.reference.begin(), errors_.begin(),
                   [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)) ? 0 : std::abs(a - b); });
    view_columns_ = viewing_columns(values.shape);
    map_ = heat_map(errors_, view_columns_, most_rows, most_columns);
    mapped_ = *shown_;
    most_rows_ = most_rows;
    most_columns_ = most_columns;
  }
  const float cell = std::floor(
      std::min(room.x / static_cast<float>(map_.columns), std::min(room.y / static_cast<float>(map_.rows), 18 * s)));
  heat_ = {origin,
           {origin.x + cell * static_cast<float>(map_.columns), origin.y + cell * static_cast<float>(map_.rows)}};
  ImGui::InvisibleButton("cells", {std::max(heat_.width(), 1.0F), std::max(heat_.height(), 1.0F)});
  const float hair = cell > 6 * s ? 1 : 0;
  draw.AddRectFilled(heat_.min, heat_.max, colour(frame.palette.faint, 0.35F));
  for (std::size_t i = 0; i < map_.values.size(); ++i) {
    if (!(map_.values[i] > 0)) continue;  // exact, or beyond the last element
    const ImVec2 at{origin.x + cell * static_cast<float>(i % map_.columns),
                    origin.y + cell * static_cast<float>(i / map_.columns)};
    const bool finite = std::isfinite(map_.values[i]);
    auto ink = frame.palette.heat(heat_of(map_.values[i], map_.most));
    ink.w = 0.2F + 0.8F * heat_of(map_.values[i], map_.most);  // there is no text on it
    if (!finite) ink = frame.palette.bad;
    draw.AddRectFilled(at, {at.x + cell - hair, at.y + cell - hair}, colour(ink));
  }
  auto legend = map_.most > 0 ? fmt::format("up to {}; ", error_text(static_cast<double>(map_.most)))
                              : std::string("all exact; ");
  legend += map_.exact() ? fmt::format("{} values a row", view_columns_)
                         : fmt::format("a cell: largest of {} × {}", map_.block_rows, map_.block_columns);
  muted_line(frame, legend);
  const auto mouse = ImGui::GetIO().MousePos;
  if (ImGui::IsMouseHoveringRect(heat_.min, heat_.max) && ImGui::IsWindowHovered()) {
    const auto column = static_cast<std::size_t>((mouse.x - origin.x) / cell);
    const auto row = static_cast<std::size_t>((mouse.y - origin.y) / cell);
    const auto at = row * map_.columns + column;
    if (column < map_.columns && row < map_.rows && map_.values[at] >= 0) heat_tooltip(frame, values, at);
  }
}

void DiffPanel::heat_tooltip(const Frame& frame, const live::KernelValues& values, std::size_t cell) const {
  const auto at = map_.where[cell];
  const auto computed = static_cast<double>(values.computed[at]), reference = static_cast<double>(values.reference[at]);
  begin_tooltip(frame);
  fact(frame, "index", index_text(values.shape, at));
  fact(frame, "computed", fmt::format("{:.9g}", computed));
  fact(frame, "float64", fmt::format("{:.9g}", reference));
  fact(frame, "difference", fmt::format("{:.3g}", computed - reference));
  if (!map_.exact()) muted_line(frame, "The largest difference of the values in this cell.");
  end_tooltip();
}

}  // namespace glassbox::app::ui
