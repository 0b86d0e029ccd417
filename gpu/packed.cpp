#include "gpu/packed.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "gpu/device.h"
#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

using Bytes = std::span<const std::byte>;

struct Format {
  std::string_view name;
  std::size_t header, per_block, extra;  // texel rows: before, of each block, and of eight blocks' high bits
  std::size_t columns, bytes;            // of a source block
};
constexpr std::array<Format, 8> formats{{{"f32", 0, 8, 0, 1, 4},
                                         {"f16", 0, 4, 0, 1, 2},
                                         {"bf16", 0, 4, 0, 1, 2},
                                         {"q8_0", 1, 2, 0, 32, 34},
                                         {"q4_0", 1, 1, 0, 32, 18},
                                         {"q4_k", 1, 1, 0, 256, 144},
                                         {"q5_k", 1, 1, 2, 256, 176},
                                         {"q6_k", 2, 1, 4, 256, 210}}};
const Format& format_of(PackedFormat format) { return formats.at(static_cast<std::size_t>(format)); }

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

double from_half(std::uint32_t bits) {
  return static_cast<double>(Eigen::half(Eigen::half_impl::raw_uint16_to_half(static_cast<std::uint16_t>(bits))));
}

/// The texels of one row in one chunk: at(i) is texel row i's.
struct RowWriter {
  std::uint32_t* words;  // of the row's first texel
  std::uint32_t& at(std::size_t texel, std::size_t word) const { return words[texel * 32 + word]; }
  /// Field e of a run of elements that begins at texel row `texel`, `bits` bits each.
  void put(std::size_t texel, std::size_t e, unsigned bits, std::uint32_t value) const {
    const std::size_t each = 128 / bits, in = e % each;
    at(texel + e / each, in % 4) |= value << (bits * (in / 4));
  }
};

unsigned byte_at(const std::byte* p, std::size_t i) { return std::to_integer<unsigned>(p[i]); }

/// Elements 256 chunk .. of a row that stands at `row`, `blocks` blocks of 32.
void pack_chunk(const PackedLayout& layout, const std::byte* row, std::size_t chunk, std::size_t blocks,
                const RowWriter& out) {
  const auto& format = format_of(layout.format);
  const std::size_t first = 256 * chunk, count = std::min(32 * blocks, layout.columns - first);
  switch (layout.format) {
    case PackedFormat::f32:
      for (std::size_t e = 0; e < count; ++e) out.put(0, e, 32, load<std::uint32_t>(row + 4 * (first + e)));
      return;
    case PackedFormat::f16:
    case PackedFormat::bf16:
      for (std::size_t e = 0; e < count; ++e) out.put(0, e, 16, load<std::uint16_t>(row + 2 * (first + e)));
      return;
    case PackedFormat::q8_0:
    case PackedFormat::q4_0: {
      const bool nibbles = layout.format == PackedFormat::q4_0;
      const std::uint32_t flip = 0x80000000u;
      for (std::size_t b = 0; b < blocks; ++b) {
        const std::byte* block = row + (8 * chunk + b) * format.bytes;
        out.at(0, b / 2) |= std::uint32_t{load<std::uint16_t>(block)} << (16 * (b % 2));
        const std::size_t texel = 1 + b * format.per_block;
        for (std::size_t t = 0; t < format.per_block; ++t)
          for (std::size_t c = 0; c < 4; ++c) {
            std::uint32_t word = 0;
            for (std::size_t j = 0; j < 4; ++j) {
              const std::uint32_t byte = byte_at(block, 2 + 16 * t + 4 * j + c);
              // Byte i of q4_0 has elements i and i + 16.
              word |= nibbles ? (byte & 15u) << (4 * j) | (byte >> 4) << (4 * j + 16) : (byte ^ 0x80u) << (8 * j);
            }
            out.at(texel + t, c) = word ^ flip;
          }
      }
      return;
    }
    case PackedFormat::q4_k:
    case PackedFormat::q5_k: {
      const std::byte* block = row + chunk * format.bytes;
      const bool fifth = layout.format == PackedFormat::q5_k;
      for (std::size_t c = 0; c < 4; ++c) out.at(0, c) = load<std::uint32_t>(block + 4 * c);
      const std::byte *high = block + 16, *low = block + (fifth ? 48 : 16);
      for (std::size_t b = 0; b < 8; ++b)
        for (std::size_t e = 0; e < 32; ++e) {
          out.put(1 + format.extra + b, e, 4, byte_at(low, 32 * (b / 2) + e) >> (4 * (b % 2)) & 15u);
          if (fifth) out.at(1 + b / 4, b % 4) |= (byte_at(high, e) >> b & 1u) << e;
        }
      return;
    }
    case PackedFormat::q6_k: {
      const std::byte* block = row + chunk * format.bytes;
      for (std::size_t c = 0; c < 4; ++c) out.at(0, c) = load<std::uint32_t>(block + 192 + 4 * c);
      out.at(1, 0) = load<std::uint16_t>(block + 208);
      for (std::size_t b = 0; b < 8; ++b)
        for (std::size_t e = 0; e < 32; ++e) {
          const std::size_t half = b / 4, k = b % 4, j = e / 4, c = e % 4;
          out.put(2 + b, e, 4, byte_at(block, 64 * half + 32 * (k % 2) + e) >> (4 * (k / 2)) & 15u);
          const std::size_t word = 2 * b + j / 4;
          out.at(10 + word / 4, word % 4) |= (byte_at(block, 128 + 32 * half + e) >> (2 * k) & 3u)
                                             << (8 * (j % 4) + 2 * c);
        }
      return;
    }
  }
}

