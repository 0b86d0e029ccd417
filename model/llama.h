#pragma once

#include <vector>

#include "gpu/dynamic.h"
#include "gpu/ops/rope.h"
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
  Llama(const ModelConfig& config, Uploader& upload, const Weights& weights, gpu::Fusion fusion);

  /// Of unspecified content.
  KvCache make_cache(std::size_t capacity, gpu::DType dtype) const;

  /// Logits float32 [T or 1, vocab] of the tokens u32 [T] at positions position, position + 1, ..., whose keys and
  /// values the graph writes into the cache.
  gpu::Array forward(const gpu::Array& tokens, const KvCache& cache, const gpu::Dynamic& position,
                     LogitRows rows) const;

 private:
  struct Linear {
    gpu::Array weight, bias;  // [out, in], [out] or empty
    gpu::Array operator()(const gpu::Array& x) const;
  };
  struct Layer {
    gpu::Array input_norm, post_attention_norm;
    Linear q, k, v, o, gate, up, down;
  };
  gpu::Array attend(const Layer& layer, const gpu::Array& x, const gpu::Array& keys, const gpu::Array& values,
                    const gpu::Dynamic& position) const;

  ModelConfig config_;
  gpu::Fusion fusion_;
  gpu::RopePairing pairing_;
  gpu::Array embedding_, norm_, rope_frequencies_;
  Linear head_;
  std::vector<Layer> layers_;
};

/// Radians a position of each pair of a head, scaled as the config says: theta^(-2i/d), divided by a factor (linear),
/// or by wavelength (Llama 3.1). `divisors` [d/2], where not empty, divides once more (GGUF's rope_freqs.weight).
std::vector<double> rope_radians(const ModelConfig& config, std::span<const double> divisors);

}  // namespace glassbox::model
