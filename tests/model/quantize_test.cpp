#include "model/quantize.h"

#include <gtest/gtest.h>

#include <Eigen/Core>
#include <cmath>
#include <random>

#include "model/gguf.h"
#include "model/quants.h"
#include "model/safetensors.h"
#include "tests/model/container_builder.h"

namespace glassbox::model {
namespace {

using glassbox::testing::shared_dir;

std::vector<float> dequantized(StorageType type, std::span<const std::byte> bytes) {
  std::vector<float> out(bytes.size() / bytes_per_block(type) * elements_per_block(type));
  dequantize(type, bytes, out);
  return out;
}
std::vector<float> rounded(StorageType type, std::span<const float> values) {
  return dequantized(type, quantize(type, values));
}
double squared_error(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (double(a[i]) - b[i]) * (double(a[i]) - b[i]);
  return sum;
}
/// Four blocks each of values that are symmetric, of one sign, of few outliers, tiny and all equal.
std::vector<float> samples() {
  std::mt19937 random(std::random_device{}());
  std::normal_distribution<float> normal;
  std::vector<float> values;
  for (int i = 0; i < 5 * 1024; ++i) {
    const float x = normal(random);
    const int kind = i / 1024;
    values.push_back(kind == 0   ? x
                     : kind == 1 ? 3 + 0.1F * x
                     : kind == 2 ? x * x * x * x * x
                     : kind == 3 ? 1e-4F * x - 2e-4F
                                 : 0.375F);
  }
  return values;
}

/// GGML's quantisation of the same values, recorded.
class GgmlBlocks : public ::testing::TestWithParam<std::pair<StorageType, std::string>> {
 protected:
  void SetUp() override { REQUIRE_SHARED("oracle/ggml_quants.safetensors"); }
  Safetensors file = Safetensors::open(shared_dir() / "oracle/ggml_quants.safetensors");
  std::vector<float> values() const {
    const auto x = file.values("x");
    return {x.begin(), x.end()};
  }
};
class SameBytes : public GgmlBlocks {};
TEST_P(SameBytes, AsGgml) {
  const auto& [type, name] = GetParam();
  EXPECT_TRUE(std::ranges::equal(quantize(type, values()), file.at("q_" + name).bytes));
}
INSTANTIATE_TEST_SUITE_P(Quantize, SameBytes,
                         ::testing::Values(std::pair(StorageType::q8_0, "Q8_0"), std::pair(StorageType::q4_0, "Q4_0"),
                                           std::pair(StorageType::q4_1, "Q4_1"), std::pair(StorageType::q5_0, "Q5_0"),
                                           std::pair(StorageType::q5_1, "Q5_1")),
                         [](const auto& test) { return test.param.second; });
class NoWorse : public GgmlBlocks {};
TEST_P(NoWorse, ThanGgml) {
  const auto& [type, name] = GetParam();
  const auto x = values();
  const double theirs = squared_error(dequantized(type, file.at("q_" + name).bytes), x);
  EXPECT_LE(std::sqrt(squared_error(rounded(type, x), x)), 1.02 * std::sqrt(theirs));
}
INSTANTIATE_TEST_SUITE_P(Quantize, NoWorse,
                         ::testing::Values(std::pair(StorageType::q4_k, "Q4_K"), std::pair(StorageType::q5_k, "Q5_K"),
                                           std::pair(StorageType::q6_k, "Q6_K")),
                         [](const auto& test) { return test.param.second; });

/// Real weights: the files that llama.cpp made of the float32 one.
TEST(Quantize, GivesTheTensorsOfShippedFiles) {
  REQUIRE_SHARED("models/stories260K");
  const auto open = [](std::string_view type) {
    return Gguf::open(shared_dir() / fmt::format("models/stories260K/stories260K-{}.gguf", type));
  };
  const auto f32 = open("f32");
  for (const auto type : {StorageType::f16, StorageType::q8_0, StorageType::q4_0}) {
    const auto shipped = open(name_of(type));
    int compared = 0;
    for (const auto& tensor : shipped.weights().tensors()) {
      if (tensor.type != type) continue;
      EXPECT_TRUE(std::ranges::equal(quantize(type, dequantize(f32.weights().at(tensor.name))), tensor.bytes))
          << name_of(type) << " " << tensor.name;
      ++compared;
    }
    EXPECT_GE(compared, 31) << name_of(type);
  }
}

/// A float with the lowest bits of the mantissa that the type drops set to exactly half, above an even and an odd one.
TEST(Quantize, HalvesRoundToNearestTiesToEven) {
  const std::vector<float> values{1 + 0x1p-11F, 1 + 0x3p-11F, 1 + 0x1.8p-11F, -0x1p-25F, 0x1.8p-24F};
  EXPECT_EQ(rounded(StorageType::f16, values), (std::vector<float>{1, 1 + 0x1p-9F, 1 + 0x1p-10F, -0.0F, 0x1p-23F}));
  EXPECT_EQ(rounded(StorageType::bf16, std::vector<float>{1 + 0x1p-8F, 1 + 0x3p-8F, 1 + 0x1.8p-8F}),
            (std::vector<float>{1, 1 + 0x1p-6F, 1 + 0x1p-7F}));
}
TEST(Quantize, Float32IsCopied) {
  const std::vector<float> values{1.5F, -0.0F, 1e-45F, 3e38F};
  EXPECT_TRUE(std::ranges::equal(quantize(StorageType::f32, values), std::as_bytes(std::span(values))));
}
TEST(Quantize, Q8RoundsHalvesAwayFromZero) {
  std::vector<float> values(32, 0.0F);  // a step of 1
  for (const auto& [at, value] : {std::pair(0, 127.0F), {1, 2.5F}, {2, -2.5F}, {3, 2.4F}}) values[at] = value;
  const auto out = rounded(StorageType::q8_0, values);
  EXPECT_EQ(std::vector(out.begin(), out.begin() + 5), (std::vector<float>{127, 3, -3, 2, 0}));
}
TEST(Quantize, TheLargestMagnitudeIsTheLowestLevelOfQ4) {
  std::vector<float> values(32, 0.0F);
  values[5] = 8, values[20] = -8, values[6] = -6.6F, values[7] = 1.4F;  // the first of the two largest counts
  const auto out = rounded(StorageType::q4_0, values);
  EXPECT_EQ(out[5], 8);
  EXPECT_EQ(out[20], -7) << "its level would be 16 and there are 16";
  EXPECT_EQ(out[6], -7);
  EXPECT_EQ(out[7], 1);
  EXPECT_EQ(quantize(StorageType::q4_0, std::vector<float>(32, 0.0F)).at(1), std::byte{0x80}) << "GGML: d = 0 / -8";
}

/// A plain quantiser of the same levels, written down without any search, has no smaller error: each group of 32 (16)
/// from its own smallest value, with steps that need not be stored in few bits.
class KQuants : public ::testing::TestWithParam<StorageType> {};
TEST_P(KQuants, AreAtLeastAsGoodAsStepsFromMinToMax) {
  const auto values = samples();
  const int levels = GetParam() == StorageType::q4_k ? 16 : GetParam() == StorageType::q5_k ? 32 : 64;
  const std::size_t size = levels == 64 ? 16 : 32;
  std::vector<float> plain;
  for (std::size_t at = 0; at < 1024; at += size) {  // the symmetric ones: elsewhere 6-bit scales show
    const auto group = std::span(values).subspan(at, size);
    const auto [low, high] = std::ranges::minmax(group);
    const float largest = std::max(-low, high);
    const float step = levels == 64 ? largest / 31 : (high - low) / float(levels - 1), zero = levels == 64 ? 0 : low;
    for (const float x : group) plain.push_back(zero + std::round((x - zero) / step) * step);
  }
  const auto symmetric = std::span(values).first(1024);
  EXPECT_LT(squared_error(rounded(GetParam(), symmetric), symmetric), squared_error(plain, symmetric));
}
/// Half a step of a group, and what 6 bits (8 for q6_k) and float16 make of scale and min.
TEST_P(KQuants, KeepEveryKindOfValues) {
  const auto values = samples();
  const auto out = rounded(GetParam(), values);
  const double levels = GetParam() == StorageType::q4_k ? 16 : GetParam() == StorageType::q5_k ? 32 : 64;
  for (std::size_t block = 0; block < values.size(); block += 256) {
    const auto x = std::span(values).subspan(block, 256);
    const auto [low, high] = std::ranges::minmax(x);
    const double range = std::max(high, 0.0F) - std::min(low, 0.0F);
    EXPECT_LE(std::sqrt(squared_error(std::span(out).subspan(block, 256), x) / 256),
              range * (0.5 / (levels - 1) + 0.5 / 63 + 0x1p-11))
        << "block " << block / 256;
  }
}
TEST_P(KQuants, KeepZerosAndNegativeConstants) {
  EXPECT_EQ(rounded(GetParam(), std::vector<float>(256, 0.0F)), std::vector<float>(256, 0.0F));
  const auto constant = rounded(GetParam(), std::vector<float>(256, -0.75F));
  for (const float value : constant) EXPECT_NEAR(value, -0.75, 0.75 * 0x1p-10);
}
/// Values that the format holds lose little the second time: scales are integers of 6 bits (8 for q6_k), so that half
/// of 1/63 of the largest is lost of one where another d is found, 1e-4 of the power; the first rounding of q5_k loses
/// 1e-3.
TEST_P(KQuants, AreStable) {
  const auto values = samples();
  const auto normal = std::span(values).first(1024);
  const auto once = rounded(GetParam(), normal);
  EXPECT_LE(squared_error(rounded(GetParam(), once), once), 0.25 * squared_error(once, normal));
}
INSTANTIATE_TEST_SUITE_P(Quantize, KQuants, ::testing::Values(StorageType::q4_k, StorageType::q5_k, StorageType::q6_k),
                         [](const auto& test) { return std::string(name_of(test.param)); });

TEST(Quantize, SurvivesTheSmallestValues) {
  for (const auto type : quantizable_types()) {
    std::vector<float> values(256, 1e-44F);
    values[3] = -1e-40F;
    for (const float value : rounded(type, values)) EXPECT_LE(std::fabs(value), 1e-7F) << name_of(type);
  }
}
TEST(Quantize, RefusesWhatTheTypeCannotHold) {
  for (const auto type : quantizable_types())
    for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
      std::vector<float> values(256, 1.0F);
      values[200] = bad;
      EXPECT_ERROR(quantize(type, values), fmt::format("does not fit {}", name_of(type)));
    }
  EXPECT_ERROR(quantize(StorageType::f16, std::vector<float>{65520}), "65520 does not fit f16");
  EXPECT_ERROR(quantize(StorageType::bf16, std::vector<float>{3.4e38F}), "does not fit bf16");
  EXPECT_EQ(rounded(StorageType::q8_0, std::vector<float>(32, 65504)).at(0), 516.0F * 127)
      << "65504/127 in float16 is 516";
}
TEST(Quantize, RefusesPartOfABlock) {
  EXPECT_ERROR(quantize(StorageType::q4_0, std::vector<float>(33)),
               "33 values are no whole number of q4_0 blocks of 32");
  EXPECT_ERROR(quantize(StorageType::q4_k, std::vector<float>(128)), "blocks of 256");
}
TEST(Quantize, RefusesTypesThatAreOnlyRead) {
  EXPECT_ERROR(quantize(StorageType::q2_k, std::vector<float>(256)), "q2_k is only read, expected one of f32, f16");
}

}  // namespace
}  // namespace glassbox::model
