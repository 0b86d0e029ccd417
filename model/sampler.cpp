#include "model/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ranges>

#include "gpu/error.h"

namespace glassbox::model {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

void require_fraction(const char* flag, float value) {
  require(value >= 0 && value <= 1, "{} must be between 0 and 1, found {}", flag, value);
}

void require_finite(const char* flag, float value) {
  require(std::isfinite(value), "{} must be a finite number, found {}", flag, value);
}

void require_usable(std::span<const float> logits, std::size_t position) {
  require(!logits.empty(), "the model produced no logits at token {}", position);
  bool any = false;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    // One comparison that NaN and +inf both fail.
    if (!(logits[i] < infinity))
      fail("the model produced {} logits at token {} (the first is logit {} of {})",
           std::isnan(logits[i]) ? "NaN" : "infinite", position, i, logits.size());
    any |= logits[i] > -infinity;
  }
  require(any, "the model produced no finite logits at token {} (all {} are -inf)", position, logits.size());
}

bool likelier_candidate(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

}  // namespace

void SamplingOptions::validate() const {
  require(repeat_last_n >= -1, "--repeat-last-n must be -1 (all), 0 (none) or more, found {}", repeat_last_n);
  require(std::isfinite(repeat_penalty) && repeat_penalty > 0, "--repeat-penalty must be above 0, found {}",
          repeat_penalty);
  require_finite("--frequency-penalty", frequency_penalty);
  require_finite("--presence-penalty", presence_penalty);
  require_fraction("--typical", typical_p);
  require_fraction("--top-p", top_p);
  require_fraction("--min-p", min_p);
  require_finite("--temp", temperature);
}

std::size_t SamplingOptions::largest_needed() const {
  const bool greedy = temperature <= 0;
  if (!greedy && top_k <= 0) return 0;
  std::size_t needed = greedy ? 1 : static_cast<std::size_t>(top_k);
  if (repeat_last_n != 0 && (repeat_penalty != 1 || frequency_penalty != 0 || presence_penalty != 0)) {
    if (repeat_last_n < 0 || repeat_penalty < 1 || frequency_penalty < 0 || presence_penalty < 0) return 0;
    needed += static_cast<std::size_t>(repeat_last_n);
  }
  return std::max(needed, keep_candidates);
}

Sampler::Sampler(const SamplingOptions& options, std::uint64_t seed) : options_(options), random_(seed) {
  options_.validate();
}

Choice Sampler::sample(std::span<const float> logits, std::span<const std::uint32_t> history) {
  require_usable(logits, history.size());
  const auto scores = penalize(logits, history);
  if (options_.temperature <= 0)
    entries_.assign(1, {static_cast<std::uint32_t>(std::ranges::max_element(scores) - scores.begin()), 0.0f, 0.0});
  else
    top_k(scores);
  Choice choice{.token = choose(), .candidates = {}};
  if (options_.keep_candidates > 0) choice.candidates = candidates(logits, choice.token);
  return choice;
}

Choice Sampler::sample(const gpu::Candidates& top, std::size_t vocabulary, std::span<const std::uint32_t> history) {
  const auto largest = top.largest();
  const auto needed = options_.largest_needed();
  require(needed > 0 && needed <= largest.size(), "sampling needs {} of the largest logits (0: all), received {}",
          needed, largest.size());
  const std::size_t kept = options_.temperature <= 0 ? 1 : static_cast<std::size_t>(options_.top_k);
  const bool penalties = look_back(history, vocabulary);
  entries_.clear();
  for (const auto& [id, logit] : largest.first(penalties ? largest.size() : kept))
    entries_.push_back({id, penalties ? penalized(logit, std::ranges::equal_range(window_, id).size()) : logit, 0.0});
  if (penalties) {
    std::ranges::partial_sort(entries_, entries_.begin() + static_cast<std::ptrdiff_t>(kept), likelier);
    entries_.resize(kept);
  }
  Choice choice{.token = choose(), .candidates = {}};
  if (options_.keep_candidates > 0) {
    const auto candidate = [](const gpu::Candidate& c) { return Candidate{c.id, c.value, 0.0f, 0.0f}; };
    std::vector<Candidate> best(options_.keep_candidates);
    std::ranges::transform(largest.first(best.size()), best.begin(), candidate);
    const auto chosen = std::ranges::find(largest, choice.token, &gpu::Candidate::id);
    choice.candidates = report(std::move(best), candidate(*chosen), top.log_sum());
  }
  return choice;
}

