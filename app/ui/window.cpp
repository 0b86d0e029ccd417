#include "app/ui/window.h"

#define GLFW_INCLUDE_NONE
#include <GLES3/gl3.h>
#include <GLFW/glfw3.h>
#include <backends/imgui_impl_glfw.h>
#include <imgui.h>

#include <chrono>
#include <cmath>
#include <set>
#include <thread>

#include "app/live/worker.h"
#include "app/ui/key_queue.h"
#include "app/ui/landmarks.h"
#include "app/ui/model_dialog.h"
#include "app/ui/renderer.h"
#include "app/ui/shell.h"
#include "app/ui/theme.h"
#include "gpu/error.h"
#include "model/utf8.h"

namespace glassbox::app::ui {
namespace {

using Clock = std::chrono::steady_clock;

/// GLFW itself, its window and the GL context of the window.
class GlfwWindow {
 public:
  explicit GlfwWindow(const Preferences& preferences) {
    if (!glfwInit()) {
      const char* why = nullptr;
      glfwGetError(&why);
      fail("no window can be opened ({}); `glassbox chat` talks in this terminal", why ? why : "no display");
    }
    glfwWindowHint(GLFW_CLIENT_API, GLFW_OPENGL_ES_API);
    glfwWindowHint(GLFW_CONTEXT_CREATION_API, GLFW_EGL_CONTEXT_API);
    glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
    glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 1);
#ifdef GLASSBOX_DEBUG
    glfwWindowHint(GLFW_OPENGL_DEBUG_CONTEXT, GLFW_TRUE);
#endif
    glfwWindowHint(GLFW_MAXIMIZED, preferences.maximized ? GLFW_TRUE : GLFW_FALSE);
    glfwWindowHintString(GLFW_X11_CLASS_NAME, "glassbox");
    window_ = glfwCreateWindow(preferences.width, preferences.height, "Glassbox", nullptr, nullptr);
    if (!window_) {
      const char* why = nullptr;
      glfwGetError(&why);
      const std::string reason = why ? why : "no reason given";
      glfwTerminate();
      fail("no OpenGL ES 3.1 window can be opened ({}); `glassbox chat` talks in this terminal", reason);
    }
    glfwSetWindowSizeLimits(window_, 400, 300, GLFW_DONT_CARE, GLFW_DONT_CARE);
    glfwMakeContextCurrent(window_);
    glfwSwapInterval(1);
  }
  ~GlfwWindow() {
    glfwDestroyWindow(window_);
    glfwTerminate();
  }
  GlfwWindow(const GlfwWindow&) = delete;
  GlfwWindow& operator=(const GlfwWindow&) = delete;
  GLFWwindow* get() const { return window_; }

 private:
  GLFWwindow* window_ = nullptr;
};

/// Dear ImGui with its hands on the window.
class Gui {
 public:
  explicit Gui(GLFWwindow* window) {
    ImGui::CreateContext();
    auto& io = ImGui::GetIO();
    io.IniFilename = nullptr;  // the window remembers in window.json
    io.ConfigFlags |= ImGuiConfigFlags_NavEnableKeyboard;
    ImGui_ImplGlfw_InitForOther(window, false);
  }
  ~Gui() {
    ImGui_ImplGlfw_Shutdown();
    ImGui::DestroyContext();
  }
  Gui(const Gui&) = delete;
  Gui& operator=(const Gui&) = delete;
};

/// Code points that the conversation on screen needs and the fonts lack.
class MissingGlyphs {
 public:
  /// True when the fonts should be made anew with wanted().
  bool look_at(const live::Thread& thread, const Fonts& fonts) {
    bool missing = false;
    for (const auto& message : thread.messages)
      if (seen_.insert(message).second) missing |= look_at(message->content, fonts);
    if (seen_.size() > 4 * thread.messages.size() + 1000) seen_.clear();  // streamed ones pile up
    return missing;
  }
  const std::set<char32_t>& wanted() const { return wanted_; }

 private:
  bool look_at(std::string_view text, const Fonts& fonts) {
    bool missing = false;
    if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }))
      return false;
    for (const char32_t point : model::to_utf32(text))
      if (point >= 0x80 && !asked_.contains(point)) {
        asked_.insert(point);
        if (!has_glyph(fonts, point)) missing |= wanted_.insert(point).second;
      }
    return missing;
  }

  std::set<std::shared_ptr<const live::Message>> seen_;
  std::set<char32_t> asked_, wanted_;
};

constexpr int settling_frames = 3;  ///< that ImGui takes to come to rest after an event

struct Session {
  Shell& shell;
  KeyQueue keys;
  int redraw = 0;  ///< frames still to draw
};

/// The window's session, which something happened to: what came while the last frames of an event before were drawn
/// deserves as many, or a button let go during a slow frame would stay pressed until the next event.
Session& stirred(GLFWwindow* window) {
  auto& session = *static_cast<Session*>(glfwGetWindowUserPointer(window));
  session.redraw = settling_frames;
  return session;
}

