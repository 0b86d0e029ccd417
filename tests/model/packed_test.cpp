#include "gpu/packed.h"

#include <gtest/gtest.h>

#include <random>

#include "model/quants.h"
#include "tests/support.h"

namespace glassbox::testing {
namespace {

using gpu::PackedFormat;
using model::StorageType;

/// What the packed layout holds is, bit for bit, what GGML's blocks stand for.
TEST(Packed, UnpacksToWhatItsBlocksDequantiseTo) {
  gpu::Random random(std::random_device{}());
  for (const auto& [format, type] :
       {std::pair{PackedFormat::f32, StorageType::f32}, std::pair{PackedFormat::f16, StorageType::f16},
        std::pair{PackedFormat::bf16, StorageType::bf16}, std::pair{PackedFormat::q8_0, StorageType::q8_0},
        std::pair{PackedFormat::q4_0, StorageType::q4_0}, std::pair{PackedFormat::q4_k, StorageType::q4_k},
        std::pair{PackedFormat::q5_k, StorageType::q5_k}, std::pair{PackedFormat::q6_k, StorageType::q6_k}}) {
    const std::size_t rows = 21, columns = gpu::columns_per_block(format) == 256 ? 512 : 352;
    const auto bytes = gpu::random_blocks(random, format, rows, columns);
    const gpu::PackedLayout layout{format, rows, columns};
    std::vector<double> words(layout.words());
    const auto chunks = gpu::pack_tiles(layout, 0, layout.tiles(), bytes);
    for (std::size_t c = 0; c < chunks.size(); ++c)
      std::copy(chunks[c].begin(), chunks[c].end(),
                words.begin() + static_cast<std::ptrdiff_t>(gpu::word_offset(layout, c, 0)));
    std::vector<float> expected(rows * columns);
    model::dequantize(type, bytes, expected);
    std::vector<double> row(columns);
    for (std::size_t n = 0; n < rows; ++n) {
      gpu::unpack_row(layout, words, n, row);
      for (std::size_t k = 0; k < columns; ++k)
        ASSERT_EQ(static_cast<float>(row[k]), expected[n * columns + k]) << name_of(format) << ' ' << n << ' ' << k;
    }
  }
}

}  // namespace
}  // namespace glassbox::testing
