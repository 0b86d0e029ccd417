#include "model/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include "gpu/error.h"
#include "model/sentencepiece_proto.h"
#include "model/utf8.h"

namespace glassbox::model {
namespace {

constexpr std::string_view space_symbol = "\u2581";
constexpr std::string_view replacement_character = "\uFFFD";

constexpr std::array<std::string_view, 11> end_pieces{
    "</s>",          "<|im_end|>", "<|eot_id|>", "<|end|>",         "<|end_of_text|>", "<|endoftext|>",
    "<end_of_turn>", "<|eom_id|>", "<|eot|>",    "<|end_of_turn|>", "<|return|>"};

std::string with_spaces(std::string_view piece) {
  std::string text;
  while (true) {
    const std::size_t found = piece.find(space_symbol);
    text += piece.substr(0, found);
    if (found == piece.npos) return text;
    text += ' ';
    piece.remove_prefix(found + space_symbol.size());
  }
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  require(file.good() && std::filesystem::is_regular_file(path), "{}: cannot be opened", path.string());
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  require(!file.bad(), "{}: cannot be read", path.string());
  return bytes;
}

void check_text(std::string_view text) {
  constexpr std::size_t most_bytes = std::size_t{1} << 28;  // the library counts in int, three bytes for a space
  require(text.size() <= most_bytes, "text of {} bytes, expected at most {}", text.size(), most_bytes);
  if (const auto offset = find_invalid_utf8(text)) fail("text is not valid UTF-8 at byte {}", *offset);
}

}  // namespace

struct Tokenizer::State {
  struct Special {
    std::string text;
    TokenId id;
  };
  sentencepiece::SentencePieceProcessor processor;
  SentencePieceModel model;
  std::array<std::vector<Special>, 256> specials;  // by their first byte, longest first
};

Tokenizer::Tokenizer(SentencePieceModel model, const std::string& source) {
  auto state = std::make_shared<State>();
  try {
    const auto status = state->processor.LoadFromSerializedProto(model.proto);
    require(status.ok(), "{}: SentencePiece refuses the model: {:?}", source, status.message());
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {  // its double-array builder throws
    fail("{}: SentencePiece refuses the model: {:?}", source, error.what());
  }
  model.proto.clear();
  state->model = std::move(model);
  const Vocabulary& vocabulary = state->model.vocabulary;
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const PieceType kind = vocabulary.types[id];
    if (kind != PieceType::control && kind != PieceType::unknown && kind != PieceType::user_defined) continue;
    std::string text = with_spaces(vocabulary.pieces[id]);
    if (text.empty()) continue;
    auto& bucket = state->specials[static_cast<std::uint8_t>(text.front())];
    bucket.push_back({std::move(text), static_cast<TokenId>(id)});
  }
  for (auto& bucket : state->specials)
    std::stable_sort(bucket.begin(), bucket.end(),
                     [](const auto& a, const auto& b) { return a.text.size() > b.text.size(); });
  state_ = std::move(state);
}

Tokenizer Tokenizer::from_sentencepiece(const std::filesystem::path& path) {
  return Tokenizer(parse_sentencepiece(read_file(path), path.string()), path.string());
}

Tokenizer Tokenizer::from_vocabulary(const Vocabulary& vocabulary, const std::string& source_name) {
  return Tokenizer(to_sentencepiece(vocabulary, source_name), source_name);
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool add_bos) const {
  check_text(text);
  std::vector<TokenId> ids;
  if (add_bos && bos()) ids.push_back(*bos());
  append_encoded(text, ids);
  return ids;
}

std::vector<TokenId> Tokenizer::encode_with_specials(std::string_view text, bool add_bos) const {
  check_text(text);
  std::vector<TokenId> ids;
  std::size_t plain_start = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto special = special_at(text.substr(at));
    if (!special) {
      ++at;
      continue;
    }
    append_encoded(text.substr(plain_start, at - plain_start), ids);
    ids.push_back(*special);
    at += with_spaces(piece(*special)).size();
    plain_start = at;
  }
  append_encoded(text.substr(plain_start), ids);
  if (add_bos && bos() && (ids.empty() || ids.front() != *bos())) ids.insert(ids.begin(), *bos());
  return ids;
}

