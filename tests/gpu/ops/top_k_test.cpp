#include "gpu/ops/top_k.h"

#include <set>

#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::argmax;
using gpu::Array;
using gpu::DType;
using gpu::Shape;
using gpu::top_k;

/// Rank of an element: how many stand before it, larger or equal with a lower index. The k largest are ranks 0..k-1.
void check_top_k(const Array& x, std::size_t k) {
  SCOPED_TRACE(fmt::format("{} {} k {}", name_of(x.dtype()), x.shape(), k));
  const auto [values, indices] = top_k(x, k);
  expect_within_tolerance(values);
  const auto in = x.values(), found = values.values(), at = indices.values();
  const std::size_t n = x.last();
  for (std::size_t row = 0; row < x.rows(); ++row) {
    std::set<std::pair<double, double>> order;  // (-value, index)
    for (std::size_t i = 0; i < n; ++i) order.insert({-in[row * n + i], static_cast<double>(i)});
    auto next = order.begin();
    for (std::size_t i = 0; i < k; ++i, ++next) {
      ASSERT_EQ(found[row * k + i], -next->first) << "value " << i << " of row " << row;
      ASSERT_EQ(at[row * k + i], next->second) << "index " << i << " of row " << row;
    }
  }
}

void check_argmax(const Array& x) {
  SCOPED_TRACE(fmt::format("{} {}", name_of(x.dtype()), x.shape()));
  const auto y = argmax(x);
  expect_within_tolerance(y);
  const auto in = x.values(), found = y.values();
  for (std::size_t row = 0; row < x.rows(); ++row) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < x.last(); ++i)
      if (in[row * x.last() + i] > in[row * x.last() + best]) best = i;
    ASSERT_EQ(found[row], static_cast<double>(best)) << "row " << row;
  }
}

struct TopKLengths : GpuTest, ::testing::WithParamInterface<std::size_t> {};
TEST_P(TopKLengths, FindTheLargestInOrder) {
  const auto n = GetParam();
  for (const auto dtype : {DType::f32, DType::f16}) {
    const auto x = random.normal({3, n}, dtype);
    check_argmax(x);
    check_top_k(x, 1);
    check_top_k(x, random.integer(1, std::min<std::size_t>(n, 40)));
  }
}
TEST_P(TopKLengths, PreferTheLowerIndexWhereEqual) {
  std::vector<double> values(3 * GetParam());
  for (auto& v : values) v = static_cast<double>(random.integer(0, 2)) - 1;
  const auto x = array({3, GetParam()}, values);
  check_argmax(x);
  check_top_k(x, std::min<std::size_t>(GetParam(), 20));
}
INSTANTIATE_TEST_SUITE_P(Rows, TopKLengths, ::testing::Values(1, 2, 3, 4, 5, 7, 12, 64, 129, 5003));

class TopK : public GpuTest {};
TEST_F(TopK, SortsAWholeRow) { check_top_k(random.normal({2, 50}), 50); }
TEST_F(TopK, TakesAVectorAndManyAxes) {
  EXPECT_EQ(argmax(random.normal({9})).shape(), (Shape{}));
  EXPECT_EQ(argmax(random.normal({2, 3, 9})).shape(), (Shape{2, 3}));
  EXPECT_EQ(top_k(random.normal({2, 3, 9}), 4).second.shape(), (Shape{2, 3, 4}));
  check_argmax(random.normal({2, 3, 9}));
  check_top_k(random.normal({2, 3, 9}), 4);
}
TEST_F(TopK, TakesMoreRowsThanAGridAxisHasGroups) { check_argmax(random.normal({66000, 3})); }
TEST_F(TopK, OfEqualValuesIsTheFirst) {
  check_argmax(zeros({2, 33}));
  check_top_k(zeros({2, 33}), 33);
}
TEST_F(TopK, KnowsInfinitiesHugeTinyAndNegativeValues) {
  const auto x = array({4, 4}, {-infinity, -infinity, -infinity, -infinity, -infinity, 5, infinity, infinity, -3e38,
                                -2e38, -3.3e38, -1e-30, 1e-30, 2e-30, -1e-30, 1e-30});
  check_argmax(x);
  check_top_k(x, 4);
}
/// llvmpipe ends an invocation's loops, silently, after 65535 iterations: k passes over a vocabulary are more.
TEST_F(TopK, GoesOnWhereADispatchEnds) { check_top_k(random.normal({2, 40001}), 60); }
TEST_F(TopK, FindsTheLastOfAVeryLongRow) {
  std::vector<double> values(3000001, 0.25);
  values.back() = 0.5;
  const auto x = array({1, 3000001}, values);
  EXPECT_EQ(argmax(x).values()[0], 3000000);
  EXPECT_EQ(top_k(x, 2).second.values(), (std::vector<double>{3000000, 0}));
}
TEST_F(TopK, TakesViews) {
  check_argmax(random.normal({9, 4}).transpose({1, 0}));
  check_top_k(random.normal({4, 9}).slice(1, 1, 8), 3);
  check_top_k(random.normal({1, 9}).broadcast_to({3, 9}), 3);
}
TEST_F(TopK, RefusesWhatHasNoLargest) {
  EXPECT_ERROR(argmax(zeros({})), "[argmax] takes a float array with rows of 1 to 2^24 - 1 elements, received f32 []");
  EXPECT_ERROR(argmax(zeros({3, 0})), "received f32 [3, 0]");
  EXPECT_ERROR(top_k(random.indices({3}, 4), 1), "[top_k] takes a float array");
  EXPECT_ERROR(top_k(zeros({2, 8}), 0), "[top_k] k must be 1 to 8 for x [2, 8], received 0");
  EXPECT_ERROR(top_k(zeros({2, 8}), 9), "received 9");
  EXPECT_ERROR(argmax(zeros({1}).broadcast_to({1u << 24})), "2^24 - 1 elements");
}

}  // namespace
}  // namespace glassbox::testing
