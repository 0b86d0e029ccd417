#include "app/ui/timeline_panel.h"

#include <algorithm>
#include <cmath>

#include "app/ui/format.h"
#include "app/ui/landmarks.h"
#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

constexpr float axis_height = 24, block_height = 22, strip_height = 54, lane_height = 22, lane_gap = 3;

}  // namespace

void TimelinePanel::draw(Frame& frame) {
  hovered_ = nullptr;
  hovered_event_ = nullptr;
  hovered_gap_ = nullptr;
  hovered_group_ = nullptr;
  hovered_run_ = nullptr;
  choose_runs(frame);
  draw_header(frame);
  if (!layout_.events.empty()) draw_strip(frame);
}

void TimelinePanel::choose_runs(const Frame& frame) {
  Runs wanted;
  const auto& all = *frame.now.runs;
  if (last_steps_ > 0)
    wanted.assign(all.end() - static_cast<std::ptrdiff_t>(std::min(last_steps_, all.size())), all.end());
  else if (const auto* token = frame.token(); token && token->run)
    wanted = {token->run};
  if (wanted == shown_) return;
  shown_ = std::move(wanted);
  layout_ = TimelineLayout(shown_);
  window_.set_total(layout_.total);
  lane_colours_.clear();
  for (const auto& lane : layout_.lanes) lane_colours_.push_back(frame.colour_of(lane.kernel));
  summary_.clear();
  if (layout_.runs.empty()) return;
  summary_ = layout_.runs.size() == 1 ? step_text(*layout_.runs[0].run) : counted(layout_.runs.size(), "step");
  summary_ +=
      fmt::format("  ·  {}  ·  {} in kernels, {} between them, {} CPU", counted(layout_.events.size(), "dispatch"),
                  duration_text(layout_.busy), duration_text(layout_.between), duration_text(layout_.host));
}

void TimelinePanel::draw_header(Frame& frame) {
  struct Choice {
    const char* text;
    std::size_t steps;
  };
  static constexpr Choice choices[] = {
      {"This token", 0}, {"Last 4 steps", 4}, {"Last 16 steps", 16}, {"Last 64 steps", 64}, {"Last 256 steps", 256}};
  const auto* chosen = std::find_if(std::begin(choices), std::end(choices),
                                    [&](const Choice& choice) { return choice.steps == last_steps_; });
  ImGui::SetNextItemWidth(150 * frame.scale);
  if (ImGui::BeginCombo("##steps", chosen == std::end(choices) ? "Steps" : chosen->text)) {
    for (const auto& choice : choices)
      if (ImGui::Selectable(choice.text, choice.steps == last_steps_)) last_steps_ = choice.steps;
    ImGui::EndCombo();
  }
  hint(frame, "What the strip shows. A step computes one token, or a chunk of the prompt.");
  if (layout_.events.empty()) {
    const bool model = frame.now.model != nullptr;
    const auto* token = frame.token();
    if (!model) {
      empty_state(frame, "No model is open", "Open a model and send a message: the kernels of each token appear here.");
    } else if (last_steps_ > 0 || !token) {
      empty_state(frame, "No timed step yet",
                  frame.now.watching.time_kernels
                      ? "Send a message: each step's kernels are timed as it runs."
                      : "Kernels are not being timed. Switch that on, then send a message.");
    } else {
      empty_state(frame, "This token was not timed",
                  "Its step can be computed again with every kernel timed; the answer stays as it is.");
      ImGui::BeginDisabled(frame.now.busy());
      if (ImGui::Button("Time this token")) frame.worker.inspect(*frame.place());
      ImGui::EndDisabled();
      hint(frame, frame.now.busy() ? "The engine is busy: wait or stop it first." : "Reads the context again.");
      ImGui::SameLine();
    }
    if (model && !frame.now.watching.time_kernels) {
      if (ImGui::Button("Time every token")) {
        auto watching = frame.now.watching;
        watching.time_kernels = true;
        frame.worker.watch(watching);
      }
    }
    return;
  }
  ImGui::SameLine();
  ImGui::BeginDisabled(window_.fitted());
  if (ImGui::Button("Fit")) window_.fit();
  ImGui::EndDisabled();
  hint(frame,
       "Show everything (Home).\nWheel: zoom at the pointer. Drag, Shift+wheel, left and right: move.\nUp and down: "
       "zoom. "
       "Click a kernel to point it out in every panel.");
  ImGui::SameLine();
  ImGui::AlignTextToFramePadding();
  muted_line(frame, summary_);  // not wrapped: a line more or less would move the strip while tokens stream
  hint(frame, "CPU: setting parameters and submitting before the first kernel, reading the timer after the last.");
  if (const auto& device = frame.now.device) {
    if (device->timer == gpu::TimerSource::cpu_clock)
      ImGui::TextColored(frame.palette.warning, "CPU clock: each time includes a launch and a wait.");
    else if (device->features.software)
      ImGui::TextColored(frame.palette.muted, "Software driver: these kernels run on the CPU.");
  }
}