void Tokenizer::append_encoded(std::string_view text, std::vector<TokenId>& ids) const {
  std::vector<int> encoded;
  const auto status = state_->processor.Encode(text, &encoded);
  require(status.ok(), "SentencePiece cannot encode the text: {:?}", status.message());
  ids.insert(ids.end(), encoded.begin(), encoded.end());
}

std::optional<TokenId> Tokenizer::special_at(std::string_view text) const {
  for (const auto& special : state_->specials[static_cast<std::uint8_t>(text.front())])
    if (text.starts_with(special.text)) return special.id;
  return std::nullopt;
}

std::string Tokenizer::decode(std::span<const TokenId> ids) const {
  StreamingDecoder decoder(*this);
  std::string text;
  for (const TokenId id : ids) text += decoder.push(id);
  return text + decoder.finish();
}

std::size_t Tokenizer::vocab_size() const { return state_->model.vocabulary.pieces.size(); }

const std::string& Tokenizer::piece(TokenId id) const {
  require(id < vocab_size(), "token id {} is out of range, the vocabulary has {}", id, vocab_size());
  return state_->model.vocabulary.pieces[id];
}

PieceType Tokenizer::type(TokenId id) const {
  (void)piece(id);  // checks the range
  return state_->model.vocabulary.types[id];
}

bool Tokenizer::is_end(TokenId id) const {
  const PieceType kind = type(id);
  const Vocabulary& vocabulary = state_->model.vocabulary;
  if (id == vocabulary.eos || id == vocabulary.eot) return true;
  return (kind == PieceType::control || kind == PieceType::user_defined) &&
         std::find(end_pieces.begin(), end_pieces.end(), piece(id)) != end_pieces.end();
}

std::optional<TokenId> Tokenizer::bos() const { return state_->model.vocabulary.bos; }
std::optional<TokenId> Tokenizer::eos() const { return state_->model.vocabulary.eos; }
std::optional<TokenId> Tokenizer::unknown() const { return state_->model.vocabulary.unknown; }
bool Tokenizer::add_bos() const { return state_->model.vocabulary.add_bos; }

StreamingDecoder::StreamingDecoder(Tokenizer tokenizer, bool after_prompt)
    : tokenizer_(std::move(tokenizer)), at_start_(!after_prompt) {}

// The rules of SentencePieceProcessor::Decode, one piece at a time.
std::string StreamingDecoder::push(TokenId id) {
  std::string_view piece = tokenizer_.piece(id);
  const PieceType type = tokenizer_.type(id);
  if (type == PieceType::byte) {
    pending_ += static_cast<char>(byte_of_piece(piece));
    at_start_ = false;
    return take_final();
  }
  std::string text = finish();
  if (type == PieceType::control) return text;
  const SentencePieceModel& model = tokenizer_.state_->model;
  if (type == PieceType::unknown) {
    at_start_ = false;
    return text + model.unknown_surface;
  }
  if (at_start_ && (model.vocabulary.add_space_prefix || model.remove_extra_whitespaces) &&
      piece.starts_with(space_symbol)) {
    piece.remove_prefix(space_symbol.size());
    at_start_ = model.remove_extra_whitespaces;
  }
  if (!piece.empty()) at_start_ = false;
  return text + with_spaces(piece);
}

std::string StreamingDecoder::take_final() {
  std::string text;
  std::size_t at = 0;
  while (at < pending_.size()) {
    const Utf8Head head = decode_utf8(std::string_view(pending_).substr(at));
    if (head.state == Utf8State::incomplete) break;
    text += head.state == Utf8State::valid ? std::string_view(pending_).substr(at, head.length) : replacement_character;
    at += head.length;
  }
  pending_.erase(0, at);
  return text;
}

std::string StreamingDecoder::finish() {
  std::string text;
  for (std::size_t i = 0; i < pending_.size(); ++i) text += replacement_character;
  pending_.clear();
  return text;
}

}  // namespace glassbox::model
