#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace glassbox::gpu {

/// $XDG_CACHE_HOME/glassbox/NAME (or ~/.cache), created; nothing where it cannot be: caches are never needed.
std::optional<std::filesystem::path> cache_directory(std::string_view name);

/// FNV-1a, 64 bit: the same on every machine and build, unlike std::hash. Names cache files.
constexpr std::uint64_t stable_hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace glassbox::gpu
