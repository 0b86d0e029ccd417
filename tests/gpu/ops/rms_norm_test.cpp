#include "gpu/ops/rms_norm.h"

#include <cmath>
#include <limits>

#include "gpu/ops/elementwise.h"
#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::Fusion;
using gpu::rms_norm;
using gpu::rms_norm_residual;
using gpu::Shape;

/// Zhang & Sennrich 2019, eq. 4: a_i / RMS(a) g_i, with eps under the root as Llama has it.
std::vector<double> rms_norm_by_definition(const std::vector<double>& x, const std::vector<double>& weight,
                                           double eps) {
  const std::size_t n = weight.size();
  std::vector<double> y(x.size());
  for (std::size_t row = 0; row < x.size(); row += n) {
    long double squares = 0;
    for (std::size_t i = 0; i < n; ++i) squares += static_cast<long double>(x[row + i]) * x[row + i];
    const double rms = static_cast<double>(std::sqrt(squares / static_cast<long double>(n) + eps));
    for (std::size_t i = 0; i < n; ++i) y[row + i] = x[row + i] / rms * weight[i];
  }
  return y;
}

class RmsNorm : public GpuTest {
 protected:
  /// Within tolerance of eval_cpu and of the definition.
  static void check(const Array& x, const Array& weight, float eps = 1e-5f) {
    const auto y = rms_norm(x, weight, eps);
    expect_within_tolerance(y);
    expect_near(y, rms_norm_by_definition(x.values(), weight.values(), eps), gpu::storage_nmse(y.dtype()));
  }
};

/// Rows and row lengths around every boundary the generated loads have: 1, 2, 3, 4k, 8k + 4, odd, a lane more or less.
struct RmsNormLengths : RmsNorm, ::testing::WithParamInterface<std::size_t> {};
TEST_P(RmsNormLengths, MatchTheDefinition) { check(random.normal({3, GetParam()}), random.normal({GetParam()})); }
TEST_P(RmsNormLengths, MatchTheDefinitionInFloat16) {
  const auto n = GetParam();
  check(random.normal({3, n}, DType::f16), random.normal({n}, DType::f16));
}
TEST_P(RmsNormLengths, MatchTheDefinitionWithAResidual) {
  const auto x = random.normal({3, GetParam()}), r = random.normal({3, GetParam()}), w = random.normal({GetParam()});
  const auto [h, y] = rms_norm_residual(x, r, w, 1e-5f);
  expect_within_tolerance(y);
  const auto sum = combined(x, r, [](double a, double b) { return a + b; });
  expect_near(h, sum);
  expect_near(y, rms_norm_by_definition(sum, w.values(), 1e-5f));
}
INSTANTIATE_TEST_SUITE_P(Rows, RmsNormLengths,
                         ::testing::Values(1, 2, 3, 4, 5, 7, 8, 12, 31, 64, 65, 130, 172, 1001, 4096, 16384));

TEST_F(RmsNorm, OfUnitScaleInputsIsWithinAMillionth) {
  const auto x = random.uniform({64, 512}, -1, 1), w = random.uniform({512}, -1, 1);
  EXPECT_LE(max_abs_error(rms_norm(x, w, 1e-5f), rms_norm_by_definition(x.values(), w.values(), 1e-5f)), 1e-6);
}

TEST_F(RmsNorm, HasOneRowOfOne) { check(random.normal({1, 1}), random.normal({1})); }
TEST_F(RmsNorm, TakesAVector) { check(random.normal({96}), random.normal({96})); }
TEST_F(RmsNorm, TakesThreeAxes) { check(random.normal({2, 5, 33}), random.normal({33})); }
TEST_F(RmsNorm, TakesFourAxes) { check(random.normal({2, 3, 2, 20}), random.normal({20})); }
TEST_F(RmsNorm, TakesMoreRowsThanAGridAxisHasGroups) { check(random.normal({70001, 3}), random.normal({3})); }

