#pragma once

#include <deque>
#include <functional>
#include <set>

namespace glassbox::app::ui {

/// Hands key events to Dear ImGui so that none is lost or overtaken: ImGui 1.86 looks at each key once a frame, and a
/// key pressed and released between two frames was never down; what is typed before Enter must not come after it.
class KeyQueue {
 public:
  struct Event {
    bool text = false;
    unsigned point = 0;                                    ///< of text
    int key = 0, scancode = 0, action = 0, modifiers = 0;  ///< as GLFW tells them
  };
  void push(const Event& event) { events_.push_back(event); }

  /// Before a frame: gives `apply` the events that one frame can tell apart, in order. True if some are left for the
  /// next.
  bool drain(const std::function<void(const Event&)>& apply);

 private:
  std::deque<Event> events_;
  int pause_ = 0;  ///< frames that text still waits: what a shortcut gives the keyboard to takes it a frame later
};

}  // namespace glassbox::app::ui
