#include "model/conversation.h"

#include <utility>

#include "gpu/error.h"
#include "model/conversation_rows.h"
#include "model/conversation_schema.h"
#include "model/sqlite.h"
#include "model/xdg.h"

namespace glassbox::model {

using nlohmann::json;
using sqlite::run;
using sqlite::Statement;
using sqlite::Transaction;
using Kind = Transaction::Kind;

AnswerWriter::AnswerWriter(std::shared_ptr<sqlite::Database> database, std::int64_t message,
                           std::unique_ptr<WriterLock> lock)
    : database_(std::move(database)), message_(message), lock_(std::move(lock)) {}

AnswerWriter::AnswerWriter(AnswerWriter&&) noexcept = default;

AnswerWriter::~AnswerWriter() {
  if (!database_) return;
  try {
    finish(MessageState::stopped, json::object());
  } catch (const Error&) {
    // Without its lock the message reads as stopped, and the next start folds it.
  }
}

void AnswerWriter::append(std::uint32_t token, std::string_view text) {
  require(database_ != nullptr, "message {} is finished: nothing can be appended", message_);
  Transaction transaction(*database_, Kind::write);
  run(*database_, "INSERT INTO pieces(message, position, token, text) VALUES(?, ?, ?, ?)", message_, position_,
      std::int64_t{token}, text);
  transaction.commit();
  ++position_;
}

void AnswerWriter::finish(MessageState state, const json& stats) {
  require(database_ != nullptr, "message {} is finished already", message_);
  require(state != MessageState::streaming, "message {} must be finished as complete or stopped, not as streaming",
          message_);
  {
    Transaction transaction(*database_, Kind::write);
    fold(*database_, message_, state, stats);
    transaction.commit();
  }
  lock_ = nullptr;
  database_ = nullptr;
}

ConversationStore::ConversationStore(const std::filesystem::path& file) : database_(open_conversations(file)) {
  try {
    fold_orphans(*database_);
  } catch (const Error&) {
    // A read-only file or a full disk must not keep anyone from reading: orphans read as stopped without this, too.
  }
}

std::filesystem::path ConversationStore::default_path() { return data_home() / "conversations.db"; }

std::int64_t ConversationStore::create(std::string_view title, std::string_view model, std::string_view system_prompt) {
  Transaction transaction(*database_, Kind::write);
  const auto time = now();
  const auto id = insert_conversation(*database_, {.title = std::string(title),
                                                   .model = std::string(model),
                                                   .system_prompt = std::string(system_prompt),
                                                   .created = time,
                                                   .updated = time});
  transaction.commit();
  return id;
}

Conversation ConversationStore::conversation(std::int64_t conversation) const {
  Transaction transaction(*database_, Kind::read);
  return find_conversation(*database_, conversation);
}

std::vector<Conversation> ConversationStore::list(std::size_t limit, std::string_view search) const {
  Transaction transaction(*database_, Kind::read);
  std::vector<Conversation> found;
  // instr, not LIKE: what is searched for may hold % and _.
  Statement row(*database_,
                "SELECT * FROM conversations c WHERE removed = 0 AND (instr(lower(title), lower(?1)) OR EXISTS("
                "SELECT 1 FROM messages WHERE conversation = c.id AND instr(lower(content), lower(?1)))) "
                "ORDER BY updated DESC, id DESC",
                search);
  while (found.size() < limit && row.step()) found.push_back(read_conversation(row));
  return found;
}

void ConversationStore::rename(std::int64_t conversation, std::string_view title) {
  Transaction transaction(*database_, Kind::write);
  find_conversation(*database_, conversation);
  run(*database_, "UPDATE conversations SET title = ? WHERE id = ?", title, conversation);
  transaction.commit();
}

void ConversationStore::set_removed(std::int64_t conversation, bool removed) {
  Transaction transaction(*database_, Kind::write);
  find_conversation(*database_, conversation);
  run(*database_, "UPDATE conversations SET removed = ? WHERE id = ?", std::int64_t{removed}, conversation);
  transaction.commit();
}

void ConversationStore::remove(std::int64_t conversation) { set_removed(conversation, true); }
void ConversationStore::restore(std::int64_t conversation) { set_removed(conversation, false); }

std::int64_t ConversationStore::add_message(std::int64_t conversation, std::optional<std::int64_t> parent,
                                            std::string_view role, std::string_view content,
                                            std::span<const std::uint32_t> tokens) {
  Transaction transaction(*database_, Kind::write);
  const auto id = insert_message(*database_, {.conversation = conversation,
                                              .parent = parent,
                                              .role = std::string(role),
                                              .content = std::string(content),
                                              .created = now(),
                                              .state = MessageState::complete,
                                              .tokens = {tokens.begin(), tokens.end()},
                                              .sampling = json::object(),
                                              .stats = json::object()});
  transaction.commit();
  return id;
}

AnswerWriter ConversationStore::begin_answer(std::int64_t conversation, std::optional<std::int64_t> parent,
                                             const json& sampling) {
  Transaction transaction(*database_, Kind::write);
  const auto id = insert_message(*database_, {.conversation = conversation,
                                              .parent = parent,
                                              .role = "assistant",
                                              .created = now(),
                                              .state = MessageState::streaming,
                                              .sampling = sampling,
                                              .stats = json::object()});
  // Locked before anyone can see the message, so that it is never taken for a dead process's.
  auto lock = std::make_unique<WriterLock>(database_->file(), id);
  transaction.commit();
  return {database_, id, std::move(lock)};
}

std::vector<StoredMessage> ConversationStore::thread(std::int64_t conversation) const {
  this->conversation(conversation);  // throws if there is none
  // A parent is older than its children: ids order the path.
  return read_messages(*database_,
                       "WITH RECURSIVE path(id, parent) AS ("
                       "SELECT id, parent FROM messages WHERE id = (SELECT leaf FROM conversations WHERE id = ?) UNION "
                       "SELECT m.id, m.parent FROM messages m JOIN path ON m.id = path.parent) "
                       "SELECT messages.* FROM messages JOIN path ON messages.id = path.id ORDER BY messages.id",
                       conversation);
}

std::vector<StoredMessage> ConversationStore::children(std::int64_t message) const {
  return read_messages(*database_,
                       "SELECT * FROM messages WHERE conversation = (SELECT conversation FROM messages WHERE id = ?1) "
                       "AND parent = ?1 ORDER BY id",
                       message);
}

std::vector<StoredMessage> ConversationStore::roots(std::int64_t conversation) const {
  this->conversation(conversation);  // throws if there is none
  return read_messages(*database_, "SELECT * FROM messages WHERE conversation = ? AND parent IS NULL ORDER BY id",
                       conversation);
}

void ConversationStore::set_leaf(std::int64_t conversation, std::int64_t message) {
  Transaction transaction(*database_, Kind::write);
  require_message(*database_, conversation, message);
  run(*database_, "UPDATE conversations SET leaf = ? WHERE id = ?", message, conversation);
  transaction.commit();
}

}  // namespace glassbox::model
