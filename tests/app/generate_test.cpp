#include <fstream>

#include "model/engine.h"
#include "model/generate.h"
#include "tests/app/command_line.h"
#include "tests/model/tiny_llama.h"

namespace glassbox::app {
namespace {

using testing::Arguments;
using testing::glassbox;
using testing::json_of;
using testing::output_of;
using testing::shared_dir;
using testing::TerminalProcess;

class GenerateCommand : public ::testing::Test {
 protected:
  GenerateCommand() {
    std::filesystem::create_directories(model);
    testing::write_file(dir.path() / "letters" / "tokenizer.model", testing::letter_tokenizer(280));
    auto& head = tiny.tensors.at("lm_head.weight").values;
    for (std::size_t i = 0; i < testing::first_letter * tiny.s.hidden; ++i) head[i] *= 0.01F;
    tiny.write(model, {{"max_position_embeddings", 4096}});
  }
  Arguments generate(const Arguments& more) const {
    Arguments all{"generate", "-m", model};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  testing::TempDir dir;
  testing::TinyLlama tiny;
  const std::string model = dir.path() / "letters";
};

TEST(GenerateStories, TellsTheReferenceText) {
  REQUIRE_SHARED("models/stories260K");
  const auto text = output_of(
      {"generate", "-m", shared_dir() / "models/stories260K", "-p", "Once upon a time", "-n", "16", "--temp", "0"});
  EXPECT_EQ(text, ", there was a little girl named Lily. She loved to play\n");
}

TEST_F(GenerateCommand, JsonIsOneObjectWithAllThatHappened) {
  const auto report = json_of(generate({"--tokens", "1, 260 ,262", "-n", "9", "--temp", "0", "--json"}));
  model::Engine engine({.model = model});
  const auto expected =
      model::generate(engine, {.prompt = {1, 260, 262}, .max_tokens = 9, .sampling = {.temperature = 0}}, nullptr);
  EXPECT_EQ(report["prompt_tokens"], (std::vector<int>{1, 260, 262}));
  EXPECT_EQ(report["tokens"], expected.tokens);
  EXPECT_EQ(report["text"], expected.text);
  EXPECT_EQ(report["stop_reason"], "length");
  for (const char* key : {"load_s", "prefill_tokens_per_s", "decode_tokens_per_s", "ttft_s"})
    EXPECT_GT(report["timings"][key].get<double>(), 0) << key;
  EXPECT_EQ(report.size(), 5U);
  EXPECT_EQ(report["timings"].size(), 4U);
}
TEST_F(GenerateCommand, PrintsTheTextAsJsonHasIt) {
  const Arguments same{"-p", "abc", "-n", "20", "--temp", "0"};
  auto json = same;
  json.emplace_back("--json");
  EXPECT_EQ(output_of(generate(same)), json_of(generate(json))["text"].get<std::string>() + "\n");
}
TEST(GenerateStories, ATextBeginsWithBosUnlessToldOtherwise) {
  REQUIRE_SHARED("models/stories260K");
  const Arguments same{"generate", "-m", shared_dir() / "models/stories260K", "-p", "abc", "-n", "1", "--json"};
  auto without = same;
  without.emplace_back("--no-bos");
  EXPECT_EQ(json_of(same)["prompt_tokens"], (std::vector<int>{1, 261, 430, 429}));
  EXPECT_EQ(json_of(without)["prompt_tokens"], (std::vector<int>{261, 430, 429}));
}
TEST_F(GenerateCommand, SeedsReproduce) {
  const auto text = [&](const char* seed) {
    return json_of(generate({"-p", "a", "-n", "24", "--temp", "2", "--top-k", "0", "-s", seed, "--json"}))["text"];
  };
  EXPECT_EQ(text("5"), text("5"));
  EXPECT_NE(text("5"), text("6"));
}
TEST_F(GenerateCommand, StopsAtAnyOfItsStopStrings) {
  const auto text = json_of(generate({"-p", "abc", "-n", "20", "--temp", "0", "--json"}))["text"].get<std::string>();
  const auto stop = text.substr(4, 3);
  const auto stopped =
      json_of(generate({"-p", "abc", "-n", "20", "--temp", "0", "--json", "--stop", "never", "--stop", stop}));
  EXPECT_EQ(stopped["text"], text.substr(0, text.find(stop)));
  EXPECT_EQ(stopped["stop_reason"], "stop");
}
TEST_F(GenerateCommand, NoTokensAreNoTokens) {
  const auto report = json_of(generate({"-p", "abc", "-n", "0", "--json"}));
  EXPECT_EQ(report["tokens"], nlohmann::json::array());
  EXPECT_EQ(report["text"], "");
  EXPECT_EQ(report["stop_reason"], "length");
}
TEST_F(GenerateCommand, EverySwitchGivesTheSameGreedyText) {
  const Arguments same{"-p", "abc", "-n", "16", "--temp", "0"};
  const auto expected = output_of(generate(same));
  for (const Arguments& more : std::vector<Arguments>{{"--fusion", "off"},
                                                      {"--load-path", "ssbo"},
                                                      {"-c", "64"},
                                                      {"-ctk", "f32"},
                                                      {"-ctv", "f32"},
                                                      {"--device", "0"}}) {
    auto arguments = same;
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(output_of(generate(arguments)), expected) << more[0];
  }
}

TEST_F(GenerateCommand, CtrlCPrintsWhatWasThereAndEndsWell) {
  auto arguments = generate({"-p", "abc", "-n", "4000", "--ignore-eos", "--temp", "2", "-s", "1"});
  arguments.insert(arguments.begin(), GLASSBOX_BINARY);
  const auto whole = json_of(generate({"-p", "abc", "-n", "8", "--ignore-eos", "--temp", "2", "-s", "1", "--json"}));
  const auto beginning = whole["text"].get<std::string>().substr(0, 4);
  TerminalProcess process(arguments, {});
  process.wait_for(beginning);
  process.type("\x03");
  EXPECT_EQ(process.wait(), 0);
  EXPECT_EQ(process.screen().back(), '\n');
}
TEST_F(GenerateCommand, CtrlCLeavesTheJsonWhole) {
  // A shell starts it, waits until it computes (its shader cache is warm, its output a file) and interrupts it.
  const auto out = (dir.path() / "out").string();
  const std::string script =
      "\"$0\" \"$@\" > '" + out + "' & p=$!; trap '' INT; sleep 1; kill -INT $p; wait $p; echo $?";
  Arguments all{"/bin/bash", "-mc", script, GLASSBOX_BINARY};
  for (const auto& argument : generate({"-p", "abc", "-n", "4000", "--ignore-eos", "--json"})) all.push_back(argument);
  const auto result = testing::run_process(all);
  ASSERT_EQ(result.out, "0\n") << result.err;
  const auto report = nlohmann::json::parse(std::ifstream(out));
  EXPECT_EQ(report["stop_reason"], "cancelled");
  EXPECT_LT(report["tokens"].size(), 4000U);
}

}  // namespace
}  // namespace glassbox::app
