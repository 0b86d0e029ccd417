#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/vocabulary.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace glassbox::model {

struct SentencePieceModel;

using TokenId = std::uint32_t;

/// Text to token ids and back, by SentencePiece (Kudo and Richardson 2018). Immutable; cheap to copy; safe to use from
/// several threads at once.
class Tokenizer {
 public:
  /// Loads a tokenizer.model. Throws Error naming the file where it cannot be read or is not a SentencePiece model.
  static Tokenizer from_sentencepiece(const std::filesystem::path& path);

  /// Takes the vocabulary of a GGUF, whose tokenizer.ggml.model must be "llama". `source_name` stands in errors.
  static Tokenizer from_vocabulary(const Vocabulary& vocabulary, const std::string& source_name);

  /// Ids of plain text: "<s>" in it is three characters, as a person typed them. Throws Error naming the byte offset
  /// where the text is not valid UTF-8.
  std::vector<TokenId> encode(std::string_view text, bool add_bos) const;

  /// Ids of a rendered chat template: control, unknown and user-defined pieces written in the text ("<|user|>", "</s>")
  /// become their ids, the longest first, and the stretches between them are encoded each on its own, with its own
  /// space prefix, as llama.cpp's parse_special does. No BOS is added where the text begins with one.
  std::vector<TokenId> encode_with_specials(std::string_view text, bool add_bos) const;

  /// Text of a whole sequence, always valid UTF-8; throws Error where an id is out of range.
  std::string decode(std::span<const TokenId> ids) const;

  std::size_t vocab_size() const;
  /// The piece as stored (spaces are U+2581, a byte is "<0x0A>"); throws Error where the id is out of range.
  const std::string& piece(TokenId id) const;
  PieceType type(TokenId id) const;
  bool is_control(TokenId id) const { return type(id) == PieceType::control; }
  /// True for EOS, for the container's end-of-turn token and for control or user-defined pieces that end a turn or a
  /// text in the chat formats in use ("<|im_end|>", "<|eot_id|>", "<end_of_turn>" ...).
  bool is_end(TokenId id) const;

  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  std::optional<TokenId> unknown() const;
  /// Whether the model expects BOS before a text.
  bool add_bos() const;

 private:
  friend class StreamingDecoder;
  struct State;

  Tokenizer(SentencePieceModel model, const std::string& source);
  void append_encoded(std::string_view text, std::vector<TokenId>& ids) const;
  std::optional<TokenId> special_at(std::string_view text) const;

  std::shared_ptr<const State> state_;
};

/// Turns ids into text as they arrive and never emits half a code point: bytes of byte-fallback pieces wait for their
/// last one, bytes that cannot become UTF-8 turn into U+FFFD, one each.
class StreamingDecoder {
 public:
  /// SentencePiece puts a space before a text and drops it again in decoding: at the very start, so not where the ids
  /// continue a prompt.
  explicit StreamingDecoder(Tokenizer tokenizer, bool after_prompt = false);

  /// What became final with this id, possibly nothing. Throws Error where the id is out of range.
  std::string push(TokenId id);
  /// What is left when no more ids come.
  std::string finish();

 private:
  std::string take_final();

  Tokenizer tokenizer_;
  std::string pending_;  // bytes of byte-fallback pieces that are not a code point yet
  bool at_start_;
};

}  // namespace glassbox::model
