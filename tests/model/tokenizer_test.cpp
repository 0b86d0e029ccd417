#include "model/tokenizer.h"

#include <sentencepiece_processor.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "model/gguf.h"
#include "model/protobuf.h"
#include "model/sentencepiece_proto.h"
#include "model/utf8.h"
#include "tests/support.h"

namespace glassbox::model {
namespace {

using testing::shared_dir;
using testing::TempDir;
using Ids = std::vector<TokenId>;

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::filesystem::path written(const TempDir& dir, std::string_view bytes) {
  const auto path = dir.path() / "tokenizer.model";
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

Tokenizer from_gguf(const std::filesystem::path& path) {
  return Tokenizer::from_vocabulary(Gguf::open(path).vocabulary().value(), path.string());
}

// A Llama-like vocabulary: <unk> <s> </s>, the 256 bytes, then `extra` with falling scores.
Vocabulary small_vocabulary(std::vector<std::pair<std::string, PieceType>> extra = {}) {
  Vocabulary vocabulary{.model = "llama", .bos = 1, .eos = 2, .unknown = 0};
  const auto add = [&](std::string piece, PieceType type) {
    vocabulary.scores.push_back(-static_cast<float>(vocabulary.pieces.size()));
    vocabulary.pieces.push_back(std::move(piece));
    vocabulary.types.push_back(type);
  };
  add("<unk>", PieceType::unknown);
  add("<s>", PieceType::control);
  add("</s>", PieceType::control);
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), PieceType::byte);
  for (const char* piece : {"▁", "h", "i", "hi", "▁hi", "a", "b", "ab"}) add(piece, PieceType::normal);
  for (auto& [piece, type] : extra) add(std::move(piece), type);
  return vocabulary;
}
constexpr TokenId first_byte = 3, space = 259, h = 260, hi = 262, space_hi = 263, ab = 266, first_extra = 267;

Tokenizer small_tokenizer(std::vector<std::pair<std::string, PieceType>> extra = {}) {
  return Tokenizer::from_vocabulary(small_vocabulary(std::move(extra)), "small.gguf");
}

// Random text of all planes, with spaces, newlines and ASCII mixed in; without U+2581, which is how spaces are stored.
std::string random_text(std::mt19937& random) {
  std::u32string text;
  const std::size_t length = random() % 40;
  while (text.size() < length) {
    const char32_t limits[] = {0x80, 0x80, 0x800, 0x10000, 0x110000};
    const char32_t code_point = random() % limits[random() % 5];
    if ((code_point < 0xD800 || code_point >= 0xE000) && code_point != 0x2581) text += code_point;
    if (random() % 4 == 0) text += U" \n  \t"[random() % 5];
  }
  return to_utf8(text);
}

// The text with runs of spaces made one and none at its ends, as a model with remove_extra_whitespaces sees it.
std::string single_spaced(const std::string& text) {
  std::string result;
  for (const char c : text)
    if (c != ' ' || (!result.empty() && result.back() != ' ')) result += c;
  if (result.ends_with(' ')) result.pop_back();
  return result;
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool after_prompt = false) {
  StreamingDecoder decoder(tokenizer, after_prompt);
  std::string text;
  for (const TokenId id : ids) {
    text += decoder.push(id);
    EXPECT_EQ(find_invalid_utf8(text), std::nullopt);
  }
  return text + decoder.finish();
}

class SharedModel : public ::testing::TestWithParam<const char*> {};

TEST_P(SharedModel, GivesThePublishedIdsPiecesAndText) {
  const std::string name = fmt::format("tokenizers/{}", GetParam());
  REQUIRE_SHARED(name + ".model");
  const auto tokenizer = Tokenizer::from_sentencepiece(shared_dir() / (name + ".model"));
  const auto expected = nlohmann::json::parse(contents(shared_dir() / (name + ".expected.json")));
  ASSERT_GE(expected["cases"].size(), 50u);
  for (const auto& example : expected["cases"]) {
    const std::string text = example["text"];
    const Ids ids = tokenizer.encode(text, false);
    EXPECT_EQ(ids, example["ids"].get<Ids>()) << text;
    std::vector<std::string> pieces;
    for (const TokenId id : ids) pieces.push_back(tokenizer.piece(id));
    EXPECT_EQ(pieces, example["pieces"].get<std::vector<std::string>>()) << text;
    EXPECT_EQ(tokenizer.decode(ids), example["decoded"].get<std::string>());
  }
}
INSTANTIATE_TEST_SUITE_P(Tokenizers, SharedModel, ::testing::Values("llama-32k", "mistral-v1"));

class SharedGguf : public ::testing::TestWithParam<const char*> {};

TEST_P(SharedGguf, GivesTheIdsLlamaCppPublishes) {
  const std::string name = fmt::format("tokenizers/ggml-vocab-{}.gguf", GetParam());
  REQUIRE_SHARED(name);
  const auto tokenizer = from_gguf(shared_dir() / name);
  const std::string inputs = contents(shared_dir() / (name + ".inp"));
  std::istringstream outputs(contents(shared_dir() / (name + ".out")));
  const std::string separator = "\n__ggml_vocab_test__\n";
  std::size_t cases = 0;
  for (std::size_t at = 0, end; (end = inputs.find(separator, at)) != std::string::npos; at = end + separator.size()) {
    const std::string text = inputs.substr(at, end - at);
    std::string line;
    ASSERT_TRUE(std::getline(outputs, line));
    std::istringstream numbers(line);
    const Ids expected{std::istream_iterator<TokenId>(numbers), {}};
    EXPECT_EQ(tokenizer.encode(text, false), expected) << text;
    EXPECT_EQ(tokenizer.encode_with_specials(text, false), expected) << text;
    EXPECT_EQ(tokenizer.decode(expected), text);
    ++cases;
  }
  EXPECT_GE(cases, 40u);
}
INSTANTIATE_TEST_SUITE_P(Vocabularies, SharedGguf, ::testing::Values("llama-spm", "phi-3"));

TEST(Tokenizer, TheSameModelFromBothContainersGivesTheSameIds) {
  REQUIRE_SHARED("tokenizers/llama-32k.model");
  const auto model = Tokenizer::from_sentencepiece(shared_dir() / "tokenizers/llama-32k.model");
  const auto gguf = from_gguf(shared_dir() / "tokenizers/ggml-vocab-llama-spm.gguf");
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const std::string text = random_text(random);
    EXPECT_EQ(model.encode(text, true), gguf.encode(text, true));
  }
}

