#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <tuple>
#include <vector>

#include "gpu/device.h"
#include "gpu/ops/candidates.h"
#include "gpu/ops/packed_tune.h"
#include "gpu/plan.h"
#include "model/chat_template.h"
#include "model/llama.h"
#include "model/model_files.h"
#include "model/tokenizer.h"

namespace glassbox::model {

struct EngineOptions {
  std::filesystem::path model;
  gpu::Device::Options device;
  gpu::Fusion fusion = gpu::Fusion::on;
  std::size_t context = 0;  ///< tokens; 0: the model's, at most default_context
  std::size_t chunk = 0;    ///< prompt tokens a prefill step; 0: by device
  gpu::Activations activations = gpu::Activations::f32;
  gpu::CacheType key_cache = gpu::CacheType::f32, value_cache = gpu::CacheType::f32;
  std::optional<gpu::Tune> tune = std::nullopt;  ///< instead of gpu::default_tune()
  static constexpr std::size_t default_context = 4096;
  static std::size_t default_chunk(const gpu::Device& device);
};

/// Long work under way: what it is, and how much of it is done.
using Progress = std::function<void(std::string_view what, std::size_t done, std::size_t total)>;

/// One run of the model's plan.
struct EngineStep {
  gpu::Plan& plan;
  bool prefill;              ///< a chunk of a prompt; else one token in decode
  std::size_t first, count;  ///< positions
};

/// A model on a device with its context: feeds tokens, gives logits. Everything that computes (chat, generate, logits,
/// profile, diff, the window) runs the plans of this class on the thread that made it.
class Engine {
 public:
  /// Loads the model, compiles and warms its kernels. Throws Error for whatever is wrong with files, options or device.
  explicit Engine(const EngineOptions& options, const Progress& progress = nullptr);
  ~Engine();

  const ModelFiles& files() const { return files_; }
  const ModelConfig& config() const { return files_.config; }
  gpu::Device& device() { return *device_; }
  /// Throws Error where the model came without one.
  const Tokenizer& tokenizer() const;
  const ChatTemplate& chat_template() const;
  std::size_t context() const { return cache_.capacity; }
  double load_seconds() const { return load_seconds_; }
  std::size_t weight_bytes() const { return weight_bytes_; }
  std::size_t cache_bytes() const { return cache_.nbytes(); }

  /// Tokens in the context, and going back to the first `count` of them.
  const std::vector<std::uint32_t>& tokens() const { return tokens_; }
  void rewind(std::size_t count);

  /// Appends tokens to the context and leaves the logits after the last on the device. `stop` is heeded between chunks:
  /// then false is returned and the context holds the chunks that were done. Throws Error for ids out of range and
  /// where the context is too small; then nothing was appended. One token more allocates nothing and looks nothing up,
  /// where tokens of a context as long have been before.
  bool append(std::span<const std::uint32_t> ids, const std::stop_token& stop = {}, const Progress& progress = nullptr);
  /// Rewinds to what the context and `ids` have in common and appends the rest, at least the last of them.
  bool append_from_common_prefix(std::span<const std::uint32_t> ids, const std::stop_token& stop = {},
                                 const Progress& progress = nullptr);
  /// Tokens that the context and `ids` begin with alike.
  std::size_t common_prefix(std::span<const std::uint32_t> ids) const;
  /// The logits [vocab] after the token that was appended last. Throws Error where there is none: before the first,
  /// after a rewind, and where the last append() failed or was stopped. Allocates where `logits` is too small.
  void read_logits(std::vector<float>& logits) const;
  /// The same as far as sampling needs it: the k largest among the ids that the tokenizer has a piece for, found by the
  /// device, and valid until the next call. Null where they are to be read whole: k is 0 or too large, the kernels are
  /// not to be fused, or a logit is not finite. Allocates where k is another than before.
  const gpu::Candidates* candidates(std::size_t k);

  /// append() and read_logits(): nothing where `stop` ended it.
  std::optional<std::vector<float>> feed(std::span<const std::uint32_t> ids, const std::stop_token& stop = {},
                                         const Progress& progress = nullptr);
  std::optional<std::vector<float>> feed_from_common_prefix(std::span<const std::uint32_t> ids,
                                                            const std::stop_token& stop = {},
                                                            const Progress& progress = nullptr);
  /// Appends tokens and returns the logits of every one of them: [ids, vocab].
  std::vector<float> feed_all(std::span<const std::uint32_t> ids, const Progress& progress = nullptr);

  /// Who runs each step's plan, in place of plan.run(): the profiler and the differ.
  void on_step(std::function<void(const EngineStep&)> runner) { runner_ = std::move(runner); }

  bool ends_answer(std::uint32_t id) const;  ///< an end-of-text or end-of-turn token

 private:
  struct Prepared {
    gpu::Array ids, logits;
    gpu::Plan plan;
    gpu::Array candidates;  ///< of the logits, [k, ..], where they were asked for
    gpu::Plan candidates_plan;
  };
  Prepared& prepared(std::size_t count, LogitRows rows, std::size_t longest);
  Prepared& prepared_for_decode();
  std::size_t drawable() const;
  std::size_t longest_for(std::size_t tokens) const;
  std::size_t longest_after(std::size_t count) const { return longest_for(tokens_.size() + count); }
  void step(Prepared& prepared, std::span<const std::uint32_t> ids, bool prefill);
  void check_room(std::span<const std::uint32_t> ids) const;
  void tune(gpu::Tune tune, const Progress& progress);
  void warm(const Progress& progress);

  ModelFiles files_;
  std::unique_ptr<gpu::Device> device_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  std::optional<Llama> model_;
  KvCache cache_;
  std::size_t chunk_ = 0;
  gpu::Dynamic position_;
  std::vector<std::uint32_t> tokens_;
  std::map<std::tuple<std::size_t, LogitRows, std::size_t>, Prepared> plans_;  ///< by tokens, rows and longest context
  std::shared_ptr<gpu::Arena> plan_arena_;
  Prepared* decode_ = nullptr;  ///< what the last token in decode ran
  std::size_t decode_longest_ = 0;
  Prepared* last_ = nullptr;  ///< whose logits are of the last token
  gpu::Fusion fusion_;
  std::vector<float> candidate_rows_;
  gpu::Candidates candidates_;
  std::function<void(const EngineStep&)> runner_;
  double load_seconds_ = 0;
  std::size_t weight_bytes_ = 0;
};

}  // namespace glassbox::model
