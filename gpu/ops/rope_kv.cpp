#include "gpu/ops/rope_kv.h"

#include <cmath>
#include <regex>

#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/ops/elementwise.h"
#include "gpu/ops/kv_cache.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

/// The part of the body that writes one cache: `numbers` is the function that it takes four dimensions from.
std::string store_into(const std::string& cache, CacheType type, const std::string& numbers) {
  const auto text = shader_source(type == CacheType::q8_0 ? "rope_kv_cache_q8_0.comp" : "rope_kv_cache.comp");
  return std::regex_replace(std::regex_replace(text, std::regex("CACHE"), cache), std::regex("NUMBERS"), numbers);
}

Kernel kernel_for(CacheType k_type, CacheType v_type, bool bias) {
  Kernel kernel{
      .name = fmt::format("rope_kv{}{}{}", k_type == CacheType::q8_0 ? "_keys_q8_0" : "",
                          v_type == CacheType::q8_0 ? "_values_q8_0" : "", bias ? "_bias" : ""),
      .inputs = {"qkv", "frequencies"},
      .outputs = {"q", "keys", "values"},
      .params = {param<std::uint32_t>("qkv_parts"), param<std::uint32_t>("tokens"), param<std::uint32_t>("heads"),
                 param<std::uint32_t>("kv_heads"), param<std::uint32_t>("capacity"), param<std::uint32_t>("first")},
      .body = shader_source("rope_kv.comp") + store_into("keys", k_type, "rotated") +
              store_into("values", v_type, "projected")};
  if (bias) kernel.inputs.emplace_back("bias");
  return kernel;
}

struct RopeKv final : Primitive {
  RopeKv(Dynamic position, RopePairing rope_pairing, std::size_t query_heads, CacheType keys, CacheType values,
         bool has_bias)
      : first(std::move(position)),
        pairing(rope_pairing),
        heads(query_heads),
        k_type(keys),
        v_type(values),
        bias(has_bias) {}
  Dynamic first;
  RopePairing pairing;
  std::size_t heads;
  CacheType k_type, v_type;
  bool bias;  ///< inputs: qkv, frequencies, keys, values and, if there is one, the bias

