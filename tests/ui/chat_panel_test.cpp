#include "app/ui/chat_panel.h"

#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/ui/stage.h"

namespace glassbox::app::ui {
namespace {

using glassbox::testing::fake_snapshot;
using glassbox::testing::Stage;

std::string clipboard() {
  const char* text = ImGui::GetClipboardText();
  return text ? text : "(nothing)";
}

live::Snapshot without_messages(live::Snapshot now) {
  now.thread = std::make_shared<live::Thread>();
  return now;
}

/// A conversation of `count` messages of unlike heights, all at the left.
live::Snapshot long_conversation(int count) {
  auto now = fake_snapshot();
  auto thread = std::make_shared<live::Thread>();
  thread->conversation = 1;
  for (int i = 1; i <= count; ++i) {
    auto message = std::make_shared<live::Message>();
    message->id = i;
    message->role = "assistant";
    message->siblings = {i};
    for (int line = 0; line <= i * 7 % 11; ++line)
      message->content += "Line " + std::to_string(line) + " of message " + std::to_string(i) + "\n\n";
    thread->messages.push_back(message);
  }
  now.thread = thread;
  return now;
}

void stream_into(live::Snapshot& now, std::string_view text) {
  auto thread = std::make_shared<live::Thread>(*now.thread);
  auto message = std::make_shared<live::Message>(*thread->messages.back());
  message->content += text;
  message->state = model::MessageState::streaming;
  thread->messages.back() = message;
  now.thread = thread;
  now.activity = live::Activity::answering;
}

/// What the worker, which has no model, says of the first thing that it is asked for; "" where it is asked for nothing.
std::string complaint(Stage& stage) {
  for (int i = 0; i < 100; ++i) {
    if (const auto now = stage.worker.snapshot(); now->notice.number > 0) return now->notice.text;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return "";
}

/// One number for each row of pixels of the messages.
std::vector<float> rows(Stage& stage, int from, int to) {
  std::vector<float> result;
  for (int y = from; y < to; ++y) {
    float sum = 0;
    for (int x = 20; x < 500; ++x) sum += stage.canvas.pixel(x, y).x * static_cast<float>(x % 97 + 1);
    result.push_back(sum);
  }
  return result;
}

/// By how many pixels `after` lies below `before`; none where it is another picture.
std::optional<int> shift_of(const std::vector<float>& before, const std::vector<float>& after, int most) {
  for (int shift = 0; shift <= most; ++shift) {
    bool same = true;
    for (std::size_t y = 0; same && y + static_cast<std::size_t>(shift) < after.size(); ++y)
      same = before[y] == after[y + static_cast<std::size_t>(shift)];
    if (same) return shift;
  }
  return std::nullopt;
}

/// Clicks down the left edge until a token is selected; where that was.
std::optional<ImVec2> click_first_token(Stage& stage) {
  for (float y = 60; y < 400; y += 8) {
    stage.canvas.click({32, y});
    if (stage.view.token) return ImVec2(32, y);
  }
  return std::nullopt;
}

TEST(ChatPanel, WithoutAModelOffersToOpenOne) {
  Stage stage;
  ChatPanel panel;
  int opened = 0;
  panel.open_model = [&] { ++opened; };
  stage.show(panel);
  for (float y = 100; y < 400 && opened == 0; y += 8) stage.canvas.click({450, y});
  EXPECT_EQ(opened, 1);
}
TEST(ChatPanel, WithoutAModelNothingIsSent) {
  Stage stage;
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.type("hello");
  stage.canvas.key(GLFW_KEY_ENTER);
  EXPECT_EQ(complaint(stage), "");
}
TEST(ChatPanel, EnterSendsWhatWasTyped) {
  Stage stage(without_messages(fake_snapshot()));
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.type("hello");
  stage.canvas.key(GLFW_KEY_ENTER);
  EXPECT_NE(complaint(stage), "");
}
TEST(ChatPanel, BlanksAreNotSent) {
  Stage stage(without_messages(fake_snapshot()));
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.type("  ");
  stage.canvas.key(GLFW_KEY_ENTER, GLFW_MOD_SHIFT);
  stage.canvas.key(GLFW_KEY_ENTER);
  EXPECT_EQ(complaint(stage), "");
}
TEST(ChatPanel, NothingIsSentWhileAnAnswerIsWritten) {
  auto now = fake_snapshot();
  now.activity = live::Activity::answering;
  Stage stage(now);
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.type("hello");
  stage.canvas.key(GLFW_KEY_ENTER);
  EXPECT_EQ(complaint(stage), "");
}
TEST(ChatPanel, ShiftEnterMakesTheComposerGrow) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  const auto frame = ImGui::GetStyleColorVec4(ImGuiCol_FrameBg);
  const auto before = stage.canvas.count(stage.canvas.all(), frame);
  stage.canvas.type("a");
  for (int i = 0; i < 3; ++i) stage.canvas.key(GLFW_KEY_ENTER, GLFW_MOD_SHIFT);
  EXPECT_GT(stage.canvas.count(stage.canvas.all(), frame), before + 20000);
}
TEST(ChatPanel, ExamplesFillTheComposer) {
  Stage stage(without_messages(fake_snapshot()));
  ChatPanel panel;
  stage.show(panel);
  for (float y = 150; y < 400; y += 8) stage.canvas.click({450, y});
  stage.canvas.click({450, 550});
  stage.canvas.key(GLFW_KEY_A, GLFW_MOD_CONTROL);
  stage.canvas.key(GLFW_KEY_C, GLFW_MOD_CONTROL);
  EXPECT_EQ(clipboard(), "Write a haiku about glass.");
}
TEST(ChatPanel, TypingReachesTheComposerFromAnywhere) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.click({450, 350});
  stage.canvas.type("x");
  stage.canvas.type("yz");
  stage.canvas.key(GLFW_KEY_A, GLFW_MOD_CONTROL);
  stage.canvas.key(GLFW_KEY_C, GLFW_MOD_CONTROL);
  EXPECT_EQ(clipboard(), "xyz");
}

TEST(ChatPanel, ClickSelectsTheTokenAndArrowsWalk) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  const auto answer = stage.now.thread->messages.back()->id;
  ASSERT_TRUE(click_first_token(stage));
  EXPECT_EQ(*stage.view.token, (live::TokenPlace{answer, 0}));
  stage.canvas.key(GLFW_KEY_RIGHT);
  stage.canvas.key(GLFW_KEY_RIGHT);
  EXPECT_EQ(*stage.view.token, (live::TokenPlace{answer, 2}));
  stage.canvas.key(GLFW_KEY_LEFT);
  EXPECT_EQ(*stage.view.token, (live::TokenPlace{answer, 1}));
}
TEST(ChatPanel, ArrowsStayWithinTheAnswers) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  ASSERT_TRUE(click_first_token(stage));
  stage.canvas.key(GLFW_KEY_LEFT);
  EXPECT_EQ(stage.view.token->token, 0u);
}
TEST(ChatPanel, DoubleClickTakesAWord) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  const auto at = click_first_token(stage);
  ASSERT_TRUE(at);
  stage.canvas.frames(60);
  stage.canvas.double_click(*at);
  stage.canvas.key(GLFW_KEY_C, GLFW_MOD_CONTROL);
  EXPECT_EQ(clipboard(), "Once");
}
TEST(ChatPanel, SelectAllAndCopyTakesTheMessage) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  ASSERT_TRUE(click_first_token(stage));
  stage.canvas.key(GLFW_KEY_A, GLFW_MOD_CONTROL);
  stage.canvas.key(GLFW_KEY_C, GLFW_MOD_CONTROL);
  EXPECT_EQ(clipboard(), stage.now.thread->messages.back()->content);
}
TEST(ChatPanel, DragSelectsFromCharacterToCharacter) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  const auto at = click_first_token(stage);
  ASSERT_TRUE(at);
  stage.canvas.frames(60);
  const auto& font = *stage.canvas.fonts().body;
  const float width = font.CalcTextSizeA(font.FontSize, 1e9F, 0, "Once upon").x;
  stage.canvas.drag({27, at->y}, {26 + width, at->y});
  stage.canvas.key(GLFW_KEY_C, GLFW_MOD_CONTROL);
  EXPECT_EQ(clipboard(), "Once upon");
}
TEST(ChatPanel, NewestAnswerIsCopiedByKeys) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.key(GLFW_KEY_C, GLFW_MOD_CONTROL | GLFW_MOD_SHIFT);
  EXPECT_EQ(clipboard(), stage.now.thread->messages.back()->content);
}
TEST(ChatPanel, RegenerateByKeysAsksTheWorker) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.key(GLFW_KEY_R, GLFW_MOD_CONTROL);
  EXPECT_NE(complaint(stage), "");
}
TEST(ChatPanel, ArrowUpEditsTheQuestionAndEscLeavesIt) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.key(GLFW_KEY_UP);
  EXPECT_TRUE(panel.takes_escape());
  stage.canvas.type(" And?");
  stage.canvas.key(GLFW_KEY_ESCAPE);
  EXPECT_FALSE(panel.takes_escape());
  EXPECT_EQ(complaint(stage), "");
}
TEST(ChatPanel, EditedQuestionIsAsked) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.key(GLFW_KEY_UP);
  stage.canvas.type(" And?");
  stage.canvas.key(GLFW_KEY_ENTER);
  EXPECT_NE(complaint(stage), "");
}

