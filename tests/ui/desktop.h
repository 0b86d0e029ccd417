#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/process.h"
#include "tests/support.h"

struct _XDisplay;

namespace glassbox::testing {

/// A picture of a part of the screen, RGB.
struct Picture {
  int width = 0, height = 0;
  std::vector<std::uint8_t> pixels;                        ///< width * height * 3
  std::size_t different_from(const Picture& other) const;  ///< pixels; all of them where the sizes differ
  std::size_t colours() const;
  void save_png(const std::filesystem::path& path) const;
};

/// An X server without a screen (Xvfb), a keyboard and a mouse, and the program's window on it: what a person has.
class Desktop {
 public:
  explicit Desktop(int width = 1280, int height = 800);
  ~Desktop();
  Desktop(const Desktop&) = delete;
  Desktop& operator=(const Desktop&) = delete;

  /// Starts the program in a home of its own, which outlives each run. Returns once it has drawn a frame.
  void start(const Arguments& arguments = {}, const Environment& environment = {});
  bool running() const { return program_ > 0; }
  void kill();  ///< kill -9
  int close();  ///< as the window's close button does; the exit code
  void resize(int width, int height);
  const std::filesystem::path& home() const { return home_.path(); }
  std::filesystem::path store() const { return home() / "data/glassbox/conversations.db"; }

  // The pointer and the keys, as events of the X server.
  void move(int x, int y);
  void click(int x, int y, int button = 1);
  void click(const std::string& landmark, int button = 1);
  /// Moves there, and after `pause` presses and lets go at once, as it seems to a program that draws slowly.
  void tap(const std::string& landmark, std::chrono::milliseconds pause);
  void point(const std::string& landmark);
  void drag(const std::string& landmark, int dx, int dy);
  void wheel(int x, int y, int notches);  ///< down is positive
  void type(std::string_view ascii);
  void key(std::string_view combination);  ///< "ctrl+n", "Escape", "shift+Return": X11's names

  /// What the window wrote after its last frame.
  nlohmann::json seen() const;
  /// Waits until that holds; fails the test with what was seen last where it does not.
  void until(std::string_view what, const std::function<bool(const nlohmann::json&)>& condition,
             std::chrono::milliseconds timeout = patience);
  void until_idle();  ///< nothing under way for a few frames
  struct Rectangle {
    int x, y, width, height;
  };
  Rectangle where(const std::string& landmark);
  Picture picture();
  Picture picture(const std::string& landmark);
  /// The first one of which more than `pixels` are not as before; after 20 s, whatever there is: a busy machine takes
  /// an event long after it was sent, and rests until then.
  Picture picture_unlike(const Picture& before, std::size_t pixels, const std::string& landmark = {});

 private:
  void press(unsigned keycode, bool down);
  unsigned long window() const;

  TempDir home_;
  std::string display_name_;
  pid_t server_ = -1, program_ = -1;
  _XDisplay* display_ = nullptr;
};

}  // namespace glassbox::testing
