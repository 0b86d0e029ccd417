#include "gpu/ops/copy.h"

#include <cmath>

#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::cast;
using gpu::copy;
using gpu::DType;
using gpu::Shape;

void check_copy(const Array& x) {
  SCOPED_TRACE(fmt::format("{} {}", name_of(x.dtype()), x.shape()));
  const auto y = copy(x);
  expect_within_tolerance(y);
  EXPECT_TRUE(y.contiguous());
  EXPECT_TRUE(y.bytes() == x.bytes());
}

/// To nearest even by scaling to integers; overflow beyond half a step over the largest.
double rounded(double v, int mantissa_bits, int min_exponent, double largest) {
  if (v == 0 || !std::isfinite(v)) return v;
  const int exponent = std::max(std::ilogb(v), min_exponent) - mantissa_bits;
  const double near = std::ldexp(std::nearbyint(std::ldexp(v, -exponent)), exponent);
  return std::abs(near) > largest ? std::copysign(infinity, v) : near;
}
double to_half(double v) { return rounded(v, 10, -14, 65504); }
double to_bfloat16(double v) { return rounded(v, 7, -126, 3.3895313892515355e38); }

class Copy : public GpuTest {};

struct CopyDtypes : Copy, ::testing::WithParamInterface<DType> {
  Array fresh(const Shape& shape) {
    return gpu::is_float(GetParam()) ? random.normal(shape, GetParam()) : random.uniform(shape, 0, 2e9, GetParam());
  }
};
TEST_P(CopyDtypes, AreTheSameBits) {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{7}, Shape{8}, Shape{3, 5}, Shape{2, 3, 4, 5}})
    check_copy(fresh(shape));
}
TEST_P(CopyDtypes, AreTheSameBitsThroughAnyView) {
  const auto x = fresh({4, 6, 5});
  check_copy(x.transpose({2, 0, 1}));
  check_copy(x.transpose({1, 0, 2}).slice(0, 1, 4));
  check_copy(x.slice(0, 1, 3));
  check_copy(x.slice(2, 1, 4).slice(1, 2, 3));
  check_copy(x.slice(1, 3, 4).broadcast_to({4, 3, 5}));
  check_copy(fresh({5}).broadcast_to({2, 3, 5}));
  check_copy(fresh({1}).broadcast_to({9}));
  check_copy(fresh({1, 2, 3, 1, 2, 3}).transpose({5, 4, 3, 2, 1, 0}));
}
INSTANTIATE_TEST_SUITE_P(All, CopyDtypes,
                         ::testing::Values(DType::f32, DType::f16, DType::bf16, DType::u32, DType::i32),
                         [](const auto& dtype) { return std::string(name_of(dtype.param)); });

TEST_F(Copy, KeepsEveryBitOfIntegers) {
  std::vector<std::uint32_t> words{0, 0x80000000, 1, 0x007fffff, 0x7f800000, 0xff800000, 0x3f800001};
  for (int i = 0; i < 1000; ++i) words.push_back(static_cast<std::uint32_t>(random.engine()()));
  for (const auto dtype : {DType::u32, DType::i32})
    check_copy(Array::from_bytes({words.size()}, dtype, std::as_bytes(std::span(words))));
}
TEST_F(Copy, TakesLargeMatricesAcross) { check_copy(random.normal({517, 301}).transpose({1, 0})); }
TEST_F(Copy, OfNothingIsNothing) { EXPECT_TRUE(copy(zeros({0, 3})).bytes().empty()); }
TEST_F(Copy, IsWhatReshapeOfAViewDoes) {
  const auto x = array({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(x.transpose({1, 0}).reshape({6}).values(), ::testing::ElementsAre(1, 4, 2, 5, 3, 6));
}
TEST_F(Copy, RefusesSevenAxes) {
  EXPECT_ERROR(copy(zeros({1, 1, 1, 1, 1, 1, 2})), "[copy] at most 6 axes, received [1, 1, 1, 1, 1, 1, 2]");
}

TEST_F(Copy, CastsToNearestEven) {
  std::vector<double> values{0, -0.0, 1, 65504, 65519.99, 65520, -65520, 1e30, -1e30, 3.4e38, 5.9e-8, 6.1e-5, 2.98e-8};
  for (int exponent = -26; exponent < 17; ++exponent)
    for (int i = 0; i < 60; ++i)
      values.push_back(std::ldexp(1 + static_cast<double>(random.integer(0, 4096)) / 4096, exponent) *
                       (i % 2 ? 1 : -1));
  const auto x = array({values.size()}, values);
  EXPECT_EQ(cast(x, DType::f16).values(), mapped(x, to_half));
  EXPECT_EQ(cast(x, DType::bf16).values(), mapped(x, to_bfloat16));
}
TEST_F(Copy, CastsTiesToEven) {
  const auto x = array({4}, {1 + 1.0 / 2048, 1 + 3.0 / 2048, 1 + 1.0 / 256, 1 + 3.0 / 256});
  EXPECT_THAT(cast(x.slice(0, 0, 2), DType::f16).values(), ::testing::ElementsAre(1, 1 + 2.0 / 1024));
  EXPECT_THAT(cast(x.slice(0, 2, 4), DType::bf16).values(), ::testing::ElementsAre(1, 1 + 2.0 / 128));
}
TEST_F(Copy, CastsInfinitiesAndNan) {
  for (const auto dtype : {DType::f16, DType::bf16})
    EXPECT_THAT(cast(array({4}, {infinity, -infinity, std::nan(""), 1}), dtype).values(),
                ::testing::ElementsAre(infinity, -infinity, ::testing::IsNan(), 1));
}
TEST_F(Copy, WidensExactly) {
  for (const auto dtype : {DType::f16, DType::bf16})
    for (const Shape& shape : {Shape{7}, Shape{3, 5}, Shape{4, 8}}) {
      const auto x = random.normal(shape, dtype);
      EXPECT_EQ(cast(x, DType::f32).values(), x.values());
      EXPECT_EQ(cast(cast(x, DType::f32), dtype).values(), x.values());
    }
}
TEST_F(Copy, WidensSubnormalHalves) {
  std::vector<double> values;
  for (int i = 0; i < 1024; ++i) values.push_back(std::ldexp(i, -24));
  EXPECT_EQ(cast(array({1024}, values, DType::f16), DType::f32).values(), values);
}
TEST_F(Copy, CastsViews) {
  const auto x = random.normal({5, 6}).transpose({1, 0});
  EXPECT_EQ(cast(x, DType::f16).values(), mapped(x, to_half));
}
TEST_F(Copy, CastsBetweenFloatsAlone) {
  const auto x = random.normal({3});
  EXPECT_EQ(cast(x, DType::f32).data(), x.data());
  EXPECT_ERROR(cast(x, DType::u32), "[cast] between float dtypes alone, received f32 to u32");
  EXPECT_ERROR(cast(random.indices({3}, 4), DType::f32), "received u32 to f32");
}

}  // namespace
}  // namespace glassbox::testing
