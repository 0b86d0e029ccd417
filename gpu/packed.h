#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gpu/array.h"
#include "gpu/random.h"

namespace glassbox::gpu {

/// How the numbers of a packed matrix are kept: floats, or GGML's quantised blocks, every bit of them.
enum class PackedFormat : std::uint8_t { f32, f16, bf16, q8_0, q4_0, q4_k, q5_k, q6_k };
inline constexpr PackedFormat packed_formats[] = {PackedFormat::f32,  PackedFormat::f16,  PackedFormat::bf16,
                                                  PackedFormat::q8_0, PackedFormat::q4_0, PackedFormat::q4_k,
                                                  PackedFormat::q5_k, PackedFormat::q6_k};
std::string_view name_of(PackedFormat format);

/// Where the numbers of a matrix [rows, columns] stand on the device: one layout for every format and every kernel.
///
/// Eight rows are a tile, 256 columns a chunk, 32 columns a block. A texel is 128 bits of one row; eight texels, one of
/// each row of a tile, stand side by side, so that eight lanes read 128 bytes in a row. A tile's part of a chunk is
/// `header` such texel rows (scales) and then those of its blocks; tiles follow each other, and chunks, of which the
/// last may have fewer blocks. Rows and columns that the matrix lacks are zeros.
///
/// In a texel, word c holds elements c, c + 4, c + 8, ... of those the texel covers, from its low bits up: the j-th
/// field of all four words is the j-th four elements. Headers:
///  - q8_0, q4_0: the float16 scales of the eight blocks. q8_0 holds q + 128 in a byte, q4_0 q + 8 in a nibble; both
///    have the top bit of every word flipped, so that the uppermost field is a two's complement number.
///  - q4_k, q5_k: d and dmin as float16, then GGML's 12 bytes of 6-bit scales and minima. q5_k has two texel rows with
///    the fifth bits after the header: bit e of word b is that of element e of block b.
///  - q6_k: 16 int8 scales, and a texel row with d as float16; after the nibbles four texel rows with bits 4 and 5:
///    element 4 j + c of block b at bit 8 (j % 4) + 2 c of word 2 b + j / 4.
struct PackedLayout {
  PackedFormat format = PackedFormat::f32;
  std::size_t rows = 0, columns = 0;

  std::size_t tiles() const { return (rows + 7) / 8; }
  std::size_t blocks() const { return (columns + 31) / 32; }
  std::size_t chunks() const { return (blocks() + 7) / 8; }
  /// Texel rows of a tile in a chunk of `blocks` blocks.
  std::size_t texel_rows(std::size_t blocks) const;
  std::size_t texels() const;  ///< of the whole matrix
  std::size_t words() const { return 4 * texels(); }
};

std::size_t packed_header(PackedFormat format);            ///< texel rows before those of the blocks
std::size_t packed_texels_per_block(PackedFormat format);  ///< of a row; q5_k's and q6_k's high bits apart
std::size_t columns_per_block(PackedFormat format);        ///< of the source: 1, 32 or 256
std::size_t bytes_per_block(PackedFormat format);          ///< of the source

/// Packs tiles first_tile .. first_tile + count of a matrix whose rows stand row-major in `source` as GGML, or an array
/// of floats, has them: `source` begins with row 8 first_tile and ends with the last of these tiles' rows that the
/// matrix has. Returns for each chunk the words of these tiles, which belong at word_offset(layout, chunk, first_tile).
/// Throws Error where the columns are no whole blocks or `source` is too short.
std::vector<std::vector<std::uint32_t>> pack_tiles(const PackedLayout& layout, std::size_t first_tile,
                                                   std::size_t count, std::span<const std::byte> source);
/// Words before a tile's part of a chunk.
std::size_t word_offset(const PackedLayout& layout, std::size_t chunk, std::size_t tile);

/// Row `row` of a packed matrix in float64, exactly. `word(i)` gives word i.
void unpack_row(const PackedLayout& layout, std::span<const double> words, std::size_t row, std::span<double> out);

/// A matrix on the device. Beyond what one binding holds it is cut into panels of rows, each packed on its own.
struct PackedMatrix {
  struct Panel {
    Array words;  ///< u32 [layout.words()]
    PackedLayout layout;
    std::size_t first_row = 0;
  };
  PackedFormat format = PackedFormat::f32;
  std::size_t rows = 0, columns = 0;
  std::vector<Panel> panels;
  explicit operator bool() const { return !panels.empty(); }
};

/// Lays out a matrix of unspecified content: storage from `arena` (the device's where null).
PackedMatrix make_packed(PackedFormat format, std::size_t rows, std::size_t columns, Arena* arena = nullptr);
/// Packs and uploads rows first .. first + count, both multiples of 8 (count but at the end), as pack_tiles does.
void upload_rows(const PackedMatrix& matrix, std::size_t first, std::size_t count, std::span<const std::byte> source);
/// The same for rows of two matrices whose tiles take turns: row r of the first stands at 16 (r / 8) + r % 8, its
/// partner of the second eight rows below. `matrix` has 16 ceil(rows / 8) rows, `rows` those of either; `first` is a
/// multiple of 8.
void upload_pairs(const PackedMatrix& matrix, std::size_t rows, std::size_t first, std::size_t count,
                  std::span<const std::byte> source, std::span<const std::byte> partners);
/// A whole matrix from bytes.
PackedMatrix packed_from_bytes(PackedFormat format, std::size_t rows, std::size_t columns,
                               std::span<const std::byte> bytes);

/// Bytes of a matrix as its source has them: random bits with scales of a sensible size, for samples and tests.
std::vector<std::byte> random_blocks(Random& random, PackedFormat format, std::size_t rows, std::size_t columns);

}  // namespace glassbox::gpu
