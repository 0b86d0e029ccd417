#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "gpu/buffer.h"

namespace glassbox::gpu {

class Arena;
class EglContext;

/// A range of an arena's buffer: what an evaluated array stands on. The range is free again when this dies, or earlier
/// by recycle(): then its bytes are right only until the next array is laid there. Of the thread of its device.
class Storage {
 public:
  Storage(std::shared_ptr<Arena> arena, std::shared_ptr<Buffer> buffer, std::size_t offset, std::size_t bytes)
      : arena_(std::move(arena)), buffer_(std::move(buffer)), offset_(offset), bytes_(bytes) {}
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Buffer& buffer() const { return *buffer_; }
  const std::shared_ptr<Buffer>& shared_buffer() const { return buffer_; }
  std::size_t offset() const { return offset_; }  ///< bytes, a multiple of Arena::alignment
  std::size_t bytes() const { return bytes_; }
  void recycle();

 private:
  std::shared_ptr<Arena> arena_;
  std::shared_ptr<Buffer> buffer_;
  std::size_t offset_, bytes_;
  bool recycled_ = false;
};

/// Sub-allocates arrays from few large buffers, so that kernels with many inputs need few bindings (DESIGN: ES 3.1
/// guarantees 4). First fit over a free list; neighbours coalesce. Lives as long as its storages.
class Arena : public std::enable_shared_from_this<Arena> {
 public:
  static constexpr std::size_t alignment = 256;

  /// Scratch is laid in buffers of its own, where no array that somebody holds can be: each run of a plan writes its
  /// intermediate arrays there again, over those of other plans recorded in this arena.
  enum class Use { array, scratch };

  /// `block_bytes`: size of the buffers it takes from the device; larger requests get a buffer of their own.
  explicit Arena(Device& device, std::size_t block_bytes = std::size_t{16} << 20);
  ~Arena();

  /// Throws Error where the device has no memory left or is closed.
  std::shared_ptr<Storage> allocate(std::size_t bytes, Use use = Use::array);

  std::size_t reserved_bytes() const;               ///< taken from the device
  std::size_t used_bytes() const { return used_; }  ///< in arrays now
  std::size_t peak_bytes() const { return peak_; }  ///< most ever in arrays

 private:
  friend class Storage;
  struct Block {
    std::shared_ptr<Buffer> buffer;
    Use use;
    std::map<std::size_t, std::size_t> free;  ///< offset -> bytes
  };
  void release(const Buffer* buffer, std::size_t offset, std::size_t bytes);
  void trim();

  Device& device_;
  std::weak_ptr<const EglContext> context_;
  std::size_t block_bytes_;
  std::vector<Block> blocks_;
  std::size_t used_ = 0, peak_ = 0;
};

}  // namespace glassbox::gpu
