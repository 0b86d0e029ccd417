#include "tests/ui/canvas.h"

#include <GLES3/gl31.h>
#include <GLFW/glfw3.h>  // key codes only
#include <stb_image_write.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "app/ui/theme.h"
#include "gpu/error.h"

namespace glassbox::testing {
namespace {

std::unique_ptr<gpu::EglContext> open_context() {
  std::string reasons;
  for (const auto& candidate : gpu::egl_candidates()) {
    try {
      return std::make_unique<gpu::EglContext>(candidate, true);
    } catch (const Error& error) {
      reasons += std::string(" ") + error.what();
    }
  }
  fail("no OpenGL ES context for the canvas:{}", reasons);
}

/// As Dear ImGui's GLFW backend has them.
void map_keys(ImGuiIO& io) {
  constexpr std::pair<ImGuiKey, int> keys[] = {
      {ImGuiKey_Tab, GLFW_KEY_TAB},
      {ImGuiKey_LeftArrow, GLFW_KEY_LEFT},
      {ImGuiKey_RightArrow, GLFW_KEY_RIGHT},
      {ImGuiKey_UpArrow, GLFW_KEY_UP},
      {ImGuiKey_DownArrow, GLFW_KEY_DOWN},
      {ImGuiKey_PageUp, GLFW_KEY_PAGE_UP},
      {ImGuiKey_PageDown, GLFW_KEY_PAGE_DOWN},
      {ImGuiKey_Home, GLFW_KEY_HOME},
      {ImGuiKey_End, GLFW_KEY_END},
      {ImGuiKey_Insert, GLFW_KEY_INSERT},
      {ImGuiKey_Delete, GLFW_KEY_DELETE},
      {ImGuiKey_Backspace, GLFW_KEY_BACKSPACE},
      {ImGuiKey_Space, GLFW_KEY_SPACE},
      {ImGuiKey_Enter, GLFW_KEY_ENTER},
      {ImGuiKey_Escape, GLFW_KEY_ESCAPE},
      {ImGuiKey_KeyPadEnter, GLFW_KEY_KP_ENTER},
      {ImGuiKey_A, GLFW_KEY_A},
      {ImGuiKey_C, GLFW_KEY_C},
      {ImGuiKey_V, GLFW_KEY_V},
      {ImGuiKey_X, GLFW_KEY_X},
      {ImGuiKey_Y, GLFW_KEY_Y},
      {ImGuiKey_Z, GLFW_KEY_Z},
  };
  for (const auto& [imgui, glfw] : keys) io.KeyMap[imgui] = glfw;
}

}  // namespace

Canvas::Canvas(int width, int height, app::ui::Theme theme, float scale)
    : width_(width), height_(height), theme_(theme), scale_(scale), context_(open_context()) {
  glGenTextures(1, &colour_);
  glBindTexture(GL_TEXTURE_2D, colour_);
  glTexStorage2D(GL_TEXTURE_2D, 1, GL_RGBA8, width, height);
  glGenFramebuffers(1, &framebuffer_);
  glBindFramebuffer(GL_FRAMEBUFFER, framebuffer_);
  glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, colour_, 0);

  ImGui::CreateContext();
  auto& io = ImGui::GetIO();
  io.IniFilename = nullptr;
  io.LogFilename = nullptr;
  io.DisplaySize = {static_cast<float>(width), static_cast<float>(height)};
  io.DeltaTime = 1.0F / 60;
  map_keys(io);
  renderer_ = std::make_unique<app::ui::Renderer>();
  fonts_ = app::ui::load_fonts(scale);
  app::ui::apply_style(theme, scale);
  renderer_->upload_fonts();
}

Canvas::~Canvas() {
  renderer_.reset();
  ImGui::DestroyContext();
  glDeleteFramebuffers(1, &framebuffer_);
  glDeleteTextures(1, &colour_);
}

const app::ui::Palette& Canvas::palette() const { return app::ui::palette_of(theme_); }

void Canvas::frame(std::function<void()> draw) {
  draw_ = std::move(draw);
  run_frame();
}

void Canvas::frames(int count) {
  for (int i = 0; i < count; ++i) run_frame();
}

void Canvas::run_frame() {
  pixels_.clear();
  ++frame_count_;
  ImGui::NewFrame();
  ImGui::SetNextWindowPos({0, 0});
  ImGui::SetNextWindowSize({static_cast<float>(width_), static_cast<float>(height_)});
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, 0);
  ImGui::Begin("canvas", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
                   ImGuiWindowFlags_NoBringToFrontOnFocus);
  ImGui::PopStyleVar();
  if (draw_) draw_();
  ImGui::End();
  ImGui::Render();
}

void Canvas::move(ImVec2 to) {
  ImGui::GetIO().MousePos = to;
  frames(2);  // what is under the pointer is known a frame later
}

void Canvas::click(ImVec2 at, int button) {
  move(at);
  ImGui::GetIO().MouseDown[button] = true;
  run_frame();
  ImGui::GetIO().MouseDown[button] = false;
  frames(2);
}

