#include "gpu/buffer.h"

#include <GLES3/gl32.h>

#include <cstring>

#include "gpu/device.h"
#include "gpu/egl.h"
#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

// EXT_buffer_storage's tokens, which ES 3.2's header lacks.
constexpr GLbitfield map_persistent = 0x0040, map_coherent = 0x0080, dynamic_storage = 0x0100;

using BufferStorage = void GL_APIENTRY(GLenum, GLsizeiptr, const void*, GLbitfield);
using TexBuffer = void GL_APIENTRY(GLenum, GLenum, GLuint);

TexBuffer* tex_buffer() {
  for (const char* name : {"glTexBuffer", "glTexBufferEXT", "glTexBufferOES"})
    if (auto* function = gl_function<TexBuffer>(name)) return function;
  return nullptr;
}

}  // namespace

Buffer::Buffer(Device& device, std::size_t bytes, Access access) : device_(device), bytes_(bytes) {
  glGenBuffers(1, &id_);
  glBindBuffer(GL_SHADER_STORAGE_BUFFER, id_);
  if (access == Access::mapped) {
    auto* storage = device.features().buffer_storage ? gl_function<BufferStorage>("glBufferStorageEXT") : nullptr;
    require(storage != nullptr, "{}: no EXT_buffer_storage, buffers cannot stay mapped", device.renderer());
    const GLbitfield flags = GL_MAP_READ_BIT | GL_MAP_WRITE_BIT | map_persistent | map_coherent;
    storage(GL_SHADER_STORAGE_BUFFER, static_cast<GLsizeiptr>(bytes), nullptr, flags | dynamic_storage);
    map_ =
        static_cast<std::byte*>(glMapBufferRange(GL_SHADER_STORAGE_BUFFER, 0, static_cast<GLsizeiptr>(bytes), flags));
    require(map_ != nullptr, "{}: cannot map a buffer of {} bytes", device.renderer(), bytes);
  } else {
    glBufferData(GL_SHADER_STORAGE_BUFFER, static_cast<GLsizeiptr>(bytes), nullptr, GL_DYNAMIC_COPY);
  }
  device.check(fmt::format("allocating a buffer of {} bytes", bytes));
}

Buffer::~Buffer() {
  if (texture_) glDeleteTextures(1, &texture_);
  glDeleteBuffers(1, &id_);
}

unsigned Buffer::texture() {
  if (texture_ || !device_.features().texel_buffers || bytes_ / 16 > device_.limits().texel_buffer_texels)
    return texture_;
  static TexBuffer* const attach = tex_buffer();
  glGenTextures(1, &texture_);
  glBindTexture(GL_TEXTURE_BUFFER, texture_);
  attach(GL_TEXTURE_BUFFER, GL_RGBA32UI, id_);
  device_.check("making a texel view of a buffer");
  return texture_;
}

void Buffer::write(std::size_t offset, std::span<const std::byte> bytes) {
  require(offset <= bytes_ && bytes.size() <= bytes_ - offset, "writing {} bytes at {} of a buffer of {}", bytes.size(),
          offset, bytes_);
  if (bytes.empty()) return;
  glBindBuffer(GL_SHADER_STORAGE_BUFFER, id_);
  glMemoryBarrier(GL_BUFFER_UPDATE_BARRIER_BIT);
  glBufferSubData(GL_SHADER_STORAGE_BUFFER, static_cast<GLintptr>(offset), static_cast<GLsizeiptr>(bytes.size()),
                  bytes.data());
}

void Buffer::read(std::size_t offset, std::span<std::byte> bytes) const {
  require(offset <= bytes_ && bytes.size() <= bytes_ - offset, "reading {} bytes at {} of a buffer of {}", bytes.size(),
          offset, bytes_);
  if (bytes.empty()) return;
  if (map_) {
    glMemoryBarrier(GL_ALL_BARRIER_BITS);
    device_.finish();
    std::memcpy(bytes.data(), map_ + offset, bytes.size());
    return;
  }
  glBindBuffer(GL_SHADER_STORAGE_BUFFER, id_);
  glMemoryBarrier(GL_BUFFER_UPDATE_BARRIER_BIT);
  const void* map = glMapBufferRange(GL_SHADER_STORAGE_BUFFER, static_cast<GLintptr>(offset),
                                     static_cast<GLsizeiptr>(bytes.size()), GL_MAP_READ_BIT);
  require(map != nullptr, "{}: cannot map {} bytes of a buffer for reading (OpenGL error {:#06x})", device_.renderer(),
          bytes.size(), glGetError());
  std::memcpy(bytes.data(), map, bytes.size());
  glUnmapBuffer(GL_SHADER_STORAGE_BUFFER);
}

}  // namespace glassbox::gpu
