#pragma once

#include <string>
#include <string_view>

namespace glassbox::app {

/// What the chat writes where. In a terminal: everything on stdout, notes dim. Through pipes: answers alone on stdout,
/// without escape codes, and notes on stderr.
class Terminal {
 public:
  Terminal();

  bool interactive() const { return interactive_; }

  /// Text of a model or a person. On a terminal, control characters other than newline and tab become U+FFFD: no answer
  /// may move the cursor or retitle the window. Throws Error where stdout cannot be written.
  void text(std::string_view text) const;
  /// A line of the program's own that a person asked for.
  void line(std::string_view text) const;
  /// A line about what happened.
  void note(std::string_view text) const;
  /// A line beside the answers, on stderr.
  void aside(std::string_view text) const;
  /// A line on stderr that says what went wrong.
  void error(std::string_view text) const;
  /// What stands before the cursor while a person types; nothing through pipes.
  void prompt(std::string_view text) const;

 private:
  bool screen_, interactive_, styled_;
};

/// "\e[2J" as "\uFFFD[2J": control characters of C0 and C1 except newline and tab, and DEL, become U+FFFD.
std::string without_controls(std::string_view text);

}  // namespace glassbox::app
