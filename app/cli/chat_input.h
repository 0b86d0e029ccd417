#pragma once

#include <csignal>
#include <string>

namespace glassbox::app {

enum class InputEvent {
  line,
  interrupt,  ///< Ctrl+C; what was typed of a line is gone, as the terminal throws it away too
  end         ///< Ctrl+D on an empty line, or the end of a file
};

/// Lines of stdin, typed with the terminal's own editing or from a pipe. In a terminal it takes Ctrl+C while it lives,
/// except where an InterruptGuard does; a press at any other moment counts at the next read(). One at a time.
class LineReader {
 public:
  explicit LineReader(bool interactive);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// The line comes without its end ("\n" or "\r\n"). Throws Error where stdin cannot be read.
  InputEvent read(std::string& line);

 private:
  bool take_line(std::string& line);

  int pipe_[2] = {-1, -1};
  struct sigaction before_ {};
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace glassbox::app
