#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "app/ui/frame.h"
#include "app/ui/message_view.h"

namespace glassbox::app::ui {

/// The messages of the thread, one below the other. Only those on screen are laid out; the height of the others is
/// estimated, and what is in view stays where it is when an estimate is corrected. At the end it follows what streams
/// in until one scrolls up.
class MessageList {
 public:
  /// Fills a child window of that height.
  void draw(Frame& frame, ChatContext& context, float height);
  void jump_to_newest() { at_end_ = true; }

 private:
  MessageView& view_of(const live::Message& message) { return views_[message.id]; }
  void place(Frame& frame, ChatContext& context, float width, float view_height, float& scroll);
  void follow_token(const Frame& frame, float view_height, float& scroll);
  void scroll_by_keys(float view_height, float& scroll);
  void handle_keys(Frame& frame, ChatContext& context);
  void draw_menu(Frame& frame, ChatContext& context);
  void draw_jump_button(const Frame& frame, ImVec2 corner, ImVec2 size);

  std::unordered_map<std::int64_t, MessageView> views_;
  std::vector<float> tops_;  ///< of the messages, and where the last one ends
  std::shared_ptr<const live::Thread> thread_;
  std::optional<std::int64_t> conversation_;
  float width_ = 0, total_ = 0, scroll_ = 0 /* that was set last */;
  bool at_end_ = true;
  std::optional<live::TokenPlace> followed_;
  std::int64_t menu_message_ = 0;
};

}  // namespace glassbox::app::ui