class EverySharedTokenizer : public ::testing::TestWithParam<const char*> {
 protected:
  static Tokenizer load() {
    const auto path = shared_dir() / GetParam();
    return path.extension() == ".gguf" ? from_gguf(path) : Tokenizer::from_sentencepiece(path);
  }
};

TEST_P(EverySharedTokenizer, DecodingUndoesEncodingOfRandomText) {
  REQUIRE_SHARED(GetParam());
  const auto tokenizer = load();
  std::mt19937 random(std::random_device{}());
  for (int i = 0; i < 300; ++i) {
    std::string text = random_text(random);
    const Ids ids = tokenizer.encode(text, i % 2 == 0);
    if (GetParam() == std::string("models/stories260K/tokenizer.model")) text = single_spaced(text);
    EXPECT_EQ(tokenizer.decode(ids), text);
    EXPECT_EQ(streamed(tokenizer, ids), text);
  }
}
INSTANTIATE_TEST_SUITE_P(Tokenizers, EverySharedTokenizer,
                         ::testing::Values("tokenizers/llama-32k.model", "tokenizers/mistral-v1.model",
                                           "models/stories260K/tokenizer.model",
                                           "models/stories260K/stories260K-q4_0.gguf",
                                           "tokenizers/ggml-vocab-llama-spm.gguf", "tokenizers/ggml-vocab-phi-3.gguf"));

