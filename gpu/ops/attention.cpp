#include "gpu/ops/attention.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "gpu/device.h"
#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/ops/copy.h"
#include "gpu/ops/elementwise.h"
#include "gpu/ops/kv_cache.h"
#include "gpu/ops/matmul.h"
#include "gpu/ops/softmax.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

int integer(std::size_t v) { return static_cast<int>(v); }

/// A cache in rows that kernels read by whole texels.
struct Rows {
  Array array;
  CacheType type = CacheType::f32;
  std::size_t texels = 0;                                                                            ///< a row
  std::size_t wide() const { return type == CacheType::f32 ? 1 : type == CacheType::q8_0 ? 4 : 2; }  ///< vec4 a texel
};

/// y = x, rows of y longer (zeros behind) or shorter (dropped).
void encode_pad(CommandEncoder& encoder, const Array& x, const Array& y) {
  const Kernel kernel{.name = "attention_pad",
                      .inputs = {"x"},
                      .outputs = {"y"},
                      .params = {param<std::uint32_t>("rows")},
                      .body = shader_source("attention_pad.comp")};
  const auto size = encoder.map_size();
  const std::size_t steps = divide_up(std::min(x.last(), y.last()), 4);
  encoder.dispatch(kernel, {x}, {y}, {u32(x.rows())}, encoder.flat_invocations(x.rows() * steps, size),
                   {.local_size = size});
}

Array padded(CommandEncoder& encoder, const Array& x) {
  const Array y = encoder.temporary({x.rows(), divide_up(x.last(), 4) * 4}, DType::f32);
  encode_pad(encoder, x, y);
  return y;
}

/// Rows of whole texels are read as they are, whatever is in them; others, which no model has, are padded in float32.
Rows texel_rows(CommandEncoder& encoder, const Array& cache, CacheType type) {
  const std::size_t bytes = cache.last() * size_of(cache.dtype());
  const bool whole = bytes % 16 == 0 && cache.offset() == 0;
  require(whole || is_float(cache.dtype()), "[attention] a q8_0 cache cannot be a view");
  const Array rows = whole ? cache : padded(encoder, cache);
  const std::size_t words = rows.last() * size_of(rows.dtype()) / 4;
  return {Array::on(rows.data()->storage, {rows.rows(), words}, DType::u32), whole ? type : CacheType::f32, words / 4};
}

/// The kernel's name, and its body's.
std::string name_of(AttentionKernel kernel) {
  switch (kernel) {
    case AttentionKernel::lanes:
      return "attention_lanes";
    case AttentionKernel::group:
      return "attention_group";
    case AttentionKernel::row:
      break;
  }
  return "attention_row";
}

/// Shared memory of a workgroup, and for the new token's key and value where there are any; `pieces` vec4 of its sums
/// has an invocation of attention_row.
std::vector<SharedArray> shared_arrays(const AttentionVariant& how, std::size_t columns, std::size_t pieces,
                                       bool rope) {
  const auto count = [](std::size_t n) { return static_cast<unsigned>(n); };
  if (how.kernel == AttentionKernel::lanes) return {};
  if (how.kernel == AttentionKernel::row)
    return {{.name = "turned", .fixed = count((rope ? 3 : 1) * columns * 4)},
            {.name = "totals", .fixed = how.local_size / 8},
            {.name = "rest_totals", .fixed = how.local_size},
            {.name = "sums", .type = "vec4", .per_invocation = count(pieces)},
            {.name = "rest", .type = "vec4", .per_invocation = 1}};
  std::vector<SharedArray> arrays = {{.name = "q_rows", .type = "vec4", .fixed = count(how.rows * columns)},
                                     {.name = "scores", .fixed = how.rows * how.keys * how.slots},
                                     {.name = "weights", .fixed = how.rows * how.keys},
                                     {.name = "keep", .fixed = how.rows},
                                     {.name = "peaks", .per_invocation = 1},
                                     {.name = "sums", .type = "vec4", .per_invocation = 1}};
  if (rope) arrays.push_back({.name = "new_rows", .type = "vec4", .fixed = count(2 * columns)});
  return arrays;
}

/// The part of rope_attention that is not attention.
struct RopeBefore {
  RopePairing pairing;
  bool bias;
  std::shared_ptr<const Primitive> reference;
};

