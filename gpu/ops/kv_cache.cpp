#include "gpu/ops/kv_cache.h"

#include <algorithm>

#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/primitive.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

const Kernel pack_kernel{
    .name = "kv_pack",
    .inputs = {"x"},
    .outputs = {"cache"},
    .params = {param<std::uint32_t>("tokens"), param<std::uint32_t>("capacity"), param<std::uint32_t>("first")},
    .body = shader_source("kv_pack.comp")};
const Kernel unpack_kernel{.name = "kv_unpack",
                           .inputs = {"cache"},
                           .outputs = {"y"},
                           .params = {param<std::uint32_t>("rows"), param<std::uint32_t>("capacity"),
                                      param<std::uint32_t>("extra"), param<std::uint32_t>("length")},
                           .body = shader_source("kv_unpack.comp")};

struct KvPack final : Primitive {
  explicit KvPack(Dynamic position) : first(std::move(position)) {}
  Dynamic first;

  std::string_view name() const override { return "kv_pack"; }
  std::optional<std::size_t> in_place(std::size_t) const override { return 0; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.map_size();
    const std::size_t tokens = in[1].shape()[0], heads = in[1].shape()[1], steps = (in[1].last() + 3) / 4;
    encoder.dispatch(pack_kernel, {in[1]}, {out[0]},
                     {static_cast<std::uint32_t>(tokens), static_cast<std::uint32_t>(in[0].shape()[1]), first},
                     encoder.flat_invocations(tokens * heads * steps, size), {.local_size = size});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    const std::size_t tokens = in[1].shape[0], heads = in[1].shape[1], capacity = in[0].shape[1];
    out[0].values = in[0].values;
    for (std::size_t t = 0; t < tokens && first.value() + t < capacity; ++t)
      for (std::size_t head = 0; head < heads; ++head)
        out[0].matrix().row(Eigen::Index(head * capacity + first.value() + t)) =
            in[1].matrix().row(Eigen::Index(t * heads + head));
  }
  Cost cost(Inputs in, Outputs) const override {
    return {.bytes = static_cast<double>(in[1].nbytes() + in[1].size() * size_of(in[0].dtype()))};
  }
  Tolerance tolerance(Inputs, Outputs out) const override { return {.nmse = storage_nmse(out[0].dtype(), 0)}; }
};

struct KvUnpack final : Primitive {
  KvUnpack(Dynamic position, std::size_t tokens) : first(std::move(position)), extra(tokens) {}
  Dynamic first;
  std::size_t extra;

  std::string_view name() const override { return "kv_unpack"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.map_size();
    encoder.dispatch(unpack_kernel, {in[0]}, {out[0]},
                     {static_cast<std::uint32_t>(in[0].rows()), static_cast<std::uint32_t>(in[0].shape()[1]),
                      static_cast<std::uint32_t>(extra), first},
                     encoder.flat_invocations(in[0].rows() * ((in[0].last() + 3) / 4), size), {.local_size = size});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    const std::size_t capacity = in[0].shape[1];
    out[0].flat() = 0;
    for (std::size_t row = 0; row < in[0].rows(); ++row)
      if (row % capacity < first.value() + extra)
        out[0].matrix().row(Eigen::Index(row)) = in[0].matrix().row(Eigen::Index(row));
  }
  Cost cost(Inputs in, Outputs out) const override {
    const double used =
        std::min(1.0, static_cast<double>(first.value() + extra) / static_cast<double>(in[0].shape()[1]));
    return {.bytes = used * static_cast<double>(in[0].nbytes()) + static_cast<double>(out[0].nbytes())};
  }
  Tolerance tolerance(Inputs, Outputs) const override { return {.nmse = 0}; }
};

}  // namespace

Array kv_pack(const Array& cache, const Array& x, const Dynamic& first) {
  require(cache.ndim() == 3 && is_float(cache.dtype()),
          "[kv_pack] cache must be float [heads, capacity, d], received {} {}", name_of(cache.dtype()), cache.shape());
  require(x.ndim() == 3 && is_float(x.dtype()) && x.size() > 0 && x.shape()[1] == cache.shape()[0] &&
              x.last() == cache.last(),
          "[kv_pack] x must be float [T, {}, {}] for the cache {}, received {} {}", cache.shape()[0], cache.last(),
          cache.shape(), name_of(x.dtype()), x.shape());
  require(size_of(cache.dtype()) == 4 || cache.last() % 2 == 0,
          "[kv_pack] a {} cache needs an even head size, received {}", name_of(cache.dtype()), cache.last());
  return Array::make(cache.shape(), cache.dtype(), std::make_shared<KvPack>(first), {cache, x});
}

Array kv_unpack(const Array& cache, const Dynamic& first, std::size_t extra) {
  require(cache.ndim() == 3 && is_float(cache.dtype()) && cache.size() > 0,
          "[kv_unpack] cache must be float [heads, capacity, d], received {} {}", name_of(cache.dtype()),
          cache.shape());
  return Array::make(cache.shape(), DType::f32, std::make_shared<KvUnpack>(first, extra), {cache});
}

namespace {

std::vector<Sample> samples(Random& random, SampleSize size, bool pack) {
  std::vector<Sample> list;
  struct Case {
    std::size_t heads, capacity, d, tokens;
  };
  const auto cases = size == SampleSize::bench
                         ? std::vector<Case>{{32, 1024, 128, 512}}
                         : std::vector<Case>{{1, 1, 2, 1}, {3, 17, 6, 5}, {2, 40, 16, 3}, {4, 9, 64, 9}};
  for (const auto& c : cases)
    for (const auto dtype : {DType::f32, DType::f16, DType::bf16}) {
      const auto first = static_cast<std::uint32_t>(random.integer(0, c.capacity - c.tokens));
      list.push_back(
          {fmt::format("{} [{}, {}, {}], {} at {}", name_of(dtype), c.heads, c.capacity, c.d, c.tokens, first),
           [=, cache = random.normal({c.heads, c.capacity, c.d}, dtype),
            x = random.normal({c.tokens, c.heads, c.d})](Fusion) {
             return pack ? kv_pack(cache, x, Dynamic(first)) : kv_unpack(cache, Dynamic(first), c.tokens);
           }});
    }
  return list;
}

const Registration registered_pack{"kv_pack", "cache[head][first + t] = x[t][head]",
                                   [](Random& r, SampleSize s) { return samples(r, s, true); }};
const Registration registered_unpack{"kv_unpack", "cache to float32",
                                     [](Random& r, SampleSize s) { return samples(r, s, false); }};

}  // namespace
}  // namespace glassbox::gpu