/// Gives all that happens to the window to Dear ImGui, keys by the session's queue.
void listen(GLFWwindow* window) {
  glfwSetDropCallback(window, [](GLFWwindow* to, int count, const char** paths) {
    if (count > 0) stirred(to).shell.drop(paths[0]);
  });
  glfwSetKeyCallback(window, [](GLFWwindow* to, int key, int scancode, int action, int modifiers) {
    // ImGui repeats keys that are held by itself.
    if (action != GLFW_REPEAT)
      stirred(to).keys.push({.key = key, .scancode = scancode, .action = action, .modifiers = modifiers});
  });
  glfwSetCharCallback(window,
                      [](GLFWwindow* to, unsigned point) { stirred(to).keys.push({.text = true, .point = point}); });
  glfwSetMouseButtonCallback(window, [](GLFWwindow* to, int button, int action, int modifiers) {
    stirred(to);
    ImGui_ImplGlfw_MouseButtonCallback(to, button, action, modifiers);
  });
  glfwSetScrollCallback(window, [](GLFWwindow* to, double across, double down) {
    stirred(to);
    ImGui_ImplGlfw_ScrollCallback(to, across, down);
  });
  glfwSetWindowFocusCallback(window, [](GLFWwindow* to, int focused) {
    stirred(to);
    ImGui_ImplGlfw_WindowFocusCallback(to, focused);
  });
  glfwSetCursorEnterCallback(window, [](GLFWwindow* to, int entered) {
    stirred(to);
    ImGui_ImplGlfw_CursorEnterCallback(to, entered);
  });
  glfwSetCursorPosCallback(window, [](GLFWwindow* to, double, double) { stirred(to); });  // ImGui asks where it is
  glfwSetFramebufferSizeCallback(window, [](GLFWwindow* to, int, int) { stirred(to); });
  glfwSetWindowRefreshCallback(window, [](GLFWwindow* to) { stirred(to); });
}

}  // namespace

void run_window(WindowOptions options) {
  auto preferences = Preferences::load(options.preferences);
  if (!options.model_given && !preferences.recent_models.empty() && looks_like_model(preferences.recent_models.front()))
    options.engine.model = preferences.recent_models.front();
  const GlfwWindow window(preferences);
  const Gui gui(window.get());
  Renderer renderer;
  live::Worker worker({.store = options.store, .published = [] { glfwPostEmptyEvent(); }});
  Shell shell(worker, preferences, options.engine);
  const auto save = [&] {
    try {
      preferences.save(options.preferences);
    } catch (const std::exception&) {
      // A full disk must not close the window; what it looked like is no loss.
    }
  };
  shell.save = save;
  Session session{.shell = shell};
  glfwSetWindowUserPointer(window.get(), &session);
  listen(window.get());

  Fonts fonts;
  MissingGlyphs missing;
  float drawn_scale = 0;
  auto drawn_theme = preferences.theme;
  auto fonts_made = Clock::time_point();
  std::shared_ptr<const live::Snapshot> now = worker.snapshot();
  std::uint64_t revision = 0, frames = 0;
  bool more_glyphs = false;
  while (!glfwWindowShouldClose(window.get())) {
    // Frames cost processor time that the model may need: drawn when something happened, at most sixty a second.
    const auto frame_began = Clock::now();
    // A caret blinks, a notice goes away.
    const double waited = ImGui::GetIO().WantTextInput ? 0.5 : now->notice.number ? 1.0 : 60.0;
    if (session.redraw > 0) {
      --session.redraw;
      glfwPollEvents();
    } else {
      glfwWaitEventsTimeout(waited);
      const bool nothing = std::chrono::duration<double>(Clock::now() - frame_began).count() >= waited;
      if (!nothing) session.redraw = settling_frames;
    }

    now = worker.snapshot();
    if (now->revision != revision) {
      revision = now->revision;
      session.redraw = std::max(session.redraw, 1);
    }
    float across = 1, down = 1;
    glfwGetWindowContentScale(window.get(), &across, &down);
    int width = 0, height = 0, pixels = 0, pixel_rows = 0;
    glfwGetWindowSize(window.get(), &width, &height);
    glfwGetFramebufferSize(window.get(), &pixels, &pixel_rows);
    if (width == 0 || height == 0) continue;  // iconified
    // Where the system scales windows itself, coordinates are not pixels.
    const float scale =
        std::max(0.5F, across * static_cast<float>(width) / static_cast<float>(std::max(pixels, 1))) * preferences.zoom;
    if (fonts.body) more_glyphs |= missing.look_at(*now->thread, fonts);
    constexpr std::chrono::milliseconds rarely{700};
    if (scale != drawn_scale || (more_glyphs && frame_began - fonts_made > rarely)) {
      fonts = load_fonts(scale, missing.wanted());
      renderer.upload_fonts();
      fonts_made = Clock::now();
      more_glyphs = false;
    }
    if (scale != drawn_scale || preferences.theme != drawn_theme) apply_style(preferences.theme, scale);
    drawn_scale = scale;
    drawn_theme = preferences.theme;

    const bool more_keys = session.keys.drain([&](const KeyQueue::Event& event) {
      if (event.text)
        ImGui_ImplGlfw_CharCallback(window.get(), event.point);
      else
        ImGui_ImplGlfw_KeyCallback(window.get(), event.key, event.scancode, event.action, event.modifiers);
    });
    if (more_keys) session.redraw = std::max(session.redraw, 1);
    ImGui_ImplGlfw_NewFrame();
    ImGui::NewFrame();
    shell.draw(*now, fonts, scale);
    ImGui::Render();
    const auto background = ImGui::GetStyleColorVec4(ImGuiCol_WindowBg);
    glClearColor(background.x, background.y, background.z, 1);
    glClear(GL_COLOR_BUFFER_BIT);
    renderer.draw(ImGui::GetDrawData());
    glfwSwapBuffers(window.get());
    Landmarks::write(*now, ++frames);
    preferences.maximized = glfwGetWindowAttrib(window.get(), GLFW_MAXIMIZED);
    if (!preferences.maximized) {
      preferences.width = width;
      preferences.height = height;
    }
    constexpr std::chrono::microseconds frame{16'666};  // where nothing waits for the display's own rhythm
    std::this_thread::sleep_until(frame_began + frame);
  }
  save();
}

}  // namespace glassbox::app::ui
