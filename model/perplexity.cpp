#include "model/perplexity.h"

#include <algorithm>
#include <cmath>

#include "gpu/error.h"

namespace glassbox::model {
namespace {

std::size_t top(std::span<const float> logits) {
  return static_cast<std::size_t>(std::ranges::max_element(logits) - logits.begin());
}

void check(std::span<const float> logits, std::uint32_t next) {
  require(next < logits.size(), "token id {} is out of range, there are {} logits", next, logits.size());
}

}  // namespace

void Mean::add(double value) {
  max_ = count_ == 0 ? value : std::max(max_, value);
  ++count_;
  const double before = value - mean_;
  mean_ += before / static_cast<double>(count_);
  squares_ += before * (value - mean_);
}

double Mean::standard_error() const {
  if (count_ < 2) return 0;
  return std::sqrt(squares_ / static_cast<double>(count_ - 1) / static_cast<double>(count_));
}

std::vector<double> log_softmax(std::span<const float> logits) {
  require(!logits.empty(), "[log_softmax] there are no logits");
  const double largest = logits[top(logits)];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const double log_sum = std::log(sum);
  std::vector<double> out;
  out.reserve(logits.size());
  for (const float logit : logits) out.push_back(logit - largest - log_sum);
  return out;
}

void Perplexity::add(std::span<const float> logits, std::uint32_t next) {
  check(logits, next);
  loss_.add(-log_softmax(logits)[next]);
}
double Perplexity::value() const { return std::exp(loss_.mean()); }
double Perplexity::standard_error() const { return value() * loss_.standard_error(); }

void Divergence::add(std::span<const float> base, std::span<const float> logits, std::uint32_t next) {
  require(base.size() == logits.size(), "[Divergence] {} logits against {} of the base", logits.size(), base.size());
  check(logits, next);
  const auto log_base = log_softmax(base), log_p = log_softmax(logits);
  double kl = 0;
  for (std::size_t i = 0; i < log_p.size(); ++i)
    if (const double p = std::exp(log_base[i]); p > 0) kl += p * (log_base[i] - log_p[i]);
  kl_.add(kl);
  change_.add(log_p[next] - log_base[next]);
  same_top_.add(top(base) == top(logits) ? 1 : 0);
}
double Divergence::perplexity_ratio() const { return std::exp(-change_.mean()); }
double Divergence::perplexity_ratio_error() const { return perplexity_ratio() * change_.standard_error(); }

std::vector<std::vector<std::uint32_t>> perplexity_chunks(std::span<const std::uint32_t> ids, std::size_t context,
                                                          std::optional<std::uint32_t> bos) {
  require(context >= 4, "perplexity needs a context of at least 4 tokens, not {}", context);
  std::vector<std::vector<std::uint32_t>> chunks;
  for (; ids.size() >= context; ids = ids.subspan(context)) {
    auto& chunk = chunks.emplace_back(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(context));
    if (bos) chunk.front() = *bos;
  }
  return chunks;
}

}  // namespace glassbox::model
