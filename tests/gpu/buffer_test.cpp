#include "gpu/buffer.h"

#include <GLES3/gl32.h>

#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Buffer;
using Bytes = std::vector<std::byte>;

class BufferTest : public GpuTest {
 protected:
  Bytes random_bytes(std::size_t count) {
    Bytes bytes(count);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random.integer(0, 255));
    return bytes;
  }
  static Bytes read(const Buffer& buffer, std::size_t offset, std::size_t count) {
    Bytes bytes(count);
    buffer.read(offset, bytes);
    return bytes;
  }
};

TEST_F(BufferTest, ReadsWhatWasWritten) {
  Buffer buffer(device(), 1000);
  const auto all = random_bytes(1000), some = random_bytes(7);
  buffer.write(0, all);
  EXPECT_EQ(read(buffer, 0, 1000), all);
  buffer.write(993, some);
  EXPECT_EQ(read(buffer, 993, 7), some);
  EXPECT_EQ(read(buffer, 13, 980), Bytes(all.begin() + 13, all.begin() + 993));
  EXPECT_TRUE(buffer.mapped().empty());
}

TEST_F(BufferTest, MappedGivesTheSameAsCopied) {
  if (!device().features().buffer_storage) {
    EXPECT_ERROR(Buffer(device(), 64, Buffer::Access::mapped), "EXT_buffer_storage");
    return;
  }
  Buffer mapped(device(), 4096, Buffer::Access::mapped), copied(device(), 4096);
  const auto bytes = random_bytes(4096);
  mapped.write(0, bytes);
  copied.write(0, bytes);
  EXPECT_EQ(read(mapped, 100, 3000), read(copied, 100, 3000));
  ASSERT_EQ(mapped.mapped().size(), 4096u);
  device().finish();
  const auto patch = random_bytes(16);
  std::copy(patch.begin(), patch.end(), mapped.mapped().begin() + 50);
  copied.write(50, patch);
  EXPECT_EQ(read(mapped, 0, 4096), read(copied, 0, 4096));
}

TEST_F(BufferTest, RefusesWhatLiesOutside) {
  Buffer buffer(device(), 16);
  Bytes bytes(8);
  constexpr auto huge = std::numeric_limits<std::size_t>::max();
  EXPECT_ERROR(buffer.read(9, bytes), "reading 8 bytes at 9 of a buffer of 16");
  EXPECT_ERROR(buffer.write(17, bytes), "writing 8 bytes at 17 of a buffer of 16");
  EXPECT_ERROR(buffer.read(huge - 3, bytes), "of a buffer of 16");
  EXPECT_ERROR(buffer.write(huge, bytes), "of a buffer of 16");
  buffer.read(16, {});
}

TEST_F(BufferTest, ThatCannotBeHadIsAnErrorAndTheContextGoesOn) {
  EXPECT_ERROR(Buffer(device(), std::numeric_limits<std::size_t>::max() / 2), "allocating a buffer of");
  // 32 TiB: some GPU drivers promise them and fail at the first touch.
  if (device().features().software) EXPECT_ERROR(Buffer(device(), std::size_t{1} << 45), "allocating a buffer of");
  EXPECT_ERROR(Buffer(device(), std::numeric_limits<std::size_t>::max()), "cannot have");
  EXPECT_ERROR(Buffer(device(), 0), "cannot have 0 bytes");
  if (device().features().buffer_storage && device().features().software)
    EXPECT_ERROR(Buffer(device(), std::size_t{1} << 45, Buffer::Access::mapped), "allocating a buffer of");
  EXPECT_EQ(glGetError(), static_cast<GLenum>(GL_NO_ERROR));
  Buffer small(device(), 64);
  const auto bytes = random_bytes(64);
  small.write(0, bytes);
  EXPECT_EQ(read(small, 0, 64), bytes);
}

TEST_F(BufferTest, HasATexelViewWhereTheDeviceHasThemAndItFits) {
  Buffer buffer(device(), 4096);
  EXPECT_EQ(buffer.texture() != 0, device().features().texel_buffers);
  EXPECT_EQ(buffer.texture(), buffer.texture());
  const auto most = device().limits().texel_buffer_texels;
  if (most > 0 && most <= 1u << 22) {
    Buffer large(device(), (most + 1) * 16);
    EXPECT_EQ(large.texture(), 0u);
  }
}

TEST_F(BufferTest, OfAnotherThreadsDeviceIsRefusedAndFreedThere) {
  on_own_device({.index = device_index()}, [&](gpu::Device& other) {
    Buffer theirs(other, 64);
    Bytes bytes(64);
    std::string message;
    std::thread([&] {
      try {
        theirs.write(0, bytes);
      } catch (const Error& error) {
        message = error.what();
      }
    }).join();
    EXPECT_THAT(message, ::testing::HasSubstr("another thread"));
  });
}

}  // namespace
}  // namespace glassbox::testing
