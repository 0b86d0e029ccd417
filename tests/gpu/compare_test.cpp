#include "gpu/compare.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "tests/support.h"

namespace glassbox::testing {
namespace {

using gpu::compare;
using gpu::DType;
using Values = std::vector<double>;

const double nan = std::nan("");

TEST(Compare, OfEqualValuesIsNothing) {
  const auto stats = compare(Values{1, -2, 0}, Values{1, -2, 0}, DType::f32);
  EXPECT_EQ(stats.nmse, 0);
  EXPECT_EQ(stats.max_abs, 0);
  EXPECT_EQ(stats.max_ulp, 0);
  EXPECT_EQ(stats.cosine, 1);
}

TEST(Compare, FollowsItsFormulas) {
  std::mt19937_64 engine(3);
  std::normal_distribution<double> normal;
  Values a(1000), b(1000);
  for (std::size_t i = 0; i < a.size(); ++i) b[i] = normal(engine), a[i] = b[i] + 1e-3 * normal(engine);
  double error = 0, bb = 0, aa = 0, ab = 0, worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    aa += a[i] * a[i], bb += b[i] * b[i], ab += a[i] * b[i];
    worst = std::max(worst, std::abs(a[i] - b[i]));
  }
  const auto stats = compare(a, b, DType::f32);
  EXPECT_NEAR(stats.nmse, error / bb, 1e-15);
  EXPECT_NEAR(stats.cosine, ab / std::sqrt(aa * bb), 1e-14);
  EXPECT_EQ(stats.max_abs, worst);
  EXPECT_EQ(stats.max_abs, std::abs(a[stats.worst] - b[stats.worst]));
  EXPECT_EQ(stats.worst_value, a[stats.worst]);
  EXPECT_EQ(stats.worst_reference, b[stats.worst]);
}

TEST(Compare, CountsUlpsOfTheDTypeAtTheReference) {
  EXPECT_EQ(compare(Values{1 + 0x1p-22}, Values{1}, DType::f32).max_ulp, 2);
  EXPECT_EQ(compare(Values{1 + 0x1p-10}, Values{1}, DType::f16).max_ulp, 1);
  EXPECT_EQ(compare(Values{2 + 0x1p-6}, Values{2}, DType::bf16).max_ulp, 1);
  EXPECT_EQ(compare(Values{0x1p-24}, Values{0}, DType::f16).max_ulp, 1) << "one subnormal step from zero";
}

TEST(Compare, LetsFloat32FlushSubnormals) {
  EXPECT_EQ(compare(Values{0, 1}, Values{1e-40, 1}, DType::f32).nmse, 0);
  EXPECT_EQ(compare(Values{0}, Values{1e-40}, DType::f32).max_abs, 0);
  EXPECT_GT(compare(Values{0}, Values{1e-37}, DType::f32).max_abs, 0) << "a normal number";
  EXPECT_GT(compare(Values{0}, Values{1e-6}, DType::f16).max_abs, 0) << "float16's are normal in float32";
}

TEST(Compare, TakesAReferenceBeyondTheRangeAsInfinity) {
  EXPECT_EQ(compare(Values{infinity}, Values{70000}, DType::f16).nmse, 0);
  EXPECT_EQ(compare(Values{-infinity}, Values{-1e39}, DType::f32).nmse, 0);
  EXPECT_EQ(compare(Values{infinity}, Values{70000}, DType::f32).nmse, infinity);
  EXPECT_EQ(compare(Values{65504}, Values{65510}, DType::f16).max_abs, 6) << "it rounds to the largest, not beyond";
}

TEST(Compare, TakesNaNForNaNAndNothingElse) {
  EXPECT_EQ(compare(Values{nan, 1}, Values{nan, 1}, DType::f32).nmse, 0);
  for (const auto& [value, reference] : {std::pair(nan, 1.0), std::pair(1.0, nan), std::pair(infinity, -infinity)}) {
    const auto stats = compare(Values{1, value, 1}, Values{1, reference, 2}, DType::f32);
    EXPECT_EQ(stats.nmse, infinity);
    EXPECT_EQ(stats.max_abs, infinity);
    EXPECT_EQ(stats.cosine, 0);
    EXPECT_EQ(stats.worst, 1u);
  }
}

TEST(Compare, WithAReferenceOfZerosIsAllOrNothing) {
  EXPECT_EQ(compare(Values{0, 0}, Values{0, 0}, DType::f32).nmse, 0);
  EXPECT_EQ(compare(Values{0, 0}, Values{0, 0}, DType::f32).cosine, 1);
  EXPECT_EQ(compare(Values{0, 1e-20}, Values{0, 0}, DType::f32).nmse, infinity);
}

TEST(Compare, OfNothingIsNothing) { EXPECT_EQ(compare({}, {}, DType::f32).nmse, 0); }

TEST(Compare, RefusesOtherLengths) { EXPECT_ERROR(compare(Values{1}, Values{1, 2}, DType::f32), "1 values with 2"); }

TEST(KlDivergence, FollowsItsFormula) {
  const Values p{0.1, 2, -1, 3}, q{0, 2.5, -1, 1};
  const auto softmax = [](const Values& logits) {
    double sum = 0;
    for (const double l : logits) sum += std::exp(l);
    Values result;
    for (const double l : logits) result.push_back(std::exp(l) / sum);
    return result;
  };
  const auto a = softmax(p), b = softmax(q);
  double expected = 0;
  for (std::size_t i = 0; i < a.size(); ++i) expected += a[i] * std::log(a[i] / b[i]);
  EXPECT_NEAR(gpu::kl_divergence(p, q), expected, 1e-14);
}
TEST(KlDivergence, DoesNotSeeAShift) { EXPECT_NEAR(gpu::kl_divergence(Values{1, 2}, Values{1001, 1002}), 0, 1e-12); }
TEST(KlDivergence, TakesMaskedLogits) {
  EXPECT_NEAR(gpu::kl_divergence(Values{0, -infinity}, Values{0, 0}), std::log(2), 1e-15);
  EXPECT_EQ(gpu::kl_divergence(Values{0, 0}, Values{0, -infinity}), infinity);
}
TEST(KlDivergence, RefusesOtherLengths) {
  EXPECT_ERROR(gpu::kl_divergence(Values{1}, Values{1, 2}), "1 logits against 2");
  EXPECT_ERROR(gpu::kl_divergence({}, {}), "0 logits");
}

}  // namespace
}  // namespace glassbox::testing
