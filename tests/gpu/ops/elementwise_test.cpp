#include "gpu/ops/elementwise.h"

#include <cmath>
#include <limits>

#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::Shape;

double logistic_times_x(double x) { return x * (1 + std::tanh(x / 2)) / 2; }  // silu by another identity

class Elementwise : public GpuTest {
 protected:
  static void check(const Array& y, const std::vector<double>& expected) {
    expect_within_tolerance(y);
    expect_near(y, expected, gpu::storage_nmse(y.dtype()));
  }
  void check_all(const Shape& shape, DType dtype) {
    const auto a = random.normal(shape, dtype), b = random.normal(shape, dtype), positive = random.uniform(shape, 0, 4);
    check(gpu::add(a, b), combined(a, b, [](double x, double y) { return x + y; }));
    check(gpu::mul(a, b), combined(a, b, [](double x, double y) { return x * y; }));
    check(gpu::silu_mul(a, b), combined(a, b, [](double x, double y) { return logistic_times_x(x) * y; }));
    check(gpu::silu(a), mapped(a, logistic_times_x));
    check(gpu::square(a), mapped(a, [](double x) { return x * x; }));
    check(gpu::rsqrt(positive, 0.5f), mapped(positive, [](double x) { return std::pow(x + 0.5, -0.5); }));
    check(gpu::scale(a, -2.5f), mapped(a, [](double x) { return -2.5 * x; }));
    check(gpu::soft_cap(a, 0.75f), mapped(a, [](double x) { return 0.75 - 1.5 / (std::exp(x / 0.375) + 1); }));
  }
};

struct ElementwiseLengths : Elementwise, ::testing::WithParamInterface<std::size_t> {};
TEST_P(ElementwiseLengths, MatchTheirFormulas) { check_all({3, GetParam()}, DType::f32); }
TEST_P(ElementwiseLengths, MatchTheirFormulasInFloat16) { check_all({3, GetParam()}, DType::f16); }
INSTANTIATE_TEST_SUITE_P(Rows, ElementwiseLengths, ::testing::Values(1, 2, 3, 4, 5, 7, 12, 64, 1001));

TEST_F(Elementwise, TakesBfloat16) { check_all({2, 24}, DType::bf16); }
TEST_F(Elementwise, TakesAnyNumberOfAxes) {
  check_all({}, DType::f32);
  check_all({9}, DType::f32);
  check_all({2, 1, 3, 2, 5}, DType::f32);
}
TEST_F(Elementwise, TakesMoreElementsThanAGridAxisHasGroups) {
  const auto a = random.normal({2100001, 1}), b = random.normal({2100001, 1});
  check(gpu::add(a, b), combined(a, b, [](double x, double y) { return x + y; }));
}

TEST_F(Elementwise, AddsAndMultipliesByOneRowForAll) {
  for (const std::size_t n : {1, 3, 8, 20}) {
    const auto a = random.normal({2, 5, n});
    for (const auto& b : {random.normal({n}), random.normal({1, 1, n})}) {
      const auto x = a.values(), row = b.values();
      std::vector<double> sum, product;
      for (std::size_t i = 0; i < 10; ++i)
        for (std::size_t j = 0; j < n; ++j) {
          sum.push_back(x[i * n + j] + row[j]);
          product.push_back(x[i * n + j] * row[j]);
        }
      check(gpu::add(a, b), sum);
      check(gpu::mul(a, b), product);
    }
  }
}
TEST_F(Elementwise, MultipliesByOneValueARow) {
  for (const std::size_t n : {1, 3, 8, 20}) {
    const auto a = random.normal({2, 5, n}), b = random.normal({2, 5, 1});
    const auto x = a.values(), factors = b.values();
    std::vector<double> product;
    for (std::size_t i = 0; i < 10; ++i)
      for (std::size_t j = 0; j < n; ++j) product.push_back(x[i * n + j] * factors[i]);
    check(gpu::mul(a, b), product);
  }
}
TEST_F(Elementwise, TellsARowFromAColumnOfASquare) {
  const auto a = array({2, 2}, {1, 1, 1, 1});
  EXPECT_THAT(gpu::mul(a, array({2}, {2, 3})).values(), ::testing::ElementsAre(2, 3, 2, 3));
  EXPECT_THAT(gpu::mul(a, array({2, 1}, {2, 3})).values(), ::testing::ElementsAre(2, 2, 3, 3));
}
TEST_F(Elementwise, MixesDtypes) {
  const auto a = random.normal({3, 12}, DType::f16), b = random.normal({3, 12}, DType::bf16);
  const auto y = gpu::add(a, b);
  EXPECT_EQ(y.dtype(), DType::f16);
  check(y, combined(a, b, [](double p, double q) { return p + q; }));
}
TEST_F(Elementwise, TakesTheSameArrayTwice) {
  const auto a = random.normal({5, 9});
  check(gpu::mul(a, a), mapped(a, [](double x) { return x * x; }));
}
TEST_F(Elementwise, ChainsWithoutCopies) {
  const auto a = random.normal({5, 9}), y = gpu::silu(gpu::add(gpu::square(a), a));
  EXPECT_EQ(gpu::Plan::record({gpu::silu(gpu::add(gpu::square(a), a))}).copies(), 0u);
  check(y, mapped(a, [](double x) { return logistic_times_x(x * x + x); }));
}

