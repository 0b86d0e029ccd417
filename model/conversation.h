#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace glassbox::model {

namespace sqlite {
class Database;
}
class WriterLock;

struct Conversation {
  std::int64_t id;
  std::string title, model, system_prompt;
  std::int64_t created, updated;     ///< milliseconds since 1970 UTC; updated is the last message's
  bool removed;                      ///< hidden from list() until restore()
  std::optional<std::int64_t> leaf;  ///< the message the current branch ends with; none while there is no message
};

/// streaming: another part of this or another live process is writing it; stopped: ended early, by a person or a crash.
enum class MessageState { complete, streaming, stopped };

struct StoredMessage {
  std::int64_t id;
  std::int64_t conversation;
  std::optional<std::int64_t> parent;  ///< none for the first of a branch
  std::string role;                    ///< "user", "assistant", ...
  std::string content;
  std::int64_t created;  ///< milliseconds since 1970 UTC
  MessageState state;
  std::vector<std::uint32_t> tokens;  ///< of an answer; may be empty for other roles
  nlohmann::json sampling;            ///< settings of an answer, {} for others
  nlohmann::json stats;               ///< tokens/s, time to first token ..., {} where unknown
};

/// Stores one answer as it streams. Each append() is in the file when it returns: a process that is killed loses at
/// most the token in flight, a machine that loses power the last moments. Keeps the file open on its own, so it may
/// outlive its store; one thread at a time.
class AnswerWriter {
 public:
  AnswerWriter(AnswerWriter&&) noexcept;
  AnswerWriter& operator=(AnswerWriter&&) = delete;
  ~AnswerWriter();  ///< an answer that was not finished is stopped

  std::int64_t message() const { return message_; }
  /// Adds a token and the text it completes (may be empty). Costs the same however long the answer is.
  void append(std::uint32_t token, std::string_view text);
  /// Ends the answer: state is complete or stopped. Nothing may follow. After an Error it can be tried again; if it
  /// never succeeds, the message reads as stopped with all that was appended.
  void finish(MessageState state, const nlohmann::json& stats);

 private:
  friend class ConversationStore;
  AnswerWriter(std::shared_ptr<sqlite::Database> database, std::int64_t message, std::unique_ptr<WriterLock> lock);

  std::shared_ptr<sqlite::Database> database_;  ///< null once finished
  std::int64_t message_;
  std::int64_t position_ = 0;  ///< tokens appended
  std::unique_ptr<WriterLock> lock_;
};

/// The conversations of one SQLite file (WAL, synchronous=NORMAL). Messages form a tree in each conversation: an edited
/// question or a regenerated answer is a sibling, and a thread is the path from a root to the current leaf. Several
/// threads and processes may use one file at once. Every function throws Error, on one line that names the file, where
/// the disk is full, the file is read-only, locked or damaged, or an id does not exist; then nothing was changed.
class ConversationStore {
 public:
  /// Opens or creates the file; its folder must exist. Answers that a dead process left streaming become stopped.
  /// Throws Error, and leaves the file as it is, if it is damaged, of another program or of a newer Glassbox.
  explicit ConversationStore(const std::filesystem::path& file);
  /// conversations.db in data_home().
  static std::filesystem::path default_path();

  std::int64_t create(std::string_view title, std::string_view model, std::string_view system_prompt);
  Conversation conversation(std::int64_t conversation) const;
  /// Those not removed, last updated first, at most `limit`. `search` must occur in the title or in a message, letters
  /// A-Z in either case; "" matches all.
  std::vector<Conversation> list(std::size_t limit, std::string_view search = "") const;
  void rename(std::int64_t conversation, std::string_view title);
  void remove(std::int64_t conversation);   ///< hides it; nothing is lost
  void restore(std::int64_t conversation);  ///< undoes remove()

  /// Adds a complete message below `parent` (none: a first message), which becomes the leaf. Returns its id.
  std::int64_t add_message(std::int64_t conversation, std::optional<std::int64_t> parent, std::string_view role,
                           std::string_view content, std::span<const std::uint32_t> tokens = {});
  /// Adds an empty, streaming message of role "assistant", which becomes the leaf.
  AnswerWriter begin_answer(std::int64_t conversation, std::optional<std::int64_t> parent,
                            const nlohmann::json& sampling);

  /// The messages from the root to the current leaf.
  std::vector<StoredMessage> thread(std::int64_t conversation) const;
  /// The answers or questions that follow a message, oldest first.
  std::vector<StoredMessage> children(std::int64_t message) const;
  /// The first messages of a conversation's branches, oldest first.
  std::vector<StoredMessage> roots(std::int64_t conversation) const;
  void set_leaf(std::int64_t conversation, std::int64_t message);

  /// The conversation with all its branches as JSON, indented by 2. Text that is not UTF-8 gets U+FFFD in its place.
  std::string export_json(std::int64_t conversation) const;
  /// Adds what export_json() wrote as a new conversation; returns its id. Throws Error naming the field that is wrong.
  std::int64_t import_json(std::string_view text);

 private:
  void set_removed(std::int64_t conversation, bool removed);

  std::shared_ptr<sqlite::Database> database_;
};

}  // namespace glassbox::model
