#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace glassbox::gpu {

class Device;
class EglContext;
class SharedMemory;

/// A GL buffer. Its bytes can be bound as a storage block and, where the device has buffer textures, as RGBA32UI
/// texels. On a device with lanes it is memory that all of them and the CPU share, under a name in each.
class Buffer {
 public:
  /// How the CPU reaches the bytes.
  enum class Access {
    copied /* glBufferSubData to write, Staging to read; memcpy where it is shared */,
    mapped /* one persistent coherent map */
  };

  /// Throws Error where memory is short, or for Access::mapped where the device has no EXT_buffer_storage.
  Buffer(Device& device, std::size_t bytes, Access access = Access::copied);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  unsigned id(unsigned lane = 0) const { return names_[lane].buffer; }
  std::size_t bytes() const { return bytes_; }
  /// The RGBA32UI view of the whole buffer, made at the first call; 0 where it does not fit the device's limits.
  unsigned texture(unsigned lane = 0);

  /// Throws Error unless its device is open and current on this thread.
  void require_usable() const;

  /// Ordered after every dispatch issued before. Throws Error out of range.
  void write(std::size_t offset, std::span<const std::byte> bytes);
  void read(std::size_t offset, std::span<std::byte> bytes) const;
  /// The persistent map; empty for Access::copied. The caller orders its use with Device::finish.
  std::span<std::byte> mapped() const { return {map_, map_ ? bytes_ : 0}; }
  /// The memory itself on a device with lanes, else empty: they compute while a plan runs and at no other time.
  std::span<std::byte> shared() const;

 private:
  struct Names {
    unsigned buffer = 0, memory = 0, texture = 0;
  };
  void allocate(Access access);
  void share();
  void free();

  Device& device_;
  std::weak_ptr<const EglContext> context_;
  std::size_t bytes_;
  std::vector<Names> names_;  ///< by lane
  std::unique_ptr<SharedMemory> shared_;
  std::byte* map_ = nullptr;
};

}  // namespace glassbox::gpu
