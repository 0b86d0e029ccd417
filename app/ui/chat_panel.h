#pragma once

#include <functional>
#include <memory>

#include "app/ui/frame.h"

namespace glassbox::app::ui {

/// The conversation: header with the tint, the messages, the composer.
class ChatPanel {
 public:
  ChatPanel();
  ~ChatPanel();
  ChatPanel(const ChatPanel&) = delete;
  ChatPanel& operator=(const ChatPanel&) = delete;

  /// Asks the window for its dialog to open a model; where unset the empty state only says how.
  std::function<void()> open_model;

  void draw(Frame& frame);
  /// Puts the caret into the composer: after Ctrl+N, a dialog, a switch of conversations.
  void focus_composer();
  /// Esc leaves the editor of a question: it is not to stop the answer.
  bool takes_escape() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glassbox::app::ui
