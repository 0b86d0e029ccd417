#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace glassbox::model {

/// A file that appears whole or not at all: it is written under another name in the same folder and renamed at the end;
/// without give_name() it is removed again. A device or a pipe is written to, never replaced by a file of its name.
class PartialFile {
 public:
  /// Throws Error naming the target, here and below, for whatever the system refuses.
  explicit PartialFile(const std::filesystem::path& target);
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile();

  void write(std::span<const std::byte> bytes);
  void give_name();

 private:
  void check(bool ok) const;

  std::filesystem::path target_, path_;
  bool in_place_ = false;
  int descriptor_ = -1;
};

}  // namespace glassbox::model