class DecodeOracle : public ::testing::TestWithParam<const char*> {};

TEST_P(DecodeOracle, DecodesRandomIdsAsSentencePieceDoes) {
  REQUIRE_SHARED(GetParam());
  const auto path = shared_dir() / GetParam();
  const auto tokenizer = Tokenizer::from_sentencepiece(path);
  sentencepiece::SentencePieceProcessor oracle;
  ASSERT_TRUE(oracle.Load(path.string()).ok());
  ASSERT_EQ(tokenizer.vocab_size(), static_cast<std::size_t>(oracle.GetPieceSize()));
  EXPECT_EQ(tokenizer.bos().value_or(-1), oracle.bos_id());
  EXPECT_EQ(tokenizer.eos().value_or(-1), oracle.eos_id());
  EXPECT_EQ(tokenizer.unknown().value_or(-1), oracle.unk_id());
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) {
    // Half of them from the first 260, which are control, unknown and byte pieces.
    Ids ids(random() % 12);
    for (TokenId& id : ids) id = static_cast<TokenId>(random() % (random() % 2 == 0 ? 260 : tokenizer.vocab_size()));
    std::string expected;
    ASSERT_TRUE(oracle.Decode(std::vector<int>(ids.begin(), ids.end()), &expected).ok());
    EXPECT_EQ(streamed(tokenizer, ids), expected) << fmt::format("{}", ids);
  }
}
INSTANTIATE_TEST_SUITE_P(Tokenizers, DecodeOracle,
                         ::testing::Values("tokenizers/llama-32k.model", "models/stories260K/tokenizer.model",
                                           "models/gemma/tokenizer.model", "models/qwen2/tokenizer.model"));

TEST(Tokenizer, KnowsTheIdsOfStories260K) {
  REQUIRE_SHARED("models/stories260K/tokenizer.model");
  const auto tokenizer = Tokenizer::from_sentencepiece(shared_dir() / "models/stories260K/tokenizer.model");
  EXPECT_EQ(tokenizer.vocab_size(), 512u);
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_TRUE(tokenizer.add_bos());
  EXPECT_EQ(tokenizer.encode("Once upon a time", true).front(), 1);
  EXPECT_ERROR(tokenizer.piece(99999), "token id 99999 is out of range, the vocabulary has 512");
  EXPECT_ERROR(tokenizer.decode(Ids{512}), "token id 512 is out of range, the vocabulary has 512");
}

TEST(Tokenizer, TurnsWrittenSpecialsIntoTheirIds) {
  REQUIRE_SHARED("tokenizers/ggml-vocab-phi-3.gguf");
  const auto tokenizer = from_gguf(shared_dir() / "tokenizers/ggml-vocab-phi-3.gguf");
  const Ids hello = tokenizer.encode("Hello", false);
  Ids expected{1, 32010};
  expected.insert(expected.end(), hello.begin(), hello.end());
  expected.insert(expected.end(), {32007, 32001});
  EXPECT_EQ(tokenizer.encode_with_specials("<s><|user|>Hello<|end|><|assistant|>", true), expected);
  expected.erase(expected.begin());
  EXPECT_EQ(tokenizer.encode_with_specials("<|user|>Hello<|end|><|assistant|>", false), expected);
  EXPECT_TRUE(tokenizer.is_end(32000));  // its EOS
  EXPECT_TRUE(tokenizer.is_end(32007));  // <|end|>, which ends a turn
  EXPECT_FALSE(tokenizer.is_end(32010));
  EXPECT_TRUE(tokenizer.is_control(32010));
  EXPECT_EQ(tokenizer.decode(expected), "Hello");
}

TEST(Tokenizer, PlainEncodingLeavesSpecialsAsText) {
  const auto tokenizer = small_tokenizer({{"<|user|>", PieceType::control}});
  const Ids ids = tokenizer.encode("<|user|>", false);
  EXPECT_EQ(std::ranges::count(ids, first_extra), 0);
  EXPECT_EQ(tokenizer.decode(ids), "<|user|>");
}

