#include "gpu/ops/attention.h"

#include <algorithm>
#include <cmath>

#include "gpu/device.h"
#include "gpu/ops/kv_cache.h"
#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::attention;
using gpu::AttentionKernel;
using gpu::AttentionOptions;
using gpu::AttentionVariant;
using gpu::CacheType;
using gpu::DType;
using gpu::Dynamic;
using gpu::Fusion;
using gpu::Shape;

/// Vaswani et al. 2017, eq. 1, for each token and head by itself; GQA: query heads 0..g-1 share KV head 0, and so on
/// (Ainslie et al. 2023). Token t stands at first + t and sees the keys up to its own.
std::vector<double> attention_by_definition(const Array& q, const Array& keys, const Array& values, std::size_t first,
                                            double scale) {
  const std::size_t tokens = q.shape()[0], heads = q.shape()[1], d = q.last(), capacity = keys.shape()[1];
  const std::size_t share = heads / keys.shape()[0];
  const auto of = [&](const Array& cache) { return gpu::kv_unpack(cache, Dynamic(0), capacity).values(); };
  const auto a = q.values(), k = of(keys), v = of(values);
  std::vector<double> y(a.size(), 0.0);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t h = 0; h < heads; ++h) {
      const double* query = &a[(t * heads + h) * d];
      const std::size_t kv = h / share * capacity * d, seen = std::min(first + t + 1, capacity);
      std::vector<double> scores;
      for (std::size_t j = 0; j < seen; ++j) {
        double dot = 0;
        for (std::size_t i = 0; i < d; ++i) dot += query[i] * k[kv + j * d + i];
        scores.push_back(dot * scale);
      }
      const double top = *std::max_element(scores.begin(), scores.end());
      double total = 0;
      for (auto& score : scores) total += score = std::exp(score - top);
      for (std::size_t j = 0; j < seen; ++j)
        for (std::size_t i = 0; i < d; ++i) y[(t * heads + h) * d + i] += scores[j] / total * v[kv + j * d + i];
    }
  return y;
}

class Attention : public GpuTest {
 protected:
  struct Case {
    std::size_t tokens, heads, kv_heads, d, capacity, first;
    DType dtype = DType::f32;
    double lowest = -1;  ///< of the values, up to 1
  };
  void check(const Case& c, const AttentionOptions& options = {}) {
    SCOPED_TRACE(fmt::format("{} tokens, {} heads, {} KV heads, d {}, capacity {}, at {}, {}", c.tokens, c.heads,
                             c.kv_heads, c.d, c.capacity, c.first, name_of(c.dtype)));
    const auto q = random.normal({c.tokens, c.heads, c.d});
    const auto k = random.normal({c.kv_heads, c.capacity, c.d}, c.dtype);
    const auto v = random.uniform({c.kv_heads, c.capacity, c.d}, c.lowest, 1, c.dtype);
    const float scale = 1 / std::sqrt(static_cast<float>(c.d));
    const auto y = attention(q, k, v, Dynamic(static_cast<std::uint32_t>(c.first)), scale, options);
    expect_within_tolerance(y);
    const auto expected = attention_by_definition(q, k, v, c.first, scale);
    expect_near(y, expected);
    EXPECT_LE(max_abs_error(y, expected), 1e-5);
  }
  void check_types(CacheType k_type, CacheType v_type, std::size_t d, const AttentionOptions& options = {}) {
    SCOPED_TRACE(fmt::format("keys {}, values {}, d {}", name_of(k_type), name_of(v_type), d));
    const auto q = random.normal({2, 3, d});
    const auto k = random_kv_cache(random, k_type, 1, 150, d), v = random_kv_cache(random, v_type, 1, 150, d);
    const float scale = 1 / std::sqrt(static_cast<float>(d));
    const auto y = attention(q, k, v, Dynamic(140), scale, options);
    expect_within_tolerance(y);
    const auto expected = attention_by_definition(q, k, v, 140, scale);
    expect_near(y, expected);
    EXPECT_LE(max_abs_error(y, expected), 1e-5);
  }
};

