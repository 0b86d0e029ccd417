#include "model/engine.h"

#include <algorithm>
#include <chrono>

#include "gpu/error.h"
#include "model/sampler.h"

namespace glassbox::model {
namespace {

/// A model's vocabulary may be padded beyond its tokenizer's (Phi-3: by 64), never smaller.
constexpr std::size_t largest_padding = 256;

void read_floats(const gpu::Array& array, std::span<float> values) {
  array.data()->storage->buffer().read(array.byte_offset(), std::as_writable_bytes(values));
}

std::optional<Tokenizer> load_tokenizer(const ModelFiles& files) {
  if (files.tokenizer_path) return Tokenizer::from_sentencepiece(*files.tokenizer_path);
  if (files.vocabulary) return Tokenizer::from_vocabulary(*files.vocabulary, files.weights.source());
  return std::nullopt;
}

}  // namespace

std::size_t EngineOptions::default_chunk(const gpu::Device& device) { return device.features().software ? 64 : 512; }

Engine::Engine(const EngineOptions& options, const Progress& progress)
    : files_(open_model(options.model)), fusion_(options.fusion) {
  const auto started = std::chrono::steady_clock::now();
  const auto& config = files_.config;
  tokenizer_ = load_tokenizer(files_);
  if (tokenizer_) {
    const std::size_t pieces = tokenizer_->vocab_size();
    require(pieces <= config.vocab_size && config.vocab_size - pieces <= largest_padding,
            "{}: the tokenizer has {} pieces, the model a vocabulary of {}",
            files_.tokenizer_path ? files_.tokenizer_path->string() : files_.weights.source(), pieces,
            config.vocab_size);
    const auto piece = [&](std::optional<TokenId> id) { return id ? tokenizer_->piece(*id) : std::string(); };
    chat_template_.emplace(files_.chat_template, piece(tokenizer_->bos()), piece(tokenizer_->eos()));
  }
  const std::size_t context =
      options.context ? options.context : std::min(config.max_position_embeddings, EngineOptions::default_context);
  require(context <= config.max_position_embeddings, "--ctx-size {}: this model's context is {}", context,
          config.max_position_embeddings);

  device_ = gpu::Device::open(options.device);
  const auto tuning = options.tune.value_or(gpu::default_tune(*device_));
  gpu::load_packed_table(*device_, tuning);
  chunk_ = std::min(options.chunk ? options.chunk : EngineOptions::default_chunk(*device_), context);
  Uploader upload(files_.weights, [&](std::size_t done, std::size_t total) {
    if (progress) progress("loading weights", done, total);
  });
  model_.emplace(config, upload, files_.weights, options.fusion, options.activations);
  weight_bytes_ = upload.device_bytes();
  cache_ = model_->make_cache(context, options.key_cache, options.value_cache);
  plan_arena_ = std::make_shared<gpu::Arena>(*device_);
  tokens_.reserve(context);
  tune(tuning, progress);
  warm(progress);
  load_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

Engine::~Engine() = default;

const Tokenizer& Engine::tokenizer() const {
  require(tokenizer_.has_value(),
          "{}: no tokenizer found (tokenizer.model beside the weights, or a vocabulary in the GGUF)", files_.name);
  return *tokenizer_;
}

const ChatTemplate& Engine::chat_template() const {
  tokenizer();
  return *chat_template_;
}

void Engine::tune(gpu::Tune how, const Progress& progress) {
  if (how == gpu::Tune::off || how == gpu::Tune::cached) return;
  // Building the graphs, which computes nothing, asks for all the products there will be.
  for (const std::size_t count : {chunk_, std::size_t{1}})
    model_->forward(gpu::Array::empty({count}, gpu::DType::u32), cache_, position_, LogitRows::last);
  gpu::tune_packed(*device_, how, [&](std::size_t done, std::size_t total) {
    if (progress) progress("tuning kernels", done, total);
  });
}

void Engine::warm(const Progress& progress) {
  // Drivers generate code at the first dispatch: a chunk and a token now, so that the first real ones do not wait, and
  // a token in each longer context, so that no answer stops where the next plan takes over. The cache is cleared after:
  // how long a chunk is must not show in what a diff saves of it.
  const std::vector<std::uint32_t> ids(chunk_, 0);
  std::vector<std::pair<std::size_t, std::size_t>> runs{{chunk_, longest_after(chunk_)}};
  for (std::size_t longest = longest_after(1);; longest = longest_for(longest + 1)) {
    runs.emplace_back(1, longest);
    if (longest == context()) break;
  }
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (progress) progress("compiling kernels", i, runs.size());
    const auto [count, longest] = runs[i];
    position_.set(0);
    auto& ready = prepared(count, LogitRows::last, longest);
    ready.ids.write(std::as_bytes(std::span(ids).first(count)));
    ready.plan.run();
    last_ = &ready;
    candidates(SamplingOptions().largest_needed());
    device_->finish();
  }
  last_ = nullptr;
  cache_.clear();
  if (progress) progress("compiling kernels", runs.size(), runs.size());
}

/// What a plan is recorded for that is run with `tokens` in the context: the shorter it may be, the less attention
/// costs.
std::size_t Engine::longest_for(std::size_t tokens) const {
  for (const std::size_t most : {std::size_t{256}, std::size_t{1024}})
    if (tokens <= most && most < context()) return most;
  return context();
}

Engine::Prepared& Engine::prepared(std::size_t count, LogitRows rows, std::size_t longest) {
  const std::tuple key{count, rows, longest};
  if (const auto found = plans_.find(key); found != plans_.end()) return found->second;
  // Plans of odd lengths, as a prompt's last chunk has, are not kept for good: the context's whole memory would go to
  // them.
  constexpr std::size_t most_plans = 6;
  if (plans_.size() >= most_plans)
    std::erase_if(plans_, [&](const auto& plan) {
      const auto& [tokens, which, length] = plan.first;
      return which == LogitRows::all || (tokens != 1 && tokens != chunk_);
    });
  Prepared made;
  made.ids = gpu::Array::empty({count}, gpu::DType::u32);
  made.logits = model_->forward(made.ids, cache_, position_, rows, longest);
  made.plan = gpu::Plan::record({made.logits}, plan_arena_);
  return plans_.emplace(key, std::move(made)).first->second;
}

Engine::Prepared& Engine::prepared_for_decode() {
  if (const auto longest = longest_after(1); !decode_ || longest != decode_longest_) {
    decode_ = &prepared(1, LogitRows::last, longest);
    decode_longest_ = longest;
  }
  return *decode_;
}

void Engine::check_room(std::span<const std::uint32_t> ids) const {
  for (const auto id : ids)
    require(id < config().vocab_size, "token id {} is out of range, the vocabulary has {}", id, config().vocab_size);
  if (ids.size() > context() - tokens_.size())
    fail("{} tokens do not fit the context of {}{}", ids.size(), context(),
         tokens_.empty() ? "" : fmt::format(", which holds {}", tokens_.size()));
}

void Engine::step(Prepared& ready, std::span<const std::uint32_t> ids, bool prefill) {
  position_.set(static_cast<std::uint32_t>(tokens_.size()));
  ready.ids.data()->storage->buffer().write(ready.ids.byte_offset(), std::as_bytes(ids));
  if (runner_)
    runner_({ready.plan, prefill, tokens_.size(), ids.size()});
  else
    ready.plan.run();
  tokens_.insert(tokens_.end(), ids.begin(), ids.end());
}

void Engine::rewind(std::size_t count) {
  require(count <= tokens_.size(), "cannot go back to {} tokens, the context holds {}", count, tokens_.size());
  if (count < tokens_.size()) last_ = nullptr;
  tokens_.resize(count);
}

bool Engine::append(std::span<const std::uint32_t> ids, const std::stop_token& stop, const Progress& progress) {
  require(!ids.empty(), "no tokens to feed");
  check_room(ids);
  last_ = nullptr;
  const bool prefill = ids.size() > 1;
  Prepared* ready = nullptr;
  for (std::size_t done = 0; done < ids.size();) {
    if (stop.stop_requested()) return false;
    const auto count = std::min(chunk_, ids.size() - done);
    ready = count == 1 ? &prepared_for_decode() : &prepared(count, LogitRows::last, longest_after(count));
    step(*ready, ids.subspan(done, count), prefill);
    done += count;
    if (prefill && progress) {
      device_->finish();
      progress("reading the prompt", done, ids.size());
    }
  }
  last_ = ready;
  return true;
}

bool Engine::append_from_common_prefix(std::span<const std::uint32_t> ids, const std::stop_token& stop,
                                       const Progress& progress) {
  require(!ids.empty(), "no tokens to feed");
  require(ids.size() <= context(), "{} tokens do not fit the context of {}", ids.size(), context());
  rewind(std::min(common_prefix(ids), ids.size() - 1));
  return append(ids.subspan(tokens_.size()), stop, progress);
}

void Engine::read_logits(std::vector<float>& logits) const {
  require(last_, "there are no logits: no token was appended last");
  logits.resize(last_->logits.size());
  read_floats(last_->logits, logits);
}

std::size_t Engine::drawable() const { return tokenizer_ ? tokenizer_->vocab_size() : config().vocab_size; }

const gpu::Candidates* Engine::candidates(std::size_t k) {
  require(last_, "there are no logits: no token was appended last");
  const std::size_t count = drawable();
  if (fusion_ == gpu::Fusion::off || k == 0 || k > gpu::CandidateBlocks(count).most()) return nullptr;
  auto& array = last_->candidates;
  if (!array || array.shape()[0] != k) {
    last_->candidates_plan = {};
    array = gpu::candidates(last_->logits, count, k);
    last_->candidates_plan = gpu::Plan::record({array}, plan_arena_);
  }
  last_->candidates_plan.run();
  candidate_rows_.resize(array.size());
  read_floats(array, candidate_rows_);
  return candidates_.read(candidate_rows_, count, k) ? &candidates_ : nullptr;
}

std::optional<std::vector<float>> Engine::feed(std::span<const std::uint32_t> ids, const std::stop_token& stop,
                                               const Progress& progress) {
  if (!append(ids, stop, progress)) return std::nullopt;
  std::vector<float> logits;
  read_logits(logits);
  return logits;
}

std::optional<std::vector<float>> Engine::feed_from_common_prefix(std::span<const std::uint32_t> ids,
                                                                  const std::stop_token& stop,
                                                                  const Progress& progress) {
  if (!append_from_common_prefix(ids, stop, progress)) return std::nullopt;
  std::vector<float> logits;
  read_logits(logits);
  return logits;
}

std::vector<float> Engine::feed_all(std::span<const std::uint32_t> ids, const Progress& progress) {
  require(!ids.empty(), "no tokens to feed");
  check_room(ids);
  last_ = nullptr;
  std::vector<float> logits;
  for (std::size_t done = 0; done < ids.size();) {
    const auto count = std::min(chunk_, ids.size() - done);
    auto& ready = prepared(count, LogitRows::all, longest_after(count));
    step(ready, ids.subspan(done, count), true);
    const auto before = logits.size();
    logits.resize(before + ready.logits.size());
    read_floats(ready.logits, std::span(logits).subspan(before));
    done += count;
    if (progress) progress("computing logits", done, ids.size());
  }
  return logits;
}

std::size_t Engine::common_prefix(std::span<const std::uint32_t> ids) const {
  return static_cast<std::size_t>(std::mismatch(tokens_.begin(), tokens_.end(), ids.begin(), ids.end()).first -
                                  tokens_.begin());
}

bool Engine::ends_answer(std::uint32_t id) const {
  const auto& ends = config().eos_token_ids;
  return std::find(ends.begin(), ends.end(), id) != ends.end() ||
         (tokenizer_ && id < tokenizer_->vocab_size() && tokenizer_->is_end(id));
}

}  // namespace glassbox::model