/// Inputs: q, keys, values. With rope: qkv, keys, values, frequencies and, where there is one, the bias; the caches are
/// outputs then as well.
struct Attention final : Primitive {
  Attention(Dynamic position, float score_scale, AttentionVariant how, std::size_t most, CacheType keys,
            CacheType values)
      : first(std::move(position)), scale(score_scale), variant(how), longest(most), k_type(keys), v_type(values) {}
  Dynamic first;
  float scale;
  AttentionVariant variant;
  std::size_t longest;
  CacheType k_type, v_type;
  std::optional<RopeBefore> rope;

  std::string_view name() const override { return rope ? "rope_attention" : "attention"; }
  std::optional<std::size_t> in_place(std::size_t output) const override {
    return output == 0 ? std::nullopt : std::optional(output);
  }

  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const std::size_t tokens = out[0].shape()[0], heads = out[0].shape()[1], kv_heads = in[1].shape()[0],
                      group = heads / kv_heads, capacity = in[1].shape()[1], columns = divide_up(out[0].last(), 4);
    const bool whole_texels = out[0].last() % 4 == 0;
    const Array q = rope || (whole_texels && in[0].dtype() == DType::f32) ? in[0] : padded(encoder, in[0]);
    const Array y = whole_texels ? out[0] : encoder.temporary({tokens, heads, columns * 4}, DType::f32);
    const auto& how = variant;
    const bool lanes = how.kernel == AttentionKernel::lanes;
    const std::size_t parts = divide_up(longest, how.span), slots = lanes ? how.slots : 1;
    const std::size_t bands = kv_heads * divide_up(tokens * group, how.rows);

