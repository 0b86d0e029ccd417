#include <fstream>

#include "model/engine.h"
#include "model/safetensors.h"
#include "tests/app/command_line.h"
#include "tests/model/tiny_llama.h"

namespace glassbox::app {
namespace {

using testing::nmse;
using testing::output_of;
using testing::shared_dir;
using testing::TempDir;

TEST(LogitsCommand, WritesTheLogitsOfEveryPosition) {
  REQUIRE_SHARED("models/llama_gqa");
  const TempDir dir;
  const auto model = shared_dir() / "models/llama_gqa", out = dir.path() / "logits.safetensors";
  const auto expected = nlohmann::json::parse(std::ifstream(model / "expected.json"));
  const std::string ids = fmt::format("{}", fmt::join(expected["ids"].get<std::vector<int>>(), ","));
  EXPECT_EQ(output_of({"logits", "-m", model, "--tokens", ids, "--out", out}),
            out.string() + ": logits float32 [48, 512]\n");
  const auto file = model::Safetensors::open(out);
  ASSERT_EQ(file.tensors().size(), 1U);
  EXPECT_EQ(file.at("logits").dtype, "F32");
  EXPECT_EQ(file.at("logits").shape, (gpu::Shape{48, 512}));
  EXPECT_LE(nmse(file.values("logits"), model::Safetensors::open(model / "expected.safetensors").values("logits")),
            1e-10);
}
TEST(LogitsCommand, NeedsNoTokenizerForIds) {
  const TempDir dir;
  const testing::TinyLlama tiny;
  const auto out = dir.path() / "logits.safetensors";
  output_of({"logits", "-m", tiny.write(dir.path() / "tiny"), "--tokens", "1,2,3", "--out", out});
  EXPECT_LE(nmse(model::Safetensors::open(out).values("logits"), tiny.logits({1, 2, 3})), 1e-11);
}
TEST(LogitsCommand, GivesTheSameBytesInEveryRun) {
  const TempDir dir;
  const testing::TinyLlama tiny;
  const auto model = tiny.write(dir.path() / "tiny");
  const auto bytes = [&](const char* name) {
    output_of({"logits", "-m", model, "--tokens", "1,2,3,4,5", "--out", dir.path() / name});
    std::ifstream file(dir.path() / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_EQ(bytes("first"), bytes("second"));
}
TEST(LogitsCommand, TakesTheIdsOfAText) {
  const TempDir dir;
  const testing::TinyLlama tiny;
  const auto model = tiny.write(dir.path() / "tiny"), out = dir.path() / "logits.safetensors";
  testing::write_file(model / "tokenizer.model", testing::letter_tokenizer(288));
  output_of({"logits", "-m", model, "-p", "abc", "--out", out});
  const auto ids = model::Tokenizer::from_sentencepiece(model / "tokenizer.model").encode("abc", true);
  EXPECT_LE(nmse(model::Safetensors::open(out).values("logits"), tiny.logits(ids)), 1e-11);
}

}  // namespace
}  // namespace glassbox::app
