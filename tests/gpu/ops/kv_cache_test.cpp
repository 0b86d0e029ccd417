#include "gpu/ops/kv_cache.h"

#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
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
              ::testing::ElementsAre(1, 1 + 2 * ulp, std::numeric_limits<double>::infinity(), 0));
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
