#include "gpu/ops/kv_cache.h"

#include <cmath>

#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::CacheType;
using gpu::DType;
using gpu::Dynamic;
using gpu::kv_pack;
using gpu::kv_unpack;

/// cache[head][first + t] = x[t][head], rounded into the cache's dtype; everything else as it was.
std::vector<double> packed(std::vector<double> cache, std::size_t capacity, const Array& x, std::size_t first,
                           DType dtype) {
  const std::size_t tokens = x.shape()[0], heads = x.shape()[1], d = x.last();
  const auto values = gpu::to_float64(gpu::from_float64(x.values(), dtype), dtype);
  for (std::size_t h = 0; h < heads; ++h)
    for (std::size_t t = 0; t < tokens && first + t < capacity; ++t)
      for (std::size_t i = 0; i < d; ++i) cache[(h * capacity + first + t) * d + i] = values[(t * heads + h) * d + i];
  return cache;
}

class KvCache : public GpuTest {
 protected:
  void check_pack(std::size_t heads, std::size_t capacity, std::size_t d, std::size_t tokens, std::uint32_t first,
                  DType dtype, DType x_dtype = DType::f32) {
    SCOPED_TRACE(fmt::format("{} [{}, {}, {}], {} at {}", name_of(dtype), heads, capacity, d, tokens, first));
    const auto cache = random.normal({heads, capacity, d}, dtype), x = random.normal({tokens, heads, d}, x_dtype);
    const auto before = cache.values();
    const auto after = kv_pack(cache, x, Dynamic(first));
    expect_within_tolerance(after);
    EXPECT_EQ(after.values(), packed(before, capacity, x, first, dtype));
  }
};

struct KvCacheDtypes : KvCache, ::testing::WithParamInterface<DType> {};
TEST_P(KvCacheDtypes, PutsTokensBehindThoseBefore) {
  for (const std::size_t d : {2, 4, 6, 48, 64, 130}) {
    check_pack(1, 1, d, 1, 0, GetParam());
    check_pack(3, 17, d, 5, static_cast<std::uint32_t>(random.integer(0, 12)), GetParam());
  }
  check_pack(8, 64, 16, 64, 0, GetParam());
}
TEST_P(KvCacheDtypes, UnpacksTheTokensSeenAndZeros) {
  for (const std::size_t d : {2, 5, 8, 36})
    for (const std::uint32_t first : {0u, 3u, 9u, 20u}) {
      const auto cache = random.normal({2, 11, d}, GetParam());
      const auto y = kv_unpack(cache, Dynamic(first), 2);
      expect_within_tolerance(y);
      auto expected = cache.values();
      for (std::size_t h = 0; h < 2; ++h)
        for (std::size_t t = first + 2; t < 11; ++t)
          for (std::size_t i = 0; i < d; ++i) expected[(h * 11 + t) * d + i] = 0;
      EXPECT_EQ(y.dtype(), DType::f32);
      EXPECT_EQ(y.values(), expected);
    }
}
INSTANTIATE_TEST_SUITE_P(All, KvCacheDtypes, ::testing::Values(DType::f32, DType::f16, DType::bf16),
                         [](const auto& dtype) { return std::string(name_of(dtype.param)); });

