#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "app/ui/text_wrap.h"

namespace glassbox::app::ui {

/// Text under a caret: what a text box does, without its looks. The text is always valid UTF-8 with "\n" for line
/// breaks; positions are bytes and stand between characters.
class TextEdit {
 public:
  const std::string& text() const { return text_; }
  bool empty() const { return text_.empty(); }
  std::size_t caret() const { return caret_; }
  TextRange selection() const;
  std::string_view selected() const;
  std::uint64_t revision() const { return revision_; }  ///< grows with each change of the text

  /// Replaces all, with the caret at the end and nothing to undo.
  void reset(std::string_view text);
  /// In place of the selection. Bytes that are not UTF-8 become U+FFFD, "\r\n" and "\r" a line break.
  void insert(std::string_view text);
  enum class Reach { character, word };
  void erase_before(Reach reach);  ///< the selection, where there is one
  void erase_after(Reach reach);

  /// `select`: the selection grows or shrinks to there instead of vanishing.
  void move_to(std::size_t position, bool select);
  void select(TextRange range);
  void select_all() { select({0, text_.size()}); }
  std::size_t before(Reach reach) const;  ///< where a step to the left leads
  std::size_t after(Reach reach) const;

  void undo();
  void redo();

 private:
  struct Change {
    std::size_t at;
    std::string removed, inserted;
    bool typed;  ///< a character by hand: the next one typed joins it
  };
  void replace(TextRange range, std::string inserted, bool typed);
  void apply(std::size_t at, std::size_t removed, std::string_view inserted);

  std::string text_;
  std::size_t caret_ = 0, anchor_ = 0;
  std::vector<Change> done_, undone_;
  std::uint64_t revision_ = 0;
};

}  // namespace glassbox::app::ui
