#include "gpu/timer.h"

#include <numeric>

#include "gpu/probe.h"
#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::TimerSource;
using ::testing::HasSubstr;

class TimerTest : public GpuTest {
 protected:
  /// Chained dispatches that take a while, timed: each in order and within the wall clock's time for all.
  static void expect_plausible() {
    auto x = counting({1 << 16});
    for (int i = 0; i < 5; ++i) x = each("x[i] + 1.0;\nfor (uint k = 0u; k < 200u; ++k) y[i] = sin(y[i])", x);
    auto plan = gpu::Plan::record({x});
    plan.run_timed();  // compiles
    const auto begin = gpu::cpu_nanoseconds();
    const auto timings = plan.run_timed();
    const auto wall = static_cast<double>(gpu::cpu_nanoseconds() - begin) / 1000;
    ASSERT_EQ(timings.size(), 5u);
    double end = 0, sum = 0;
    for (const auto& timing : timings) {
      EXPECT_GT(timing.duration_us, 0);
      EXPECT_GE(timing.start_us, end * 0.99 - 1) << "each reads what the one before wrote";
      end = timing.start_us + timing.duration_us;
      sum += timing.duration_us;
    }
    EXPECT_LE(end, wall * 1.5);
    EXPECT_LE(sum, wall * 1.5);
    EXPECT_LT(timings[0].start_us, 1000) << "times are from the start of the run";
  }
};

TEST_F(TimerTest, TellsWhyItIsTrusted) {
  const auto& verdict = device().timer_verdict();
  if (!device().features().timestamps) {
    EXPECT_EQ(device().timer_source(), TimerSource::cpu_clock);
    EXPECT_THAT(verdict, HasSubstr("no EXT_disjoint_timer_query"));
  } else if (device().lane_count() > 1) {
    EXPECT_EQ(device().timer_source(), TimerSource::cpu_clock);
    EXPECT_THAT(verdict, HasSubstr("lanes run each dispatch to its end in the threads that call"));
  } else {
    EXPECT_THAT(verdict, HasSubstr("self-test dispatch: "));
    EXPECT_EQ(verdict.find("not trusted") == std::string::npos, device().timer_source() == TimerSource::gpu_timestamp);
  }
  EXPECT_EQ(gpu::name_of(TimerSource::gpu_timestamp), "gpu timestamps");
  EXPECT_EQ(gpu::name_of(TimerSource::cpu_clock), "cpu clock");
}

TEST_F(TimerTest, TimesADispatchPlausibly) { expect_plausible(); }

TEST_F(TimerTest, TimesADispatchPlausiblyByTheCpuClock) {
  on_own_device({.index = device_index(), .limits = "es31"}, [](gpu::Device& own) {
    ASSERT_EQ(own.timer_source(), TimerSource::cpu_clock);
    expect_plausible();
  });
}

TEST_F(TimerTest, TimestampsOnlyGrow) {
  if (!device().features().timestamps) GTEST_SKIP() << "this device has no timestamps";
  gpu::TimestampPool pool(3);
  auto plan = gpu::Plan::record({each("x[i] + 1.0", counting({1 << 16}))});
  pool.stamp(0);
  plan.run();
  pool.stamp(1);
  pool.stamp(2);
  device().finish();
  EXPECT_LE(pool.read(0), pool.read(1));
  EXPECT_LE(pool.read(1), pool.read(2));
}

}  // namespace
}  // namespace glassbox::testing
