#include "model/llama.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "gpu/error.h"
#include "gpu/ops/attention.h"
#include "gpu/ops/elementwise.h"
#include "gpu/ops/half_projection.h"
#include "gpu/ops/packed_matmul.h"
#include "gpu/ops/rms_norm.h"
#include "gpu/ops/rope_kv.h"
#include "model/quants.h"

namespace glassbox::model {

std::vector<double> rope_radians(const ModelConfig& config, std::span<const double> divisors) {
  const auto& scaling = config.rope_scaling;
  std::vector<double> radians;
  for (std::size_t i = 0; i < config.head_dim / 2; ++i) {
    double frequency =
        std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
    if (scaling.type == RopeScaling::Type::linear) {
      frequency /= scaling.factor;
    } else if (scaling.type == RopeScaling::Type::llama3) {
      // Long wavelengths are stretched by the factor, short ones kept, those between blended.
      const double turns =
          static_cast<double>(scaling.original_max_position_embeddings) * frequency / (2 * std::numbers::pi);
      const double kept = std::clamp(
          (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0.0, 1.0);
      frequency *= kept + (1 - kept) / scaling.factor;
    }
    if (!divisors.empty()) frequency /= divisors[i];
    radians.push_back(frequency);
  }
  return radians;
}

Llama::Llama(const ModelConfig& config, Uploader& upload, const Weights& weights, gpu::Fusion fusion,
             gpu::Activations activations)
    : config_(config), fusion_(fusion), activations_(activations), pairing_(config.rope_pairing) {
  const std::size_t hidden = config.hidden_size, d = config.head_dim, q_size = config.num_attention_heads * d,
                    kv_size = config.num_key_value_heads * d;
  // Biases stand below each other as their matrices do; a matrix without one has zeros.
  const auto linear = [&](const std::vector<MatrixPart>& parts, std::size_t in, bool bias) {
    Linear made{.weight = {}, .bias = {}};
    std::vector<MatrixPart> matrices;
    std::vector<double> values;
    for (const auto& [name, rows] : parts) {
      matrices.push_back({name + ".weight", rows});
      // That of o is optional: Qwen2 has biases for q, k and v alone.
      const bool has_bias = bias && (!name.ends_with("o_proj") || weights.contains(name + ".bias"));
      const auto own = has_bias ? dequantize(weights.at(name + ".bias", {rows})) : std::vector<float>(rows, 0);
      values.insert(values.end(), own.begin(), own.end());
    }
    made.weight = upload.matrix(matrices, in);
    if (std::any_of(values.begin(), values.end(), [](double v) { return v != 0; }))
      made.bias = gpu::Array::from_values({values.size()}, gpu::DType::f32, values);
    return made;
  };
  embedding_ = upload.matrix({{"model.embed_tokens.weight", config.vocab_size}}, hidden);
  for (std::size_t i = 0; i < config.num_hidden_layers; ++i) {
    const auto prefix = fmt::format("model.layers.{}.", i);
    const auto attention = prefix + "self_attn.", mlp = prefix + "mlp.";
    auto gate_up = config.mlp_bias ? gpu::PackedMatrix()
                                   : upload.pairs(mlp + "gate_proj.weight", mlp + "up_proj.weight",
                                                  config.intermediate_size, hidden);
    const auto apart = [&](const std::string& name) {
      return gate_up ? Linear() : linear({{mlp + name, config.intermediate_size}}, hidden, config.mlp_bias);
    };
    layers_.push_back(
        {.input_norm = upload(prefix + "input_layernorm.weight", {hidden}),
         .post_attention_norm = upload(prefix + "post_attention_layernorm.weight", {hidden}),
         .qkv =
             linear({{attention + "q_proj", q_size}, {attention + "k_proj", kv_size}, {attention + "v_proj", kv_size}},
                    hidden, config.attention_bias),
         .o = linear({{attention + "o_proj", hidden}}, q_size, config.attention_bias),
         .gate = apart("gate_proj"),
         .up = apart("up_proj"),
         .down = linear({{mlp + "down_proj", hidden}}, config.intermediate_size, config.mlp_bias),
         .gate_up = std::move(gate_up)});
  }
  norm_ = upload("model.norm.weight", {hidden});
  if (config.tie_word_embeddings)
    head_.weight = embedding_;
  else
    head_ = linear({{"lm_head", config.vocab_size}}, hidden, false);

  std::vector<double> divisors;
  if (weights.contains("rope_freqs.weight")) {
    const auto values = dequantize(weights.at("rope_freqs.weight", {d / 2}));
    divisors.assign(values.begin(), values.end());
  }
  rope_frequencies_ = gpu::rope_frequencies(rope_radians(config, divisors));
  halves_ = activations == gpu::Activations::half && fusion == gpu::Fusion::on && takes_half();
}

KvCache Llama::make_cache(std::size_t capacity, gpu::CacheType key_type, gpu::CacheType value_type) const {
  KvCache cache{.capacity = capacity};
  const std::size_t heads = config_.num_key_value_heads, d = config_.head_dim;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    cache.keys.push_back(gpu::make_kv_cache(key_type, heads, capacity, d, "--cache-type-k"));
    cache.values.push_back(gpu::make_kv_cache(value_type, heads, capacity, d, "--cache-type-v"));
  }
  return cache;
}

gpu::Array Llama::project(const gpu::Array& h, const gpu::Array& norm, const Linear& linear) const {
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  const auto y = gpu::sum_parts(gpu::packed_projection(
      h, linear.weight, {.norm = norm, .eps = eps, .fusion = fusion_, .activations = activations_}));
  return linear.bias ? gpu::add(y, linear.bias) : y;
}

gpu::Array Llama::add_projection(const gpu::Array& h, const gpu::Array& x, const Linear& linear) const {
  const auto y = gpu::sum_parts(
      gpu::packed_projection(x, linear.weight, {.residual = h, .fusion = fusion_, .activations = activations_}));
  return linear.bias ? gpu::add(y, linear.bias) : y;
}

gpu::Array Llama::attend(const Layer& layer, const gpu::Array& h, const gpu::Array& keys, const gpu::Array& values,
                         const gpu::Dynamic& position, std::size_t longest) const {
  const std::size_t tokens = h.shape()[0], d = config_.head_dim, heads = config_.num_attention_heads;
  const auto qkv = gpu::packed_projection(h, layer.qkv.weight,
                                          {.norm = layer.input_norm,
                                           .eps = static_cast<float>(config_.rms_norm_eps),
                                           .fusion = fusion_,
                                           .activations = activations_});
  const auto y = gpu::rope_attention(qkv, layer.qkv.bias, rope_frequencies_, keys, values, position, pairing_,
                                     static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))),
                                     {.longest = longest, .fusion = fusion_})
                     .y;
  return add_projection(h, y.reshape({tokens, heads * d}), layer.o);
}

