#include "gpu/ops/kv_cache.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/primitive.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

constexpr std::size_t q8_0_block = 32;  // numbers of a q8_0 scale

/// Words of a q8_0 row.
std::size_t q8_0_row(std::size_t head_dim) { return head_dim / 4 + (head_dim / q8_0_block + 3) / 4 * 4; }

DType dtype_of(CacheType type) {
  constexpr DType dtypes[] = {DType::f32, DType::f16, DType::bf16, DType::u32};
  return dtypes[static_cast<std::size_t>(type)];
}

Kernel pack_kernel(CacheType type) {
  return {.name = type == CacheType::q8_0 ? "kv_pack_q8_0" : "kv_pack",
          .inputs = {"x"},
          .outputs = {"cache"},
          .params = {param<std::uint32_t>("tokens"), param<std::uint32_t>("capacity"), param<std::uint32_t>("first")},
          .body = shader_source(type == CacheType::q8_0 ? "kv_pack_q8_0.comp" : "kv_pack.comp")};
}
Kernel unpack_kernel(CacheType type) {
  return {.name = type == CacheType::q8_0 ? "kv_unpack_q8_0" : "kv_unpack",
          .inputs = {"cache"},
          .outputs = {"y"},
          .params = {param<std::uint32_t>("rows"), param<std::uint32_t>("capacity"), param<std::uint32_t>("extra"),
                     param<std::uint32_t>("length")},
          .body = shader_source(type == CacheType::q8_0 ? "kv_unpack_q8_0.comp" : "kv_unpack.comp")};
}

struct KvPack final : Primitive {
  KvPack(Dynamic position, CacheType cache_type) : first(std::move(position)), type(cache_type) {}
  Dynamic first;
  CacheType type;

  std::string_view name() const override { return "kv_pack"; }
  std::optional<std::size_t> in_place(std::size_t) const override { return 0; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.map_size();
    const std::size_t tokens = in[1].shape()[0], heads = in[1].shape()[1];
    const std::size_t steps = type == CacheType::q8_0 ? in[1].last() / q8_0_block : (in[1].last() + 3) / 4;
    encoder.dispatch(pack_kernel(type), {in[1]}, {out[0]},
                     {static_cast<std::uint32_t>(tokens), static_cast<std::uint32_t>(in[0].shape()[1]), first},
                     encoder.flat_invocations(tokens * heads * steps, size), {.local_size = size});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    const std::size_t tokens = in[1].shape[0], heads = in[1].shape[1], capacity = in[0].shape[1], d = in[1].last();
    out[0].values = in[0].values;
    for (std::size_t t = 0; t < tokens && first.value() + t < capacity; ++t)
      for (std::size_t head = 0; head < heads; ++head)
        pack_row(&in[1].values[(t * heads + head) * d], d, type,
                 &out[0].values[(head * capacity + first.value() + t) * out[0].last()]);
  }
  Cost cost(Inputs in, Outputs) const override {
    return {.bytes = static_cast<double>(in[1].nbytes() + in[1].rows() * in[0].last() * size_of(in[0].dtype()))};
  }
  Tolerance tolerance(Inputs, Outputs out) const override {
    return {.nmse = type == CacheType::q8_0 ? 0 : storage_nmse(out[0].dtype(), 0)};
  }
};

struct KvUnpack final : Primitive {
  KvUnpack(Dynamic position, std::size_t tokens, CacheType cache_type)
      : first(std::move(position)), extra(tokens), type(cache_type) {}
  Dynamic first;
  std::size_t extra;
  CacheType type;

  std::string_view name() const override { return "kv_unpack"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.map_size();
    const std::size_t steps = type == CacheType::q8_0 ? out[0].last() / 16 : (in[0].last() + 3) / 4;
    encoder.dispatch(unpack_kernel(type), {in[0]}, {out[0]},
                     {static_cast<std::uint32_t>(in[0].rows()), static_cast<std::uint32_t>(in[0].shape()[1]),
                      static_cast<std::uint32_t>(extra), first},
                     encoder.flat_invocations(in[0].rows() * steps, size), {.local_size = size});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    const std::size_t capacity = in[0].shape[1];
    out[0] = cache_values(in[0], type);
    for (std::size_t row = 0; row < out[0].rows(); ++row)
      if (row % capacity >= first.value() + extra) out[0].matrix().row(Eigen::Index(row)).setZero();
  }
  Cost cost(Inputs in, Outputs out) const override {
    const double used =
        std::min(1.0, static_cast<double>(first.value() + extra) / static_cast<double>(in[0].shape()[1]));
    return {.bytes = used * static_cast<double>(in[0].nbytes()) + static_cast<double>(out[0].nbytes())};
  }
  Tolerance tolerance(Inputs, Outputs) const override { return {.nmse = 0}; }
};

}  // namespace

