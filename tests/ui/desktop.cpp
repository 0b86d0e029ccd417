#include "tests/ui/desktop.h"

#include <X11/XKBlib.h>
#include <X11/Xlib.h>
#include <X11/Xutil.h>
#include <X11/extensions/XTest.h>
#include <X11/keysym.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stb_image_write.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>

extern char** environ;

namespace glassbox::testing {
namespace {

using Clock = std::chrono::steady_clock;

pid_t spawn(const Arguments& arguments, const Environment& environment, int inherited = -1) {
  std::vector<std::string> strings;
  for (char** at = environ; *at; ++at) {
    const std::string_view entry = *at;
    if (!environment.contains(std::string(entry.substr(0, entry.find('='))))) strings.emplace_back(entry);
  }
  for (const auto& [name, value] : environment) strings.push_back(name + "=" + value);
  std::vector<char*> variables, words;
  for (auto& text : strings) variables.push_back(text.data());
  variables.push_back(nullptr);
  auto copies = arguments;
  for (auto& text : copies) words.push_back(text.data());
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (inherited >= 0) posix_spawn_file_actions_adddup2(&actions, inherited, 3);
  pid_t process = -1;
  const int error = posix_spawnp(&process, words[0], &actions, nullptr, words.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  require(error == 0, "{} cannot be started: {}", arguments[0], std::strerror(error));
  return process;
}

/// The number of the display that Xvfb chose.
std::string read_number(int from) {
  std::string text;
  pollfd wait{from, POLLIN, 0};
  while (text.find('\n') == std::string::npos) {
    char c = 0;
    require(poll(&wait, 1, 20000) > 0 && ::read(from, &c, 1) == 1, "Xvfb does not start");
    text += c;
  }
  return text.substr(0, text.find('\n'));
}

/// Shared by all homes of a run: what drivers compile is the same.
const TempDir& compiled_kernels() {
  static const TempDir directory;
  return directory;
}

}  // namespace

std::size_t Picture::different_from(const Picture& other) const {
  if (width != other.width || height != other.height) return static_cast<std::size_t>(width) * height;
  std::size_t count = 0;
  for (std::size_t i = 0; i < pixels.size(); i += 3) count += !std::equal(&pixels[i], &pixels[i] + 3, &other.pixels[i]);
  return count;
}

std::size_t Picture::colours() const {
  std::set<std::uint32_t> found;
  for (std::size_t i = 0; i < pixels.size(); i += 3) found.insert(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
  return found.size();
}

void Picture::save_png(const std::filesystem::path& path) const {
  require(stbi_write_png(path.c_str(), width, height, 3, pixels.data(), width * 3) != 0, "{}: cannot be written",
          path.string());
}

Desktop::Desktop(int width, int height) {
  int ends[2];
  require(pipe2(ends, O_CLOEXEC) == 0, "no pipe for Xvfb");
  server_ =
      spawn({"Xvfb", "-displayfd", "3", "-screen", "0", fmt::format("{}x{}x24", width, height), "-nolisten", "tcp"}, {},
            ends[1]);
  ::close(ends[1]);
  display_name_ = ":" + read_number(ends[0]);
  ::close(ends[0]);
  display_ = XOpenDisplay(display_name_.c_str());
  require(display_ != nullptr, "no display {}", display_name_);
}

Desktop::~Desktop() {
  if (program_ > 0) kill();
  if (display_) XCloseDisplay(display_);
  if (server_ > 0) {
    ::kill(server_, SIGTERM);
    waitpid(server_, nullptr, 0);
  }
}

void Desktop::start(const Arguments& arguments, const Environment& environment) {
  Arguments all{GLASSBOX_BINARY};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const auto landmarks = home() / "landmarks.json";
  std::filesystem::remove(landmarks);
  Environment variables = {{"DISPLAY", display_name_},
                           {"HOME", home()},
                           {"XDG_DATA_HOME", home() / "data"},
                           {"XDG_CONFIG_HOME", home() / "config"},
                           {"XDG_CACHE_HOME", compiled_kernels().path()},
                           {"GLASSBOX_LANDMARKS", landmarks}};
  variables["WAYLAND_DISPLAY"] = "";
  // Leaks of the panels and of the worker show in their own tests; here drivers that GLFW unloads would be named.
  variables["ASAN_OPTIONS"] = "detect_leaks=0";
  variables.insert(environment.begin(), environment.end());
  program_ = spawn(all, variables);
  until("the first frame", [](const auto& seen) { return seen.value("frames", 0) > 2; });
  XSetInputFocus(display_, window(), RevertToParent, CurrentTime);
  XSync(display_, False);
}

void Desktop::kill() {
  ::kill(program_, SIGKILL);
  waitpid(program_, nullptr, 0);
  program_ = -1;
}

int Desktop::close() {
  XEvent event{};
  event.xclient.type = ClientMessage;
  event.xclient.window = window();
  event.xclient.message_type = XInternAtom(display_, "WM_PROTOCOLS", False);
  event.xclient.format = 32;
  event.xclient.data.l[0] = static_cast<long>(XInternAtom(display_, "WM_DELETE_WINDOW", False));
  XSendEvent(display_, event.xclient.window, False, NoEventMask, &event);
  XSync(display_, False);
  const auto deadline = Clock::now() + patience;
  int status = 0;
  while (waitpid(program_, &status, WNOHANG) == 0) {
    require(Clock::now() < deadline, "the window does not close");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  program_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// The only top-level window large enough to be the program's.
unsigned long Desktop::window() const {
  Window root = 0, parent = 0, *children = nullptr, found = 0;
  unsigned count = 0;
  XQueryTree(display_, DefaultRootWindow(display_), &root, &parent, &children, &count);
  for (unsigned i = 0; i < count; ++i) {
    XWindowAttributes attributes;
    if (XGetWindowAttributes(display_, children[i], &attributes) && attributes.map_state == IsViewable &&
        attributes.width > 100)
      found = children[i];
  }
  if (children) XFree(children);
  require(found != 0, "the program has no window");
  return found;
}

void Desktop::resize(int width, int height) {
  XMoveResizeWindow(display_, window(), 0, 0, static_cast<unsigned>(width), static_cast<unsigned>(height));
  XSync(display_, False);
  until_idle();
}

void Desktop::move(int x, int y) {
  XTestFakeMotionEvent(display_, -1, x, y, CurrentTime);
  XSync(display_, False);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

void Desktop::click(int x, int y, int button) {
  move(x, y);
  for (const bool down : {true, false}) {
    XTestFakeButtonEvent(display_, static_cast<unsigned>(button), down, CurrentTime);
    XSync(display_, False);
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
}

void Desktop::click(const std::string& landmark, int button) {
  const auto at = where(landmark);
  click(at.x + at.width / 2, at.y + at.height / 2, button);
}

void Desktop::tap(const std::string& landmark, std::chrono::milliseconds pause) {
  const auto at = where(landmark);
  XTestFakeMotionEvent(display_, -1, at.x + at.width / 2, at.y + at.height / 2, CurrentTime);
  XSync(display_, False);
  std::this_thread::sleep_for(pause);
  for (const int down : {True, False}) XTestFakeButtonEvent(display_, 1, down, CurrentTime);
  XSync(display_, False);
}

void Desktop::point(const std::string& landmark) {
  const auto at = where(landmark);
  move(at.x + at.width / 2, at.y + at.height / 2);
}

void Desktop::drag(const std::string& landmark, int dx, int dy) {
  const auto at = where(landmark);
  const int x = at.x + at.width / 2, y = at.y + at.height / 2;
  move(x, y);
  XTestFakeButtonEvent(display_, 1, True, CurrentTime);
  XSync(display_, False);
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  constexpr int steps = 8;
  for (int i = 1; i <= steps; ++i) move(x + dx * i / steps, y + dy * i / steps);
  XTestFakeButtonEvent(display_, 1, False, CurrentTime);
  XSync(display_, False);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

void Desktop::wheel(int x, int y, int notches) {
  move(x, y);
  for (int i = 0; i < std::abs(notches); ++i)
    for (const bool down : {true, false}) {
      XTestFakeButtonEvent(display_, notches > 0 ? 5 : 4, down, CurrentTime);
      XSync(display_, False);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

void Desktop::press(unsigned keycode, bool down) {
  XTestFakeKeyEvent(display_, keycode, down, CurrentTime);
  XSync(display_, False);
  std::this_thread::sleep_for(std::chrono::milliseconds(25));
}

void Desktop::type(std::string_view ascii) {
  for (const char c : ascii) {
    // Latin-1 key symbols are their characters; some need Shift on the server's keyboard.
    const KeySym symbol = c == '\n' ? XK_Return : static_cast<KeySym>(static_cast<unsigned char>(c));
    const KeyCode code = XKeysymToKeycode(display_, symbol);
    require(code != 0, "no key for '{}'", c);
    const bool shifted = XkbKeycodeToKeysym(display_, code, 0, 0) != symbol;
    const KeyCode shift = XKeysymToKeycode(display_, XK_Shift_L);
    if (shifted) press(shift, true);
    press(code, true);
    press(code, false);
    if (shifted) press(shift, false);
  }
}

void Desktop::key(std::string_view combination) {
  std::vector<KeyCode> held;
  while (true) {
    const auto plus = combination.find('+');
    const std::string name(combination.substr(0, plus));
    const KeySym symbol = name == "ctrl"    ? XK_Control_L
                          : name == "shift" ? XK_Shift_L
                          : name == "alt"   ? XK_Alt_L
                                            : XStringToKeysym(name.c_str());
    require(symbol != NoSymbol, "no key is called {}", name);
    held.push_back(XKeysymToKeycode(display_, symbol));
    if (plus == std::string_view::npos) break;
    combination.remove_prefix(plus + 1);
  }
  for (const auto code : held) press(code, true);
  for (auto code = held.rbegin(); code != held.rend(); ++code) press(*code, false);
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
}

nlohmann::json Desktop::seen() const {
  std::ifstream file(home() / "landmarks.json");
  return nlohmann::json::parse(file, nullptr, false);
}

void Desktop::until(std::string_view what, const std::function<bool(const nlohmann::json&)>& condition,
                    std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (true) {
    const auto now = seen();
    if (now.is_object() && condition(now)) return;
    int status = 0;
    if (program_ > 0 && waitpid(program_, &status, WNOHANG) == program_) {
      program_ = -1;
      fail("the program ended (status {}) while waiting for {}", status, what);
    }
    require(Clock::now() < deadline, "{} did not come about; last seen: {}", what, now.dump());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void Desktop::until_idle() {
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  until("rest", [](const auto& now) { return !now.value("busy", true); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

Desktop::Rectangle Desktop::where(const std::string& landmark) {
  until(
      landmark, [&](const auto& now) { return now.at("rectangles").contains(landmark); }, std::chrono::seconds(10));
  const auto r = seen().at("rectangles").at(landmark).get<std::vector<float>>();
  return {static_cast<int>(r[0]), static_cast<int>(r[1]), static_cast<int>(r[2]), static_cast<int>(r[3])};
}

Picture Desktop::picture() {
  XWindowAttributes attributes;
  XGetWindowAttributes(display_, window(), &attributes);
  XImage* image = XGetImage(display_, window(), 0, 0, static_cast<unsigned>(attributes.width),
                            static_cast<unsigned>(attributes.height), AllPlanes, ZPixmap);
  require(image != nullptr, "no picture of the window");
  Picture picture{attributes.width, attributes.height, {}};
  picture.pixels.reserve(static_cast<std::size_t>(picture.width) * picture.height * 3);
  for (int y = 0; y < picture.height; ++y)
    for (int x = 0; x < picture.width; ++x) {
      const auto value = XGetPixel(image, x, y);
      for (const int shift : {16, 8, 0}) picture.pixels.push_back(static_cast<std::uint8_t>(value >> shift));
    }
  XDestroyImage(image);
  return picture;
}

Picture Desktop::picture(const std::string& landmark) {
  const auto whole = picture();
  auto at = where(landmark);
  at.x = std::clamp(at.x, 0, whole.width);
  at.y = std::clamp(at.y, 0, whole.height);
  at.width = std::min(at.width, whole.width - at.x);
  at.height = std::min(at.height, whole.height - at.y);
  Picture part{at.width, at.height, {}};
  for (int y = at.y; y < at.y + at.height; ++y) {
    const auto row = whole.pixels.begin() + 3L * (static_cast<long>(y) * whole.width + at.x);
    part.pixels.insert(part.pixels.end(), row, row + 3L * at.width);
  }
  return part;
}

Picture Desktop::picture_unlike(const Picture& before, std::size_t pixels, const std::string& landmark) {
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  while (true) {
    until_idle();
    auto now = landmark.empty() ? picture() : picture(landmark);
    if (now.different_from(before) > pixels || Clock::now() > deadline) return now;
  }
}

}  // namespace glassbox::testing
