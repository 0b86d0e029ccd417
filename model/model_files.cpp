#include "model/model_files.h"

#include <nlohmann/json.hpp>

#include "gpu/error.h"
#include "model/gguf.h"
#include "model/safetensors.h"

namespace glassbox::model {
namespace {

/// chat_template.jinja where there is one; else tokenizer_config.json's chat_template, which is a template or a list of
/// named ones.
std::string read_chat_template(const std::filesystem::path& directory) {
  if (const auto path = directory / "chat_template.jinja"; file_exists(path))
    return std::string(MappedFile(path).text());
  const auto path = directory / "tokenizer_config.json";
  if (!file_exists(path)) return "";
  const nlohmann::json config = read_json(path);
  const auto given = config.find("chat_template");
  if (given == config.end() || given->is_null()) return "";
  if (given->is_string()) return given->get<std::string>();
  require(given->is_array(), "{}: chat_template is neither a string nor a list", path.string());
  for (const auto& named : *given)
    if (named.is_object() && named.value("name", nlohmann::json()) == "default" && named.contains("template") &&
        named["template"].is_string())
      return named["template"].get<std::string>();
  return "";
}

ModelFiles open_gguf(const std::filesystem::path& path) {
  const auto gguf = Gguf::open(path);
  gguf.require_model();
  return {.name = gguf.find<std::string>("general.name").value_or(path.stem().string()),
          .config = config_from_gguf(gguf),
          .weights = gguf.weights(),
          .tokenizer_path = {},
          .vocabulary = gguf.vocabulary(),
          .chat_template = gguf.chat_template()};
}

/// `weights` is the .safetensors file, or the index of the shards.
ModelFiles open_hugging_face(const std::filesystem::path& directory, const std::filesystem::path& weights) {
  // "models/x/" and "." have no filename of their own.
  const auto absolute = std::filesystem::absolute(directory).lexically_normal();
  const auto named = absolute.has_filename() ? absolute : absolute.parent_path();
  const auto tokenizer = directory / "tokenizer.model";
  return {.name = named.filename().string(),
          .config = config_from_hugging_face(directory),
          .weights = load_safetensors(weights),
          .tokenizer_path = file_exists(tokenizer) ? std::optional(tokenizer) : std::nullopt,
          .vocabulary = {},
          .chat_template = read_chat_template(directory)};
}

}  // namespace

ModelFiles open_model(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const auto status = fs::status(path, error);
  require(!path.empty() && fs::exists(status), "{}: there is no such file or directory", path.string());
  if (fs::is_directory(status)) {
    require(file_exists(path / "config.json"), "{}: is no model: it has no config.json", path.string());
    for (const char* name : {"model.safetensors", "model.safetensors.index.json"})
      if (file_exists(path / name)) return open_hugging_face(path, path / name);
    fail("{}: has neither model.safetensors nor model.safetensors.index.json", path.string());
  }
  const MappedFile file(path);
  require(!file.bytes().empty(), "{}: is empty, expected a model", path.string());
  // By content too: hub caches store files under their hashes.
  if (path.extension() == ".gguf" || file.text().starts_with("GGUF")) return open_gguf(path);
  require(path.extension() == ".safetensors",
          "{}: is no model, expected a directory with config.json, a .safetensors or a .gguf file", path.string());
  return open_hugging_face(path.has_parent_path() ? path.parent_path() : ".", path);
}

}  // namespace glassbox::model
