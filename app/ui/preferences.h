#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/ui/frame.h"

namespace glassbox::app::ui {

/// What the window remembers between runs, in window.json of the configuration directory.
struct Preferences {
  int width = 1280, height = 800;
  bool maximized = false;
  float zoom = 1;  ///< on top of the display's own scale
  Theme theme = Theme::dark;
  Tint tint = Tint::none;
  bool sidebar = true, inspector = true;
  float sidebar_width = 250, inspector_width = 540;  ///< units of layout
  std::string panel = "Token";                       ///< of the inspector
  std::vector<std::string> recent_models;            ///< latest first
  std::int64_t conversation = 0;                     ///< on screen; 0: none
  std::string system_prompt;
  model::ChatSettings settings;
  live::Watching watching;

  /// The defaults where there is no file or it is damaged: a window must open. Fields that are missing or of another
  /// type keep their default.
  static Preferences load(const std::filesystem::path& file);
  /// Written beside and renamed. Throws Error where it cannot be.
  void save(const std::filesystem::path& file) const;
  void remember_model(const std::string& path);
};

}  // namespace glassbox::app::ui
