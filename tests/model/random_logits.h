#pragma once

#include <random>
#include <vector>

namespace glassbox::testing {

inline std::vector<float> random_logits(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> logits(count);
  for (auto& logit : logits) logit = normal(random);
  return logits;
}

}  // namespace glassbox::testing