    Kernel kernel{
        .name = name_of(how.kernel),
        .inputs = {"q", "k", "v"},
        .outputs = {"y"},
        .params = {param<std::uint32_t>("rows"), param<std::uint32_t>("group"), param<std::uint32_t>("heads"),
                   param<std::uint32_t>("kv_heads"), param<std::uint32_t>("first"), param<std::uint32_t>("capacity"),
                   param<std::uint32_t>("span"), param<std::uint32_t>("parts"), param<float>("scale")},
        .body = shader_source(name_of(how.kernel) + ".comp")};
    const bool partial = parts * slots > 1;
    Constants constants{{"ROWS", integer(how.rows)},   {"KEYS", integer(how.keys)},
                        {"SLOTS", integer(how.slots)}, {"TEAM", integer(how.local_size / how.rows)},
                        {"COLUMNS", integer(columns)}, {"PARTIAL", partial}};
    if (encoder.device().features().software) constants.emplace_back("HALVES_BY_BITS", 1);
    const auto k = texel_rows(encoder, in[1], k_type), v = texel_rows(encoder, in[2], v_type);
    const auto describe = [&](const std::string& letter, const Rows& cache) {
      constants.insert(constants.end(), {{letter + "_TYPE", integer(static_cast<std::size_t>(cache.type))},
                                         {letter + "_WIDE", integer(cache.wide())},
                                         {letter + "_TEXELS", integer(columns / cache.wide())},
                                         {letter + "_ROW", integer(cache.texels)}});
    };
    describe("K", k);
    describe("V", v);
    std::vector<Array> inputs{q, k.array, v.array}, outputs{y};
    if (partial) {
      kernel.name += "_part";
      kernel.outputs.emplace_back("state");
      outputs = {encoder.temporary({tokens * heads, parts * slots, columns * 4}, DType::f32),
                 encoder.temporary({tokens * heads, parts * slots, 4}, DType::f32)};
    }
    std::vector<ParamValue> params{u32(tokens * group), u32(group),    u32(heads), u32(kv_heads), first,
                                   u32(capacity),       u32(how.span), u32(parts), scale};
    constants.emplace_back("ROPE", rope.has_value());
    if (rope) {
      kernel.name = partial ? "rope_attention_part" : "rope_attention";
      kernel.body = fmt::format("#include \"include/sincos.glsl\"\n#include \"include/{}.glsl\"\n",
                                how.kernel == AttentionKernel::row ? "rope_pair" : "rope_kv") +
                    kernel.body;
      kernel.inputs[0] = "qkv";
      kernel.inputs.insert(kernel.inputs.end(), {"frequencies"});
      kernel.outputs.insert(kernel.outputs.end(), {"keys", "values"});
      kernel.params.insert(kernel.params.end(), {param<std::uint32_t>("qkv_parts"), param<std::uint32_t>("tokens")});
      params.insert(params.end(), {u32(in[0].rows()), u32(1)});
      if (rope->bias) kernel.inputs.emplace_back("bias");
      inputs.insert(inputs.end(), in.begin() + 3, in.end());
      outputs.insert(outputs.end(), {out[1], out[2]});
      constants.insert(constants.end(),
                       {{"BIAS", rope->bias}, {"INTERLEAVED", rope->pairing == RopePairing::interleaved}});
    }
    kernel.shared = shared_arrays(how, columns, divide_up(columns / v.wide(), 8) * v.wide(), rope.has_value());
    const std::size_t groups = lanes ? divide_up(bands * slots, how.local_size) : bands;
    encoder.dispatch(kernel, inputs, outputs, params, {u32(groups), u32(parts)},
                     {.local_size = how.local_size, .constants = constants});
    if (partial) combine(encoder, outputs, y, {heads, capacity, parts, slots, columns});
    if (!whole_texels) encode_pad(encoder, y, out[0]);
  }

  struct Parts {
    std::size_t heads, capacity, parts, slots, columns;
  };
  void combine(CommandEncoder& encoder, const std::vector<Array>& in, const Array& y, const Parts& of) const {
    const Kernel kernel{
        .name = "attention_combine",
        .inputs = {"part", "state"},
        .outputs = {"y"},
        .params = {param<std::uint32_t>("rows"), param<std::uint32_t>("heads"), param<std::uint32_t>("first"),
                   param<std::uint32_t>("capacity"), param<std::uint32_t>("span"), param<std::uint32_t>("parts"),
                   param<std::uint32_t>("slots")},
        .body = shader_source("attention_combine.comp")};
    const unsigned size = encoder.device().features().software ? 8 : 32;
    encoder.dispatch(
        kernel, {in[0], in[1]}, {y},
        {u32(in[0].shape()[0]), u32(of.heads), first, u32(of.capacity), u32(variant.span), u32(of.parts),
         u32(of.slots)},
        encoder.flat_groups(in[0].shape()[0]),
        {.local_size = size,
         .constants = {{"COLUMNS", integer(of.columns)}, {"CHUNKS", integer(divide_up(of.columns, size))}}});
  }

  void eval_cpu(Reference in, ReferenceOut out) const override {
    if (!rope) return attend(in, out[0]);
    std::vector<Tensor64> turned(out.begin(), out.end()), given{in[0], in[3], in[1], in[2]};
    given.insert(given.end(), in.begin() + 4, in.end());
    rope->reference->eval_cpu(given, turned);
    attend(turned, out[0]);
    out[1] = turned[1];
    out[2] = turned[2];
  }
  void attend(Reference in, Tensor64& out) const {
    const auto keys = cache_values(in[1], k_type), values = cache_values(in[2], v_type);
    const std::size_t tokens = in[0].shape[0], heads = in[0].shape[1], capacity = in[1].shape[1],
                      group = heads / in[1].shape[0];
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t head = 0; head < heads; ++head) {
        const auto seen = Eigen::Index(std::min<std::size_t>(first.value() + t + 1, capacity));
        const auto at = Eigen::Index(head / group * capacity);
        const Eigen::VectorXd scores = keys.matrix().middleRows(at, seen) *
                                       in[0].matrix().row(Eigen::Index(t * heads + head)).transpose() * double(scale);
        const Eigen::VectorXd weights = (scores.array() - scores.maxCoeff()).exp();
        out.matrix().row(Eigen::Index(t * heads + head)) =
            (weights.transpose() * values.matrix().middleRows(at, seen)) / weights.sum();
      }
  }

  Cost cost(Inputs in, Outputs out) const override {
    const double tokens = static_cast<double>(out[0].shape()[0]), seen = first.value() + (tokens + 1) / 2,
                 heads = static_cast<double>(out[0].shape()[1]), d = static_cast<double>(out[0].last());
    const double row =
        static_cast<double>(in[1].last() * size_of(in[1].dtype()) + in[2].last() * size_of(in[2].dtype()));
    return {.bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes()) +
                     row * static_cast<double>(in[1].shape()[0]) * (first.value() + tokens),
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

std::shared_ptr<Attention> fused(const Device& device, const Shape& q, const Array& keys, const Array& values,
                                 const Dynamic& first, float scale, const AttentionOptions& options) {
  const std::size_t kv_heads = keys.shape()[0], capacity = keys.shape()[1],
                    longest = options.longest ? std::min(options.longest, capacity) : capacity;
  const auto how = options.variant.value_or(
      attention_variant(device.features(), device.limits(), q[0], kv_heads, q[1] / kv_heads, q[2], longest));
  return std::make_shared<Attention>(first, scale, how, longest, cache_type(keys), cache_type(values));
}

}  // namespace

