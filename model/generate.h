#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "model/engine.h"
#include "model/sampler.h"

namespace glassbox::model {

struct GenerateRequest {
  std::vector<std::uint32_t> prompt;
  std::size_t begun = 0;       ///< how many of the prompt's last tokens are the answer's own beginning, decoded already
  std::size_t max_tokens = 0;  ///< 0: until the model ends or the context is full
  SamplingOptions sampling;
  std::uint64_t seed = 0;
  std::vector<std::string> stop_strings;
  bool ignore_end = false;  ///< go on past end-of-text tokens (as llama.cpp's --ignore-eos)
};

/// A token as it comes. Its text may be empty (half a character, or held back as it may begin a stop string).
struct GeneratedToken {
  std::uint32_t id;
  std::string_view text;
  const Choice& choice;
  bool rest = false;  ///< no new token: text that was held back came free at the end; id and choice repeat the last
};

enum class StopReason { end /* the model's own token */, stop_string, length, context, cancelled };
std::string_view name_of(StopReason reason);

struct Generation {
  std::vector<std::uint32_t> tokens;  ///< the end token excluded
  std::string text;                   ///< without the stop string
  StopReason reason = StopReason::end;
  std::size_t prompt_tokens = 0;  ///< read anew: what the context already held is not counted
  double prefill_seconds = 0, decode_seconds = 0, first_token_seconds = 0;
  double prefill_tokens_per_second() const {
    return prefill_seconds > 0 ? static_cast<double>(prompt_tokens) / prefill_seconds : 0;
  }
  /// Tokens after the first, over the time they took.
  double decode_tokens_per_second() const {
    return tokens.size() > 1 && decode_seconds > 0 ? static_cast<double>(tokens.size() - 1) / decode_seconds : 0;
  }
};

/// Continues a prompt token by token. `seen` is called for each token in order, and once more where text that was
/// held back comes free at the end (GeneratedToken::rest). `stop` ends it within one token (one chunk while the
/// prompt is read). Throws Error as Engine::feed and Sampler do, and where the prompt fills the context.
Generation generate(Engine& engine, const GenerateRequest& request,
                    const std::function<void(const GeneratedToken&)>& seen, const std::stop_token& stop = {},
                    const Progress& progress = nullptr);

/// Holds text back while it may be the beginning of a stop string. Of several the one that is complete first ends the
/// text, so that it does not matter how tokens cut it.
class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  /// The text that is free to go now. After stopped() nothing more is.
  std::string push(std::string_view text);
  /// What was held back, when nothing follows.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace glassbox::model