  std::string_view name() const override { return "rope_kv"; }
  std::optional<std::size_t> in_place(std::size_t output) const override {
    return output == 0 ? std::nullopt : std::optional(output + 1);
  }

  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const std::size_t tokens = out[0].shape()[0], columns = out[0].last() / 4, kv_heads = in[2].shape()[0];
    const std::size_t k_units = k_type == CacheType::q8_0 ? columns / 8 : columns,
                      v_units = v_type == CacheType::q8_0 ? columns / 8 : columns;
    std::vector<Array> inputs{in[0], in[1]};
    if (bias) inputs.push_back(in[4]);
    const unsigned size = encoder.map_size();
    encoder.dispatch(kernel_for(k_type, v_type, bias), inputs, {out[0], out[1], out[2]},
                     {u32(in[0].rows() / tokens), u32(tokens), u32(heads), u32(kv_heads), u32(in[2].shape()[1]), first},
                     encoder.flat_invocations(tokens * (heads * columns + kv_heads * (k_units + v_units)), size),
                     {.local_size = size,
                      .constants = {{"COLUMNS", static_cast<int>(columns)},
                                    {"K_UNITS", static_cast<int>(k_units)},
                                    {"V_UNITS", static_cast<int>(v_units)},
                                    {"BIAS", bias},
                                    {"INTERLEAVED", pairing == RopePairing::interleaved}}});
  }

  void eval_cpu(Reference in, ReferenceOut out) const override {
    const std::size_t tokens = out[0].shape[0], d = out[0].last(), kv_heads = in[2].shape[0], capacity = in[2].shape[1],
                      all = heads + 2 * kv_heads, parts = in[0].rows() / tokens;
    out[1].values = in[2].values;
    out[2].values = in[3].values;
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t head = 0; head < all; ++head) {
        std::vector<double> x(d), y(d);
        for (std::size_t i = 0; i < d; ++i) {
          for (std::size_t p = 0; p < parts; ++p) x[i] += in[0].values[((p * tokens + t) * all + head) * d + i];
          if (bias) x[i] += in[4].values[head * d + i];
        }
        const bool interleaved = pairing == RopePairing::interleaved;
        for (std::size_t pair = 0; pair < d / 2; ++pair) {
          const double angle = head < heads + kv_heads ? rope_angle(in[1], pair, first.value() + t) : 0;
          const std::size_t a = interleaved ? 2 * pair : pair, b = interleaved ? a + 1 : a + d / 2;
          y[a] = x[a] * std::cos(angle) - x[b] * std::sin(angle);
          y[b] = x[a] * std::sin(angle) + x[b] * std::cos(angle);
        }
        if (head < heads) {
          std::copy(y.begin(), y.end(), &out[0].values[(t * heads + head) * d]);
        } else if (first.value() + t < capacity) {
          const std::size_t kv = head - heads, to = kv < kv_heads ? 1 : 2;
          pack_row(y.data(), d, to == 1 ? k_type : v_type,
                   &out[to].values[(kv % kv_heads * capacity + first.value() + t) * out[to].last()]);
        }
      }
  }

  Cost cost(Inputs in, Outputs out) const override {
    const double rows = static_cast<double>(out[0].shape()[0] * in[2].shape()[0]);
    const double written =
        static_cast<double>(in[2].last() * size_of(in[2].dtype()) + in[3].last() * size_of(in[3].dtype()));
    return {.bytes = static_cast<double>(in[0].nbytes() + in[1].nbytes() + out[0].nbytes()) + rows * written,
            .flops = 15.0 * static_cast<double>(in[0].size())};
  }

  /// Of a q8_0 cache's words: where float32 rounds to the other side of a half, a byte is off by one, and that may be
  /// the highest of its word.
  Tolerance tolerance(Inputs, Outputs out) const override {
    double nmse = storage_nmse(out[0].dtype());
    for (const auto* cache : {&out[1], &out[2]})
      nmse = std::max(nmse, cache->dtype() == DType::u32 ? 1e-7 + 1e-4 / static_cast<double>(cache->size())
                                                         : storage_nmse(cache->dtype()));
    return {.nmse = nmse};
  }
};

QueriesAndCaches composed(const Array& qkv, const Array& bias, const Array& frequencies, const Array& keys,
                          const Array& values, const Dynamic& first, RopePairing pairing, std::size_t heads) {
  const std::size_t d = *cache_head_dim(keys), kv_heads = keys.shape()[0], width = qkv.last();
  const Array parts = qkv.ndim() == 3 ? qkv : qkv.reshape({1, qkv.shape()[0], width});
  const std::size_t tokens = parts.shape()[1];
  Array x = parts.slice(0, 0, 1).reshape({tokens, width});
  for (std::size_t p = 1; p < parts.shape()[0]; ++p) x = add(x, parts.slice(0, p, p + 1).reshape({tokens, width}));
  if (bias) x = add(x, bias);
  const auto of = [&](std::size_t from, std::size_t count) {
    return x.slice(1, from * d, (from + count) * d).reshape({tokens, count, d});
  };
  return {rope(of(0, heads), frequencies, first, pairing),
          kv_pack(keys, rope(of(heads, kv_heads), frequencies, first, pairing), first),
          kv_pack(values, of(heads + kv_heads, kv_heads), first)};
}

}  // namespace

std::shared_ptr<const Primitive> rope_kv_primitive(const Dynamic& first, RopePairing pairing, std::size_t heads,
                                                   const Array& keys, const Array& values, bool bias) {
  return std::make_shared<RopeKv>(first, pairing, heads, cache_type(keys), cache_type(values), bias);
}

