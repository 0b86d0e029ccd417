#include "gpu/trace.h"

#include <map>

#include "gpu/ops/rms_norm.h"
#include "tests/gpu_support.h"

namespace glassbox::testing {
namespace {

class Trace : public GpuTest {
 protected:
  Trace() : profile(device().timer_source()) {
    auto plan =
        gpu::Plan::record({gpu::rms_norm(random.normal({4, 64}), random.normal({64}), 1e-5f, gpu::Fusion::off)});
    profile.run(plan, "prompt", 0, 4);
    profile.run(plan, "decode", 4, 1);
    profile.run(plan, "decode", 5, 1);
    trace = nlohmann::json::parse(gpu::chrome_trace(profile, "a \"device\"").dump());
    for (const auto& event : trace.at("traceEvents"))
      if (event.at("ph") == "X") tracks[event.at("tid")].push_back(event);
  }
  gpu::Profile profile;
  nlohmann::json trace;
  std::map<int, std::vector<nlohmann::json>> tracks;
};

TEST_F(Trace, NamesItsDeviceTimerAndTracks) {
  EXPECT_EQ(trace["otherData"]["device"], "a \"device\"");
  EXPECT_EQ(trace["otherData"]["timer"], name_of(device().timer_source()));
  std::vector<std::string> names;
  for (const auto& event : trace["traceEvents"])
    if (event["ph"] == "M") names.push_back(event["args"]["name"]);
  ASSERT_EQ(names.size(), 3u);
  EXPECT_NE(names[0].find("a \"device\""), std::string::npos);
  EXPECT_NE(names[2].find(name_of(device().timer_source())), std::string::npos);
}

TEST_F(Trace, HasATrackOfStepsAndOneOfDispatches) {
  ASSERT_EQ(tracks.size(), 2u);
  EXPECT_EQ(tracks.begin()->second.size(), profile.runs().size());
  EXPECT_EQ(tracks.rbegin()->second.size(), profile.runs().size() * profile.runs()[0].dispatches.size());
}

TEST_F(Trace, EventsOfATrackAreOrderedAndDoNotOverlap) {
  for (const auto& [track, events] : tracks)
    for (std::size_t i = 1; i < events.size(); ++i)
      EXPECT_GE(events[i]["ts"].get<double>() + 1e-3,
                events[i - 1]["ts"].get<double>() + events[i - 1]["dur"].get<double>())
          << "track " << track << ", event " << i;
}

TEST_F(Trace, DurationsAddUpToTheProfiles) {
  double sum = 0;
  for (const auto& event : tracks.rbegin()->second) sum += event["dur"].get<double>();
  EXPECT_NEAR(sum, profile.totals("prompt").busy_us + profile.totals("decode").busy_us, 1e-9 * sum);
}

TEST_F(Trace, DispatchesCarryTheirCostAndPlace) {
  const auto& dispatch = profile.runs()[0].dispatches[0];
  const auto& event = tracks.rbegin()->second[0];
  EXPECT_EQ(event["name"], dispatch.kernel);
  EXPECT_EQ(event["args"]["layer"], dispatch.layer);
  EXPECT_EQ(event["args"]["bytes"], dispatch.cost.bytes);
  EXPECT_EQ(event["args"]["flops"], dispatch.cost.flops);
  EXPECT_EQ(event["args"]["workgroup"], dispatch.local_size);
  EXPECT_NEAR(event["args"]["GB/s"].get<double>(), dispatch.cost.bytes / dispatch.duration_us / 1e3, 1e-9);
}

TEST(EmptyTrace, IsStillATrace) {
  const gpu::Profile profile(gpu::TimerSource::cpu_clock);
  const auto trace = gpu::chrome_trace(profile, "nothing");
  EXPECT_EQ(trace["traceEvents"].size(), 3u);
}

}  // namespace
}  // namespace glassbox::testing