/// What the chain makes of entries_; greedy, its one entry.
std::uint32_t Sampler::choose() {
  if (options_.temperature <= 0) {
    entries_[0].weight = 1;
    return entries_[0].token;
  }
  typical_p();
  top_p();
  min_p();
  softmax(options_.temperature);
  return draw();
}

bool Sampler::likelier(const Entry& a, const Entry& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

/// Sorts what the penalties look at, so that equal ids become runs, counted without a hash table. False where no
/// penalty applies.
bool Sampler::look_back(std::span<const std::uint32_t> history, std::size_t vocabulary) {
  const auto& o = options_;
  if (o.repeat_last_n >= 0 && history.size() > static_cast<std::size_t>(o.repeat_last_n))
    history = history.last(static_cast<std::size_t>(o.repeat_last_n));
  if (history.empty() || (o.repeat_penalty == 1 && o.frequency_penalty == 0 && o.presence_penalty == 0)) return false;
  window_.assign(history.begin(), history.end());
  std::ranges::sort(window_);
  require(window_.back() < vocabulary, "the history holds token {}, the vocabulary has {} tokens", window_.back(),
          vocabulary);
  return true;
}

/// Keskar et al. 2019 for repeat_penalty, with negative logits multiplied so that a penalty never makes a token
/// likelier.
float Sampler::penalized(float logit, std::size_t occurrences) const {
  if (occurrences == 0 || !(logit > -infinity)) return logit;
  const auto& o = options_;
  double changed = logit > 0 ? double{logit} / o.repeat_penalty : double{logit} * o.repeat_penalty;
  changed -= static_cast<double>(occurrences) * o.frequency_penalty + o.presence_penalty;
  // Extreme penalties saturate: an infinite score would make the softmax NaN.
  constexpr double largest = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(changed, -largest, largest));
}

/// The logits themselves where no penalty applies, otherwise a changed copy.
std::span<const float> Sampler::penalize(std::span<const float> logits, std::span<const std::uint32_t> history) {
  if (!look_back(history, logits.size())) return logits;
  penalized_.assign(logits.begin(), logits.end());
  for (auto run = window_.begin(); run != window_.end();) {
    const auto end = std::upper_bound(run, window_.end(), *run);
    penalized_[*run] = penalized(penalized_[*run], static_cast<std::size_t>(end - run));
    run = end;
  }
  return penalized_;
}

void Sampler::top_k(std::span<const float> scores) {
  const auto vocabulary = scores.size();
  const auto entry = [&](std::size_t token) { return Entry{static_cast<std::uint32_t>(token), scores[token], 0.0}; };
  const auto all = std::views::iota(std::size_t{0}, vocabulary) | std::views::transform(entry);
  const auto k = options_.top_k > 0 ? std::min(static_cast<std::size_t>(options_.top_k), vocabulary) : vocabulary;
  entries_.resize(k);
  // A heap of k over one pass of the vocabulary; nearly every token fails its first comparison.
  if (k < vocabulary)
    std::ranges::partial_sort_copy(all, entries_, likelier);
  else
    std::ranges::copy(all, entries_.begin());
}

/// Keeps the tokens whose surprise -log p is nearest to the entropy, until their probability exceeds typical_p.
void Sampler::typical_p() {
  if (options_.typical_p >= 1) return;
  softmax(1);
  double entropy = 0;
  for (const auto& e : entries_)
    if (e.weight > 0) entropy -= e.weight * std::log(e.weight);
  const auto atypical = [&](const Entry& e) {
    return e.weight > 0 ? std::abs(-std::log(e.weight) - entropy) : double{infinity};
  };
  std::ranges::sort(entries_, [&](const Entry& a, const Entry& b) {
    const double x = atypical(a), y = atypical(b);
    return x != y ? x < y : a.token < b.token;
  });
  double sum = 0;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    sum += entries_[i].weight;
    if (sum > options_.typical_p && i + 1 >= options_.min_keep) return entries_.resize(i + 1);
  }
}

