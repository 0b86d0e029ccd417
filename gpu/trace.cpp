#include "gpu/trace.h"

#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

constexpr int process = 1, steps_track = 1, dispatches_track = 2;
using Json = nlohmann::ordered_json;

Json named(const char* what, int track, const std::string& name) {
  return {{"name", what}, {"ph", "M"}, {"pid", process}, {"tid", track}, {"args", {{"name", name}}}};
}

Json complete(const std::string& name, const std::string& category, int track, double start_us, double duration_us,
              Json args) {
  return {{"name", name},       {"cat", category}, {"ph", "X"},    {"ts", start_us},
          {"dur", duration_us}, {"pid", process},  {"tid", track}, {"args", std::move(args)}};
}

std::string label(const ProfiledRun& run) {
  return run.count == 1 ? fmt::format("{}: token {}", run.section, run.first)
                        : fmt::format("{}: tokens {} to {}", run.section, run.first, run.first + run.count - 1);
}

}  // namespace

Json chrome_trace(const Profile& profile, const std::string& device) {
  Json events = Json::array();
  events.push_back(named("process_name", steps_track, fmt::format("glassbox on {}", device)));
  events.push_back(named("thread_name", steps_track, "steps (cpu clock)"));
  events.push_back(
      named("thread_name", dispatches_track, fmt::format("kernels ({})", name_of(profile.timer_source()))));
  for (const auto& run : profile.runs()) {
    events.push_back(complete(label(run), "step", steps_track, run.start_us, run.wall_us,
                              {{"section", run.section},
                               {"first", run.first},
                               {"tokens", run.count},
                               {"dispatches", run.dispatches.size()},
                               {"busy_us", run.busy_us()},
                               {"gap_us", run.gap_us()}}));
    for (const auto& d : run.dispatches) {
      const double nanoseconds = d.duration_us * 1e3;
      events.push_back(complete(d.kernel, "kernel", dispatches_track, run.start_us + d.start_us, d.duration_us,
                                {{"primitive", d.primitive},
                                 {"layer", d.layer},
                                 {"grid", {d.grid.x, d.grid.y, d.grid.z}},
                                 {"workgroup", d.local_size},
                                 {"barrier", d.barrier},
                                 {"bytes", d.cost.bytes},
                                 {"flops", d.cost.flops},
                                 {"GB/s", nanoseconds > 0 ? d.cost.bytes / nanoseconds : 0},
                                 {"GFLOP/s", nanoseconds > 0 ? d.cost.flops / nanoseconds : 0}}));
    }
  }
  return {{"displayTimeUnit", "ns"},
          {"otherData", {{"device", device}, {"timer", name_of(profile.timer_source())}}},
          {"traceEvents", std::move(events)}};
}

}  // namespace glassbox::gpu
