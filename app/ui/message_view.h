#pragma once

#include <memory>
#include <string>

#include "app/ui/frame.h"
#include "app/ui/rich_text.h"
#include "app/ui/text_box.h"
#include "app/ui/token_tint.h"

namespace glassbox::app::ui {

/// What the messages of a conversation share: one selection, one editor, one context menu.
struct ChatContext {
  std::int64_t selected = 0;  ///< message that the selection is in; 0: none
  std::size_t anchor = 0, caret = 0;
  TextRange grabbed;         ///< word or paragraph that a drag began with
  int clicks = 0;            ///< 1: drags characters, 2: words, 3: paragraphs; 0: no button is down
  std::int64_t editing = 0;  ///< message whose text is being edited; 0: none
  TextBox editor;
  std::int64_t menu = 0;  ///< message whose context menu is to open
  std::string menu_link;  ///< address under the pointer then
  TokenTint tint;

  TextRange selection_in(std::int64_t message) const {
    return message == selected ? TextRange{std::min(anchor, caret), std::max(anchor, caret)} : TextRange{};
  }
};

enum class MessageAction : std::uint8_t { copy, regenerate, edit, go_on, previous, next };

/// Whether it makes sense for the message, and now.
bool is_offered(MessageAction action, const live::Message& message);
bool is_possible(MessageAction action, const live::Message& message, const Frame& frame);
void perform(MessageAction action, const live::Message& message, Frame& frame, ChatContext& context);
/// "Regenerate", and the keys that do it on the newest message: "Ctrl+R".
const char* name_of(MessageAction action);
const char* keys_of(MessageAction action);

/// One message: its text, and under it what is known of it and what can be done with it.
class MessageView {
 public:
  /// In pixels: as laid out in that width or, while it has not been, about.
  float height(const live::Message& message, float width, const Frame& frame);
  /// Lays out what is not laid out yet; height() is exact from then on.
  void lay_out(const std::shared_ptr<const live::Message>& message, float width, Frame& frame, ChatContext& context);
  /// Draws it where it was laid out, its upper left corner at `at` on screen. `newest`: its actions are always shown.
  void draw(Frame& frame, ChatContext& context, ImVec2 at, bool newest);
  /// Frees the layout; the height stays.
  void forget();

  bool laid_out() const { return message_ != nullptr; }
  const RichText& text() const { return text_; }
  /// Where the text begins, from the message's upper left corner.
  ImVec2 text_offset() const { return text_at_; }

 private:
  bool is_question() const { return message_->role == "user"; }
  void handle_pointer(Frame& frame, ChatContext& context, ImVec2 at);
  void draw_code_buttons(Frame& frame, ImVec2 at) const;
  void draw_editor(Frame& frame, ChatContext& context, ImVec2 at);
  void draw_footer(Frame& frame, ChatContext& context, ImVec2 at, bool actions);
  std::string facts(const Frame& frame) const;

  std::shared_ptr<const live::Message> message_;  ///< that is laid out; null: none
  RichText text_;
  std::vector<TextMark> marks_;
  const live::Message* marked_ = nullptr;
  std::uint64_t marks_revision_ = 0;
  ImVec2 text_at_;
  float width_ = 0, height_ = 0, body_height_ = 0;
  FontKey font_;
  bool editing_ = false;
};

}  // namespace glassbox::app::ui
