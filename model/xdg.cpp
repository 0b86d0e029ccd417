#include "model/xdg.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "gpu/error.h"

namespace glassbox::model {
namespace {

/// The variable's value if it is an absolute path: the specification says to ignore others.
std::filesystem::path absolute_path_in(const char* variable) {
  const char* value = std::getenv(variable);
  const std::filesystem::path path = value ? value : "";
  return path.is_absolute() ? path : "";
}

/// mkdir -p, but private: std::filesystem::create_directories would leave the mode to the umask.
void make_private_directories(const std::filesystem::path& path) {
  std::filesystem::path made;
  for (const auto& part : path) {
    made /= part;
    std::error_code error;
    if (std::filesystem::is_directory(made, error)) continue;
    if (mkdir(made.c_str(), 0700) != 0) {
      const auto reason = std::generic_category().message(errno);
      // Another process may have made it in between.
      require(std::filesystem::is_directory(made, error), "cannot create the directory {}: {}", made.string(), reason);
    }
  }
}

std::filesystem::path home(const char* variable, const char* fallback) {
  auto base = absolute_path_in(variable);
  if (base.empty()) {
    const auto user = absolute_path_in("HOME");
    require(!user.empty(), "neither {} nor HOME is set to an absolute path: nowhere to keep Glassbox's files",
            variable);
    base = user / fallback;
  }
  base /= "glassbox";
  make_private_directories(base);
  return base;
}

}  // namespace

std::filesystem::path data_home() { return home("XDG_DATA_HOME", ".local/share"); }
std::filesystem::path cache_home() { return home("XDG_CACHE_HOME", ".cache"); }
std::filesystem::path config_home() { return home("XDG_CONFIG_HOME", ".config"); }

}  // namespace glassbox::model
