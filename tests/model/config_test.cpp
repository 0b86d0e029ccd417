#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/container_builder.h"

namespace glassbox::model {
namespace {

using glassbox::testing::config_json;
using glassbox::testing::GgufBuilder;
using glassbox::testing::llama_keys;
using glassbox::testing::raw;
using glassbox::testing::shared_dir;
using glassbox::testing::TempDir;
using glassbox::testing::write_file;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ConfigTest : public ::testing::Test {
 protected:
  /// The small model of config_json with `patch` applied.
  ModelConfig patched(const std::string& patch) {
    write_file(dir.path() / "config.json", config_json(patch));
    return config_from_hugging_face(dir.path());
  }
  ModelConfig of(const GgufBuilder& gguf) {
    return config_from_gguf(Gguf::open(write_file(dir.path() / "m.gguf", gguf.build())));
  }
  TempDir dir;
};

TEST_F(ConfigTest, ReadsTodaysStyle) {
  const auto config = patched("{}");
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.hidden_size, 64U);
  EXPECT_EQ(config.intermediate_size, 96U);
  EXPECT_EQ(config.num_hidden_layers, 2U);
  EXPECT_EQ(config.num_attention_heads, 4U);
  EXPECT_EQ(config.num_key_value_heads, 2U);
  EXPECT_EQ(config.head_dim, 16U);
  EXPECT_EQ(config.vocab_size, 32U);
  EXPECT_EQ(config.max_position_embeddings, 128U);
  EXPECT_EQ(config.rms_norm_eps, 1e-5);
  EXPECT_EQ(config.rope_theta, 20000.0);
  EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::none);
  EXPECT_EQ(config.rope_pairing, gpu::RopePairing::half_split);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_FALSE(config.attention_bias);
  EXPECT_EQ(config.bos_token_id, 1U);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2U));
  EXPECT_EQ(config.dtype, "float16");
}
TEST_F(ConfigTest, ReadsTheOlderStyle) {
  const auto config = patched(R"({"rope_parameters": null, "dtype": null, "rope_theta": 5e5, "torch_dtype": "bfloat16",
      "rope_scaling": {"type": "linear", "factor": 4}})");
  EXPECT_EQ(config.rope_theta, 500000.0);
  EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::linear);
  EXPECT_EQ(config.rope_scaling.factor, 4.0);
  EXPECT_EQ(config.dtype, "bfloat16");
}
TEST_F(ConfigTest, ReadsLlama3ScalingInBothStyles) {
  const std::string scaling = R"("rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 64)";
  for (const auto& patch : {R"({"rope_parameters": {"rope_theta": 5e5, )" + scaling + "}}",
                            R"({"rope_parameters": null, "rope_theta": 5e5, "rope_scaling": {)" + scaling + "}}"}) {
    const auto config = patched(patch);
    EXPECT_EQ(config.rope_theta, 500000.0);
    EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::llama3);
    EXPECT_EQ(config.rope_scaling.factor, 8.0);
    EXPECT_EQ(config.rope_scaling.low_freq_factor, 1.0);
    EXPECT_EQ(config.rope_scaling.high_freq_factor, 4.0);
    EXPECT_EQ(config.rope_scaling.original_max_position_embeddings, 64U);
  }
}
TEST_F(ConfigTest, FillsInLlamasDefaults) {
  const auto config = patched(R"({"rope_parameters": null, "rope_scaling": null, "num_key_value_heads": null,
      "head_dim": null, "rms_norm_eps": null, "max_position_embeddings": null, "tie_word_embeddings": null,
      "hidden_act": null, "bos_token_id": null, "eos_token_id": null, "dtype": null})");
  EXPECT_EQ(config.rope_theta, 10000.0);
  EXPECT_EQ(config.num_key_value_heads, 4U);
  EXPECT_EQ(config.head_dim, 16U);
  EXPECT_EQ(config.rms_norm_eps, 1e-6);
  EXPECT_EQ(config.max_position_embeddings, 2048U);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.bos_token_id, std::nullopt);
  EXPECT_THAT(config.eos_token_ids, IsEmpty());
}
TEST_F(ConfigTest, HeadsNeedNotFillTheHiddenSizeWhereHeadDimIsGiven) {
  EXPECT_EQ(patched(R"({"num_attention_heads": 6, "head_dim": 48})").head_dim, 48U);
}
TEST_F(ConfigTest, ReadsSeveralEndTokens) {
  EXPECT_THAT(patched(R"({"eos_token_id": [3, 7]})").eos_token_ids, ElementsAre(3U, 7U));
}
TEST_F(ConfigTest, GenerationConfigTakesPrecedence) {
  write_file(dir.path() / "generation_config.json", R"({"eos_token_id": [9, 8], "bos_token_id": null})");
  const auto config = patched("{}");
  EXPECT_THAT(config.eos_token_ids, ElementsAre(9U, 8U));
  EXPECT_EQ(config.bos_token_id, 1U);
}
TEST_F(ConfigTest, MistralWithoutAWindowIsALlama) {
  EXPECT_EQ(patched(R"({"architectures": ["MistralForCausalLM"], "sliding_window": null})").architecture, "llama");
}