/// Reads a row's texels of a chunk back.
struct RowReader {
  std::span<const double> words;
  std::size_t first;  // word of the row's first texel
  std::uint32_t at(std::size_t texel, std::size_t word) const {
    return static_cast<std::uint32_t>(words[first + texel * 32 + word]);
  }
  std::uint32_t get(std::size_t texel, std::size_t e, unsigned bits) const {
    const std::size_t each = 128 / bits, in = e % each;
    const std::uint32_t value = at(texel + e / each, in % 4) >> (bits * (in / 4));
    return bits == 32 ? value : value & ((1u << bits) - 1u);
  }
};

double element(PackedFormat format, const RowReader& in, std::size_t e) {
  const std::size_t b = e / 32, i = e % 32, j = i / 4, c = i % 4;
  const auto scales = [&](std::size_t part) {  // 6-bit numbers: 0 scales, 1 minima
    const auto piece = [&](std::size_t n) { return in.at(0, 1 + n / 4) >> (8 * (n % 4)); };
    return b < 4 ? piece(4 * part + b) & 63u
                 : (piece(8 + b - 4) >> (4 * part) & 15u) | ((piece(4 * part + b - 4) >> 6 & 3u) << 4);
  };
  switch (format) {
    case PackedFormat::f32:
      return static_cast<double>(std::bit_cast<float>(in.get(0, e, 32)));
    case PackedFormat::f16:
      return from_half(in.get(0, e, 16));
    case PackedFormat::bf16:
      return static_cast<double>(std::bit_cast<float>(in.get(0, e, 16) << 16));
    case PackedFormat::q8_0: {
      const int q = static_cast<int>(in.get(1 + 2 * b, i, 8) ^ (i / 4 % 4 == 3 ? 0x80u : 0u)) - 128;
      return q * from_half(in.at(0, b / 2) >> (16 * (b % 2)) & 0xffffu);
    }
    case PackedFormat::q4_0: {
      const int q = static_cast<int>(in.get(1 + b, i, 4) ^ (j == 7 ? 8u : 0u)) - 8;
      return q * from_half(in.at(0, b / 2) >> (16 * (b % 2)) & 0xffffu);
    }
    case PackedFormat::q4_k:
    case PackedFormat::q5_k: {
      const bool fifth = format == PackedFormat::q5_k;
      const std::uint32_t q =
          in.get(fifth ? 3 + b : 1 + b, i, 4) | (fifth ? (in.at(1 + b / 4, b % 4) >> i & 1u) << 4 : 0u);
      return from_half(in.at(0, 0) & 0xffffu) * scales(0) * q - from_half(in.at(0, 0) >> 16) * scales(1);
    }
    case PackedFormat::q6_k: {
      const std::size_t word = 2 * b + j / 4;
      const std::uint32_t high = in.at(10 + word / 4, word % 4) >> (8 * (j % 4) + 2 * c) & 3u;
      const int q = static_cast<int>(in.get(2 + b, i, 4) | high << 4) - 32;
      const std::size_t s = e / 16;
      const auto scale = static_cast<std::int8_t>(in.at(0, s / 4) >> (8 * (s % 4)) & 0xffu);
      return from_half(in.at(1, 0) & 0xffffu) * scale * q;
    }
  }
  return 0;
}

