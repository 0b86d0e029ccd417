#include <gmock/gmock.h>

#include <fstream>
#include <thread>

#include "model/conversation.h"
#include "tests/ui/desktop.h"

// The window as a person uses it: a real one on an X server, real pointer and key events, a home of its own.
namespace glassbox::app::ui {
namespace {

using model::ConversationStore;
using model::MessageState;
using testing::Desktop;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr const char* stories = "models/stories260K";

class Person : public ::testing::Test {
 protected:
  void SetUp() override { REQUIRE_SHARED(stories); }

  /// What was on screen when it went wrong, where GLASSBOX_SCREENSHOTS names a directory.
  void TearDown() override {
    const char* directory = std::getenv("GLASSBOX_SCREENSHOTS");
    if (!HasFailure() || !directory || !desktop.running()) return;
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    desktop.picture().save_png(std::filesystem::path(directory) / (std::string(info->name()) + ".png"));
  }

  void open() {
    desktop.start({"gui", "-m", testing::shared_dir() / stories, "--ctx-size", "512"});
    desktop.until("the model", [](const auto& now) { return now.at("model") != "" && !now.at("busy"); });
  }
  void write(const std::string& text) {
    desktop.click("composer");
    desktop.type(text);
  }
  void send(const std::string& text) {
    const auto messages = desktop.seen().at("messages").get<std::size_t>();
    write(text + "\n");
    desktop.until("the question", [&](const auto& now) { return now.at("messages") >= messages + 2; });
  }
  void finish() {
    desktop.until("the end of the answer", [](const auto& now) { return !now.at("busy"); });
  }
  ConversationStore store() { return ConversationStore(desktop.store()); }
  std::int64_t conversation() { return desktop.seen().at("conversation"); }
  /// Stops the answer once it has some words: the small model goes on until its context is full.
  void send_and_stop(const std::string& text, std::size_t tokens = 8) {
    send(text);
    desktop.until("some words", [&](const auto& now) { return now.at("tokens") >= tokens; });
    desktop.key("Escape");
    finish();
  }

