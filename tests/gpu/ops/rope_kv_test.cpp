#include "gpu/ops/rope_kv.h"

#include <cmath>

#include "gpu/ops/kv_cache.h"
#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::CacheType;
using gpu::DType;
using gpu::Dynamic;
using gpu::Fusion;
using gpu::rope_kv;
using gpu::RopePairing;
using gpu::Shape;

class RopeKv : public GpuTest {
 protected:
  struct Case {
    std::size_t parts, tokens, heads, kv_heads, d, capacity;
    std::uint32_t first;
    bool bias = false;
    CacheType k_type = CacheType::f32, v_type = CacheType::f32;
    RopePairing pairing = RopePairing::half_split;
    Fusion fusion = Fusion::on;
  };

  /// Su et al. 2021, eq. 34, on the sums; then where each head belongs. A q8_0 value may be off by one step where the
  /// exact number is near the middle of two; everything else is what float32 makes of it.
  void check(const Case& c) {
    SCOPED_TRACE(fmt::format("{} parts, {} tokens, {} heads, {} KV heads, d {}, at {} of {}, {} and {}", c.parts,
                             c.tokens, c.heads, c.kv_heads, c.d, c.first, c.capacity, name_of(c.k_type),
                             name_of(c.v_type)));
    const std::size_t all = c.heads + 2 * c.kv_heads, width = all * c.d;
    const Array x = random.uniform({c.parts, c.tokens, width}, -1, 1), b = random.uniform({width}, -1, 1);
    const Array keys = random_kv_cache(random, c.k_type, c.kv_heads, c.capacity, c.d),
                values = random_kv_cache(random, c.v_type, c.kv_heads, c.capacity, c.d);
    const auto unpacked = [&](const Array& cache) { return gpu::kv_unpack(cache, Dynamic(0), c.capacity).values(); };
    auto k = unpacked(keys), v = unpacked(values);
    const auto parts = x.values(), bias = b.values();
    std::vector<double> q(c.tokens * c.heads * c.d);
    for (std::size_t t = 0; t < c.tokens; ++t)
      for (std::size_t h = 0; h < all; ++h) {
        const auto at = [&](std::size_t i) {
          double sum = c.bias ? bias[h * c.d + i] : 0;
          for (std::size_t p = 0; p < c.parts; ++p) sum += parts[(p * c.tokens + t) * width + h * c.d + i];
          return sum;
        };
        for (std::size_t i = 0; i < c.d; ++i) {
          const bool halves = c.pairing == RopePairing::half_split, first = halves ? i < c.d / 2 : i % 2 == 0;
          const std::size_t step = halves ? c.d / 2 : 1, pair = halves ? i % (c.d / 2) : i / 2;
          const double angle = (c.first + static_cast<double>(t)) *
                               std::pow(10000.0, -2.0 * static_cast<double>(pair) / static_cast<double>(c.d));
          const double turned = first ? at(i) * std::cos(angle) - at(i + step) * std::sin(angle)
                                      : at(i - step) * std::sin(angle) + at(i) * std::cos(angle);
          const std::size_t kv = (h - c.heads) % c.kv_heads;
          const std::size_t to = (kv * c.capacity + c.first + t) * c.d + i;
          if (h < c.heads)
            q[(t * c.heads + h) * c.d + i] = turned;
          else if (c.first + t < c.capacity)
            (h < c.heads + c.kv_heads ? k : v)[to] = h < c.heads + c.kv_heads ? turned : at(i);
        }
      }
    const auto y = rope_kv(x, c.bias ? b : Array(), gpu::plain_rope_frequencies(c.d), keys, values, Dynamic(c.first),
                           c.pairing, c.fusion);
    gpu::eval({y.q, y.keys, y.values});
    expect_near(y.q, q);
    EXPECT_LE(max_abs_error(y.q, q), 1e-6 * static_cast<double>(c.parts + 1));
    expect_cache(unpacked(y.keys), k, c.k_type, c.d);
    expect_cache(unpacked(y.values), v, c.v_type, c.d);
    EXPECT_EQ(y.keys.data()->storage, keys.data()->storage);
    expect_within_tolerance(rope_kv(x, c.bias ? b : Array(), gpu::plain_rope_frequencies(c.d), keys, values,
                                    Dynamic(c.first), c.pairing, c.fusion)
                                .q);
  }

  static void expect_cache(const std::vector<double>& got, const std::vector<double>& expected, CacheType type,
                           std::size_t d) {
    const double format = type == CacheType::f32 ? 1e-12 : type == CacheType::f16 ? 1e-6 : 1e-4;
    EXPECT_LE(gpu::compare(got, expected, DType::f32).nmse, format);
    if (type != CacheType::q8_0) return;
    for (std::size_t block = 0; block < expected.size(); block += 32) {
      double largest = 0;
      for (std::size_t i = 0; i < 32; ++i) largest = std::max(largest, std::abs(expected[block + i]));
      for (std::size_t i = 0; i < 32; ++i)  // half a step, and the scale's own rounding
        EXPECT_LE(std::abs(got[block + i] - expected[block + i]), largest * (0.501 / 127 + 1.0 / 2048))
            << "element " << (block + i) % d;
    }
  }
};

