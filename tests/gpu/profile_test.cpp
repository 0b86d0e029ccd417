#include "gpu/profile.h"

#include <numeric>

#include "gpu/ops/copy.h"
#include "gpu/ops/elementwise.h"
#include "gpu/ops/matmul.h"
#include "gpu/ops/rms_norm.h"
#include "gpu/ops/rope.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::Cost;
using gpu::DType;
using gpu::Profile;
using gpu::ProfiledDispatch;
using gpu::ProfiledRun;
using ::testing::ElementsAre;

constexpr gpu::Roofline low_ceilings() { return {.bytes_per_second = 1e9, .flops_per_second = 1e10}; }

ProfiledDispatch profiled(std::string kernel, int layer, double start_us, double duration_us, Cost cost = {}) {
  return {.kernel = std::move(kernel),
          .primitive = "op",
          .layer = layer,
          .barrier = start_us > 0,
          .cost = cost,
          .start_us = start_us,
          .duration_us = duration_us};
}

/// a: 10 and 30 us in two layers, b: 60 us; gaps of 5 and 15 us. One more run in another section.
Profile small_profile() {
  Profile profile(gpu::TimerSource::gpu_timestamp);
  profile.add({.section = "decode",
               .first = 7,
               .count = 1,
               .start_us = 1000,
               .wall_us = 150,
               .dispatches = {profiled("a", 0, 0, 10, {.bytes = 5000, .flops = 1000}),
                              profiled("a", 1, 15, 30, {.bytes = 5000, .flops = 400000}),
                              profiled("b", 1, 60, 60, {.bytes = 30000})}});
  profile.add({.section = "prompt", .count = 4, .wall_us = 9, .dispatches = {profiled("a", 0, 0, 7)}});
  return profile;
}

TEST(Quantile, OfNothingIsZero) { EXPECT_EQ(gpu::quantile({}, 0.5), 0); }
TEST(Quantile, OfOneValueIsThatValue) { EXPECT_EQ(gpu::quantile({3}, 0.99), 3); }
TEST(Quantile, MedianOfAnEvenNumberLiesBetween) { EXPECT_DOUBLE_EQ(gpu::quantile({4, 1, 3, 2}, 0.5), 2.5); }
TEST(Quantile, InterpolatesBetweenNeighbours) { EXPECT_DOUBLE_EQ(gpu::quantile({50, 10, 40, 20, 30}, 0.9), 46); }
TEST(Quantile, OfAHundredAndOneValuesIsTheirRank) {
  std::vector<double> values(101);
  std::iota(values.rbegin(), values.rend(), 0.0);
  EXPECT_DOUBLE_EQ(gpu::quantile(values, 0.99), 99);
  EXPECT_DOUBLE_EQ(gpu::quantile(values, 0), 0);
  EXPECT_DOUBLE_EQ(gpu::quantile(values, 1), 100);
}

TEST(Spread, IsInProportionToTheWeights) {
  const std::vector<double> weights = {1, 3};
  const auto shares = gpu::spread({.bytes = 100, .flops = 8}, weights);
  EXPECT_DOUBLE_EQ(shares[0].bytes, 25);
  EXPECT_DOUBLE_EQ(shares[1].bytes, 75);
  EXPECT_DOUBLE_EQ(shares[0].flops, 2);
  EXPECT_DOUBLE_EQ(shares[1].flops, 6);
}
TEST(Spread, IsEvenWithoutWeights) {
  const std::vector<double> weights = {0, 0};
  EXPECT_DOUBLE_EQ(gpu::spread({.bytes = 100}, weights)[1].bytes, 50);
}
TEST(Spread, OverNothingIsNothing) { EXPECT_TRUE(gpu::spread({.bytes = 100}, {}).empty()); }

TEST(ProfiledRun, GapsAreTheSpanWithoutTheKernels) {
  const auto profile = small_profile();
  EXPECT_DOUBLE_EQ(profile.runs()[0].busy_us(), 100);
  EXPECT_DOUBLE_EQ(profile.runs()[0].span_us(), 120);
  EXPECT_DOUBLE_EQ(profile.runs()[0].gap_us(), 20);
  EXPECT_EQ(ProfiledRun{}.span_us(), 0);
}

