#include "model/generate.h"

#include <gtest/gtest.h>

#include "model/utf8.h"
#include "tests/model/tiny_llama.h"

namespace glassbox::model {
namespace {

using glassbox::testing::argmax;
using glassbox::testing::first_letter;
using glassbox::testing::letter_tokenizer;
using glassbox::testing::TempDir;
using glassbox::testing::TinyLlama;
using glassbox::testing::write_file;
using Ids = std::vector<std::uint32_t>;

/// What a filter lets go of `pieces`, one by one, and at the end.
std::vector<std::string> filtered(std::vector<std::string> stops, const std::vector<std::string>& pieces) {
  StopFilter filter(std::move(stops));
  std::vector<std::string> out;
  for (const auto& piece : pieces) out.push_back(filter.push(piece));
  out.push_back(filter.finish());
  return out;
}
using Texts = std::vector<std::string>;

TEST(StopFilter, WithoutStopStringsHoldsNothing) { EXPECT_EQ(filtered({}, {"ab", "c"}), (Texts{"ab", "c", ""})); }
TEST(StopFilter, HoldsBackABeginningAndLetsItGo) {
  EXPECT_EQ(filtered({"END"}, {"xE", "N", "y"}), (Texts{"x", "", "ENy", ""}));
}
TEST(StopFilter, LetsABeginningGoAtTheEnd) { EXPECT_EQ(filtered({"END"}, {"xEN"}), (Texts{"x", "EN"})); }
TEST(StopFilter, StopsWithinAPiece) { EXPECT_EQ(filtered({"END"}, {"abENDcd", "e"}), (Texts{"ab", "", ""})); }
TEST(StopFilter, StopsAcrossPieces) {
  EXPECT_EQ(filtered({"END"}, {"aE", "N", "D!", "x"}), (Texts{"a", "", "", "", ""}));
}
TEST(StopFilter, StopsAtOneCharacter) { EXPECT_EQ(filtered({"."}, {"a", ".b"}), (Texts{"a", "", ""})); }
TEST(StopFilter, HoldsBackNoMoreThanItMust) {
  EXPECT_EQ(filtered({"aab"}, {"aaaa", "b"}), (Texts{"aa", "", ""}));
  EXPECT_EQ(filtered({"aab"}, {"aaaa", "c"}), (Texts{"aa", "aac", ""}));
}
TEST(StopFilter, TheFirstToBeCompleteWins) {
  EXPECT_EQ(filtered({"cd", "bc"}, {"abcd"}), (Texts{"a", ""}));
  EXPECT_EQ(filtered({"bc", "cd"}, {"abcd"}), (Texts{"a", ""}));
}
TEST(StopFilter, AShortOneInsideALongerOne) {
  EXPECT_EQ(filtered({"abcd", "bc"}, {"ab", "cx"}), (Texts{"", "a", ""}));
  EXPECT_EQ(filtered({"abcd", "bc"}, {"abcd"}), (Texts{"a", ""}));
  EXPECT_EQ(filtered({"abc", "c"}, {"xab", "c"}), (Texts{"x", "", ""})) << "both end here: the longer one";
}
TEST(StopFilter, HoldsForTheLongestOfSeveral) {
  EXPECT_EQ(filtered({"zz", "abcde"}, {"xabc", "d!"}), (Texts{"x", "abcd!", ""}));
}
TEST(StopFilter, KnowsItStopped) {
  StopFilter filter({"x"});
  filter.push("a");
  EXPECT_FALSE(filter.stopped());
  filter.push("bxc");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.push("more"), "");
}

// Random texts over two letters, cut anywhere: what goes out is the text before the first stop string in it.
TEST(StopFilter, GivesTheTextBeforeTheFirstCompleteStopHoweverItIsCut) {
  std::mt19937 random(3);
  const auto word = [&](std::size_t most) {
    std::string text(1 + random() % most, 'a');
    for (auto& letter : text) letter = random() % 2 ? 'a' : 'b';
    return text;
  };
  for (int i = 0; i < 3000; ++i) {
    const Texts stops = {word(5), word(5)};
    const auto text = word(24);
    StopFilter filter(stops);
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t count = 1 + random() % 4;
      out += filter.push(text.substr(at, count));
      at += count;
    }
    out += filter.finish();
    std::size_t first = std::string::npos;
    for (std::size_t end = 1; end <= text.size() && first == std::string::npos; ++end)
      for (const auto& stop : stops)
        if (std::string_view(text).substr(0, end).ends_with(stop)) first = std::min(first, end - stop.size());
    ASSERT_EQ(out, text.substr(0, first)) << text << " at " << stops[0] << " or " << stops[1];
    ASSERT_EQ(filter.stopped(), first != std::string::npos);
  }
}

