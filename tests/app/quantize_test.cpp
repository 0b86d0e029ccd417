#include "model/gguf.h"
#include "tests/app/command_line.h"
#include "tests/model/tiny_llama.h"

namespace glassbox::app {
namespace {

using testing::expect_refused;
using testing::glassbox;
using ::testing::HasSubstr;
using testing::json_of;
using testing::output_of;
using testing::shared_dir;

class QuantizeCommand : public ::testing::Test {
 protected:
  void SetUp() override { REQUIRE_SHARED("models/stories260K"); }
  std::string text_of(const std::string& model) const {
    return json_of({"generate", "-m", model, "-p", "Once upon a time", "-n", "24", "--temp", "0", "--json"})["text"];
  }
  testing::TempDir dir;
  const std::string stories = shared_dir() / "models/stories260K", out = dir.path() / "out.gguf";
};

TEST_F(QuantizeCommand, TheResultTellsTheSameStory) {
  const auto printed = output_of({"quantize", stories, out, "--type", "q8_0"});
  EXPECT_THAT(printed, HasSubstr("5 matrices have rows of 172, no multiple of q8_0's 32: stored as f16\n"));
  EXPECT_THAT(printed, HasSubstr(out + ": q8_0, 336.6 KiB, 10.15 bits a weight\n"));
  EXPECT_EQ(text_of(out), text_of(stories));
}
TEST_F(QuantizeCommand, FewerBitsBeginTheSameStory) {
  output_of({"quantize", stories + "/stories260K-f16.gguf", out, "--type", "Q4_0"});
  EXPECT_TRUE(text_of(out).starts_with(", there was a little girl named Lily. She loved to play outside"))
      << text_of(out);
  const auto gguf = model::Gguf::open(out);
  EXPECT_EQ(gguf.weights().at("model.embed_tokens.weight").type, model::StorageType::q8_0);
  EXPECT_EQ(gguf.weights().at("model.layers.4.mlp.up_proj.weight").type, model::StorageType::q4_0);
  output_of({"quantize", stories + "/stories260K-f16.gguf", out, "--type", "q4_0", "--pure"});
  EXPECT_EQ(model::Gguf::open(out).weights().at("model.embed_tokens.weight").type, model::StorageType::q4_0);
}
TEST_F(QuantizeCommand, WarnsOfASecondLoss) {
  const auto result = glassbox({"quantize", stories + "/stories260K-q8_0.gguf", out, "--type", "q4_0"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "glassbox: warning: " + stories +
                            "/stories260K-q8_0.gguf is quantised already (q8_0): what both lose adds up\n");
}
TEST_F(QuantizeCommand, BadInputIsOneLine) {
  expect_refused(glassbox({"quantize", stories, out}), "--type is required");
  expect_refused(glassbox({"quantize", stories, "--type", "q4_0"}), "output is required");
  expect_refused(glassbox({"quantize", stories, out, "--type", "q9"}), "q9 not in {f32,f16,bf16,q8_0,");
  expect_refused(glassbox({"quantize", stories, out, "--type", "q2_k"}), "q2_k not in");
  expect_refused(glassbox({"quantize", dir.path() / "none", out, "--type", "q4_0"}), "none: there is no such file");
  expect_refused(glassbox({"quantize", stories, "/dev/full", "--type", "q4_0"}),
                 "/dev/full: cannot be written: No space");
  expect_refused(glassbox({"quantize", stories, dir.path(), "--type", "q4_0"}), "cannot be written: Is a directory");
  const auto copy = (dir.path() / "copy.gguf").string();
  std::filesystem::copy(stories + "/stories260K-f16.gguf", copy);
  expect_refused(glassbox({"quantize", copy, copy, "--type", "q4_0"}), "copy.gguf: is the input");
  const auto cut = testing::write_file(dir.path() / "cut.gguf", "GGUF and no more").string();
  expect_refused(glassbox({"quantize", cut, out, "--type", "q4_0"}), "cut.gguf");
  EXPECT_FALSE(std::filesystem::exists(out));
}

}  // namespace
}  // namespace glassbox::app
