#include "model/conversation_rows.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <set>
#include <utility>

#include "gpu/error.h"
#include "model/conversation_schema.h"

namespace glassbox::model {
namespace {

using nlohmann::json;
using sqlite::Database;
using sqlite::run;
using sqlite::Statement;
using sqlite::Transaction;

constexpr std::array<std::string_view, 3> state_names = {"complete", "streaming", "stopped"};  // MessageState's order

struct Streamed {
  std::string text;
  std::vector<std::uint32_t> tokens;
};

Streamed read_pieces(Database& database, std::int64_t message) {
  Streamed streamed;
  Statement row(database, "SELECT token, text FROM pieces WHERE message = ? ORDER BY position", message);
  while (row.step()) {
    streamed.tokens.push_back(static_cast<std::uint32_t>(row.integer(0)));
    streamed.text += row.text(1);
  }
  return streamed;
}

json parse_stored(const Database& database, const std::string& text) {
  auto value = json::parse(text, nullptr, false);
  require(!value.is_discarded(), "{}: the settings of a message are not JSON", database.file().string());
  return value;
}

/// Row of SELECT messages.*.
StoredMessage read_message(const Database& database, const Statement& row) {
  const auto state = message_state(row.text(6));
  require(state.has_value(), "{}: a message is in the unknown state \"{}\"", database.file().string(), row.text(6));
  return {.id = row.integer(0),
          .conversation = row.integer(1),
          .parent = row.optional_integer(2),
          .role = row.text(3),
          .content = row.text(4),
          .created = row.integer(5),
          .state = *state,
          .tokens = row.words(7),
          .sampling = parse_stored(database, row.text(8)),
          .stats = parse_stored(database, row.text(9))};
}

}  // namespace

std::string_view name_of(MessageState state) { return state_names[static_cast<std::size_t>(state)]; }

std::optional<MessageState> message_state(std::string_view name) {
  const auto found = std::ranges::find(state_names, name);
  if (found == state_names.end()) return std::nullopt;
  return static_cast<MessageState>(found - state_names.begin());
}

std::int64_t now() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::string dump(const json& value, int indent) {
  return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

Conversation read_conversation(const Statement& row) {
  return {.id = row.integer(0),
          .title = row.text(1),
          .model = row.text(2),
          .system_prompt = row.text(3),
          .created = row.integer(4),
          .updated = row.integer(5),
          .removed = row.integer(6) != 0,
          .leaf = row.optional_integer(7)};
}

Conversation find_conversation(Database& database, std::int64_t conversation) {
  Statement row(database, "SELECT * FROM conversations WHERE id = ?", conversation);
  require(row.step(), "{}: there is no conversation {}", database.file().string(), conversation);
  return read_conversation(row);
}

void require_message(Database& database, std::int64_t conversation, std::int64_t message) {
  Statement row(database, "SELECT 1 FROM messages WHERE id = ? AND conversation = ?", message, conversation);
  require(row.step(), "{}: there is no message {} in conversation {}", database.file().string(), message, conversation);
}

std::vector<StoredMessage> read_messages(Database& database, std::string_view sql, std::int64_t id) {
  std::set<std::int64_t> dead;
  for (;;) {
    Transaction transaction(database, Transaction::Kind::read);
    std::vector<StoredMessage> messages;
    for (Statement row(database, sql, id); row.step();) messages.push_back(read_message(database, row));
    bool settled = true;
    for (auto& message : messages) {
      if (message.state != MessageState::streaming) continue;
      auto streamed = read_pieces(database, message.id);
      message.content = std::move(streamed.text);
      message.tokens = std::move(streamed.tokens);
      if (dead.contains(message.id)) {
        message.state = MessageState::stopped;
      } else if (!WriterLock::held(database.file(), message.id)) {
        // Dead, or finished after this transaction began: a second look tells.
        dead.insert(message.id);
        settled = false;
      }
    }
    if (settled) return messages;
  }
}

std::int64_t insert_conversation(Database& database, const Conversation& c) {
  run(database, "INSERT INTO conversations(title, model, system_prompt, created, updated) VALUES(?, ?, ?, ?, ?)",
      c.title, c.model, c.system_prompt, c.created, c.updated);
  return sqlite3_last_insert_rowid(database.handle());
}

std::int64_t insert_message(Database& database, const StoredMessage& m) {
  find_conversation(database, m.conversation);
  if (m.parent) require_message(database, m.conversation, *m.parent);
  run(database,
      "INSERT INTO messages(conversation, parent, role, content, created, state, tokens, sampling, stats) "
      "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
      m.conversation, m.parent, m.role, m.content, m.created, name_of(m.state), m.tokens, dump(m.sampling),
      dump(m.stats));
  const auto id = sqlite3_last_insert_rowid(database.handle());
  run(database, "UPDATE conversations SET leaf = ?, updated = max(updated, ?) WHERE id = ?", id, m.created,
      m.conversation);
  return id;
}

void fold(Database& database, std::int64_t message, MessageState state, const json& stats) {
  const auto streamed = read_pieces(database, message);
  run(database, "UPDATE messages SET content = ?, tokens = ?, state = ?, stats = ? WHERE id = ?", streamed.text,
      streamed.tokens, name_of(state), dump(stats), message);
  run(database, "DELETE FROM pieces WHERE message = ?", message);
}

void fold_orphans(Database& database) {
  Transaction transaction(database, Transaction::Kind::write);  // from here no writer begins or finishes
  std::vector<std::int64_t> streaming;
  for (Statement row(database, "SELECT id FROM messages WHERE state = 'streaming'"); row.step();)
    streaming.push_back(row.integer(0));
  for (const auto message : streaming)
    if (!WriterLock::held(database.file(), message)) fold(database, message, MessageState::stopped, json::object());
  transaction.commit();
}

}  // namespace glassbox::model
