#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "gpu/ops/candidates.h"

namespace glassbox::model {

/// How the next token is chosen: the names, defaults and order of llama.cpp's sampler chain,
/// penalties -> top-k -> typical-p -> top-p -> min-p -> temperature -> draw.
struct SamplingOptions {
  std::int32_t repeat_last_n = 64;  ///< tokens of history the penalties look at; 0 none, -1 all
  float repeat_penalty = 1.0f;      ///< positive logits of repeated tokens are divided by it, others multiplied
  float frequency_penalty = 0.0f;   ///< subtracted once for each time the token occurs
  float presence_penalty = 0.0f;    ///< subtracted once if the token occurs
  std::int32_t top_k = 40;          ///< keep the k likeliest; <= 0 keeps all
  float typical_p = 1.0f;           ///< locally typical sampling (Meister et al. 2022); 1 keeps all
  float top_p = 0.95f;              ///< nucleus sampling (Holtzman et al. 2020); 1 keeps all
  float min_p = 0.05f;              ///< keep tokens at least this fraction as likely as the likeliest; 0 keeps all
  float temperature = 0.80f;        ///< <= 0 takes the likeliest token
  std::size_t min_keep = 0;         ///< typical-p, top-p and min-p leave at least this many tokens
  std::size_t keep_candidates = 0;  ///< how many Candidates a Choice reports; 0 costs nothing

  /// Throws Error naming the flag and the value found.
  void validate() const;
  /// How many of the largest logits decide the choice and are reported: top-k, and as many more as penalties can push
  /// out of it. 0: all of them (top-k off, or penalties that make tokens likelier or look at all of the history).
  std::size_t largest_needed() const;
};

/// One of the likeliest tokens before the chain.
struct Candidate {
  std::uint32_t token;
  float logit;              ///< as the model gave it, before penalties
  float probability;        ///< softmax over all logits, before the chain
  float chain_probability;  ///< what the draw gave it; 0 if the chain cut it
};

struct Choice {
  std::uint32_t token;
  std::vector<Candidate>
      candidates;  ///< likeliest first: SamplingOptions::keep_candidates, and the token if not among them
};

/// Draws tokens from logits. The distribution drawn from is llama.cpp's for the same options, up to rounding (float64
/// here); the random numbers are not its: a draw takes one u = (mt19937_64() >> 11) * 2^-53, so that a seed gives the
/// same text with every standard library. Two differences: greedy (temperature <= 0) is the argmax right after the
/// penalties, the lowest id winning ties, even where typical-p would have cut it; and equally likely tokens rank by id.
/// One thread at a time.
class Sampler {
 public:
  /// Throws Error if the options are not valid.
  Sampler(const SamplingOptions& options, std::uint64_t seed);

  /// The next token. logits: [vocabulary], -inf for what must not be drawn; history: prompt and answer so far, oldest
  /// first. Throws Error on NaN or +inf logits, if every logit is -inf, and (penalties on) on ids of the window that
  /// are not in the vocabulary. O(vocabulary) for a small top_k, and no allocation after the first call unless
  /// candidates are kept.
  Choice sample(std::span<const float> logits, std::span<const std::uint32_t> history);
  /// The same choice, for the same random number, from the largest logits alone, finite all: options().largest_needed()
  /// of them or more, and more than none. `vocabulary`: how many ids there are.
  Choice sample(const gpu::Candidates& top, std::size_t vocabulary, std::span<const std::uint32_t> history);

  const SamplingOptions& options() const { return options_; }

 private:
  struct Entry {
    std::uint32_t token;
    float logit;
    double weight;  ///< set by softmax()
  };
  static bool likelier(const Entry& a, const Entry& b);

  bool look_back(std::span<const std::uint32_t> history, std::size_t vocabulary);
  float penalized(float logit, std::size_t occurrences) const;
  std::span<const float> penalize(std::span<const float> logits, std::span<const std::uint32_t> history);
  void top_k(std::span<const float> scores);
  void typical_p();
  void top_p();
  void min_p();
  void softmax(double temperature);
  std::uint32_t choose();
  std::uint32_t draw();
  std::vector<Candidate> candidates(std::span<const float> logits, std::uint32_t chosen) const;
  std::vector<Candidate> report(std::vector<Candidate> best, const Candidate& chosen, double log_sum) const;

  SamplingOptions options_;
  std::mt19937_64 random_;
  std::vector<float> penalized_;
  std::vector<std::uint32_t> window_;
  std::vector<Entry> entries_;  ///< what the chain has left so far
};

}  // namespace glassbox::model
