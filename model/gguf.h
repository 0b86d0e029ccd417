#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gpu/error.h"
#include "model/mapped_file.h"
#include "model/vocabulary.h"
#include "model/weights.h"

namespace glassbox::model {

/// The types of metadata values, as the file numbers them.
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

/// A metadata value where it lies in the file. An array's elements are of `element`, `count` of them.
struct GgufValue {
  GgufType type = GgufType::u8;
  GgufType element = GgufType::u8;
  std::uint64_t count = 1;
  std::span<const std::byte> bytes;  ///< a string's characters; an array's elements as the file has them
};

/// A GGUF file, version 2 or 3, little-endian (github.com/ggml-org/ggml, docs/gguf.md). It may hold a vocabulary and no
/// tensors.
class Gguf {
 public:
  /// Throws Error naming the file, and the key or tensor, for anything malformed: every length, count and offset is
  /// checked against the file before it is used.
  static Gguf open(const std::filesystem::path& path);

  std::uint32_t version() const { return version_; }
  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  const std::string& name() const { return file_->name(); }  ///< the path, for messages

  /// The value of `key`, or nullopt where the file has no such key. T is std::uint64_t (from any integer type),
  /// double (from any number), bool, std::string, or a std::vector of std::string, float or std::int32_t.
  /// Throws Error where the value is of another type or does not fit.
  template <class T>
  std::optional<T> find(std::string_view key) const;
  /// find, but throws Error where the key is missing.
  template <class T>
  T at(std::string_view key) const {
    auto value = find<T>(key);
    require(value.has_value(), "{}: key {} is missing", name(), in_quotes(key));
    return *std::move(value);
  }

  /// The tensors under their Hugging Face names (hugging_face_name), shapes outermost first; weights() keeps the file
  /// mapped on its own. Q and K of Llama models are in GGUF's row order: see gpu::RopePairing::interleaved.
  const Weights& weights() const { return weights_; }
  /// Throws Error where the file has no tensors, or only some of a model that is split into several files.
  void require_model() const;
  /// The tokenizer.ggml.* keys; nullopt where the file has no tokens. Throws Error where they contradict each other.
  std::optional<Vocabulary> vocabulary() const;
  /// tokenizer.chat_template, a Jinja template; empty where there is none.
  std::string chat_template() const { return find<std::string>("tokenizer.chat_template").value_or(""); }

 private:
  explicit Gguf(std::shared_ptr<const MappedFile> file) : file_(std::move(file)), weights_(file_->name()) {}

  std::shared_ptr<const MappedFile> file_;
  std::uint32_t version_ = 0;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  Weights weights_;
};

/// "blk.3.attn_q.weight" as "model.layers.3.self_attn.q_proj.weight", and so on; names without a Hugging Face
/// counterpart ("rope_freqs.weight", the divisors of the RoPE frequencies) stay as they are.
std::string hugging_face_name(std::string_view gguf_name);
/// The inverse.
std::string gguf_name(std::string_view hugging_face_name);

/// GGML's number for a type of tensor.
std::uint32_t ggml_type(StorageType type);

}  // namespace glassbox::model
