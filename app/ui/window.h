#pragma once

#include <filesystem>

#include "model/engine.h"

namespace glassbox::app::ui {

struct WindowOptions {
  model::EngineOptions engine;        ///< of the model to open; an empty path opens none
  bool model_given = false;           ///< asked for by name: else the one used last, if it is still there, comes first
  std::filesystem::path store;        ///< conversations.db
  std::filesystem::path preferences;  ///< window.json
};

/// Opens the window and returns when it is closed. Throws Error where there is no display, or no OpenGL ES 3 for it.
void run_window(WindowOptions options);

}  // namespace glassbox::app::ui