TEST_F(Elementwise, TakesHugeAndTinyValues) {
  const auto huge = random.normal({3, 11}, DType::f32, 1e37), tiny = random.normal({3, 11}, DType::f32, 1e-30);
  check(gpu::add(huge, tiny), combined(huge, tiny, [](double x, double y) { return x + y; }));
  check(gpu::mul(huge, tiny), combined(huge, tiny, [](double x, double y) { return x * y; }));
  check(gpu::scale(huge, 0.5f), mapped(huge, [](double x) { return 0.5 * x; }));
  check(gpu::soft_cap(huge, 30), mapped(huge, [](double x) { return std::copysign(30.0, x); }));
  check(gpu::soft_cap(tiny, 30), tiny.values());
  check(gpu::silu(tiny), mapped(tiny, [](double x) { return x / 2; }));
  check(gpu::silu(huge), mapped(huge, [](double x) { return std::max(x, 0.0); }));
  check(gpu::rsqrt(mul(huge, huge), 0), std::vector<double>(33, 0.0));
}
TEST_F(Elementwise, OverflowsToInfinityInTheOutputsDtype) {
  const auto x = array({2}, {300, -2}, DType::f16);
  EXPECT_THAT(gpu::square(x).values(), ::testing::ElementsAre(infinity, 4));
  EXPECT_THAT(gpu::square(array({2}, {1e20, -2})).values(), ::testing::ElementsAre(infinity, 4));
}
TEST_F(Elementwise, KeepsInfinitiesAndNan) {
  const auto x = array({4}, {infinity, -infinity, std::nan(""), 1});
  EXPECT_THAT(gpu::add(x, array({4}, {1, 1, 1, 1})).values(),
              ::testing::ElementsAre(infinity, -infinity, ::testing::IsNan(), 2));
  EXPECT_THAT(gpu::soft_cap(x, 2).values(), ::testing::ElementsAre(2, -2, ::testing::IsNan(), ::testing::_));
  EXPECT_EQ(gpu::silu(x).values()[0], infinity);
}
TEST_F(Elementwise, OfZeroIsExact) {
  EXPECT_THAT(gpu::silu(zeros({5})).values(), ::testing::Each(0.0));
  EXPECT_THAT(gpu::soft_cap(zeros({5}), 15).values(), ::testing::Each(0.0));
  EXPECT_THAT(gpu::silu_mul(random.normal({5}), zeros({5})).values(), ::testing::Each(0.0));
  EXPECT_THAT(gpu::rsqrt(zeros({5}), 0).values(), ::testing::Each(infinity));
}

TEST_F(Elementwise, MakesViewsContiguousAndCountsThem) {
  const auto a = random.normal({6, 5}).transpose({1, 0}), b = random.normal({7, 6}).slice(0, 1, 6);
  EXPECT_EQ(gpu::Plan::record({gpu::add(a, b)}).copies(), 2u);
  check(gpu::add(a, b), combined(a, b, [](double x, double y) { return x + y; }));
  const auto row = random.normal({1, 6}).broadcast_to({5, 6});
  EXPECT_EQ(gpu::Plan::record({gpu::mul(a.slice(0, 0, 5), row)}).copies(), 2u);
  check(gpu::mul(a, row), combined(a, row, [](double x, double y) { return x * y; }));
}

struct Mean : Elementwise, ::testing::WithParamInterface<std::size_t> {};
TEST_P(Mean, MatchesTheSumOverTheCount) {
  for (const auto dtype : {DType::f32, DType::f16}) {
    const auto x = random.uniform({2, 3, GetParam()}, 0.5, 2, dtype), y = gpu::mean(x);
    std::vector<double> expected(6, 0.0);
    const auto values = x.values();
    for (std::size_t i = 0; i < values.size(); ++i)
      expected[i / GetParam()] += values[i] / static_cast<double>(GetParam());
    EXPECT_EQ(y.shape(), (Shape{2, 3, 1}));
    check(y, expected);
  }
}
INSTANTIATE_TEST_SUITE_P(Rows, Mean, ::testing::Values(1, 2, 3, 5, 8, 36, 127, 4096, 16384));

TEST_F(Elementwise, RefusesWhatDoesNotFit) {
  const auto a = random.normal({2, 8}), ids = random.indices({2, 8}, 9);
  EXPECT_ERROR(gpu::add(a, zeros({7})), "[add] [7] does not broadcast to [2, 8]: expected the same shape");
  EXPECT_ERROR(gpu::mul(a, zeros({3, 1})), "[mul] [3, 1] does not broadcast to [2, 8]");
  EXPECT_ERROR(gpu::mul(a, zeros({8, 2})), "[mul] [8, 2] does not broadcast");
  EXPECT_ERROR(gpu::add(a, ids), "[add] takes float arrays with elements, received f32 [2, 8] and u32 [2, 8]");
  EXPECT_ERROR(gpu::silu_mul(a, zeros({8})), "[silu_mul] shapes must agree, received [2, 8] and [8]");
  EXPECT_ERROR(gpu::square(ids), "[square] takes a float array with elements, received u32 [2, 8]");
  EXPECT_ERROR(gpu::silu(zeros({0, 4})), "[silu] takes a float array with elements");
  EXPECT_ERROR(gpu::soft_cap(a, 0), "[soft_cap] cap must be positive and finite, received 0");
  EXPECT_ERROR(gpu::soft_cap(a, -3), "cap must be positive");
  EXPECT_ERROR(gpu::soft_cap(a, std::numeric_limits<float>::infinity()), "cap must be positive and finite");
  EXPECT_ERROR(gpu::mean(zeros({})), "[mean] takes a float array with elements and at least one axis");
}

}  // namespace
}  // namespace glassbox::testing
