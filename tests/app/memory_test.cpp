#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/app/command_line.h"

// At most 1.2 x the weights + the KV cache + 150 MB: a model large enough that a second copy of it would show.
namespace glassbox::app {
namespace {

using testing::glassbox;
using testing::TempDir;

constexpr struct {
  std::size_t hidden = 1024, intermediate = 2816, layers = 12, vocabulary = 32000, heads = 16, kv_heads = 4,
              context = 512;
} large;

/// Writes a float16 Llama of random small weights and returns their bytes.
std::size_t write_model(const std::filesystem::path& directory) {
  std::filesystem::create_directory(directory);
  std::ofstream(directory / "config.json") << nlohmann::json{{"architectures", {"LlamaForCausalLM"}},
                                                             {"model_type", "llama"},
                                                             {"hidden_size", large.hidden},
                                                             {"intermediate_size", large.intermediate},
                                                             {"num_hidden_layers", large.layers},
                                                             {"num_attention_heads", large.heads},
                                                             {"num_key_value_heads", large.kv_heads},
                                                             {"vocab_size", large.vocabulary},
                                                             {"max_position_embeddings", large.context},
                                                             {"rms_norm_eps", 1e-5},
                                                             {"rope_theta", 1e4},
                                                             {"tie_word_embeddings", true},
                                                             {"torch_dtype", "float16"}};
  nlohmann::json header;
  std::size_t end = 0;
  const auto add = [&](const std::string& name, std::vector<std::size_t> shape) {
    const auto begin = end;
    end += 2 * shape[0] * (shape.size() > 1 ? shape[1] : 1);
    header[name] = {{"dtype", "F16"}, {"shape", shape}, {"data_offsets", {begin, end}}};
  };
  add("model.embed_tokens.weight", {large.vocabulary, large.hidden});
  add("model.norm.weight", {large.hidden});
  for (std::size_t layer = 0; layer < large.layers; ++layer) {
    const auto prefix = "model.layers." + std::to_string(layer);
    add(prefix + ".input_layernorm.weight", {large.hidden});
    add(prefix + ".post_attention_layernorm.weight", {large.hidden});
    for (const auto* name : {"q", "o"})
      add(prefix + ".self_attn." + name + "_proj.weight", {large.hidden, large.hidden});
    for (const auto* name : {"k", "v"})
      add(prefix + ".self_attn." + name + "_proj.weight", {large.hidden / large.heads * large.kv_heads, large.hidden});
    for (const auto* name : {"gate", "up"})
      add(prefix + ".mlp." + name + "_proj.weight", {large.intermediate, large.hidden});
    add(prefix + ".mlp.down_proj.weight", {large.hidden, large.intermediate});
  }
  auto text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::ofstream file(directory / "model.safetensors", std::ios::binary);
  const std::uint64_t length = text.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof length) << text;
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> block(1 << 16);
  for (std::size_t left = end; left > 0;) {
    // Either sign, exponents that make values from 2^-7 to 2^-5.
    for (auto& halves : block) halves = (random() & 0x87ff87ff87ff87ff) | 0x2000200020002000;
    const auto count = std::min(left, block.size() * sizeof(block[0]));
    file.write(reinterpret_cast<const char*>(block.data()), static_cast<std::streamsize>(count));
    left -= count;
  }
  return end;
}

TEST(Memory, OfALoadedModelIsItsWeightsAndTheCacheAndLittleElse) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer's own memory hides the model's";
#endif
  const TempDir dir;
  const auto weights = write_model(dir.path() / "model");
  const auto result = glassbox({"logits", "-m", dir.path() / "model", "--tokens", "1,2,3", "--out", dir.path() / "x"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::size_t cache =
      2 * large.layers * large.context * (large.hidden / large.heads * large.kv_heads) * sizeof(float);
  EXPECT_LE(result.peak_bytes, weights * 6 / 5 + cache + 150'000'000)
      << weights << " bytes of weights, " << cache << " of cache";
  EXPECT_GE(result.peak_bytes, weights) << "else nothing was measured";
}

}  // namespace
}  // namespace glassbox::app