TEST_F(Attention, TakesQ8_0CachesOfWideHeads) {
  for (const std::size_t d : {128, 160, 256}) check_types(CacheType::q8_0, CacheType::q8_0, d);
}
TEST_F(Attention, MatchesTheDefinitionForEveryHeadSize) {
  for (const std::size_t d : {2, 3, 4, 6, 8, 16, 36, 48, 64, 80, 96, 128, 256}) check({2, 2, 1, d, 40, 37});
}
TEST_F(Attention, MatchesTheDefinitionForEveryGrouping) {
  for (const std::size_t kv_heads : {1, 2, 3, 8})
    for (const std::size_t share : {1, 2, 3, 8}) check({2, kv_heads * share, kv_heads, 8, 20, 11});
}
TEST_F(Attention, MatchesTheDefinitionForEveryContext) {
  for (const std::size_t context : {1, 2, 63, 64, 65, 127, 200, 1000, 4097}) check({1, 2, 1, 16, context, context - 1});
}
TEST_F(Attention, MatchesTheDefinitionForChunksOfAPrompt) {
  for (const std::size_t first : {0, 1, 62, 130}) check({70, 4, 2, 12, 200, first});
}
TEST_F(Attention, TakesSixteenBitCaches) {
  for (const auto dtype : {DType::f16, DType::bf16})
    for (const std::size_t d : {6, 20, 64}) check({3, 4, 2, d, 90, 80, dtype});
}
TEST_F(Attention, TakesSixteenBitQueries) {
  const auto q = random.normal({2, 2, 8}, DType::f16), k = random.normal({1, 9, 8}), v = random.normal({1, 9, 8});
  const auto y = attention(q, k, v, Dynamic(5), 0.3f);
  expect_within_tolerance(y);
  expect_near(y, attention_by_definition(q, k, v, 5, 0.3f));
}

/// llvmpipe ends an invocation's loops, silently, after 65535 iterations: longer contexts take several dispatches.
/// Values of one sign, since the mean of as many of both is near 0, where rounding is not.
TEST_F(Attention, SeesMoreKeysThanADriverLoops) { check({1, 1, 1, 4, 70000, 69999, DType::f32, 0}); }
TEST_F(Attention, SeesAllKeysOfWideHeadsInALongContext) { check({1, 1, 1, 64, 40000, 39999, DType::f16, 0}); }
TEST_F(Attention, GoesOnWhereADispatchEnds) {
  for (const std::size_t first : {16380, 16383, 16384}) check({8, 2, 1, 8, 16500, first});
  check({2, 1, 1, 8, 33000, 5});
}
TEST_F(Attention, SeesNoFurtherThanTheCache) { check({4, 2, 1, 8, 10, 8}); }

