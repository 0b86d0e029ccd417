#include "app/ui/key_queue.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

namespace glassbox::app::ui {
namespace {

bool is_modifier(int key) { return key >= GLFW_KEY_LEFT_SHIFT && key <= GLFW_KEY_RIGHT_SUPER; }

/// Keys that do something besides the text they may type.
bool is_command(const KeyQueue::Event& event) {
  if (event.text || event.action == GLFW_RELEASE || is_modifier(event.key)) return false;
  return event.key >= GLFW_KEY_ESCAPE || (event.modifiers & (GLFW_MOD_CONTROL | GLFW_MOD_ALT | GLFW_MOD_SUPER)) != 0;
}

}  // namespace

bool KeyQueue::drain(const std::function<void(const Event&)>& apply) {
  std::set<int> touched;
  bool typed = false, commanded = false;
  const bool paused = pause_ > 0 && pause_-- > 0;
  while (!events_.empty()) {
    const Event event = events_.front();
    const bool command = is_command(event);
    if (event.text ? commanded || paused : touched.contains(event.key) || (command && (typed || commanded)))
      return true;
    // A modifier let go in the frame of its command would not be seen with it.
    if (!event.text && is_modifier(event.key) && commanded) return true;
    typed |= event.text;
    commanded |= command;
    if (command) pause_ = 2;
    if (!event.text) touched.insert(event.key);
    events_.pop_front();
    apply(event);
  }
  return false;
}

}  // namespace glassbox::app::ui
