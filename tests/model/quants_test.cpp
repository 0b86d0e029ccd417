#include "model/quants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "model/safetensors.h"
#include "tests/model/container_builder.h"

namespace glassbox::model {
namespace {

using glassbox::testing::raw;

std::vector<float> values_of(StorageType type, const std::string& bytes, std::size_t count) {
  std::vector<float> out(count);
  dequantize(type, std::as_bytes(std::span(bytes)), out);
  return out;
}

/// GGML's own dequantisation, recorded.
class Oracle : public ::testing::TestWithParam<std::pair<StorageType, std::string>> {};

TEST_P(Oracle, IsReproducedBitForBit) {
  REQUIRE_SHARED("oracle/ggml_quants.safetensors");
  const auto oracle = Safetensors::open(glassbox::testing::shared_dir() / "oracle/ggml_quants.safetensors");
  const auto& [type, name] = GetParam();
  const auto& expected = oracle.at("y_" + name);
  std::vector<float> values(gpu::element_count(expected.shape));
  dequantize(type, oracle.at("q_" + name).bytes, values);
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(values)), expected.bytes));
}

INSTANTIATE_TEST_SUITE_P(Quants, Oracle,
                         ::testing::Values(std::pair(StorageType::q8_0, "Q8_0"), std::pair(StorageType::q4_0, "Q4_0"),
                                           std::pair(StorageType::q4_1, "Q4_1"), std::pair(StorageType::q5_0, "Q5_0"),
                                           std::pair(StorageType::q5_1, "Q5_1"), std::pair(StorageType::q2_k, "Q2_K"),
                                           std::pair(StorageType::q3_k, "Q3_K"), std::pair(StorageType::q4_k, "Q4_K"),
                                           std::pair(StorageType::q5_k, "Q5_K"), std::pair(StorageType::q6_k, "Q6_K"),
                                           std::pair(StorageType::iq4_nl, "IQ4_NL"),
                                           std::pair(StorageType::iq4_xs, "IQ4_XS"),
                                           std::pair(StorageType::tq1_0, "TQ1_0"),
                                           std::pair(StorageType::tq2_0, "TQ2_0"),
                                           std::pair(StorageType::mxfp4, "MXFP4")),
                         [](const auto& test) { return test.param.second; });

// Float16 0x3800 is 0.5, 0x0001 is 2^-24; bfloat16 0xC020 is -2.5.
TEST(Quants, PassesFloat32Through) { EXPECT_EQ(values_of(StorageType::f32, raw(-1.25F), 1).at(0), -1.25F); }
TEST(Quants, WidensFloat16) { EXPECT_EQ(values_of(StorageType::f16, raw<std::uint16_t>(0x3800), 1).at(0), 0.5F); }
TEST(Quants, WidensSubnormalFloat16) {
  EXPECT_EQ(values_of(StorageType::f16, raw<std::uint16_t>(1), 1).at(0), 0x1p-24F);
}
TEST(Quants, WidensBfloat16) { EXPECT_EQ(values_of(StorageType::bf16, raw<std::uint16_t>(0xC020), 1).at(0), -2.5F); }

TEST(Quants, ReadsQ8Blocks) {
  std::string block = raw<std::uint16_t>(0x3800);
  for (int j = 0; j < 32; ++j) block += static_cast<char>(j - 128);
  const auto values = values_of(StorageType::q8_0, block, 32);
  for (int j = 0; j < 32; ++j) EXPECT_EQ(values[static_cast<std::size_t>(j)], 0.5F * static_cast<float>(j - 128)) << j;
}

TEST(Quants, ReadsQ4BlocksLowNibblesFirst) {
  std::string block = raw<std::uint16_t>(0x3800);
  for (int j = 0; j < 16; ++j) block += static_cast<char>(j | (15 - j) << 4);
  const auto values = values_of(StorageType::q4_0, block, 32);
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(values[static_cast<std::size_t>(j)], 0.5F * static_cast<float>(j - 8)) << j;
    EXPECT_EQ(values[static_cast<std::size_t>(j + 16)], 0.5F * static_cast<float>(7 - j)) << j;
  }
}

/// A block of q4_k whose bits follow from sums and remainders alone: scale and min j and quant i are written down where
/// the format has them, one by one.
TEST(Quants, ReadsQ4KScalesAndMins) {
  const auto scale = [](int j) { return 5 + 8 * j; };  // 5 to 61
  const auto min = [](int j) { return 60 - 7 * j; };   // 60 to 11
  std::array<int, 12> packed{};
  for (int j = 0; j < 4; ++j) {
    packed.at(static_cast<std::size_t>(j)) = scale(j) + scale(j + 4) / 16 * 64;
    packed.at(static_cast<std::size_t>(j) + 4) = min(j) + min(j + 4) / 16 * 64;
    packed.at(static_cast<std::size_t>(j) + 8) = scale(j + 4) % 16 + min(j + 4) % 16 * 16;
  }
  std::string block = raw<std::uint16_t>(0x3800) + raw<std::uint16_t>(0x3400);  // 0.5, 0.25
  for (const int byte : packed) block += static_cast<char>(byte);
  for (int i = 0; i < 128; ++i) block += static_cast<char>(i % 16 | (15 - i % 16) << 4);
  const auto values = values_of(StorageType::q4_k, block, 256);
  for (int i = 0; i < 256; ++i) {
    const int q = i % 64 < 32 ? i % 16 : 15 - i % 16;
    EXPECT_EQ(values[static_cast<std::size_t>(i)], 0.5 * scale(i / 32) * q - 0.25 * min(i / 32)) << i;
  }
}

TEST(Quants, RefusesPartOfABlock) { EXPECT_ERROR(values_of(StorageType::q4_0, std::string(17, 'x'), 32), "q4_0"); }
TEST(Quants, RefusesPartOfABlockOfValues) {
  EXPECT_ERROR(values_of(StorageType::q8_0, std::string(34, 'x'), 33), "33 values");
}
TEST(Quants, RefusesTooFewBytes) { EXPECT_ERROR(values_of(StorageType::f32, "abcd", 2), "[dequantize] 4 bytes"); }

TEST(StorageTypes, AreFoundByTheContainersNames) {
  EXPECT_EQ(find_storage_type("BF16"), StorageType::bf16);
  EXPECT_EQ(find_storage_type("q8_0"), StorageType::q8_0);
  EXPECT_EQ(find_storage_type("Q4_K"), StorageType::q4_k);
  EXPECT_EQ(find_storage_type("Q8_1"), std::nullopt);
  EXPECT_EQ(find_storage_type(""), std::nullopt);
}
TEST(CheckedSize, CountsBlocks) { EXPECT_EQ(checked_size({3, 64}, 32, 18), 3U * 2 * 18); }
TEST(CheckedSize, OfAScalarIsOneElement) { EXPECT_EQ(checked_size({}, 1, 4), 4U); }
TEST(CheckedSize, RefusesARowOfPartBlocks) { EXPECT_EQ(checked_size({32, 31}, 32, 18), std::nullopt); }
TEST(CheckedSize, RefusesOverflow) { EXPECT_EQ(checked_size({1UL << 40, 1UL << 40}, 1, 4), std::nullopt); }
TEST(CheckedSize, RefusesOverflowInBytes) { EXPECT_EQ(checked_size({1UL << 62}, 1, 8), std::nullopt); }

}  // namespace
}  // namespace glassbox::model