gpu::Array Llama::feed_forward(const Layer& layer, const gpu::Array& h) const {
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  if (layer.gate_up) {
    const auto x = gpu::sum_parts(gpu::packed_projection(h, layer.gate_up,
                                                         {.norm = layer.post_attention_norm,
                                                          .eps = eps,
                                                          .gated = config_.intermediate_size,
                                                          .fusion = fusion_,
                                                          .activations = activations_}));
    return add_projection(h, x, layer.down);
  }
  const auto gate = project(h, layer.post_attention_norm, layer.gate),
             up = project(h, layer.post_attention_norm, layer.up);
  return add_projection(h, fusion_ == gpu::Fusion::on ? gpu::silu_mul(gate, up) : gpu::mul(gpu::silu(gate), up),
                        layer.down);
}

/// The layers' matrices are of formats that half_projection takes, and nothing is added to its products but residuals.
bool Llama::takes_half() const {
  return std::all_of(layers_.begin(), layers_.end(), [](const Layer& layer) {
    return layer.gate_up && gpu::takes_half(layer.gate_up) && gpu::takes_half(layer.qkv.weight) &&
           gpu::takes_half(layer.o.weight) && !layer.o.bias && gpu::takes_half(layer.down.weight) && !layer.down.bias;
  });
}

gpu::Array Llama::forward_half(const gpu::Array& token, const KvCache& cache, const gpu::Dynamic& position,
                               std::size_t longest) const {
  const std::size_t d = config_.head_dim, heads = config_.num_attention_heads;
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  const bool half_head = gpu::takes_half(head_.weight);
  gpu::Array h = gpu::packed_embedding(token, embedding_);
  gpu::HalfRow row = gpu::half_row(h, layers_[0].input_norm);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const gpu::LayerScope scope(static_cast<int>(i));
    const Layer& layer = layers_[i];
    const bool last = i + 1 == layers_.size();
    const auto qkv = gpu::half_projection(row, layer.qkv.weight, {.eps = eps}).y;
    const auto y = gpu::rope_attention(qkv.reshape({1, 1, qkv.last()}), layer.qkv.bias, rope_frequencies_,
                                       cache.keys[i], cache.values[i], position, pairing_,
                                       static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))),
                                       {.longest = longest, .fusion = fusion_, .result = gpu::DType::f16})
                       .y;
    const auto o = gpu::half_projection({y.reshape({1, heads * d}), {}}, layer.o.weight,
                                        {.residual = h, .next_norm = layer.post_attention_norm});
    const auto x = gpu::half_projection(o.next, layer.gate_up,
                                        {.eps = eps, .gated = config_.intermediate_size, .keep = false, .next = true});
    const auto down = gpu::half_projection(
        x.next, layer.down.weight,
        {.residual = o.y, .next_norm = last ? norm_ : layers_[i + 1].input_norm, .keep = !last || !half_head});
    h = down.y;
    row = down.next;
  }
  return half_head ? gpu::half_projection(row, head_.weight, {.eps = eps}).y : project(h, norm_, head_);
}

gpu::Array Llama::forward(const gpu::Array& tokens, const KvCache& cache, const gpu::Dynamic& position, LogitRows rows,
                          std::size_t longest) const {
  if (halves_ && tokens.size() == 1) return forward_half(tokens, cache, position, longest);
  gpu::Array h = gpu::packed_embedding(tokens, embedding_);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const gpu::LayerScope scope(static_cast<int>(i));
    h = attend(layers_[i], h, cache.keys[i], cache.values[i], position, longest);
    h = feed_forward(layers_[i], h);
  }
  if (rows == LogitRows::last) h = h.slice(0, tokens.size() - 1, tokens.size());
  return project(h, norm_, head_);
}

}  // namespace glassbox::model
