#pragma once

#include <string>
#include <string_view>

#include "model/vocabulary.h"

namespace glassbox::model {

/// A SentencePiece ModelProto (google/sentencepiece, sentencepiece_model.proto), checked so far that the library can
/// load `proto` without reading out of bounds, aborting or printing.
struct SentencePieceModel {
  Vocabulary vocabulary;                     ///< pieces, scores and types by id; bos, eos and unknown
  std::string unknown_surface = " \u2047 ";  ///< what the unknown piece decodes to
  bool remove_extra_whitespaces = false;     ///< runs of spaces are one, those at the ends none
  std::string proto;                         ///< wire format for SentencePieceProcessor::LoadFromSerializedProto
};

/// Reads the bytes of a tokenizer.model. Throws Error naming `source` where the bytes are no ModelProto, lack pieces,
/// or hold what the library would stumble over.
SentencePieceModel parse_sentencepiece(std::string_view bytes, std::string_view source);

/// A ModelProto of type BPE with byte fallback and the identity normaliser, as Llama's is, from a GGUF vocabulary whose
/// `model` is "llama". Ids are kept; pieces that text must never turn into (a second piece of the same name, padding of
/// type unknown) are loaded under names that no text contains. As in llama.cpp, missing scores are 0 and missing ids
/// are 0 (unknown), 1 (BOS) and 2 (EOS). Throws Error naming `source`.
SentencePieceModel to_sentencepiece(const Vocabulary& vocabulary, std::string_view source);

/// The byte that a byte-fallback piece such as "<0x0A>" stands for; -1 for any other piece.
int byte_of_piece(std::string_view piece);

}  // namespace glassbox::model
