#include "model/model_files.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/quants.h"
#include "model/safetensors.h"
#include "tests/model/container_builder.h"

namespace glassbox::model {
namespace {

using glassbox::testing::config_json;
using glassbox::testing::entry;
using glassbox::testing::GgufBuilder;
using glassbox::testing::llama_keys;
using glassbox::testing::safetensors_file;
using glassbox::testing::shared_dir;
using glassbox::testing::TempDir;
using glassbox::testing::write_file;

class ModelFilesTest : public ::testing::Test {
 protected:
  ModelFilesTest() {
    std::filesystem::create_directory(model);
    write_file(model / "config.json", config_json());
    write_file(model / "model.safetensors", weights);
  }
  TempDir dir;
  const std::filesystem::path model = dir.path() / "small";
  const std::string weights = safetensors_file("{" + entry("model.norm.weight", "F32", "[64]", "[0,256]") + "}", 256);
};

TEST_F(ModelFilesTest, OpensADirectory) {
  const auto files = open_model(model);
  EXPECT_EQ(files.name, "small");
  EXPECT_EQ(files.config.hidden_size, 64U);
  EXPECT_EQ(files.weights.at("model.norm.weight", {64}).bytes[5], std::byte{5});
  EXPECT_EQ(files.weights.file_bytes(), weights.size());
  EXPECT_EQ(files.tokenizer_path, std::nullopt);
  EXPECT_FALSE(files.vocabulary.has_value());
  EXPECT_EQ(files.chat_template, "");
}
TEST_F(ModelFilesTest, ATrailingSlashDoesNotLoseTheName) { EXPECT_EQ(open_model(model / "").name, "small"); }
TEST_F(ModelFilesTest, OpensTheDirectoryOfASafetensorsFile) {
  EXPECT_EQ(open_model(model / "model.safetensors").name, "small");
}
TEST_F(ModelFilesTest, OpensShards) {
  std::filesystem::rename(model / "model.safetensors", model / "part.safetensors");
  write_file(model / "model.safetensors.index.json", R"({"weight_map": {"model.norm.weight": "part.safetensors"}})");
  EXPECT_TRUE(open_model(model).weights.contains("model.norm.weight"));
}
TEST_F(ModelFilesTest, FindsTheTokenizer) {
  write_file(model / "tokenizer.model", "");
  EXPECT_EQ(open_model(model).tokenizer_path, model / "tokenizer.model");
}
TEST_F(ModelFilesTest, FindsTheChatTemplate) {
  write_file(model / "tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_EQ(open_model(model).chat_template, "");
  write_file(model / "tokenizer_config.json", R"({"chat_template": "{{ one }}"})");
  EXPECT_EQ(open_model(model).chat_template, "{{ one }}");
  write_file(
      model / "tokenizer_config.json",
      R"({"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "{{ two }}"}]})");
  EXPECT_EQ(open_model(model).chat_template, "{{ two }}");
  write_file(model / "tokenizer_config.json", R"({"chat_template": 1})");
  EXPECT_ERROR(open_model(model), "tokenizer_config.json: chat_template is neither a string nor a list");
  write_file(model / "chat_template.jinja", "{{ three }}");
  EXPECT_EQ(open_model(model).chat_template, "{{ three }}");
}

TEST_F(ModelFilesTest, OpensAGgufWhateverItIsCalled) {
  const auto gguf = llama_keys()
                        .text("general.name", "tiny")
                        .text("tokenizer.ggml.model", "llama")
                        .array("tokenizer.ggml.tokens", 8, 1, GgufBuilder::string("a"))
                        .text("tokenizer.chat_template", "{{ x }}")
                        .tensor("output_norm.weight", {64}, 0, 256)
                        .build();
  for (const char* name : {"m.gguf", "blob"}) {
    const auto files = open_model(write_file(dir.path() / name, gguf));
    EXPECT_EQ(files.name, "tiny");
    EXPECT_EQ(files.config.rope_pairing, gpu::RopePairing::interleaved);
    EXPECT_EQ(files.vocabulary.value().pieces.at(0), "a");
    EXPECT_EQ(files.chat_template, "{{ x }}");
    EXPECT_TRUE(files.weights.contains("model.norm.weight"));
    EXPECT_EQ(files.weights.file_bytes(), gguf.size());
  }
}
TEST_F(ModelFilesTest, RefusesAVocabularyOnlyGguf) {
  EXPECT_ERROR(open_model(write_file(dir.path() / "v.gguf", llama_keys().build())),
               "v.gguf: holds a vocabulary and no tensors");
}
TEST_F(ModelFilesTest, RefusesPartOfASplitGguf) {
  const auto part = llama_keys().u32("split.count", 3).tensor("output_norm.weight", {64}, 0, 256).build();
  EXPECT_ERROR(open_model(write_file(dir.path() / "p.gguf", part)), "p.gguf: is one of 3 parts");
}

