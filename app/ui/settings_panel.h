#pragma once

#include "app/ui/preferences.h"

namespace glassbox::app::ui {

/// Sampling with presets, the system prompt of new conversations, looks.
class SettingsPanel {
 public:
  void draw(Frame& frame, Preferences& preferences);

 private:
  static void draw_presets(Frame& frame, Preferences& preferences);
  static void draw_sampling(Frame& frame, Preferences& preferences);
  static void draw_looks(Frame& frame, Preferences& preferences);
};

}  // namespace glassbox::app::ui