/// Keeps the likeliest tokens until their probability reaches top_p. A heap gives them one by one: with top-k off there
/// is no need to sort a vocabulary to know its head.
void Sampler::top_p() {
  if (options_.top_p >= 1) return;
  softmax(1);
  const auto less_likely = [](const Entry& a, const Entry& b) { return likelier(b, a); };
  std::ranges::make_heap(entries_, less_likely);
  auto kept = entries_.end();
  double sum = 0;
  std::size_t count = 0;
  while (kept != entries_.begin() && !(count > 0 && sum >= options_.top_p && count >= options_.min_keep)) {
    std::pop_heap(entries_.begin(), kept--, less_likely);
    sum += kept->weight;
    ++count;
  }
  entries_.erase(entries_.begin(), kept);
}

/// Keeps the tokens with p >= min_p * the largest p, compared as logits.
void Sampler::min_p() {
  if (options_.min_p <= 0) return;
  const double best = std::ranges::max_element(entries_, {}, &Entry::logit)->logit;
  const auto cut = [threshold = best + std::log(double{options_.min_p})](const Entry& e) {
    return e.logit < threshold;
  };
  const auto kept = entries_.size() - static_cast<std::size_t>(std::ranges::count_if(entries_, cut));
  if (kept >= options_.min_keep) {
    std::erase_if(entries_, cut);
  } else {
    std::ranges::sort(entries_, likelier);
    entries_.resize(std::min(options_.min_keep, entries_.size()));
  }
}

/// Sets the weights: softmax(logit / temperature) over what is left.
void Sampler::softmax(double temperature) {
  const double best = std::ranges::max_element(entries_, {}, &Entry::logit)->logit;
  double sum = 0;
  for (auto& e : entries_) sum += e.weight = std::exp((e.logit - best) / temperature);
  for (auto& e : entries_) e.weight /= sum;
}

std::uint32_t Sampler::draw() {
  double left = static_cast<double>(random_() >> 11) * 0x1p-53;
  const Entry* last = nullptr;  // rounding can leave a sliver past the end: it belongs to the last possible token
  for (const auto& e : entries_) {
    if (e.weight <= 0) continue;
    last = &e;
    if (left < e.weight) break;
    left -= e.weight;
  }
  return last->token;
}

std::vector<Candidate> Sampler::candidates(std::span<const float> logits, std::uint32_t chosen) const {
  const auto candidate = [&](std::size_t token) {
    return Candidate{static_cast<std::uint32_t>(token), logits[token], 0.0f, 0.0f};
  };
  std::vector<Candidate> best(std::min(options_.keep_candidates, logits.size()));
  std::ranges::partial_sort_copy(std::views::iota(std::size_t{0}, logits.size()) | std::views::transform(candidate),
                                 best, likelier_candidate);
  const double largest = best.front().logit;
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return report(std::move(best), candidate(chosen), largest + std::log(sum));
}

/// best: likeliest first.
std::vector<Candidate> Sampler::report(std::vector<Candidate> best, const Candidate& chosen, double log_sum) const {
  if (likelier_candidate(best.back(), chosen)) best.push_back(chosen);
  for (auto& c : best) c.probability = static_cast<float>(std::exp(c.logit - log_sum));
  std::ranges::sort(best, {}, &Candidate::token);
  for (const auto& e : entries_) {
    const auto found = std::ranges::lower_bound(best, e.token, {}, &Candidate::token);
    if (found != best.end() && found->token == e.token) found->chain_probability = static_cast<float>(e.weight);
  }
  std::ranges::sort(best, likelier_candidate);
  return best;
}

}  // namespace glassbox::model
