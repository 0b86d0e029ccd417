#include "model/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/quants.h"
#include "model/safetensors.h"
#include "tests/model/container_builder.h"

namespace glassbox::model {
namespace {

using glassbox::testing::GgufBuilder;
using glassbox::testing::llama_keys;
using glassbox::testing::raw;
using glassbox::testing::shared_dir;
using glassbox::testing::TempDir;
using glassbox::testing::write_file;
using ::testing::ElementsAre;

class GgufTest : public ::testing::Test {
 protected:
  Gguf open(const std::string& content) { return Gguf::open(write_file(dir.path() / "m.gguf", content)); }
  Gguf open(const GgufBuilder& gguf) { return open(gguf.build()); }
  TempDir dir;
};

const std::string three_pieces =
    GgufBuilder::string("<unk>") + GgufBuilder::string("<s>") + GgufBuilder::string("\u2581a");

GgufBuilder vocabulary_keys() {
  return GgufBuilder()
      .text("tokenizer.ggml.model", "llama")
      .array("tokenizer.ggml.tokens", 8, 3, three_pieces)
      .array("tokenizer.ggml.scores", 6, 3, raw(0.F) + raw(-1.F) + raw(-2.5F))
      .array("tokenizer.ggml.token_type", 5, 3, raw(2) + raw(3) + raw(1))
      .u32("tokenizer.ggml.bos_token_id", 1);
}

TEST_F(GgufTest, ReadsEveryTypeOfValue) {
  const auto gguf = open(GgufBuilder()
                             .key("u8", 0, "\xff")
                             .key("i8", 1, "\xff")
                             .key("u16", 2, raw<std::uint16_t>(65535))
                             .key("i16", 3, raw<std::int16_t>(-2))
                             .u32("u32", 4000000000)
                             .key("i32", 5, raw<std::int32_t>(7))
                             .f32("f32", 0.5F)
                             .flag("bool", true)
                             .text("string", "text")
                             .key("u64", 10, raw<std::uint64_t>(1ULL << 63))
                             .key("i64", 11, raw<std::int64_t>(-3))
                             .key("f64", 12, raw(0.1)));
  EXPECT_EQ(gguf.version(), 3U);
  EXPECT_EQ(gguf.at<std::uint64_t>("u8"), 255U);
  EXPECT_EQ(gguf.at<double>("i8"), -1);
  EXPECT_EQ(gguf.at<std::uint64_t>("u16"), 65535U);
  EXPECT_EQ(gguf.at<double>("i16"), -2);
  EXPECT_EQ(gguf.at<std::uint64_t>("u32"), 4000000000U);
  EXPECT_EQ(gguf.at<std::uint64_t>("i32"), 7U);
  EXPECT_EQ(gguf.at<double>("f32"), 0.5);
  EXPECT_TRUE(gguf.at<bool>("bool"));
  EXPECT_EQ(gguf.at<std::string>("string"), "text");
  EXPECT_EQ(gguf.at<std::uint64_t>("u64"), 1ULL << 63);
  EXPECT_EQ(gguf.at<double>("i64"), -3);
  EXPECT_EQ(gguf.at<double>("f64"), 0.1);
  EXPECT_EQ(gguf.find<bool>("absent"), std::nullopt);
}
TEST_F(GgufTest, ReadsArrays) {
  const auto gguf = open(GgufBuilder()
                             .array("strings", 8, 3, three_pieces)
                             .array("floats", 6, 2, raw(1.5F) + raw(-2.F))
                             .array("shorts", 3, 2, raw<std::int16_t>(-1) + raw<std::int16_t>(2))
                             .array("nested", 9, 1, raw<std::uint32_t>(0) + raw<std::uint64_t>(2) + "ab")
                             .u32("after", 5));
  EXPECT_THAT(gguf.at<std::vector<std::string>>("strings"), ElementsAre("<unk>", "<s>", "\u2581a"));
  EXPECT_THAT(gguf.at<std::vector<float>>("floats"), ElementsAre(1.5F, -2.F));
  EXPECT_THAT(gguf.at<std::vector<std::int32_t>>("shorts"), ElementsAre(-1, 2));
  EXPECT_EQ(gguf.at<std::uint64_t>("after"), 5U) << "the nested array was not stepped over";
}
TEST_F(GgufTest, SaysWhichTypeAKeyHas) {
  const auto gguf = open(GgufBuilder()
                             .text("name", "x")
                             .key("negative", 5, raw<std::int32_t>(-1))
                             .key("two", 7, "\x02")
                             .array("list", 5, 2, raw(1) + raw(2)));
  EXPECT_ERROR(gguf.at<std::uint64_t>("name"), "m.gguf: key 'name' is string, expected a non-negative integer");
  EXPECT_ERROR(gguf.at<std::uint64_t>("negative"), "key 'negative' is i32 -1, expected a non-negative integer");
  EXPECT_ERROR(gguf.at<bool>("two"), "key 'two' is bool, expected a bool of 0 or 1");
  EXPECT_ERROR(gguf.at<std::string>("list"), "key 'list' is array of 2 i32, expected a string");
  EXPECT_ERROR(gguf.at<std::vector<std::string>>("list"), "expected an array of strings");
  EXPECT_ERROR(gguf.at<std::vector<float>>("name"), "expected an array of numbers");
  EXPECT_ERROR(gguf.at<double>("name"), "expected a number");
  EXPECT_ERROR(gguf.at<double>("absent"), "m.gguf: key 'absent' is missing");
}

TEST_F(GgufTest, GivesTensorsOutermostFirstUnderHuggingFaceNames) {
  const auto gguf = open(GgufBuilder()
                             .tensor("blk.1.ffn_down.weight", {96, 64}, 1, 96 * 64 * 2)
                             .tensor("output_norm.weight", {3}, 0, 12)
                             .tensor("token_embd.weight", {64, 3}, 8, 2 * 3 * 34));
  const Weights& weights = gguf.weights();
  EXPECT_EQ(weights.at("model.layers.1.mlp.down_proj.weight").shape, (gpu::Shape{64, 96}));
  EXPECT_EQ(weights.at("model.norm.weight", {3}).bytes[2], std::byte{2});
  EXPECT_EQ(weights.at("model.embed_tokens.weight").type, StorageType::q8_0);
  EXPECT_EQ(weights.main_type(), StorageType::f16);
}
TEST_F(GgufTest, ReadsVersion2) {
  auto gguf = vocabulary_keys();
  gguf.version = 2;
  EXPECT_EQ(open(gguf).version(), 2U);
}
TEST_F(GgufTest, HonoursAnotherAlignment) {
  auto file = GgufBuilder().u32("general.alignment", 64).tensor_at("a", {1}, 0, 0).tensor_at("b", {1}, 0, 64).build();
  file.resize((file.size() + 63) / 64 * 64);
  EXPECT_EQ(open(file + "abcd" + std::string(60, '\0') + "efgh").weights().at("b").bytes[0], std::byte{'e'});
}

TEST_F(GgufTest, ReadsTheVocabulary) {
  const auto vocabulary = open(vocabulary_keys()).vocabulary().value();
  EXPECT_THAT(vocabulary.pieces, ElementsAre("<unk>", "<s>", "\u2581a"));
  EXPECT_THAT(vocabulary.scores, ElementsAre(0.F, -1.F, -2.5F));
  EXPECT_THAT(vocabulary.types, ElementsAre(PieceType::unknown, PieceType::control, PieceType::normal));
  EXPECT_EQ(vocabulary.bos, 1U);
  EXPECT_EQ(vocabulary.eos, std::nullopt);
  EXPECT_TRUE(vocabulary.add_bos);
}
TEST_F(GgufTest, HasNoVocabularyWithoutTokens) { EXPECT_EQ(open(GgufBuilder()).vocabulary().has_value(), false); }
TEST_F(GgufTest, AnEmptyVocabularyHasNoIds) {
  EXPECT_ERROR(open(GgufBuilder()
                        .text("tokenizer.ggml.model", "llama")
                        .array("tokenizer.ggml.tokens", 8, 0, "")
                        .u32("tokenizer.ggml.eos_token_id", 0))
                   .vocabulary(),
               "tokenizer.ggml.eos_token_id is 0, but there are 0 tokens");
}
TEST_F(GgufTest, RefusesScoresOfAnotherLength) {
  EXPECT_ERROR(open(GgufBuilder()
                        .text("tokenizer.ggml.model", "llama")
                        .array("tokenizer.ggml.tokens", 8, 3, three_pieces)
                        .array("tokenizer.ggml.scores", 6, 1, raw(0.F)))
                   .vocabulary(),
               "tokenizer.ggml.scores has 1 elements for 3 tokens");
}
TEST_F(GgufTest, RefusesUnknownKindsOfPieces) {
  EXPECT_ERROR(open(GgufBuilder()
                        .text("tokenizer.ggml.model", "llama")
                        .array("tokenizer.ggml.tokens", 8, 1, GgufBuilder::string("a"))
                        .array("tokenizer.ggml.token_type", 5, 1, raw(7)))
                   .vocabulary(),
               "token 0 has unknown type 7");
}
TEST_F(GgufTest, RefusesTokensThatAreNoStrings) {
  EXPECT_ERROR(open(GgufBuilder().array("tokenizer.ggml.tokens", 5, 1, raw(7))).vocabulary(),
               "expected an array of strings");
}

TEST_F(GgufTest, RefusesWhatIsNoGguf) {
  EXPECT_ERROR(open(""), "does not begin with GGUF");
  EXPECT_ERROR(open("GGML and more"), "does not begin with GGUF");
}
TEST_F(GgufTest, RefusesOtherVersions) {
  GgufBuilder gguf;
  for (const std::uint32_t version : {0U, 1U, 4U}) {
    gguf.version = version;
    EXPECT_ERROR(open(gguf), fmt::format("is GGUF version {}, expected 2 or 3", version));
  }
  gguf.version = 0x03000000;
  EXPECT_ERROR(open(gguf), "is a big-endian GGUF file");
}
TEST_F(GgufTest, RefusesEveryTruncation) {
  const auto whole = vocabulary_keys().tensor("token_embd.weight", {64, 3}, 0, 768).build();
  ASSERT_NO_THROW(open(whole));
  for (std::size_t size = 0; size < whole.size(); size += size < 700 ? 1 : 97)
    EXPECT_THROW(open(whole.substr(0, size)), Error) << size;
}
TEST_F(GgufTest, RefusesCountsBeyondTheFile) {
  GgufBuilder keys, tensors;
  keys.u32("k", 1).key_count = ~0ULL;
  tensors.tensor("a", {0}, 0, 0).tensor_count = ~0ULL;
  EXPECT_ERROR(open(keys), "is truncated: a key takes 8 bytes");
  EXPECT_ERROR(open(tensors), "is truncated: a tensor's name takes 8 bytes");
}
TEST_F(GgufTest, RefusesLengthsBeyondTheFile) {
  EXPECT_ERROR(open(GgufBuilder().key("k", 8, raw<std::uint64_t>(~0ULL))), "key 'k' takes 18446744073709551615 bytes");
  EXPECT_ERROR(open(GgufBuilder().array("k", 10, 1ULL << 61, "")), "key 'k' has 2305843009213693952 elements");
  EXPECT_ERROR(open(GgufBuilder().array("k", 8, ~0ULL, "")), "is truncated: key 'k'");
}
TEST_F(GgufTest, RefusesUnknownTypesOfValues) {
  EXPECT_ERROR(open(GgufBuilder().key("k", 13, "")), "key 'k' has unknown metadata type 13");
  EXPECT_ERROR(open(GgufBuilder().array("k", 99, 0, "")), "key 'k' has unknown metadata type 99");
}
TEST_F(GgufTest, RefusesDeepNesting) {
  std::string nest;
  for (int i = 0; i < 100'000; ++i) nest += raw<std::uint32_t>(9) + raw<std::uint64_t>(1);
  EXPECT_ERROR(open(GgufBuilder().key("k", 9, nest)), "key 'k' has arrays nested deeper");
}
TEST_F(GgufTest, RefusesDuplicates) {
  EXPECT_ERROR(open(GgufBuilder().u32("k", 1).u32("k", 1)), "key 'k' appears twice");
  EXPECT_ERROR(open(GgufBuilder().tensor("a", {8}, 0, 32).tensor("a", {8}, 0, 32)), "tensor 'a' appears twice");
  EXPECT_ERROR(open(GgufBuilder().tensor("output.weight", {8}, 0, 32).tensor("lm_head.weight", {8}, 0, 32)),
               "tensor 'lm_head.weight' appears twice");
}
TEST_F(GgufTest, RefusesBadAlignment) {
  for (const std::uint32_t alignment : {0U, 48U, 1U << 31})
    EXPECT_ERROR(open(GgufBuilder().u32("general.alignment", alignment)),
                 fmt::format("general.alignment is {}, expected a power of two", alignment));
}
TEST_F(GgufTest, RefusesBadTensors) {
  EXPECT_ERROR(open(GgufBuilder().tensor("a", {1, 1, 1, 1, 1}, 0, 4)), "tensor 'a' has 5 dimensions");
  EXPECT_ERROR(open(GgufBuilder().tensor("a", {8}, 4, 32)), "tensor 'a' has unknown type 4");
  EXPECT_ERROR(open(GgufBuilder().tensor("a", {31}, 2, 18)), "tensor 'a' of type Q4_0 has impossible shape [31]");
  EXPECT_ERROR(open(GgufBuilder().tensor("a", {1ULL << 33, 1ULL << 33}, 0, 4)), "has impossible shape");
  EXPECT_ERROR(open(GgufBuilder().tensor("", {1}, 0, 4)), "a tensor's name has 0 bytes");
}
TEST_F(GgufTest, RefusesTensorsInTheWrongPlace) {
  const auto one = [] { return GgufBuilder().tensor("a", {8}, 0, 32); };
  EXPECT_ERROR(open(one().tensor_at("b", {8}, 0, 4)), "tensor 'b' is at offset 4, expected a multiple of 32");
  EXPECT_ERROR(open(one().tensor_at("b", {8}, 0, 32)), "tensor 'b' (32 bytes at 32) reaches beyond");
  EXPECT_ERROR(open(one().tensor_at("b", {8}, 0, ~0ULL - 31)), "tensor 'b' (32 bytes at 18446744073709551584)");
  EXPECT_ERROR(open(one().tensor_at("b", {8}, 0, 0)), "overlaps the one before it");
  EXPECT_ERROR(open(GgufBuilder().tensor_at("a", {8}, 0, 0).tensor("b", {64}, 0, 256)), "overlaps the one before it");
  EXPECT_ERROR(open(GgufBuilder().tensor_at("a", {8}, 0, 64).build() + std::string(96, 'x')), "a hole of 64 bytes");
  EXPECT_ERROR(open(one().build() + "x"), "1 bytes follow the last tensor");
}

TEST_F(GgufTest, SurvivesDamagedFiles) {
  const auto valid =
      vocabulary_keys().text("tokenizer.chat_template", "{{ x }}").tensor("output_norm.weight", {8}, 0, 32).build();
  int opened = 0, refused = 0;
  glassbox::testing::with_damaged_copies(valid, 6000, [&](const std::string& copy) {
    try {
      const auto gguf = open(copy);
      for (const auto& tensor : gguf.weights().tensors()) (void)dequantize(tensor);
      (void)gguf.vocabulary();
      (void)gguf.chat_template();
      ++opened;
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    }
  });
  EXPECT_GT(opened, 100);
  EXPECT_GT(refused, 2000);
}

TEST(HuggingFaceName, OfEveryTensorOfALlama) {
  const std::vector<std::pair<std::string, std::string>> names{
      {"token_embd.weight", "model.embed_tokens.weight"},
      {"output_norm.weight", "model.norm.weight"},
      {"output.weight", "lm_head.weight"},
      {"blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"},
      {"blk.0.attn_q.weight", "model.layers.0.self_attn.q_proj.weight"},
      {"blk.12.attn_k.bias", "model.layers.12.self_attn.k_proj.bias"},
      {"blk.0.attn_v.weight", "model.layers.0.self_attn.v_proj.weight"},
      {"blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight"},
      {"blk.0.ffn_norm.weight", "model.layers.0.post_attention_layernorm.weight"},
      {"blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight"},
      {"blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight"},
      {"blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight"},
      {"rope_freqs.weight", "rope_freqs.weight"},
      {"blk.0.attn_q.scale", "blk.0.attn_q.scale"},
      {"blk.0", "blk.0"},
      {"", ""}};
  for (const auto& [theirs, ours] : names) EXPECT_EQ(hugging_face_name(theirs), ours);
}

/// A file with types we do not dequantise opens, and only asking for such a tensor is an error.
class OtherTypes : public GgufTest,
                   public ::testing::WithParamInterface<std::tuple<std::uint32_t, const char*, int>> {};
TEST_P(OtherTypes, AreRefusedOnlyWhenAskedFor) {
  const auto& [id, name, block_bytes] = GetParam();
  const auto gguf = open(GgufBuilder().tensor("output.weight", {512, 8}, id, std::size_t(16 * block_bytes)));
  EXPECT_ERROR(gguf.weights().at("lm_head.weight"), std::string("tensor 'lm_head.weight' is stored as ") + name +
                                                        ", expected one of f32, f16, bf16, q8_0, q4_0, q4_1, q5_0");
}
INSTANTIATE_TEST_SUITE_P(Gguf, OtherTypes,
                         ::testing::Values(std::tuple(15, "Q8_K", 292), std::tuple(16, "IQ2_XXS", 66),
                                           std::tuple(18, "IQ3_XXS", 98), std::tuple(24, "I8", 256),
                                           std::tuple(29, "IQ1_M", 56)),
                         [](const auto& test) { return std::get<1>(test.param); });

TEST(SharedGguf, VocabularyOnlyFilesOpen) {
  REQUIRE_SHARED("tokenizers");
  const auto open = [](const char* name) { return Gguf::open(shared_dir() / "tokenizers" / name); };
  const auto spm = open("ggml-vocab-llama-spm.gguf");
  EXPECT_EQ(spm.weights().size(), 0U);
  EXPECT_EQ(spm.vocabulary()->pieces.size(), 32000U);
  EXPECT_EQ(spm.vocabulary()->pieces[263], "\u2581a");
  EXPECT_EQ(spm.vocabulary()->types[3], PieceType::byte);
  const auto phi3 = open("ggml-vocab-phi-3.gguf");
  EXPECT_EQ(phi3.vocabulary()->eos, 32000U);
  EXPECT_EQ(phi3.vocabulary()->padding, 32000U);
  EXPECT_TRUE(phi3.chat_template().starts_with("{{ bos_token }}{% for message in messages %}"));
  const auto gpt2 = open("ggml-vocab-gpt-2.gguf");
  EXPECT_EQ(gpt2.vocabulary()->model, "gpt2");
  EXPECT_TRUE(gpt2.vocabulary()->scores.empty());
  EXPECT_FALSE(gpt2.vocabulary()->add_bos);
}

}  // namespace
}  // namespace glassbox::model
