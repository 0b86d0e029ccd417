#include "app/ui/renderer.h"

#include <GLES3/gl3.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

constexpr const char* vertex_source = R"(#version 300 es
layout(location = 0) in vec2 position;
layout(location = 1) in vec2 texture_position;
layout(location = 2) in vec4 vertex_colour;
uniform vec4 projection;
out vec2 at;
out vec4 colour;
void main() {
  at = texture_position;
  colour = vertex_colour;
  gl_Position = vec4(position * projection.xy + projection.zw, 0.0, 1.0);
}
)";
constexpr const char* fragment_source = R"(#version 300 es
precision mediump float;
uniform sampler2D image;
in vec2 at;
in vec4 colour;
out vec4 pixel;
void main() { pixel = colour * texture(image, at); }
)";

GLuint compile(GLenum stage, const char* source) {
  const GLuint shader = glCreateShader(stage);
  glShaderSource(shader, 1, &source, nullptr);
  glCompileShader(shader);
  return shader;
}

}  // namespace

Renderer::Renderer() {
  program_ = glCreateProgram();
  const GLuint shaders[] = {compile(GL_VERTEX_SHADER, vertex_source), compile(GL_FRAGMENT_SHADER, fragment_source)};
  for (const auto shader : shaders) glAttachShader(program_, shader);
  glLinkProgram(program_);
  for (const auto shader : shaders) glDeleteShader(shader);
  GLint linked = 0;
  glGetProgramiv(program_, GL_LINK_STATUS, &linked);
  if (!linked) {
    std::array<char, 512> log{};
    glGetProgramInfoLog(program_, log.size(), nullptr, log.data());
    glDeleteProgram(program_);
    fail("the window's shaders do not link on {}: {}", reinterpret_cast<const char*>(glGetString(GL_RENDERER)),
         log.data());
  }
  projection_ = glGetUniformLocation(program_, "projection");
  glGenVertexArrays(1, &vertex_array_);
  glGenBuffers(2, buffers_.data());
  auto& io = ImGui::GetIO();
  io.BackendRendererName = "glassbox";
  io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
}

Renderer::~Renderer() {
  glDeleteTextures(1, &font_texture_);
  glDeleteBuffers(2, buffers_.data());
  glDeleteVertexArrays(1, &vertex_array_);
  glDeleteProgram(program_);
}

void Renderer::upload_fonts() {
  auto& fonts = *ImGui::GetIO().Fonts;
  unsigned char* pixels = nullptr;
  int width = 0, height = 0;
  fonts.GetTexDataAsRGBA32(&pixels, &width, &height);
  if (!font_texture_) glGenTextures(1, &font_texture_);
  glBindTexture(GL_TEXTURE_2D, font_texture_);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, pixels);
  fonts.SetTexID(reinterpret_cast<ImTextureID>(static_cast<std::uintptr_t>(font_texture_)));
  fonts.ClearTexData();
}

void Renderer::point_at(std::size_t first_vertex) const {
  const auto attribute = [&](GLuint location, GLint count, GLenum type, GLboolean normalized, std::size_t offset) {
    glEnableVertexAttribArray(location);
    glVertexAttribPointer(location, count, type, normalized, sizeof(ImDrawVert),
                          reinterpret_cast<const void*>(first_vertex * sizeof(ImDrawVert) + offset));
  };
  attribute(0, 2, GL_FLOAT, GL_FALSE, offsetof(ImDrawVert, pos));
  attribute(1, 2, GL_FLOAT, GL_FALSE, offsetof(ImDrawVert, uv));
  attribute(2, 4, GL_UNSIGNED_BYTE, GL_TRUE, offsetof(ImDrawVert, col));
}

void Renderer::set_up(const ImDrawData* data, int width, int height) const {
  glViewport(0, 0, width, height);
  glEnable(GL_BLEND);
  glBlendFuncSeparate(GL_SRC_ALPHA, GL_ONE_MINUS_SRC_ALPHA, GL_ONE, GL_ONE_MINUS_SRC_ALPHA);
  glDisable(GL_CULL_FACE);
  glDisable(GL_DEPTH_TEST);
  glEnable(GL_SCISSOR_TEST);
  glUseProgram(program_);
  glActiveTexture(GL_TEXTURE0);
  // y points down in ImGui, up in GL.
  glUniform4f(projection_, 2 / data->DisplaySize.x, -2 / data->DisplaySize.y,
              -1 - 2 * data->DisplayPos.x / data->DisplaySize.x, 1 + 2 * data->DisplayPos.y / data->DisplaySize.y);
  glBindVertexArray(vertex_array_);
  glBindBuffer(GL_ARRAY_BUFFER, buffers_[0]);
  glBindBuffer(GL_ELEMENT_ARRAY_BUFFER, buffers_[1]);
}

void Renderer::draw(const ImDrawData* data) {
  const auto scale = data->FramebufferScale;
  const int width = static_cast<int>(data->DisplaySize.x * scale.x);
  const int height = static_cast<int>(data->DisplaySize.y * scale.y);
  if (width <= 0 || height <= 0) return;
  set_up(data, width, height);
  for (int i = 0; i < data->CmdListsCount; ++i) {
    const ImDrawList& list = *data->CmdLists[i];
    glBufferData(GL_ARRAY_BUFFER, list.VtxBuffer.size_in_bytes(), list.VtxBuffer.Data, GL_STREAM_DRAW);
    glBufferData(GL_ELEMENT_ARRAY_BUFFER, list.IdxBuffer.size_in_bytes(), list.IdxBuffer.Data, GL_STREAM_DRAW);
    point_at(0);
    unsigned pointed = 0;
    for (const auto& command : list.CmdBuffer) {
      if (command.UserCallback) {
        if (command.UserCallback == ImDrawCallback_ResetRenderState)
          set_up(data, width, height);
        else
          command.UserCallback(&list, &command);
        continue;
      }
      const float left = std::max(0.0F, (command.ClipRect.x - data->DisplayPos.x) * scale.x);
      const float top = std::max(0.0F, (command.ClipRect.y - data->DisplayPos.y) * scale.y);
      const float right =
          std::min<float>(static_cast<float>(width), (command.ClipRect.z - data->DisplayPos.x) * scale.x);
      const float bottom =
          std::min<float>(static_cast<float>(height), (command.ClipRect.w - data->DisplayPos.y) * scale.y);
      if (right <= left || bottom <= top) continue;
      glScissor(static_cast<GLint>(left), height - static_cast<GLint>(bottom), static_cast<GLsizei>(right - left),
                static_cast<GLsizei>(bottom - top));
      if (command.VtxOffset != pointed) point_at(pointed = command.VtxOffset);  // ES 3.1 has no base vertex
      glBindTexture(GL_TEXTURE_2D, static_cast<GLuint>(reinterpret_cast<std::uintptr_t>(command.GetTexID())));
      glDrawElements(GL_TRIANGLES, static_cast<GLsizei>(command.ElemCount),
                     sizeof(ImDrawIdx) == 2 ? GL_UNSIGNED_SHORT : GL_UNSIGNED_INT,
                     reinterpret_cast<const void*>(command.IdxOffset * sizeof(ImDrawIdx)));
    }
  }
  glDisable(GL_SCISSOR_TEST);
}

}  // namespace glassbox::app::ui
