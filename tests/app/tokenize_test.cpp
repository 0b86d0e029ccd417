#include <fstream>

#include "model/mapped_file.h"
#include "tests/app/command_line.h"

namespace glassbox::app {
namespace {

using testing::glassbox;

class TokenizeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    REQUIRE_SHARED("models/stories260K");
    REQUIRE_SHARED("tokenizers/llama-32k.expected.json");
  }
  static std::string shared(std::string_view relative) { return testing::shared_dir() / relative; }
  static void expect_refused(const testing::Arguments& arguments, const std::string& error) {
    testing::expect_refused(glassbox(arguments), error);
  }

  testing::TempDir temp;
  const std::string llama = shared("tokenizers/llama-32k.model");
};

TEST_F(TokenizeTest, GivesTheReferencesIdsPiecesAndText) {
  const auto expected = model::read_json(shared("tokenizers/llama-32k.expected.json"));
  const auto& cases = expected.at("cases");
  const auto file = temp.path() / "text";
  std::size_t tried = 0;
  for (std::size_t i = 0; i < cases.size(); i += cases.size() / 5 + 1, ++tried) {
    const auto& example = cases[i];
    std::ofstream(file, std::ios::binary) << example.at("text").get<std::string>();
    const auto result = glassbox({"tokenize", "-m", llama, "--no-bos", "--json", "--file", file});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const auto printed = nlohmann::json::parse(result.out);
    EXPECT_EQ(printed["tokens"], example.at("ids"));
    EXPECT_EQ(printed["pieces"], example.at("pieces"));
  }
  EXPECT_GE(tried, 3u);
}

TEST_F(TokenizeTest, ATokenALine) {
  const auto result = glassbox({"tokenize", "-m", shared("models/stories260K"), "time\n"});
  EXPECT_EQ(result.out, "     1  <s>\n   378  ▁time\n    13  <0x0A>\n");
  EXPECT_EQ(glassbox({"tokenize", "-m", shared("models/stories260K"), "--no-bos", "time"}).out, "   378  ▁time\n");
}

TEST_F(TokenizeTest, EveryKindOfFileWithAVocabularyWillDo) {
  for (const char* path : {"models/stories260K", "models/stories260K/model.safetensors",
                           "models/stories260K/tokenizer.model", "models/stories260K/stories260K-f16.gguf"})
    EXPECT_EQ(glassbox({"tokenize", "--json", "time", "-m", shared(path)}).out,
              "{\"tokens\":[1,378],\"pieces\":[\"<s>\",\"▁time\"]}\n")
        << path;
  EXPECT_EQ(glassbox({"tokenize", "--json", "hi", "-m", shared("tokenizers/ggml-vocab-llama-spm.gguf")}).out,
            "{\"tokens\":[1,7251],\"pieces\":[\"<s>\",\"▁hi\"]}\n");
}

TEST_F(TokenizeTest, DetokenizePrintsTheText) {
  EXPECT_EQ(glassbox({"detokenize", "-m", shared("models/stories260K"), "1,403, 407,261,378"}).out,
            "Once upon a time\n");
}

TEST_F(TokenizeTest, BadInputIsOneLineAndExitCode2) {
  const auto bad = (temp.path() / "bad").string();
  std::ofstream(bad) << "ab\xFF";
  expect_refused({"tokenize", "-m", llama, "--file", bad}, bad + ": is not valid UTF-8 at byte 2");
  expect_refused({"tokenize", "-m", llama, "ab\xFF"}, "text is not valid UTF-8 at byte 2");
  expect_refused({"tokenize", "-m", llama, "--file", "/no/such/file"}, "/no/such/file");
  expect_refused({"tokenize", "-m", llama}, "give a text to tokenize, or --file FILE");
  expect_refused({"tokenize", "-m", llama, "a", "--file", bad}, "excludes");
  expect_refused({"tokenize", "-m", bad, "a"}, bad);
  expect_refused({"tokenize", "-m", temp.path(), "a"}, "has no tokenizer.model");
  expect_refused({"tokenize", "-m", "/no/such/model", "a"}, "/no/such/model: there is no such file");
  expect_refused({"tokenize", "-m", shared("tokenizers/ggml-vocab-gpt-2.gguf"), "a"}, "byte-level BPE");
  expect_refused({"detokenize", "-m", llama, "32000"}, "token id 32000 is out of range, the vocabulary has 32000");
  expect_refused({"detokenize", "-m", llama, "-1"}, "");
  expect_refused({"detokenize", "-m", llama, "4294967296"}, "expects token ids as 1,2,3");
  expect_refused({"detokenize", "-m", llama, "1,,2"}, "expects token ids as 1,2,3");
}

}  // namespace
}  // namespace glassbox::app
