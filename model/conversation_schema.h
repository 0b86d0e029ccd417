#pragma once

#include <filesystem>
#include <memory>

#include "model/sqlite.h"

namespace glassbox::model {

/// A lock on one byte of FILE-writers, which the kernel drops with the process that holds it: that tells a streaming
/// message from one whose writer died, without process ids that may be reused. Byte N is held while message N streams,
/// byte 0 while the file is created or migrated.
class WriterLock {
 public:
  /// Waits for byte 0; throws Error if a message's byte is held.
  WriterLock(const std::filesystem::path& database, std::int64_t byte);
  ~WriterLock();
  WriterLock(const WriterLock&) = delete;
  WriterLock& operator=(const WriterLock&) = delete;

  /// True if some process, this one included, holds the byte.
  static bool held(const std::filesystem::path& database, std::int64_t byte);

 private:
  int descriptor_;
};

/// Opens the conversations' file, created or migrated to today's schema. Throws Error, and leaves the file as it is, if
/// it is damaged, of another program or of a newer Glassbox.
std::shared_ptr<sqlite::Database> open_conversations(const std::filesystem::path& file);

}  // namespace glassbox::model