/// A tiny model that writes letters: the output rows of specials and bytes are small.
class GenerateTest : public ::testing::Test {
 protected:
  GenerateTest() {
    auto& head = tiny.tensors.at("lm_head.weight").values;
    for (std::size_t i = 0; i < first_letter * tiny.s.hidden; ++i) head[i] *= 0.01F;
    std::filesystem::create_directories(model);
    write_file(model / "tokenizer.model", letter_tokenizer(280));
  }
  Engine& engine(const nlohmann::json& patch = nlohmann::json::object(), std::size_t context = 0) {
    engine_.reset();
    return *(engine_ = std::make_unique<Engine>(EngineOptions{.model = tiny.write(model, patch), .context = context}));
  }
  Engine& engine_as_it_is() { return engine_ ? *engine_ : engine(); }
  Generation generated(GenerateRequest request, const std::stop_token& stop = {}) {
    if (request.prompt.empty()) request.prompt = prompt;
    streamed.clear();
    seen.clear();
    return generate(
        engine_as_it_is(), request,
        [&](const GeneratedToken& token) {
          streamed += token.text;
          if (!token.rest) seen.push_back(token.id);
        },
        stop);
  }
  GenerateRequest greedy(std::size_t tokens, Texts stops = {}) const {
    return {.max_tokens = tokens, .sampling = {.temperature = 0}, .stop_strings = std::move(stops)};
  }

  TempDir dir;
  TinyLlama tiny;
  std::filesystem::path model = dir.path() / "letters";
  const Ids prompt = {1, 260, 262, 264};
  std::string streamed;
  Ids seen;

 private:
  std::unique_ptr<Engine> engine_;
};

TEST_F(GenerateTest, GreedyIsTheArgmaxOfTheLogits) {
  const auto result = generated(greedy(20));
  EXPECT_EQ(result.reason, StopReason::length);
  ASSERT_EQ(result.tokens.size(), 20U);
  auto& engine = engine_as_it_is();
  engine.rewind(0);
  auto logits = engine.feed(prompt);
  for (const auto token : result.tokens) {
    logits->resize(280);  // ids that pad the vocabulary are not drawn
    EXPECT_EQ(token, argmax(*logits));
    logits = engine.feed(std::span(&token, 1));
  }
}
TEST_F(GenerateTest, StreamsTheTextOfItsTokens) {
  const auto result = generated(greedy(40));
  EXPECT_EQ(streamed, result.text);
  auto whole = prompt;
  whole.insert(whole.end(), result.tokens.begin(), result.tokens.end());
  const auto& tokenizer = engine_as_it_is().tokenizer();
  EXPECT_EQ(tokenizer.decode(prompt) + result.text, tokenizer.decode(whole));
  EXPECT_GT(result.text.size(), 20U);
}
TEST_F(GenerateTest, NeverStreamsHalfACharacter) {
  tiny = TinyLlama();  // bytes are as likely as letters
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const auto result = generated({.max_tokens = 30, .sampling = {.top_k = 0, .temperature = 3}, .seed = seed});
    EXPECT_EQ(streamed, result.text);
    EXPECT_EQ(find_invalid_utf8(result.text), std::nullopt);
  }
}
TEST_F(GenerateTest, CountsAndTimes) {
  const auto result = generated(greedy(5));
  EXPECT_EQ(result.prompt_tokens, prompt.size());
  EXPECT_GT(result.prefill_seconds, 0);
  EXPECT_GT(result.decode_seconds, 0);
  EXPECT_GE(result.first_token_seconds, result.prefill_seconds);
  EXPECT_DOUBLE_EQ(result.decode_tokens_per_second(), 4 / result.decode_seconds);
  EXPECT_DOUBLE_EQ(result.prefill_tokens_per_second(), 4 / result.prefill_seconds);
  EXPECT_EQ(generated(greedy(1)).prompt_tokens, 1U) << "the context held the rest";
}
TEST_F(GenerateTest, OneTokenIsDecodedInNoTime) { EXPECT_EQ(generated(greedy(1)).decode_tokens_per_second(), 0); }

