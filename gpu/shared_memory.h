#pragma once

#include <cstddef>
#include <span>

namespace glassbox::gpu {

/// Memory that the CPU and any number of llvmpipe's contexts see at once: a file in memory (memfd), mapped here and
/// imported by each context (GL_EXT_memory_object_fd).
class SharedMemory {
 public:
  /// Zeros. Throws Error where the machine has no memory for it.
  explicit SharedMemory(std::size_t bytes);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  /// For whoever keeps contexts from computing meanwhile.
  std::span<std::byte> bytes() const { return {map_ + header_bytes, bytes_}; }
  void write(std::size_t offset, std::span<const std::byte> bytes) const;

  struct Names {
    unsigned memory = 0, buffer = 0;
  };
  /// Makes a GL buffer on this memory in the thread's context. What the driver refuses is a GL error.
  Names import() const;
  static void remove(const Names& names);
  /// No context imports it any more: the file needs no descriptor, the memory stays.
  void close_file();

 private:
  static constexpr std::size_t header_bytes = 4096;

  std::size_t bytes_, file_bytes_;
  int file_ = -1;
  std::byte* map_ = nullptr;
};

}  // namespace glassbox::gpu