TEST_F(ModelFilesTest, SaysWhatIsNoModel) {
  EXPECT_ERROR(open_model(""), "there is no such file or directory");
  EXPECT_ERROR(open_model(dir.path() / "absent"), "absent: there is no such file or directory");
  EXPECT_ERROR(open_model(model / "config.json" / "x"), "there is no such file or directory");
  EXPECT_ERROR(open_model(dir.path()), "is no model: it has no config.json");
  EXPECT_ERROR(open_model(write_file(dir.path() / "empty.gguf", "")), "empty.gguf: is empty");
  EXPECT_ERROR(open_model(write_file(dir.path() / "text.gguf", "text")), "text.gguf: is no GGUF file");
  EXPECT_ERROR(open_model(write_file(dir.path() / "notes.txt", "text")),
               "notes.txt: is no model, expected a directory");
  EXPECT_ERROR(open_model(write_file(dir.path() / "x.safetensors", weights)), "config.json: cannot be opened");
  EXPECT_ERROR(open_model("/dev/null"), "is not a regular file");
  std::filesystem::remove(model / "model.safetensors");
  EXPECT_ERROR(open_model(model), "small: has neither model.safetensors nor model.safetensors.index.json");
}

TEST(SharedModels, LlamasHaveTheTensorsTheirConfigPromises) {
  REQUIRE_SHARED("models");
  for (const char* name :
       {"llama_gqa", "llama_tied_rope3", "stories260K", "stories260K/stories260K-f32.gguf",
        "stories260K/stories260K-f16.gguf", "stories260K/stories260K-q8_0.gguf", "stories260K/stories260K-q4_0.gguf"}) {
    const auto files = open_model(shared_dir() / "models" / name);
    const auto& [config, weights] = std::tie(files.config, files.weights);
    weights.at("model.embed_tokens.weight", {config.vocab_size, config.hidden_size});
    weights.at("model.norm.weight", {config.hidden_size});
    EXPECT_EQ(weights.contains("lm_head.weight"), !config.tie_word_embeddings) << name;
    for (std::size_t layer = 0; layer < config.num_hidden_layers; ++layer) {
      const auto tensor = [&](const char* part) { return fmt::format("model.layers.{}.{}.weight", layer, part); };
      const std::size_t q = config.num_attention_heads * config.head_dim,
                        kv = config.num_key_value_heads * config.head_dim;
      weights.at(tensor("self_attn.q_proj"), {q, config.hidden_size});
      weights.at(tensor("self_attn.k_proj"), {kv, config.hidden_size});
      weights.at(tensor("self_attn.v_proj"), {kv, config.hidden_size});
      weights.at(tensor("self_attn.o_proj"), {config.hidden_size, q});
      weights.at(tensor("mlp.gate_proj"), {config.intermediate_size, config.hidden_size});
      weights.at(tensor("mlp.up_proj"), {config.intermediate_size, config.hidden_size});
      weights.at(tensor("mlp.down_proj"), {config.hidden_size, config.intermediate_size});
      weights.at(tensor("input_layernorm"), {config.hidden_size});
      weights.at(tensor("post_attention_layernorm"), {config.hidden_size});
    }
    EXPECT_EQ(weights.size(), 2 + 9 * config.num_hidden_layers + !config.tie_word_embeddings) << name;
  }
}

/// Root mean square of a - b over that of b.
double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) error += std::pow(a[i] - b[i], 2), norm += std::pow(b[i], 2);
  return std::sqrt(error / norm);
}

/// The same weights in five files; Q and K are left out, whose rows GGUF permutes.
TEST(SharedModels, StoriesHasTheSameWeightsInEveryFile) {
  REQUIRE_SHARED("models/stories260K");
  const auto folder = shared_dir() / "models/stories260K";
  const auto reference = open_model(folder);
  ASSERT_TRUE(reference.tokenizer_path.has_value());
  for (const auto& [type, tolerance] : {std::pair("f32", 0.0), {"f16", 5e-4}, {"q8_0", 1e-2}, {"q4_0", 0.15}}) {
    const auto files = open_model(folder / fmt::format("stories260K-{}.gguf", type));
    EXPECT_EQ(files.config.dtype, type);
    EXPECT_EQ(files.vocabulary.value().pieces.size(), 512U);
    EXPECT_EQ(files.config.num_key_value_heads, reference.config.num_key_value_heads);
    for (const auto& tensor : files.weights.tensors()) {
      if (tensor.name.find("q_proj") != tensor.name.npos || tensor.name.find("k_proj") != tensor.name.npos) continue;
      const auto& expected = reference.weights.at(tensor.name, tensor.shape);
      EXPECT_LE(relative_error(dequantize(tensor), dequantize(expected)), tolerance) << type << ' ' << tensor.name;
    }
  }
}

}  // namespace
}  // namespace glassbox::model