TEST_F(Attention, SurvivesScoresOfTenThousand) {
  const auto q = array({1, 1, 2}, {100, 0}), v = array({1, 4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(attention(q, array({1, 4, 2}, {-100, 0, 100, 0, 99, 0, -50, 0}), v, Dynamic(3), 1).values(),
              ::testing::ElementsAre(3, 4));
  EXPECT_THAT(attention(q, array({1, 4, 2}, {-100, 0, -100, 0, -100, 0, -100, 0}), v, Dynamic(3), 1).values(),
              ::testing::ElementsAre(4, 5));
}
TEST_F(Attention, SurvivesAMaximumThatComesLate) {
  auto keys = random.normal({1, 300, 4}).values();
  for (std::size_t i = 0; i < 4; ++i) keys[299 * 4 + i] = 50;
  const auto q = array({1, 1, 4}, {10, 10, 10, 10}), k = array({1, 300, 4}, keys), v = random.normal({1, 300, 4});
  expect_near(attention(q, k, v, Dynamic(299), 1), attention_by_definition(q, k, v, 299, 1));
}
TEST_F(Attention, OfZeroQueriesIsTheMeanOfTheValues) {
  const auto k = random.normal({2, 30, 6}), v = random.normal({2, 30, 6});
  const auto y = attention(zeros({1, 2, 6}), k, v, Dynamic(29), 1);
  expect_within_tolerance(y);
  expect_near(y, attention_by_definition(zeros({1, 2, 6}), k, v, 29, 1));
}
TEST_F(Attention, TakesTinyAndHugeValues) {
  const auto q = random.normal({2, 2, 8}), k = random.normal({1, 20, 8});
  for (const double size : {1e-30, 1e30}) {
    const auto v = random.normal({1, 20, 8}, DType::f32, size);
    expect_near(attention(q, k, v, Dynamic(15), 0.35f), attention_by_definition(q, k, v, 15, 0.35f));
  }
}
TEST_F(Attention, DoesNotSeeWhatStandsBehindTheContext) {
  auto values = random.normal({1, 9, 4}).values();
  std::fill(values.begin() + 6 * 4, values.end(), std::nan(""));
  const auto q = random.normal({1, 1, 4}), kv = array({1, 9, 4}, values);
  EXPECT_THAT(attention(q, kv, kv, Dynamic(5), 1).values(), ::testing::Not(::testing::Contains(::testing::IsNan())));
  EXPECT_THAT(attention(q, kv, kv, Dynamic(5), 1, Fusion::off).values(),
              ::testing::Not(::testing::Contains(::testing::IsNan())));
}

TEST_F(Attention, AgreesWithItsComposition) {
  const AttentionOptions composed{.fusion = Fusion::off};
  check({1, 1, 1, 4, 1, 0}, composed);
  check({5, 6, 2, 12, 33, 20}, composed);
  check({3, 4, 4, 7, 65, 60}, composed);
  check({3, 8, 1, 16, 40, 0, DType::f16}, composed);
}

/// Each form, whichever this device prefers: rows in invocations, alone and with a share of the keys each, rows in
/// workgroups, and a row a workgroup.
struct AttentionVariants : Attention, ::testing::WithParamInterface<AttentionVariant> {};
TEST_P(AttentionVariants, MatchTheDefinition) {
  const AttentionOptions options{.variant = GetParam()};
  for (const std::size_t context : {1, 3, 64, 65, 300}) check({1, 6, 2, 16, 310, context - 1}, options);
  for (const std::size_t first : {0, 1, 62, 130}) check({13, 4, 2, 12, 200, first}, options);
  check({3, 4, 4, 64, 90, 80, DType::f16}, options);
  check({2, 2, 1, 32, 90, 80, DType::bf16}, options);
  check({2, 9, 3, 6, 90, 80, DType::f16}, options);
}
TEST_P(AttentionVariants, TakeEveryCacheType) {
  for (const auto& [k_type, v_type] : {std::pair{CacheType::f16, CacheType::f16},
                                       {CacheType::q8_0, CacheType::q8_0},
                                       {CacheType::f32, CacheType::q8_0}})
    check_types(k_type, v_type, 32, {.variant = GetParam()});
}
INSTANTIATE_TEST_SUITE_P(
    All, AttentionVariants,
    ::testing::Values(
        AttentionVariant{.kernel = AttentionKernel::lanes, .local_size = 8, .keys = 4, .span = 2048},
        AttentionVariant{
            .kernel = AttentionKernel::lanes, .local_size = 8, .rows = 3, .slots = 8, .keys = 2, .span = 64},
        AttentionVariant{
            .kernel = AttentionKernel::lanes, .local_size = 16, .rows = 2, .slots = 2, .keys = 1, .span = 128},
        AttentionVariant{.local_size = 64, .rows = 1, .slots = 4, .keys = 64, .span = 2048},
        AttentionVariant{.local_size = 64, .rows = 4, .slots = 2, .keys = 32, .span = 96},
        AttentionVariant{.local_size = 128, .rows = 8, .slots = 2, .keys = 64, .span = 64},
        AttentionVariant{.kernel = AttentionKernel::row, .local_size = 64, .span = 2048},
        AttentionVariant{.kernel = AttentionKernel::row, .local_size = 32, .span = 100}));

TEST_F(Attention, PicksVariantsThatFitAnyDevice) {
  for (const std::size_t tokens : {1, 3, 64, 512})
    for (const std::size_t group : {1, 3, 8})
      for (const std::size_t d : {2, 48, 64, 128, 256, 512})
        for (const std::size_t longest : {1, 256, 1024, 131072}) {
          const auto how = gpu::attention_variant(device().features(), device().limits(), tokens, 4, group, d, longest);
          EXPECT_GE(how.span, 1u);
          EXPECT_TRUE(how.span >= longest || how.span % how.keys == 0) << how.span << " of " << how.keys;
          EXPECT_LE(how.local_size, device().limits().invocations);
          EXPECT_EQ(how.local_size % (how.kernel == AttentionKernel::lanes ? how.slots : how.rows), 0u);
        }
}
TEST_F(Attention, OfOneTokenOnAGpuFitsItsMemory) {
  auto features = device().features();
  features.software = false;
  features.shuffles = true;
  for (const std::size_t d : {32, 64})
    for (const auto type : {CacheType::f32, CacheType::q8_0}) {
      const auto how = gpu::attention_variant(features, device().limits(), 1, 2, 3, d, 256);
      EXPECT_EQ(how.kernel, AttentionKernel::row);
      check_types(type, type, d, {.variant = how});  // refused where its shared memory is more than there is
    }
  for (const std::size_t d : {80, 128, 512})
    EXPECT_EQ(gpu::attention_variant(features, device().limits(), 1, 2, 3, d, 256).kernel, AttentionKernel::group);
  auto limits = device().limits();
  limits.invocations = 128;
  limits.shared_bytes = 16384;
  EXPECT_LE(gpu::attention_variant(features, limits, 1, 2, 3, 64, 256).local_size, 128u);
  features.shuffles = false;
  EXPECT_EQ(gpu::attention_variant(features, limits, 1, 2, 3, 64, 256).kernel, AttentionKernel::group);
}
TEST_F(Attention, OfAPlanForShortContextsIsTheSame) {
  for (const std::size_t longest : {40, 256, 600}) check({1, 8, 2, 32, 3000, 39}, {.longest = longest});
  check({20, 8, 2, 32, 3000, 0}, {.longest = 20});
}
TEST_F(Attention, FollowsThePositionWhenAPlanIsReplayed) {
  const Dynamic first(0);
  const auto q = random.normal({1, 2, 8}), k = random.normal({2, 100, 8}), v = random.normal({2, 100, 8});
  const auto y = attention(q, k, v, first, 0.5f);
  auto plan = gpu::Plan::record({y});
  for (const std::uint32_t position : {0u, 99u, 64u, 7u}) {
    first.set(position);
    plan.run();
    expect_near(y, attention_by_definition(q, k, v, position, 0.5f));
  }
}
TEST_F(Attention, TakesViewsAndCountsTheCopies) {
  const auto q = random.normal({2, 3, 8}).transpose({1, 0, 2}), k = random.normal({20, 2, 8}).transpose({1, 0, 2});
  const auto v = random.normal({2, 25, 8}).slice(1, 2, 22);
  EXPECT_EQ(gpu::Plan::record({attention(q, k, v, Dynamic(9), 1)}).copies(), 3u);
  const auto y = attention(q, k, v, Dynamic(9), 1);
  expect_within_tolerance(y);
  expect_near(y, attention_by_definition(q, k, v, 9, 1));
}
TEST_F(Attention, RefusesWhatDoesNotFit) {
  const auto q = zeros({1, 4, 8}), kv = zeros({2, 5, 8});
  const auto refuse = [](const Array& a, const Array& b, const Array& c) { return attention(a, b, c, Dynamic(0), 1); };
  EXPECT_ERROR(refuse(zeros({4, 8}), kv, kv), "[attention] q must be float [T, heads, d], received f32 [4, 8]");
  EXPECT_ERROR(refuse(q, zeros({2, 5, 6}), kv), "[attention] keys must be a cache [kv_heads, capacity, 8]");
  EXPECT_ERROR(refuse(q, kv, zeros({2, 4, 8})), "[attention] values must be a cache [2, 5, 8] as the keys");
  EXPECT_ERROR(refuse(q, zeros({3, 5, 8}), zeros({3, 5, 8})),
               "[attention] 4 query heads do not divide among 3 KV heads");
  EXPECT_ERROR(refuse(random.indices({1, 4, 8}, 3), kv, kv), "received u32 [1, 4, 8]");
  const std::size_t wide = 4 * device().limits().invocations + 4;
  EXPECT_ERROR(refuse(zeros({1, 1, wide}), zeros({1, 1, wide}), zeros({1, 1, wide})), "does not fit this device");
}

}  // namespace
}  // namespace glassbox::testing