TEST_F(RmsNorm, OfZerosIsZero) {
  const auto y = rms_norm(zeros({4, 30}), random.normal({30}), 1e-5f);
  expect_within_tolerance(y);
  EXPECT_THAT(y.values(), ::testing::Each(0.0));
}
TEST_F(RmsNorm, ByZeroWeightsIsZero) {
  EXPECT_THAT(rms_norm(random.normal({4, 30}), zeros({30}), 1e-5f).values(), ::testing::Each(0.0));
}
TEST_F(RmsNorm, OfOneZeroRowLeavesItsNeighboursAlone) {
  auto values = random.normal({3, 10}).values();
  std::fill(values.begin() + 10, values.begin() + 20, 0.0);
  check(array({3, 10}, values), random.normal({10}));
}
TEST_F(RmsNorm, OfZerosWithoutEpsIsUndefined) {
  const auto y = rms_norm(zeros({2, 9}), random.normal({9}), 0);
  expect_within_tolerance(y);
  EXPECT_TRUE(std::isnan(y.values()[0]));
}
TEST_F(RmsNorm, TakesEpsOfZero) { check(random.normal({5, 40}), random.normal({40}), 0); }
TEST_F(RmsNorm, TakesAnEpsThatOutweighsTheRow) { check(random.normal({5, 40}), random.normal({40}), 1e6f); }
TEST_F(RmsNorm, TakesHugeValues) { check(random.normal({3, 37}, DType::f32, 1e30), random.normal({37})); }
TEST_F(RmsNorm, TakesTheLargestValues) { check(random.uniform({2, 64}, 3e38, 3.4e38), random.normal({64})); }
TEST_F(RmsNorm, TakesTinyValues) { check(random.normal({3, 37}, DType::f32, 1e-30), random.normal({37})); }
TEST_F(RmsNorm, TakesTinyValuesWithoutEps) { check(random.normal({3, 37}, DType::f32, 1e-30), random.normal({37}), 0); }
TEST_F(RmsNorm, TakesTinyEps) { check(random.normal({3, 37}, DType::f32, 1e-18), random.normal({37}), 1e-37f); }
TEST_F(RmsNorm, TakesRowsOfEveryScaleAtOnce) {
  auto values = random.normal({4, 24}).values();
  const double scales[] = {1e-35, 1e-3, 1e15, 1e37};
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= scales[i / 24];
  const auto x = array({4, 24}, values), w = random.normal({24}), y = rms_norm(x, w, 0);
  const auto expected = rms_norm_by_definition(x.values(), w.values(), 0);
  for (std::size_t row = 0; row < 4; ++row)
    expect_near(y.slice(0, row, row + 1), {expected.begin() + long(row) * 24, expected.begin() + long(row + 1) * 24});
}
TEST_F(RmsNorm, OfTheLargestFloat16IsFinite) {
  check(random.uniform({2, 128}, 60000, 65504, DType::f16), random.normal({128}, DType::f16));
}
TEST_F(RmsNorm, OfAnInfinityIsNanThereAndZeroElsewhere) {
  auto values = random.normal({1, 12}).values();
  values[5] = infinity;
  const auto y = rms_norm(array({1, 12}, values), array({12}, std::vector<double>(12, 2.0)), 1e-5f);
  expect_within_tolerance(y);
  EXPECT_TRUE(std::isnan(y.values()[5]));
  EXPECT_EQ(y.values()[4], 0);
}

TEST_F(RmsNorm, TakesBfloat16) { check(random.normal({3, 48}, DType::bf16), random.normal({48}, DType::bf16)); }
TEST_F(RmsNorm, TakesWeightsOfAnotherDtype) {
  check(random.normal({3, 44}), random.normal({44}, DType::bf16));
  check(random.normal({3, 44}), random.normal({44}, DType::f16));
}
TEST_F(RmsNorm, RoundsOddFloat16RowsThroughFloat32) {
  const auto y = rms_norm(random.normal({3, 7}, DType::f16), random.normal({7}), 1e-5f);
  EXPECT_EQ(gpu::Plan::record({y}).dispatches().size(), 2u);
  EXPECT_EQ(y.dtype(), DType::f16);
}