TEST(Profile, RowsAreByKernelLargestTotalFirst) {
  const auto rows = small_profile().rows("decode", low_ceilings());
  ASSERT_EQ(rows.size(), 2u);
  const auto &b = rows[0], &a = rows[1];
  EXPECT_EQ(b.kernel, "b");
  EXPECT_EQ(b.calls, 1u);
  EXPECT_DOUBLE_EQ(b.share, 0.6);
  EXPECT_DOUBLE_EQ(b.gigabytes_per_second(), 0.5);
  EXPECT_DOUBLE_EQ(b.roofline, 0.5);  // 30 kB at 1 GB/s are 30 us of 60
  EXPECT_EQ(a.kernel, "a");
  EXPECT_EQ(a.calls, 2u);
  EXPECT_DOUBLE_EQ(a.total_us, 40);
  EXPECT_DOUBLE_EQ(a.mean_us, 20);
  EXPECT_DOUBLE_EQ(a.p50_us, 20);
  EXPECT_DOUBLE_EQ(a.p99_us, 29.8);
  EXPECT_DOUBLE_EQ(a.cost.bytes, 10000);
  EXPECT_DOUBLE_EQ(a.gigaflops(), 401000 / 40e3);
  EXPECT_DOUBLE_EQ(a.roofline, (5.0 + 40.0) / 40.0);  // bandwidth bounds the first call, the peak the second
  EXPECT_DOUBLE_EQ(a.share, 0.4);
}
TEST(Profile, RowsAreByLayerWhereAskedFor) {
  const auto rows = small_profile().rows("decode", low_ceilings(), Profile::By::kernel_and_layer);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1].kernel, "a");
  EXPECT_EQ(rows[1].layer, 1);
  EXPECT_EQ(rows[2].layer, 0);
}
TEST(Profile, TotalsAreOfTheirSectionAlone) {
  const auto profile = small_profile();
  const auto decode = profile.totals("decode"), prompt = profile.totals("prompt");
  EXPECT_EQ(decode.runs, 1u);
  EXPECT_EQ(decode.tokens, 1u);
  EXPECT_EQ(decode.dispatches, 3u);
  EXPECT_EQ(decode.barriers, 2u);
  EXPECT_DOUBLE_EQ(decode.busy_us, 100);
  EXPECT_DOUBLE_EQ(decode.gap_us(), 20);
  EXPECT_DOUBLE_EQ(decode.wall_us, 150);
  EXPECT_DOUBLE_EQ(decode.cost.bytes, 40000);
  EXPECT_EQ(prompt.tokens, 4u);
  EXPECT_DOUBLE_EQ(prompt.busy_us, 7);
  EXPECT_EQ(profile.totals("no such section").runs, 0u);
}
TEST(Profile, AKernelWithoutMeasuredTimeHasNoRates) {
  Profile profile(gpu::TimerSource::gpu_timestamp);
  profile.add({.section = "s", .dispatches = {profiled("a", 0, 0, 0, {.bytes = 1, .flops = 1})}});
  const auto row = profile.rows("s", low_ceilings()).at(0);
  EXPECT_EQ(row.gigabytes_per_second(), 0);
  EXPECT_EQ(row.gigaflops(), 0);
  EXPECT_EQ(row.roofline, 0);
  EXPECT_EQ(row.share, 0);
}

class ProfiledPlan : public GpuTest {
 protected:
  Profile profile{device().timer_source()};
};

TEST_F(ProfiledPlan, RecordsEachDispatchWithItsLayerAndItsPrimitivesCost) {
  const auto x = random.normal({5, 64}), w = random.normal({64}), m = random.normal({96, 64});
  std::optional<Array> y;
  {
    const gpu::LayerScope layer(3);
    y = gpu::matmul(gpu::rms_norm(x, w, 1e-5f), m);
  }
  auto plan = gpu::Plan::record({*y});
  profile.run(plan, "once", 11, 5);
  const auto& run = profile.runs().at(0);
  ASSERT_EQ(run.dispatches.size(), plan.dispatches().size());
  EXPECT_EQ(run.first, 11u);
  EXPECT_EQ(run.count, 5u);
  const auto &norm = run.dispatches.front(), &product = run.dispatches.back();
  EXPECT_EQ(norm.kernel, "rms_norm");
  EXPECT_EQ(norm.layer, 3);
  EXPECT_DOUBLE_EQ(norm.cost.bytes, 4.0 * (2 * 5 * 64 + 64));
  EXPECT_EQ(product.primitive, "matmul");
  EXPECT_DOUBLE_EQ(product.cost.flops, 2.0 * 5 * 96 * 64);
  EXPECT_GT(product.duration_us, 0);
  EXPECT_GE(product.start_us, norm.start_us + norm.duration_us);
  EXPECT_LE(run.span_us(), run.wall_us);
}

TEST_F(ProfiledPlan, SharesAPrimitivesCostAmongItsDispatches) {
  // A single half cannot be stored alone: RoPE computes its pairs in float32 and a second dispatch rounds them.
  const auto y = gpu::rope(random.normal({3, 2, 8}, DType::f16), gpu::rope_frequencies(std::vector<double>(4, 0.5)),
                           gpu::Dynamic(7), gpu::RopePairing::half_split);
  auto plan = gpu::Plan::record({y});
  ASSERT_EQ(plan.steps().size(), 1u);
  profile.run(plan, "once", 0, 1);
  const auto& dispatches = profile.runs().at(0).dispatches;
  ASSERT_EQ(dispatches.size(), plan.dispatches().size());
  ASSERT_GT(dispatches.size(), 1u);
  double bytes = 0;
  for (const auto& d : dispatches) bytes += d.cost.bytes;
  EXPECT_DOUBLE_EQ(bytes, 2.0 * 2 * 48 + 4 * 2 * 4);
  EXPECT_NEAR(dispatches[0].cost.bytes / dispatches[1].cost.bytes,
              plan.dispatches()[0].bytes / plan.dispatches()[1].bytes, 1e-9);
}

TEST_F(ProfiledPlan, ComputesWhatAnOrdinaryRunDoes) {
  const auto x = random.normal({3, 100});
  const auto y = gpu::scale(x, 2);
  auto plan = gpu::Plan::record({y});
  profile.run(plan, "once", 0, 1);
  EXPECT_EQ(y.values(), mapped(x, [](double v) { return 2 * v; }));
}

TEST_F(ProfiledPlan, SaysWhoseClockItWas) {
  EXPECT_NE(gpu::measured_by(device()).find(name_of(device().timer_source())), std::string::npos);
  EXPECT_EQ(gpu::measured_by(device()).find("software") != std::string::npos, device().features().software);
}

}  // namespace
}  // namespace glassbox::testing
