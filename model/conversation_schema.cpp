#include "model/conversation_schema.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

#include "gpu/error.h"

namespace glassbox::model {
namespace {

using sqlite::Database;
using sqlite::Statement;
using sqlite::Transaction;

constexpr std::int64_t application_id = 0x474C4258;  // "GLBX" in the file's header: this file is ours

/// migrations[n] takes a file from version n to n + 1. What was released is never edited, only followed.
constexpr std::array migrations = {
    R"(
CREATE TABLE conversations(
  id INTEGER PRIMARY KEY, title TEXT NOT NULL, model TEXT NOT NULL, system_prompt TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, removed INTEGER NOT NULL DEFAULT 0,
  leaf INTEGER REFERENCES messages(id)) STRICT;
CREATE INDEX conversations_by_update ON conversations(removed, updated);
CREATE TABLE messages(
  id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL REFERENCES conversations(id),
  parent INTEGER REFERENCES messages(id), role TEXT NOT NULL, content TEXT NOT NULL, created INTEGER NOT NULL,
  state TEXT NOT NULL CHECK(state IN ('complete', 'streaming', 'stopped')),
  tokens BLOB NOT NULL, sampling TEXT NOT NULL, stats TEXT NOT NULL) STRICT;
CREATE INDEX messages_by_parent ON messages(conversation, parent);
CREATE INDEX messages_streaming ON messages(state) WHERE state = 'streaming';
-- What a streaming message has so far, a row a token; folded into the message at its end.
CREATE TABLE pieces(
  message INTEGER NOT NULL REFERENCES messages(id), position INTEGER NOT NULL, token INTEGER NOT NULL,
  text TEXT NOT NULL, PRIMARY KEY(message, position)) STRICT, WITHOUT ROWID;
)"};

std::filesystem::path lock_file(const std::filesystem::path& database) {
  auto path = database;
  return path += "-writers";
}

struct flock byte_range(std::int64_t byte) {
  return {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1, .l_pid = 0};
}

std::int64_t integer(Database& database, std::string_view sql) {
  Statement statement(database, sql);
  statement.step();
  return statement.integer(0);
}

/// The schema's version, 0 for a new file. Reads only.
std::int64_t checked_version(Database& database) {
  const auto file = database.file().string();
  {
    Statement check(database, "PRAGMA quick_check(1)");
    require(check.step() && check.text(0) == "ok",
            "{}: damaged (SQLite's quick_check fails) and left as it is; move it away or put a copy in its place",
            file);
  }
  const auto version = integer(database, "PRAGMA user_version");
  const bool empty = integer(database, "SELECT count(*) FROM sqlite_schema") == 0;
  require((empty && version == 0) || integer(database, "PRAGMA application_id") == application_id,
          "{}: a database of another program, not Glassbox's conversations", file);
  require(version >= 0 && version <= std::ssize(migrations),
          "{}: written by a newer Glassbox (version {} of the file, this one knows {})", file, version,
          migrations.size());
  return version;
}

void migrate(Database& database) {
  const WriterLock creating(database.file(), 0);
  database.execute("PRAGMA journal_mode = WAL");
  Transaction transaction(database, Transaction::Kind::write);
  const auto version = integer(database, "PRAGMA user_version");  // another process may have been faster
  for (auto next = static_cast<std::size_t>(version); next < migrations.size(); ++next)
    database.execute(migrations[next]);
  database.execute(
      fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", application_id, migrations.size()));
  transaction.commit();
}

}  // namespace

WriterLock::WriterLock(const std::filesystem::path& database, std::int64_t byte)
    : descriptor_(open(lock_file(database).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
  // Locks of the open file description, not of the process: two stores in one process see each other's.
  auto range = byte_range(byte);
  int result = -1;
  if (descriptor_ >= 0) {
    do {
      result = fcntl(descriptor_, byte == 0 ? F_OFD_SETLKW : F_OFD_SETLK, &range);
    } while (result < 0 && errno == EINTR);
  }
  if (result == 0) return;
  const auto reason = std::generic_category().message(errno);
  if (descriptor_ >= 0) close(descriptor_);
  fail("{}: cannot lock: {}", lock_file(database).string(), reason);
}

WriterLock::~WriterLock() { close(descriptor_); }

bool WriterLock::held(const std::filesystem::path& database, std::int64_t byte) {
  const int descriptor = open(lock_file(database).c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;  // no writer ever was
  auto range = byte_range(byte);
  const bool held = fcntl(descriptor, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
  close(descriptor);
  return held;
}

std::shared_ptr<Database> open_conversations(const std::filesystem::path& file) {
  auto database = std::make_shared<Database>(file);
  // Until the file is known to be ours and sound, closing it must not write a leftover WAL into it.
  sqlite3_db_config(database->handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  if (checked_version(*database) < std::ssize(migrations)) migrate(*database);
  sqlite3_db_config(database->handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  database->execute("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
  return database;
}

}  // namespace glassbox::model
