#include "app/cli/chat_terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "gpu/error.h"
#include "model/utf8.h"

namespace glassbox::app {
namespace {

/// no-color.org: any value but the empty one.
bool wants_color() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return !(no_color && *no_color) && !(term && std::string_view(term) == "dumb");
}

void write(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    fail("standard output cannot be written: {}", std::strerror(errno));
}

}  // namespace

std::string without_controls(std::string_view text) {
  auto points = model::to_utf32(text);
  for (auto& point : points)
    if ((point < U' ' && point != U'\n' && point != U'\t') || (point >= 0x7F && point < 0xA0)) point = U'\uFFFD';
  return model::to_utf8(points);
}

Terminal::Terminal()
    : screen_(isatty(STDOUT_FILENO) == 1),
      interactive_(screen_ && isatty(STDIN_FILENO) == 1),
      styled_(interactive_ && wants_color()) {}

void Terminal::text(std::string_view text) const { write(screen_ ? without_controls(text) : std::string(text)); }

void Terminal::line(std::string_view text) const { this->text(fmt::format("{}\n", text)); }

void Terminal::note(std::string_view text) const {
  if (!interactive_) return error(text);
  if (styled_) write("\033[2m");
  this->text(text);
  write(styled_ ? "\033[0m\n" : "\n");
}

void Terminal::aside(std::string_view text) const { fmt::print(stderr, "{}\n", without_controls(text)); }

void Terminal::error(std::string_view text) const { aside(fmt::format("glassbox: {}", text)); }

void Terminal::prompt(std::string_view text) const {
  if (interactive_) write(styled_ ? fmt::format("\033[1m{}\033[0m", text) : std::string(text));
}

}  // namespace glassbox::app
