#include "app/cli/chat_input.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "gpu/error.h"

namespace glassbox::app {
namespace {

// The handler may run on any thread: it writes to a pipe that read() waits at beside stdin, so that no press is lost
// between a check and a wait.
std::atomic<int> write_end = -1;

void on_interrupt(int) {
  const int saved = errno;
  const char press = 'i';
  [[maybe_unused]] const auto written = ::write(write_end, &press, 1);
  errno = saved;
}

}  // namespace

LineReader::LineReader(bool interactive) {
  if (!interactive) return;
  if (pipe2(pipe_, O_NONBLOCK | O_CLOEXEC) != 0) fail("cannot make a pipe for Ctrl+C: {}", std::strerror(errno));
  write_end = pipe_[1];
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &before_);
}

LineReader::~LineReader() {
  if (pipe_[0] < 0) return;
  sigaction(SIGINT, &before_, nullptr);
  close(pipe_[0]);
  close(pipe_[1]);
}

bool LineReader::take_line(std::string& line) {
  const auto end = buffer_.find('\n');
  if (end == std::string::npos && (!ended_ || buffer_.empty())) return false;
  line = buffer_.substr(0, end);
  buffer_.erase(0, end == std::string::npos ? end : end + 1);
  if (line.ends_with('\r')) line.pop_back();
  return true;
}

InputEvent LineReader::read(std::string& line) {
  while (true) {
    // A negative descriptor is not waited for: pipes have no Ctrl+C of ours.
    std::array<pollfd, 2> waits{{{pipe_[0], POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
    const bool ready = take_line(line);
    if (poll(waits.data(), waits.size(), ready || ended_ ? 0 : -1) < 0 && errno != EINTR)
      fail("standard input cannot be waited for: {}", std::strerror(errno));
    if (waits[0].revents) {
      std::array<char, 16> presses;
      while (::read(pipe_[0], presses.data(), presses.size()) > 0) {
      }
      buffer_.clear();
      return InputEvent::interrupt;
    }
    if (ready) return InputEvent::line;
    if (ended_) return InputEvent::end;
    if (!waits[1].revents) continue;
    std::array<char, 4096> bytes;
    const auto count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    require(count >= 0 || errno == EINTR || errno == EAGAIN, "standard input cannot be read: {}", std::strerror(errno));
    if (count > 0)
      buffer_.append(bytes.data(), static_cast<std::size_t>(count));
    else if (count == 0)
      ended_ = true;
  }
}

}  // namespace glassbox::app
