#pragma once

#include <imgui.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/ui/frame.h"
#include "app/ui/renderer.h"
#include "gpu/egl.h"

namespace glassbox::testing {

/// A window that nobody sees, for the panels: an OpenGL ES context without a surface, a framebuffer, Dear ImGui with
/// the app's fonts, style and renderer, and hands. Keys are GLFW's, as in the app. One at a time.
///
///   Canvas canvas(800, 600);
///   canvas.frame([&] { panel.draw(frame); });  // from now on this is what is drawn
///   canvas.click({40, 20});
///   EXPECT_GT(canvas.count(canvas.all(), canvas.palette().accent), 100u);
class Canvas {
 public:
  explicit Canvas(int width = 1280, int height = 800, app::ui::Theme theme = app::ui::Theme::dark, float scale = 1);
  ~Canvas();
  Canvas(const Canvas&) = delete;
  Canvas& operator=(const Canvas&) = delete;

  app::ui::Theme theme() const { return theme_; }
  const app::ui::Fonts& fonts() const { return fonts_; }
  const app::ui::Palette& palette() const;
  float scale() const { return scale_; }

  /// One frame: `draw` within a window that fills the canvas. Later frames draw the same until told otherwise.
  void frame(std::function<void()> draw);
  void frames(int count = 1);
  /// 60 frames a second are simulated; tooltips and double clicks go by this clock.
  double seconds() const { return static_cast<double>(frame_count_) / 60; }

  // Each of these runs the frames it takes.
  void move(ImVec2 to);
  void click(ImVec2 at, int button = 0);
  void double_click(ImVec2 at);
  void drag(ImVec2 from, ImVec2 to, int button = 0);
  void wheel(ImVec2 at, float vertical, float horizontal = 0);
  /// A GLFW_KEY_*, with modifiers GLFW_MOD_* held.
  void key(int key, int modifiers = 0);
  /// Modifiers GLFW_MOD_* held from now on; 0 releases them.
  void hold(int modifiers);
  void type(std::string_view utf8);

  struct Rect {
    int x = 0, y = 0, width = 0, height = 0;
  };
  Rect all() const { return {0, 0, width_, height_}; }
  /// Of the last frame, as bytes red, green, blue, alpha; (0, 0) is the upper left corner.
  ImVec4 pixel(int x, int y);
  /// Pixels of the last frame within `tolerance` of a colour in each of red, green and blue.
  std::size_t count(Rect where, ImVec4 colour, float tolerance = 0.02F);
  /// Different colours among the pixels of the last frame: 1 where nothing was drawn.
  std::size_t colours(Rect where);
  /// Vertices of the last frame: what it costs to draw.
  int vertices() const;
  void save_png(const std::filesystem::path& path);

 private:
  const std::vector<std::uint8_t>& pixels();
  void run_frame();
  void set_modifiers(int modifiers);

  int width_, height_;
  app::ui::Theme theme_;
  float scale_;
  std::unique_ptr<gpu::EglContext> context_;
  unsigned framebuffer_ = 0, colour_ = 0;
  std::unique_ptr<app::ui::Renderer> renderer_;
  app::ui::Fonts fonts_;
  std::function<void()> draw_;
  std::vector<std::uint8_t> pixels_;  ///< of the last frame; empty until asked for
  std::uint64_t frame_count_ = 0;
};

}  // namespace glassbox::testing
