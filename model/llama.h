#pragma once

#include <vector>

#include "gpu/dynamic.h"
#include "gpu/ops/kv_cache.h"
#include "gpu/ops/packed_matmul.h"
#include "gpu/ops/rope.h"
#include "gpu/packed.h"
#include "gpu/primitive.h"
#include "model/config.h"
#include "model/kv_cache.h"
#include "model/upload.h"

namespace glassbox::model {

/// Which rows of a chunk get logits.
enum class LogitRows { last, all };

/// The Llama family (Touvron et al. 2023): pre-norm Transformer with RMSNorm, RoPE, GQA and SwiGLU. Weights live on the
/// device; forward() builds a graph and computes nothing.
class Llama {
 public:
  Llama(const ModelConfig& config, Uploader& upload, const Weights& weights, gpu::Fusion fusion,
        gpu::Activations activations);

  /// Of unspecified content.
  KvCache make_cache(std::size_t capacity, gpu::CacheType keys, gpu::CacheType values) const;

  /// Logits float32 [T or 1, vocab] of the tokens u32 [T] at positions position, position + 1, ..., whose keys and
  /// values the graph writes into the cache. `longest`: tokens in the context, these included, for which the graph will
  /// be run at most; 0: the capacity.
  gpu::Array forward(const gpu::Array& tokens, const KvCache& cache, const gpu::Dynamic& position, LogitRows rows,
                     std::size_t longest = 0) const;

 private:
  struct Linear {
    gpu::PackedMatrix weight;  // [out, in]
    gpu::Array bias;           // [out] or empty
  };
  struct Layer {
    gpu::Array input_norm, post_attention_norm;
    Linear qkv, o, gate, up, down;
    gpu::PackedMatrix
        gate_up;  // both in one, where their type and the lack of biases allow: then gate and up are empty
  };
  gpu::Array attend(const Layer& layer, const gpu::Array& h, const gpu::Array& keys, const gpu::Array& values,
                    const gpu::Dynamic& position, std::size_t longest) const;
  gpu::Array feed_forward(const Layer& layer, const gpu::Array& h) const;
  /// forward() of one token whose activations meet the weights as float16.
  gpu::Array forward_half(const gpu::Array& token, const KvCache& cache, const gpu::Dynamic& position,
                          std::size_t longest) const;
  bool takes_half() const;
  /// norm(h) w^T + bias, [T, N]; without a norm where `norm` is empty.
  gpu::Array project(const gpu::Array& h, const gpu::Array& norm, const Linear& linear) const;
  /// h + x w^T + bias.
  gpu::Array add_projection(const gpu::Array& h, const gpu::Array& x, const Linear& linear) const;

  ModelConfig config_;
  gpu::Fusion fusion_;
  gpu::Activations activations_;
  bool halves_ = false;  ///< one token runs by forward_half()
  gpu::RopePairing pairing_;
  gpu::PackedMatrix embedding_;
  gpu::Array norm_, rope_frequencies_;
  Linear head_;
  std::vector<Layer> layers_;
};

/// Radians a position of each pair of a head, scaled as the config says: theta^(-2i/d), divided by a factor (linear),
/// or by wavelength (Llama 3.1). `divisors` [d/2], where not empty, divides once more (GGUF's rope_freqs.weight).
std::vector<double> rope_radians(const ModelConfig& config, std::span<const double> divisors);

}  // namespace glassbox::model
