#pragma once

#include <cstddef>
#include <span>

namespace glassbox::gpu {

class Device;

/// A small buffer on the CPU's side through which results come back: mapping the buffers that kernels write makes some
/// drivers (NVIDIA's) move them into the CPU's memory, for good and while dispatches may be under way.
class Staging {
 public:
  explicit Staging(Device& device) : device_(device) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Reads `bytes` from `offset` of the GL buffer `source`, after every dispatch issued before. Throws Error where the
  /// driver has no memory for it.
  void read(unsigned source, std::size_t offset, std::span<std::byte> bytes);

 private:
  Device& device_;
  unsigned id_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace glassbox::gpu