TEST_F(GenerateTest, StopsBeforeAnyPartOfItsText) {
  const auto text = generated(greedy(40)).text;
  // Every stretch of the text as a stop string: within one token, across two, across many.
  for (const std::size_t length : {1, 2, 3, 7})
    for (std::size_t at = 0; at + length <= 24; at += 5) {
      const auto stop = text.substr(at, length);
      if (find_invalid_utf8(stop)) continue;
      const auto result = generated(greedy(40, {"never in it", stop}));
      EXPECT_EQ(result.reason, StopReason::stop_string);
      EXPECT_EQ(result.text, text.substr(0, text.find(stop)));
      EXPECT_EQ(streamed, result.text);
      EXPECT_EQ(seen.size(), result.tokens.size());
    }
}
TEST_F(GenerateTest, AHeldBackBeginningComesAtTheEnd) {
  const auto text = generated(greedy(12)).text;
  const auto result = generated(greedy(12, {text.substr(text.size() - 1) + "\n\n"}));
  EXPECT_EQ(result.reason, StopReason::length);
  EXPECT_EQ(result.text, text);
  EXPECT_EQ(streamed, text);
  EXPECT_EQ(seen.back(), result.tokens.back());
}
TEST_F(GenerateTest, RefusesStopStringsThatAreNoText) {
  EXPECT_ERROR(generated(greedy(1, {""})), "a stop string is empty");
  EXPECT_ERROR(generated(greedy(1, {"ok", "\xc3"})), "a stop string is not valid UTF-8");
}

TEST_F(GenerateTest, EndsAtTheModelsOwnToken) {
  const auto tokens = generated(greedy(12)).tokens;
  const auto end = tokens[6];
  const auto first = std::find(tokens.begin(), tokens.end(), end);
  engine({{"eos_token_id", {2, end}}});
  const auto result = generated(greedy(12));
  EXPECT_EQ(result.reason, StopReason::end);
  EXPECT_EQ(result.tokens, Ids(tokens.begin(), first));
  EXPECT_EQ(streamed, result.text);
  auto ignoring = greedy(12);
  ignoring.ignore_end = true;
  const auto on = generated(ignoring);
  EXPECT_EQ(on.reason, StopReason::length);
  EXPECT_EQ(on.tokens, tokens);
}
TEST_F(GenerateTest, EndsWhereTheContextIsFull) {
  engine(nlohmann::json::object(), 10);
  const auto result = generated(greedy(0));
  EXPECT_EQ(result.reason, StopReason::context);
  // The last token is drawn from the full context and is not fed.
  EXPECT_EQ(result.tokens.size(), 10U - prompt.size() + 1);
  EXPECT_EQ(engine_as_it_is().tokens().size(), 10U);
}
TEST_F(GenerateTest, RefusesPromptsThatLeaveNoRoom) {
  engine(nlohmann::json::object(), 10);
  auto request = greedy(1);
  request.prompt = Ids(10, 260);
  EXPECT_ERROR(generated(request), "the prompt has 10 tokens, the context of 10 leaves no room for an answer");
  EXPECT_ERROR(generate(engine_as_it_is(), greedy(1), nullptr), "the prompt is empty");
}

