#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support.h"

// Small model files, valid and broken, written down byte by byte: independent of the readers under test.
namespace glassbox::testing {

/// The bytes of a number, little-endian.
template <class T>
std::string raw(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

inline std::filesystem::path write_file(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::remove(path);  // ext4 flushes a file that is truncated and written again: milliseconds each
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

/// A safetensors file: `header` as it is given, true or not, then `data` bytes that count up from 0.
inline std::string safetensors_file(const std::string& header, std::size_t data) {
  std::string out = raw<std::uint64_t>(header.size()) + header;
  for (std::size_t i = 0; i < data; ++i) out += static_cast<char>(i);
  return out;
}

/// The header entry of one tensor.
inline std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

/// A GGUF file, part by part. Type numbers are the format's own.
class GgufBuilder {
 public:
  static std::string string(std::string_view text) { return raw<std::uint64_t>(text.size()) + std::string(text); }

  GgufBuilder& key(std::string_view name, std::uint32_t type, const std::string& value) {
    keys_ += string(name) + raw(type) + value;
    ++key_count;
    return *this;
  }
  GgufBuilder& u32(std::string_view name, std::uint32_t value) { return key(name, 4, raw(value)); }
  GgufBuilder& f32(std::string_view name, float value) { return key(name, 6, raw(value)); }
  GgufBuilder& flag(std::string_view name, bool value) { return key(name, 7, raw<std::uint8_t>(value)); }
  GgufBuilder& text(std::string_view name, std::string_view value) { return key(name, 8, string(value)); }
  GgufBuilder& array(std::string_view name, std::uint32_t type, std::uint64_t count, const std::string& elements) {
    return key(name, 9, raw(type) + raw(count) + elements);
  }
  /// `dims` are innermost first, as the file has them; `bytes` of data follow the last tensor's, aligned.
  GgufBuilder& tensor(std::string_view name, std::vector<std::uint64_t> dims, std::uint32_t type, std::size_t bytes) {
    data_.resize((data_.size() + 31) / 32 * 32);
    tensor_at(name, dims, type, data_.size());
    for (std::size_t i = 0; i < bytes; ++i) data_ += static_cast<char>(i);
    return *this;
  }
  /// A tensor's header alone.
  GgufBuilder& tensor_at(std::string_view name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                         std::uint64_t offset) {
    tensors_ += string(name) + raw(static_cast<std::uint32_t>(dims.size()));
    for (const auto dim : dims) tensors_ += raw(dim);
    tensors_ += raw(type) + raw(offset);
    ++tensor_count;
    return *this;
  }
  std::string build() const {
    std::string out = magic + raw(version) + raw(tensor_count) + raw(key_count) + keys_ + tensors_;
    if (tensor_count > 0) out.resize((out.size() + 31) / 32 * 32);
    return out + data_;
  }

  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t tensor_count = 0, key_count = 0;

 private:
  std::string keys_, tensors_, data_;
};

/// The keys of a Llama model of width 64, 2 layers, 4 heads on 2, vocabulary 3; a caller leaves some out or adds more.
inline GgufBuilder llama_keys(const std::vector<std::string>& without = {}) {
  GgufBuilder gguf;
  const auto wanted = [&](const std::string& key) { return std::ranges::count(without, key) == 0; };
  if (wanted("general.architecture")) gguf.text("general.architecture", "llama");
  const std::vector<std::pair<std::string, std::uint32_t>> sizes{{"llama.embedding_length", 64},
                                                                 {"llama.feed_forward_length", 96},
                                                                 {"llama.block_count", 2},
                                                                 {"llama.attention.head_count", 4},
                                                                 {"llama.attention.head_count_kv", 2},
                                                                 {"llama.context_length", 128},
                                                                 {"llama.vocab_size", 3}};
  for (const auto& [key, value] : sizes)
    if (wanted(key)) gguf.u32(key, value);
  if (wanted("llama.attention.layer_norm_rms_epsilon")) gguf.f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  return gguf;
}

/// config.json of such a model in today's style, with the changes of `patch` (an RFC 7396 merge patch: null removes).
inline std::string config_json(const std::string& patch = "{}") {
  auto config = nlohmann::json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 1, "dtype": "float16",
    "eos_token_id": 2, "head_dim": 16, "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 96,
    "max_position_embeddings": 128, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 4,
    "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}, "tie_word_embeddings": true, "vocab_size": 32})");
  config.merge_patch(nlohmann::json::parse(patch));
  return config.dump();
}

/// Calls `check` with `count` damaged copies of `valid`: some bytes changed, cut short, or grown. Same copies each run.
template <class Check>
void with_damaged_copies(const std::string& valid, int count, Check check) {
  std::mt19937 random(20240229);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  for (int i = 0; i < count; ++i) {
    std::string copy = valid;
    for (std::size_t flips = 1 + below(3); flips > 0; --flips) {
      // Mostly small or extreme values, and mostly early bytes: that is where the lengths and counts are.
      const std::string_view extremes("\x00\x01\x7f\x80\xff", 5);
      const std::size_t at = below(2) == 0 ? below(copy.size()) : below(std::min<std::size_t>(copy.size(), 512));
      copy[at] = below(2) == 0 ? extremes[below(extremes.size())] : static_cast<char>(random());
    }
    if (below(4) == 0) copy.resize(below(copy.size() + 64));
    check(copy);
  }
}

}  // namespace glassbox::testing
