#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace glassbox::model {

/// What kind of piece an id is; the values of SentencePiece's ModelProto and of GGUF's tokenizer.ggml.token_type.
enum class PieceType : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// A tokenizer's vocabulary as a container carries it: GGUF's tokenizer.ggml.* keys.
struct Vocabulary {
  std::string model;                ///< "llama" is SentencePiece, "gpt2" byte-level BPE
  std::vector<std::string> pieces;  ///< by id; spaces are U+2581
  std::vector<float> scores;        ///< by id; empty where the container has none
  std::vector<PieceType> types;     ///< by id; empty where the container has none
  std::optional<std::uint32_t> bos, eos, eot, unknown, padding;
  bool add_bos = true;
  bool add_eos = false;
  bool add_space_prefix = true;
};

}  // namespace glassbox::model
