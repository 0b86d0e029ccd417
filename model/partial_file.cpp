#include "model/partial_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "gpu/error.h"

namespace glassbox::model {

PartialFile::PartialFile(const std::filesystem::path& target)
    : target_(target), path_(target.string() + ".partial-" + std::to_string(::getpid())) {
  std::error_code ignored;
  in_place_ = std::filesystem::exists(target, ignored) && !std::filesystem::is_regular_file(target, ignored);
  if (in_place_) path_ = target_;
  descriptor_ =
      ::open(path_.c_str(), in_place_ ? O_WRONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  check(descriptor_ >= 0);
}

PartialFile::~PartialFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!in_place_) ::unlink(path_.c_str());
}

void PartialFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    check(written >= 0);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void PartialFile::give_name() {
  if (!in_place_) {
    check(::fsync(descriptor_) == 0);  // some file systems report a full disk only here
    check(::rename(path_.c_str(), target_.c_str()) == 0);
  }
  ::close(std::exchange(descriptor_, -1));
}

void PartialFile::check(bool ok) const {
  require(ok, "{}: cannot be written: {}", target_.string(), std::strerror(errno));
}

}  // namespace glassbox::model
