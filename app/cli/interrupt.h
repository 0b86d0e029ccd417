#pragma once

#include <csignal>
#include <stop_token>
#include <thread>

namespace glassbox::app {

/// While it lives, Ctrl+C asks the work under way to stop within a token instead of ending the program; a second Ctrl+C
/// ends it. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  struct sigaction before_ {};
  int pipe_[2] = {-1, -1};
  std::thread waiter_;
};

}  // namespace glassbox::app
