#include <cmath>

#include "gpu/error.h"
#include "gpu/ops/attention.h"
#include "gpu/ops/kv_cache.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

const Registration rope_attention_registered{
    "rope_attention", "rope_kv, then attention", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      struct Case {
        std::size_t tokens, heads, kv_heads, d, capacity;
        bool bias = false;
      };
      const auto cases = size == SampleSize::bench
                             ? std::vector<Case>{{1, 32, 8, 128, 1024}}
                             : std::vector<Case>{{1, 4, 2, 16, 40, true}, {1, 9, 3, 64, 700}, {2, 2, 1, 8, 9}};
      for (const auto& c : cases)
        for (const auto pairing : {RopePairing::half_split, RopePairing::interleaved}) {
          const auto first = static_cast<std::uint32_t>(
              size == SampleSize::bench ? c.capacity - c.tokens : random.integer(0, c.capacity - c.tokens));
          const std::size_t width = (c.heads + 2 * c.kv_heads) * c.d;
          samples.push_back(
              {fmt::format("{} tokens, {} heads, {} KV heads, d {}, {} at {}", c.tokens, c.heads, c.kv_heads, c.d,
                           pairing == RopePairing::interleaved ? "interleaved" : "half split", first),
               [=, x = random.normal({c.tokens, width}), bias = random.normal({width}), f = plain_rope_frequencies(c.d),
                k = random_kv_cache(random, CacheType::f32, c.kv_heads, c.capacity, c.d),
                v = random_kv_cache(random, CacheType::f32, c.kv_heads, c.capacity, c.d)](Fusion fusion) {
                 const float scale = 1.0f / std::sqrt(static_cast<float>(c.d));
                 return rope_attention(x, c.bias ? bias : Array(), f, k, v, Dynamic(first), pairing, scale,
                                       {.fusion = fusion})
                     .y;
               },
               true});
        }
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
