#include "tests/process.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>

#include "gpu/error.h"

namespace glassbox::testing {
namespace {

using Clock = std::chrono::steady_clock;

/// Arguments and environment as execve wants them, made before fork: a child of a program with threads may not
/// allocate.
class Image {
 public:
  Image(const Arguments& arguments, const Environment& environment) : arguments_(arguments) {
    for (char** entry = environ; *entry; ++entry) {
      const std::string text = *entry;
      if (!environment.contains(text.substr(0, text.find('=')))) environment_.push_back(text);
    }
    for (const auto& [name, value] : environment) environment_.push_back(name + "=" + value);
    for (auto& text : arguments_) argv_.push_back(text.data());
    for (auto& text : environment_) envp_.push_back(text.data());
    argv_.push_back(nullptr);
    envp_.push_back(nullptr);
  }
  [[noreturn]] void become() {
    signal(SIGPIPE, SIG_DFL);
    execve(argv_[0], argv_.data(), envp_.data());
    _exit(127);
  }

 private:
  std::vector<std::string> arguments_, environment_;
  std::vector<char*> argv_, envp_;
};

int milliseconds_until(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::max<decltype(left)>(left, 0));
}

int code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }

struct Pipe {
  Pipe() { require(pipe2(ends, O_CLOEXEC) == 0, "no pipe"); }
  ~Pipe() { close_end(0), close_end(1); }
  void close_end(int end) {
    if (ends[end] >= 0) close(ends[end]);
    ends[end] = -1;
  }
  int ends[2];
};

/// 0 where the process has ended or the system does not tell.
std::size_t proportional_bytes(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/smaps_rollup", process));
  std::string word;
  std::size_t kilobytes = 0;
  while (file >> word)
    if (word == "Pss:" && file >> kilobytes) return kilobytes * 1024;
  return 0;
}

}  // namespace

ProcessResult run_process(const Arguments& arguments, std::string_view input, const Environment& environment,
                          std::chrono::milliseconds timeout) {
  signal(SIGPIPE, SIG_IGN);  // a child need not read all of its input
  Image image(arguments, environment);
  Pipe in, out, err;
  const pid_t process = fork();
  require(process >= 0, "cannot fork");
  if (process == 0) {
    dup2(in.ends[0], STDIN_FILENO);
    dup2(out.ends[1], STDOUT_FILENO);
    dup2(err.ends[1], STDERR_FILENO);
    image.become();
  }
  in.close_end(0), out.close_end(1), err.close_end(1);
  fcntl(in.ends[1], F_SETFL, O_NONBLOCK);

  ProcessResult result{};
  const auto deadline = Clock::now() + timeout;
  const auto read_end = [](Pipe& pipe, std::string& text) {
    std::array<char, 4096> bytes;
    const auto count = read(pipe.ends[0], bytes.data(), bytes.size());
    if (count > 0)
      text.append(bytes.data(), static_cast<std::size_t>(count));
    else
      pipe.close_end(0);
  };
  if (input.empty()) in.close_end(1);
  while (out.ends[0] >= 0 || err.ends[0] >= 0) {
    std::array<pollfd, 3> waits{{{in.ends[1], POLLOUT, 0}, {out.ends[0], POLLIN, 0}, {err.ends[0], POLLIN, 0}}};
    result.peak_bytes = std::max(result.peak_bytes, proportional_bytes(process));
    constexpr int sample_milliseconds = 20;
    const int ready = poll(waits.data(), waits.size(), std::min(sample_milliseconds, milliseconds_until(deadline)));
    if (ready == 0 && Clock::now() < deadline) continue;
    if (ready == 0) {
      ::kill(process, SIGKILL);
      waitpid(process, nullptr, 0);
      fail("{} did not end in time; stdout: {} stderr: {}", arguments[0], result.out, result.err);
    }
    if (waits[0].revents) {
      const auto count = write(in.ends[1], input.data(), input.size());
      if (count > 0) input.remove_prefix(static_cast<std::size_t>(count));
      if (count < 0 || input.empty()) in.close_end(1);
    }
    if (waits[1].revents) read_end(out, result.out);
    if (waits[2].revents) read_end(err, result.err);
  }
  int status = 0;
  waitpid(process, &status, 0);
  result.exit_code = code_of(status);
  return result;
}

TerminalProcess::TerminalProcess(const Arguments& arguments, const Environment& environment) {
  Image image(arguments, environment);
  const winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
  process_ = forkpty(&terminal_, nullptr, nullptr, &size);
  require(process_ >= 0, "no terminal");
  if (process_ == 0) image.become();
}

TerminalProcess::~TerminalProcess() {
  kill();
  close(terminal_);
}

void TerminalProcess::type(std::string_view keys) {
  require(write(terminal_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()), "the terminal is gone");
}

bool TerminalProcess::read_some(Clock::time_point deadline) {
  pollfd wait{terminal_, POLLIN, 0};
  if (poll(&wait, 1, milliseconds_until(deadline)) <= 0) return false;
  std::array<char, 4096> bytes;
  const auto count = read(terminal_, bytes.data(), bytes.size());
  if (count <= 0) return false;  // EIO: the program has ended
  std::copy_if(bytes.begin(), bytes.begin() + count, std::back_inserter(screen_), [](char c) { return c != '\r'; });
  return true;
}

std::string TerminalProcess::wait_for(std::string_view text, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (true) {
    const auto at = screen_.find(text, found_);
    if (at != std::string::npos) {
      auto before = screen_.substr(found_, at - found_);
      found_ = at + text.size();
      return before;
    }
    require(read_some(deadline), "'{}' did not appear, only: {}", text, screen_.substr(found_));
  }
}

int TerminalProcess::wait(std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (read_some(deadline)) {
  }
  while (process_ > 0 && waitpid(process_, &status_, WNOHANG) == 0) {
    require(Clock::now() < deadline, "it did not end, its screen: {}", screen_);
    poll(nullptr, 0, 10);
  }
  process_ = -1;
  return code_of(status_);
}

void TerminalProcess::kill() {
  if (process_ <= 0) return;
  ::kill(process_, SIGKILL);
  waitpid(process_, &status_, 0);
  process_ = -1;
}

}  // namespace glassbox::testing