/// A change to a valid config.json, and what the message says of it.
class RefusedConfig : public ConfigTest, public ::testing::WithParamInterface<std::pair<const char*, const char*>> {};
TEST_P(RefusedConfig, NamesFileAndKey) {
  EXPECT_ERROR(patched(GetParam().first), GetParam().second);
  EXPECT_ERROR(patched(GetParam().first), "config.json: ");
}
INSTANTIATE_TEST_SUITE_P(
    Config, RefusedConfig,
    ::testing::ValuesIn(std::vector<std::pair<const char*, const char*>>{
        {R"({"architectures": ["Qwen3ForCausalLM"]})",
         "architecture 'Qwen3ForCausalLM' is not supported, expected one of "
         "LlamaForCausalLM"},
        {R"({"architectures": ["A\nB"]})", "architecture 'A\\x0aB'"},
        {R"({"architectures": [], "model_type": "gemma"})", "architecture 'gemma' is not supported"},
        {R"({"architectures": null, "model_type": null})", "architecture '(none given)' is not supported"},
        {R"({"architectures": "LlamaForCausalLM"})", "architectures is '\"LlamaForCausalLM\"', expected a list"},
        {R"({"architectures": ["MistralForCausalLM"], "sliding_window": 16})", "sliding_window is '16', expected null"},
        {R"({"hidden_act": "gelu"})", "hidden_act is '\"gelu\"', expected silu"},
        {R"({"quantization_config": {}})", "quantization_config is present"},
        {R"({"hidden_size": null})", "hidden_size is missing, expected an integer"},
        {R"({"hidden_size": "64"})", "hidden_size is '\"64\"', expected an integer from 1"},
        {R"({"hidden_size": 64.5})", "hidden_size is '64.5', expected an integer from 1"},
        {R"({"hidden_size": 0})", "hidden_size is '0'"},
        {R"({"num_hidden_layers": -1})", "num_hidden_layers is '-1'"},
        {R"({"num_hidden_layers": 5000})", "num_hidden_layers is '5000', expected an integer from 1 to 4096"},
        {R"({"vocab_size": 18446744073709551615})", "vocab_size is '18446744073709551615'"},
        {R"({"num_attention_heads": 5, "head_dim": null})", "5 attention heads do not divide the hidden size 64"},
        {R"({"num_key_value_heads": 3})", "4 attention heads cannot share 3 key-value heads"},
        {R"({"num_key_value_heads": 8})", "4 attention heads cannot share 8 key-value heads"},
        {R"({"head_dim": 15})", "head_dim is 15, expected an even number"},
        {R"({"rms_norm_eps": 0})", "rms_norm_eps is '0', expected a positive number"},
        {R"({"rms_norm_eps": []})", "rms_norm_eps is '[]', expected a positive number"},
        {R"({"tie_word_embeddings": 1})", "tie_word_embeddings is '1', expected true or false"},
        {R"({"eos_token_id": "</s>"})", "eos_token_id is '\"</s>\"', expected a token id"},
        {R"({"eos_token_id": [2, -1]})", "eos_token_id is '[2,-1]', expected a token id"},
        {R"({"eos_token_id": 32})", "eos_token_id is 32, expected less than vocab_size 32"},
        {R"({"bos_token_id": 99})", "bos_token_id is 99, expected less than vocab_size 32"},
        {R"({"dtype": 16})", "dtype is '16', expected a string"},
        {R"({"partial_rotary_factor": 0.5})", "partial_rotary_factor is '0.5', expected 1"},
        {R"({"rope_parameters": []})", "rope_parameters is '[]', expected an object"},
        {R"({"rope_parameters": {"rope_theta": -1}})", "rope_parameters: rope_theta is '-1', expected a positive"},
        {R"({"rope_parameters": {"rope_type": "yarn"}})",
         "rope_type is '\"yarn\"', expected one of default, linear, llama3"},
        {R"({"rope_parameters": null, "rope_scaling": {"type": "dynamic", "factor": 2}})",
         "rope_scaling: type is '\"dynamic\"', expected one of default, linear, llama3"},
        {R"({"rope_parameters": {"rope_type": "linear"}})", "rope_parameters: factor is missing"},
        {R"({"rope_parameters": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}})",
         "high_freq_factor is '4', expected more than low_freq_factor"},
        {R"({"rope_parameters": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}})",
         "original_max_position_embeddings is missing"}}));