TEST_F(GenerateTest, StopsWithinAToken) {
  std::stop_source stop;
  std::size_t count = 0;
  auto request = greedy(40);
  request.prompt = prompt;
  const auto all = generated(request);
  const auto result = generate(
      engine_as_it_is(), request,
      [&](const GeneratedToken&) {
        if (++count == 5) stop.request_stop();
      },
      stop.get_token());
  EXPECT_EQ(result.reason, StopReason::cancelled);
  EXPECT_EQ(result.tokens, Ids(all.tokens.begin(), all.tokens.begin() + 5));
  EXPECT_TRUE(all.text.starts_with(result.text));
  EXPECT_EQ(generated(request).tokens, all.tokens) << "a cancelled run must leave no trace";
}
TEST_F(GenerateTest, StopsBeforeItReadsThePrompt) {
  std::stop_source stop;
  stop.request_stop();
  const auto result = generated(greedy(4), stop.get_token());
  EXPECT_EQ(result.reason, StopReason::cancelled);
  EXPECT_EQ(result.tokens, Ids{});
  EXPECT_EQ(result.text, "");
  EXPECT_EQ(seen, Ids{});
}

TEST_F(GenerateTest, SeedsReproduce) {
  const auto text = [&](std::uint64_t seed) {
    return generated(
               {.max_tokens = 24, .sampling = {.top_k = 0, .top_p = 1, .min_p = 0, .temperature = 2}, .seed = seed})
        .text;
  };
  const auto first = text(1);
  EXPECT_EQ(text(1), first);
  EXPECT_NE(text(2), first);
  engine();
  EXPECT_EQ(text(1), first) << "another engine";
}
TEST_F(GenerateTest, ReportsCandidates) {
  auto request = greedy(3);
  request.prompt = prompt;
  request.sampling.keep_candidates = 5;
  generate(engine_as_it_is(), request, [](const GeneratedToken& token) {
    ASSERT_EQ(token.choice.candidates.size(), 5U);
    EXPECT_EQ(token.choice.candidates[0].token, token.id);
  });
}
/// With and without the device's candidates: the same tokens for the same seed.
TEST_F(GenerateTest, DrawsTheSameFromCandidatesAsFromAllLogits) {
  tiny.write(model);
  for (const SamplingOptions sampling :
       {SamplingOptions{}, SamplingOptions{.temperature = 0},
        SamplingOptions{.repeat_last_n = 8, .repeat_penalty = 1.3F}, SamplingOptions{.top_k = 5, .temperature = 3}}) {
    const GenerateRequest request{.prompt = prompt, .max_tokens = 30, .sampling = sampling, .seed = 5};
    // Nothing is computed differently: a k that the device does not look for lets all logits be read.
    auto whole = request;
    whole.sampling.keep_candidates = 1000;
    const auto expected = generated(whole).tokens;
    EXPECT_EQ(generated(request).tokens, expected);
  }
}
TEST_F(GenerateTest, RefusesLogitsThatAreNotNumbers) {
  tiny.tensors.at("lm_head.weight").values[270 * tiny.s.hidden] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_ERROR(generated({.max_tokens = 3}),
               "the model produced NaN logits at token 4 (the first is logit 270 of 288)");
}
TEST_F(GenerateTest, WithoutATokenizerSaysSo) {
  std::filesystem::remove(model / "tokenizer.model");
  EXPECT_ERROR(generated(greedy(1)), "no tokenizer found");
}
TEST(StopReason, HasNames) {
  EXPECT_EQ(name_of(StopReason::end), "end");
  EXPECT_EQ(name_of(StopReason::stop_string), "stop");
  EXPECT_EQ(name_of(StopReason::length), "length");
  EXPECT_EQ(name_of(StopReason::context), "context");
  EXPECT_EQ(name_of(StopReason::cancelled), "cancelled");
}

}  // namespace
}  // namespace glassbox::model
