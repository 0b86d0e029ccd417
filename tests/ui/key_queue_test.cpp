#include "app/ui/key_queue.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>
#include <gmock/gmock.h>

#include <string>
#include <vector>

namespace glassbox::app::ui {
namespace {

using ::testing::ElementsAre;

/// Which events each frame got: text as itself, presses as +key, releases as -key.
std::vector<std::string> frames(KeyQueue& queue) {
  std::vector<std::string> list;
  bool more = true;
  while (more) {
    std::string got;
    more = queue.drain([&](const KeyQueue::Event& event) {
      got += event.text ? std::string(1, static_cast<char>(event.point))
                        : std::string(event.action == GLFW_PRESS ? "+" : "-") + std::to_string(event.key);
    });
    list.push_back(got);
  }
  return list;
}
KeyQueue::Event press(int key, int modifiers = 0) { return {.key = key, .action = GLFW_PRESS, .modifiers = modifiers}; }
KeyQueue::Event release(int key, int modifiers = 0) {
  return {.key = key, .action = GLFW_RELEASE, .modifiers = modifiers};
}
KeyQueue::Event text(char c) { return {.text = true, .point = static_cast<unsigned>(c)}; }

TEST(KeyQueue, AKeyPressedAndReleasedIsDownForAFrame) {
  KeyQueue queue;
  queue.push(press(GLFW_KEY_ENTER));
  queue.push(release(GLFW_KEY_ENTER));
  EXPECT_THAT(frames(queue), ElementsAre("+257", "-257"));
}
TEST(KeyQueue, TextStaysBeforeTheEnterThatSendsIt) {
  KeyQueue queue;
  for (const char c : {'h', 'i'}) {
    queue.push(press(c - 32));
    queue.push(text(c));
  }
  queue.push(press(GLFW_KEY_ENTER));
  queue.push(text('x'));
  EXPECT_THAT(frames(queue), ElementsAre("+72h+73i", "+257", "", "", "x"));
}
TEST(KeyQueue, AShortcutIsSeenWithItsModifier) {
  KeyQueue queue;
  queue.push(press(GLFW_KEY_LEFT_CONTROL, GLFW_MOD_CONTROL));
  queue.push(press(GLFW_KEY_K, GLFW_MOD_CONTROL));
  queue.push(release(GLFW_KEY_K, GLFW_MOD_CONTROL));
  queue.push(release(GLFW_KEY_LEFT_CONTROL));
  queue.push(text('o'));
  EXPECT_THAT(frames(queue), ElementsAre("+341+75", "-75-341", "", "o"));
}
TEST(KeyQueue, TwoCommandsAreTwoFrames) {
  KeyQueue queue;
  queue.push(press(GLFW_KEY_LEFT));
  queue.push(press(GLFW_KEY_RIGHT));
  EXPECT_THAT(frames(queue), ElementsAre("+263", "+262"));
}
TEST(KeyQueue, OfNothingIsDone) {
  KeyQueue queue;
  EXPECT_FALSE(queue.drain([](const KeyQueue::Event&) { FAIL(); }));
}

}  // namespace
}  // namespace glassbox::app::ui
