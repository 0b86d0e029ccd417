#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/conversation.h"
#include "model/sqlite.h"

namespace glassbox::model {

// Rows of the conversations' file as structs. Functions that take a Database belong inside a Transaction, except
// read_messages(), which makes its own.

std::string_view name_of(MessageState state);  ///< "complete", "streaming" or "stopped"
std::optional<MessageState> message_state(std::string_view name);

std::int64_t now();  ///< milliseconds since 1970 UTC
/// JSON text; what is not UTF-8 becomes U+FFFD. indent < 0 is one line.
std::string dump(const nlohmann::json& value, int indent = -1);

/// Row of SELECT * FROM conversations.
Conversation read_conversation(const sqlite::Statement& row);
Conversation find_conversation(sqlite::Database& database, std::int64_t conversation);
void require_message(sqlite::Database& database, std::int64_t conversation, std::int64_t message);
/// The rows of a query for messages.*, given one id. What is streaming is put together from its pieces, and called
/// stopped where its writer is dead.
std::vector<StoredMessage> read_messages(sqlite::Database& database, std::string_view sql, std::int64_t id);

/// Adds a row without a leaf; returns its id. The struct's own id is not used.
std::int64_t insert_conversation(sqlite::Database& database, const Conversation& conversation);
/// Adds a row, which becomes its conversation's leaf; returns its id. The struct's own id is not used.
std::int64_t insert_message(sqlite::Database& database, const StoredMessage& message);
/// Ends a streaming message: its pieces become its content.
void fold(sqlite::Database& database, std::int64_t message, MessageState state, const nlohmann::json& stats);
/// Ends, as stopped, the streaming messages whose writer is dead.
void fold_orphans(sqlite::Database& database);

}  // namespace glassbox::model
