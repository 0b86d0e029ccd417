#include "app/cli/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "gpu/error.h"

namespace glassbox::app {
namespace {

// A signal handler may not touch a stop_source: it writes to a pipe that a thread waits at.
std::atomic<int> watched_pipe = -1;

void write_press(int) {
  const char press = 'i';
  [[maybe_unused]] const auto written = ::write(watched_pipe, &press, 1);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  require(pipe(pipe_) == 0, "cannot make a pipe for Ctrl+C");
  watched_pipe = pipe_[1];
  struct sigaction action {};
  action.sa_handler = write_press;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &before_);
  waiter_ = std::thread([this] {
    char press = 0;
    while (read(pipe_[0], &press, 1) == 1 && press == 'i') {
      if (source_.stop_requested()) std::_Exit(130);
      source_.request_stop();
    }
  });
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &before_, nullptr);
  const char quit = 'q';
  [[maybe_unused]] const auto written = ::write(pipe_[1], &quit, 1);
  waiter_.join();
  close(pipe_[0]);
  close(pipe_[1]);
}

}  // namespace glassbox::app
