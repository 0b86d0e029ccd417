#include <algorithm>

#include "app/live/state.h"
#include "gpu/error.h"

namespace glassbox::app::live {
namespace {

double number_of(const nlohmann::json& stats, const char* name) {
  const auto found = stats.find(name);
  return found != stats.end() && found->is_number() ? found->get<double>() : 0;
}

/// What the answer's own white space at its beginning adds: nothing.
std::string_view without_leading_space(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text;
}

}  // namespace

const std::vector<model::StoredMessage>& Worker::State::messages() {
  return session_ ? session_->thread() : viewed_thread_;
}

/// The texts of an answer's tokens and where they stand; without a model the ids alone.
std::vector<TokenRecord> Worker::State::decoded(std::span<const std::uint32_t> ids) const {
  std::vector<TokenRecord> records;
  std::optional<model::StreamingDecoder> decoder;
  if (engine) decoder.emplace(engine->tokenizer(), true);
  std::size_t end = 0;
  for (const auto id : ids) {
    std::string text;
    if (decoder && id < engine->tokenizer().vocab_size()) text = decoder->push(id);
    if (end == 0) text = without_leading_space(text);
    records.push_back({.id = id, .text = text, .begin = end});
    end += text.size();
  }
  return records;
}

std::vector<std::shared_ptr<const TokenRecord>> Worker::State::records_of(const model::StoredMessage& message) {
  auto& known = records_[message.id];
  if (known.size() != message.tokens.size()) {
    known.clear();
    for (auto& record : decoded(message.tokens)) known.push_back(std::make_shared<TokenRecord>(std::move(record)));
  }
  return known;
}

std::shared_ptr<const Message> Worker::State::shown(const model::StoredMessage& message,
                                                    std::vector<std::shared_ptr<const TokenRecord>> tokens) {
  auto out = std::make_shared<Message>(Message{.id = message.id,
                                               .role = message.role,
                                               .content = message.content,
                                               .state = message.state,
                                               .created = message.created,
                                               .siblings = {message.id},
                                               .tokens = std::move(tokens),
                                               .first_token_seconds = number_of(message.stats, "ttft_s"),
                                               .tokens_per_second = number_of(message.stats, "decode_tokens_per_s")});
  if (message.id == streaming_) out->state = model::MessageState::streaming;
  out->prompt_tokens = static_cast<std::size_t>(number_of(message.stats, "prompt_tokens"));
  if (const auto reason = message.stats.find("stop_reason"); reason != message.stats.end() && reason->is_string())
    out->stop_reason = *reason;
  if (store_ && message.conversation) {
    out->siblings.clear();
    for (const auto& sibling : message.parent ? store_->children(*message.parent) : store_->roots(message.conversation))
      out->siblings.push_back(sibling.id);
    out->sibling = static_cast<std::size_t>(std::find(out->siblings.begin(), out->siblings.end(), message.id) -
                                            out->siblings.begin());
  }
  return out;
}

void Worker::State::publish_thread(Thread thread) {
  if (engine) {
    thread.context_size = engine->context();
    thread.context_used = context_used_;
  }
  next.thread = std::make_shared<Thread>(std::move(thread));
}

void Worker::State::refresh_thread() {
  Thread thread{.system_prompt = session_ ? session_->system_prompt() : next.thread->system_prompt};
  thread.conversation = session_ ? session_->conversation() : viewed_;
  if (store_ && thread.conversation) {
    const auto stored = store_->conversation(*thread.conversation);
    thread.title = stored.title;
    thread.system_prompt = stored.system_prompt;
  }
  if (session_) thread.forgotten = session_->first();
  for (const auto& message : messages())
    thread.messages.push_back(shown(message, message.role == "assistant"
                                                 ? records_of(message)
                                                 : std::vector<std::shared_ptr<const TokenRecord>>{}));
  publish_thread(std::move(thread));
}

const model::StoredMessage& Worker::State::answer_at(std::int64_t message) {
  for (const auto& stored : session().thread())
    if (stored.id == message && stored.role == "assistant") return stored;
  fail("message {} is no answer on screen", message);
}

std::shared_ptr<const TokenRecord> Worker::State::record_of(const model::GeneratedToken& token,
                                                            std::size_t begin) const {
  auto record = std::make_shared<TokenRecord>(TokenRecord{.id = token.id,
                                                          .text = std::string(token.text),
                                                          .begin = begin,
                                                          .candidates = token.choice.candidates,
                                                          .seconds = last_seconds_,
                                                          .run = last_run_,
                                                          .check = last_check_});
  name_candidates(*record);
  return record;
}

/// What was seen of a token takes some ten kilobytes: the oldest answers' records go when many thousands are kept.
void Worker::State::forget_old_records() {
  constexpr std::size_t most = 8192;
  std::size_t total = 0;
  for (const auto& [message, tokens] : records_) total += tokens.size();
  while (total > most && records_.size() > 1) {
    total -= records_.begin()->second.size();
    records_.erase(records_.begin());
  }
}

void Worker::State::name_candidates(TokenRecord& record) const {
  record.probability.reset();
  record.candidate_texts.clear();
  for (const auto& candidate : record.candidates) {
    record.candidate_texts.push_back(candidate.token < next.model->pieces.size() ? next.model->pieces[candidate.token]
                                                                                 : "");
    if (candidate.token == record.id) record.probability = candidate.probability;
  }
}

void Worker::State::answer(const Ask& ask, std::vector<std::shared_ptr<const TokenRecord>> given) {
  auto& chat = session();
  const Doing doing(*this, Activity::reading);
  const auto conversation = chat.conversation();
  asking_ = true;
  const auto seen = [&](const model::GeneratedToken& token) {
    const auto& message = chat.thread().back();
    auto& tokens = records_[message.id];
    if (message.tokens.size() == given.size() + 1) {
      // What it begins with keeps its records; where the texts stand is this answer's.
      tokens.clear();
      auto texts = decoded(std::span(message.tokens).first(given.size()));
      for (std::size_t i = 0; i < given.size(); ++i) {
        auto record = *given[i];
        record.text = texts[i].text;
        record.begin = texts[i].begin;
        tokens.push_back(std::make_shared<TokenRecord>(std::move(record)));
      }
    }
    tokens.push_back(record_of(token, message.content.size() - token.text.size()));
    next.activity = Activity::answering;
    next.work.reset();
    context_used_ = engine->tokens().size();
    // Shown since the first step, branches and all: only this has grown.
    auto thread = *next.thread;
    auto grown = std::make_shared<Message>(*thread.messages.back());
    grown->content = message.content;
    grown->tokens = tokens;
    thread.messages.back() = std::move(grown);
    publish_thread(std::move(thread));
    publish();
  };
  try {
    const auto told = ask(chat, seen, stopped(), progress(Activity::reading));
    if (told.generation.reason == model::StopReason::context)
      tell(fmt::format("The context of {} tokens is full: the answer ends here.", engine->context()));
  } catch (...) {
    asking_ = false;
    streaming_.reset();
    if (chat.conversation() && store_) chat.open(*chat.conversation());
    refresh_thread();
    throw;
  }
  asking_ = false;
  streaming_.reset();
  context_used_ = engine->tokens().size();
  forget_old_records();
  refresh_thread();
  if (conversation != chat.conversation() || !next.history->empty()) refresh_history();
}

}  // namespace glassbox::app::live
