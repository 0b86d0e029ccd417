#include "model/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <utility>

#include "tests/model/random_logits.h"
#include "tests/support.h"

namespace glassbox::model {
namespace {

using glassbox::testing::random_logits;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// Every stage off: the plain softmax.
const SamplingOptions every_stage_off{.top_k = 0, .typical_p = 1, .top_p = 1, .min_p = 0, .temperature = 1};

/// Oracle: token -> logit of what is left, in float64, each stage by a full sort.
using Left = std::map<std::size_t, double>;
using Stage = std::function<Left(const Left&)>;

Left all_of(const std::vector<float>& logits) {
  Left left;
  for (std::size_t i = 0; i < logits.size(); ++i) left[i] = logits[i];
  return left;
}

Left softmax(const Left& left, double temperature = 1) {
  double sum = 0;
  Left p;
  for (auto [token, logit] : left) sum += p[token] = std::exp(logit / temperature);
  for (auto& [token, value] : p) value /= sum;
  return p;
}

/// The first tokens, by falling `rank`, up to and including the one where `enough(sum of p, count)`.
Left take(const Left& left, const Left& rank, const std::function<bool(double, std::size_t)>& enough) {
  const auto p = softmax(left);
  std::vector<std::pair<double, std::size_t>> order;
  for (auto [token, value] : rank) order.emplace_back(-value, token);
  std::sort(order.begin(), order.end());
  Left kept;
  double sum = 0;
  for (auto [_, token] : order) {
    kept[token] = left.at(token);
    if (enough(sum += p.at(token), kept.size())) break;
  }
  return kept;
}

Stage top_k(std::size_t k) {
  return [=](const Left& left) { return take(left, left, [=](double, std::size_t n) { return n == k; }); };
}
Stage top_p(double p, std::size_t min_keep = 0) {
  return [=](const Left& left) {
    return take(left, left, [=](double sum, std::size_t n) { return sum >= p && n >= min_keep; });
  };
}
Stage typical(double p, std::size_t min_keep = 0) {
  return [=](const Left& left) {
    auto rank = softmax(left);
    double entropy = 0;
    for (auto [_, value] : rank) entropy -= value * std::log(value);
    for (auto& [_, value] : rank) value = -std::abs(std::log(value) + entropy);
    return take(left, rank, [=](double sum, std::size_t n) { return sum > p && n >= min_keep; });
  };
}
Stage min_p(double p, std::size_t min_keep = 0) {
  return [=](const Left& left) {
    auto kept = softmax(left);
    double best = 0;
    for (auto [_, value] : kept) best = std::max(best, value);
    std::erase_if(kept, [&](auto& entry) { return entry.second < p * best; });
    if (kept.size() < min_keep) return top_k(min_keep)(left);
    for (auto& [token, value] : kept) value = left.at(token);
    return kept;
  };
}

Left run(Left left, const std::vector<Stage>& stages) {
  for (const auto& stage : stages) left = stage(left);
  return left;
}

/// What the Sampler draws from, by its own account.
std::vector<Candidate> candidates(const std::vector<float>& logits, SamplingOptions options,
                                  const std::vector<std::uint32_t>& history = {}) {
  options.keep_candidates = logits.size();
  return Sampler(options, 1).sample(logits, history).candidates;
}

void expect_chain(const std::vector<float>& logits, const SamplingOptions& options, const std::vector<Stage>& stages,
                  double temperature = 1) {
  const auto expected = softmax(run(all_of(logits), stages), temperature);
  for (const auto& c : candidates(logits, options))
    EXPECT_NEAR(c.chain_probability, expected.contains(c.token) ? expected.at(c.token) : 0.0, 1e-6)
        << "token " << c.token;
}

SamplingOptions with(SamplingOptions options, const std::function<void(SamplingOptions&)>& change) {
  change(options);
  return options;
}
#define WITH(change) with(every_stage_off, [&](SamplingOptions& o) { change; })

std::uint32_t draw(const std::vector<float>& logits, const SamplingOptions& options,
                   const std::vector<std::uint32_t>& history = {}, std::uint64_t seed = 1) {
  return Sampler(options, seed).sample(logits, history).token;
}

TEST(SamplingOptions, HasLlamaCppsDefaults) {
  const SamplingOptions o;
  EXPECT_EQ(o.repeat_last_n, 64);
  EXPECT_EQ(o.repeat_penalty, 1.0f);
  EXPECT_EQ(o.frequency_penalty, 0.0f);
  EXPECT_EQ(o.presence_penalty, 0.0f);
  EXPECT_EQ(o.top_k, 40);
  EXPECT_EQ(o.typical_p, 1.0f);
  EXPECT_EQ(o.top_p, 0.95f);
  EXPECT_EQ(o.min_p, 0.05f);
  EXPECT_EQ(o.temperature, 0.80f);
  EXPECT_EQ(o.min_keep, 0u);
  EXPECT_EQ(o.keep_candidates, 0u);
  EXPECT_NO_THROW(o.validate());
}

TEST(SamplingOptions, NamesTheFlagAndTheValueThatIsWrong) {
  EXPECT_ERROR(WITH(o.top_p = 1.5f).validate(), "--top-p must be between 0 and 1, found 1.5");
  EXPECT_ERROR(WITH(o.top_p = nan).validate(), "--top-p must be between 0 and 1, found nan");
  EXPECT_ERROR(WITH(o.min_p = -0.1f).validate(), "--min-p must be between 0 and 1, found -0.1");
  EXPECT_ERROR(WITH(o.typical_p = 2).validate(), "--typical must be between 0 and 1, found 2");
  EXPECT_ERROR(WITH(o.temperature = inf).validate(), "--temp must be a finite number, found inf");
  EXPECT_ERROR(WITH(o.repeat_last_n = -2).validate(), "--repeat-last-n must be -1 (all), 0 (none) or more, found -2");
  EXPECT_ERROR(WITH(o.repeat_penalty = 0).validate(), "--repeat-penalty must be above 0, found 0");
  EXPECT_ERROR(WITH(o.frequency_penalty = nan).validate(), "--frequency-penalty must be a finite number");
  EXPECT_ERROR(WITH(o.presence_penalty = -inf).validate(), "--presence-penalty must be a finite number");
  EXPECT_ERROR(Sampler(WITH(o.top_p = 1.5f), 0), "--top-p");
}

class SamplerChain : public ::testing::TestWithParam<unsigned> {
 protected:
  std::vector<float> logits = random_logits(300, GetParam());
};
INSTANTIATE_TEST_SUITE_P(Seeds, SamplerChain, ::testing::Range(1u, 7u));

TEST_P(SamplerChain, PlainIsTheSoftmax) { expect_chain(logits, every_stage_off, {}); }
TEST_P(SamplerChain, Temperature) { expect_chain(logits, WITH(o.temperature = 0.3f), {}, 0.3f); }
TEST_P(SamplerChain, TopK) { expect_chain(logits, WITH(o.top_k = 17), {top_k(17)}); }
TEST_P(SamplerChain, TopKOfOne) { expect_chain(logits, WITH(o.top_k = 1), {top_k(1)}); }
TEST_P(SamplerChain, TopKBeyondTheVocabulary) { expect_chain(logits, WITH(o.top_k = 1000), {}); }
TEST_P(SamplerChain, TopP) { expect_chain(logits, WITH(o.top_p = 0.7f), {top_p(0.7f)}); }
TEST_P(SamplerChain, TopPOfZeroKeepsOne) { expect_chain(logits, WITH(o.top_p = 0), {top_k(1)}); }
TEST_P(SamplerChain, MinP) { expect_chain(logits, WITH(o.min_p = 0.1f), {min_p(0.1f)}); }
TEST_P(SamplerChain, Typical) { expect_chain(logits, WITH(o.typical_p = 0.5f), {typical(0.5f)}); }
TEST_P(SamplerChain, TopPKeepsAtLeastMinKeep) {
  expect_chain(logits, WITH(o.top_p = 0.1f; o.min_keep = 30), {top_p(0.1f, 30)});
}
TEST_P(SamplerChain, MinPKeepsAtLeastMinKeep) {
  expect_chain(logits, WITH(o.min_p = 0.9f; o.min_keep = 30), {min_p(0.9f, 30)});
}
TEST_P(SamplerChain, TypicalKeepsAtLeastMinKeep) {
  expect_chain(logits, WITH(o.typical_p = 0.1f; o.min_keep = 30), {typical(0.1f, 30)});
}
TEST_P(SamplerChain, MinKeepBeyondWhatIsLeftKeepsAll) {
  expect_chain(logits, WITH(o.top_k = 5; o.top_p = 0.1f; o.min_p = 0.9f; o.min_keep = 30), {top_k(5)});
}
TEST_P(SamplerChain, AllStagesInOrder) {
  const SamplingOptions all{.top_k = 60, .typical_p = 0.9f, .top_p = 0.8f, .min_p = 0.15f, .temperature = 1.7f};
  expect_chain(logits, all, {top_k(60), typical(0.9f), top_p(0.8f), min_p(0.15f)}, 1.7f);
}
TEST_P(SamplerChain, Defaults) { expect_chain(logits, {}, {top_k(40), top_p(0.95f), min_p(0.05f)}, 0.8f); }

// Logits where each exchange of two neighbouring stages leaves other tokens, so that the test above proves the order.
TEST(SamplerChainOrder, IsTopKThenTopPThenMinPThenTemperature) {
  const std::vector<float> flat = random_logits(2000, 5);
  const auto oracle = [&](const std::vector<Stage>& stages) { return run(all_of(flat), stages); };
  ASSERT_NE(oracle({top_k(40), top_p(0.8)}), oracle({top_p(0.8), top_k(40)}));
  expect_chain(flat, WITH(o.top_k = 40; o.top_p = 0.8f), {top_k(40), top_p(0.8f)});
  ASSERT_NE(oracle({top_k(40), typical(0.5)}), oracle({typical(0.5), top_k(40)}));
  expect_chain(flat, WITH(o.top_k = 40; o.typical_p = 0.5f), {top_k(40), typical(0.5f)});
  ASSERT_NE(oracle({typical(0.6), top_p(0.7)}), oracle({top_p(0.7), typical(0.6)}));
  expect_chain(flat, WITH(o.typical_p = 0.6f; o.top_p = 0.7f), {typical(0.6f), top_p(0.7f)});
  ASSERT_NE(oracle({top_p(0.9), min_p(0.2)}), oracle({min_p(0.2), top_p(0.9)}));
  expect_chain(flat, WITH(o.top_p = 0.9f; o.min_p = 0.2f), {top_p(0.9f), min_p(0.2f)});
  // Temperature last: it changes probabilities, not which tokens are left.
  expect_chain(flat, WITH(o.top_p = 0.5f; o.min_p = 0.2f; o.temperature = 3), {top_p(0.5f), min_p(0.2f)}, 3);
}

TEST(SamplerPenalties, FollowTheFormulaPerToken) {
  const std::vector<float> logits = {2, -2, 3, 1, 0.5f};
  const std::vector<std::uint32_t> history = {0, 1, 1, 2, 0, 0};
  const auto options = WITH(o.repeat_penalty = 1.5f; o.frequency_penalty = 0.25f; o.presence_penalty = 0.125f);
  const auto expected = softmax({{0, 2 / 1.5 - 3 * 0.25 - 0.125},
                                 {1, -2 * 1.5 - 2 * 0.25 - 0.125},
                                 {2, 3 / 1.5 - 0.25 - 0.125},
                                 {3, 1.0},
                                 {4, 0.5}});
  for (const auto& c : candidates(logits, options, history))
    EXPECT_NEAR(c.chain_probability, expected.at(c.token), 1e-6) << "token " << c.token;
}

TEST(SamplerPenalties, LookAtTheLastTokensOnly) {
  const auto greedy = [](std::int32_t last_n, const std::vector<std::uint32_t>& history) {
    return draw({3, 2, 1}, WITH(o.temperature = 0; o.presence_penalty = 10; o.repeat_last_n = last_n), history);
  };
  EXPECT_EQ(greedy(0, {0}), 0u);
  EXPECT_EQ(greedy(1, {0}), 1u);
  EXPECT_EQ(greedy(3, {0, 1, 2, 2}), 0u);
  EXPECT_EQ(greedy(3, {1, 0, 2, 2}), 1u);
  EXPECT_EQ(greedy(3, {0, 1, 0, 0}), 2u);
  EXPECT_EQ(greedy(-1, std::vector<std::uint32_t>(100, 0)), 1u);
  EXPECT_EQ(greedy(1000, {0, 1}), 2u);
}

TEST(SamplerPenalties, ComeBeforeTopK) {
  EXPECT_EQ(draw({3, 2, 1}, WITH(o.top_k = 1; o.presence_penalty = 1.5f), {0}), 1u);
}
TEST(SamplerPenalties, LeaveMaskedTokensMasked) {
  const auto left = candidates({1, -inf, 0}, WITH(o.repeat_penalty = 1.5f; o.frequency_penalty = -5), {1});
  EXPECT_EQ(left.back().token, 1u);
  EXPECT_EQ(left.back().chain_probability, 0.0f);
}
TEST(SamplerPenalties, OfAnySizeNeverGiveNaN) {
  for (const auto& c : candidates({1, -1}, WITH(o.repeat_penalty = 1e-38f; o.frequency_penalty = -3e38f), {0, 0, 1}))
    EXPECT_TRUE(std::isfinite(c.chain_probability));
  for (const auto& c : candidates({1, -1}, WITH(o.frequency_penalty = 3e38f), {0, 0, 1, 1}))
    EXPECT_TRUE(std::isfinite(c.chain_probability));
}
TEST(SamplerPenalties, RefuseAHistoryOfAnotherVocabulary) {
  EXPECT_ERROR(draw({1, 2}, WITH(o.repeat_penalty = 1.1f), {0, 2}), "the history holds token 2, the vocabulary has 2");
}

TEST(SamplerGreedy, IsTheArgmaxAndTheLowestIdWinsTies) {
  EXPECT_EQ(draw({1, 5, 2, 5}, WITH(o.temperature = 0)), 1u);
  EXPECT_EQ(draw({1, 5, 2, 5}, WITH(o.temperature = -1)), 1u);
  EXPECT_EQ(draw({-inf, -inf, -1e30f}, WITH(o.temperature = 0)), 2u);
  EXPECT_EQ(draw(std::vector<float>(100, 0.0f), WITH(o.temperature = 0)), 0u);
  const auto logits = random_logits(5000, 3);
  const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
  for (std::uint64_t seed = 0; seed < 20; ++seed) EXPECT_EQ(draw(logits, WITH(o.temperature = 0), {}, seed), best);
}
TEST(SamplerGreedy, ComesAfterThePenalties) {
  EXPECT_EQ(draw({3, 2, 1}, WITH(o.temperature = 0; o.repeat_penalty = 2), {0}), 1u);
}
TEST(SamplerGreedy, GivesTheChosenTokenAllProbability) {
  const auto all = candidates({1, 5, 2}, WITH(o.temperature = 0));
  EXPECT_EQ(all[0].token, 1u);
  EXPECT_EQ(all[0].chain_probability, 1.0f);
  EXPECT_EQ(all[1].chain_probability, 0.0f);
}

TEST(SamplerTies, AtTheEdgeOfTopKTheLowestIdsStay) {
  const auto all = candidates({1, 2, 2, 2, 2}, WITH(o.top_k = 2));
  for (const auto& c : all) EXPECT_EQ(c.chain_probability > 0, c.token == 1 || c.token == 2) << c.token;
}

TEST(SamplerDraw, IsDistributedAsTheChainSays) {
  const std::vector<float> logits = {1.2f, 0.1f, -0.5f, 2.0f, 0.9f, -1.0f, 1.6f, -6.0f};
  const auto options = WITH(o.top_k = 7; o.temperature = 1.3f);
  const auto expected = softmax(run(all_of(logits), {top_k(7)}), 1.3f);
  constexpr int draws = 50000;
  std::vector<int> counts(logits.size());
  Sampler sampler(options, 20240607);
  for (int i = 0; i < draws; ++i) ++counts[sampler.sample(logits, {}).token];
  double chi_square = 0;
  for (auto [token, p] : expected) chi_square += std::pow(counts[token] - draws * p, 2) / (draws * p);
  EXPECT_LT(chi_square, 22.46);  // 6 degrees of freedom, p = 0.001
  EXPECT_EQ(counts[7], 0);       // cut by top-k
}

TEST(SamplerDraw, UsesTheDocumentedGenerator) {
  const std::vector<float> uniform(10, 0.5f);
  Sampler sampler(every_stage_off, 42);
  std::mt19937_64 random(42);  // its numbers are fixed by the C++ standard
  for (int i = 0; i < 200; ++i) {
    const double u = static_cast<double>(random() >> 11) / 9007199254740992.0;
    ASSERT_EQ(sampler.sample(uniform, {}).token, static_cast<std::uint32_t>(u * 10)) << "draw " << i;
  }
}

TEST(SamplerDraw, DependsOnTheSeedAlone) {
  const auto logits = random_logits(1000, 9);
  const auto sequence = [&](std::uint64_t seed, std::size_t keep) {
    Sampler sampler(WITH(o.temperature = 2; o.keep_candidates = keep), seed);
    std::vector<std::uint32_t> tokens;
    for (int i = 0; i < 50; ++i) tokens.push_back(sampler.sample(logits, tokens).token);
    return tokens;
  };
  EXPECT_EQ(sequence(7, 0), sequence(7, 0));
  EXPECT_EQ(sequence(7, 0), sequence(7, 20));
  EXPECT_NE(sequence(7, 0), sequence(8, 0));
}

TEST(SamplerDraw, NeverTakesAMaskedToken) {
  Sampler sampler(every_stage_off, 3);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(sampler.sample(std::vector<float>{-inf, 0, -inf}, {}).token, 1u);
}
TEST(SamplerDraw, StandsTinyTemperatures) { EXPECT_EQ(draw({1, 1.0001f, -3}, WITH(o.temperature = 1e-45f)), 1u); }
TEST(SamplerDraw, OfOneToken) { EXPECT_EQ(draw({-7}, {}), 0u); }

TEST(SamplerCandidates, AreTheLikeliestWithTheSoftmaxOfAllLogits) {
  const auto logits = random_logits(500, 11);
  const auto p = softmax(all_of(logits));
  Sampler sampler({.top_k = 3, .top_p = 1, .min_p = 0, .keep_candidates = 10}, 1);
  const auto found = sampler.sample(logits, {}).candidates;
  ASSERT_EQ(found.size(), 10u);
  auto order = std::vector<std::uint32_t>(logits.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].token, order[i]);
    EXPECT_EQ(found[i].logit, logits[order[i]]);
    EXPECT_NEAR(found[i].probability, p.at(order[i]), 1e-7);
    EXPECT_EQ(found[i].chain_probability > 0, i < 3);
  }
}
TEST(SamplerCandidates, AreThoseBeforeThePenalties) {
  const auto all = candidates({3, 2}, WITH(o.presence_penalty = 10), {0});
  EXPECT_EQ(all[0].token, 0u);
  EXPECT_EQ(all[0].logit, 3.0f);
  EXPECT_LT(all[0].chain_probability, all[1].chain_probability);
}
TEST(SamplerCandidates, AreNoneByDefaultAndAtMostTheVocabulary) {
  EXPECT_TRUE(Sampler(every_stage_off, 1).sample(std::vector<float>{1, 2}, {}).candidates.empty());
  EXPECT_EQ(Sampler(WITH(o.keep_candidates = 10), 1).sample(std::vector<float>{1, 2}, {}).candidates.size(), 2u);
}

TEST(SamplerBadLogits, AreOneClearLine) {
  EXPECT_ERROR(draw({1, nan, 2}, {}, {4, 5}), "the model produced NaN logits at token 2 (the first is logit 1 of 3)");
  EXPECT_ERROR(draw({1, 2, nan}, WITH(o.temperature = 0)), "NaN logits at token 0");
  EXPECT_ERROR(draw({1, inf}, {}), "the model produced infinite logits at token 0");
  EXPECT_ERROR(draw({-inf, -inf}, {}), "the model produced no finite logits at token 0 (all 2 are -inf)");
  EXPECT_ERROR(draw({}, {}), "the model produced no logits at token 0");
}

#undef WITH

}  // namespace
}  // namespace glassbox::model
