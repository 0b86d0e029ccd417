#include "gpu/shader_source.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

using Table = std::map<std::string, std::string, std::less<>>;

Table with_overrides() {
  Table table = shader_table();
  const char* directory = std::getenv("GLASSBOX_SHADERS");
  if (!directory || !*directory) return table;
  for (auto& [name, text] : table) {
    std::ifstream file(std::filesystem::path(directory) / name);
    if (!file) continue;
    std::ostringstream contents;
    contents << file.rdbuf();
    text = contents.str();
  }
  return table;
}

}  // namespace

const std::string& shader_source(std::string_view name) {
  static const Table table = with_overrides();
  const auto found = table.find(name);
  require(found != table.end(), "there is no shader named {}", name);
  return found->second;
}

}  // namespace glassbox::gpu
