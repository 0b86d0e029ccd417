#include "gpu/staging.h"

#include <GLES3/gl32.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "gpu/device.h"
#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

constexpr std::size_t smallest = std::size_t{64} << 10, largest = std::size_t{16} << 20;

}  // namespace

Staging::~Staging() {
  if (id_) glDeleteBuffers(1, &id_);
}

void Staging::read(unsigned source, std::size_t offset, std::span<std::byte> bytes) {
  glMemoryBarrier(GL_BUFFER_UPDATE_BARRIER_BIT);
  glBindBuffer(GL_COPY_READ_BUFFER, source);
  if (!id_) glGenBuffers(1, &id_);
  glBindBuffer(GL_COPY_WRITE_BUFFER, id_);
  if (const auto wanted = std::clamp(std::bit_ceil(bytes.size()), smallest, largest); wanted > bytes_) {
    bytes_ = 0;
    glBufferData(GL_COPY_WRITE_BUFFER, static_cast<GLsizeiptr>(wanted), nullptr, GL_STREAM_READ);
    device_.check(fmt::format("allocating {} bytes for reading back", wanted));
    bytes_ = wanted;
  }
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), bytes_);
    glCopyBufferSubData(GL_COPY_READ_BUFFER, GL_COPY_WRITE_BUFFER, static_cast<GLintptr>(offset), 0,
                        static_cast<GLsizeiptr>(count));
    const void* map = glMapBufferRange(GL_COPY_WRITE_BUFFER, 0, static_cast<GLsizeiptr>(count), GL_MAP_READ_BIT);
    if (!map) {
      device_.check(fmt::format("mapping {} bytes for reading back", count));
      fail("{}: cannot map {} bytes for reading back", device_.renderer(), count);
    }
    std::memcpy(bytes.data(), map, count);
    glUnmapBuffer(GL_COPY_WRITE_BUFFER);
    offset += count;
    bytes = bytes.subspan(count);
  }
}

}  // namespace glassbox::gpu
