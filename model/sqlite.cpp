#include "model/sqlite.h"

#include <cstring>
#include <system_error>

#include "gpu/error.h"

namespace glassbox::model::sqlite {

Database::Database(const std::filesystem::path& file) : file_(file) {
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  handle_.reset(handle);  // there is a handle to close after an error too
  if (code != SQLITE_OK) fail_with(code);
  sqlite3_busy_timeout(handle, 5000);
}

void Database::execute(const std::string& script) {
  if (const int code = sqlite3_exec(handle(), script.c_str(), nullptr, nullptr, nullptr); code != SQLITE_OK)
    fail_with(code);
}

sqlite3_stmt* Database::prepare(std::string_view sql) {
  if (const auto found = statements_.find(sql); found != statements_.end()) return found->second.get();
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(handle(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                      &statement, nullptr);
  if (code != SQLITE_OK) fail_with(code);
  statements_.emplace(sql, statement);
  return statement;
}

void Database::fail_with(int code) const {
  const std::string message = handle_ ? sqlite3_errmsg(handle()) : sqlite3_errstr(code);
  switch (code & 0xff) {  // the low byte is the primary code
    case SQLITE_FULL:
      fail("{}: cannot write, the disk is full; what was stored before is safe", file_.string());
    case SQLITE_READONLY:
      fail("{}: cannot write, the file is read-only", file_.string());
    case SQLITE_BUSY:
      fail("{}: another program has kept it locked for 5 seconds", file_.string());
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      fail("{}: not a readable database ({}); move it away or put a copy in its place", file_.string(), message);
    case SQLITE_IOERR:
      fail("{}: {} ({}); what was stored before is safe", file_.string(), message,
           std::generic_category().message(sqlite3_system_errno(handle())));
    default:
      fail("{}: {}", file_.string(), message);
  }
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code != SQLITE_ROW && code != SQLITE_DONE) database_.fail_with(code);
  return code == SQLITE_ROW;
}

std::optional<std::int64_t> Statement::optional_integer(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
  return integer(column);
}

std::string Statement::text(int column) const {
  const auto* data = sqlite3_column_text(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return data ? std::string(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size)) : std::string();
}

std::vector<std::uint32_t> Statement::words(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  require(size % sizeof(std::uint32_t) == 0, "{}: a token list of {} bytes, expected a multiple of 4",
          database_.file().string(), size);
  std::vector<std::uint32_t> words(size / sizeof(std::uint32_t));
  if (!words.empty()) std::memcpy(words.data(), data, size);
  return words;
}

void Statement::bind(int index, std::int64_t value) { check(sqlite3_bind_int64(statement_, index, value)); }

void Statement::bind(int index, std::optional<std::int64_t> value) {
  check(value ? sqlite3_bind_int64(statement_, index, *value) : sqlite3_bind_null(statement_, index));
}

// A null pointer would bind NULL, not an empty value: hence the "".
void Statement::bind(int index, std::string_view value) {
  const char* data = value.empty() ? "" : value.data();
  check(sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Statement::bind(int index, std::span<const std::uint32_t> value) {
  const void* data = value.empty() ? static_cast<const void*>("") : value.data();
  check(sqlite3_bind_blob64(statement_, index, data, value.size_bytes(), SQLITE_TRANSIENT));
}

void Statement::check(int code) const {
  if (code != SQLITE_OK) database_.fail_with(code);
}

Transaction::Transaction(Database& database, Kind kind) : lock_(database.mutex_), database_(database) {
  run(database_, kind == Kind::write ? "BEGIN IMMEDIATE" : "BEGIN");
}

Transaction::~Transaction() {
  // A full disk makes SQLite roll back by itself; then there is nothing left to end.
  if (!sqlite3_get_autocommit(database_.handle()))
    sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() { run(database_, "COMMIT"); }

}  // namespace glassbox::model::sqlite
