#include "app/cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace glassbox::app {

using namespace std::chrono_literals;

ProgressBar::ProgressBar() : terminal_(isatty(STDERR_FILENO) == 1), started_(std::chrono::steady_clock::now()) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::update(std::string_view what, std::size_t done, std::size_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || now - started_ < 300ms || now - last_ < 50ms || total == 0) return;
  last_ = now;
  constexpr std::size_t width = 30;
  const std::size_t filled = width * done / total;
  fmt::print(stderr, "\r\033[K{:<22} [{}{}] {:3}%", what, std::string(filled, '#'), std::string(width - filled, ' '),
             100 * done / total);
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressBar::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

model::Progress ProgressBar::callback() {
  return [this](std::string_view what, std::size_t done, std::size_t total) { update(what, done, total); };
}

}  // namespace glassbox::app
