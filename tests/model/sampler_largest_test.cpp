#include "model/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "tests/model/random_logits.h"
#include "tests/support.h"

namespace glassbox::model {
namespace {

using glassbox::testing::random_logits;

/// What a device leaves of `logits`: each logit a block of its own, the k largest of them.
gpu::Candidates largest(const std::vector<float>& logits, std::size_t k) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  const float top = logits[order[0]];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - top);
  std::vector<float> rows(k * 5, 0.0F);
  for (std::size_t i = 0; i < k; ++i) {
    rows[i * 5] = static_cast<float>(order[i]);
    rows[i * 5 + 4] = logits[order[i]];
  }
  rows[1] = top;
  rows[2] = static_cast<float>(sum);
  gpu::Candidates found;
  EXPECT_TRUE(found.read(rows, logits.size(), k));
  return found;
}

/// Options that candidates are enough for, any otherwise.
SamplingOptions any_options(std::mt19937& random) {
  const auto any = [&](std::initializer_list<double> values) { return values.begin()[random() % values.size()]; };
  SamplingOptions o;
  o.repeat_last_n = static_cast<std::int32_t>(any({0, 3, 64}));
  o.repeat_penalty = static_cast<float>(any({1, 1, 1.1, 3}));
  o.frequency_penalty = static_cast<float>(any({0, 0, 0.3}));
  o.presence_penalty = static_cast<float>(any({0, 0, 2}));
  o.top_k = static_cast<std::int32_t>(any({1, 5, 40}));
  o.typical_p = static_cast<float>(any({1, 1, 0.6}));
  o.top_p = static_cast<float>(any({1, 0.95, 0.3, 0}));
  o.min_p = static_cast<float>(any({0, 0.05, 0.5}));
  o.temperature = static_cast<float>(any({0, 0.2, 0.8, 2}));
  o.min_keep = static_cast<std::size_t>(any({0, 0, 7}));
  o.keep_candidates = static_cast<std::size_t>(any({0, 1, 12}));
  return o;
}

struct SamplerFromTheLargest : ::testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, SamplerFromTheLargest, ::testing::Range(1u, 9u));

TEST_P(SamplerFromTheLargest, ChoosesAsFromAll) {
  std::mt19937 random(GetParam());
  for (int round = 0; round < 100; ++round) {
    auto logits = random_logits(300, static_cast<unsigned>(random()));
    if (random() % 2)  // nearly all of them ties
      for (auto& logit : logits) logit = std::round(logit / 3) * 3;
    const auto options = any_options(random);
    Sampler from_all(options, round), from_largest(options, round);
    std::vector<std::uint32_t> history;
    for (int i = 0; i < 12; ++i) {
      // Penalties matter where they meet likely tokens.
      for (int j = 0; j < 3; ++j) history.push_back(largest(logits, 60).largest()[random() % 60].id);
      const auto needed = options.largest_needed();
      ASSERT_GT(needed, 0u);
      const auto expected = from_all.sample(logits, history);
      const auto found = from_largest.sample(largest(logits, needed + random() % 3), logits.size(), history);
      ASSERT_EQ(found.token, expected.token) << "draw " << i << " of round " << round;
      ASSERT_EQ(found.candidates.size(), expected.candidates.size());
      for (std::size_t c = 0; c < found.candidates.size(); ++c) {
        EXPECT_EQ(found.candidates[c].token, expected.candidates[c].token);
        EXPECT_EQ(found.candidates[c].logit, expected.candidates[c].logit);
        EXPECT_NEAR(found.candidates[c].probability, expected.candidates[c].probability, 1e-7);
        EXPECT_EQ(found.candidates[c].chain_probability, expected.candidates[c].chain_probability);
      }
    }
  }
}
std::size_t needed(const SamplingOptions& options) { return options.largest_needed(); }

TEST(SamplerNeeds, TopKAndWhatPenaltiesPushOut) {
  EXPECT_EQ(needed({}), 40u);
  EXPECT_EQ(needed({.top_k = 7}), 7u);
  EXPECT_EQ(needed({.temperature = 0}), 1u);
  EXPECT_EQ(needed({.temperature = 0, .keep_candidates = 12}), 12u);
  EXPECT_EQ(needed({.presence_penalty = 1, .top_k = 7}), 71u);
  EXPECT_EQ(needed({.repeat_last_n = 0, .repeat_penalty = 1.1f, .top_k = 7}), 7u);
}
TEST(SamplerNeeds, AllWhereOthersCouldCome) {
  EXPECT_EQ(needed({.top_k = 0}), 0u);
  EXPECT_EQ(needed({.repeat_penalty = 0.9f, .top_k = 40}), 0u);
  EXPECT_EQ(needed({.frequency_penalty = -0.1f, .top_k = 40}), 0u);
  EXPECT_EQ(needed({.presence_penalty = -1, .top_k = 40}), 0u);
  EXPECT_EQ(needed({.repeat_last_n = -1, .repeat_penalty = 1.1f, .top_k = 40}), 0u);
  const auto logits = random_logits(50, 1);
  EXPECT_ERROR(Sampler({.top_k = 0}, 1).sample(largest(logits, 9), 50, {}),
               "sampling needs 0 of the largest logits (0: all)");
  EXPECT_ERROR(Sampler({}, 1).sample(largest(logits, 9), 50, {}), "sampling needs 40 of the largest logits");
}

}  // namespace
}  // namespace glassbox::model
