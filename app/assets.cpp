#include "app/assets.h"

#include <cstdlib>

namespace glassbox::app {

std::filesystem::path assets_directory() {
  if (const char* given = std::getenv("GLASSBOX_ASSETS"); given && *given) return given;
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto* place : {"assets", "../../assets", "../../../assets", "../share/glassbox"})
    if (auto directory = program / place; std::filesystem::is_directory(directory, error))
      return std::filesystem::weakly_canonical(directory, error);
  return {};
}

}  // namespace glassbox::app