Array attention(const Array& q, const Array& keys, const Array& values, const Dynamic& first, float scale,
                const AttentionOptions& options) {
  require(q.ndim() == 3 && is_float(q.dtype()) && q.size() > 0,
          "[attention] q must be float [T, heads, d], received {} {}", name_of(q.dtype()), q.shape());
  require(cache_head_dim(keys) == q.last(),
          "[attention] keys must be a cache [kv_heads, capacity, {}] for q {}, received {} {}", q.last(), q.shape(),
          name_of(keys.dtype()), keys.shape());
  const std::size_t kv_heads = keys.shape()[0], capacity = keys.shape()[1];
  require(cache_head_dim(values) == q.last() && values.shape()[0] == kv_heads && values.shape()[1] == capacity,
          "[attention] values must be a cache [{}, {}, {}] as the keys, received {} {}", kv_heads, capacity, q.last(),
          name_of(values.dtype()), values.shape());
  require(q.shape()[1] % kv_heads == 0, "[attention] {} query heads do not divide among {} KV heads", q.shape()[1],
          kv_heads);
  const auto& device = Device::current();
  require(divide_up(q.last(), 4) <= device.limits().invocations,
          "[attention] a head of {} does not fit this device's workgroups of {}", q.last(),
          device.limits().invocations);
  if (options.fusion == Fusion::off) return composed(q, keys, values, first, scale);
  return Array::make(q.shape(), DType::f32, fused(device, q.shape(), keys, values, first, scale, options),
                     {q, keys, values});
}

AttendedAndCaches rope_attention(const Array& qkv, const Array& bias, const Array& frequencies, const Array& keys,
                                 const Array& values, const Dynamic& first, RopePairing pairing, float scale,
                                 const AttentionOptions& options) {
  const auto made = rope_kv(qkv, bias, frequencies, keys, values, first, pairing, options.fusion);
  const Array y = attention(made.q, made.keys, made.values, first, scale, options);
  if (options.fusion == Fusion::off) return {y, made.keys, made.values};
  const auto both = fused(Device::current(), made.q.shape(), keys, values, first, scale, options);
  if (both->variant.kernel == AttentionKernel::lanes || qkv.rows() != 1 || y.last() % 8 != 0 ||
      keys.dtype() != DType::f32 || values.dtype() != DType::f32 || keys.offset() != 0 || values.offset() != 0)
    return {y, made.keys, made.values};
  both->rope = {pairing, bool(bias), rope_kv_primitive(first, pairing, y.shape()[1], keys, values, bool(bias))};
  std::vector<Array> inputs{qkv, keys, values, frequencies};
  if (bias) inputs.push_back(bias);
  const auto all = Array::make_all(
      {{made.q.shape(), options.result}, {keys.shape(), keys.dtype()}, {values.shape(), values.dtype()}}, both,
      std::move(inputs));
  return {all[0], all[1], all[2]};
}

namespace {

const Registration attention_registered{
    "attention", "softmax(scale q k^T) v, causal, GQA", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      struct Case {
        std::size_t tokens, heads, kv_heads, d, capacity;
      };
      const auto cases =
          size == SampleSize::bench
              ? std::vector<Case>{{1, 32, 8, 128, 1024}, {64, 32, 8, 128, 1024}}
              : std::vector<Case>{
                    {1, 8, 8, 2, 1}, {3, 4, 2, 6, 9}, {5, 8, 2, 32, 70}, {2, 3, 1, 48, 130}, {1, 2, 2, 64, 301}};
      for (const auto& c : cases)
        for (const auto type : {CacheType::f32, CacheType::f16, CacheType::q8_0}) {
          if (type == CacheType::q8_0 && c.d % 32 != 0) continue;
          const auto first = static_cast<std::uint32_t>(
              size == SampleSize::bench ? c.capacity - c.tokens : random.integer(0, c.capacity - c.tokens));
          samples.push_back({fmt::format("{} cache, {} of {} heads, {} KV heads, d {}, at {}", name_of(type), c.tokens,
                                         c.heads, c.kv_heads, c.d, first),
                             [=, q = random.normal({c.tokens, c.heads, c.d}),
                              k = random_kv_cache(random, type, c.kv_heads, c.capacity, c.d),
                              v = random_kv_cache(random, type, c.kv_heads, c.capacity, c.d)](Fusion fusion) {
                               const float scale = 1.0f / std::sqrt(static_cast<float>(c.d));
                               return attention(q, k, v, Dynamic(first), scale, fusion);
                             },
                             true});
        }
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
