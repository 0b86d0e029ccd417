#include "gpu/arena.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "gpu/device.h"
#include "gpu/egl.h"
#include "gpu/error.h"

namespace glassbox::gpu {

Storage::~Storage() {
  recycle();
  buffer_.reset();
  arena_->trim();
}

void Storage::recycle() {
  if (!std::exchange(recycled_, true)) arena_->release(buffer_.get(), offset_, bytes_);
}

Arena::Arena(Device& device, std::size_t block_bytes)
    : device_(device),
      context_(device.context()),
      block_bytes_(std::min<std::size_t>(block_bytes, device.limits().ssbo_block_bytes)) {}

Arena::~Arena() = default;

std::shared_ptr<Storage> Arena::allocate(std::size_t bytes, Use use) {
  require(bytes <= std::numeric_limits<std::size_t>::max() / 2, "an array of {} bytes is too large", bytes);
  bytes = std::max<std::size_t>((bytes + alignment - 1) / alignment * alignment, alignment);
  const auto take = [&](Block& block) -> std::shared_ptr<Storage> {
    const auto range =
        std::find_if(block.free.begin(), block.free.end(), [&](const auto& r) { return r.second >= bytes; });
    if (range == block.free.end()) return nullptr;
    const auto [offset, length] = *range;
    block.free.erase(range);
    if (length > bytes) block.free.emplace(offset + bytes, length - bytes);
    used_ += bytes;
    peak_ = std::max(peak_, used_);
    return std::make_shared<Storage>(shared_from_this(), block.buffer, offset, bytes);
  };
  for (auto& block : blocks_)
    if (block.use == use)
      if (auto storage = take(block)) return storage;
  require_current(context_);
  const std::size_t size = std::max(bytes, block_bytes_);
  blocks_.push_back({std::make_shared<Buffer>(device_, size), use, {{0, size}}});
  return take(blocks_.back());
}

void Arena::release(const Buffer* buffer, std::size_t offset, std::size_t bytes) {
  used_ -= bytes;
  const auto block =
      std::find_if(blocks_.begin(), blocks_.end(), [&](const Block& b) { return b.buffer.get() == buffer; });
  auto next = block->free.emplace(offset, bytes).first;
  if (const auto after = std::next(next); after != block->free.end() && next->first + next->second == after->first) {
    next->second += after->second;
    block->free.erase(after);
  }
  if (next != block->free.begin()) {
    if (const auto before = std::prev(next); before->first + before->second == next->first) {
      before->second += next->second;
      block->free.erase(next);
    }
  }
}

/// Buffers that nothing stands on and no plan has bound go back to the device, but for an ordinary one of each use: the
/// next array wants it.
void Arena::trim() {
  bool spare[2] = {};
  std::erase_if(blocks_, [&](const Block& block) {
    const std::size_t bytes = block.buffer->bytes();
    if (block.free.empty() || block.free.begin()->second != bytes || block.buffer.use_count() > 1) return false;
    return bytes > block_bytes_ || std::exchange(spare[static_cast<int>(block.use)], true);
  });
}

std::size_t Arena::reserved_bytes() const {
  std::size_t total = 0;
  for (const auto& block : blocks_) total += block.buffer->bytes();
  return total;
}

}  // namespace glassbox::gpu
