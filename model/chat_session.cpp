#include "model/chat_session.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gpu/error.h"
#include "model/conversation_rows.h"
#include "model/sampling_json.h"
#include "model/utf8.h"

namespace glassbox::model {
namespace {

using nlohmann::json;

json to_json(const SamplingOptions& options, std::uint64_t seed) {
  auto settings = model::to_json(options);
  settings["seed"] = seed;
  return settings;
}

json stats_of(const Generation& generation) {
  return {{"stop_reason", name_of(generation.reason)},
          {"prompt_tokens", generation.prompt_tokens},
          {"prefill_tokens_per_s", generation.prefill_tokens_per_second()},
          {"decode_tokens_per_s", generation.decode_tokens_per_second()},
          {"ttft_s", generation.first_token_seconds}};
}

/// The first words of a question, on one line.
std::string title_of(std::string_view question) {
  constexpr std::size_t most = 60;
  auto points = to_utf32(question.substr(0, 4 * most + 4));
  std::replace_if(
      points.begin(), points.end(), [](char32_t point) { return point < U' '; }, U' ');
  if (points.size() <= most) return to_utf8(points);
  return to_utf8(points.substr(0, most - 1)) + "…";
}

bool is_question(const StoredMessage& message) { return message.role == "user"; }

}  // namespace

ChatSession::ChatSession(Engine& engine, ConversationStore* store, const ChatSettings& settings)
    : engine_(engine), store_(store), settings_(settings) {
  engine_.tokenizer();  // throws where there is none
  settings_.sampling.validate();
}

void ChatSession::start(std::string system_prompt) {
  if (const auto offset = find_invalid_utf8(system_prompt))
    fail("the system prompt is not valid UTF-8 at byte {}", *offset);
  conversation_.reset();
  system_prompt_ = std::move(system_prompt);
  thread_.clear();
  first_ = 0;
}

void ChatSession::open(std::int64_t conversation) {
  require(store_ != nullptr, "conversation {} cannot be opened: this chat is not stored", conversation);
  auto system_prompt = store_->conversation(conversation).system_prompt;
  auto thread = store_->thread(conversation);
  start(std::move(system_prompt));
  conversation_ = conversation;
  thread_ = std::move(thread);
}

ChatAnswer ChatSession::ask(std::string_view text, const Seen& seen, const std::stop_token& stop,
                            const Progress& progress) {
  require(!text.empty(), "the message is empty");
  if (const auto offset = find_invalid_utf8(text)) fail("the message is not valid UTF-8 at byte {}", *offset);
  auto question = next_message("user");
  question.content = text;
  auto thread = thread_;
  thread.push_back(question);
  const auto prompt = fit(thread, first_);
  if (store_) {
    if (!conversation_) conversation_ = store_->create(title_of(text), engine_.files().name, system_prompt_);
    thread.back().conversation = *conversation_;
    thread.back().id = store_->add_message(*conversation_, question.parent, question.role, text);
  }
  thread_ = std::move(thread);
  return answer(prompt, {}, seen, stop, progress);
}

ChatAnswer ChatSession::regenerate(const Seen& seen, const std::stop_token& stop, const Progress& progress) {
  const auto after = std::find_if(thread_.rbegin(), thread_.rend(), is_question).base();
  require(after != thread_.begin(), "there is no question to answer again");
  const auto prompt = fit({thread_.begin(), after}, first_);
  thread_.erase(after, thread_.end());
  return answer(prompt, {}, seen, stop, progress);
}

ChatAnswer ChatSession::answer_again(std::int64_t message, std::span<const std::uint32_t> begin, const Seen& seen,
                                     const std::stop_token& stop, const Progress& progress) {
  const auto found =
      std::find_if(thread_.begin(), thread_.end(), [&](const StoredMessage& m) { return m.id == message; });
  require(found != thread_.end() && !is_question(*found), "message {} is no answer of this thread", message);
  for (const auto id : begin)
    require(id < engine_.tokenizer().vocab_size(), "token id {} is out of range, the vocabulary has {}", id,
            engine_.tokenizer().vocab_size());
  const auto prompt = fit({thread_.begin(), found}, first_seen(found - thread_.begin()));
  require(prompt.ids.size() + begin.size() < engine_.context(),
          "the answer's beginning of {} tokens leaves no room in the context of {}", begin.size(), engine_.context());
  const std::vector<std::uint32_t> kept(begin.begin(), begin.end());  // may be the message's own
  thread_.erase(found, thread_.end());
  return answer(prompt, kept, seen, stop, progress);
}

std::vector<std::uint32_t> ChatSession::prompt_of(std::int64_t message) const {
  const auto found =
      std::find_if(thread_.begin(), thread_.end(), [&](const StoredMessage& m) { return m.id == message; });
  require(found != thread_.end() && !is_question(*found), "message {} is no answer of this thread", message);
  return fit({thread_.begin(), found}, first_seen(found - thread_.begin())).ids;
}

void ChatSession::cut_before(std::int64_t message) {
  const auto found =
      std::find_if(thread_.begin(), thread_.end(), [&](const StoredMessage& m) { return m.id == message; });
  require(found != thread_.end(), "message {} is not in this thread", message);
  thread_.erase(found, thread_.end());
  first_ = 0;
}

void ChatSession::switch_to(std::int64_t message) {
  require(store_ && conversation_, "there are no branches: this chat is not stored");
  auto leaf = message;
  for (auto next = store_->children(leaf); !next.empty(); next = store_->children(leaf)) leaf = next.back().id;
  store_->set_leaf(*conversation_, leaf);
  open(*conversation_);
}

std::string ChatSession::undo() {
  const auto after = std::find_if(thread_.rbegin(), thread_.rend(), is_question).base();
  require(after != thread_.begin(), "there is no question to take back");
  const auto question = after - 1;
  if (store_ && question->parent) store_->set_leaf(*conversation_, *question->parent);
  auto text = question->content;
  thread_.erase(question, thread_.end());
  first_ = 0;
  return text;
}

void ChatSession::change(const ChatSettings& settings) {
  settings.sampling.validate();
  if (settings.seed != settings_.seed) answers_ = 0;
  settings_ = settings;
}

std::string ChatSession::export_json() const {
  if (store_ && conversation_) return store_->export_json(*conversation_);
  json file = {{"format", "glassbox-conversation"},
               {"version", 1},
               {"title", thread_.empty() ? "" : title_of(thread_.front().content)},
               {"model", engine_.files().name},
               {"system_prompt", system_prompt_},
               {"created", thread_.empty() ? now() : thread_.front().created},
               {"updated", thread_.empty() ? now() : thread_.back().created},
               {"leaf", thread_.empty() ? json(nullptr) : json(thread_.back().id)},
               {"messages", json::array()}};
  for (const auto& message : thread_)
    file["messages"].push_back({{"id", message.id},
                                {"parent", message.parent ? json(*message.parent) : json(nullptr)},
                                {"role", message.role},
                                {"content", message.content},
                                {"created", message.created},
                                {"state", message.state == MessageState::complete ? "complete" : "stopped"},
                                {"tokens", message.tokens},
                                {"sampling", message.sampling},
                                {"stats", message.stats}});
  return file.dump(2);
}

StoredMessage ChatSession::next_message(std::string_view role) const {
  // Without a store a message's id is its place in the thread.
  const auto parent = thread_.empty() ? std::nullopt : std::optional(thread_.back().id);
  return {.id = static_cast<std::int64_t>(thread_.size()) + 1,
          .conversation = conversation_.value_or(0),
          .parent = parent,
          .role = std::string(role),
          .content = "",
          .created = now(),
          .state = MessageState::complete,
          .tokens = {},
          .sampling = json::object(),
          .stats = json::object()};
}

std::vector<std::uint32_t> ChatSession::encode(std::span<const StoredMessage> messages) const {
  std::vector<Message> list;
  if (!system_prompt_.empty()) list.push_back({"system", system_prompt_});
  for (const auto& message : messages) list.push_back({message.role, message.content});
  const auto& tokenizer = engine_.tokenizer();
  const auto& chat_template = engine_.chat_template();
  const auto text = chat_template.render(list, true);
  // In the plain form nothing but BOS is special: "</s>" in a message is what a person typed.
  return chat_template.is_plain() ? tokenizer.encode(text, tokenizer.add_bos())
                                  : tokenizer.encode_with_specials(text, tokenizer.add_bos());
}

/// What was forgotten matters only to messages after it.
std::size_t ChatSession::first_seen(std::ptrdiff_t before) const {
  return static_cast<std::ptrdiff_t>(first_) < before ? first_ : 0;
}

ChatSession::Prompt ChatSession::fit(std::span<const StoredMessage> thread, std::size_t first) const {
  const std::size_t context = engine_.context();
  const std::size_t quarter = context / 4;
  const std::size_t room = settings_.max_tokens ? std::min(settings_.max_tokens, quarter) : quarter;
  Prompt prompt{encode(thread.subspan(first)), first};
  if (prompt.ids.size() + room <= context) return prompt;

  // Bisected: a conversation that outgrew its context long ago may have thousands of turns.
  std::vector<std::size_t> turns;
  for (std::size_t i = first; i < thread.size(); ++i)
    if (is_question(thread[i])) turns.push_back(i);
  const auto found = std::partition_point(turns.begin(), turns.end(), [&](std::size_t turn) {
    return encode(thread.subspan(turn)).size() + room + quarter > context;
  });
  prompt.first = found != turns.end() ? *found : turns.back();
  prompt.ids = encode(thread.subspan(prompt.first));
  require(prompt.ids.size() < context,
          "the message has {} tokens with its template, the context of {} leaves no room for an answer",
          prompt.ids.size(), context);
  return prompt;
}

ChatAnswer ChatSession::answer(const Prompt& prompt, std::span<const std::uint32_t> begin, const Seen& seen,
                               const std::stop_token& stop, const Progress& progress) {
  auto ids = prompt.ids;
  ids.insert(ids.end(), begin.begin(), begin.end());
  const GenerateRequest request{.prompt = std::move(ids),
                                .begun = begin.size(),
                                .max_tokens = settings_.max_tokens,
                                .sampling = settings_.sampling,
                                .seed = settings_.seed + answers_++,
                                .stop_strings = engine_.chat_template().stop_strings()};
  ChatAnswer result{.forgotten = prompt.first > first_ ? prompt.first - first_ : 0};
  first_ = prompt.first;

  auto message = next_message("assistant");
  message.state = MessageState::stopped;  // until it ends well
  message.sampling = to_json(request.sampling, request.seed);
  std::optional<AnswerWriter> writer;
  if (store_) {
    writer.emplace(store_->begin_answer(*conversation_, message.parent, message.sampling));
    message.id = writer->message();
  }
  thread_.push_back(std::move(message));
  auto& streamed = thread_.back();
  const auto add = [&](std::uint32_t id, std::string_view text) {
    if (streamed.content.empty()) text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    if (writer) writer->append(id, text);
    streamed.tokens.push_back(id);
    streamed.content += text;
    return text;
  };
  StreamingDecoder decoder(engine_.tokenizer(), true);
  for (const auto id : begin) add(id, decoder.push(id));
  const auto keep = [&](const GeneratedToken& token) {
    if (token.rest) return;
    const auto text = add(token.id, token.text);
    if (seen) seen({token.id, text, token.choice});
  };
  result.generation = generate(engine_, request, keep, stop, progress);
  result.generation.text = streamed.content;
  result.context_tokens = engine_.tokens().size();
  if (result.generation.reason != StopReason::cancelled) streamed.state = MessageState::complete;
  streamed.stats = stats_of(result.generation);
  if (writer) writer->finish(streamed.state, streamed.stats);
  return result;
}

}  // namespace glassbox::model
