#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/ui/plot.h"
#include "app/ui/timeline_layout.h"

namespace glassbox::app::ui {

/// The dispatches of the token shown, or of the last steps, along an axis of time: all kernels in one lane, below it a
/// lane for each kernel. Wheel zooms at the pointer, dragging, Shift+wheel and arrows pan, Home shows everything.
class TimelinePanel {
 public:
  void draw(Frame& frame);

  const TimelineLayout& layout() const { return layout_; }
  TimeWindow& window() { return window_; }
  /// Steps shown: the last so many of Snapshot::runs; 0: the token's.
  std::size_t last_steps() const { return last_steps_; }
  void show_last(std::size_t steps) { last_steps_ = steps; }

  /// What the last frame drew, for hands: the lane of all kernels, and the pixel of a time in it.
  const Area& strip() const { return kernels_; }
  float pixel(double us) const;
  /// The dispatch under the pointer.
  const gpu::ProfiledDispatch* hovered() const { return hovered_; }

 private:
  struct Lane {
    Area area;
    const TimelineLane* lane;  ///< null: all kernels
  };
  void choose_runs(const Frame& frame);
  void draw_header(Frame& frame);
  void draw_strip(Frame& frame);
  void handle_pointer();
  void handle_keys();
  void draw_axis(ImDrawList& draw, const Frame& frame, const Area& area) const;
  void draw_blocks(ImDrawList& draw, const Frame& frame, const Area& area, bool of_runs);
  void draw_gaps(ImDrawList& draw, const Frame& frame, const Area& area) const;
  void draw_kernels(ImDrawList& draw, Frame& frame, const Lane& lane);
  void draw_label(ImDrawList& draw, const Frame& frame, const Area& lane, const std::string& name,
                  const std::string& value, bool selected) const;
  void show_tooltip(const Frame& frame);

  Runs shown_;  ///< that layout_ is of
  TimelineLayout layout_;
  TimeWindow window_;
  std::size_t last_steps_ = 0;
  std::string summary_;

  Area plot_;     ///< everything right of the labels
  Area kernels_;  ///< the lane of all kernels
  float gutter_ = 0, scroll_ = 0, most_scroll_ = 0;
  bool dragged_ = false;
  std::vector<TimelineBar> bars_;  ///< of the lane being drawn
  std::vector<ImVec4> lane_colours_;

  const gpu::ProfiledDispatch* hovered_ = nullptr;
  const TimelineEvent* hovered_event_ = nullptr;
  std::uint32_t hovered_count_ = 0;  ///< dispatches that share its pixel
  const TimelineGap* hovered_gap_ = nullptr;
  const TimelineGroup* hovered_group_ = nullptr;
  const TimelineRun* hovered_run_ = nullptr;
};

}  // namespace glassbox::app::ui
