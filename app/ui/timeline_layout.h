#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gpu/profile.h"

// Where the dispatches of timed runs stand on one axis of time, and which part of it is in view. No drawing here.
namespace glassbox::app::ui {

using Runs = std::vector<std::shared_ptr<const gpu::ProfiledRun>>;

/// "decode, position 62".
std::string step_text(const gpu::ProfiledRun& run);

struct TimelineEvent {
  const gpu::ProfiledDispatch* dispatch;
  std::uint32_t run, lane;  ///< into TimelineLayout::runs and lanes
  double begin, end;        ///< us from the beginning of the axis
};

/// Time in which no kernel runs.
struct TimelineGap {
  enum class Kind : std::uint8_t {
    between,  ///< one dispatch and the next: launch
    barrier,  ///< the same with a barrier between them
    host,     ///< of a run, before its first and after its last kernel: parameters, submission, reading the timer
    steps,    ///< one run and the next: choosing the token, text, other work
    pause     ///< the same, too long to draw to scale
  };
  Kind kind;
  double begin, end;
  double length;  ///< us as measured; below 0 where unknown. Not end - begin for a pause
};

struct TimelineGroup {
  std::string name;  ///< "before" the layers, "layer 3", "after" them
  std::uint32_t run;
  double begin, end, busy;
};

struct TimelineRun {
  std::shared_ptr<const gpu::ProfiledRun> run;
  double begin, end;
};

struct TimelineLane {
  std::string kernel;
  double busy = 0;
  std::vector<std::uint32_t> events;  ///< in order of time
};

/// Runs one after the other. What lies between two of them is drawn to scale unless it is longer than a quarter of the
/// run before.
struct TimelineLayout {
  explicit TimelineLayout(const Runs& list = {});

  std::vector<TimelineRun> runs;
  std::vector<TimelineEvent> events;       ///< in order of time
  std::vector<TimelineGap> gaps;           ///< in order of time
  std::vector<TimelineGroup> groups;       ///< in order of time
  std::vector<TimelineLane> lanes;         ///< by kernel, the longest first
  double total = 0;                        ///< us
  double busy = 0, between = 0, host = 0;  ///< us in kernels; between kernels; of runs outside both

 private:
  void add(const std::shared_ptr<const gpu::ProfiledRun>& run);
  void add_group(const gpu::ProfiledDispatch& dispatch, std::uint32_t run, double begin, double end);
};

/// The part of the axis in view, in us.
class TimeWindow {
 public:
  double begin() const { return begin_; }
  double span() const { return span_; }
  double end() const { return begin_ + span_; }
  bool fitted() const { return fitted_; }

  /// To be called with each layout. A window that shows everything goes on doing so, with some room that makes small
  /// changes of the total change nothing on screen; one that was zoomed stays where it is.
  void set_total(double total);
  void fit();
  /// factor below 1 zooms in; `at` stays where it is.
  void zoom(double at, double factor);
  void pan(double us);

 private:
  void clamp();
  static constexpr double least_span = 0.2;
  double total_ = 1, begin_ = 0, span_ = 1, fit_span_ = 0;
  bool fitted_ = true;
};

/// What is drawn for one or more events: at least a pixel wide.
struct TimelineBar {
  float from, to;       ///< pixels from the left edge
  std::uint32_t event;  ///< the longest of them
  std::uint32_t count;  ///< events it stands for
  float covered;        ///< fraction of it in which they run
};

/// The bars of the events in view (all of `layout`'s where `which` is null), never more than about one a pixel. Events
/// narrower than a pixel share one.
void timeline_bars(const TimelineLayout& layout, const std::vector<std::uint32_t>* which, const TimeWindow& window,
                   float pixels, std::vector<TimelineBar>& bars);

}  // namespace glassbox::app::ui