TEST(Tokenizer, TheLongestSpecialWins) {
  const auto tokenizer = small_tokenizer({{"<|a", PieceType::control}, {"<|a|>", PieceType::control}});
  EXPECT_EQ(tokenizer.encode_with_specials("<|a|><|ahi", false), (Ids{first_extra + 1, first_extra, space_hi}));
}

TEST(Tokenizer, EveryStretchBetweenSpecialsGetsItsSpacePrefix) {
  const auto tokenizer = small_tokenizer({{"<|u|>", PieceType::user_defined}});
  EXPECT_EQ(tokenizer.encode_with_specials("hi<|u|>hi</s>hi", false),
            (Ids{space_hi, first_extra, space_hi, 2, space_hi}));
}

TEST(Tokenizer, WithoutASpacePrefixNoneIsAdded) {
  Vocabulary vocabulary = small_vocabulary();
  vocabulary.add_space_prefix = false;
  const auto tokenizer = Tokenizer::from_vocabulary(vocabulary, "small.gguf");
  EXPECT_EQ(tokenizer.encode("hi hi", false), (Ids{hi, space_hi}));
  EXPECT_EQ(tokenizer.decode(Ids{space_hi}), " hi");
}

TEST(Tokenizer, AddsBosOnlyOnce) {
  const auto tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.encode("hi", true), (Ids{1, space_hi}));
  EXPECT_EQ(tokenizer.encode_with_specials("hi", true), (Ids{1, space_hi}));
  EXPECT_EQ(tokenizer.encode_with_specials("<s>hi", true), (Ids{1, space_hi}));
  EXPECT_EQ(tokenizer.encode("", true), (Ids{1}));
}

TEST(Tokenizer, UserDefinedPiecesMayBeStoredWithPlainSpaces) {
  const auto tokenizer = small_tokenizer({{"  ", PieceType::user_defined}});
  EXPECT_EQ(tokenizer.encode("hi  hi", false), (Ids{space_hi, first_extra, hi}));
  EXPECT_EQ(tokenizer.decode(Ids{space_hi, first_extra, hi}), "hi  hi");
}

TEST(Tokenizer, PaddingAndDuplicatesKeepTheirIdsAndAreNeverProduced) {
  const auto tokenizer = small_tokenizer(
      {{"ab", PieceType::normal}, {"[PAD]", PieceType::unknown}, {"", PieceType::normal}, {"x", PieceType::normal}});
  EXPECT_EQ(tokenizer.encode("ab", false), (Ids{space, ab}));
  EXPECT_EQ(tokenizer.decode(Ids{first_extra}), "ab");
  EXPECT_EQ(tokenizer.piece(first_extra + 1), "[PAD]");
  EXPECT_EQ(tokenizer.encode("x", false), (Ids{space, first_extra + 3}));
}

TEST(Tokenizer, WithoutAllBytesUnknownCharactersBecomeTheUnknownPiece) {
  Vocabulary vocabulary = small_vocabulary();
  vocabulary.types[first_byte] = PieceType::normal;
  const auto tokenizer = Tokenizer::from_vocabulary(vocabulary, "small.gguf");
  EXPECT_EQ(tokenizer.encode("z", false), (Ids{space, 0}));
  EXPECT_EQ(tokenizer.decode(Ids{0}), " \u2047 ");
}

TEST(Tokenizer, AssumesWhatLlamaCppAssumesWhereTheContainerIsSilent) {
  Vocabulary vocabulary = small_vocabulary();
  vocabulary.types.clear();
  vocabulary.bos = vocabulary.eos = vocabulary.unknown = std::nullopt;
  const auto tokenizer = Tokenizer::from_vocabulary(vocabulary, "small.gguf");
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_EQ(tokenizer.unknown(), 0);
  EXPECT_EQ(tokenizer.encode("hi\n", false), (Ids{space_hi, first_byte + '\n'}));
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const auto tokenizer = small_tokenizer();
  EXPECT_ERROR(tokenizer.encode("hi\xFF", false), "text is not valid UTF-8 at byte 2");
  EXPECT_ERROR(tokenizer.encode_with_specials("<s>hi\xC3", false), "text is not valid UTF-8 at byte 5");
}

