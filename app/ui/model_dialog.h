#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "app/ui/preferences.h"

namespace glassbox::app::ui {

/// Opens a model: those used lately, those that come with the program, or by walking the folders.
class ModelDialog {
 public:
  void open() { wanted_ = true; }
  /// `chosen` gets the path of a .gguf file or of a directory in Hugging Face layout.
  void draw(Frame& frame, Preferences& preferences, const std::function<void(const std::filesystem::path&)>& chosen);

 private:
  struct Entry {
    std::filesystem::path path;
    std::string label;
    bool model = false;
  };
  void list(const std::filesystem::path& directory);

  bool wanted_ = false;
  std::filesystem::path directory_;
  std::string typed_, error_;
  std::vector<Entry> entries_;
  std::vector<std::filesystem::path> bundled_;
};

/// Whether open_model() could want it, by its looks: a .gguf file, or a directory with a config.json.
bool looks_like_model(const std::filesystem::path& path);

}  // namespace glassbox::app::ui
