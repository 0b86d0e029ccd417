#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace glassbox::model::sqlite {

/// An open SQLite file with its prepared statements, for one thread at a time: a Transaction holds the mutex. Every
/// SQLite error is thrown as an Error of one line that names the file.
class Database {
 public:
  /// Opens or creates; a write-protected file opens for reading. Waits up to 5 s where another process holds a lock.
  explicit Database(const std::filesystem::path& file);

  const std::filesystem::path& file() const { return file_; }
  sqlite3* handle() const { return handle_.get(); }

  /// Runs statements that give no rows.
  void execute(const std::string& script);
  /// The prepared statement of this text, made at its first use.
  sqlite3_stmt* prepare(std::string_view sql);
  /// Throws the Error for an SQLite result code.
  [[noreturn]] void fail_with(int code) const;

 private:
  friend class Transaction;
  template <auto release>
  struct Release {
    void operator()(auto* handle) const { release(handle); }
  };

  std::filesystem::path file_;
  std::mutex mutex_;
  std::unique_ptr<sqlite3, Release<sqlite3_close>> handle_;
  // After handle_, so that the statements go first.
  std::map<std::string, std::unique_ptr<sqlite3_stmt, Release<sqlite3_finalize>>, std::less<>> statements_;
};

/// One use of a prepared statement: bound when made, reset when it goes. Two uses of the same text must not overlap.
class Statement {
 public:
  template <class... Values>
  Statement(Database& database, std::string_view sql, const Values&... values)
      : database_(database), statement_(database.prepare(sql)) {
    int index = 0;
    (bind(++index, values), ...);
  }
  ~Statement() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  /// True if there is a row to read.
  bool step();

  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::optional<std::int64_t> optional_integer(int column) const;
  std::string text(int column) const;
  std::vector<std::uint32_t> words(int column) const;  ///< a blob of uint32 as bind() writes it

 private:
  void bind(int index, std::int64_t value);
  void bind(int index, std::optional<std::int64_t> value);
  void bind(int index, std::string_view value);
  void bind(int index, std::span<const std::uint32_t> value);  ///< little-endian, as all our hosts are
  void check(int code) const;

  Database& database_;
  sqlite3_stmt* statement_;
};

/// Runs a statement that changes rows.
template <class... Values>
void run(Database& database, std::string_view sql, const Values&... values) {
  Statement(database, sql, values...).step();
}

/// A transaction and the right to use the connection: whatever is not committed is rolled back. write waits for the
/// write lock at once, so that it can't fail half way against another process; read sees one state of the file.
class Transaction {
 public:
  enum class Kind { read, write };
  Transaction(Database& database, Kind kind);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  void commit();

 private:
  std::lock_guard<std::mutex> lock_;
  Database& database_;
};

}  // namespace glassbox::model::sqlite
