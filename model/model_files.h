#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "model/config.h"
#include "model/vocabulary.h"
#include "model/weights.h"

namespace glassbox::model {

/// Everything that a model's files say, before any of it is on a device.
struct ModelFiles {
  std::string name;  ///< the directory's, or GGUF's general.name
  ModelConfig config;
  Weights weights;
  std::optional<std::filesystem::path> tokenizer_path;  ///< tokenizer.model, where the directory has one
  std::optional<Vocabulary> vocabulary;                 ///< GGUF's
  std::string chat_template;                            ///< Jinja; empty where the model has none
};

/// Opens a directory in Hugging Face layout (config.json beside model.safetensors, or beside
/// model.safetensors.index.json and its shards), a .safetensors file of such a directory, or a .gguf file. Weights are
/// mapped, not read; weights.file_bytes() is what they take on disk. Throws Error naming the path where there is no
/// model, and whatever the readers of the parts throw.
ModelFiles open_model(const std::filesystem::path& path);

}  // namespace glassbox::model
