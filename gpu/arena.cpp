#include "gpu/arena.h"

#include <algorithm>
#include <utility>

#include "gpu/device.h"
#include "gpu/error.h"

namespace glassbox::gpu {

void Storage::recycle() {
  if (const auto arena = std::exchange(arena_, nullptr)) arena->release(buffer_.get(), offset_, bytes_);
}

Arena::Arena(Device& device, std::size_t block_bytes)
    : device_(device), block_bytes_(std::min<std::size_t>(block_bytes, device.limits().ssbo_block_bytes)) {}

Arena::~Arena() = default;

std::shared_ptr<Storage> Arena::allocate(std::size_t bytes) {
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
    if (auto storage = take(block)) return storage;
  const std::size_t size = std::max(bytes, block_bytes_);
  blocks_.push_back({std::make_shared<Buffer>(device_, size), {{0, size}}});
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
  // A buffer that nothing lives in goes back to the device, but for the last ordinary one: the next array wants it.
  const auto whole = block->free.begin();
  if (whole->first == 0 && whole->second == block->buffer->bytes() &&
      (whole->second > block_bytes_ || blocks_.size() > 1))
    blocks_.erase(block);
}

std::size_t Arena::reserved_bytes() const {
  std::size_t total = 0;
  for (const auto& block : blocks_) total += block.buffer->bytes();
  return total;
}

}  // namespace glassbox::gpu
