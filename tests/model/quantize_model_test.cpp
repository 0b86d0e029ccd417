#include "model/quantize_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "model/engine.h"
#include "model/quantize.h"
#include "model/quants.h"
#include "model/safetensors.h"
#include "tests/model/tiny_llama.h"

namespace glassbox::model {
namespace {

using glassbox::testing::data_dir;
using glassbox::testing::GgufBuilder;
using glassbox::testing::letter_tokenizer;
using glassbox::testing::llama_keys;
using glassbox::testing::nmse;
using glassbox::testing::raw;
using glassbox::testing::shared_dir;
using glassbox::testing::TempDir;
using glassbox::testing::TinyLlama;
using glassbox::testing::write_file;

class QuantizeModel : public ::testing::Test {
 protected:
  std::filesystem::path quantized(const std::filesystem::path& input, StorageType type, bool pure = false) {
    ModelQuantizer(input, type, pure).write(out);
    return out;
  }
  static std::vector<float> logits(const std::filesystem::path& model, const std::vector<std::uint32_t>& ids) {
    return Engine({.model = model}).feed_all(ids);
  }
  TempDir dir;
  const std::filesystem::path out = dir.path() / "out.gguf";
};

std::map<std::string, StorageType> types(const std::filesystem::path& model, StorageType type, bool pure) {
  std::map<std::string, StorageType> out;
  const ModelQuantizer quantizer(model, type, pure);
  for (const auto& tensor : quantizer.tensors()) out[tensor.name] = tensor.type;
  return out;
}

TEST_F(QuantizeModel, AHuggingFaceModelAsFloat32ComputesTheSame) {
  for (const bool bias : {false, true}) {
    const TinyLlama tiny(
        {.heads = 4, .kv_heads = 2, .head_dim = 12, .tied = bias, .attention_bias = bias, .mlp_bias = bias});
    const auto model = tiny.write(dir.path() / (bias ? "bias" : "plain"));
    EXPECT_LE(nmse(logits(quantized(model, StorageType::f32), {1, 5, 200, 31, 7}), tiny.logits({1, 5, 200, 31, 7})),
              1e-11);
  }
}
/// Llama 3's RoPE scaling, biases, bfloat16, shards: GGUF says all of it in another way.
class Converted : public QuantizeModel, public ::testing::WithParamInterface<const char*> {};
TEST_P(Converted, GivesTheReferencesLogits) {
  const std::string name = GetParam();
  const bool own = name.starts_with("data/");
  if (!own) REQUIRE_SHARED("models/" + name);
  const auto directory = own ? data_dir() / name.substr(5) : shared_dir() / "models" / name;
  if (!std::filesystem::exists(directory)) GTEST_SKIP() << "needs " << directory;
  const auto expected = nlohmann::json::parse(std::ifstream(directory / "expected.json"));
  EXPECT_LE(nmse(logits(quantized(directory, StorageType::f32), expected["ids"]),
                 Safetensors::open(directory / "expected.safetensors").values("logits")),
            1e-10);
}
INSTANTIATE_TEST_SUITE_P(Models, Converted,
                         ::testing::Values("llama_gqa", "llama_tied_rope3", "data/tied_rope3_bias_bf16",
                                           "data/odd_sharded_f32"),
                         [](const auto& test) { return std::filesystem::path(test.param).filename().string(); });

/// The engine reads the blocks that are in the file: float64 on the values they stand for gives its logits.
class Blocks : public QuantizeModel, public ::testing::WithParamInterface<StorageType> {};
TEST_P(Blocks, AreWhatTheEngineComputesWith) {
  TinyLlama tiny({.hidden = 256, .intermediate = 512, .layers = 1, .heads = 4, .kv_heads = 2, .head_dim = 64});
  const auto model = tiny.write(dir.path() / "tiny");
  quantized(model, GetParam(), true);
  for (auto& [name, tensor] : tiny.tensors) {
    if (tensor.shape.size() != 2) continue;
    const auto bytes = quantize(GetParam(), tensor.values);
    dequantize(GetParam(), bytes, tensor.values);
  }
  const std::vector<std::uint32_t> ids{1, 5, 200, 31, 7};
  EXPECT_LE(nmse(logits(out, ids), tiny.logits(ids)), 1e-10);
}
INSTANTIATE_TEST_SUITE_P(QuantizeModel, Blocks, ::testing::ValuesIn(quantizable_types()),
                         [](const auto& test) { return std::string(name_of(test.param)); });

/// Both ways to the files that were made with llama.cpp's tools: tensors byte by byte, and every key they have.
class Shipped : public QuantizeModel, public ::testing::WithParamInterface<std::tuple<const char*, const char*>> {};
TEST_P(Shipped, IsReproduced) {
  const auto& [input, type] = GetParam();
  const auto directory = shared_dir() / "models/stories260K";
  REQUIRE_SHARED("models/stories260K");
  const auto shipped = Gguf::open(directory / fmt::format("stories260K-{}.gguf", type));
  const auto made = Gguf::open(quantized(directory / input, *find_storage_type(type), true));
  ASSERT_EQ(made.weights().size(), shipped.weights().size());
  for (const auto& tensor : shipped.weights().tensors()) {
    const auto& ours = made.weights().at(tensor.name, tensor.shape);
    EXPECT_EQ(ours.type, tensor.type) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(ours.bytes, tensor.bytes)) << tensor.name;
  }
  for (const auto& [key, value] : shipped.metadata()) {
    ASSERT_TRUE(made.metadata().contains(key)) << key;
    const auto& ours = made.metadata().find(key)->second;
    EXPECT_EQ(ours.type, value.type) << key;
    EXPECT_EQ(ours.element, value.element) << key;
    EXPECT_EQ(ours.count, value.count) << key;
    EXPECT_TRUE(std::ranges::equal(ours.bytes, value.bytes)) << key;
  }
}
INSTANTIATE_TEST_SUITE_P(QuantizeModel, Shipped,
                         ::testing::Combine(::testing::Values("", "stories260K-f32.gguf"),
                                            ::testing::Values("f32", "f16", "q8_0", "q4_0")),
                         [](const auto& test) {
                           return std::string(*std::get<0>(test.param) ? "gguf_" : "directory_") +
                                  std::get<1>(test.param);
                         });

TEST_F(QuantizeModel, EmbeddingAndOutputHaveMoreBits) {
  const TinyLlama wide({.hidden = 256, .intermediate = 320, .layers = 1, .heads = 4, .kv_heads = 2, .head_dim = 64});
  const auto model = wide.write(dir.path() / "wide");
  auto mixed = types(model, StorageType::q4_k, false);
  EXPECT_EQ(mixed["token_embd.weight"], StorageType::q6_k);
  EXPECT_EQ(mixed["output.weight"], StorageType::q6_k);
  EXPECT_EQ(mixed["blk.0.attn_q.weight"], StorageType::q4_k);
  EXPECT_EQ(mixed["blk.0.ffn_down.weight"], StorageType::q8_0) << "320 is no multiple of 256";
  EXPECT_EQ(mixed["blk.0.attn_norm.weight"], StorageType::f32);
  EXPECT_EQ(mixed.size(), 12U);
  EXPECT_EQ(types(model, StorageType::q4_k, true)["token_embd.weight"], StorageType::q4_k);
  EXPECT_EQ(types(model, StorageType::q6_k, false)["token_embd.weight"], StorageType::q6_k);
  EXPECT_EQ(types(model, StorageType::q8_0, false)["output.weight"], StorageType::q8_0);
  EXPECT_EQ(types(model, StorageType::f16, false)["output.weight"], StorageType::f16);
  const TinyLlama narrow({.hidden = 96, .heads = 3, .head_dim = 32});
  EXPECT_EQ(types(narrow.write(dir.path() / "narrow"), StorageType::q4_0, false)["output.weight"], StorageType::q8_0);
}
TEST_F(QuantizeModel, BiasesAndNormsStayFloat32) {
  const TinyLlama tiny({.attention_bias = true, .mlp_bias = true});
  const auto model = tiny.write(dir.path() / "tiny");
  for (const auto& [name, type] : types(model, StorageType::bf16, false))
    EXPECT_EQ(type, name.ends_with(".bias") || name.find("norm") != name.npos ? StorageType::f32 : StorageType::bf16)
        << name;
}
TEST_F(QuantizeModel, CarriesTheTokenizerOfADirectory) {
  REQUIRE_SHARED("models/stories260K/tokenizer.model");
  const TinyLlama tiny({.vocab = 520});
  const auto model = tiny.write(dir.path() / "tiny", {{"eos_token_id", {7, 2, 9}}});
  std::filesystem::copy(shared_dir() / "models/stories260K/tokenizer.model", model / "tokenizer.model");
  write_file(model / "chat_template.jinja", "{{ messages[0].content }}");
  const auto gguf = Gguf::open(quantized(model, StorageType::f16));
  const auto vocabulary = *gguf.vocabulary();
  EXPECT_EQ(vocabulary.pieces.size(), 520U);
  EXPECT_EQ(vocabulary.pieces[519], "[PAD519]");
  EXPECT_EQ(vocabulary.types[519], PieceType::unused);
  EXPECT_EQ(vocabulary.types[3], PieceType::byte);
  EXPECT_EQ(vocabulary.bos, 1U);
  EXPECT_EQ(vocabulary.eos, 2U) << "the tokenizer's own comes first";
  EXPECT_EQ(vocabulary.eot, 7U);
  EXPECT_EQ(gguf.at<std::uint64_t>("tokenizer.ggml.eom_token_id"), 9U);
  EXPECT_EQ(gguf.chat_template(), "{{ messages[0].content }}");
  EXPECT_EQ(gguf.at<std::uint64_t>("general.file_type"), 1U);
  EXPECT_EQ(gguf.at<std::string>("general.name"), "tiny");
  const auto original = Tokenizer::from_sentencepiece(model / "tokenizer.model");
  const auto ours = Tokenizer::from_vocabulary(vocabulary, "ours");
  for (const char* text : {"Once upon a time", "a b\ncde bcd", "\u00e9 \u221e <s> [PAD519]", ""})
    EXPECT_EQ(ours.encode(text, true), original.encode(text, true)) << text;
}
TEST_F(QuantizeModel, KeepsTheKeysOfAGguf) {
  const auto in = write_file(dir.path() / "in.gguf", llama_keys()
                                                         .text("general.author", "someone")
                                                         .array("some.list", 5, 2, raw(1) + raw(2))
                                                         .u32("general.file_type", 7)
                                                         .u32("general.alignment", 32)
                                                         .u32("split.count", 1)
                                                         .tensor("token_embd.weight", {64, 3}, 0, 768)
                                                         .tensor("rope_freqs.weight", {8}, 0, 32)
                                                         .build());
  const auto gguf = Gguf::open(quantized(in, StorageType::f32));
  EXPECT_EQ(gguf.at<std::string>("general.author"), "someone");
  EXPECT_THAT(gguf.at<std::vector<std::int32_t>>("some.list"), ::testing::ElementsAre(1, 2));
  EXPECT_EQ(gguf.at<std::uint64_t>("general.file_type"), 0U);
  EXPECT_EQ(gguf.at<std::uint64_t>("general.quantization_version"), 2U);
  EXPECT_FALSE(gguf.metadata().contains("general.alignment"));
  EXPECT_FALSE(gguf.metadata().contains("split.count"));
  EXPECT_TRUE(gguf.weights().contains("rope_freqs.weight"));
}
TEST_F(QuantizeModel, WhatHasTheTypeAlreadyIsCopied) {
  REQUIRE_SHARED("models/stories260K/stories260K-q4_0.gguf");
  const auto input = shared_dir() / "models/stories260K/stories260K-q4_0.gguf";
  EXPECT_EQ(ModelQuantizer(input, StorageType::q4_0, true).requantized(), std::nullopt);
  EXPECT_EQ(ModelQuantizer(input, StorageType::q8_0, true).requantized(), StorageType::q4_0);
  const auto before = Gguf::open(input), after = Gguf::open(quantized(input, StorageType::q4_0, true));
  for (const auto& tensor : before.weights().tensors())
    EXPECT_TRUE(std::ranges::equal(after.weights().at(tensor.name).bytes, tensor.bytes)) << tensor.name;
}
TEST_F(QuantizeModel, TellsHowFarItIs) {
  const TinyLlama tiny;
  ModelQuantizer quantizer(tiny.write(dir.path() / "tiny"), StorageType::f16, false);
  std::vector<std::size_t> seen;
  std::size_t total = 0;
  quantizer.write(out, [&](std::size_t done, std::size_t all) {
    seen.push_back(done);
    total = all;
  });
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  EXPECT_EQ(seen.back(), total);
  EXPECT_EQ(total, quantizer.elements());
  EXPECT_EQ(Gguf::open(out).weights().total_bytes(), quantizer.tensor_bytes());
}

TEST_F(QuantizeModel, RefusesToWriteOverItsInput) {
  const TinyLlama tiny;
  const auto model = tiny.write(dir.path() / "tiny");
  EXPECT_ERROR(ModelQuantizer(model, StorageType::f16, false).write(model / "model.safetensors"), "is the input");
  const auto gguf = quantized(model, StorageType::f32);
  EXPECT_ERROR(ModelQuantizer(gguf, StorageType::f16, false).write(gguf), "out.gguf: is the input");
  EXPECT_EQ(Gguf::open(gguf).weights().main_type(), StorageType::f32);
}
TEST_F(QuantizeModel, NamesTheTensorWhoseValuesDoNotFit) {
  TinyLlama tiny;
  tiny.tensors.at("model.layers.1.mlp.up_proj.weight").values[77] = 7e4F;
  const auto model = tiny.write(dir.path() / "tiny");
  EXPECT_ERROR(quantized(model, StorageType::f16),
               "model.safetensors: tensor 'model.layers.1.mlp.up_proj.weight': [quantize] 70000 does not fit f16");
  EXPECT_FALSE(std::filesystem::exists(out));
  tiny.tensors.at("model.layers.1.mlp.up_proj.weight").values[77] = std::nanf("");
  EXPECT_ERROR(quantized(tiny.write(dir.path() / "tiny"), StorageType::q8_0), "[quantize] nan does not fit");
}
TEST_F(QuantizeModel, SurvivesDamagedFiles) {
  const auto valid = llama_keys()
                         .array("tokenizer.ggml.tokens", 8, 1, GgufBuilder::string("a"))
                         .tensor("output_norm.weight", {8}, 0, 32)
                         .tensor("blk.0.ffn_up.weight", {256, 2}, 12, 288)
                         .tensor("blk.0.ffn_down.weight", {64, 3}, 2, 108)
                         .build();
  int written = 0, refused = 0;
  glassbox::testing::with_damaged_copies(valid, 1500, [&](const std::string& copy) {
    try {
      ModelQuantizer(write_file(dir.path() / "damaged.gguf", copy), StorageType::q8_0, false).write("/dev/null");
      ++written;
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    }
  });
  EXPECT_GT(written, 50);
  EXPECT_GT(refused, 300);
}
TEST_F(QuantizeModel, StopsWhereProgressThrows) {
  const TinyLlama tiny;
  ModelQuantizer quantizer(tiny.write(dir.path() / "tiny"), StorageType::f16, false);
  EXPECT_ERROR(quantizer.write(out, [](std::size_t, std::size_t) { fail("stopped"); }), "stopped");
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1) << "the model alone";
}
TEST_F(QuantizeModel, RefusesTensorsThatGgufHasNoNameFor) {
  TinyLlama tiny;
  tiny.tensors["model.layers.0.extra.weight"] = tiny.tensors.at("model.norm.weight");
  tiny.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = tiny.tensors.at("model.norm.weight");
  const auto model = tiny.write(dir.path() / "tiny");
  EXPECT_ERROR(ModelQuantizer(model, StorageType::f16, false),
               "tensor 'model.layers.0.extra.weight' has no place in a GGUF of the Llama architecture");
  tiny.tensors.erase("model.layers.0.extra.weight");
  EXPECT_FALSE(types(tiny.write(dir.path() / "tiny"), StorageType::f16, false)
                   .contains("model.layers.0.self_attn.rotary_emb.inv_freq"));
}
TEST_F(QuantizeModel, RefusesRowsThatAreNoHeads) {
  const TinyLlama tiny;
  const auto model = tiny.write(dir.path() / "tiny", {{"head_dim", 6}});
  EXPECT_ERROR(ModelQuantizer(model, StorageType::f16, false),
               "self_attn.k_proj.weight' has shape [8, 24], expected 6 rows");
}
TEST_F(QuantizeModel, RefusesWhatItCannotReadOrWrite) {
  EXPECT_ERROR(ModelQuantizer(dir.path() / "none", StorageType::f16, false), "there is no such file");
  const auto unknown =
      write_file(dir.path() / "unknown.gguf", llama_keys().tensor("output.weight", {256, 2}, 16, 132).build());
  EXPECT_ERROR(ModelQuantizer(unknown, StorageType::f16, false), "tensor 'lm_head.weight' is stored as IQ2_XXS");
  const auto words = write_file(dir.path() / "words.gguf", llama_keys().build());
  EXPECT_ERROR(ModelQuantizer(words, StorageType::f16, false), "holds a vocabulary and no tensors");
  const auto part =
      write_file(dir.path() / "part.gguf", llama_keys().u32("split.count", 3).tensor("a", {1}, 0, 4).build());
  EXPECT_ERROR(ModelQuantizer(part, StorageType::f16, false), "is one of 3 parts");
  const TinyLlama tiny;
  const auto model = tiny.write(dir.path() / "tiny");
  EXPECT_ERROR(ModelQuantizer(model, StorageType::q2_k, false), "q2_k is only read");
  EXPECT_ERROR(ModelQuantizer(model, StorageType::f16, false).write("/nowhere/x"), "/nowhere/x: cannot be written");
  EXPECT_ERROR(ModelQuantizer(model, StorageType::f16, false).write("/dev/full"), "No space left on device");
  write_file(model / "tokenizer.model", letter_tokenizer(300));
  EXPECT_ERROR(ModelQuantizer(model, StorageType::f16, false),
               "the tokenizer has 300 pieces, the model a vocabulary of 288");
}

}  // namespace
}  // namespace glassbox::model
