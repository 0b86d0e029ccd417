#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace glassbox::gpu {

class Device;
class EglContext;

/// A GL buffer. Its bytes can be bound as a storage block and, where the device has buffer textures, as RGBA32UI
/// texels.
class Buffer {
 public:
  /// How the CPU reaches the bytes.
  enum class Access {
    copied /* glBufferSubData to write, Staging to read */,
    mapped /* one persistent coherent map */
  };

  /// Throws Error where memory is short, or for Access::mapped where the device has no EXT_buffer_storage.
  Buffer(Device& device, std::size_t bytes, Access access = Access::copied);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  unsigned id() const { return id_; }
  std::size_t bytes() const { return bytes_; }
  /// The RGBA32UI view of the whole buffer, made at the first call; 0 where it does not fit the device's limits.
  unsigned texture();

  /// Throws Error unless its device is open and current on this thread.
  void require_usable() const;

  /// Ordered after every dispatch issued before. Throws Error out of range.
  void write(std::size_t offset, std::span<const std::byte> bytes);
  void read(std::size_t offset, std::span<std::byte> bytes) const;
  /// The persistent map; empty for Access::copied. The caller orders its use with Device::finish.
  std::span<std::byte> mapped() const { return {map_, map_ ? bytes_ : 0}; }

 private:
  void allocate(Access access);
  void free();

  Device& device_;
  std::weak_ptr<const EglContext> context_;
  std::size_t bytes_;
  unsigned id_ = 0;
  unsigned texture_ = 0;
  std::byte* map_ = nullptr;
};

}  // namespace glassbox::gpu
