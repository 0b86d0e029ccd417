#include <cmath>

#include "model/engine.h"
#include "tests/app/command_line.h"
#include "tests/model/container_builder.h"

namespace glassbox::app {
namespace {

using testing::Arguments;
using testing::expect_refused;
using testing::glassbox;
using ::testing::HasSubstr;
using testing::json_of;
using testing::output_of;
using testing::shared_dir;
using testing::write_file;

class PerplexityCommand : public ::testing::Test {
 protected:
  void SetUp() override { REQUIRE_SHARED("models/stories260K"); }
  static std::string model(const std::string& type) {
    return shared_dir() / ("models/stories260K/stories260K-" + type + ".gguf");
  }
  Arguments command(const Arguments& more) const {
    Arguments all{"perplexity", "-f", text};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  testing::TempDir dir;
  const std::string story =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a "
      "big, red ball. She wanted to play with it, but it was too high. Her mom said, \"Let us ask the tall man.\" The "
      "man was kind and gave Lily the ball. They all went home and had a good lunch. The end.";
  const std::string text = write_file(dir.path() / "story.txt", story);
};

/// −ln p of every token in the second half of the chunks, by the definition, a chunk in one go.
std::vector<double> losses(const std::string& path, const std::string& text, std::size_t context) {
  model::Engine engine({.model = path});
  const auto ids = engine.tokenizer().encode(text, true);
  const std::size_t vocabulary = engine.config().vocab_size;
  std::vector<double> out;
  for (std::size_t begin = 0; begin + context <= ids.size(); begin += context) {
    std::vector<std::uint32_t> chunk(ids.begin() + long(begin), ids.begin() + long(begin + context));
    chunk[0] = 1;
    engine.rewind(0);
    const auto logits = engine.feed_all(chunk);
    for (std::size_t i = context / 2; i + 1 < context; ++i) {
      double sum = 0;
      for (std::size_t v = 0; v < vocabulary; ++v) sum += std::exp(double(logits[i * vocabulary + v]));
      out.push_back(std::log(sum) - double(logits[i * vocabulary + chunk[i + 1]]));
    }
  }
  return out;
}

TEST_F(PerplexityCommand, IsThatOfTheSecondHalfOfEachChunk) {
  const auto expected = losses(model("f16"), story, 48);
  ASSERT_GE(expected.size(), 46U) << "two chunks at least";
  double sum = 0;
  for (const double loss : expected) sum += loss;
  const double perplexity = std::exp(sum / double(expected.size()));
  const auto report = json_of(command({"-m", model("f16"), "-c", "48", "-o", "json"}));
  EXPECT_EQ(report["tokens"], expected.size());
  EXPECT_EQ(report["chunks"], expected.size() / 23);
  EXPECT_EQ(report["context"], 48);
  EXPECT_NEAR(report["perplexity"].get<double>(), perplexity, 1e-5 * perplexity);
  EXPECT_LT(perplexity, 10) << "the model was trained on such stories";
  EXPECT_FALSE(report.contains("kl_divergence"));
}
TEST_F(PerplexityCommand, ComparesFewerBitsWithTheBase) {
  const auto report =
      json_of(command({"-m", model("q4_0"), "-c", "48", "-o", "json", "--kl-divergence-base", model("f16")}));
  const auto of_base = losses(model("f16"), story, 48), of_model = losses(model("q4_0"), story, 48);
  double change = 0, base = 0;
  for (std::size_t i = 0; i < of_base.size(); ++i) change += of_base[i] - of_model[i], base += of_base[i];
  const double count = double(of_base.size());
  EXPECT_NEAR(report["log_probability_change"].get<double>(), change / count, 1e-5);
  EXPECT_NEAR(report["perplexity_ratio"].get<double>(), std::exp(-change / count), 1e-5);
  EXPECT_NEAR(report["base_perplexity"].get<double>(), std::exp(base / count), 1e-4);
  const double kl = report["kl_divergence"];
  EXPECT_GT(kl, 1e-3);
  EXPECT_LT(kl, 0.3);
  EXPECT_GT(report["kl_divergence_max"].get<double>(), kl);
  EXPECT_GT(report["same_top"].get<double>(), 0.7);
  EXPECT_LT(report["same_top"].get<double>(), 1);
}
TEST_F(PerplexityCommand, AModelIsNotFarFromItself) {
  const auto report =
      json_of(command({"-m", model("f16"), "-o", "json", "-c", "32", "--kl-divergence-base", model("f16")}));
  EXPECT_EQ(report["kl_divergence"], 0);
  EXPECT_EQ(report["same_top"], 1);
  EXPECT_EQ(report["perplexity_ratio"], 1);
}
TEST_F(PerplexityCommand, TheTableSaysTheSame) {
  const auto printed = output_of(command({"-m", model("q8_0"), "-c", "64", "--kl-divergence-base", model("f16")}));
  for (const char* part : {"31 tokens scored, the second half of 1 chunk of 64\n", "perplexity of the base",
                           "KL(base || model), mean, nats", "same likeliest token, share"})
    EXPECT_THAT(printed, HasSubstr(part));
}
TEST_F(PerplexityCommand, ControlTokensAreTextUnlessSaidOtherwise) {
  write_file(text, "</s></s></s></s></s></s></s></s>");
  const auto plain = json_of(command({"-m", model("f16"), "-c", "8", "-o", "json"}));
  EXPECT_GT(plain["chunks"], 1);
  EXPECT_EQ(json_of(command({"-m", model("f16"), "-c", "8", "-o", "json", "--special"}))["chunks"], 1);
}
TEST_F(PerplexityCommand, BadInputIsOneLine) {
  expect_refused(glassbox({"perplexity", "-m", model("f16")}), "--file is required");
  expect_refused(glassbox({"perplexity", "-m", model("f16"), "-f", "/no/such"}), "/no/such");
  expect_refused(glassbox(command({"-m", model("f16")})),
                 "expected at least the 512 of one chunk (-c takes another size)");
  expect_refused(glassbox(command({"-m", model("f16"), "-c", "3"})), "at least 4 tokens, not 3");
  expect_refused(glassbox(command({"-m", model("f16"), "-c", "1000"})), "1000");
  expect_refused(glassbox(command({"-m", model("f16"), "-c", "32", "--kl-divergence-base", "/no/model"})), "/no/model");
  write_file(text, "ab\xff");
  expect_refused(glassbox(command({"-m", model("f16")})), "story.txt: is not valid UTF-8 at byte 2");
  REQUIRE_SHARED("models/llama_gqa");
  write_file(text, story);
  expect_refused(
      glassbox(command({"-m", model("f16"), "-c", "32", "--kl-divergence-base", shared_dir() / "models/llama_gqa"})),
      "llama_gqa: ");
}

}  // namespace
}  // namespace glassbox::app