std::size_t blocks_of(const PackedLayout& layout, std::size_t chunk) {
  return std::min<std::size_t>(8, layout.blocks() - 8 * chunk);
}

}  // namespace

std::string_view name_of(PackedFormat format) { return format_of(format).name; }
std::size_t packed_header(PackedFormat format) {
  // q6_k's high bits follow its blocks.
  return format_of(format).header + (format == PackedFormat::q6_k ? 0 : format_of(format).extra);
}
std::size_t packed_texels_per_block(PackedFormat format) { return format_of(format).per_block; }
std::size_t columns_per_block(PackedFormat format) { return format_of(format).columns; }
std::size_t bytes_per_block(PackedFormat format) { return format_of(format).bytes; }

std::size_t PackedLayout::texel_rows(std::size_t count) const {
  const auto& f = format_of(format);
  return f.header + f.extra + f.per_block * count;
}

std::size_t PackedLayout::texels() const { return word_offset(*this, chunks(), 0) / 4; }

std::size_t word_offset(const PackedLayout& layout, std::size_t chunk, std::size_t tile) {
  const std::size_t full = std::min(chunk, layout.blocks() / 8);
  std::size_t texel_rows = full * layout.tiles() * layout.texel_rows(8);
  if (chunk > full) texel_rows += layout.tiles() * layout.texel_rows(layout.blocks() % 8);
  if (chunk < layout.chunks()) texel_rows += tile * layout.texel_rows(blocks_of(layout, chunk));
  return texel_rows * 32;
}

std::vector<std::vector<std::uint32_t>> pack_tiles(const PackedLayout& layout, std::size_t first_tile,
                                                   std::size_t count, Bytes source) {
  const auto& format = format_of(layout.format);
  require(layout.columns % format.columns == 0, "[pack] {} columns are no whole blocks of {}'s {}", layout.columns,
          format.name, format.columns);
  const std::size_t row_bytes = layout.columns / format.columns * format.bytes;
  const std::size_t rows = std::min(8 * count, layout.rows - std::min(layout.rows, 8 * first_tile));
  require(source.size() >= rows * row_bytes, "[pack] {} bytes given for {} rows of {}", source.size(), rows, row_bytes);
  std::vector<std::vector<std::uint32_t>> out(layout.chunks());
  for (std::size_t chunk = 0; chunk < out.size(); ++chunk) {
    const std::size_t blocks = blocks_of(layout, chunk), tile_words = layout.texel_rows(blocks) * 32;
    out[chunk].assign(count * tile_words, 0);
    for (std::size_t row = 0; row < rows; ++row)
      pack_chunk(layout, source.data() + row * row_bytes, chunk, blocks,
                 {out[chunk].data() + row / 8 * tile_words + row % 8 * 4});
  }
  return out;
}