TEST_F(RopeKv, TurnsAndStoresHeadsOfEverySize) {
  for (const std::size_t d : {8, 16, 48, 64, 80, 128})
    for (const auto pairing : {RopePairing::half_split, RopePairing::interleaved})
      check({.parts = 1,
             .tokens = 3,
             .heads = 4,
             .kv_heads = 2,
             .d = d,
             .capacity = 20,
             .first = 11,
             .pairing = pairing});
}
TEST_F(RopeKv, AddsUpPartsAndBias) {
  for (const std::size_t parts : {1, 2, 3, 8})
    for (const bool bias : {false, true})
      check({.parts = parts, .tokens = 2, .heads = 3, .kv_heads = 1, .d = 16, .capacity = 9, .first = 5, .bias = bias});
}
TEST_F(RopeKv, TakesEveryCacheType) {
  for (const auto& [k_type, v_type] : {std::pair{CacheType::f16, CacheType::f16},
                                       {CacheType::q8_0, CacheType::q8_0},
                                       {CacheType::f32, CacheType::q8_0}})
    for (const std::size_t d : {32, 96})
      for (const auto pairing : {RopePairing::half_split, RopePairing::interleaved})
        check({.parts = 2,
               .tokens = 3,
               .heads = 4,
               .kv_heads = 2,
               .d = d,
               .capacity = 12,
               .first = 7,
               .k_type = k_type,
               .v_type = v_type,
               .pairing = pairing});
}
TEST_F(RopeKv, AgreesWithItsComposition) {
  for (const auto type : {CacheType::f32, CacheType::f16, CacheType::q8_0})
    check({.parts = 3,
           .tokens = 2,
           .heads = 4,
           .kv_heads = 2,
           .d = 32,
           .capacity = 12,
           .first = 7,
           .bias = true,
           .k_type = type,
           .v_type = type,
           .fusion = Fusion::off});
}
TEST_F(RopeKv, ComposesHeadsThatAreNotOfEights) {
  for (const std::size_t d : {2, 6, 20})
    check({.parts = 2, .tokens = 2, .heads = 2, .kv_heads = 1, .d = d, .capacity = 5, .first = 1});
}
TEST_F(RopeKv, DropsTokensBeyondTheCapacity) {
  check({.parts = 1, .tokens = 4, .heads = 2, .kv_heads = 1, .d = 8, .capacity = 6, .first = 4});
}
TEST_F(RopeKv, IsOneDispatchThatFollowsThePosition) {
  const Dynamic first(0);
  const auto x = random.normal({1, 4 * 32}), keys = zeros({1, 5, 32}), values = zeros({1, 5, 32});
  const auto y = rope_kv(x, {}, gpu::plain_rope_frequencies(32), keys, values, first, RopePairing::half_split);
  auto plan = gpu::Plan::record({y.q, y.keys, y.values});
  EXPECT_EQ(plan.dispatches().size(), 1u);
  const auto projected = x.values();
  for (std::uint32_t t = 0; t < 5; ++t) {
    first.set(t);
    plan.run();
    const auto stored = values.values();
    EXPECT_TRUE(std::equal(projected.begin() + 96, projected.end(), stored.begin() + t * 32));
    for (std::size_t i = (t + 1) * 32; i < stored.size(); ++i) EXPECT_EQ(stored[i], 0);
  }
}
TEST_F(RopeKv, RefusesWhatDoesNotFit) {
  const auto cache = zeros({2, 5, 8}), f = gpu::plain_rope_frequencies(8), x = zeros({1, 6 * 8});
  const auto refuse = [&](const Array& qkv, const Array& bias, const Array& k, const Array& v) {
    return rope_kv(qkv, bias, f, k, v, Dynamic(0), RopePairing::half_split);
  };
  EXPECT_ERROR(refuse(zeros({1, 4 * 8}), {}, cache, cache), "[rope_kv] qkv must be f32 [T, (heads + 4) 8]");
  EXPECT_ERROR(refuse(zeros({1, 50}), {}, cache, cache), "received f32 [1, 50]");
  EXPECT_ERROR(refuse(zeros({1, 48}, DType::f16), {}, cache, cache), "received f16 [1, 48]");
  EXPECT_ERROR(refuse(x, zeros({8}), cache, cache), "[rope_kv] bias must be float [48], received f32 [8]");
  EXPECT_ERROR(refuse(x, {}, cache, zeros({2, 4, 8})), "[rope_kv] keys and values must be caches of one");
  EXPECT_ERROR(refuse(x, {}, zeros({2, 5, 16}), zeros({2, 5, 16})), "received f32 [1, 48]");
  EXPECT_ERROR(rope_kv(x, {}, gpu::plain_rope_frequencies(16), cache, cache, Dynamic(0), RopePairing::half_split),
               "[rope_kv] frequencies must be u32 [4, 2] for heads of 8");
}

}  // namespace
}  // namespace glassbox::testing
