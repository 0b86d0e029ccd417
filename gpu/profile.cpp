#include "gpu/profile.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "gpu/error.h"
#include "gpu/timer.h"

namespace glassbox::gpu {

double ProfiledRun::busy_us() const {
  return std::accumulate(dispatches.begin(), dispatches.end(), 0.0,
                         [](double sum, const ProfiledDispatch& d) { return sum + d.duration_us; });
}

double ProfiledRun::span_us() const {
  if (dispatches.empty()) return 0;
  return dispatches.back().start_us + dispatches.back().duration_us - dispatches.front().start_us;
}

double ProfiledRun::gap_us() const { return span_us() - busy_us(); }

Profile::Profile(TimerSource source) : source_(source), started_ns_(cpu_nanoseconds()) {}

void Profile::run(Plan& plan, std::string section, std::size_t first, std::size_t count) {
  ProfiledRun run{.section = std::move(section), .first = first, .count = count};
  // Work the caller left on the device is its own, not this run's.
  Device::current().finish();
  const auto begin = cpu_nanoseconds();
  const auto timings = plan.run_timed();
  run.start_us = static_cast<double>(begin - started_ns_) / 1e3;
  run.wall_us = static_cast<double>(cpu_nanoseconds() - begin) / 1e3;
  run.dispatches.reserve(timings.size());
  for (const auto& step : plan.steps()) {
    const auto dispatches = std::span(plan.dispatches()).subspan(step.first, step.count);
    std::vector<double> bound;
    for (const auto& d : dispatches) bound.push_back(d.bytes);
    const auto costs = spread(step.primitive->cost(step.inputs, step.outputs), bound);
    for (std::size_t i = 0; i < dispatches.size(); ++i) {
      const auto& d = dispatches[i];
      const auto& timing = timings[step.first + i];
      run.dispatches.push_back({.kernel = d.kernel,
                                .primitive = std::string(step.primitive->name()),
                                .layer = step.layer,
                                .grid = d.grid,
                                .local_size = d.local_size,
                                .barrier = d.barrier,
                                .cost = costs[i],
                                .start_us = timing.start_us,
                                .duration_us = timing.duration_us});
    }
  }
  add(std::move(run));
}

std::vector<ProfileRow> Profile::rows(std::string_view section, const Roofline& roofline, By by) const {
  struct Group {
    std::vector<double> durations;
    Cost cost;
    double least_seconds = 0;
  };
  std::map<std::pair<std::string, int>, Group> groups;
  double busy = 0;
  for (const auto& run : runs_) {
    if (run.section != section) continue;
    for (const auto& d : run.dispatches) {
      auto& group = groups[{d.kernel, by == By::kernel ? -1 : d.layer}];
      group.durations.push_back(d.duration_us);
      group.cost.bytes += d.cost.bytes;
      group.cost.flops += d.cost.flops;
      group.least_seconds += roofline.seconds(d.cost);
      busy += d.duration_us;
    }
  }
  std::vector<ProfileRow> rows;
  for (auto& [key, group] : groups) {
    ProfileRow row{.kernel = key.first, .layer = key.second, .calls = group.durations.size(), .cost = group.cost};
    row.total_us = std::accumulate(group.durations.begin(), group.durations.end(), 0.0);
    row.mean_us = row.total_us / static_cast<double>(row.calls);
    row.p50_us = quantile(group.durations, 0.5);
    row.p99_us = quantile(std::move(group.durations), 0.99);
    row.roofline = row.total_us > 0 ? group.least_seconds * 1e6 / row.total_us : 0;
    row.share = busy > 0 ? row.total_us / busy : 0;
    rows.push_back(std::move(row));
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ProfileRow& a, const ProfileRow& b) { return a.total_us > b.total_us; });
  return rows;
}

ProfileTotals Profile::totals(std::string_view section) const {
  ProfileTotals totals;
  for (const auto& run : runs_) {
    if (run.section != section) continue;
    ++totals.runs;
    totals.tokens += run.count;
    totals.wall_us += run.wall_us;
    totals.span_us += run.span_us();
    totals.dispatches += run.dispatches.size();
    for (const auto& d : run.dispatches) {
      totals.barriers += d.barrier;
      totals.busy_us += d.duration_us;
      totals.cost.bytes += d.cost.bytes;
      totals.cost.flops += d.cost.flops;
    }
  }
  return totals;
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const auto high = std::min(low + 1, values.size() - 1);
  return std::lerp(values[low], values[high], at - std::floor(at));
}

std::vector<Cost> spread(const Cost& cost, std::span<const double> weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<Cost> shares;
  for (const double weight : weights) {
    const double share = sum > 0 ? weight / sum : 1.0 / static_cast<double>(weights.size());
    shares.push_back({cost.bytes * share, cost.flops * share});
  }
  return shares;
}

std::string measured_by(const Device& device) {
  return fmt::format("timer: {}{}{}", name_of(device.timer_source()),
                     device.timer_source() == TimerSource::cpu_clock ? " (each time includes a launch and a wait)" : "",
                     device.features().software ? "; software driver: kernels run on the CPU" : "");
}

}  // namespace glassbox::gpu
