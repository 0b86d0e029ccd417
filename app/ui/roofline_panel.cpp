#include "app/ui/roofline_panel.h"

#include <algorithm>
#include <cmath>

#include "app/ui/format.h"
#include "app/ui/landmarks.h"
#include "gpu/error.h"

namespace glassbox::app::ui {

std::vector<RooflinePoint> roofline_points(const std::vector<gpu::ProfileRow>& rows) {
  std::vector<RooflinePoint> points;
  for (const auto& row : rows)
    if (row.cost.flops > 0 && row.cost.bytes > 0 && row.total_us > 0)
      points.push_back({&row, row.cost.flops / row.cost.bytes, row.gigaflops()});
  return points;
}

double ridge_of(const gpu::Roofline& roofline) {
  return roofline.bytes_per_second > 0 ? roofline.flops_per_second / roofline.bytes_per_second : 0;
}

void RooflinePanel::draw(Frame& frame) {
  plot_ = {};
  view_.update(frame, choice_, ImGui::GetTime());
  if (version_ != view_.version()) {
    points_ = roofline_points(view_.rows());
    version_ = view_.version();
  }
  draw_header(frame);
  if (!frame.now.model && !frame.now.roofline) {
    empty_state(frame, "No model is open", "Open a model first: the ceilings are measured on the device it runs on.");
    return;
  }
  if (!frame.now.roofline && points_.empty()) {
    empty_state(frame, "Not measured on this device yet",
                "\"Measure\" reads a buffer larger than the caches and multiplies and adds in independent chains: two "
                "or three seconds, kept for the next start.");
    return;
  }
  const float notes = ImGui::GetTextLineHeightWithSpacing() * 3;
  draw_plot(frame, std::max(ImGui::GetContentRegionAvail().y - notes, 120 * frame.scale));
  draw_notes(frame);
}

void RooflinePanel::draw_header(Frame& frame) {
  draw_choice(frame, choice_);
  const bool measuring = frame.now.activity == live::Activity::measuring;
  const char* text = measuring ? "Measuring..." : frame.now.roofline ? "Measure again" : "Measure";
  flow(button_width("Measure again"));
  ImGui::BeginDisabled(frame.now.busy() || !frame.now.model);
  if (ImGui::Button(text)) frame.worker.measure_roofline();
  ImGui::EndDisabled();
  Landmarks::mark("measure roofline");
  hint(frame, !frame.now.model   ? "Open a model first."
              : frame.now.busy() ? "The engine is busy: wait or stop it first."
                                 : "Measures both ceilings with kernels like all others; two or three seconds.");
  if (const auto& roofline = frame.now.roofline) {
    const auto summary =
        fmt::format("Measured on this device on {}: {} GB/s, {} GFLOP/s float32", roofline->date,
                    short_number(roofline->bytes_per_second / 1e9), short_number(roofline->flops_per_second / 1e9));
    flow(ImGui::CalcTextSize(summary.c_str()).x);
    ImGui::AlignTextToFramePadding();
    muted(frame, summary);
  }
}

void RooflinePanel::choose_scales(const Frame& frame) {
  std::vector<double> intensities, rates;
  for (const auto& point : points_) {
    intensities.insert(intensities.end(), {point.intensity / 1.5, point.intensity * 1.5});
    rates.insert(rates.end(), {point.gigaflops / 1.5, point.gigaflops * 1.5});
  }
  if (const auto& roofline = frame.now.roofline) {
    const double ridge = ridge_of(*roofline);
    intensities.insert(intensities.end(), {ridge / 10, ridge * 3});
    rates.insert(rates.end(), {roofline->flops_per_second / 1e9 * 1.2});
    if (rates.size() == 1) rates.push_back(roofline->flops_per_second / 1e11);
  }
  const auto [left, right] = steps_around(intensities);
  const auto [bottom, top] = steps_around(rates);
  x_ = {left, right, plot_.min.x, plot_.max.x, true};
  y_ = {bottom, top, plot_.max.y, plot_.min.y, true};
}

ImVec2 RooflinePanel::at(const RooflinePoint& point) const { return {x_.at(point.intensity), y_.at(point.gigaflops)}; }

float RooflinePanel::radius(const Frame& frame, const RooflinePoint& point) const {
  return frame.scale * (4 + 14 * std::sqrt(static_cast<float>(point.row->share)));  // its area is its time
}

std::optional<ImVec2> RooflinePanel::pixel_of(const std::string& kernel) const {
  for (const auto& point : points_)
    if (point.row->kernel == kernel) return at(point);
  return std::nullopt;
}

void RooflinePanel::draw_plot(Frame& frame, float height) {
  const float s = frame.scale, line = ImGui::GetTextLineHeight();
  const auto origin = ImGui::GetCursorScreenPos();
  const ImVec2 size{ImGui::GetContentRegionAvail().x, height};
  ImGui::InvisibleButton("plot", size);
  Landmarks::mark("roofline plot");
  const bool hovered = ImGui::IsItemHovered(), clicked = ImGui::IsItemClicked();
  const float left = ImGui::CalcTextSize("0.001").x + 12 * s;
  plot_ = {{origin.x + left, origin.y + line * 1.6F}, {origin.x + size.x - 4 * s, origin.y + size.y - line - 8 * s}};
  if (plot_.width() < 80 * s || plot_.height() < 40 * s) return;
  choose_scales(frame);
  auto& draw = *ImGui::GetWindowDrawList();
  draw_x_axis(draw, frame, plot_, x_, tick_text, "flop a byte");
  draw_y_axis(draw, frame, plot_, y_, tick_text, "GFLOP/s");
  draw.PushClipRect(plot_.min, plot_.max, true);
  if (frame.now.roofline) draw_ceilings(draw, frame);
  draw_points(draw, frame, hovered, clicked);
  draw.PopClipRect();
}

void RooflinePanel::draw_ceilings(ImDrawList& draw, const Frame& frame) const {
  const float s = frame.scale, line = ImGui::GetTextLineHeight();
  const auto& roofline = *frame.now.roofline;
  const double ridge = ridge_of(roofline), peak = roofline.flops_per_second / 1e9;
  const double bandwidth = roofline.bytes_per_second / 1e9;
  const ImVec2 corner{x_.at(ridge), y_.at(peak)};
  const ImVec2 foot{x_.at(x_.low), y_.at(bandwidth * x_.low)}, end{plot_.max.x, corner.y};
  const auto ink = colour(frame.palette.text, 0.85F);
  draw.AddLine(foot, corner, ink, 2 * s);
  draw.AddLine(corner, end, ink, 2 * s);
  const auto grey = colour(frame.palette.muted);
  for (float y = corner.y; y < plot_.max.y; y += 8 * s) draw.AddLine({corner.x, y}, {corner.x, y + 3 * s}, grey);
  const auto ridge_text = fmt::format("ridge: {} flop a byte", short_number(ridge));
  draw.AddText({corner.x + 6 * s, plot_.max.y - line - 4 * s}, grey, ridge_text.c_str());
  const auto peak_text = fmt::format("{} GFLOP/s computed", short_number(peak));
  draw.AddText({plot_.max.x - ImGui::CalcTextSize(peak_text.c_str()).x - 6 * s, corner.y - line - 4 * s}, grey,
               peak_text.c_str());
  // To the left of the slope, where there is room for it: what is left of a rising line is above it.
  const auto bandwidth_text = fmt::format("{} GB/s read", short_number(bandwidth));
  const float width = ImGui::CalcTextSize(bandwidth_text.c_str()).x + 14 * s;
  const float x = std::max(plot_.min.x, x_.at(y_.low / bandwidth)) + width;
  const float y = y_.at(bandwidth * x_.value(x));
  draw.AddText({x - width + 4 * s, y - line}, grey, bandwidth_text.c_str());
}

void RooflinePanel::draw_points(ImDrawList& draw, Frame& frame, bool hovered, bool clicked) {
  const auto mouse = ImGui::GetIO().MousePos;
  const RooflinePoint* near = nullptr;
  float nearest = 1e9F;
  for (const auto& point : points_) {
    const auto p = at(point);
    const float distance = std::hypot(mouse.x - p.x, mouse.y - p.y) - radius(frame, point);
    if (distance < nearest) {
      nearest = distance;
      near = &point;
    }
  }
  if (!hovered || nearest > 5 * frame.scale) near = nullptr;
  // Large ones first: small ones stay visible on them.
  for (const auto& point : points_) {
    const auto p = at(point);
    const bool dim = frame.view.kernel && *frame.view.kernel != point.row->kernel;
    const float r = radius(frame, point);
    draw.AddCircleFilled(p, r, colour(frame.colour_of(point.row->kernel), dim ? 0.3F : 0.85F), 24);
    draw.AddCircle(p, r, ImGui::GetColorU32(ImGuiCol_WindowBg), 24);
    if (near == &point || frame.view.kernel == point.row->kernel)
      draw.AddCircle(p, r + 2 * frame.scale, colour(frame.palette.text), 24, 1.5F * frame.scale);
  }
  draw_names(draw, frame);
  if (near) point_tooltip(frame, *near);
  if (clicked) {
    const bool again = near && frame.view.kernel == near->row->kernel;
    frame.view.kernel = near && !again ? std::optional(near->row->kernel) : std::nullopt;
  }
}

void RooflinePanel::draw_names(ImDrawList& draw, const Frame& frame) const {
  std::vector<Area> taken;
  const auto overlaps = [&](const Area& area) {
    return std::any_of(taken.begin(), taken.end(), [&](const Area& other) {
      return area.min.x < other.max.x && other.min.x < area.max.x && area.min.y < other.max.y &&
             other.min.y < area.max.y;
    });
  };
  for (const auto& point : points_) {
    const auto p = at(point);
    const float gap = radius(frame, point) + 4 * frame.scale;
    const auto size = ImGui::CalcTextSize(point.row->kernel.c_str());
    for (const float left : {p.x + gap, p.x - gap - size.x}) {
      const Area area{{left, p.y - size.y / 2}, {left + size.x, p.y + size.y / 2}};
      if (area.min.x < plot_.min.x || area.max.x > plot_.max.x || overlaps(area)) continue;
      draw.AddText(area.min, colour(frame.palette.text), point.row->kernel.c_str());
      taken.push_back(area);
      break;
    }
  }
}

void RooflinePanel::point_tooltip(const Frame& frame, const RooflinePoint& point) const {
  const auto& row = *point.row;
  begin_tooltip(frame);
  ImGui::PushFont(frame.fonts.bold);
  ImGui::TextColored(frame.colour_of(row.kernel), "%s", row.kernel.c_str());
  ImGui::PopFont();
  fact(frame, "intensity", fmt::format("{} flop a byte", short_number(point.intensity)));
  fact(frame, "computes", fmt::format("{} GFLOP/s", short_number(point.gigaflops)));
  fact(frame, "moves", fmt::format("{} GB/s", short_number(row.gigabytes_per_second())));
  if (const auto& roofline = frame.now.roofline) {
    fact(frame, "of the roof", percent(row.roofline));
    fact(frame, "limited by", point.intensity < ridge_of(*roofline) ? "reading and writing" : "arithmetic");
  }
  fact(frame, "share of time", percent(row.share));
  fact(frame, "calls", fmt::format("{}, {} each", with_thousands(row.calls), duration_text(row.mean_us)));
  if (row.roofline > 1) muted_line(frame, "Above the roof: its data came from caches, faster than memory.");
  end_tooltip();
}

void RooflinePanel::draw_notes(const Frame& frame) const {
  if (points_.empty())
    muted(frame, view_.rows().empty() ? "No timed kernels in what is chosen above: send a message."
                                      : "None of these kernels computes anything.");
  if (!frame.now.roofline)
    muted(frame, "The ceilings are not measured on this device yet: \"Measure\" takes two or three seconds.");
  std::string without, above;
  for (const auto& row : view_.rows()) {
    if (row.cost.flops <= 0 && row.total_us > 0)
      without += fmt::format("{}{} {} GB/s", without.empty() ? "" : ", ", row.kernel,
                             short_number(row.gigabytes_per_second()));
    if (row.roofline > 1) above += (above.empty() ? "" : ", ") + row.kernel;
  }
  if (!above.empty()) muted(frame, "Above the roof, where data comes from caches and not from memory: " + above + ".");
  if (!without.empty()) muted(frame, "No arithmetic, so no place in the plot: " + without + ".");
}

}  // namespace glassbox::app::ui
