#include "tests/support.h"

namespace glassbox::testing {

std::filesystem::path shared_dir() {
  if (const char* given = std::getenv("GLASSBOX_SHARED")) return given;
  return std::filesystem::path(GLASSBOX_SOURCE_DIR) / ".." / "shared";
}

std::filesystem::path data_dir() { return std::filesystem::path(GLASSBOX_SOURCE_DIR) / "tests" / "data"; }

bool on_ci() { return std::getenv("CI") != nullptr; }

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "glassbox-XXXXXX").string();
  require(mkdtemp(name.data()) != nullptr, "cannot make a temporary directory like {}", name);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace glassbox::testing
