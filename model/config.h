#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gpu/ops/rope.h"
#include "model/gguf.h"

namespace glassbox::model {

/// How the RoPE frequencies are stretched beyond the context a model was trained on.
struct RopeScaling {
  enum class Type : std::uint8_t { none, linear, llama3 };
  Type type = Type::none;
  double factor = 1;
  double low_freq_factor = 1;  ///< llama3 only, as are those below
  double high_freq_factor = 1;
  std::size_t original_max_position_embeddings = 0;
};

/// What a model of the Llama family is, whichever file says so. Sizes are in elements, validated: positive, heads
/// divide evenly, head_dim is even.
struct ModelConfig {
  std::string architecture;  ///< "llama"
  std::size_t hidden_size = 0;
  std::size_t intermediate_size = 0;
  std::size_t num_hidden_layers = 0;
  std::size_t num_attention_heads = 0;
  std::size_t num_key_value_heads = 0;
  std::size_t head_dim = 0;
  std::size_t vocab_size = 0;
  std::size_t max_position_embeddings = 0;
  double rms_norm_eps = 0;
  double rope_theta = 0;
  RopeScaling rope_scaling;  ///< GGUF carries llama3's as a tensor instead: "rope_freqs.weight" divides the frequencies
  gpu::RopePairing rope_pairing =
      gpu::RopePairing::half_split;  ///< GGUF's Llama files: interleaved, their Q and K rows are permuted for it
  bool tie_word_embeddings = false;  ///< the output matrix is the embedding matrix
  bool attention_bias = false;       ///< of q, k and v; the bias of o is there where the weights have one
  bool mlp_bias = false;
  std::optional<std::uint32_t> bos_token_id;
  std::vector<std::uint32_t> eos_token_ids;  ///< any of them ends an answer; may be empty
  std::string dtype;                         ///< "float16", "q4_0", ...: for people to read; may be empty
};

/// From config.json in `directory`, in today's style (rope_parameters, dtype) or the older one (rope_theta,
/// rope_scaling, torch_dtype); where generation_config.json names token ids, they take the place of config.json's, as
/// they do in transformers. Defaults are LlamaConfig's. Throws Error naming the file and key for what is missing,
/// malformed, contradictory or beyond the Llama family: architectures other than LlamaForCausalLM and (without a
/// sliding window) MistralForCausalLM.
ModelConfig config_from_hugging_face(const std::filesystem::path& directory);

/// From the general.* and llama.* keys and the names of the tensors. Throws Error as above.
ModelConfig config_from_gguf(const Gguf& gguf);

}  // namespace glassbox::model
