#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

namespace glassbox::model {

/// A whole file mapped read-only: pages come in from disk when they are touched, and may be given back.
class MappedFile {
 public:
  /// Throws Error where the path is absent, unreadable or not a regular file. An empty file maps to no bytes.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  const std::filesystem::path& path() const { return path_; }
  /// The path as error messages name it.
  const std::string& name() const { return name_; }

  /// True where `part` lies within bytes().
  bool contains(std::span<const std::byte> part) const;
  /// Drops the pages of `part` from memory (madvise MADV_DONTNEED): weights that the device holds need not stay
  /// resident here too. The bytes stay valid and come back from disk when touched.
  void release(std::span<const std::byte> part) const;

 private:
  std::filesystem::path path_;
  std::string name_;
  std::span<const std::byte> bytes_;
};

/// False also where the folder cannot be searched: opening it then says why.
bool file_exists(const std::filesystem::path& path);

/// The JSON object that `text` spells; `file` is for messages only. Throws Error for malformed JSON, a key that appears
/// twice in one object, nesting deeper than 64, and anything but an object.
nlohmann::json parse_json(std::string_view text, std::string_view file);
/// parse_json of a whole file.
nlohmann::json read_json(const std::filesystem::path& path);

/// `text` in single quotes for a message: bytes outside printable ASCII as \xNN, and cut after 96. What a file says
/// its tensors and keys are called must not break the one line that an error is.
std::string in_quotes(std::string_view text);

}  // namespace glassbox::model
