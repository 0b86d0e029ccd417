#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gpu/plan.h"
#include "gpu/roofline.h"

namespace glassbox::gpu {

/// One dispatch as it ran.
struct ProfiledDispatch {
  std::string kernel;     ///< the program
  std::string primitive;  ///< the operation it computes, or helps to
  int layer = -1;         ///< of the model; -1 outside
  Grid grid;              ///< workgroups
  unsigned local_size = 1;
  bool barrier = false;  ///< before it
  Cost cost;             ///< its share of its primitive's
  double start_us = 0;   ///< from the start of its run
  double duration_us = 0;
};

/// One run of a plan.
struct ProfiledRun {
  std::string section;    ///< what the caller calls this part of the work: "prompt", "decode"
  std::size_t first = 0;  ///< position of its first token
  std::size_t count = 0;  ///< tokens
  double start_us = 0;    ///< by the CPU's clock, from the start of the profile
  double wall_us = 0;     ///< by the CPU's clock: parameters, dispatches, reading the timer
  std::vector<ProfiledDispatch> dispatches;

  double busy_us() const;  ///< in kernels
  double span_us() const;  ///< from the start of the first dispatch to the end of the last
  double gap_us() const;   ///< of the span, outside kernels: barriers, launches, the timer itself
};

/// All dispatches of one kernel (of one layer, where asked for) in a section.
struct ProfileRow {
  std::string kernel;
  int layer = -1;
  std::size_t calls = 0;
  double total_us = 0, mean_us = 0, p50_us = 0, p99_us = 0;
  Cost cost;            ///< sum
  double roofline = 0;  ///< time the ceilings allow over the time taken
  double share = 0;     ///< of the section's time in kernels

  double gigabytes_per_second() const { return total_us > 0 ? cost.bytes / total_us / 1e3 : 0; }
  double gigaflops() const { return total_us > 0 ? cost.flops / total_us / 1e3 : 0; }
};

/// Sums over a section.
struct ProfileTotals {
  std::size_t runs = 0, tokens = 0, dispatches = 0, barriers = 0;
  double wall_us = 0, span_us = 0, busy_us = 0;
  Cost cost;
  double gap_us() const { return span_us - busy_us; }
};

/// Collects timed runs of plans. Row views, the trace and the timeline are made of the same records.
class Profile {
 public:
  explicit Profile(TimerSource source);

  /// Runs the plan on the current device, in place of plan.run(), with every dispatch timed.
  void run(Plan& plan, std::string section, std::size_t first, std::size_t count);
  void add(ProfiledRun run) { runs_.push_back(std::move(run)); }

  TimerSource timer_source() const { return source_; }
  const std::vector<ProfiledRun>& runs() const { return runs_; }

  enum class By { kernel, kernel_and_layer };
  /// Largest total first.
  std::vector<ProfileRow> rows(std::string_view section, const Roofline& roofline, By by = By::kernel) const;
  ProfileTotals totals(std::string_view section) const;

 private:
  TimerSource source_;
  std::uint64_t started_ns_;
  std::vector<ProfiledRun> runs_;
};

/// The value below which a fraction q of them lies, linear between neighbours (Hyndman & Fan 1996, type 7); 0 of none.
double quantile(std::vector<double> values, double q);

/// Cost shared out in proportion to weights; evenly where all are 0.
std::vector<Cost> spread(const Cost& cost, std::span<const double> weights);

/// What one should know before believing a time: "timer: gpu timestamps" and, where it is so, "software driver: kernels
/// run on the CPU" or that the CPU's clock includes the launch.
std::string measured_by(const Device& device);

}  // namespace glassbox::gpu