TEST_F(ConfigTest, RefusesBrokenFiles) {
  EXPECT_ERROR(config_from_hugging_face(dir.path()), "config.json: cannot be opened");
  write_file(dir.path() / "config.json", "");
  EXPECT_ERROR(config_from_hugging_face(dir.path()), "config.json: is not valid JSON");
  write_file(dir.path() / "config.json", "[]");
  EXPECT_ERROR(config_from_hugging_face(dir.path()), "config.json: is array, expected a JSON object");
  write_file(dir.path() / "config.json", R"({"vocab_size": 1, "vocab_size": 2})");
  EXPECT_ERROR(config_from_hugging_face(dir.path()), "key 'vocab_size' appears twice");
}
TEST_F(ConfigTest, NamesABrokenGenerationConfig) {
  write_file(dir.path() / "generation_config.json", R"({"eos_token_id": {}})");
  EXPECT_ERROR(patched("{}"), "generation_config.json: eos_token_id is '{}'");
}

TEST_F(ConfigTest, ReadsGgufKeys) {
  const auto config = of(llama_keys()
                             .u32("tokenizer.ggml.bos_token_id", 1)
                             .u32("tokenizer.ggml.eos_token_id", 2)
                             .u32("tokenizer.ggml.eot_token_id", 0));
  EXPECT_EQ(config.hidden_size, 64U);
  EXPECT_EQ(config.intermediate_size, 96U);
  EXPECT_EQ(config.num_hidden_layers, 2U);
  EXPECT_EQ(config.num_attention_heads, 4U);
  EXPECT_EQ(config.num_key_value_heads, 2U);
  EXPECT_EQ(config.head_dim, 16U);
  EXPECT_EQ(config.vocab_size, 3U);
  EXPECT_EQ(config.max_position_embeddings, 128U);
  EXPECT_EQ(config.rms_norm_eps, static_cast<double>(1e-5F));
  EXPECT_EQ(config.rope_theta, 10000.0);
  EXPECT_EQ(config.rope_pairing, gpu::RopePairing::interleaved);
  EXPECT_EQ(config.bos_token_id, 1U);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2U, 0U));
}
TEST_F(ConfigTest, GgufIsTiedWithoutAnOutputMatrix) {
  EXPECT_TRUE(of(llama_keys().tensor("token_embd.weight", {64, 3}, 1, 384)).tie_word_embeddings);
  EXPECT_FALSE(of(llama_keys().tensor("output.weight", {64, 3}, 1, 384)).tie_word_embeddings);
}
TEST_F(ConfigTest, GgufHasTheTypeAndBiasesOfItsTensors) {
  const auto config =
      of(llama_keys().tensor("blk.0.attn_q.bias", {64}, 0, 256).tensor("output.weight", {64, 3}, 8, 204));
  EXPECT_TRUE(config.attention_bias);
  EXPECT_FALSE(config.mlp_bias);
  EXPECT_EQ(config.dtype, "q8_0") << "192 elements of q8_0, 64 of f32";
}
TEST_F(ConfigTest, GgufCountsItsTokensWhereNoSizeIsGiven) {
  const auto tokens = GgufBuilder::string("a") + GgufBuilder::string("b");
  EXPECT_EQ(of(llama_keys({"llama.vocab_size"}).array("tokenizer.ggml.tokens", 8, 2, tokens)).vocab_size, 2U);
  EXPECT_ERROR(of(llama_keys({"llama.vocab_size"})), "key 'llama.vocab_size' is missing");
}
TEST_F(ConfigTest, ReadsGgufLinearScaling) {
  const auto today = of(llama_keys().text("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 4));
  EXPECT_EQ(today.rope_scaling.type, RopeScaling::Type::linear);
  EXPECT_EQ(today.rope_scaling.factor, 4.0);
  const auto older = of(llama_keys().f32("llama.rope.scale_linear", 2));
  EXPECT_EQ(older.rope_scaling.type, RopeScaling::Type::linear);
  EXPECT_EQ(older.rope_scaling.factor, 2.0);
  EXPECT_EQ(of(llama_keys().text("llama.rope.scaling.type", "none")).rope_scaling.type, RopeScaling::Type::none);
}
TEST_F(ConfigTest, RefusesGgufOfOtherKinds) {
  EXPECT_ERROR(of(llama_keys({"general.architecture"}).text("general.architecture", "qwen2")),
               "m.gguf: architecture 'qwen2' is not supported, expected llama");
  EXPECT_ERROR(of(llama_keys({"general.architecture"})), "key 'general.architecture' is missing");
  EXPECT_ERROR(of(llama_keys().u32("llama.expert_count", 8)), "llama.expert_count is 8, expected 0");
  EXPECT_ERROR(of(llama_keys().u32("llama.attention.sliding_window", 16)), "sliding_window is 16, expected 0");
  EXPECT_ERROR(of(llama_keys().text("llama.rope.scaling.type", "yarn")), "llama.rope.scaling.type is 'yarn'");
}
TEST_F(ConfigTest, RefusesBadGgufKeys) {
  EXPECT_ERROR(of(llama_keys({"llama.block_count"})), "key 'llama.block_count' is missing");
  EXPECT_ERROR(of(llama_keys({"llama.block_count"}).u32("llama.block_count", 0)),
               "llama.block_count is 0, expected 1 to");
  EXPECT_ERROR(of(llama_keys({"llama.block_count"}).text("llama.block_count", "2")), "'llama.block_count' is string");
  EXPECT_ERROR(of(llama_keys().u32("llama.rope.dimension_count", 8)),
               "llama.rope.dimension_count is 8, expected the head dimension 16");
  EXPECT_ERROR(of(llama_keys().u32("llama.attention.value_length", 8)),
               "value_length is 8, expected the head dimension");
  EXPECT_ERROR(of(llama_keys().f32("llama.rope.freq_base", std::nanf(""))), "llama.rope.freq_base is nan");
  EXPECT_ERROR(of(llama_keys({"llama.attention.head_count"}).u32("llama.attention.head_count", 7)),
               "7 attention heads do not divide the hidden size 64");
  EXPECT_ERROR(of(llama_keys().key("tokenizer.ggml.eos_token_id", 10, raw(~0ULL))),
               "tokenizer.ggml.eos_token_id is 1844");
  EXPECT_ERROR(of(llama_keys().u32("tokenizer.ggml.eos_token_id", 3)),
               "eos_token_id is 3, expected less than vocab_size 3");
}
TEST_F(ConfigTest, GgufMayGiveTheHeadDimension) {
  EXPECT_EQ(of(llama_keys().u32("llama.attention.key_length", 32)).head_dim, 32U);
}

TEST_F(ConfigTest, SurvivesDamagedFiles) {
  int read = 0, refused = 0;
  glassbox::testing::with_damaged_copies(config_json(), 2000, [&](const std::string& copy) {
    write_file(dir.path() / "config.json", copy);
    try {
      read += config_from_hugging_face(dir.path()).hidden_size > 0;
    } catch (const Error& error) {
      ++refused;
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << error.what();
    }
  });
  EXPECT_GT(read, 20);
  EXPECT_GT(refused, 500);
}

TEST(SharedConfigs, OfEveryModel) {
  REQUIRE_SHARED("models");
  const auto read = [](const char* name) { return config_from_hugging_face(shared_dir() / "models" / name); };
  EXPECT_EQ(read("llama_gqa").num_key_value_heads, 2U);
  EXPECT_EQ(read("llama_tied_rope3").rope_scaling.type, RopeScaling::Type::llama3);
  EXPECT_EQ(read("llama_tied_rope3").rope_theta, 500000.0);
  EXPECT_EQ(read("stories260K").dtype, "float32");
  EXPECT_ERROR(read("mistral_window"), "sliding_window is '16'");
  for (const auto& [name, architecture] : {std::pair("gemma", "'GemmaForCausalLM'"),
                                           {"gemma2", "'Gemma2ForCausalLM'"},
                                           {"qwen2", "'Qwen2ForCausalLM'"},
                                           {"qwen3", "'Qwen3ForCausalLM'"},
                                           {"xlstm", "'xLSTMForCausalLM'"},
                                           {"xlstm_bias_tied", "'xLSTMForCausalLM'"}})
    EXPECT_ERROR(read(name), architecture);
}
TEST(SharedConfigs, OfAPublishedGguf) {
  REQUIRE_SHARED("tokenizers/ggml-vocab-deepseek-coder.gguf");
  const auto config = config_from_gguf(Gguf::open(shared_dir() / "tokenizers/ggml-vocab-deepseek-coder.gguf"));
  EXPECT_EQ(config.rope_scaling.type, RopeScaling::Type::linear);
  EXPECT_EQ(config.rope_scaling.factor, 4.0);
  EXPECT_EQ(config.rope_theta, 100000.0);
  EXPECT_EQ(config.vocab_size, 32256U);
}

}  // namespace
}  // namespace glassbox::model
