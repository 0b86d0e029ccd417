#include "app/ui/format.h"
#include "app/ui/timeline_panel.h"
#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

const char* text_of(TimelineGap::Kind kind) {
  using Kind = TimelineGap::Kind;
  switch (kind) {
    case Kind::between:
      return "between two dispatches: no barrier, the launch of the next";
    case Kind::barrier:
      return "a barrier: the next kernel reads what the one before wrote";
    case Kind::host:
      return "CPU: setting parameters, submitting, reading the timer";
    case Kind::steps:
      return "CPU: between two steps, choosing the token and showing it";
    case Kind::pause:
      return "a pause between two steps, not to scale";
  }
  return "";
}

}  // namespace

void TimelinePanel::show_tooltip(const Frame& frame) {
  if (ImGui::IsItemActive() && dragged_) return;
  if (!hovered_event_ && !hovered_gap_ && !hovered_group_ && !hovered_run_) return;
  begin_tooltip(frame);
  if (hovered_event_) {
    const auto& d = *hovered_event_->dispatch;
    ImGui::PushFont(frame.fonts.bold);
    ImGui::TextColored(lane_colours_[hovered_event_->lane], "%s", d.kernel.c_str());
    ImGui::PopFont();
    const double ns = d.duration_us * 1e3;
    fact(frame, "time", duration_text(d.duration_us));
    fact(frame, "primitive", d.primitive);
    fact(frame, "layer", d.layer < 0 ? "outside the layers" : std::to_string(d.layer));
    fact(frame, "workgroups",
         fmt::format("{} × {} × {} of {}", d.grid.x, d.grid.y, d.grid.z, counted(d.local_size, "invocation")));
    fact(frame, "must move", byte_size(d.cost.bytes));
    fact(frame, "must compute", fmt::format("{} flop", short_number(d.cost.flops)));
    if (ns > 0)
      fact(frame, "reached",
           fmt::format("{} GB/s, {} GFLOP/s", short_number(d.cost.bytes / ns), short_number(d.cost.flops / ns)));
    if (frame.now.roofline)
      fact(frame, "roofline", percent(frame.now.roofline->fraction(d.cost, d.duration_us / 1e6)));
    else
      fact(frame, "roofline", "not measured on this device");
    fact(frame, "barrier", d.barrier ? "before it" : "none before it");
    if (frame.now.device) fact(frame, "timer", std::string(gpu::name_of(frame.now.device->timer)));
    if (hovered_count_ > 1)
      muted_line(frame,
                 fmt::format("The longest of {} dispatches at this pixel: zoom in to see them.", hovered_count_));
  } else if (hovered_gap_) {
    ImGui::TextUnformatted(hovered_gap_->length < 0
                               ? "pause of unknown length"
                               : fmt::format("{} without a kernel", duration_text(hovered_gap_->length)).c_str());
    muted_line(frame, text_of(hovered_gap_->kind));
  } else if (hovered_group_) {
    ImGui::TextUnformatted(hovered_group_->name.c_str());
    const double span = hovered_group_->end - hovered_group_->begin;
    fact(frame, "time", duration_text(span));
    fact(frame, "in kernels",
         fmt::format("{}, {}", duration_text(hovered_group_->busy),
                     percent(span > 0 ? hovered_group_->busy / span : 0)));
    fact(frame, "of all", percent(layout_.busy > 0 ? hovered_group_->busy / layout_.busy : 0));
  } else {
    ImGui::TextUnformatted(step_text(*hovered_run_->run).c_str());
    fact(frame, "wall time", duration_text(hovered_run_->run->wall_us));
    fact(frame, "in kernels", duration_text(hovered_run_->run->busy_us()));
    fact(frame, "dispatches", with_thousands(hovered_run_->run->dispatches.size()));
  }
  end_tooltip();
}

}  // namespace glassbox::app::ui
