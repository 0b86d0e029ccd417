#include "model/sentencepiece_proto.h"

#include <algorithm>
#include <bit>
#include <bitset>
#include <cmath>
#include <limits>
#include <set>
#include <unordered_set>

#include "gpu/error.h"
#include "model/protobuf.h"
#include "model/sentencepiece_charsmap.h"
#include "model/utf8.h"

namespace glassbox::model {
namespace {

// Field numbers of sentencepiece_model.proto.
namespace model_field {
constexpr std::uint32_t pieces = 1, trainer_spec = 2, normalizer_spec = 3, denormalizer_spec = 5;
}
namespace piece_field {
constexpr std::uint32_t piece = 1, score = 2, type = 3;
}
namespace trainer_field {
constexpr std::uint32_t model_type = 3, vocab_size = 4, treat_whitespace_as_suffix = 24, byte_fallback = 35,
                        unknown_surface = 44, bos_piece = 46, eos_piece = 47;
}
namespace normalizer_field {
constexpr std::uint32_t name = 1, precompiled_charsmap = 2, add_dummy_prefix = 3, remove_extra_whitespaces = 4,
                        escape_whitespaces = 5;
}
constexpr std::uint64_t model_type_bpe = 2;

struct TrainerSpec {
  std::string bos_piece = "<s>", eos_piece = "</s>";
};

void read_piece(std::string_view bytes, std::string_view source, Vocabulary& vocabulary) {
  std::string piece;
  float score = 0;
  auto type = PieceType::normal;
  ProtoReader reader(bytes, source);
  while (const auto field = reader.next()) {
    if (field->number == piece_field::piece && field->wire == WireType::bytes) piece = field->bytes;
    if (field->number == piece_field::score && field->wire == WireType::fixed32)
      score = std::bit_cast<float>(static_cast<std::uint32_t>(field->value));
    // A value outside the enumeration is ignored, as protobuf prescribes.
    if (field->number == piece_field::type && field->wire == WireType::varint && field->value >= 1 && field->value <= 6)
      type = static_cast<PieceType>(field->value);
  }
  vocabulary.pieces.push_back(std::move(piece));
  vocabulary.scores.push_back(score);
  vocabulary.types.push_back(type);
}

void read_trainer_spec(std::string_view bytes, std::string_view source, SentencePieceModel& model, TrainerSpec& spec) {
  ProtoReader reader(bytes, source);
  while (const auto field = reader.next()) {
    if (field->wire == WireType::bytes) {
      if (field->number == trainer_field::unknown_surface) model.unknown_surface = field->bytes;
      if (field->number == trainer_field::bos_piece) spec.bos_piece = field->bytes;
      if (field->number == trainer_field::eos_piece) spec.eos_piece = field->bytes;
    } else if (field->number == trainer_field::treat_whitespace_as_suffix && field->value != 0) {
      fail("{}: treat_whitespace_as_suffix is not supported, expected spaces in front of words", source);
    }
  }
}

void read_normalizer_spec(std::string_view bytes, std::string_view source, SentencePieceModel& model) {
  ProtoReader reader(bytes, source);
  while (const auto field = reader.next()) {
    if (field->number == normalizer_field::precompiled_charsmap && field->wire == WireType::bytes)
      check_charsmap(field->bytes, source);
    if (field->wire != WireType::varint) continue;
    if (field->number == normalizer_field::add_dummy_prefix) model.vocabulary.add_space_prefix = field->value != 0;
    if (field->number == normalizer_field::remove_extra_whitespaces) model.remove_extra_whitespaces = field->value != 0;
  }
}

void refuse_denormalizer(std::string_view bytes, std::string_view source) {
  ProtoReader reader(bytes, source);
  while (const auto field = reader.next())
    require(field->number != normalizer_field::precompiled_charsmap || field->bytes.empty(),
            "{}: a denormalizer is not supported", source);
}

// What is common to both containers, so that neither the library nor our decoder meets a surprise.
void check_pieces(const Vocabulary& vocabulary, std::string_view source) {
  // PrefixMatcher::PrefixMatch has room for 64 user-defined pieces that are prefixes of one another.
  constexpr std::size_t most_nested = 64;
  std::set<std::string_view> user_defined;
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const std::string& piece = vocabulary.pieces[id];
    require(!find_invalid_utf8(piece), "{}: the piece of token {} is not valid UTF-8", source, id);
    require(std::isfinite(vocabulary.scores[id]), "{}: the score of token {} is not finite", source, id);
    if (vocabulary.types[id] == PieceType::byte)
      require(byte_of_piece(piece) >= 0, "{}: token {} is a byte, expected a piece like <0x0A>, found {:?}", source, id,
              piece);
    if (vocabulary.types[id] != PieceType::user_defined) continue;
    require(piece.find('\0') == std::string::npos, "{}: the user-defined piece of token {} holds a NUL", source, id);
    user_defined.insert(piece);
  }
  std::vector<std::string_view> prefixes;  // sorted order visits every prefix of a piece before the piece
  for (const std::string_view piece : user_defined) {
    while (!prefixes.empty() && !piece.starts_with(prefixes.back())) prefixes.pop_back();
    prefixes.push_back(piece);
    require(prefixes.size() <= most_nested, "{}: more than {} user-defined pieces are prefixes of one another", source,
            most_nested);
  }
}

}  // namespace

int byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') return -1;
  constexpr std::string_view digits = "0123456789ABCDEF";
  const auto high = digits.find(piece[3]), low = digits.find(piece[4]);
  return high == digits.npos || low == digits.npos ? -1 : static_cast<int>(high * 16 + low);
}

SentencePieceModel parse_sentencepiece(std::string_view bytes, std::string_view source) {
  // The flags of the normaliser are true unless the model says otherwise.
  SentencePieceModel model{.vocabulary = {.model = "llama"}, .remove_extra_whitespaces = true};
  TrainerSpec trainer;
  ProtoWriter kept;  // all but the self test, whose failures the library prints
  ProtoReader reader(bytes, source);
  while (const auto field = reader.next()) {
    if (field->wire != WireType::bytes) continue;
    switch (field->number) {
      case model_field::pieces:
        read_piece(field->bytes, source, model.vocabulary);
        break;
      case model_field::trainer_spec:
        read_trainer_spec(field->bytes, source, model, trainer);
        break;
      case model_field::normalizer_spec:
        read_normalizer_spec(field->bytes, source, model);
        break;
      case model_field::denormalizer_spec:
        refuse_denormalizer(field->bytes, source);
        continue;
      default:
        continue;
    }
    kept.bytes(field->number, field->bytes);
  }
  Vocabulary& vocabulary = model.vocabulary;
  require(!vocabulary.pieces.empty(), "{}: not a SentencePiece model, it holds no pieces", source);
  check_pieces(vocabulary, source);
  require(!find_invalid_utf8(model.unknown_surface), "{}: unk_surface is not valid UTF-8", source);
  for (std::uint32_t id = 0; id < vocabulary.pieces.size(); ++id) {
    if (vocabulary.types[id] == PieceType::unknown) vocabulary.unknown = id;
    if (vocabulary.types[id] != PieceType::control) continue;
    if (vocabulary.pieces[id] == trainer.bos_piece) vocabulary.bos = id;
    if (vocabulary.pieces[id] == trainer.eos_piece) vocabulary.eos = id;
  }
  vocabulary.add_bos = vocabulary.bos.has_value();
  model.proto = kept.message();
  return model;
}

