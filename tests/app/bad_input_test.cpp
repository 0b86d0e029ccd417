#include <fstream>

#include "tests/app/command_line.h"

// What a person can get wrong, through the program: exit code 2, one line, nothing lost.
namespace glassbox::app {
namespace {

using testing::Arguments;
using testing::data_dir;
using testing::Environment;
using testing::expect_refused;
using testing::glassbox;
using testing::shared_dir;
using testing::TempDir;

const std::filesystem::path gqa_model = data_dir() / "gqa_f16";

class BadInput : public ::testing::Test {
 protected:
  /// A copy of a model that a test may damage.
  std::filesystem::path copy_of(const std::filesystem::path& source) {
    const auto copy = dir.path() / "copy";
    std::filesystem::copy(source, copy);
    for (const auto& entry : std::filesystem::directory_iterator(copy))
      std::filesystem::permissions(entry, std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
    return copy;
  }
  static void overwrite(const std::filesystem::path& file, std::streamoff at, const std::string& bytes) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(at).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  static void refused(const Arguments& arguments, const std::string& part, const Environment& environment = {}) {
    expect_refused(glassbox(arguments, environment), part);
  }
  TempDir dir;
};

TEST_F(BadInput, AModelThatIsNotThere) {
  refused({"logits", "-m", "/nowhere/model", "--tokens", "1", "--out", dir.path() / "x"}, "/nowhere/model");
}
TEST_F(BadInput, NoModelAtAll) {
  refused({"logits", "--tokens", "1", "--out", dir.path() / "x"}, "-m PATH", {{"GLASSBOX_ASSETS", dir.path()}});
}
TEST_F(BadInput, TruncatedSafetensors) {
  const auto copy = copy_of(gqa_model);
  std::filesystem::resize_file(copy / "model.safetensors", 40000);
  refused({"logits", "-m", copy, "--tokens", "1", "--out", dir.path() / "x"}, "model.safetensors: tensor");
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "x"));
}
TEST_F(BadInput, AHeaderLongerThanItsFile) {
  const auto copy = copy_of(gqa_model);
  overwrite(copy / "model.safetensors", 0, std::string("\xff\xff\xff\x7f\0\0\0\0", 8));
  refused({"logits", "-m", copy, "--tokens", "1", "--out", dir.path() / "x"}, "model.safetensors");
}
TEST_F(BadInput, AMissingShard) {
  const auto copy = copy_of(data_dir() / "odd_sharded_f32");
  std::filesystem::remove(copy / "model-00002-of-00002.safetensors");
  refused({"logits", "-m", copy, "--tokens", "1", "--out", dir.path() / "x"}, "model-00002-of-00002.safetensors");
}
TEST_F(BadInput, AConfigThatDisagreesWithTheWeights) {
  const auto copy = copy_of(gqa_model);
  auto config = nlohmann::json::parse(std::ifstream(copy / "config.json"));
  config["intermediate_size"] = 60;
  std::ofstream(copy / "config.json") << config;
  refused({"logits", "-m", copy, "--tokens", "1", "--out", dir.path() / "x"}, "model.layers.0.mlp.gate_proj.weight");
}
TEST_F(BadInput, UnknownArchitectures) {
  REQUIRE_SHARED("models");
  for (const char* name : {"gemma", "gemma2", "qwen2", "qwen3", "xlstm", "xlstm_bias_tied"})
    refused({"logits", "-m", shared_dir() / "models" / name, "--tokens", "1", "--out", dir.path() / "x"},
            "is not supported, expected one of LlamaForCausalLM");
  refused({"logits", "-m", shared_dir() / "models/mistral_window", "--tokens", "1", "--out", dir.path() / "x"},
          "sliding");
}
TEST_F(BadInput, ATokenizerOfAnotherVocabulary) {
  REQUIRE_SHARED("tokenizers/llama-32k.model");
  const auto copy = copy_of(gqa_model);
  std::filesystem::copy(shared_dir() / "tokenizers/llama-32k.model", copy / "tokenizer.model");
  refused({"generate", "-m", copy, "-p", "a"}, "the tokenizer has 32000 pieces, the model a vocabulary of 96");
}
TEST_F(BadInput, ATruncatedGguf) {
  REQUIRE_SHARED("models/stories260K/stories260K-q8_0.gguf");
  std::filesystem::copy(shared_dir() / "models/stories260K/stories260K-q8_0.gguf", dir.path() / "cut.gguf");
  std::filesystem::permissions(dir.path() / "cut.gguf", std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  std::filesystem::resize_file(dir.path() / "cut.gguf", 200000);
  refused({"generate", "-m", dir.path() / "cut.gguf", "-p", "a"}, "cut.gguf: tensor");
}
TEST_F(BadInput, PromptsThatCannotBe) {
  refused({"logits", "-m", gqa_model, "--tokens", "1,96", "--out", dir.path() / "x"},
          "token id 96 is out of range, the vocabulary has 96");
  refused({"logits", "-m", gqa_model, "--tokens", "1,x", "--out", dir.path() / "x"},
          "--tokens expects token ids as 1,2,3, found 'x'");
  refused({"logits", "-m", gqa_model, "--out", dir.path() / "x"}, "give a prompt");
  refused({"logits", "-m", gqa_model, "--tokens", "1,2,3,4,5", "-c", "4", "--out", dir.path() / "x"},
          "5 tokens do not fit the context of 4");
  refused({"logits", "-m", gqa_model, "--tokens", "1", "-c", "100000", "--out", dir.path() / "x"},
          "this model's context is 64");
  refused({"generate", "-m", gqa_model, "-p", "text"}, "no tokenizer found");
  REQUIRE_SHARED("models/stories260K");
  refused({"generate", "-m", shared_dir() / "models/stories260K", "-p", "\xff\xfe"}, "not valid UTF-8 at byte 0");
}
TEST_F(BadInput, AFullDisk) {
  refused({"logits", "-m", gqa_model, "--tokens", "1", "--out", "/dev/full"},
          "/dev/full: cannot be written: No space left on device");
  refused({"diff", "-m", gqa_model, "--tokens", "1", "--save", "/dev/full"},
          "/dev/full: cannot be written: No space left on device");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
  refused({"logits", "-m", gqa_model, "--tokens", "1", "--out", "/nowhere/x"}, "/nowhere/x: cannot be written");
}
TEST_F(BadInput, NoDevice) {
  refused({"logits", "-m", gqa_model, "--tokens", "1", "--device", "99", "--out", dir.path() / "x"},
          "--device 99 does not exist");
  refused({"logits", "-m", gqa_model, "--tokens", "1", "--out", dir.path() / "x"}, "no OpenGL ES 3.1 device",
          {{"MESA_GLES_VERSION_OVERRIDE", "3.0"}});
  refused({"logits", "-m", gqa_model, "--tokens", "1", "--out", dir.path() / "x"}, "GLASSBOX_LIMITS=es99 is unknown",
          {{"GLASSBOX_LIMITS", "es99"}});
}
TEST_F(BadInput, AShaderThatDoesNotCompile) {
  std::ofstream(dir.path() / "rms_norm.comp") << "float sum = undeclared;\n";
  refused({"logits", "-m", gqa_model, "--tokens", "1", "--out", dir.path() / "x"}, "[rms_norm] does not compile",
          {{"GLASSBOX_SHADERS", dir.path()}});
}
TEST_F(BadInput, FlagsThatDoNotExist) {
  refused({"generate", "--frobnicate"}, "--frobnicate");
  refused({"frobnicate"}, "frobnicate");
  refused({"generate", "-m", gqa_model, "--tokens", "1", "--top-p", "7"}, "--top-p");
  refused({"generate", "-m", gqa_model, "--tokens", "1", "--fusion", "sometimes"}, "--fusion");
  refused({"generate", "-m", gqa_model, "--tokens", "1", "--activations", "fp8"}, "--activations");
  refused({"kernels", "test", "no_such_kernel"}, "there is no kernel 'no_such_kernel'");
}

}  // namespace
}  // namespace glassbox::app