  Desktop desktop{2560, 1440};
};

TEST_F(Person, WritesAndReadsTheAnswerWhichIsKept) {
  open();
  send("Once upon a time");
  finish();
  const auto thread = store().thread(conversation());
  ASSERT_THAT(thread, SizeIs(2));
  EXPECT_EQ(thread[0].content, "Once upon a time");
  EXPECT_GT(thread[1].content.size(), 40u);
  EXPECT_EQ(thread[1].state, MessageState::complete);
  EXPECT_EQ(desktop.close(), 0);
}

TEST_F(Person, StopsAnAnswerMidwayAndTheWindowStaysQuick) {
  open();
  send("Once upon a time");
  const auto began = std::chrono::steady_clock::now();
  const auto frames = desktop.seen().at("frames").get<double>();
  desktop.until("some words", [](const auto& now) { return now.at("tokens") >= 60; });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  EXPECT_GT((desktop.seen().at("frames").get<double>() - frames) / took.count(), 10)
      << "frames a second while it computes";
  const auto had = desktop.seen().at("tokens").get<std::size_t>();
  desktop.key("Escape");
  finish();
  const auto thread = store().thread(conversation());
  EXPECT_EQ(thread.back().state, MessageState::stopped);
  EXPECT_LT(thread.back().tokens.size(), had + 100);
}

TEST_F(Person, IsIdleAtNoCost) {
  open();
  desktop.until_idle();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const auto before = desktop.seen().at("frames").get<int>();
  std::this_thread::sleep_for(std::chrono::seconds(3));
  EXPECT_LE(desktop.seen().at("frames").get<int>() - before, 40) << "a caret may blink";
}

TEST_F(Person, EditsAQuestionAndWalksBetweenTheBranches) {
  open();
  send_and_stop("Once upon a time");
  const auto question = "message " + std::to_string(store().thread(conversation()).front().id);
  const auto edit = "Edit " + question.substr(8);
  desktop.point(question);  // what can be done appears where one points
  desktop.click(edit);
  desktop.key("ctrl+a");
  desktop.type("A big dog\n");
  desktop.until("the new branch", [&](const auto& now) { return !now.at("rectangles").contains(question); });
  desktop.until("some words", [](const auto& now) { return now.at("tokens") >= 4; });
  desktop.key("Escape");
  finish();
  const auto id = conversation();
  ASSERT_THAT(store().roots(id), SizeIs(2));
  EXPECT_EQ(store().thread(id).front().content, "A big dog");
  const auto edited = std::to_string(store().thread(id).front().id);
  desktop.point("message " + edited);
  desktop.click("Branch before " + edited);
  desktop.until_idle();
  EXPECT_EQ(store().thread(id).front().content, "Once upon a time");
}

TEST_F(Person, ClicksATokenAndEveryPanelShowsIt) {
  open();
  send_and_stop("Once upon a time", 30);
  desktop.click("Token");
  desktop.until_idle();
  const auto latest = desktop.picture("panel");
  const auto answer = desktop.where("message " + std::to_string(store().thread(conversation()).back().id));
  desktop.click(answer.x + 12, answer.y + 10);
  EXPECT_GT(desktop.picture_unlike(latest, 200, "panel").different_from(latest), 200u) << "another token's candidates";
  for (const char* panel : {"Timeline", "Kernels", "Roofline", "Diff", "Model", "Device", "Settings"}) {
    desktop.click(panel);
    const auto picture = desktop.picture_unlike(latest, 2000, "panel");
    EXPECT_GT(picture.colours(), 20u) << panel;
    EXPECT_GT(picture.different_from(latest), 2000u) << panel;
  }
}

TEST_F(Person, AsksWhatIfAnotherTokenHadBeenDrawn) {
  open();
  send_and_stop("Once upon a time", 30);
  const auto id = conversation();
  const auto first = store().thread(id).back();
  const auto answer = desktop.where("message " + std::to_string(first.id));
  desktop.click(answer.x + 12, answer.y + 10);
  desktop.until_idle();
  // Whichever of the first two does not stand there.
  for (const char* candidate : {"candidate 0", "candidate 1"}) desktop.click(candidate);
  desktop.until("the new branch",
                [&](const auto& now) { return !now.at("rectangles").contains("message " + std::to_string(first.id)); });
  desktop.until("some words", [](const auto& now) { return now.at("tokens") >= 6; });
  desktop.key("Escape");
  finish();
  const auto branches = store().children(store().thread(id).front().id);
  ASSERT_THAT(branches, SizeIs(2));
  EXPECT_NE(branches[0].tokens, branches[1].tokens);
  EXPECT_EQ(branches[0].tokens, first.tokens);
}

TEST_F(Person, SortsTheKernelsAndChangesTheTheme) {
  open();
  send_and_stop("Once upon a time", 20);
  desktop.click("Kernels");
  desktop.until_idle();
  const auto by_time = desktop.picture("kernels table");
  desktop.click("kernels column 0");
  EXPECT_GT(desktop.picture_unlike(by_time, 500, "kernels table").different_from(by_time), 500u);
  desktop.click("Settings");
  desktop.until_idle();
  const auto dark = desktop.picture();
  desktop.click("light theme");
  EXPECT_GT(desktop.picture_unlike(dark, 500'000).different_from(dark), 500'000u);
}

TEST_F(Person, IsHeardWheneverAButtonIsLetGo) {
  open();
  desktop.click("Settings");
  desktop.until_idle();
  // While the frames after the pointer's coming are drawn, and after them.
  for (int pause = 10; pause <= 100; pause += 10) {
    const auto before = desktop.picture();
    desktop.tap(pause % 20 ? "light theme" : "dark theme", std::chrono::milliseconds(pause));
    ASSERT_GT(desktop.picture_unlike(before, 500'000).different_from(before), 500'000u) << pause << " ms";
  }
}

TEST_F(Person, FindsDeletesAndBringsBackAConversation) {
  open();
  send_and_stop("Once upon a time");
  desktop.key("ctrl+n");
  desktop.until("an empty thread", [](const auto& now) { return now.at("messages") == 0; });
  send_and_stop("A dragon");
  const auto dragon = conversation();
  desktop.key("ctrl+k");
  desktop.type("once");
  desktop.until("what was found", [&](const auto& now) {
    return !now.at("rectangles").contains("conversation " + std::to_string(dragon));
  });
  desktop.key("ctrl+a");
  desktop.key("BackSpace");
  desktop.until("all of them", [&](const auto& now) {
    return now.at("rectangles").contains("conversation " + std::to_string(dragon));
  });
  desktop.click("conversation " + std::to_string(dragon), 3);
  desktop.click("delete");
  desktop.until("one less", [&](const auto& now) {
    return !now.at("rectangles").contains("conversation " + std::to_string(dragon));
  });
  EXPECT_THAT(store().list(10), SizeIs(1));
  desktop.click("undo");
  desktop.until(
      "both", [&](const auto& now) { return now.at("rectangles").contains("conversation " + std::to_string(dragon)); });
  EXPECT_THAT(store().list(10), SizeIs(2));
}

TEST_F(Person, ResizesAndDragsAndNothingIsLost) {
  open();
  send_and_stop("Once upon a time");
  for (const auto& [width, height] : {std::pair{800, 600}, {2560, 1440}, {640, 480}}) {
    desktop.resize(width, height);
    const auto picture = desktop.picture();
    EXPECT_EQ(picture.width, width);
    EXPECT_GT(picture.colours(), 50u);
    const auto composer = desktop.where("composer");
    EXPECT_GE(composer.x, 0);
    EXPECT_LE(composer.x + composer.width, width);
    EXPECT_LE(composer.y + composer.height, height);
  }
  desktop.resize(1280, 800);
  const auto before = desktop.where("chat");
  desktop.drag("inspector splitter", -120, 0);
  desktop.until_idle();
  EXPECT_NEAR(desktop.where("chat").width, before.width - 120, 12);
  EXPECT_EQ(desktop.close(), 0);
  // Remembered.
  open();
  desktop.until_idle();
  EXPECT_NEAR(desktop.where("chat").width, before.width - 120, 12);
}

TEST_F(Person, AKilledWindowComesBackAsItWas) {
  open();
  send("Once upon a time");
  desktop.until("some words", [](const auto& now) { return now.at("tokens") >= 20; });
  const auto id = conversation();
  desktop.kill();
  open();
  desktop.until("the same conversation", [&](const auto& now) { return now.at("conversation") == id; });
  const auto thread = store().thread(id);
  ASSERT_THAT(thread, SizeIs(2));
  EXPECT_GE(thread[1].tokens.size(), 20u);
  EXPECT_EQ(thread[1].state, MessageState::stopped);
  EXPECT_EQ(desktop.seen().at("messages"), 2);
}

TEST_F(Person, SaysWhatIsWrongWithAModel) {
  const auto broken = desktop.home() / "broken.gguf";
  std::ofstream(broken) << "GGUFnothing";
  desktop.start({"gui", "-m", broken});
  desktop.until("the reason", [](const auto& now) {
    return now.at("notice").template get<std::string>().find("broken.gguf") != std::string::npos;
  });
  EXPECT_EQ(desktop.close(), 0);
}

TEST(WithoutADisplay, PointsToTheTerminal) {
  const auto result = testing::run_process({GLASSBOX_BINARY}, "", {{"DISPLAY", ""}, {"WAYLAND_DISPLAY", ""}});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("glassbox chat"));
}

}  // namespace
}  // namespace glassbox::app::ui
