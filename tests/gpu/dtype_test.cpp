#include "gpu/dtype.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tests/support.h"

namespace glassbox::testing {
namespace {

using gpu::DType;
using ::testing::ElementsAre;

double from_bits(std::uint16_t bits, DType dtype) {
  return gpu::to_float64(std::as_bytes(std::span(&bits, 1)), dtype).front();
}
std::uint16_t to_bits(double value, DType dtype) {
  const auto bytes = gpu::from_float64({&value, 1}, dtype);
  std::uint16_t bits;
  std::memcpy(&bits, bytes.data(), 2);
  return bits;
}
template <class T>
T to_integer(double value, DType dtype) {
  const auto bytes = gpu::from_float64({&value, 1}, dtype);
  T integer;
  std::memcpy(&integer, bytes.data(), sizeof integer);
  return integer;
}

/// IEEE 754: sign, exponent, mantissa.
double decoded(std::uint16_t bits, int mantissa_bits) {
  const int exponent_bits = 15 - mantissa_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = bits >> mantissa_bits & ((1 << exponent_bits) - 1), mantissa = bits & ((1 << mantissa_bits) - 1);
  const double magnitude =
      exponent == (1 << exponent_bits) - 1
          ? (mantissa ? std::nan("") : infinity)
          : std::ldexp(mantissa + (exponent ? 1 << mantissa_bits : 0), std::max(exponent, 1) - bias - mantissa_bits);
  return bits & 0x8000 ? -magnitude : magnitude;
}

struct NarrowDType : ::testing::TestWithParam<std::pair<DType, int>> {};
INSTANTIATE_TEST_SUITE_P(All, NarrowDType, ::testing::Values(std::pair(DType::f16, 10), std::pair(DType::bf16, 7)),
                         [](const auto& type) { return std::string(gpu::name_of(type.param.first)); });

TEST_P(NarrowDType, ReadsAndWritesEveryPattern) {
  const auto [dtype, mantissa_bits] = GetParam();
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const auto pattern = static_cast<std::uint16_t>(bits);
    const double value = decoded(pattern, mantissa_bits);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(from_bits(pattern, dtype))) << bits;
      EXPECT_TRUE(std::isnan(decoded(to_bits(value, dtype), mantissa_bits))) << bits;
      continue;
    }
    ASSERT_EQ(std::bit_cast<std::uint64_t>(from_bits(pattern, dtype)), std::bit_cast<std::uint64_t>(value)) << bits;
    ASSERT_EQ(to_bits(value, dtype), pattern) << value;
  }
}

TEST_P(NarrowDType, RoundsOnceToNearestEven) {
  const auto [dtype, mantissa_bits] = GetParam();
  const unsigned largest = static_cast<unsigned>((1 << (15 - mantissa_bits)) - 1) << mantissa_bits;
  for (unsigned bits = 0; bits + 1 < largest; ++bits) {
    const double low = decoded(static_cast<std::uint16_t>(bits), mantissa_bits);
    const double high = decoded(static_cast<std::uint16_t>(bits + 1), mantissa_bits);
    const double middle = (low + high) / 2, hair = (high - low) * 0x1p-30;  // less than float32 tells apart
    ASSERT_EQ(to_bits(middle, dtype), bits % 2 ? bits + 1 : bits) << middle;
    ASSERT_EQ(to_bits(middle - hair, dtype), bits) << middle;
    ASSERT_EQ(to_bits(middle + hair, dtype), bits + 1) << middle;
  }
  const auto top = static_cast<std::uint16_t>(largest - 1);
  const double half_step =
      (decoded(top, mantissa_bits) - decoded(static_cast<std::uint16_t>(top - 1), mantissa_bits)) / 2;
  EXPECT_EQ(to_bits(decoded(top, mantissa_bits) + half_step * 0.999999, dtype), top);
  EXPECT_EQ(to_bits(decoded(top, mantissa_bits) + half_step, dtype), largest);
  EXPECT_EQ(to_bits(-1e300, dtype), largest | 0x8000u);
}

TEST(DType, HasASizeAndAName) {
  EXPECT_EQ(gpu::size_of(DType::f32) + gpu::size_of(DType::u32) + gpu::size_of(DType::i32), 12u);
  EXPECT_EQ(gpu::size_of(DType::f16) + gpu::size_of(DType::bf16), 4u);
  EXPECT_EQ(gpu::name_of(DType::bf16), "bf16");
  EXPECT_TRUE(gpu::is_float(DType::f16) && !gpu::is_float(DType::u32) && !gpu::is_float(DType::i32));
}

TEST(DType, TruncatesAndClampsIntegers) {
  EXPECT_EQ(to_integer<std::uint32_t>(3.99, DType::u32), 3u);
  EXPECT_EQ(to_integer<std::uint32_t>(4294967295.0, DType::u32), 4294967295u);
  EXPECT_EQ(to_integer<std::uint32_t>(1e300, DType::u32), 4294967295u);
  EXPECT_EQ(to_integer<std::uint32_t>(-1, DType::u32), 0u);
  EXPECT_EQ(to_integer<std::uint32_t>(std::nan(""), DType::u32), 0u);
  EXPECT_EQ(to_integer<std::int32_t>(-3.99, DType::i32), -3);
  EXPECT_EQ(to_integer<std::int32_t>(-infinity, DType::i32), std::numeric_limits<std::int32_t>::min());
}

TEST(DType, ReadsIntegersExactly) {
  const std::uint32_t large[] = {0u, 16777217u, 4294967295u};
  EXPECT_THAT(gpu::to_float64(std::as_bytes(std::span(large)), DType::u32), ElementsAre(0, 16777217, 4294967295.0));
  EXPECT_THAT(gpu::to_float64(std::as_bytes(std::span(large)), DType::i32), ElementsAre(0, 16777217, -1));
}

TEST(ElementCount, IsTheProductOfTheAxes) {
  EXPECT_EQ(gpu::element_count({}), 1u);
  EXPECT_EQ(gpu::element_count({3, 4, 5}), 60u);
}
TEST(ElementCount, OfAnEmptyAxisIsZeroWhateverTheOthersAre) {
  EXPECT_EQ(gpu::element_count({std::size_t{1} << 63, 0, std::size_t{1} << 63}), 0u);
}
TEST(ElementCount, RefusesToOverflow) {
  EXPECT_ERROR(gpu::element_count({std::size_t{1} << 33, std::size_t{1} << 33}), "too large");
  EXPECT_ERROR(gpu::element_count({std::numeric_limits<std::size_t>::max()}), "too large");
}

}  // namespace
}  // namespace glassbox::testing
