#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "model/conversation.h"
#include "model/generate.h"

namespace glassbox::model {

struct ChatSettings {
  SamplingOptions sampling;
  std::uint64_t seed = 0;      ///< of the next answer; each answer after it takes one more, so that a new try differs
  std::size_t max_tokens = 0;  ///< of an answer; 0: until the model ends it or the context is full
};

struct ChatAnswer {
  Generation generation;           ///< text and tokens as the thread holds them
  std::size_t forgotten = 0;       ///< messages left out of the prompt from this answer on: the context was full
  std::size_t context_tokens = 0;  ///< held by the engine's context now
};

/// A conversation with a model, without a terminal or a window: the thread of messages, each answer streamed into the
/// store token by token.
///
/// An answer begins with its first character that is no white space. What was still held back when it ended, half a
/// character or the beginning of a stop string, is no part of it.
///
/// Where the context has no room for an answer (max_tokens, at most a quarter of the context), the oldest turns after
/// the system prompt are left out of the prompt until a further quarter is free, so that not every question from then
/// on has the whole prompt read again. They stay in the thread and in the store.
class ChatSession {
 public:
  using Seen = std::function<void(const GeneratedToken&)>;

  /// Both must outlive the session; `store` null keeps nothing. Throws Error where the model has no tokenizer and where
  /// the settings are not valid.
  ChatSession(Engine& engine, ConversationStore* store, const ChatSettings& settings);

  /// Begins an empty conversation; the store learns of it with the first message.
  void start(std::string system_prompt);
  /// Goes on with a stored conversation at its leaf. Throws Error where there is none of that id.
  void open(std::int64_t conversation);

  /// Asks and answers. `seen`, `stop` and `progress` as in generate(). Throws Error where the message is empty, no
  /// valid UTF-8, or does not fit the context alone, where the template refuses it (then nothing has changed) and where
  /// the store cannot be written (then the thread holds what came until then).
  ChatAnswer ask(std::string_view text, const Seen& seen, const std::stop_token& stop = {},
                 const Progress& progress = nullptr);
  /// Answers the last question again: in the store the answers are siblings. Throws Error where nothing was asked, and
  /// as ask() does.
  ChatAnswer regenerate(const Seen& seen, const std::stop_token& stop = {}, const Progress& progress = nullptr);
  /// A sibling of an answer of the thread that begins with `begin` and goes on from there: the answer's own tokens to
  /// go on with it, or some of them and another one to see what if. Throws Error where there is no such answer, where
  /// the answer would begin with an id out of range or fills the context, and as ask() does.
  ChatAnswer answer_again(std::int64_t answer, std::span<const std::uint32_t> begin, const Seen& seen,
                          const std::stop_token& stop = {}, const Progress& progress = nullptr);
  /// What the model reads before it answers: the tokens of an answer of the thread follow these. Throws Error where
  /// there is no such answer or the context has no room for it.
  std::vector<std::uint32_t> prompt_of(std::int64_t answer) const;
  /// The thread ends before `message`: what is asked or answered next becomes its sibling. In the store that branch
  /// stays, and stays the current one until then. Throws Error where the thread has no such message.
  void cut_before(std::int64_t message);
  /// Goes over to the branch that a message of the stored conversation leads, down to its newest leaf. Throws Error
  /// without a store and where there is no such message.
  void switch_to(std::int64_t message);
  /// Goes back to before the last question, which it returns; in the store that branch stays. Throws Error where
  /// nothing was asked.
  std::string undo();

  const ChatSettings& settings() const { return settings_; }
  /// Throws Error, and changes nothing, where they are not valid.
  void change(const ChatSettings& settings);

  const std::vector<StoredMessage>& thread() const { return thread_; }
  const std::string& system_prompt() const { return system_prompt_; }
  /// Oldest message of the thread that the model still sees.
  std::size_t first() const { return first_; }
  /// Its id in the store; none before the first message or without a store.
  std::optional<std::int64_t> conversation() const { return conversation_; }
  /// What ConversationStore::import_json() reads: all branches, without a store the thread.
  std::string export_json() const;

 private:
  struct Prompt {
    std::vector<std::uint32_t> ids;
    std::size_t first;  ///< message of the thread it begins with
  };
  std::vector<std::uint32_t> encode(std::span<const StoredMessage> messages) const;
  std::size_t first_seen(std::ptrdiff_t before) const;
  Prompt fit(std::span<const StoredMessage> thread, std::size_t first) const;
  ChatAnswer answer(const Prompt& prompt, std::span<const std::uint32_t> begin, const Seen& seen,
                    const std::stop_token& stop, const Progress& progress);
  StoredMessage next_message(std::string_view role) const;

  Engine& engine_;
  ConversationStore* store_;
  ChatSettings settings_;
  std::uint64_t answers_ = 0;  ///< since the seed was set
  std::optional<std::int64_t> conversation_;
  std::string system_prompt_;
  std::vector<StoredMessage> thread_;
  std::size_t first_ = 0;  ///< oldest message that the model still sees
};

}  // namespace glassbox::model
