#include <cmath>

#include "gpu/device.h"
#include "gpu/ops/attention.h"
#include "gpu/ops/kv_cache.h"
#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::AttentionKernel;
using gpu::AttentionOptions;
using gpu::AttentionVariant;
using gpu::CacheType;
using gpu::DType;
using gpu::Dynamic;
using gpu::rope_attention;
using gpu::RopePairing;

class RopeAttention : public GpuTest {
 protected:
  static constexpr std::size_t heads = 6, kv_heads = 2, capacity = 300;
  static Array copy_of(const Array& x) { return Array::from_values(x.shape(), x.dtype(), x.values()); }
  Array cache(std::size_t d) { return gpu::random_kv_cache(random, CacheType::f32, kv_heads, capacity, d); }
  static bool is_one_kernel(const Array& y) {
    return gpu::Plan::record({y}).dispatches().at(0).kernel.starts_with("rope_attention");
  }

  /// Against the kernels it replaces, each of which has an oracle of its own, on copies of the same caches; and against
  /// float64.
  void check(std::size_t d, std::uint32_t first, const AttentionVariant& how, RopePairing pairing, bool has_bias) {
    SCOPED_TRACE(
        fmt::format("d {}, at {}, {} invocations, {} rows, span {}", d, first, how.local_size, how.rows, how.span));
    const std::size_t width = (heads + 2 * kv_heads) * d;
    const Array x = random.normal({1, width}), bias = has_bias ? random.normal({width}) : Array(),
                f = gpu::plain_rope_frequencies(d);
    const Array k = cache(d), v = cache(d);
    const float scale = 1 / std::sqrt(static_cast<float>(d));
    const auto apart = gpu::rope_kv(x, bias, f, copy_of(k), copy_of(v), Dynamic(first), pairing);
    const Array expected = gpu::attention(apart.q, apart.keys, apart.values, Dynamic(first), scale, {.variant = how});
    gpu::eval({expected, apart.keys, apart.values});
    EXPECT_TRUE(is_one_kernel(
        rope_attention(x, bias, f, copy_of(k), copy_of(v), Dynamic(first), pairing, scale, {.variant = how}).y));
    const auto got = rope_attention(x, bias, f, k, v, Dynamic(first), pairing, scale, {.variant = how});
    gpu::eval({got.y, got.keys, got.values});
    expect_near(got.y, expected.values());
    expect_near(got.keys, apart.keys.values());
    expect_near(got.values, apart.values.values());
    EXPECT_EQ(got.keys.data()->storage, k.data()->storage);
    expect_within_tolerance(rope_attention(x, bias, f, k, v, Dynamic(first), pairing, scale, {.variant = how}).y);
    if (first != 130) return;
    const auto rounded =
        rope_attention(x, bias, f, k, v, Dynamic(first), pairing, scale, {.result = DType::f16, .variant = how}).y;
    EXPECT_EQ(rounded.dtype(), DType::f16);
    expect_within_tolerance(rounded);
  }
};

TEST_F(RopeAttention, IsRopeKvAndThenAttention) {
  const AttentionVariant whole{.local_size = 64, .rows = 1, .slots = 4, .keys = 64, .span = 2048};
  const AttentionVariant parts{.local_size = 64, .rows = 4, .slots = 2, .keys = 32, .span = 96};
  const AttentionVariant row{.kernel = AttentionKernel::row, .local_size = 64, .span = 2048};
  const AttentionVariant row_parts{.kernel = AttentionKernel::row, .local_size = 32, .span = 96};
  for (const std::uint32_t first : {0, 1, 63, 64, 95, 96, 191, 192, 299, 300, 400})
    for (const auto& how : {whole, parts, row, row_parts})
      check(16, first, how, RopePairing::half_split, first % 2 == 0);
  for (const auto pairing : {RopePairing::half_split, RopePairing::interleaved}) {
    check(64, 130, whole, pairing, true);
    check(64, 130, parts, pairing, false);
    check(64, 130, row, pairing, true);
    check(8, 130, row_parts, pairing, false);
  }
}

TEST_F(RopeAttention, LeavesToTwoKernelsWhatOneCannotDo) {
  const auto of = [&](std::size_t tokens, CacheType type, std::size_t d, const AttentionOptions& options) {
    const Array k = gpu::random_kv_cache(random, type, kv_heads, capacity, d),
                v = gpu::random_kv_cache(random, type, kv_heads, capacity, d);
    const Array x = random.normal({tokens, (heads + 2 * kv_heads) * d}), f = gpu::plain_rope_frequencies(d);
    const auto y = [&] { return rope_attention(x, {}, f, k, v, Dynamic(7), RopePairing::half_split, 0.2f, options).y; };
    EXPECT_EQ(y().shape(), (gpu::Shape{tokens, heads, d}));
    expect_within_tolerance(y());
    return is_one_kernel(y());
  };
  const AttentionOptions whole{.variant =
                                   AttentionVariant{.local_size = 64, .rows = 1, .slots = 4, .keys = 64, .span = 2048}};
  const AttentionOptions lanes{
      .variant = AttentionVariant{.kernel = AttentionKernel::lanes, .local_size = 8, .keys = 4, .span = 2048}};
  EXPECT_TRUE(of(1, CacheType::f32, 16, whole));
  EXPECT_FALSE(of(2, CacheType::f32, 16, whole));
  EXPECT_FALSE(of(1, CacheType::f16, 16, whole));
  EXPECT_FALSE(of(1, CacheType::f32, 12, whole));
  EXPECT_FALSE(of(1, CacheType::f32, 16, lanes));
  EXPECT_FALSE(of(1, CacheType::f32, 16, {.fusion = gpu::Fusion::off}));
}

}  // namespace
}  // namespace glassbox::testing