TEST(ChatPanel, TintsShowInTheText) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  const glassbox::testing::Canvas::Rect text{20, 100, 860, 100};
  const auto plain_colours = stage.canvas.colours(text);
  stage.view.tint = Tint::probability;
  stage.canvas.frames(2);
  EXPECT_GT(stage.canvas.colours(text), plain_colours + 20);
}
TEST(ChatPanel, ProgressIsShownAboveTheComposer) {
  auto now = fake_snapshot();
  Stage stage(now);
  ChatPanel panel;
  stage.show(panel);
  const glassbox::testing::Canvas::Rect above{12, 470, 870, 40};
  const auto before = stage.canvas.colours(above);
  stage.now.activity = live::Activity::loading;
  stage.now.work = live::Work{"loading weights", 3, 10};
  stage.canvas.frames(2);
  EXPECT_EQ(before, 1u);
  EXPECT_GT(stage.canvas.colours(above), 20u);
}

TEST(ChatPanel, ThousandMessagesCostWhatIsSeen) {
  Stage stage(long_conversation(1000));
  ChatPanel panel;
  stage.show(panel);
  EXPECT_GT(stage.canvas.vertices(), 300);
  for (int i = 0; i < 40; ++i) stage.canvas.wheel({300, 300}, 30);
  EXPECT_GT(stage.canvas.vertices(), 300);
  EXPECT_LT(stage.canvas.vertices(), 20000);
}
TEST(ChatPanel, WhatIsInViewDoesNotJumpWhenScrolledUp) {
  Stage stage(long_conversation(60));
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.move({700, 300});
  std::optional<int> step;
  for (int i = 0; i < 40; ++i) {
    const auto before = rows(stage, 60, 470);
    stage.canvas.wheel({700, 300}, 1);
    const auto after = rows(stage, 60, 470);
    const auto shift = shift_of(before, after, 200);
    ASSERT_TRUE(shift) << "step " << i;
    // Actions under the message pointed at come and go at the right, which is not looked at.
    if (!step) step = shift;
    EXPECT_EQ(shift, step) << "step " << i;
  }
  EXPECT_GT(*step, 10);
}
TEST(ChatPanel, FollowsTheAnswerAtTheEnd) {
  Stage stage(long_conversation(10));
  ChatPanel panel;
  stage.show(panel);
  const auto before = rows(stage, 60, 400);
  stream_into(stage.now, "More.\n\nAnd more.\n\nAnd more.");
  stage.canvas.frames(1);
  EXPECT_NE(shift_of(before, rows(stage, 60, 400), 0), 0);
}
TEST(ChatPanel, StaysWhereOneScrolledToWhileAnAnswerIsWritten) {
  Stage stage(long_conversation(10));
  ChatPanel panel;
  stage.show(panel);
  stage.canvas.wheel({700, 300}, 10);
  stage.canvas.frames(2);
  const auto before = rows(stage, 60, 440);
  for (int i = 0; i < 5; ++i) {
    stream_into(stage.now, "More.\n\nAnd more.\n\nAnd more.");
    stage.canvas.frames(1);
  }
  EXPECT_EQ(shift_of(before, rows(stage, 60, 440), 0), 0);
}
TEST(ChatPanel, HugePasteDrawsWhatIsSeen) {
  Stage stage(fake_snapshot());
  ChatPanel panel;
  stage.show(panel);
  std::string paste;
  while (paste.size() < 100000) paste += "some words without a line break ";
  ImGui::SetClipboardText(paste.c_str());
  stage.canvas.key(GLFW_KEY_V, GLFW_MOD_CONTROL);
  stage.canvas.type("x");
  EXPECT_LT(stage.canvas.vertices(), 20000);
  stage.canvas.key(GLFW_KEY_A, GLFW_MOD_CONTROL);
  stage.canvas.key(GLFW_KEY_C, GLFW_MOD_CONTROL);
  EXPECT_EQ(clipboard(), paste + "x");
}
TEST(ChatPanel, EveryStateIsDrawnInASmallWindow) {
  for (const auto theme : {Theme::dark, Theme::light}) {
    auto now = fake_snapshot();
    now.work = live::Work{"reading the prompt", 0, 0};
    now.activity = live::Activity::reading;
    auto thread = std::make_shared<live::Thread>(*now.thread);
    thread->forgotten = 3;
    thread->context_used = thread->context_size;
    now.thread = thread;
    Stage stage(now, 220, 160, theme);
    ChatPanel panel;
    stage.show(panel);
    stage.view.tint = Tint::error;
    stage.canvas.frames(3);
    EXPECT_GT(stage.canvas.colours(stage.canvas.all()), 10u);
  }
}

}  // namespace
}  // namespace glassbox::app::ui
