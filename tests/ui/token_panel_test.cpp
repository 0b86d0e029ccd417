#include "app/ui/token_panel.h"

#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "app/ui/token_walk.h"
#include "tests/ui/stage.h"

namespace glassbox::app::ui {
namespace {

using glassbox::testing::fake_snapshot;
using glassbox::testing::FakeOptions;
using glassbox::testing::Stage;

bool asked_the_worker(Stage& stage) {
  for (int i = 0; i < 100; ++i) {
    if (stage.worker.snapshot()->notice.number > 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

TEST(TokenWalk, GoesFromTheLatestBackwards) {
  Stage stage(fake_snapshot());
  auto frame = stage.frame();
  const auto latest = frame.place().value();
  walk_token(frame, -1);
  EXPECT_EQ(*stage.view.token, (live::TokenPlace{latest.message, latest.token - 1}));
}
TEST(TokenWalk, CrossesFromAnswerToAnswer) {
  Stage stage(fake_snapshot());
  auto thread = std::make_shared<live::Thread>(*stage.now.thread);
  auto answer = std::make_shared<live::Message>(*thread->messages.back());
  answer->id = 99;
  thread->messages.push_back(answer);
  stage.now.thread = thread;
  stage.view.token = live::TokenPlace{99, 0};
  auto frame = stage.frame();
  walk_token(frame, -1);
  const auto& before = *thread->messages[thread->messages.size() - 2];
  EXPECT_EQ(*stage.view.token, (live::TokenPlace{before.id, before.tokens.size() - 1}));
  walk_token(frame, 1);
  EXPECT_EQ(*stage.view.token, (live::TokenPlace{99, 0}));
}
TEST(TokenWalk, StaysWithoutTokens) {
  Stage stage;
  auto frame = stage.frame();
  walk_token(frame, 1);
  EXPECT_FALSE(stage.view.token);
}

TEST(VisibleText, ShowsBlanksAndLineBreaks) { EXPECT_EQ(visible_text(" a\n\tb"), "·a↵→b"); }
TEST(VisibleText, ShowsControlCharactersAsCodes) { EXPECT_EQ(visible_text("\x01\x7f"), "\\x01\\x7f"); }
TEST(VisibleText, ReplacesWhatIsNotUtf8) { EXPECT_EQ(visible_text("\xe4\xb8"), "\uFFFD"); }
TEST(VisibleText, SaysWhereThereIsNone) { EXPECT_EQ(visible_text(""), "(no text)"); }

TEST(TokenPanel, SaysWhereThereIsNoToken) {
  Stage stage;
  TokenPanel panel;
  stage.show(panel);
  EXPECT_GT(stage.canvas.count(stage.canvas.all(), stage.canvas.palette().muted, 0.1F), 100u);
}
TEST(TokenPanel, ButtonsWalk) {
  Stage stage(fake_snapshot());
  TokenPanel panel;
  stage.show(panel);
  const auto latest = stage.frame().place().value();
  stage.canvas.click({20, 22});
  EXPECT_EQ(*stage.view.token, (live::TokenPlace{latest.message, latest.token - 1}));
  stage.canvas.click({55, 22});
  EXPECT_EQ(*stage.view.token, latest);
}
TEST(TokenPanel, LatestFollowsAgain) {
  Stage stage(fake_snapshot());
  TokenPanel panel;
  stage.view.token = live::TokenPlace{stage.now.thread->messages.back()->id, 3};
  stage.show(panel);
  stage.canvas.click({870, 22});
  EXPECT_FALSE(stage.view.token);
}
TEST(TokenPanel, ArrowsWalk) {
  Stage stage(fake_snapshot());
  TokenPanel panel;
  stage.show(panel);
  stage.canvas.click({300, 590});
  const auto latest = stage.frame().place().value();
  stage.canvas.key(GLFW_KEY_LEFT);
  stage.canvas.key(GLFW_KEY_LEFT);
  EXPECT_EQ(*stage.view.token, (live::TokenPlace{latest.message, latest.token - 2}));
}
TEST(TokenPanel, BarsShowTheProbabilities) {
  Stage stage(fake_snapshot());
  TokenPanel panel;
  stage.show(panel);
  auto bar = stage.canvas.palette().series[0];
  const auto ground = stage.canvas.pixel(600, 595);
  bar = {ground.x + (bar.x - ground.x) * 0.35F, ground.y + (bar.y - ground.y) * 0.35F,
         ground.z + (bar.z - ground.z) * 0.35F, 1};
  EXPECT_GT(stage.canvas.count(stage.canvas.all(), bar, 0.05F), 300u);
}
TEST(TokenPanel, ClickOnACandidateForcesIt) {
  Stage stage(fake_snapshot());
  TokenPanel panel;
  stage.show(panel);
  for (float y = 250; y < 400; y += 24) stage.canvas.click({200, y});
  EXPECT_TRUE(asked_the_worker(stage));
}
TEST(TokenPanel, NothingIsForcedWhileBusy) {
  auto now = fake_snapshot();
  now.activity = live::Activity::answering;
  Stage stage(now);
  TokenPanel panel;
  stage.show(panel);
  for (float y = 200; y < 400; y += 12) stage.canvas.click({200, y});
  EXPECT_FALSE(asked_the_worker(stage));
}
TEST(TokenPanel, RecordInspectsWhereNothingWasRecorded) {
  FakeOptions options;
  options.candidates = 0;
  Stage stage(fake_snapshot(options));
  TokenPanel panel;
  stage.show(panel);
  for (float y = 180; y < 320; y += 8) stage.canvas.click({30, y});
  EXPECT_TRUE(asked_the_worker(stage));
}

}  // namespace
}  // namespace glassbox::app::ui