void Canvas::double_click(ImVec2 at) {
  click(at);
  click(at);
}

void Canvas::drag(ImVec2 from, ImVec2 to, int button) {
  move(from);
  ImGui::GetIO().MouseDown[button] = true;
  run_frame();
  for (int i = 1; i <= 8; ++i) {
    const float t = static_cast<float>(i) / 8;
    ImGui::GetIO().MousePos = {std::lerp(from.x, to.x, t), std::lerp(from.y, to.y, t)};
    run_frame();
  }
  ImGui::GetIO().MouseDown[button] = false;
  frames(2);
}

void Canvas::wheel(ImVec2 at, float vertical, float horizontal) {
  move(at);
  ImGui::GetIO().MouseWheel = vertical;  // Dear ImGui clears it after the frame
  ImGui::GetIO().MouseWheelH = horizontal;
  frames(2);
}

void Canvas::set_modifiers(int modifiers) {
  auto& io = ImGui::GetIO();
  io.KeyCtrl = modifiers & GLFW_MOD_CONTROL;
  io.KeyShift = modifiers & GLFW_MOD_SHIFT;
  io.KeyAlt = modifiers & GLFW_MOD_ALT;
  io.KeySuper = modifiers & GLFW_MOD_SUPER;
}

void Canvas::hold(int modifiers) {
  set_modifiers(modifiers);
  run_frame();
}

void Canvas::key(int key, int modifiers) {
  set_modifiers(modifiers);
  ImGui::GetIO().KeysDown[key] = true;
  run_frame();
  ImGui::GetIO().KeysDown[key] = false;
  set_modifiers(0);
  frames(2);
}

void Canvas::type(std::string_view utf8) {
  ImGui::GetIO().AddInputCharactersUTF8(std::string(utf8).c_str());
  frames(2);
}

const std::vector<std::uint8_t>& Canvas::pixels() {
  if (!pixels_.empty()) return pixels_;
  require(ImGui::GetDrawData() != nullptr, "the canvas has drawn no frame yet");
  context_->make_current();
  glBindFramebuffer(GL_FRAMEBUFFER, framebuffer_);
  glDisable(GL_SCISSOR_TEST);
  glClearColor(0, 0, 0, 1);
  glClear(GL_COLOR_BUFFER_BIT);
  renderer_->draw(ImGui::GetDrawData());
  const auto row = static_cast<std::size_t>(width_) * 4;
  std::vector<std::uint8_t> upside_down(row * static_cast<std::size_t>(height_));
  glPixelStorei(GL_PACK_ALIGNMENT, 4);
  glReadPixels(0, 0, width_, height_, GL_RGBA, GL_UNSIGNED_BYTE, upside_down.data());
  const auto error = glGetError();
  require(error == GL_NO_ERROR, "drawing the frame raised GL error {:#x}", error);
  for (int y = height_ - 1; y >= 0; --y) {
    const auto* begin = upside_down.data() + row * static_cast<std::size_t>(y);
    pixels_.insert(pixels_.end(), begin, begin + row);
  }
  return pixels_;
}

ImVec4 Canvas::pixel(int x, int y) {
  require(x >= 0 && x < width_ && y >= 0 && y < height_, "pixel ({}, {}) is not on the canvas", x, y);
  const auto* p = pixels().data() +
                  4 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x));
  return {static_cast<float>(p[0]) / 255, static_cast<float>(p[1]) / 255, static_cast<float>(p[2]) / 255,
          static_cast<float>(p[3]) / 255};
}

std::size_t Canvas::count(Rect where, ImVec4 colour, float tolerance) {
  std::size_t found = 0;
  for (int y = where.y; y < where.y + where.height; ++y)
    for (int x = where.x; x < where.x + where.width; ++x) {
      const auto p = pixel(x, y);
      found += std::abs(p.x - colour.x) <= tolerance && std::abs(p.y - colour.y) <= tolerance &&
               std::abs(p.z - colour.z) <= tolerance;
    }
  return found;
}

std::size_t Canvas::colours(Rect where) {
  std::set<std::uint32_t> seen;
  for (int y = where.y; y < where.y + where.height; ++y)
    for (int x = where.x; x < where.x + where.width; ++x) seen.insert(ImGui::ColorConvertFloat4ToU32(pixel(x, y)));
  return seen.size();
}

int Canvas::vertices() const {
  const auto* data = ImGui::GetDrawData();
  return data ? data->TotalVtxCount : 0;
}

void Canvas::save_png(const std::filesystem::path& path) {
  auto opaque = pixels();
  for (std::size_t i = 3; i < opaque.size(); i += 4) opaque[i] = 255;
  require(stbi_write_png(path.c_str(), width_, height_, 4, opaque.data(), width_ * 4) != 0, "{}: cannot be written",
          path.string());
}

}  // namespace glassbox::testing