TEST_F(KvCache, TakesOddHeadSizesInFloat32) {
  for (const std::size_t d : {1, 3, 7}) check_pack(2, 9, d, 3, 4, DType::f32);
}
TEST_F(KvCache, TakesSixteenBitTokens) {
  check_pack(2, 9, 8, 3, 4, DType::f32, DType::f16);
  check_pack(2, 9, 6, 3, 4, DType::f16, DType::bf16);
}
TEST_F(KvCache, DropsTokensBeyondTheCapacity) {
  check_pack(3, 8, 4, 5, 6, DType::f32);
  check_pack(3, 8, 4, 5, 8, DType::f16);
}
TEST_F(KvCache, RoundsToNearestEven) {
  const auto cache = zeros({1, 1, 4}, DType::f16);
  const double ulp = 1.0 / 1024;
  EXPECT_THAT(kv_pack(cache, array({1, 1, 4}, {1 + ulp / 2, 1 + 1.5 * ulp, 70000, 1e-9}), Dynamic(0)).values(),
              ::testing::ElementsAre(1, 1 + 2 * ulp, infinity, 0));
}
TEST_F(KvCache, IsWrittenInPlaceTokenAfterToken) {
  const Dynamic first(0);
  const auto cache = zeros({2, 5, 4}), x = random.normal({1, 2, 4});
  const auto after = kv_pack(cache, x, first);
  auto plan = gpu::Plan::record({after});
  auto expected = cache.values();
  for (std::uint32_t t = 0; t < 5; ++t) {
    first.set(t);
    plan.run();
    expected = packed(expected, 5, x, t, DType::f32);
    EXPECT_EQ(cache.values(), expected);
  }
  EXPECT_EQ(after.data()->storage, cache.data()->storage);
}
/// ggml's quantize_row_q8_0 in float32, and back: amax / 127 kept as float16, x / (amax / 127) to the nearest integer,
/// halves away from zero.
std::vector<double> through_q8_0(const std::vector<double>& values) {
  std::vector<double> out;
  for (std::size_t at = 0; at < values.size(); at += 32) {
    float largest = 0;
    for (std::size_t i = 0; i < 32; ++i) largest = std::fmax(largest, std::fabs(static_cast<float>(values[at + i])));
    const float scale = largest / 127, inverse = scale != 0 ? 1 / scale : 0;
    const std::vector<double> exact{scale};
    const double half = gpu::to_float64(gpu::from_float64(exact, DType::f16), DType::f16)[0];
    for (std::size_t i = 0; i < 32; ++i)
      out.push_back(half * static_cast<double>(std::round(static_cast<float>(values[at + i]) * inverse)));
  }
  return out;
}