TEST_F(RmsNorm, TakesATransposeAndCountsTheCopy) {
  const auto x = random.normal({24, 10}).transpose({1, 0}), w = random.normal({24});
  EXPECT_EQ(gpu::Plan::record({rms_norm(x, w, 1e-5f)}).copies(), 1u);
  check(x, w);
}
TEST_F(RmsNorm, TakesASliceThatStartsOffSixteenBytes) {
  const auto x = random.normal({6, 7}).slice(0, 1, 5), w = random.normal({21}).slice(0, 7, 14);
  EXPECT_EQ(gpu::Plan::record({rms_norm(x, w, 1e-5f)}).copies(), 2u);
  check(x, w);
}
TEST_F(RmsNorm, TakesColumnsOfAMatrix) { check(random.normal({6, 40}).slice(1, 3, 20), random.normal({17})); }
TEST_F(RmsNorm, TakesABroadcastRow) { check(random.normal({1, 16}).broadcast_to({5, 16}), random.normal({16})); }
TEST_F(RmsNorm, TakesViewsOfOneBufferWithoutACopy) {
  const auto all = random.normal({4, 16}), x = all.slice(0, 0, 3), w = all.slice(0, 3, 4).reshape({16});
  EXPECT_EQ(gpu::Plan::record({rms_norm(x, w, 1e-5f)}).copies(), 0u);
  check(x, w);
}

TEST_F(RmsNorm, AgreesWithItsComposition) {
  for (const Shape& shape : {Shape{1, 1}, Shape{4, 30}, Shape{2, 3, 129}, Shape{2, 4096}}) {
    const auto x = random.normal(shape), w = random.normal({shape.back()});
    const auto composed = rms_norm(x, w, 1e-5f, Fusion::off);
    expect_within_tolerance(composed);
    EXPECT_LE(nmse_error(rms_norm(x, w, 1e-5f), composed.values()), 1e-12);
  }
}
TEST_F(RmsNorm, WithResidualAgreesWithItsComposition) {
  const auto x = random.normal({3, 50}), r = random.normal({3, 50}), w = random.normal({50});
  const auto [h, y] = rms_norm_residual(x, r, w, 1e-5f);
  const auto [h2, y2] = rms_norm_residual(x, r, w, 1e-5f, Fusion::off);
  expect_within_tolerance(y2);
  EXPECT_EQ(h.values(), h2.values());
  EXPECT_LE(nmse_error(y, y2.values()), 1e-12);
}
TEST_F(RmsNorm, WithResidualTakesFloat16AndHugeAndTinyRows) {
  const auto w = random.normal({20});
  for (const double scale : {1e30, 1e-30})
    expect_within_tolerance(
        rms_norm_residual(random.normal({3, 20}, DType::f32, scale), random.normal({3, 20}, DType::f32, scale), w, 0)
            .second);
  expect_within_tolerance(
      rms_norm_residual(random.normal({3, 21}, DType::f16), random.normal({3, 21}, DType::f16), random.normal({21}), 0)
          .second);
}
TEST_F(RmsNorm, FusedIsOneDispatch) {
  const auto x = random.normal({3, 8}), w = random.normal({8});
  EXPECT_EQ(gpu::Plan::record({rms_norm(x, w, 1e-5f)}).dispatches().size(), 1u);
  EXPECT_EQ(gpu::Plan::record({rms_norm(x, w, 1e-5f, Fusion::off)}).dispatches().size(), 5u);
}

TEST_F(RmsNorm, RefusesWhatItCannotNormalise) {
  const auto x = random.normal({2, 8}), w = random.normal({8});
  EXPECT_ERROR(rms_norm(x, zeros({7}), 1e-5f), "[rms_norm] weight must be [8] to match the last axis of x [2, 8]");
  EXPECT_ERROR(rms_norm(x, zeros({1, 8}), 1e-5f), "weight must be [8]");
  EXPECT_ERROR(rms_norm(x, random.indices({8}, 5), 1e-5f), "received u32 [8]");
  EXPECT_ERROR(rms_norm(random.indices({2, 8}, 5), w, 1e-5f), "x must be a float array");
  EXPECT_ERROR(rms_norm(zeros({0, 8}), w, 1e-5f), "x must be a float array with elements");
  EXPECT_ERROR(rms_norm(zeros({}), w, 1e-5f), "at least one axis");
  EXPECT_ERROR(rms_norm(x, w, -1e-5f), "eps must be finite and not negative, received -1e-05");
  EXPECT_ERROR(rms_norm(x, w, std::numeric_limits<float>::quiet_NaN()), "eps must be finite");
  EXPECT_ERROR(rms_norm_residual(x, zeros({2, 7}), w, 1e-5f), "[rms_norm_residual] residual must be [2, 8] as x");
  EXPECT_ERROR(rms_norm(x, zeros({7}), 1e-5f, Fusion::off), "weight must be [8]");
}

}  // namespace
}  // namespace glassbox::testing