float TimelinePanel::pixel(double us) const {
  return plot_.min.x + static_cast<float>((us - window_.begin()) / window_.span()) * plot_.width();
}

void TimelinePanel::draw_strip(Frame& frame) {
  ImGui::BeginChild("strip", {0, 0}, false, ImGuiWindowFlags_NoScrollbar | ImGuiWindowFlags_NoScrollWithMouse);
  const auto origin = ImGui::GetCursorScreenPos();
  const auto room = ImGui::GetContentRegionAvail();
  const float s = frame.scale;
  if (room.x < 120 * s || room.y < axis_height * s) {
    ImGui::EndChild();
    return;
  }
  float label = ImGui::CalcTextSize("all kernels").x;
  for (const auto& lane : layout_.lanes) label = std::max(label, ImGui::CalcTextSize(lane.kernel.c_str()).x);
  gutter_ = std::min(label + ImGui::CalcTextSize("00.0 ms").x + 20 * s, room.x * 0.32F);
  plot_ = {{origin.x + gutter_, origin.y}, {origin.x + room.x, origin.y + room.y}};
  ImGui::InvisibleButton("time", room);
  Landmarks::mark("timeline strip");
  handle_pointer();
  handle_keys();

  auto& draw = *ImGui::GetWindowDrawList();
  const bool several = layout_.runs.size() > 1;
  const float top = origin.y;
  const auto row = [&](float y, float height) {
    return Area{{plot_.min.x, y}, {plot_.max.x, std::min(y + height, plot_.max.y)}};
  };
  float y = top + axis_height * s;
  const float lanes = static_cast<float>(layout_.lanes.size()) * (lane_height + lane_gap);
  const float whole =
      (axis_height + (several ? 2 : 1) * (block_height + lane_gap) + strip_height + 2 * lane_gap + lanes) * s;
  draw_axis(draw, frame, {{plot_.min.x, top}, {plot_.max.x, std::min(top + whole, plot_.max.y)}});
  if (several) {
    draw_blocks(draw, frame, row(y, block_height * s), true);
    y += (block_height + lane_gap) * s;
  }
  draw_blocks(draw, frame, row(y, block_height * s), false);
  y += (block_height + lane_gap) * s;
  kernels_ = row(y, strip_height * s);
  draw_kernels(draw, frame, {kernels_, nullptr});
  y += (strip_height + 2 * lane_gap) * s;

  // The lanes scroll by dragging up and down where they are more than fit.
  const float step = (lane_height + lane_gap) * s;
  most_scroll_ = std::max(0.0F, y + step * static_cast<float>(layout_.lanes.size()) - plot_.max.y);
  scroll_ = std::clamp(scroll_, 0.0F, most_scroll_);
  draw.PushClipRect({origin.x, y}, plot_.max, true);
  for (std::size_t i = 0; i < layout_.lanes.size(); ++i) {
    const float at = y + step * static_cast<float>(i) - scroll_;
    if (at + step < y || at > plot_.max.y) continue;
    draw_kernels(draw, frame, {{{plot_.min.x, at}, {plot_.max.x, at + lane_height * s}}, &layout_.lanes[i]});
  }
  draw.PopClipRect();
  show_tooltip(frame);
  ImGui::EndChild();
}

