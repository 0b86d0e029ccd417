#include "gpu/arena.h"

#include <numeric>

#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Arena;
using gpu::Storage;

constexpr std::size_t block_bytes = 64 * 1024;

class ArenaTest : public GpuTest {
 protected:
  std::shared_ptr<Arena> arena = std::make_shared<Arena>(device(), block_bytes);
};

TEST_F(ArenaTest, GivesAlignedRangesOfOneBuffer) {
  const auto a = arena->allocate(1), b = arena->allocate(300), c = arena->allocate(0);
  EXPECT_EQ(&a->buffer(), &c->buffer());
  EXPECT_EQ(a->bytes(), Arena::alignment);
  EXPECT_EQ(b->offset(), Arena::alignment);
  EXPECT_EQ(b->bytes(), 2 * Arena::alignment);
  EXPECT_EQ(c->bytes(), Arena::alignment) << "even an empty array stands somewhere";
  EXPECT_EQ(arena->used_bytes(), 4 * Arena::alignment);
  EXPECT_EQ(arena->reserved_bytes(), block_bytes);
}

TEST_F(ArenaTest, GivesALargeArrayABufferOfItsOwnAndTakesItBack) {
  const auto small = arena->allocate(10);
  auto large = arena->allocate(3 * block_bytes + 1);
  EXPECT_NE(&small->buffer(), &large->buffer());
  EXPECT_EQ(large->offset(), 0u);
  EXPECT_EQ(arena->reserved_bytes(), block_bytes + 3 * block_bytes + Arena::alignment);
  large.reset();
  EXPECT_EQ(arena->reserved_bytes(), block_bytes);
}

TEST_F(ArenaTest, CoalescesNeighbours) {
  std::vector<std::shared_ptr<Storage>> quarters;
  for (int i = 0; i < 4; ++i) quarters.push_back(arena->allocate(block_bytes / 4));
  for (const int i : {1, 3, 0, 2}) quarters[static_cast<std::size_t>(i)].reset();
  const auto whole = arena->allocate(block_bytes);
  EXPECT_EQ(arena->reserved_bytes(), block_bytes) << "the four are one again";
}

TEST_F(ArenaTest, KeepsOneEmptyBufferAndReturnsOthers) {
  std::vector<std::shared_ptr<Storage>> storages;
  for (int i = 0; i < 5; ++i) storages.push_back(arena->allocate(block_bytes));
  EXPECT_EQ(arena->reserved_bytes(), 5 * block_bytes);
  storages.clear();
  EXPECT_EQ(arena->reserved_bytes(), block_bytes);
  EXPECT_EQ(arena->used_bytes(), 0u);
  EXPECT_EQ(arena->peak_bytes(), 5 * block_bytes);
}

TEST_F(ArenaTest, RecyclesOnceAndTheStorageStillNamesItsBuffer) {
  const auto a = arena->allocate(100);
  const auto* const buffer = &a->buffer();
  a->recycle();
  a->recycle();
  EXPECT_EQ(arena->used_bytes(), 0u);
  EXPECT_EQ(&a->buffer(), buffer);
  EXPECT_EQ(arena->allocate(100)->offset(), a->offset());
}

TEST_F(ArenaTest, LaysScratchInOtherBuffers) {
  const auto held = arena->allocate(100);
  const auto scratch = arena->allocate(100, Arena::Use::scratch);
  EXPECT_NE(&held->buffer(), &scratch->buffer());
  EXPECT_EQ(&scratch->buffer(), &arena->allocate(100, Arena::Use::scratch)->buffer());
}

TEST_F(ArenaTest, LivesAsLongAsItsStorages) {
  const auto storage = arena->allocate(100);
  const std::weak_ptr<Arena> alive = arena;
  arena.reset();
  EXPECT_FALSE(alive.expired());
  storage->buffer().write(storage->offset(), std::vector<std::byte>(100));
}

TEST_F(ArenaTest, NeverGivesBytesTwice) {
  struct Live {
    std::shared_ptr<Storage> storage;
    std::uint32_t mark;
  };
  std::vector<Live> live;
  std::size_t used = 0;
  const auto fill = [](const Live& l) {
    const std::vector<std::uint32_t> words(l.storage->bytes() / 4, l.mark);
    l.storage->buffer().write(l.storage->offset(), std::as_bytes(std::span(words)));
  };
  const auto intact = [](const Live& l) {
    std::vector<std::uint32_t> words(l.storage->bytes() / 4);
    l.storage->buffer().read(l.storage->offset(), std::as_writable_bytes(std::span(words)));
    return std::all_of(words.begin(), words.end(), [&](std::uint32_t word) { return word == l.mark; });
  };
  for (std::uint32_t step = 0; step < 1500; ++step) {
    if (live.empty() || random.integer(0, 99) < 55) {
      const std::size_t bytes =
          random.integer(0, 40) == 0 ? random.integer(block_bytes, 3 * block_bytes) : random.integer(0, 9000);
      live.push_back({arena->allocate(bytes, random.integer(0, 1) ? Arena::Use::array : Arena::Use::scratch), step});
      ASSERT_GE(live.back().storage->bytes(), bytes);
      used += live.back().storage->bytes();
      fill(live.back());
    } else {
      const auto at = random.integer(0, live.size() - 1);
      ASSERT_TRUE(intact(live[at])) << "step " << step;
      used -= live[at].storage->bytes();
      if (random.integer(0, 1)) live[at].storage->recycle();
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
    }
    ASSERT_EQ(arena->used_bytes(), used);
    ASSERT_GE(arena->reserved_bytes(), used);
  }
  for (const auto& l : live) ASSERT_TRUE(intact(l));
  live.clear();
  EXPECT_LE(arena->reserved_bytes(), 2 * block_bytes) << "an empty one of each use at most";
}

TEST_F(ArenaTest, RefusesAnImpossibleSizeAndGoesOn) {
  EXPECT_ERROR(arena->allocate(std::numeric_limits<std::size_t>::max()), "too large");
  EXPECT_ERROR(arena->allocate(std::size_t{1} << 50), "allocating a buffer of");
  EXPECT_EQ(arena->used_bytes(), 0u);
  EXPECT_THAT(counting({4}).values(), ::testing::ElementsAre(0, 1, 2, 3));
}

TEST_F(ArenaTest, OfAClosedDeviceSaysSo) {
  std::shared_ptr<Storage> storage;
  std::shared_ptr<Arena> own;
  on_own_device({.index = device_index()}, [&](gpu::Device& other) {
    own = std::make_shared<Arena>(other, block_bytes);
    storage = own->allocate(100);
  });
  std::vector<std::byte> bytes(100);
  EXPECT_ERROR(storage->buffer().read(storage->offset(), bytes), "closed");
  EXPECT_ERROR(storage->buffer().write(storage->offset(), bytes), "closed");
  EXPECT_ERROR(own->allocate(2 * block_bytes), "closed");
}

}  // namespace
}  // namespace glassbox::testing
