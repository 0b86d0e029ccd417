#pragma once

#include <filesystem>

#include "app/live/snapshot.h"

namespace glassbox::app::ui {

/// Where things are on screen, for tests that use the window as a person does: with GLASSBOX_LANDMARKS=FILE the window
/// writes them there after each frame, with a few facts of the snapshot drawn.
class Landmarks {
 public:
  /// Remembers where ImGui's last item is, under a name; the last of a frame stands. Costs nothing where nobody asked.
  static void mark(const char* name);
  static void mark(const char* name, int index);  ///< "name index"

  static bool wanted();
  /// After each frame: writes beside and renames, so that a reader never sees half.
  static void write(const live::Snapshot& now, std::uint64_t frames);
};

}  // namespace glassbox::app::ui
