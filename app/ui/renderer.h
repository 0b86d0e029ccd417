#pragma once

#include <imgui.h>

#include <array>

namespace glassbox::app::ui {

/// Draws what Dear ImGui lays out with OpenGL ES 3: one program, one vertex array. Of the context that is current when
/// it is made.
class Renderer {
 public:
  /// Throws Error where the driver refuses the program.
  Renderer();
  ~Renderer();
  Renderer(const Renderer&) = delete;
  Renderer& operator=(const Renderer&) = delete;

  /// Rasterises ImGuiIO::Fonts and makes it their texture, in place of the one before.
  void upload_fonts();
  /// Draws into the bound framebuffer, from its lower left corner.
  void draw(const ImDrawData* data);

 private:
  void set_up(const ImDrawData* data, int width, int height) const;
  void point_at(std::size_t first_vertex) const;

  unsigned program_ = 0, vertex_array_ = 0, font_texture_ = 0;
  std::array<unsigned, 2> buffers_{};  ///< vertices, indices
  int projection_ = -1;
};

}  // namespace glassbox::app::ui
