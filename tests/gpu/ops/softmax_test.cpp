#include "gpu/ops/softmax.h"

#include <cmath>

#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::Dynamic;
using gpu::softmax;

/// p_i = 1 / sum_j exp(x_j - x_i): no maximum, no division of sums.
std::vector<double> softmax_by_definition(const std::vector<double>& x, std::size_t n) {
  std::vector<double> p(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    long double sum = 0;
    for (std::size_t j = i / n * n; j < i / n * n + n; ++j) sum += std::exp(static_cast<long double>(x[j]) - x[i]);
    p[i] = static_cast<double>(1 / sum);
  }
  return p;
}

class Softmax : public GpuTest {
 protected:
  static void check(const Array& x) {
    const auto y = softmax(x);
    expect_within_tolerance(y);
    expect_near(y, softmax_by_definition(x.values(), x.last()), gpu::storage_nmse(y.dtype()));
  }
};

struct SoftmaxLengths : Softmax, ::testing::WithParamInterface<std::size_t> {};
TEST_P(SoftmaxLengths, MatchTheDefinition) { check(random.normal({3, GetParam()}, DType::f32, 4)); }
TEST_P(SoftmaxLengths, MatchTheDefinitionInFloat16) { check(random.normal({2, GetParam()}, DType::f16, 4)); }
INSTANTIATE_TEST_SUITE_P(Rows, SoftmaxLengths, ::testing::Values(1, 2, 3, 4, 5, 7, 12, 64, 129, 1001));

TEST_F(Softmax, OfALongRowSumsToOne) {
  const auto y = softmax(random.normal({1, 100003}, DType::f32, 3));
  expect_within_tolerance(y);
  double sum = 0;
  for (const double p : y.values()) sum += p;
  EXPECT_NEAR(sum, 1, 1e-6);
}
TEST_F(Softmax, TakesAnyNumberOfAxes) {
  check(random.normal({9}));
  check(random.normal({2, 3, 1, 6}));
}
TEST_F(Softmax, TakesMoreRowsThanAGridAxisHasGroups) { check(random.normal({66000, 3})); }
TEST_F(Softmax, TakesBfloat16) { check(random.normal({3, 20}, DType::bf16)); }
TEST_F(Softmax, OfEqualValuesIsUniform) {
  EXPECT_THAT(softmax(array({1, 8}, std::vector<double>(8, 1e30))).values(), ::testing::Each(0.125));
  EXPECT_THAT(softmax(zeros({2, 8})).values(), ::testing::Each(0.125));
}
TEST_F(Softmax, TakesScoresOfTenThousandEitherWay) { check(random.normal({3, 50}, DType::f32, 1e4)); }
TEST_F(Softmax, OfHugeDifferencesIsOneAndZeros) {
  EXPECT_THAT(softmax(array({1, 4}, {-3e38, 3e38, 0, 1e38})).values(), ::testing::ElementsAre(0, 1, 0, 0));
}
TEST_F(Softmax, DoesNotTakeThePaddingOfARowForAZero) {
  for (const std::size_t n : {1, 2, 3, 5, 7}) check(random.uniform({3, n}, -1002, -1000));
}
TEST_F(Softmax, OfTinyValuesIsUniform) { check(random.normal({2, 16}, DType::f32, 1e-30)); }
TEST_F(Softmax, GivesNothingToMinusInfinity) {
  const auto y = softmax(array({1, 5}, {-infinity, 0, -infinity, 0, -infinity}));
  expect_within_tolerance(y);
  EXPECT_THAT(y.values(), ::testing::ElementsAre(0, 0.5, 0, 0.5, 0));
}
TEST_F(Softmax, OfARowWithNothingAboveMinusInfinityIsNan) {
  const auto y = softmax(array({2, 3}, {-infinity, -infinity, -infinity, 0, 0, -infinity}));
  expect_within_tolerance(y);
  EXPECT_THAT(y.values(),
              ::testing::ElementsAre(::testing::IsNan(), ::testing::IsNan(), ::testing::IsNan(), 0.5, 0.5, 0));
}
TEST_F(Softmax, TakesViewsAndCountsTheCopies) {
  const auto across = random.normal({10, 6}).transpose({1, 0}), off = random.normal({4, 7}).slice(1, 1, 6);
  EXPECT_EQ(gpu::Plan::record({softmax(across), softmax(off)}).copies(), 2u);
  check(across);
  check(off);
  check(random.normal({1, 6}).broadcast_to({4, 6}));
}
TEST_F(Softmax, RefusesWhatHasNoRows) {
  EXPECT_ERROR(softmax(zeros({})), "[softmax] takes a float array with elements and at least one axis");
  EXPECT_ERROR(softmax(zeros({3, 0})), "received f32 [3, 0]");
  EXPECT_ERROR(softmax(random.indices({3}, 9)), "received u32 [3]");
}

class CausalMask : public GpuTest {};
TEST_F(CausalMask, HidesKeysAfterEachTokensPosition) {
  for (const std::size_t n : {1, 3, 8, 12, 21})
    for (const std::uint32_t first : {0u, 2u, 7u, 40u}) {
      const std::size_t heads = 3, tokens = 5;
      const auto x = random.normal({heads, tokens, n});
      const auto y = gpu::causal_mask(x, Dynamic(first));
      expect_within_tolerance(y);
      auto expected = x.values();
      for (std::size_t h = 0; h < heads; ++h)
        for (std::size_t t = 0; t < tokens; ++t)
          for (std::size_t key = first + t + 1; key < n; ++key) expected[(h * tokens + t) * n + key] = -infinity;
      EXPECT_EQ(y.values(), expected);
    }
}
TEST_F(CausalMask, FollowsThePositionWhenAPlanIsReplayed) {
  const Dynamic first(0);
  const auto y = gpu::causal_mask(zeros({1, 1, 4}), first);
  auto plan = gpu::Plan::record({y});
  for (std::uint32_t position = 0; position < 4; ++position) {
    first.set(position);
    plan.run();
    EXPECT_EQ(std::ranges::count(y.values(), 0.0), position + 1);
  }
}
TEST_F(CausalMask, RefusesOtherShapes) {
  EXPECT_ERROR(gpu::causal_mask(zeros({2, 3}), Dynamic(0)), "[causal_mask] x must be float [heads, T, n]");
  EXPECT_ERROR(gpu::causal_mask(random.indices({1, 2, 3}, 4), Dynamic(0)), "received u32 [1, 2, 3]");
}

}  // namespace
}  // namespace glassbox::testing