std::string_view name_of(CacheType type) {
  constexpr std::string_view names[] = {"f32", "f16", "bf16", "q8_0"};
  return names[static_cast<std::size_t>(type)];
}

CacheType parse_cache_type(std::string_view text, std::string_view flag) {
  for (const auto type : {CacheType::f32, CacheType::f16, CacheType::bf16, CacheType::q8_0})
    if (name_of(type) == text) return type;
  fail("{} {}: expected f32, f16, bf16 or q8_0", flag, text);
}

Array make_kv_cache(CacheType type, std::size_t heads, std::size_t capacity, std::size_t head_dim,
                    std::string_view flag) {
  const std::size_t step = type == CacheType::q8_0 ? q8_0_block : type == CacheType::f32 ? 1 : 2;
  require(head_dim > 0 && head_dim % step == 0, "{} {}: needs heads of a multiple of {}, this model's have {}", flag,
          name_of(type), step, head_dim);
  return Array::empty({heads, capacity, type == CacheType::q8_0 ? q8_0_row(head_dim) : head_dim}, dtype_of(type));
}

CacheType cache_type(const Array& cache) {
  return cache.dtype() == DType::f32    ? CacheType::f32
         : cache.dtype() == DType::f16  ? CacheType::f16
         : cache.dtype() == DType::bf16 ? CacheType::bf16
                                        : CacheType::q8_0;
}

std::optional<std::size_t> cache_head_dim(const Array& cache) {
  if (cache.ndim() != 3 || cache.size() == 0) return std::nullopt;
  if (is_float(cache.dtype())) return cache.last();
  std::size_t head_dim = q8_0_block;
  while (q8_0_row(head_dim) < cache.last()) head_dim += q8_0_block;
  if (cache.dtype() != DType::u32 || q8_0_row(head_dim) != cache.last()) return std::nullopt;
  return head_dim;
}

Tensor64 cache_values(const Tensor64& cache, CacheType type) {
  if (type != CacheType::q8_0) return cache;
  std::size_t d = q8_0_block;
  while (q8_0_row(d) < cache.last()) d += q8_0_block;
  Tensor64 out{{cache.shape[0], cache.shape[1], d}, std::vector<double>(cache.rows() * d)};
  for (std::size_t row = 0; row < cache.rows(); ++row)
    for (std::size_t i = 0; i < d; ++i) {
      const double* words = &cache.values[row * cache.last()];
      const auto byte = static_cast<std::uint32_t>(words[i / 4]) >> i % 4 * 8 & 255u;
      const auto scale = std::bit_cast<float>(static_cast<std::uint32_t>(words[d / 4 + i / q8_0_block]));
      out.values[row * d + i] = (static_cast<double>(byte) - 128) * static_cast<double>(scale);
    }
  return out;
}

void pack_row(const double* x, std::size_t head_dim, CacheType type, double* row) {
  if (type != CacheType::q8_0) {
    std::copy_n(x, head_dim, row);
    return;
  }
  for (std::size_t b = 0; b < head_dim / q8_0_block; ++b) {
    float largest = 0;
    for (std::size_t i = 0; i < q8_0_block; ++i)
      largest = std::max(largest, std::abs(static_cast<float>(x[b * q8_0_block + i])));
    const float scale = largest / 127.0f, inverse = scale > 0 ? 1.0f / scale : 0.0f;  // in float32, as ggml's
    for (std::size_t w = 0; w < q8_0_block / 4; ++w) {
      std::uint32_t word = 0;
      for (std::size_t i = 0; i < 4; ++i) {
        const float rounded = std::round(static_cast<float>(x[b * q8_0_block + w * 4 + i]) * inverse);
        word |= static_cast<std::uint32_t>(static_cast<int>(rounded) + 128) << 8 * i;
      }
      row[b * (q8_0_block / 4) + w] = word;
    }
    const double exact[] = {static_cast<double>(scale)};
    const auto half = to_float64(from_float64(exact, DType::f16), DType::f16)[0];
    row[head_dim / 4 + b] = std::bit_cast<std::uint32_t>(static_cast<float>(half));
  }
}

