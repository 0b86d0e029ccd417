#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace glassbox::testing {

using Environment = std::map<std::string, std::string>;  ///< on top of this process's own
using Arguments = std::vector<std::string>;              ///< the program's path first

/// Longer than any child here takes, a loaded build server included.
constexpr std::chrono::seconds patience{120};

struct ProcessResult {
  int exit_code;  ///< the signal's number, negative, where one ended it
  std::string out, err;
  /// Most memory it was seen to have, every 20 ms: proportional set size, in which pages that several mappings share
  /// count once (the resident set has them as often as they are mapped).
  std::size_t peak_bytes = 0;
};

/// Runs a program to its end with `input` on its stdin. Throws Error, and kills it, where it takes longer than
/// `timeout`.
ProcessResult run_process(const Arguments& arguments, std::string_view input = "", const Environment& environment = {},
                          std::chrono::milliseconds timeout = patience);

/// A program with a terminal of its own (80 x 24) as stdin, stdout and stderr; killed with the object.
class TerminalProcess {
 public:
  TerminalProcess(const Arguments& arguments, const Environment& environment);
  ~TerminalProcess();
  TerminalProcess(const TerminalProcess&) = delete;
  TerminalProcess& operator=(const TerminalProcess&) = delete;

  /// Presses keys: "\n" is Enter, "\x03" Ctrl+C, "\x04" Ctrl+D.
  void type(std::string_view keys);
  /// Waits until `text` is on the screen after what the last call found. Returns what came before it. Throws Error with
  /// everything since the last call where that does not happen.
  std::string wait_for(std::string_view text, std::chrono::milliseconds timeout = patience);
  /// Waits for its end: the exit code, or a signal's number, negative.
  int wait(std::chrono::milliseconds timeout = patience);
  /// Ends it at once, as a crash or the system would.
  void kill();
  /// All that it wrote, "\r\n" as "\n".
  const std::string& screen() const { return screen_; }

 private:
  bool read_some(std::chrono::steady_clock::time_point deadline);

  pid_t process_ = -1;
  int terminal_ = -1;
  int status_ = 0;
  std::string screen_;
  std::size_t found_ = 0;
};

}  // namespace glassbox::testing
