#include <algorithm>
#include <cstring>

#include "gpu/packed.h"
#include "tests/bench/plain_support.h"

namespace glassbox::bench {
namespace {

using gpu::PackedFormat;

/// A matrix in GGML's blocks, as a file has it.
struct Blocks {
  PackedFormat format;
  std::size_t rows, columns;
  std::vector<std::byte> bytes;

  std::size_t row_bytes() const { return columns / columns_per_block(format) * bytes_per_block(format); }
};

float half(const std::byte* at) {
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(bits));
}

/// The numbers of 32 columns.
using Block = Eigen::Array<float, 1, 32>;

Block q4_0(const std::byte* at) {
  Block out;
  const float d = half(at);
  for (int i = 0; i < 16; ++i) {
    const int pair = static_cast<int>(at[2 + i]);
    out[i] = static_cast<float>((pair & 15) - 8) * d;
    out[16 + i] = static_cast<float>((pair >> 4) - 8) * d;
  }
  return out;
}

Block q8_0(const std::byte* at) {
  Block out;
  const float d = half(at);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<std::int8_t>(at[2 + i])) * d;
  return out;
}

Block f16(const std::byte* at) {
  Block out;
  for (int i = 0; i < 32; ++i) out[i] = half(at + 2 * i);
  return out;
}

using Unpack = Block (*)(const std::byte*);
Unpack unpack_of(PackedFormat format) {
  return format == PackedFormat::q4_0 ? q4_0 : format == PackedFormat::q8_0 ? q8_0 : f16;
}

/// y = x w^T: each block of w is unpacked once and multiplied with all rows of x.
void multiply(const Rows& x, const Blocks& w, Rows& y) {
  const std::size_t block_bytes = w.row_bytes() / (w.columns / 32);
  const auto unpack = unpack_of(w.format);
  y.resize(x.rows(), index(w.rows));
  Eigen::ArrayXf sums(x.rows());
  for (std::size_t n = 0; n < w.rows; ++n) {
    const std::byte* at = w.bytes.data() + n * w.row_bytes();
    sums.setZero();
    for (Index k = 0; k < x.cols(); k += 32, at += block_bytes) {
      const Block numbers = unpack(at);
      for (Index t = 0; t < x.rows(); ++t) sums[t] += (x.row(t).segment<32>(k) * numbers).sum();
    }
    y.col(index(n)) = sums;
  }
}

/// Random ones of the format that a label names first: "q4_0 [2048, 2048] x 1".
Blocks random_blocks_of(const std::string& label, std::size_t rows, std::size_t columns) {
  const auto format = label.starts_with("q4_0")   ? PackedFormat::q4_0
                      : label.starts_with("q8_0") ? PackedFormat::q8_0
                                                  : PackedFormat::f16;
  gpu::Random random(1);
  return {format, rows, columns, random_blocks(random, format, rows, columns)};
}

Run packed_matmul(const Sampled& s) {
  return [x = floats(s.leaves.at(0)), w = random_blocks_of(s.label, s.result.back(), s.leaves.at(0).last()),
          y = Rows()]() mutable {
    multiply(x, w, y);
    return y.data();
  };
}

/// "..., norm", "..., residual" or "..., norm and gate".
Run packed_projection(const Sampled& s) {
  const bool gate = s.label.ends_with("gate"), residual = s.label.ends_with("residual");
  const auto& more =
      *std::find_if(s.leaves.begin() + 1, s.leaves.end(), [](const auto& a) { return is_float(a.dtype()); });
  return
      [=, x = floats(s.leaves[0]), w = random_blocks_of(s.label, s.result.back() * (gate ? 2 : 1), s.leaves[0].last()),
       other = floats(more), normed = Rows(), y = Rows(), gated = Rows()]() mutable {
        if (residual) {
          multiply(x, w, y);
          y += other;
          return y.data();
        }
        normed = (x.colwise() * (x.square().rowwise().mean() + 1e-5f).rsqrt()).rowwise() * other.row(0);
        multiply(normed, w, y);
        if (!gate) return y.data();
        gated.resize(y.rows(), y.cols() / 2);
        for (Index n = 0; n < gated.cols(); n += 8)
          gated.middleCols(n, 8) = silu(y.middleCols(2 * n, 8)) * y.middleCols(2 * n + 8, 8);
        return gated.data();
      };
}

Run packed_embedding(const Sampled& s) {
  const auto ids = indices(s.leaves.at(0));
  const std::size_t rows = *std::max_element(ids.begin(), ids.end()) + std::size_t{1};
  return [ids, table = random_blocks_of(s.label, rows, s.result.back()), y = Rows()]() mutable {
    const std::size_t block_bytes = table.row_bytes() / (table.columns / 32);
    const auto unpack = unpack_of(table.format);
    y.resize(index(ids.size()), index(table.columns));
    for (Index row = 0; row < y.rows(); ++row)
      for (Index k = 0; k < y.cols(); k += 32)
        y.row(row).segment<32>(k) = unpack(table.bytes.data() + ids[static_cast<std::size_t>(row)] * table.row_bytes() +
                                           static_cast<std::size_t>(k) / 32 * block_bytes);
    return y.data();
  };
}

Run matmul(const Sampled& s) {
  return
      [x = floats(s.leaves.at(0)).matrix().eval(), w = floats(s.leaves.at(1)).matrix().eval(), y = Matrix()]() mutable {
        y.noalias() = x * w.transpose();
        return y.data();
      };
}

}  // namespace

PlainOps plain_products() {
  return {{"packed_matmul", packed_matmul},
          {"packed_projection", packed_projection},
          {"packed_embedding", packed_embedding},
          {"matmul", matmul}};
}

}  // namespace glassbox::bench
