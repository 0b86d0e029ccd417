#include "gpu/ops/attention.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "gpu/device.h"
#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/ops/elementwise.h"
#include "gpu/ops/kv_cache.h"
#include "gpu/ops/matmul.h"
#include "gpu/ops/softmax.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

Kernel attention_kernel(unsigned block, unsigned invocations) {
  return {.name = "attention",
          .inputs = {"q", "k", "v", "so_far"},
          .outputs = {"y", "state"},
          .params = {param<std::uint32_t>("heads"), param<std::uint32_t>("kv_heads"), param<std::uint32_t>("first"),
                     param<float>("scale"), param<std::uint32_t>("from"), param<std::uint32_t>("to")},
          .shared = {{.name = "weights", .type = "float", .fixed = block},
                     {.name = "sums", .type = "vec4", .fixed = invocations}},
          .body = shader_source("attention.comp")};
}

struct Attention final : Primitive {
  Attention(Dynamic position, float score_scale) : first(std::move(position)), scale(score_scale) {}
  Dynamic first;
  float scale;

  std::string_view name() const override { return "attention"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto& device = encoder.device();
    const auto columns = static_cast<unsigned>((in[0].last() + 3) / 4);
    const unsigned widest = std::min(device.features().software ? 16u : 128u, device.limits().invocations);
    const unsigned size = std::max(widest, std::bit_ceil(columns));
    const unsigned block = device.features().software ? 64 : 256;
    const auto u32 = [](std::size_t v) { return static_cast<std::uint32_t>(v); };
    const std::size_t tokens = in[0].shape()[0], heads = in[0].shape()[1], capacity = in[1].shape()[1];
    // llvmpipe ends the loops of an invocation, silently, after 65535 iterations of them all: 3 a key for a head of
    // 512.
    const std::size_t segment =
        device.features().software ? (std::size_t{1} << 21) / std::max(columns, 128u) : capacity;
    const Array state = encoder.temporary({tokens, heads, 2}, DType::f32);
    for (std::size_t from = 0; from < capacity; from += segment)
      encoder.dispatch(attention_kernel(block, size), {in[0], in[1], in[2], out[0]}, {out[0], state},
                       {u32(heads), u32(in[1].shape()[0]), first, scale, u32(from), u32(from + segment)},
                       {u32(heads), u32(tokens)},
                       {.local_size = size,
                        .constants = {{"BLOCK", static_cast<int>(block)},
                                      {"COLUMNS", static_cast<int>(columns)},
                                      {"PARTS", static_cast<int>(size / columns)},
                                      {"RESUMES", segment < capacity}}});
  }

  void eval_cpu(Reference in, ReferenceOut out) const override {
    const std::size_t tokens = in[0].shape[0], heads = in[0].shape[1], capacity = in[1].shape[1],
                      group = heads / in[1].shape[0];
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t head = 0; head < heads; ++head) {
        const auto seen = Eigen::Index(std::min<std::size_t>(first.value() + t + 1, capacity));
        const auto at = Eigen::Index(head / group * capacity);
        const Eigen::VectorXd scores = in[1].matrix().middleRows(at, seen) *
                                       in[0].matrix().row(Eigen::Index(t * heads + head)).transpose() * double(scale);
        const Eigen::VectorXd weights = (scores.array() - scores.maxCoeff()).exp();
        out[0].matrix().row(Eigen::Index(t * heads + head)) =
            (weights.transpose() * in[2].matrix().middleRows(at, seen)) / weights.sum();
      }
  }

  Cost cost(Inputs in, Outputs out) const override {
    const double tokens = static_cast<double>(in[0].shape()[0]), seen = first.value() + (tokens + 1) / 2,
                 heads = static_cast<double>(in[0].shape()[1]);
    const double d = static_cast<double>(in[0].last()), kv_heads = static_cast<double>(in[1].shape()[0]);
    return {.bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes()) +
                     2 * kv_heads * (first.value() + tokens) * d * static_cast<double>(size_of(in[1].dtype())),
            .flops = tokens * heads * seen * (4 * d + 25)};
  }
};

