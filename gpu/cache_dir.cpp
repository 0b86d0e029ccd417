#include "gpu/cache_dir.h"

#include <cstdlib>

namespace glassbox::gpu {

std::optional<std::filesystem::path> cache_directory(std::string_view name) {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path root;
  if (cache && *cache == '/')
    root = cache;
  else if (home && *home)
    root = std::filesystem::path(home) / ".cache";
  else
    return std::nullopt;
  root = root / "glassbox" / name;
  std::error_code error;
  std::filesystem::create_directories(root, error);
  if (error) return std::nullopt;
  return root;
}

}  // namespace glassbox::gpu
