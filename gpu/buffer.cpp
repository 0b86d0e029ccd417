#include "gpu/buffer.h"

#include <GLES3/gl32.h>

#include <cstring>

#include "gpu/device.h"
#include "gpu/egl.h"
#include "gpu/error.h"
#include "gpu/lanes.h"
#include "gpu/shared_memory.h"
#include "gpu/staging.h"

namespace glassbox::gpu {
namespace {

// EXT_buffer_storage's tokens, which ES 3.2's header lacks.
constexpr GLbitfield map_persistent = 0x0040, map_coherent = 0x0080, dynamic_storage = 0x0100;

using BufferStorage = void GL_APIENTRY(GLenum, GLsizeiptr, const void*, GLbitfield);
using TexBuffer = void GL_APIENTRY(GLenum, GLenum, GLuint);

/// EGL may answer for functions that the driver lacks, so the version decides which name is asked for.
TexBuffer* tex_buffer(const Features& features) {
  if (features.es_version >= 320) return gl_function<TexBuffer>("glTexBuffer");
  auto* const ext = gl_function<TexBuffer>("glTexBufferEXT");
  return ext ? ext : gl_function<TexBuffer>("glTexBufferOES");
}

}  // namespace

Buffer::Buffer(Device& device, std::size_t bytes, Access access)
    : device_(device), context_(device.context()), bytes_(bytes), names_(device.lane_count()) {
  require_usable();
  try {
    allocate(access);
  } catch (const Error&) {
    free();
    throw;
  }
}

Buffer::~Buffer() {
  // What is left in a closed context the driver freed with it; from another thread nothing can be freed before that.
  if (const auto context = context_.lock(); context && context->is_current()) free();
}

void Buffer::allocate(Access access) {
  const auto size = static_cast<GLsizeiptr>(bytes_);
  require(bytes_ > 0 && size > 0, "a buffer cannot have {} bytes", bytes_);
  auto* const storage = access == Access::mapped && device_.features().buffer_storage
                            ? gl_function<BufferStorage>("glBufferStorageEXT")
                            : nullptr;
  require(access == Access::copied || storage, "{}: no EXT_buffer_storage, buffers cannot stay mapped",
          device_.renderer());
  if (device_.lanes()) {
    share();
    if (access == Access::mapped) map_ = shared().data();
    return;
  }
  glGenBuffers(1, &names_[0].buffer);
  glBindBuffer(GL_SHADER_STORAGE_BUFFER, id());
  if (storage) {
    const GLbitfield flags = GL_MAP_READ_BIT | GL_MAP_WRITE_BIT | map_persistent | map_coherent;
    storage(GL_SHADER_STORAGE_BUFFER, size, nullptr, flags | dynamic_storage);
    map_ = static_cast<std::byte*>(glMapBufferRange(GL_SHADER_STORAGE_BUFFER, 0, size, flags));
  } else {
    glBufferData(GL_SHADER_STORAGE_BUFFER, size, nullptr, GL_DYNAMIC_COPY);
  }
  device_.check(fmt::format("allocating a buffer of {} bytes", bytes_));
  require(!storage || map_, "{}: cannot map a buffer of {} bytes", device_.renderer(), bytes_);
}

void Buffer::share() {
  shared_ = std::make_unique<SharedMemory>(bytes_);
  device_.lanes()->together([&](unsigned lane) {
    const auto names = shared_->import();
    names_[lane] = {names.buffer, names.memory, 0};
  });
  shared_->close_file();
  device_.check(fmt::format("allocating a buffer of {} bytes", bytes_));
}

void Buffer::free() {
  on_each_lane(device_.lanes(), [&](unsigned lane) {
    auto& names = names_[lane];
    if (names.texture) glDeleteTextures(1, &names.texture);
    if (shared_)
      SharedMemory::remove({names.memory, names.buffer});
    else
      glDeleteBuffers(1, &names.buffer);
  });
}

void Buffer::require_usable() const { require_current(context_); }

std::span<std::byte> Buffer::shared() const { return shared_ ? shared_->bytes() : std::span<std::byte>(); }

unsigned Buffer::texture(unsigned lane) {
  if (names_[0].texture || !device_.features().texel_buffers || bytes_ / 16 > device_.limits().texel_buffer_texels)
    return names_[lane].texture;
  TexBuffer* const attach = tex_buffer(device_.features());
  on_each_lane(device_.lanes(), [&](unsigned each) {
    auto& names = names_[each];
    glGenTextures(1, &names.texture);
    glBindTexture(GL_TEXTURE_BUFFER, names.texture);
    attach(GL_TEXTURE_BUFFER, GL_RGBA32UI, names.buffer);
  });
  device_.check("making a texel view of a buffer");
  return names_[lane].texture;
}

void Buffer::write(std::size_t offset, std::span<const std::byte> bytes) {
  require(offset <= bytes_ && bytes.size() <= bytes_ - offset, "writing {} bytes at {} of a buffer of {}", bytes.size(),
          offset, bytes_);
  if (bytes.empty()) return;
  require_usable();
  if (shared_) return shared_->write(offset, bytes);
  glBindBuffer(GL_SHADER_STORAGE_BUFFER, id());
  glMemoryBarrier(GL_BUFFER_UPDATE_BARRIER_BIT);
  glBufferSubData(GL_SHADER_STORAGE_BUFFER, static_cast<GLintptr>(offset), static_cast<GLsizeiptr>(bytes.size()),
                  bytes.data());
}

void Buffer::read(std::size_t offset, std::span<std::byte> bytes) const {
  require(offset <= bytes_ && bytes.size() <= bytes_ - offset, "reading {} bytes at {} of a buffer of {}", bytes.size(),
          offset, bytes_);
  if (bytes.empty()) return;
  require_usable();
  if (shared_) {
    std::memcpy(bytes.data(), shared_->bytes().data() + offset, bytes.size());
    return;
  }
  if (map_) {
    glMemoryBarrier(GL_ALL_BARRIER_BITS);
    device_.finish();
    std::memcpy(bytes.data(), map_ + offset, bytes.size());
    return;
  }
  device_.staging().read(id(), offset, bytes);
}

}  // namespace glassbox::gpu