void TimelinePanel::handle_pointer() {
  const auto& io = ImGui::GetIO();
  const double us_a_pixel = window_.span() / static_cast<double>(plot_.width());
  if (ImGui::IsItemHovered() && (io.MouseWheel != 0 || io.MouseWheelH != 0)) {
    if (io.MouseWheelH != 0 || io.KeyShift) {
      window_.pan(-60 * static_cast<double>(io.MouseWheelH != 0 ? io.MouseWheelH : io.MouseWheel) * us_a_pixel);
    } else {
      const double at = window_.begin() + static_cast<double>(std::max(0.0F, io.MousePos.x - plot_.min.x)) * us_a_pixel;
      window_.zoom(at, std::pow(1.25, -static_cast<double>(io.MouseWheel)));
    }
  }
  if (ImGui::IsItemActivated()) {
    dragged_ = false;
  }
  if (ImGui::IsItemActive() && ImGui::IsMouseDragging(ImGuiMouseButton_Left)) {
    dragged_ = true;
    window_.pan(-static_cast<double>(io.MouseDelta.x) * us_a_pixel);
    scroll_ -= io.MouseDelta.y;
    ImGui::SetMouseCursor(ImGuiMouseCursor_Hand);
  }
}

void TimelinePanel::handle_keys() {
  if (!ImGui::IsWindowFocused(ImGuiFocusedFlags_RootAndChildWindows) || ImGui::GetIO().WantTextInput) return;
  const double middle = window_.begin() + window_.span() / 2;
  if (pressed(ImGuiKey_Home)) window_.fit();
  if (pressed(ImGuiKey_LeftArrow)) window_.pan(-window_.span() / 10);
  if (pressed(ImGuiKey_RightArrow)) window_.pan(window_.span() / 10);
  if (pressed(ImGuiKey_UpArrow)) window_.zoom(middle, 0.8);
  if (pressed(ImGuiKey_DownArrow)) window_.zoom(middle, 1.25);
}

void TimelinePanel::draw_axis(ImDrawList& draw, const Frame& frame, const Area& area) const {
  const Scale scale{window_.begin(), window_.end(), area.min.x, area.max.x};
  // One unit for all labels, by what is in view.
  const double unit = window_.end() < 2e3 ? 1 : window_.end() < 2e6 ? 1e3 : 1e6;
  const char* name = unit == 1 ? "µs" : unit == 1e3 ? "ms" : "s";
  const auto marks = ticks(scale, 80 * frame.scale);
  const double step = marks.size() > 1 ? (marks[1].value - marks[0].value) / unit : 0;
  const auto ink = colour(frame.palette.muted);
  for (const auto& mark : marks) {
    const float x = std::round(scale.at(mark.value));
    draw.AddLine({x, area.min.y + 18 * frame.scale}, {x, area.max.y}, colour(frame.palette.faint));
    const auto text = text_in_steps(mark.value / unit, step) + ' ' + name;
    const float width = ImGui::CalcTextSize(text.c_str()).x;
    const float left = std::max(area.min.x, x - width / 2);
    if (left + width <= area.max.x) draw.AddText({left, area.min.y}, ink, text.c_str());
  }
}

