#pragma once

#include "app/ui/frame.h"
#include "app/ui/text_edit.h"

namespace glassbox::app::ui {

/// A multi-line text box that wraps, which Dear ImGui's own does not. Enter submits, Shift+Enter breaks the line; the
/// usual keys move, select, cut, copy, paste and undo. It grows with its text up to some lines, then scrolls.
class TextBox {
 public:
  struct Event {
    bool submitted = false;    ///< Enter or Ctrl+Enter
    bool cancelled = false;    ///< Esc
    bool up_in_empty = false;  ///< the arrow, with nothing typed
  };

  TextEdit edit;

  /// Takes the keyboard at the next draw().
  void focus() { focus_ = true; }
  bool focused() const { return focused_; }
  /// That draw() will take, in pixels.
  float height(float width, const Frame& frame, int max_lines);
  Event draw(const char* id, float width, Frame& frame, int max_lines, const char* hint);

 private:
  void wrap(float width, const ImFont& font);
  Event handle_keys(float page);
  void handle_mouse(ImVec2 origin, bool clicked);
  std::size_t position_at_point(ImVec2 at) const;
  ImVec2 caret_point() const;
  void move_lines(int lines, bool select);
  void paint(ImVec2 origin, const Frame& frame) const;

  WrappedText wrapped_;
  std::uint64_t wrapped_revision_ = ~std::uint64_t{0};
  float wrapped_width_ = 0;
  FontKey font_;
  float column_ = -1;  ///< x that up and down keep to; negative: the caret's own
  std::size_t seen_caret_ = 0;
  std::uint64_t seen_revision_ = 0;
  TextRange grabbed_;  ///< word or paragraph that a drag began with
  int clicks_ = 0;
  bool focus_ = false, focused_ = false;
};

}  // namespace glassbox::app::ui