TEST(Tokenizer, EncodesNulAsAByte) {
  EXPECT_EQ(small_tokenizer().encode(std::string_view("hi\0", 3), false), (Ids{space_hi, first_byte}));
}

TEST(StreamingDecoder, HoldsBytesBackUntilTheyAreACodePoint) {
  StreamingDecoder decoder(small_tokenizer());
  EXPECT_EQ(decoder.push(first_byte + 0xF0), "");
  EXPECT_EQ(decoder.push(first_byte + 0x9F), "");
  EXPECT_EQ(decoder.push(first_byte + 0xA6), "");
  EXPECT_EQ(decoder.push(first_byte + 0x99), "🦙");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamingDecoder, ReplacesBytesThatCannotBecomeACodePoint) {
  StreamingDecoder decoder(small_tokenizer());
  EXPECT_EQ(decoder.push(first_byte + 0xE2), "");
  EXPECT_EQ(decoder.push(hi), "\uFFFDhi");
  EXPECT_EQ(decoder.push(first_byte + 0xFF), "\uFFFD");
  EXPECT_EQ(decoder.push(first_byte + 0xE2), "");
  EXPECT_EQ(decoder.push(first_byte + 0x82), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD\uFFFD");
}

TEST(StreamingDecoder, DropsTheSpacePrefixOnlyAtTheVeryStart) {
  EXPECT_EQ(streamed(small_tokenizer(), {1, space_hi, space_hi}), "hi hi");
  EXPECT_EQ(streamed(small_tokenizer(), {space, space, h}), " h");
  EXPECT_EQ(streamed(small_tokenizer(), {h, space_hi}), "h hi");
  EXPECT_EQ(streamed(small_tokenizer(), {space_hi, space_hi}, true), " hi hi");
}

TEST(TokenizerBadInput, ByteLevelBpe) {
  EXPECT_ERROR(Tokenizer::from_vocabulary({.model = "gpt2", .pieces = {"a"}}, "x.gguf"), "x.gguf: byte-level BPE");
  EXPECT_ERROR(Tokenizer::from_vocabulary({.model = "bert", .pieces = {"a"}}, "x.gguf"),
               "x.gguf: tokenizer.ggml.model \"bert\" is not supported, expected SentencePiece (\"llama\")");
}

TEST(TokenizerBadInput, ContradictoryVocabularies) {
  const auto refused = [](auto change) {
    Vocabulary vocabulary = small_vocabulary();
    change(vocabulary);
    return Tokenizer::from_vocabulary(vocabulary, "x.gguf");
  };
  EXPECT_ERROR(refused([](auto& v) { v.pieces.clear(); }), "x.gguf: the vocabulary has 0 pieces");
  EXPECT_ERROR(refused([](auto& v) { v.scores.pop_back(); }), "expected 267 scores, found 266");
  EXPECT_ERROR(refused([](auto& v) { v.types.pop_back(); }), "expected 267 token types, found 266");
  EXPECT_ERROR(refused([](auto& v) { v.eos = 267; }), "the EOS token is 267, the vocabulary has 267");
  EXPECT_ERROR(refused([](auto& v) { v.types[5] = static_cast<PieceType>(9); }), "token 5 has type 9, expected 1 to 6");
  EXPECT_ERROR(refused([](auto& v) { v.types[h] = PieceType::byte; }),
               "token 260 is a byte, expected a piece like <0x0A>");
  EXPECT_ERROR(refused([](auto& v) { v.scores[7] = NAN; }), "the score of token 7 is not finite");
  EXPECT_ERROR(refused([](auto& v) { v.pieces[h] = "\xFF"; }), "the piece of token 260 is not valid UTF-8");
}

TEST(TokenizerBadInput, MoreNestedUserDefinedPiecesThanTheLibraryHasRoomFor) {
  std::vector<std::pair<std::string, PieceType>> nested;
  for (std::size_t length = 1; length <= 64; ++length)
    nested.emplace_back(std::string(length, 'q'), PieceType::user_defined);
  EXPECT_EQ(small_tokenizer(nested).encode(std::string(64, 'q'), false), (Ids{space, first_extra + 63}));
  nested.emplace_back(std::string(65, 'q'), PieceType::user_defined);
  EXPECT_ERROR(small_tokenizer(nested), "more than 64 user-defined pieces are prefixes of one another");
}

TEST(TokenizerBadInput, FilesThatAreNoModel) {
  const TempDir dir;
  EXPECT_ERROR(Tokenizer::from_sentencepiece(dir.path() / "none.model"), "none.model: cannot be opened");
  EXPECT_ERROR(Tokenizer::from_sentencepiece(dir.path()), "cannot be opened");
  EXPECT_ERROR(Tokenizer::from_sentencepiece(written(dir, "")), "tokenizer.model: not a SentencePiece model");
  EXPECT_ERROR(Tokenizer::from_sentencepiece(written(dir, "{\"json\": 1}")), "tokenizer.model: ");
  EXPECT_ERROR(Tokenizer::from_sentencepiece(written(dir, "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")),
               "truncated protobuf message");
}

TEST(TokenizerBadInput, ATrieOfTheNormaliserThatPointsOutside) {
  const auto with_charsmap = [](std::string_view charsmap) {
    ProtoWriter piece, normalizer, model;
    piece.bytes(1, "<unk>");
    piece.varint(3, 2);
    normalizer.bytes(2, charsmap);
    model.bytes(1, piece.message());
    model.bytes(3, normalizer.message());
    const TempDir dir;
    return Tokenizer::from_sentencepiece(written(dir, model.message()));
  };
  using namespace std::string_view_literals;
  EXPECT_ERROR(with_charsmap("\x08\0\0"sv), "charsmap has 3 bytes");
  EXPECT_ERROR(with_charsmap("\x08\0\0\0abcd"sv), "claims a trie of 8 bytes, 4 are left");
  EXPECT_ERROR(with_charsmap("\x04\0\0\0\0\xFF\xFF\xFF\0"sv), "the normaliser's trie points past its end");
}

// Truncated, flipped and spliced models either load, and then encode and decode, or are refused in one line; the
// library must neither crash nor print.
TEST(TokenizerBadInput, DamagedModelsNeverCrash) {
  REQUIRE_SHARED("models/gemma/tokenizer.model");
  std::mt19937 random(3);
  for (const char* name : {"models/stories260K/tokenizer.model", "models/gemma/tokenizer.model"}) {
    const std::string good = contents(shared_dir() / name);
    int refused = 0;
    for (int i = 0; i < 60; ++i) {
      std::string bad = good;
      if (i % 3 == 0) bad.resize(random() % bad.size());
      for (std::size_t flips = random() % 8; flips > 0 && !bad.empty(); --flips)
        bad[i % 2 == 0 ? random() % bad.size() : bad.size() - 1 - random() % std::min<std::size_t>(bad.size(), 300)] ^=
            static_cast<char>(1 << random() % 8);
      ::testing::internal::CaptureStderr();
      try {
        const TempDir dir;
        const auto tokenizer = Tokenizer::from_sentencepiece(written(dir, bad));
        (void)tokenizer.decode(tokenizer.encode("Once upon a time, 你好 🦙 ﬁ", true));
      } catch (const Error& error) {
        ++refused;
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      }
      EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
    }
    EXPECT_GT(refused, 10);
  }
}

}  // namespace
}  // namespace glassbox::model
