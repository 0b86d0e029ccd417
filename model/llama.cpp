#include "model/llama.h"

#include <cmath>
#include <numbers>

#include "gpu/error.h"
#include "gpu/ops/attention.h"
#include "gpu/ops/elementwise.h"
#include "gpu/ops/embedding.h"
#include "gpu/ops/kv_cache.h"
#include "gpu/ops/matmul.h"
#include "gpu/ops/rms_norm.h"
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

gpu::Array Llama::Linear::operator()(const gpu::Array& x) const {
  const auto y = gpu::matmul(x, weight);
  return bias ? gpu::add(y, bias) : y;
}

Llama::Llama(const ModelConfig& config, Uploader& upload, const Weights& weights, gpu::Fusion fusion)
    : config_(config), fusion_(fusion), pairing_(config.rope_pairing) {
  const std::size_t hidden = config.hidden_size, d = config.head_dim, q_size = config.num_attention_heads * d,
                    kv_size = config.num_key_value_heads * d;
  const auto linear = [&](const std::string& name, std::size_t out, std::size_t in, bool bias) {
    return Linear{upload(name + ".weight", {out, in}), bias ? upload(name + ".bias", {out}) : gpu::Array()};
  };
  embedding_ = upload("model.embed_tokens.weight", {config.vocab_size, hidden});
  for (std::size_t i = 0; i < config.num_hidden_layers; ++i) {
    const auto prefix = fmt::format("model.layers.{}.", i);
    const auto attention = prefix + "self_attn.", mlp = prefix + "mlp.";
    const bool bias = config.attention_bias;
    layers_.push_back(
        {.input_norm = upload(prefix + "input_layernorm.weight", {hidden}),
         .post_attention_norm = upload(prefix + "post_attention_layernorm.weight", {hidden}),
         .q = linear(attention + "q_proj", q_size, hidden, bias),
         .k = linear(attention + "k_proj", kv_size, hidden, bias),
         .v = linear(attention + "v_proj", kv_size, hidden, bias),
         .o = linear(attention + "o_proj", hidden, q_size, bias && weights.contains(attention + "o_proj.bias")),
         .gate = linear(mlp + "gate_proj", config.intermediate_size, hidden, config.mlp_bias),
         .up = linear(mlp + "up_proj", config.intermediate_size, hidden, config.mlp_bias),
         .down = linear(mlp + "down_proj", hidden, config.intermediate_size, config.mlp_bias)});
  }
  norm_ = upload("model.norm.weight", {hidden});
  if (config.tie_word_embeddings)
    head_.weight = embedding_;
  else
    head_ = linear("lm_head", config.vocab_size, hidden, false);

  std::vector<double> divisors;
  if (weights.contains("rope_freqs.weight")) {
    const auto values = dequantize(weights.at("rope_freqs.weight", {d / 2}));
    divisors.assign(values.begin(), values.end());
  }
  rope_frequencies_ = gpu::rope_frequencies(rope_radians(config, divisors));
}

KvCache Llama::make_cache(std::size_t capacity, gpu::DType dtype) const {
  KvCache cache{.capacity = capacity};
  const gpu::Shape shape{config_.num_key_value_heads, capacity, config_.head_dim};
  for (std::size_t i = 0; i < layers_.size(); ++i)
    for (auto* list : {&cache.keys, &cache.values}) list->push_back(gpu::Array::empty(shape, dtype));
  return cache;
}

gpu::Array Llama::attend(const Layer& layer, const gpu::Array& x, const gpu::Array& keys, const gpu::Array& values,
                         const gpu::Dynamic& position) const {
  const std::size_t tokens = x.shape()[0], d = config_.head_dim, heads = config_.num_attention_heads,
                    kv_heads = config_.num_key_value_heads;
  const auto q = gpu::rope(layer.q(x).reshape({tokens, heads, d}), rope_frequencies_, position, pairing_);
  const auto k = gpu::rope(layer.k(x).reshape({tokens, kv_heads, d}), rope_frequencies_, position, pairing_);
  const auto all_keys = gpu::kv_pack(keys, k, position);
  const auto all_values = gpu::kv_pack(values, layer.v(x).reshape({tokens, kv_heads, d}), position);
  const auto y = gpu::attention(q, all_keys, all_values, position,
                                static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))), fusion_);
  return layer.o(y.reshape({tokens, heads * d}));
}

gpu::Array Llama::forward(const gpu::Array& tokens, const KvCache& cache, const gpu::Dynamic& position,
                          LogitRows rows) const {
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  gpu::Array h = gpu::embedding(tokens, embedding_);
  gpu::Array delta;  // what the last block adds to h: summed inside the next norm
  const auto normalised = [&](const gpu::Array& weight) {
    if (!delta) return gpu::rms_norm(h, weight, eps, fusion_);
    auto [sum, y] = gpu::rms_norm_residual(h, delta, weight, eps, fusion_);
    h = sum;
    return y;
  };
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const gpu::LayerScope scope(static_cast<int>(i));
    const auto& layer = layers_[i];
    delta = attend(layer, normalised(layer.input_norm), cache.keys[i], cache.values[i], position);
    const auto x = normalised(layer.post_attention_norm);
    const auto gate = layer.gate(x), up = layer.up(x);
    delta = layer.down(fusion_ == gpu::Fusion::on ? gpu::silu_mul(gate, up) : gpu::mul(gpu::silu(gate), up));
  }
  if (rows == LogitRows::last) {
    h = h.slice(0, tokens.size() - 1, tokens.size());
    delta = delta.slice(0, tokens.size() - 1, tokens.size());
  }
  return head_(normalised(norm_));
}

}  // namespace glassbox::model