/// scores = q k^T over the whole capacity, masked; what the fused kernel never stores.
Array composed(const Array& q, const Array& keys, const Array& values, const Dynamic& first, float factor) {
  const std::size_t tokens = q.shape()[0], heads = q.shape()[1], d = q.last(), kv_heads = keys.shape()[0],
                    capacity = keys.shape()[1], group = heads / kv_heads;
  const auto each_head = [&](const Array& cache) {  // a KV head repeated for the query heads that share it
    return kv_unpack(cache, first, tokens)
        .reshape({kv_heads, 1, capacity, d})
        .broadcast_to({kv_heads, group, capacity, d})
        .reshape({heads, capacity, d});
  };
  const Array scores = scale(matmul(q.transpose({1, 0, 2}), each_head(keys)), factor);
  const Array weights = softmax(causal_mask(scores, first));
  return matmul(weights, each_head(values).transpose({0, 2, 1})).transpose({1, 0, 2}).reshape({tokens, heads, d});
}

}  // namespace

Array attention(const Array& q, const Array& keys, const Array& values, const Dynamic& first, float scale,
                Fusion fusion) {
  require(q.ndim() == 3 && is_float(q.dtype()) && q.size() > 0,
          "[attention] q must be float [T, heads, d], received {} {}", name_of(q.dtype()), q.shape());
  require(keys.ndim() == 3 && is_float(keys.dtype()) && keys.size() > 0 && keys.last() == q.last(),
          "[attention] keys must be float [kv_heads, capacity, {}] for q {}, received {} {}", q.last(), q.shape(),
          name_of(keys.dtype()), keys.shape());
  require(values.shape() == keys.shape() && is_float(values.dtype()),
          "[attention] values must be {} as the keys, received {} {}", keys.shape(), name_of(values.dtype()),
          values.shape());
  require(q.shape()[1] % keys.shape()[0] == 0, "[attention] {} query heads do not divide among {} KV heads",
          q.shape()[1], keys.shape()[0]);
  const unsigned most = Device::current().limits().invocations;
  require((q.last() + 3) / 4 <= most, "[attention] a head of {} does not fit this device's workgroups of {}", q.last(),
          most);
  if (fusion == Fusion::off) return composed(q, keys, values, first, scale);
  return Array::make(q.shape(), DType::f32, std::make_shared<Attention>(first, scale), {q, keys, values});
}

namespace {

const Registration registered{
    "attention", "softmax(scale q k^T) v, causal, GQA", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      struct Case {
        std::size_t tokens, heads, kv_heads, d, capacity;
      };
      const auto cases =
          size == SampleSize::bench
              ? std::vector<Case>{{1, 32, 8, 128, 1024}, {64, 32, 8, 128, 1024}}
              : std::vector<Case>{
                    {1, 8, 8, 2, 1}, {3, 4, 2, 6, 9}, {5, 8, 2, 16, 70}, {2, 3, 1, 48, 130}, {1, 2, 2, 64, 301}};
      for (const auto& c : cases)
        for (const auto dtype : {DType::f32, DType::f16}) {
          const auto first = static_cast<std::uint32_t>(
              size == SampleSize::bench ? c.capacity - c.tokens : random.integer(0, c.capacity - c.tokens));
          samples.push_back(
              {fmt::format("{} cache, {} of {} heads, {} KV heads, d {}, at {}", name_of(dtype), c.tokens, c.heads,
                           c.kv_heads, c.d, first),
               [=, q = random.normal({c.tokens, c.heads, c.d}), k = random.normal({c.kv_heads, c.capacity, c.d}, dtype),
                v = random.normal({c.kv_heads, c.capacity, c.d}, dtype)](Fusion fusion) {
                 return attention(q, k, v, Dynamic(first), 1.0f / std::sqrt(static_cast<float>(c.d)), fusion);
               },
               true});
        }
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