namespace {

// The vocabulary with nothing left out: scores, types and ids as llama.cpp assumes them where the container has none.
Vocabulary completed(Vocabulary vocabulary, std::string_view source) {
  const std::size_t size = vocabulary.pieces.size();
  require(vocabulary.model != "gpt2",
          "{}: byte-level BPE (tokenizer.ggml.model \"gpt2\") is not supported, expected SentencePiece (\"llama\")",
          source);
  require(vocabulary.model == "llama",
          "{}: tokenizer.ggml.model {:?} is not supported, expected SentencePiece (\"llama\")", source,
          vocabulary.model);
  require(size > 0 && size <= std::numeric_limits<std::int32_t>::max(), "{}: the vocabulary has {} pieces", source,
          size);
  require(vocabulary.scores.empty() || vocabulary.scores.size() == size, "{}: expected {} scores, found {}", source,
          size, vocabulary.scores.size());
  require(vocabulary.types.empty() || vocabulary.types.size() == size, "{}: expected {} token types, found {}", source,
          size, vocabulary.types.size());
  const auto check_id = [&](const char* name, const std::optional<std::uint32_t>& id) {
    require(!id || *id < size, "{}: the {} token is {}, the vocabulary has {}", source, name, id.value_or(0), size);
  };
  check_id("BOS", vocabulary.bos);
  check_id("EOS", vocabulary.eos);
  check_id("end-of-turn", vocabulary.eot);
  check_id("unknown", vocabulary.unknown);

  vocabulary.scores.resize(size);
  if (vocabulary.types.empty()) {
    for (const std::string& piece : vocabulary.pieces)
      vocabulary.types.push_back(byte_of_piece(piece) >= 0 ? PieceType::byte : PieceType::normal);
    for (const std::uint32_t id : {vocabulary.bos.value_or(1), vocabulary.eos.value_or(2)})
      if (id < size) vocabulary.types[id] = PieceType::control;
  }
  for (std::size_t id = 0; id < size; ++id) {
    const auto type = static_cast<std::int32_t>(vocabulary.types[id]);
    require(type >= 1 && type <= 6, "{}: token {} has type {}, expected 1 to 6", source, id, type);
  }
  if (!vocabulary.unknown) {
    const auto found = std::find(vocabulary.types.begin(), vocabulary.types.end(), PieceType::unknown);
    vocabulary.unknown =
        found == vocabulary.types.end() ? 0u : static_cast<std::uint32_t>(found - vocabulary.types.begin());
  }
  vocabulary.types[*vocabulary.unknown] = PieceType::unknown;
  const auto assume = [&](std::optional<std::uint32_t>& id, std::uint32_t usual) {
    if (!id && usual < size && vocabulary.types[usual] == PieceType::control) id = usual;
  };
  assume(vocabulary.bos, 1);
  assume(vocabulary.eos, 2);
  vocabulary.add_bos = vocabulary.add_bos && vocabulary.bos;
  return vocabulary;
}

std::string with_escaped_spaces(std::string_view piece) {
  std::string escaped;
  for (const char c : piece) c == ' ' ? escaped += "\u2581" : escaped += c;
  return escaped;
}

}  // namespace

SentencePieceModel to_sentencepiece(const Vocabulary& given, std::string_view source) {
  SentencePieceModel model{.vocabulary = completed(given, source)};
  const Vocabulary& vocabulary = model.vocabulary;
  check_pieces(vocabulary, source);
  std::bitset<256> bytes;
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id)
    if (vocabulary.types[id] == PieceType::byte)
      bytes.set(static_cast<std::size_t>(byte_of_piece(vocabulary.pieces[id])));

  ProtoWriter proto;
  std::unordered_set<std::string> names;
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    PieceType type = vocabulary.types[id];
    std::string name = vocabulary.pieces[id];
    // Converters store user-defined pieces with plain spaces; the library matches after spaces became U+2581.
    if (type == PieceType::user_defined) name = with_escaped_spaces(name);
    const bool from_text = type == PieceType::normal || type == PieceType::user_defined || type == PieceType::unused ||
                           (type == PieceType::byte && bytes.all());
    if (!from_text || name.empty() || !names.insert(name).second) {
      name = fmt::format("\x01{}", id);
      if (id != vocabulary.unknown) type = PieceType::control;
    }
    ProtoWriter piece;
    piece.bytes(piece_field::piece, name);
    piece.float32(piece_field::score, vocabulary.scores[id]);
    piece.varint(piece_field::type, static_cast<std::uint64_t>(type));
    proto.bytes(model_field::pieces, piece.message());
  }
  ProtoWriter trainer;
  trainer.varint(trainer_field::model_type, model_type_bpe);
  trainer.varint(trainer_field::vocab_size, vocabulary.pieces.size());
  trainer.varint(trainer_field::byte_fallback, bytes.all());
  proto.bytes(model_field::trainer_spec, trainer.message());
  ProtoWriter normalizer;
  normalizer.bytes(normalizer_field::name, "identity");
  normalizer.varint(normalizer_field::add_dummy_prefix, vocabulary.add_space_prefix);
  normalizer.varint(normalizer_field::remove_extra_whitespaces, false);
  normalizer.varint(normalizer_field::escape_whitespaces, true);
  proto.bytes(model_field::normalizer_spec, normalizer.message());
  model.proto = proto.message();
  return model;
}

}  // namespace glassbox::model
