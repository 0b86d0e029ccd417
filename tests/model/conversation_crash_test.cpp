// What happens to conversations when a process is killed, the disk fills up or others use the file: each case runs in a
// real child process.

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <thread>

#include "model/conversation.h"
#include "tests/support.h"

namespace glassbox::model {
namespace {

/// A child process that runs `work` with the writing end of a pipe and exits with 0, or 1 after an exception.
class Child {
 public:
  explicit Child(const std::function<void(int pipe)>& work) {
    int ends[2];
    require(pipe(ends) == 0, "no pipe");
    process_ = fork();
    if (process_ == 0) {
      close(ends[0]);
      int status = 1;
      try {
        work(ends[1]);
        status = 0;
      } catch (const std::exception& error) {
        std::fprintf(stderr, "child: %s\n", error.what());
      }
      _exit(status);
    }
    close(ends[1]);
    pipe_ = ends[0];
  }
  ~Child() {
    kill();
    close(pipe_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// The next byte of the pipe, or -1 at its end.
  int read_byte() {
    unsigned char byte = 0;
    return read(pipe_, &byte, 1) == 1 ? byte : -1;
  }
  /// Everything up to the end of the pipe.
  std::string read_all() {
    std::string text;
    for (int byte = read_byte(); byte >= 0; byte = read_byte()) text.push_back(static_cast<char>(byte));
    return text;
  }
  void kill() {
    if (process_ > 0) ::kill(process_, SIGKILL);
    wait();
  }
  /// The exit status; -1 after a signal.
  int wait() {
    if (process_ > 0) waitpid(process_, &status_, 0);
    process_ = -1;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
  }

 private:
  pid_t process_ = -1;
  int pipe_ = -1;
  int status_ = 0;
};

void write_text(int pipe, const std::string& text) { (void)!write(pipe, text.data(), text.size()); }

std::string piece(std::uint32_t i) { return fmt::format("word{} ", i); }

std::string pieces(std::size_t count) {
  std::string text;
  for (std::uint32_t i = 0; i < count; ++i) text += piece(i);
  return text;
}

class ConversationCrash : public ::testing::Test {
 protected:
  /// Streams an answer to a new question for ever, telling each append that returned.
  void stream(int pipe) const {
    ConversationStore store(file);
    const auto id = store.create("Cats", "", "");
    auto answer = store.begin_answer(id, store.add_message(id, std::nullopt, "user", "q"), {});
    for (std::uint32_t i = 0;; ++i) {
      answer.append(i, piece(i));
      write_text(pipe, "t");
    }
  }
  /// The message holds at least the tokens that were stored before the kill, each whole, and at most one more.
  static void expect_stopped_with(const StoredMessage& m, std::size_t stored) {
    EXPECT_EQ(m.state, MessageState::stopped);
    EXPECT_GE(m.tokens.size(), stored);
    EXPECT_LE(m.tokens.size(), stored + 1);
    EXPECT_EQ(m.content, pieces(m.tokens.size()));
    for (std::uint32_t i = 0; i < m.tokens.size(); ++i) ASSERT_EQ(m.tokens[i], i);
  }
  /// Kills the child somewhere after `tokens` tokens; the number that it told of.
  static std::size_t kill_after(Child& child, std::size_t tokens) {
    for (std::size_t i = 0; i < tokens; ++i) EXPECT_EQ(child.read_byte(), 't');
    child.kill();
    return tokens + child.read_all().size();
  }

  testing::TempDir temp;
  std::filesystem::path file = temp.path() / "conversations.db";
};

TEST_F(ConversationCrash, KillLosesAtMostTheTokenInFlight) {
  for (const std::size_t tokens : {1, 2, 10, 37, 100, 400}) {
    Child child([&](int pipe) { stream(pipe); });
    const auto stored = kill_after(child, tokens);
    ConversationStore store(file);
    const auto thread = store.thread(store.list(1).front().id);
    ASSERT_EQ(thread.size(), 2u);
    EXPECT_EQ(thread[0].content, "q");
    expect_stopped_with(thread[1], stored);
    EXPECT_EQ(store.list(1, "word0 ").at(0).id, thread[1].conversation);  // searchable like any other
  }
}

TEST_F(ConversationCrash, AnOpenStoreSeesTheAnswerStreamAndThenStop) {
  ConversationStore store(file);
  Child child([&](int pipe) { stream(pipe); });
  EXPECT_EQ(child.read_byte(), 't');
  const auto id = store.list(1).front().id;
  EXPECT_EQ(store.thread(id).back().state, MessageState::streaming);
  EXPECT_EQ(ConversationStore(file).thread(id).back().state, MessageState::streaming);
  const auto stored = kill_after(child, 3);
  expect_stopped_with(store.thread(id).back(), stored + 1);
}

TEST_F(ConversationCrash, TwoProcessesWriteAtOnce) {
  ConversationStore store(file);
  const auto id = store.create("Cats", "", "");
  Child child([&](int) {
    ConversationStore own(file);
    auto answer = own.begin_answer(id, std::nullopt, {});
    for (std::uint32_t i = 0; i < 150; ++i) answer.append(i, piece(i));
    answer.finish(MessageState::complete, {});
  });
  auto answer = store.begin_answer(id, std::nullopt, {});
  for (std::uint32_t i = 0; i < 150; ++i) answer.append(i, piece(i));
  answer.finish(MessageState::complete, {});
  EXPECT_EQ(child.wait(), 0);
  const auto roots = store.roots(id);
  ASSERT_EQ(roots.size(), 2u);
  for (const auto& m : roots) {
    EXPECT_EQ(m.content, pieces(150));
    EXPECT_EQ(m.state, MessageState::complete);
  }
}

TEST_F(ConversationCrash, ProcessesThatCreateTheFileAtOnceAgree) {
  for (int round = 0; round < 10; ++round) {
    file = temp.path() / fmt::format("{}.db", round);
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < 6; ++i)
      children.push_back(std::make_unique<Child>([&](int) { ConversationStore(file).create("Cats", "", ""); }));
    for (auto& child : children) EXPECT_EQ(child->wait(), 0);
    EXPECT_EQ(ConversationStore(file).list(100).size(), 6u);
  }
}

TEST_F(ConversationCrash, AFullDiskIsOneLineAndLosesNothing) {
  const auto id = ConversationStore(file).create("Cats", "", "");
  Child child([&](int pipe) {
    ConversationStore store(file);
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{200'000, 200'000};  // bytes of any one file, the log among them
    require(setrlimit(RLIMIT_FSIZE, &limit) == 0, "no limit");
    const auto question = store.add_message(id, std::nullopt, "user", "q");
    auto answer = store.begin_answer(id, question, {});
    std::uint32_t stored = 0;
    std::string message;
    try {
      for (; stored < 1000; ++stored) answer.append(stored, piece(stored));
    } catch (const Error& error) {
      message = error.what();
    }
    // Still readable, with all that append() accepted.
    const auto thread = store.thread(id);
    require(thread.size() == 2 && thread[1].content == pieces(stored), "not readable: {}", thread.size());
    write_text(pipe, fmt::format("{}\n{}", stored, message));
  });
  const auto told = child.read_all();
  ASSERT_EQ(child.wait(), 0);
  const auto stored = std::stoul(told);
  const auto message = told.substr(told.find('\n') + 1);
  EXPECT_GT(stored, 10u);
  EXPECT_LT(stored, 1000u);
  EXPECT_EQ(message.rfind(file.string() + ": ", 0), 0u) << message;
  EXPECT_NE(message.find("what was stored before is safe"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;

  ConversationStore store(file);  // there is room again
  const auto thread = store.thread(id);
  ASSERT_EQ(thread.size(), 2u);
  expect_stopped_with(thread[1], stored);
  EXPECT_NO_THROW(store.add_message(id, thread[1].id, "user", "go on"));
}

TEST_F(ConversationCrash, AReadOnlyFileIsReadAndNotWritten) {
  std::int64_t id = 0;
  {
    ConversationStore store(file);
    id = store.create("Cats", "", "");
    store.add_message(id, std::nullopt, "user", "q");
  }
  chmod(temp.path().c_str(), 0777);
  chmod((file.string() + "-writers").c_str(), 0666);
  chmod(file.c_str(), 0444);
  Child child([&](int pipe) {
    if (geteuid() == 0) require(setresuid(65534, 65534, 65534) == 0, "cannot become nobody");
    ConversationStore store(file);
    require(store.thread(id).size() == 1, "the message is not there");
    try {
      store.rename(id, "Dogs");
    } catch (const Error& error) {
      write_text(pipe, error.what());
    }
  });
  EXPECT_EQ(child.read_all(), file.string() + ": cannot write, the file is read-only");
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(ConversationStore(file).conversation(id).title, "Cats");
}

}  // namespace
}  // namespace glassbox::model
