#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace glassbox::model {

/// Mean of numbers as they come, with its standard error: the deviation over the square root of their count (Welford
/// 1962).
class Mean {
 public:
  void add(double value);
  std::size_t count() const { return count_; }
  double mean() const { return mean_; }
  double standard_error() const;  ///< 0 for fewer than two
  double max() const { return max_; }

 private:
  std::size_t count_ = 0;
  double mean_ = 0, squares_ = 0, max_ = 0;
};

/// Natural logarithms of the softmax of `logits`, in float64.
std::vector<double> log_softmax(std::span<const float> logits);

/// How well a model's next-token distributions foretell a text: the perplexity is exp of the mean of −ln p(next).
class Perplexity {
 public:
  /// The logits [vocab] before token `next`.
  void add(std::span<const float> logits, std::uint32_t next);
  std::size_t tokens() const { return loss_.count(); }
  double value() const;
  double standard_error() const;  ///< to first order: value times that of the mean loss

 private:
  Mean loss_;
};

/// How far a model's next-token distributions are from those of a base model on the same text, position by position,
/// all in nats.
class Divergence {
 public:
  void add(std::span<const float> base, std::span<const float> logits, std::uint32_t next);

  const Mean& kl() const { return kl_; }  ///< Σ p_base·ln(p_base/p)
  /// ln p(next) − ln p_base(next); its mean is −ln of the perplexities' ratio.
  const Mean& log_probability_change() const { return change_; }
  const Mean& same_top() const { return same_top_; }  ///< 1 where both find the same token likeliest, else 0
  double perplexity_ratio() const;                    ///< the model's over the base's
  double perplexity_ratio_error() const;              ///< standard error, to first order; of pairs, so it is small

 private:
  Mean kl_, change_, same_top_;
};

/// A text as llama.cpp's perplexity takes it: chunks of `context` tokens one after the other, each of which begins
/// with `bos`, where given, in place of its first token; what is left at the end is not used.
std::vector<std::vector<std::uint32_t>> perplexity_chunks(std::span<const std::uint32_t> ids, std::size_t context,
                                                          std::optional<std::uint32_t> bos);
/// The first position of a chunk whose logits count, the token after it being foretold from at least half a context;
/// the last is context − 2.
inline std::size_t first_scored(std::size_t context) { return context / 2; }

}  // namespace glassbox::model