TEST_F(KvCache, HoldsQ8_0AsGgmlRoundsItBitForBit) {
  for (const std::size_t d : {32, 64, 96, 128, 160, 288})
    for (const double size : {1.0, 1e-3, 3e-6, 1e-12, 1e4}) {
      SCOPED_TRACE(fmt::format("heads of {}, values of {}", d, size));
      const std::size_t heads = 2, capacity = 7, tokens = 3, first = 2;
      const auto cache = random_kv_cache(random, CacheType::q8_0, heads, capacity, d);
      const auto x = random.normal({tokens, heads, d}, DType::f32, size);
      auto expected = kv_unpack(cache, Dynamic(0), capacity).values();
      const auto rounded = through_q8_0(x.values());
      for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t h = 0; h < heads; ++h)
          std::copy_n(&rounded[(t * heads + h) * d], d, &expected[(h * capacity + first + t) * d]);
      const auto after = kv_pack(cache, x, Dynamic(first));
      expect_within_tolerance(after);
      const auto back = kv_unpack(after, Dynamic(0), capacity);
      expect_within_tolerance(back);
      EXPECT_EQ(back.values(), expected);
      if (size == 1.0) {
        EXPECT_LE(nmse_error(array(x.shape(), rounded), x.values()), 1e-4);
      }
    }
}
TEST_F(KvCache, HoldsTiesZerosAndLargestNumbersAsQ8_0) {
  std::vector<double> x(64, 0.0);
  x[0] = -127;  // scale 1: halves are ties
  for (std::size_t i = 1; i < 32; ++i) x[i] = (i % 2 ? 1 : -1) * (static_cast<double>(i) + 0.5);
  const auto cache = make_kv_cache(CacheType::q8_0, 1, 1, 64, "-ctk");
  const auto back = kv_unpack(kv_pack(cache, array({1, 1, 64}, x), Dynamic(0)), Dynamic(0), 1);
  auto expected = x;
  for (std::size_t i = 1; i < 32; ++i) expected[i] = (i % 2 ? 1 : -1) * (static_cast<double>(i) + 1);
  EXPECT_EQ(back.values(), expected);
}
TEST_F(KvCache, UnpacksZerosBehindTheTokensOfQ8_0) {
  const auto cache = random_kv_cache(random, CacheType::q8_0, 2, 6, 32);
  const auto y = kv_unpack(cache, Dynamic(1), 2);
  expect_within_tolerance(y);
  const auto all = kv_unpack(cache, Dynamic(0), 6).values(), some = y.values();
  for (std::size_t i = 0; i < some.size(); ++i) EXPECT_EQ(some[i], i / 32 % 6 < 3 ? all[i] : 0);
}
TEST_F(KvCache, MakesCachesOfEveryTypeAndKnowsThem) {
  for (const auto type : {CacheType::f32, CacheType::f16, CacheType::bf16, CacheType::q8_0})
    for (const std::size_t d : {32, 64, 96, 128, 256, 512}) {
      const auto cache = make_kv_cache(type, 3, 5, d, "-ctk");
      EXPECT_EQ(cache_type(cache), type);
      EXPECT_EQ(cache_head_dim(cache), d);
      EXPECT_EQ(gpu::parse_cache_type(name_of(type), "-ctv"), type);
      EXPECT_EQ(cache.last() * size_of(cache.dtype()) % 16, 0u);
    }
  EXPECT_EQ(make_kv_cache(CacheType::q8_0, 1, 1, 128, "").nbytes(), 144u);
  EXPECT_EQ(cache_head_dim(random.indices({1, 1, 13}, 5)), std::nullopt);
  EXPECT_EQ(cache_head_dim(zeros({1, 1})), std::nullopt);
  EXPECT_ERROR(make_kv_cache(CacheType::q8_0, 1, 1, 48, "-ctk"),
               "-ctk q8_0: needs heads of a multiple of 32, this model's have 48");
  EXPECT_ERROR(make_kv_cache(CacheType::f16, 1, 1, 3, "-ctv"), "-ctv f16: needs heads of a multiple of 2");
  EXPECT_ERROR(gpu::parse_cache_type("q4_0", "-ctk"), "-ctk q4_0: expected f32, f16, bf16 or q8_0");
}
TEST_F(KvCache, TakesTransposedTokensAndCountsTheCopy) {
  const auto cache = zeros({3, 4, 6}), x = random.normal({3, 2, 6}).transpose({1, 0, 2});
  EXPECT_EQ(gpu::Plan::record({kv_pack(cache, x, Dynamic(0))}).copies(), 1u);
  EXPECT_EQ(kv_pack(cache, x, Dynamic(1)).values(), packed(cache.values(), 4, x, 1, DType::f32));
}
TEST_F(KvCache, RefusesWhatDoesNotFit) {
  const auto cache = zeros({2, 5, 4}), x = zeros({1, 2, 4});
  EXPECT_ERROR(kv_pack(zeros({2, 4}), x, Dynamic(0)), "[kv_pack] cache must be float [heads, capacity, d]");
  EXPECT_ERROR(kv_pack(cache, zeros({1, 3, 4}), Dynamic(0)),
               "[kv_pack] x must be float [T, 2, 4] for the cache [2, 5, 4]");
  EXPECT_ERROR(kv_pack(cache, zeros({1, 2, 3}), Dynamic(0)), "received f32 [1, 2, 3]");
  EXPECT_ERROR(kv_pack(cache, random.indices({1, 2, 4}, 9), Dynamic(0)), "received u32 [1, 2, 4]");
  EXPECT_ERROR(kv_pack(zeros({2, 5, 3}, DType::f16), zeros({1, 2, 3}), Dynamic(0)),
               "[kv_pack] a f16 cache needs an even head size, received 3");
  EXPECT_ERROR(kv_pack(cache.transpose({1, 0, 2}), zeros({1, 5, 4}), Dynamic(0)).values(), "cannot be a view");
  EXPECT_ERROR(kv_unpack(zeros({4}), Dynamic(0), 1), "[kv_unpack] cache must be float [heads, capacity, d]");
}

}  // namespace
}  // namespace glassbox::testing