void TimelinePanel::draw_label(ImDrawList& draw, const Frame& frame, const Area& lane, const std::string& name,
                               const std::string& value, bool selected) const {
  const float left = lane.min.x - gutter_, right = lane.min.x - 8 * frame.scale;
  const float y = std::round(lane.centre().y - ImGui::GetFontSize() / 2);
  const float value_width = value.empty() ? 0 : ImGui::CalcTextSize(value.c_str()).x;
  if (!value.empty()) draw.AddText({right - value_width, y}, colour(frame.palette.muted), value.c_str());
  const ImVec4 clip{left, lane.min.y, right - value_width - 6 * frame.scale, lane.max.y};
  draw.AddText(nullptr, 0, {left, y}, colour(selected ? frame.palette.accent : frame.palette.text), name.c_str(),
               nullptr, 0, &clip);
}

void TimelinePanel::draw_blocks(ImDrawList& draw, const Frame& frame, const Area& area, bool of_runs) {
  draw_label(draw, frame, area, of_runs ? "steps" : "layers", "", false);
  const auto mouse = ImGui::GetIO().MousePos;
  const bool inside = ImGui::IsItemHovered() && area.contains(mouse);
  draw.PushClipRect(area.min, area.max, true);
  float last = area.min.x - 1;  // right end of what was drawn: blocks under a pixel are drawn once a pixel
  std::size_t number = 0;
  const auto block = [&](const std::string& name, double begin, double end, bool shaded) {
    const float from = std::max(pixel(begin), area.min.x - 2), to = std::min(pixel(end), area.max.x + 2);
    if (to < area.min.x || from > area.max.x || to < last + 1) return false;
    last = to;
    const Area cell{{from, area.min.y}, {std::max(from + 1, to - 1), area.max.y}};
    draw.AddRectFilled(cell.min, cell.max, ImGui::GetColorU32(shaded ? ImGuiCol_Button : ImGuiCol_ButtonHovered),
                       3 * frame.scale);
    text_within(draw, {{std::max(cell.min.x, area.min.x), cell.min.y}, {std::min(cell.max.x, area.max.x), cell.max.y}},
                colour(frame.palette.text), name, 4 * frame.scale);
    return inside && mouse.x >= from && mouse.x < to;
  };
  if (of_runs)
    for (const auto& run : layout_.runs) {
      const auto name = run.end - run.begin < window_.span() / 6 ? std::to_string(run.run->first) : step_text(*run.run);
      if (block(name, run.begin, run.end, ++number % 2)) hovered_run_ = &run;
    }
  else
    for (const auto& group : layout_.groups)
      if (block(group.name, group.begin, group.end, ++number % 2)) hovered_group_ = &group;
  draw.PopClipRect();
}

void TimelinePanel::draw_gaps(ImDrawList& draw, const Frame& frame, const Area& area) const {
  const auto first = std::partition_point(layout_.gaps.begin(), layout_.gaps.end(),
                                          [&](const auto& gap) { return gap.end < window_.begin(); });
  const auto line = colour(frame.palette.muted, 0.55F);
  for (auto gap = first; gap != layout_.gaps.end() && gap->begin < window_.end(); ++gap) {
    const Area hole{{std::max(pixel(gap->begin), area.min.x), area.min.y},
                    {std::min(pixel(gap->end), area.max.x), area.max.y}};
    if (hole.width() < 2) continue;
    hatch(draw, hole, line, 6 * frame.scale);
    const auto text = gap->length < 0 ? std::string("pause") : duration_text(gap->length);
    const auto size = ImGui::CalcTextSize(text.c_str());
    if (size.x + 8 * frame.scale > hole.width()) continue;
    const ImVec2 at{std::round(hole.centre().x - size.x / 2), std::round(hole.centre().y - size.y / 2)};
    draw.AddRectFilled({at.x - 3 * frame.scale, at.y}, {at.x + size.x + 3 * frame.scale, at.y + size.y},
                       ImGui::GetColorU32(ImGuiCol_WindowBg), 2 * frame.scale);
    draw.AddText(at, colour(frame.palette.muted), text.c_str());
  }
}

