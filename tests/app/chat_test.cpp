// The chat as a person or a script meets it: the program itself, through pipes and in a terminal.

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "model/conversation.h"
#include "model/mapped_file.h"
#include "tests/process.h"
#include "tests/support.h"

namespace glassbox::app {
namespace {

using model::ConversationStore;
using model::MessageState;
using testing::Arguments;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using testing::ProcessResult;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::TempDir;
using testing::TerminalProcess;

constexpr const char* stories = "models/stories260K";

class ChatTest : public ::testing::Test {
 protected:
  void SetUp() override { REQUIRE_SHARED(stories); }

  static Arguments chat(const Arguments& more = {}) {
    Arguments arguments{GLASSBOX_BINARY, "chat", "-m", (testing::shared_dir() / stories).string(), "--temp", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  /// Compiled shaders are shared by all tests, conversations by none.
  testing::Environment environment() const {
    static const TempDir cache;
    return {{"XDG_CACHE_HOME", cache.path()}, {"XDG_DATA_HOME", home.path()}, {"TERM", "xterm"}, {"NO_COLOR", "1"}};
  }
  ProcessResult pipe(const Arguments& more, std::string_view input = "") const {
    return testing::run_process(chat(more), input, environment());
  }
  ConversationStore store() const { return ConversationStore(home.path() / "glassbox/conversations.db"); }
  std::vector<model::StoredMessage> last_thread() const {
    const auto opened = store();
    return opened.thread(opened.list(1).at(0).id);
  }

  TempDir home;
};

TEST_F(ChatTest, EachLineOfAPipeIsAMessageAndStdoutTheAnswersAlone) {
  const auto result = pipe({"-n", "8", "-sys", "You tell stories."}, "Hello\ntwo\\\nlines");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto thread = last_thread();
  ASSERT_THAT(thread, SizeIs(4));
  EXPECT_EQ(thread[0].content, "Hello");
  EXPECT_EQ(thread[2].content, "two\nlines");
  EXPECT_THAT(thread[1].tokens, SizeIs(8));
  EXPECT_EQ(result.out, thread[1].content + "\n" + thread[3].content + "\n");
  EXPECT_THAT(result.err, HasSubstr("no chat template"));
  EXPECT_EQ(store().list(1)[0].system_prompt, "You tell stories.");
}

TEST_F(ChatTest, TheFirstMessageMayBeAFlag) {
  const auto result = pipe({"-n", "4", "-p", "Hello"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, last_thread().back().content + "\n");
}

TEST_F(ChatTest, NoStoreLeavesNothing) {
  EXPECT_EQ(pipe({"-n", "4", "--no-store"}, "Hello\n").exit_code, 0);
  EXPECT_TRUE(std::filesystem::is_empty(home.path()));
}

TEST_F(ChatTest, ContinuesTheLatestConversationOrTheOneGiven) {
  pipe({"-n", "4"}, "first\n");
  pipe({"-n", "4"}, "second\n");
  const auto latest = pipe({"-n", "4", "--continue"}, "third\n");
  EXPECT_THAT(latest.err, HasSubstr("> second\n"));
  EXPECT_THAT(latest.out, Not(HasSubstr("second")));
  EXPECT_THAT(last_thread(), SizeIs(4));
  EXPECT_THAT(pipe({"--continue", "1"}).err, HasSubstr("> first\n"));
}

TEST_F(ChatTest, CommandsWorkThroughPipesToo) {
  const auto file = (home.path() / "chat.json").string();
  const auto result =
      pipe({"-n", "4", "-s", "1"},
           "Hello\n/set temp 5\n/set top-p 1\n/set min-p 0\n/regenerate\n/stats\n/why\n/list\n/save " + file + "\n");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("answer   4 tokens at "));
  EXPECT_THAT(result.out, HasSubstr("before    after\n"));
  EXPECT_THAT(result.out, HasSubstr("%\n*"));  // the token that was drawn
  EXPECT_THAT(result.out, HasSubstr("*    1  20"));
  EXPECT_THAT(result.err, HasSubstr("temp 5, "));
  EXPECT_THAT(result.err, Not(HasSubstr("\033")));
  const auto saved = nlohmann::json::parse(model::MappedFile(file).text());
  ASSERT_THAT(saved["messages"], SizeIs(3));
  EXPECT_EQ(saved["messages"][2]["parent"], saved["messages"][1]["parent"]);
  EXPECT_NE(saved["messages"][2]["content"], saved["messages"][1]["content"]);
}

TEST_F(ChatTest, UndoNewOpenAndSystemChangeWhatIsAsked) {
  const auto result =
      pipe({"-n", "3"},
           "one\ntwo\n/undo\n/new\nthree\n/system Be kind.\nfour\n/open 1\nfive\n//six\n/list three\n/quit\nno\n");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto opened = store();
  ASSERT_THAT(opened.list(9), SizeIs(3));
  const auto first = opened.thread(1);
  ASSERT_THAT(first, SizeIs(6));
  EXPECT_EQ(first[0].content, "one");
  EXPECT_EQ(first[2].content, "five");
  EXPECT_EQ(first[4].content, "/six");
  EXPECT_THAT(opened.children(first[1].id), SizeIs(2));  // "two" is still there
  EXPECT_EQ(opened.conversation(2).system_prompt, "");
  EXPECT_EQ(opened.conversation(3).system_prompt, "Be kind.");
  EXPECT_THAT(result.out, HasSubstr("three\n"));
}

TEST_F(ChatTest, BadInputThroughAPipeIsOneLineAndExitCode2) {
  const auto refused = [&](const Arguments& arguments, std::string_view input, std::string_view error) {
    const auto result = pipe(arguments, input);
    EXPECT_EQ(result.exit_code, 2) << input;
    const auto last = result.err.rfind("glassbox: ");
    ASSERT_NE(last, std::string::npos) << result.err;
    EXPECT_THAT(result.err.substr(last), HasSubstr(std::string(error)));
    EXPECT_EQ(result.err.find('\n', last), result.err.size() - 1) << result.err;
  };
  refused({}, "ab\xFF\n", "the message is not valid UTF-8 at byte 2");
  refused({}, "/dance\n", "there is no command /dance");
  refused({}, "/set top-p 3\n", "--top-p must be between 0 and 1");
  refused({}, "/open one\n", "/open expects the number of a conversation, found 'one'");
  refused({}, "/open 9\n", "there is no conversation 9");
  refused({}, "/why\n", "no token to explain");
  refused({"--no-store"}, "/list\n", "not stored (--no-store)");
  refused({"--no-store"}, "/save /no/such/folder/x\n", "/no/such/folder/x: cannot be written");
  refused({"--continue"}, "", "holds no conversation yet");
  refused({"--continue", "x"}, "", "--continue expects the number");
  refused({"--continue", "-sys", "x"}, "", "excludes");
  refused({"-n", "0"}, "", "-n must be a number of tokens");
  refused({"--top-p", "-1"}, "", "--top-p must be between 0 and 1");
  refused({"-p", ""}, "", "the message is empty");
  refused({"-c", "64"}, std::string(400, 'x') + "\n", "the context of 64 leaves no room");
}

TEST_F(ChatTest, AHomeThatCannotBeWrittenIsSaidUnlessNothingIsToBeStored) {
  std::ofstream(home.path() / "file") << "no folder";
  auto environment = this->environment();
  environment["XDG_DATA_HOME"] = home.path() / "file";
  const auto refused = testing::run_process(chat({"-n", "2"}), "Hello\n", environment);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, MatchesRegex("glassbox: .*/file.*--no-store chats without storing.\n"));
  EXPECT_EQ(testing::run_process(chat({"-n", "2", "--no-store"}), "Hello\n", environment).exit_code, 0);
}

TEST_F(ChatTest, AFullDiskBehindStdoutIsOneLine) {
  Arguments shell{"/bin/sh", "-c", "\"$0\" \"$@\" > /dev/full"};
  const auto arguments = chat({"-n", "4", "-p", "Hello"});
  shell.insert(shell.end(), arguments.begin(), arguments.end());
  const auto result = testing::run_process(shell, "", environment());
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, EndsWith("glassbox: standard output cannot be written: No space left on device\n"));
}

TEST_F(ChatTest, KillingItLosesAtMostTheTokenInFlight) {
  TerminalProcess terminal(chat({"-p", "Once upon a time"}), environment());
  terminal.wait_for("> Once upon a time\n");
  terminal.wait_for(" ");
  terminal.wait_for(" ");
  terminal.kill();
  const auto shown = terminal.screen().substr(terminal.screen().rfind("a time\n") + 7);
  const auto result = pipe({"--continue"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("> Once upon a time\n" + shown));
  const auto thread = last_thread();
  ASSERT_THAT(thread, SizeIs(2));
  EXPECT_EQ(thread[1].state, MessageState::stopped);
  EXPECT_FALSE(thread[1].tokens.empty());
}

TEST_F(ChatTest, TheBannerSaysWhatAnswersAndWhereItIsKept) {
  TerminalProcess terminal(chat(), environment());
  terminal.wait_for("> ");
  const auto& screen = terminal.screen();
  EXPECT_THAT(screen, HasSubstr("stories260K (1.1 MB) on "));
  EXPECT_THAT(screen, HasSubstr("context 512 tokens"));
  EXPECT_THAT(screen, HasSubstr("conversations in " + home.path().string() + "/glassbox/conversations.db"));
  EXPECT_THAT(screen, HasSubstr("no chat template"));
  const bool software = screen.find("pipe") != std::string::npos;  // llvmpipe, softpipe
  EXPECT_EQ(screen.find("a software driver") != std::string::npos, software);
}

TEST_F(ChatTest, CtrlCStopsTheAnswerAndComesBackToThePrompt) {
  TerminalProcess terminal(chat(), environment());
  terminal.wait_for("> ");
  terminal.type("Once upon a time\n");
  terminal.wait_for("Once upon a time\n");
  terminal.wait_for(" ");
  terminal.type("\x03");
  terminal.wait_for("stopped · ");
  terminal.wait_for("> ");
  EXPECT_EQ(last_thread().back().state, MessageState::stopped);
  terminal.type("/set n-predict 3\n");
  terminal.wait_for("n-predict 3");
  terminal.wait_for("> ");
  terminal.type("Go on\n");
  terminal.wait_for("3 tokens · ");
  EXPECT_THAT(terminal.wait_for("> "), MatchesRegex(".*tokens/s · first token .* s · context .* of 512 .*%.*"));
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST_F(ChatTest, CtrlCTwiceAtTheEmptyPromptLeaves) {
  TerminalProcess terminal(chat({"-n", "2"}), environment());
  terminal.wait_for("> ");
  terminal.type("half a lin\x03");
  terminal.wait_for("Ctrl+C again leaves");
  terminal.wait_for("> ");
  terminal.type("Hello\n");  // another line in between: not twice in a row
  terminal.wait_for("2 tokens · ");
  terminal.wait_for("> ");
  EXPECT_EQ(last_thread().front().content, "Hello");
  terminal.type("\x03");
  terminal.wait_for("Ctrl+C again leaves");
  terminal.wait_for("> ");
  terminal.type("\x03");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST_F(ChatTest, AnErrorInATerminalDoesNotEndTheChat) {
  TerminalProcess terminal(chat({"-n", "2"}), environment());
  terminal.wait_for("> ");
  terminal.type("/dance\n");
  terminal.wait_for("there is no command /dance");
  terminal.type("Hello\n");
  terminal.wait_for("2 tokens · ");
  terminal.type("/quit\n");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST_F(ChatTest, NoColorMeansNoEscapeCodes) {
  const auto codes = [&](const std::string& no_color) {
    auto environment = this->environment();
    environment["NO_COLOR"] = no_color;
    TerminalProcess terminal(chat({"-n", "2", "-p", "Hello"}), environment);
    terminal.wait_for("2 tokens · ");
    terminal.wait_for("> ");
    return terminal.screen().find("\033[2m") != std::string::npos;
  };
  EXPECT_TRUE(codes(""));
  EXPECT_FALSE(codes("1"));
}

}  // namespace
}  // namespace glassbox::app