Array kv_pack(const Array& cache, const Array& x, const Dynamic& first) {
  const auto head_dim = cache_head_dim(cache);
  require(head_dim.has_value(), "[kv_pack] cache must be float [heads, capacity, d] or q8_0, received {} {}",
          name_of(cache.dtype()), cache.shape());
  require(
      x.ndim() == 3 && is_float(x.dtype()) && x.size() > 0 && x.shape()[1] == cache.shape()[0] && x.last() == *head_dim,
      "[kv_pack] x must be float [T, {}, {}] for the cache {}, received {} {}", cache.shape()[0], *head_dim,
      cache.shape(), name_of(x.dtype()), x.shape());
  require(size_of(cache.dtype()) == 4 || cache.last() % 2 == 0,
          "[kv_pack] a {} cache needs an even head size, received {}", name_of(cache.dtype()), cache.last());
  return Array::make(cache.shape(), cache.dtype(), std::make_shared<KvPack>(first, cache_type(cache)), {cache, x});
}

Array kv_unpack(const Array& cache, const Dynamic& first, std::size_t extra) {
  const auto head_dim = cache_head_dim(cache);
  require(head_dim.has_value(), "[kv_unpack] cache must be float [heads, capacity, d] or q8_0, received {} {}",
          name_of(cache.dtype()), cache.shape());
  return Array::make({cache.shape()[0], cache.shape()[1], *head_dim}, DType::f32,
                     std::make_shared<KvUnpack>(first, extra, cache_type(cache)), {cache});
}

Array random_kv_cache(Random& random, CacheType type, std::size_t heads, std::size_t capacity, std::size_t head_dim) {
  if (type != CacheType::q8_0) return random.normal({heads, capacity, head_dim}, dtype_of(type));
  std::vector<double> words(heads * capacity * q8_0_row(head_dim), 0.0), row(head_dim);
  std::normal_distribution<double> normal;
  for (std::size_t at = 0; at < words.size(); at += q8_0_row(head_dim)) {
    for (auto& x : row) x = normal(random.engine());
    pack_row(row.data(), head_dim, type, &words[at]);
  }
  return Array::from_values({heads, capacity, q8_0_row(head_dim)}, DType::u32, words);
}

namespace {

std::vector<Sample> cache_samples(Random& random, SampleSize size, bool pack) {
  std::vector<Sample> list;
  struct Case {
    std::size_t heads, capacity, d, tokens;
  };
  const auto cases = size == SampleSize::bench
                         ? std::vector<Case>{{32, 1024, 128, 512}}
                         : std::vector<Case>{{1, 1, 2, 1}, {3, 17, 6, 5}, {2, 40, 16, 3}, {4, 9, 64, 9}};
  for (const auto& c : cases)
    for (const auto type : {CacheType::f32, CacheType::f16, CacheType::bf16, CacheType::q8_0}) {
      if (type == CacheType::q8_0 && c.d % q8_0_block != 0) continue;
      const auto first = static_cast<std::uint32_t>(random.integer(0, c.capacity - c.tokens));
      list.push_back(
          {fmt::format("{} [{}, {}, {}], {} at {}", name_of(type), c.heads, c.capacity, c.d, c.tokens, first),
           [=, cache = random_kv_cache(random, type, c.heads, c.capacity, c.d),
            x = random.normal({c.tokens, c.heads, c.d})](Fusion) {
             return pack ? kv_pack(cache, x, Dynamic(first)) : kv_unpack(cache, Dynamic(first), c.tokens);
           }});
    }
  return list;
}

const Registration kv_pack_registered{"kv_pack", "cache[head][first + t] = x[t][head]",
                                      [](Random& r, SampleSize s) { return cache_samples(r, s, true); }};
const Registration kv_unpack_registered{"kv_unpack", "cache to float32",
                                        [](Random& r, SampleSize s) { return cache_samples(r, s, false); }};

}  // namespace
}  // namespace glassbox::gpu