void TimelinePanel::draw_kernels(ImDrawList& draw, Frame& frame, const Lane& lane) {
  const auto& area = lane.area;
  const auto& selected = frame.view.kernel;
  const auto mouse = ImGui::GetIO().MousePos;
  const bool own_lane_selected = lane.lane && selected == lane.lane->kernel;
  draw_label(draw, frame, area, lane.lane ? lane.lane->kernel : "all kernels",
             duration_text(lane.lane ? lane.lane->busy : layout_.busy), own_lane_selected);
  draw.PushClipRect(area.min, area.max, true);
  draw.AddRectFilled(area.min, area.max, colour(frame.palette.faint, own_lane_selected ? 0.6F : 0.3F));
  if (!lane.lane) draw_gaps(draw, frame, area);

  timeline_bars(layout_, lane.lane ? &lane.lane->events : nullptr, window_, plot_.width(), bars_);
  const bool inside = ImGui::IsItemHovered() && area.contains(mouse) && draw.GetClipRectMin().y <= mouse.y;
  const float x = mouse.x - plot_.min.x;
  const bool released = inside && ImGui::IsMouseReleased(ImGuiMouseButton_Left) && !dragged_;
  for (const auto& bar : bars_) {
    const auto& event = layout_.events[bar.event];
    const auto& name = event.dispatch->kernel;
    const auto& base = lane_colours_[event.lane];
    const float alpha = (selected && *selected != name ? 0.3F : 1.0F) * (0.35F + 0.65F * bar.covered);
    const Area box{{plot_.min.x + std::max(bar.from, -2.0F), area.min.y},
                   {plot_.min.x + std::min(bar.to, plot_.width() + 2), area.max.y}};
    // A hair of background keeps neighbours of one kernel apart.
    const float hair = box.width() > 4 ? 1 : 0;
    draw.AddRectFilled(box.min, {box.max.x - hair, box.max.y}, colour(base, alpha),
                       box.width() > 8 ? 2 * frame.scale : 0);
    const bool under = inside && x >= bar.from && x < bar.to;
    if (under) {
      hovered_event_ = &event;
      hovered_ = event.dispatch;
      hovered_count_ = bar.count;
      draw.AddRect(box.min, {box.max.x - hair, box.max.y}, colour(frame.palette.text), 2 * frame.scale);
    }
    if (box.width() > 24 * frame.scale)
      text_within(draw, {{std::max(box.min.x, area.min.x), box.min.y}, {std::min(box.max.x, area.max.x), box.max.y}},
                  alpha < 0.5F ? colour(frame.palette.text) : ink_on(base),
                  lane.lane ? duration_text(event.dispatch->duration_us) : name, 3 * frame.scale);
  }
  draw.PopClipRect();
  if (inside && !hovered_) {
    const double at = window_.begin() + static_cast<double>(x) * window_.span() / static_cast<double>(plot_.width());
    const auto gap =
        std::partition_point(layout_.gaps.begin(), layout_.gaps.end(), [&](const auto& g) { return g.end < at; });
    if (!lane.lane && gap != layout_.gaps.end() && gap->begin <= at) hovered_gap_ = &*gap;
  }
  const bool on_label = ImGui::IsItemHovered() && lane.lane && mouse.y >= area.min.y && mouse.y < area.max.y &&
                        mouse.y >= draw.GetClipRectMin().y && mouse.x < area.min.x;
  if (on_label && ImGui::IsMouseReleased(ImGuiMouseButton_Left) && !dragged_)
    frame.view.kernel = own_lane_selected ? std::nullopt : std::optional(lane.lane->kernel);
  if (released) {
    const bool again = hovered_ && selected == hovered_->kernel;
    frame.view.kernel = hovered_ && !again ? std::optional(hovered_->kernel) : std::nullopt;
  }
}

}  // namespace glassbox::app::ui
