#pragma once

#include <array>
#include <optional>
#include <string>

#include "app/ui/frame.h"

namespace glassbox::app::ui {

/// The conversations: new, search, open, rename, delete with undo, export and import.
class HistoryPanel {
 public:
  void draw(Frame& frame);
  /// Ctrl+K.
  void focus_search() { focus_search_ = true; }
  /// Ctrl+N and the button; `system_prompt` for the conversation that begins.
  static void begin_new(Frame& frame, const std::string& system_prompt);
  std::string system_prompt;  ///< of new conversations: the settings panel's

 private:
  void draw_entry(Frame& frame, const model::Conversation& conversation);
  void draw_menu(Frame& frame, const model::Conversation& conversation);
  void draw_file_popup(Frame& frame);

  bool focus_search_ = false;
  std::string search_;
  std::optional<std::int64_t> renaming_;
  std::string title_;
  bool focus_rename_ = false;
  std::optional<std::int64_t> exporting_;
  bool open_export_ = false, open_import_ = false;
  std::string file_;
};

}  // namespace glassbox::app::ui