void unpack_row(const PackedLayout& layout, std::span<const double> words, std::size_t row, std::span<double> out) {
  for (std::size_t e = 0; e < layout.columns; ++e) {
    const RowReader in{words, word_offset(layout, e / 256, row / 8) + row % 8 * 4};
    out[e] = element(layout.format, in, e % 256);
  }
}

PackedMatrix make_packed(PackedFormat format, std::size_t rows, std::size_t columns, Arena* arena) {
  const auto most = Device::current().limits().ssbo_block_bytes;
  PackedMatrix matrix{.format = format, .rows = rows, .columns = columns};
  const std::size_t tile_bytes = PackedLayout{format, 8, columns}.texels() * 16;
  // Less the alignment that a binding may have to begin early by.
  const std::size_t panel_rows = std::max<std::size_t>((most - 4096) / tile_bytes / 2, 1) * 16;  // whole pairs of tiles
  for (std::size_t first = 0; first < rows; first += panel_rows) {
    const PackedLayout layout{format, std::min(panel_rows, rows - first), columns};
    matrix.panels.push_back({Array::empty({layout.words()}, DType::u32, arena), layout, first});
  }
  return matrix;
}

void upload_rows(const PackedMatrix& matrix, std::size_t first, std::size_t count, Bytes source) {
  const std::size_t row_bytes = matrix.columns / columns_per_block(matrix.format) * bytes_per_block(matrix.format);
  for (const auto& panel : matrix.panels) {
    const std::size_t from = std::max(first, panel.first_row),
                      to = std::min(first + count, panel.first_row + panel.layout.rows);
    if (from >= to) continue;
    const std::size_t tile = (from - panel.first_row) / 8, tiles = (to - from + 7) / 8;
    const auto chunks = pack_tiles(panel.layout, tile, tiles, source.subspan((from - first) * row_bytes));
    for (std::size_t chunk = 0; chunk < chunks.size(); ++chunk)
      panel.words.data()->storage->buffer().write(
          panel.words.byte_offset() + 4 * word_offset(panel.layout, chunk, tile),
          std::as_bytes(std::span(chunks[chunk])));
  }
}

void upload_pairs(const PackedMatrix& matrix, std::size_t rows, std::size_t first, std::size_t count, Bytes source,
                  Bytes partners) {
  const std::size_t row_bytes = matrix.columns / columns_per_block(matrix.format) * bytes_per_block(matrix.format);
  const PackedLayout either{matrix.format, rows, matrix.columns};
  for (const auto& panel : matrix.panels) {
    const std::size_t panel_first = panel.first_row / 2;  // of either matrix
    const std::size_t from = std::max(first, panel_first),
                      to = std::min({first + count, panel_first + panel.layout.rows / 2, rows});
    if (from >= to) continue;
    const std::size_t tile = from / 8, tiles = (to - from + 7) / 8, skip = (from - first) * row_bytes;
    const auto a = pack_tiles(either, tile, tiles, source.subspan(skip)),
               b = pack_tiles(either, tile, tiles, partners.subspan(skip));
    for (std::size_t chunk = 0; chunk < a.size(); ++chunk) {
      const std::size_t words = a[chunk].size() / tiles;
      std::vector<std::uint32_t> both(2 * a[chunk].size());
      for (std::size_t t = 0; t < tiles; ++t) {
        std::copy_n(a[chunk].data() + t * words, words, both.data() + 2 * t * words);
        std::copy_n(b[chunk].data() + t * words, words, both.data() + (2 * t + 1) * words);
      }
      panel.words.data()->storage->buffer().write(
          panel.words.byte_offset() + 4 * word_offset(panel.layout, chunk, 2 * (tile - panel_first / 8)),
          std::as_bytes(std::span(both)));
    }
  }
}

PackedMatrix packed_from_bytes(PackedFormat format, std::size_t rows, std::size_t columns, Bytes bytes) {
  auto matrix = make_packed(format, rows, columns);
  upload_rows(matrix, 0, rows, bytes);
  return matrix;
}

}  // namespace glassbox::gpu
