#include "model/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/support.h"

namespace glassbox::model {
namespace {

using ::testing::ElementsAre;

/// Probabilities written down as the definition has them, in extended precision and without a shift.
std::vector<long double> probabilities_of(const std::vector<float>& logits) {
  long double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<long double>(logit));
  std::vector<long double> out;
  for (const float logit : logits) out.push_back(std::exp(static_cast<long double>(logit)) / sum);
  return out;
}

struct Step {
  std::vector<float> base, logits;
  std::uint32_t next;
};
std::vector<Step> random_steps(std::size_t count, std::size_t vocabulary) {
  std::mt19937 random(std::random_device{}());
  std::normal_distribution<float> normal;
  std::vector<Step> steps(count);
  for (auto& step : steps) {
    for (std::size_t i = 0; i < vocabulary; ++i) {
      step.base.push_back(3 * normal(random));
      step.logits.push_back(step.base.back() + normal(random));
    }
    step.next = static_cast<std::uint32_t>(random() % vocabulary);
  }
  return steps;
}

TEST(Perplexity, IsTheInverseGeometricMeanOfTheProbabilities) {
  const auto steps = random_steps(37, 19);
  Perplexity perplexity;
  long double product = 1, squares = 0;
  for (const auto& step : steps) {
    perplexity.add(step.logits, step.next);
    product *= probabilities_of(step.logits)[step.next];
  }
  const long double expected = std::pow(product, -1.0L / 37);
  for (const auto& step : steps)
    squares += std::pow(std::log(probabilities_of(step.logits)[step.next] * expected), 2.0L);
  EXPECT_EQ(perplexity.tokens(), 37U);
  EXPECT_NEAR(perplexity.value(), double(expected), 1e-12 * double(expected));
  EXPECT_NEAR(perplexity.standard_error(), double(expected * std::sqrt(squares / 36 / 37)), 1e-12 * double(expected));
}
TEST(Perplexity, OfNoKnowledgeIsTheVocabulary) {
  Perplexity perplexity;
  for (const float level : {0.0F, 1e30F, -1e30F}) perplexity.add(std::vector<float>(50, level), 7);
  EXPECT_NEAR(perplexity.value(), 50, 1e-12);
  EXPECT_NEAR(perplexity.standard_error(), 0, 1e-12);
}
TEST(Perplexity, RefusesATokenWithoutALogit) {
  EXPECT_ERROR(Perplexity().add(std::vector<float>(3), 3), "token id 3 is out of range, there are 3 logits");
}

TEST(Divergence, FollowsTheDefinitions) {
  const auto steps = random_steps(29, 23);
  Divergence divergence;
  Perplexity model, base;
  long double kl_sum = 0, kl_max = 0, change = 0;
  int same = 0;
  for (const auto& step : steps) {
    divergence.add(step.base, step.logits, step.next);
    model.add(step.logits, step.next);
    base.add(step.base, step.next);
    const auto p = probabilities_of(step.base), q = probabilities_of(step.logits);
    long double kl = 0;
    for (std::size_t i = 0; i < p.size(); ++i) kl += p[i] * std::log(p[i] / q[i]);
    kl_sum += kl;
    kl_max = std::max(kl_max, kl);
    change += std::log(q[step.next] / p[step.next]);
    same += std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin();
  }
  EXPECT_NEAR(divergence.kl().mean(), double(kl_sum / 29), 1e-12);
  EXPECT_NEAR(divergence.kl().max(), double(kl_max), 1e-12);
  EXPECT_NEAR(divergence.log_probability_change().mean(), double(change / 29), 1e-12);
  EXPECT_NEAR(divergence.same_top().mean(), same / 29.0, 1e-12);
  EXPECT_NEAR(divergence.perplexity_ratio(), model.value() / base.value(), 1e-12);
}
TEST(Divergence, OfAModelFromItselfIsZero) {
  Divergence divergence;
  for (const auto& step : random_steps(5, 100)) divergence.add(step.base, step.base, step.next);
  EXPECT_EQ(divergence.kl().mean(), 0);
  EXPECT_EQ(divergence.kl().max(), 0);
  EXPECT_EQ(divergence.same_top().mean(), 1);
  EXPECT_EQ(divergence.perplexity_ratio(), 1);
  EXPECT_EQ(divergence.perplexity_ratio_error(), 0);
}
TEST(Divergence, TokensThatCannotComeCountNothing) {
  Divergence divergence;
  divergence.add(std::vector<float>{0, 0, -1e4F}, std::vector<float>{0, 0, -2e4F}, 0);
  EXPECT_EQ(divergence.kl().mean(), 0);
}
TEST(Divergence, RefusesOtherVocabularies) {
  EXPECT_ERROR(Divergence().add(std::vector<float>(3), std::vector<float>(4), 0), "4 logits against 3 of the base");
}

TEST(Mean, OfFewNumbers) {
  Mean mean;
  EXPECT_EQ(mean.standard_error(), 0);
  for (const double value : {-5.0, -1.0, -3.0}) mean.add(value);
  EXPECT_EQ(mean.mean(), -3);
  EXPECT_EQ(mean.max(), -1);
  EXPECT_NEAR(mean.standard_error(), std::sqrt(4.0 / 3), 1e-15);
}

TEST(PerplexityChunks, BeginWithBosAndLeaveTheRest) {
  const std::vector<std::uint32_t> ids{1, 10, 11, 12, 13, 14, 15, 16, 17, 18};
  EXPECT_THAT(perplexity_chunks(ids, 4, 1), ElementsAre(ElementsAre(1, 10, 11, 12), ElementsAre(1, 14, 15, 16)));
  EXPECT_THAT(perplexity_chunks(ids, 5, std::nullopt),
              ElementsAre(ElementsAre(1, 10, 11, 12, 13), ElementsAre(14, 15, 16, 17, 18)));
  EXPECT_THAT(perplexity_chunks(ids, 11, 1), ElementsAre());
  EXPECT_ERROR(perplexity_chunks(ids, 3, 1), "at least 4 tokens, not 3");
}

}  // namespace
}  // namespace glassbox::model