QueriesAndCaches rope_kv(const Array& qkv, const Array& bias, const Array& frequencies, const Array& keys,
                         const Array& values, const Dynamic& first, RopePairing pairing, Fusion fusion) {
  const auto head_dim = cache_head_dim(keys);
  require(head_dim && cache_head_dim(values) == head_dim && values.shape()[0] == keys.shape()[0] &&
              values.shape()[1] == keys.shape()[1],
          "[rope_kv] keys and values must be caches of one [kv_heads, capacity, d], received {} {} and {} {}",
          name_of(keys.dtype()), keys.shape(), name_of(values.dtype()), values.shape());
  const std::size_t d = *head_dim, kv_heads = keys.shape()[0];
  require((qkv.ndim() == 2 || qkv.ndim() == 3) && qkv.dtype() == DType::f32 && qkv.size() > 0 && qkv.last() % d == 0 &&
              qkv.last() / d > 2 * kv_heads,
          "[rope_kv] qkv must be f32 [T, (heads + {}) {}] or [P, T, ..], received {} {}", 2 * kv_heads, d,
          name_of(qkv.dtype()), qkv.shape());
  require(!bias || (bias.shape() == Shape{qkv.last()} && is_float(bias.dtype())),
          "[rope_kv] bias must be float [{}], received {} {}", qkv.last(), bias ? name_of(bias.dtype()) : "",
          bias ? bias.shape() : Shape{});
  require(d % 2 == 0 && frequencies.shape() == Shape{d / 2, 2} && frequencies.dtype() == DType::u32,
          "[rope_kv] frequencies must be u32 [{}, 2] for heads of {}, received {} {}", d / 2, d,
          name_of(frequencies.dtype()), frequencies.shape());
  const std::size_t heads = qkv.last() / d - 2 * kv_heads, tokens = qkv.shape()[qkv.ndim() - 2];
  if (fusion == Fusion::off || d % 8 != 0) return composed(qkv, bias, frequencies, keys, values, first, pairing, heads);
  std::vector<Array> inputs{qkv, frequencies, keys, values};
  if (bias) inputs.push_back(bias);
  const auto primitive =
      std::make_shared<RopeKv>(first, pairing, heads, cache_type(keys), cache_type(values), bool(bias));
  auto made = Array::make_all(
      {{{tokens, heads, d}, DType::f32}, {keys.shape(), keys.dtype()}, {values.shape(), values.dtype()}}, primitive,
      std::move(inputs));
  return {made[0], made[1], made[2]};
}

namespace {

const Registration rope_kv_registered{
    "rope_kv", "queries and keys turned, keys and values into their caches", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      struct Case {
        std::size_t parts, tokens, heads, kv_heads, d, capacity;
      };
      const auto cases = size == SampleSize::bench
                             ? std::vector<Case>{{1, 1, 32, 8, 128, 1024}, {1, 256, 32, 8, 128, 1024}}
                             : std::vector<Case>{{1, 1, 1, 1, 8, 1}, {3, 2, 6, 2, 48, 9}, {2, 5, 4, 4, 64, 33}};
      for (const auto& c : cases)
        for (const auto type : {CacheType::f32, CacheType::f16, CacheType::q8_0})
          for (const auto pairing : {RopePairing::half_split, RopePairing::interleaved}) {
            if (type == CacheType::q8_0 && c.d % 32 != 0) continue;
            const auto first = static_cast<std::uint32_t>(random.integer(0, c.capacity - c.tokens));
            const std::size_t width = (c.heads + 2 * c.kv_heads) * c.d;
            samples.push_back(
                {fmt::format("{} parts, {} tokens, {} heads, {} KV heads, d {}, {} cache, {} at {}", c.parts, c.tokens,
                             c.heads, c.kv_heads, c.d, name_of(type),
                             pairing == RopePairing::interleaved ? "interleaved" : "half split", first),
                 [=, x = random.normal({c.parts, c.tokens, width}), bias = random.normal({width}),
                  f = plain_rope_frequencies(c.d), k = random_kv_cache(random, type, c.kv_heads, c.capacity, c.d),
                  v = random_kv_cache(random, type, c.kv_heads, c.capacity, c.d)](Fusion fusion) {
                   return rope_kv(x, c.parts == 3 ? bias : Array(), f, k, v, Dynamic(first), pairing, fusion).q;
                 },
                 true});
          }
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
