#include "model/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "gpu/error.h"

namespace glassbox::model {

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path), name_(path.string()) {
  // Non-blocking, so that a pipe is refused below and not waited for.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  require(descriptor >= 0, "{}: cannot be opened: {}", name_, std::strerror(errno));
  struct stat status {};
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const mapped = regular && size > 0 ? ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0) : nullptr;
  const int error = errno;
  ::close(descriptor);
  require(regular, "{}: is not a regular file", name_);
  require(mapped != MAP_FAILED, "{}: cannot be mapped: {}", name_, std::strerror(error));
  if (mapped != nullptr) bytes_ = {static_cast<const std::byte*>(mapped), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

bool MappedFile::contains(std::span<const std::byte> part) const {
  const std::less_equal<const std::byte*> ordered;
  return !part.empty() && ordered(bytes_.data(), part.data()) &&
         ordered(part.data() + part.size(), bytes_.data() + bytes_.size());
}

void MappedFile::release(std::span<const std::byte> part) const {
  if (!contains(part)) return;
  // Whole pages outwards: a neighbour's bytes on a shared page are read again when they are touched.
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = static_cast<std::size_t>(part.data() - bytes_.data()) / page * page;
  const auto end = static_cast<std::size_t>(part.data() - bytes_.data()) + part.size();
  ::madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, MADV_DONTNEED);
}

bool file_exists(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

nlohmann::json parse_json(std::string_view text, std::string_view file) {
  using nlohmann::json;
  std::vector<std::set<std::string>> keys;  // of every object that is still open
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    require(depth <= 64, "{}: its JSON is nested deeper than 64", file);
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      require(keys.back().insert(key).second, "{}: key {} appears twice", file, in_quotes(key));
    }
    return true;
  };
  json root;
  try {
    root = json::parse(text, check);
  } catch (const json::parse_error& error) {
    fail("{}: is not valid JSON (at byte {} of {})", file, error.byte, text.size());
  } catch (const json::exception&) {
    fail("{}: is not valid JSON (a number is out of range)", file);
  }
  require(root.is_object(), "{}: is {}, expected a JSON object", file, root.type_name());
  return root;
}

nlohmann::json read_json(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_json(file.text(), file.name());
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t longest = 96;
  std::string out = "'";
  for (const char c : text.substr(0, longest))
    out += c >= ' ' && c <= '~' ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return out + (text.size() > longest ? "...'" : "'");
}

}  // namespace glassbox::model
