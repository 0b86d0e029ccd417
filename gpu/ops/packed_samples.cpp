#include <algorithm>
#include <array>

#include "gpu/error.h"
#include "gpu/ops/packed_matmul.h"
#include "gpu/registry.h"

namespace glassbox::gpu {

std::vector<std::byte> random_blocks(Random& random, PackedFormat format, std::size_t rows, std::size_t columns) {
  const std::size_t bytes = bytes_per_block(format), blocks = rows * columns / columns_per_block(format);
  std::vector<std::byte> out(blocks * bytes);
  const auto put_half = [&](std::size_t at, double value) {
    const auto half = from_float64(std::span(&value, 1), DType::f16);
    std::copy(half.begin(), half.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
  };
  for (auto& b : out) b = static_cast<std::byte>(random.integer(0, 255));
  for (std::size_t b = 0; b < blocks; ++b) {
    const double scale = 0.002 + 0.0001 * static_cast<double>(random.integer(0, 100));
    switch (format) {
      case PackedFormat::f32: {
        const double value = 40 * scale - 0.1;
        const auto four = from_float64(std::span(&value, 1), DType::f32);
        std::copy(four.begin(), four.end(), out.begin() + static_cast<std::ptrdiff_t>(b * bytes));
        break;
      }
      case PackedFormat::f16:
        put_half(b * bytes, random.integer(0, 30) == 0 ? 1e-6 * scale : 40 * scale - 0.1);  // some denormal
        break;
      case PackedFormat::bf16: {
        const double value = 40 * scale - 0.1;
        const auto two = from_float64(std::span(&value, 1), DType::bf16);
        std::copy(two.begin(), two.end(), out.begin() + static_cast<std::ptrdiff_t>(b * bytes));
        break;
      }
      case PackedFormat::q8_0:
      case PackedFormat::q4_0:
        put_half(b * bytes, scale);
        break;
      case PackedFormat::q4_k:
      case PackedFormat::q5_k:
        put_half(b * bytes, scale / 16);
        put_half(b * bytes + 2, scale / 4);
        break;
      case PackedFormat::q6_k:
        put_half(b * bytes + 208, scale / 64);
        break;
    }
  }
  return out;
}

namespace {

const Registration packed_matmul_registered{
    "packed_matmul", "x w^T, w as GGML's blocks", [](Random& random, SampleSize size) {
      struct Case {
        std::size_t tokens, rows, columns;
      };
      const auto cases = size == SampleSize::bench
                             ? std::vector<Case>{{1, 2048, 2048}, {1, 5632, 2048}, {64, 2048, 2048}}
                             : std::vector<Case>{{1, 70, 288}, {5, 33, 96}};
      std::vector<Sample> samples;
      for (const auto& c : cases)
        for (const auto format : packed_formats) {
          const std::size_t columns = columns_per_block(format) == 256 ? (c.columns + 255) / 256 * 256 : c.columns;
          const auto w = packed_from_bytes(format, c.rows, columns, random_blocks(random, format, c.rows, columns));
          samples.push_back({fmt::format("{} [{}, {}] x {}", name_of(format), c.rows, columns, c.tokens),
                             [=, x = random.normal({c.tokens, columns})](Fusion) { return packed_matmul(x, w); }});
        }
      return samples;
    }};

const Registration packed_embedding_registered{
    "packed_embedding", "table[ids], table as GGML's blocks", [](Random& random, SampleSize) {
      std::vector<Sample> samples;
      for (const auto format : packed_formats) {
        const auto table = packed_from_bytes(format, 100, 512, random_blocks(random, format, 100, 512));
        samples.push_back({fmt::format("{} 5 of [100, 512]", name_of(format)),
                           [=, ids = random.indices({5}, 100)](Fusion) { return packed_embedding(ids, table); }});
      }
      return samples;
    }};

const Registration sum_parts_registered{
    "sum_parts", "sum over the first axis", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      for (const auto& s : size == SampleSize::bench ? std::vector<Shape>{{8, 1, 4096}}
                                                     : std::vector<Shape>{{2, 3, 7}, {9, 1, 130}, {3, 4, 64}}) {
        const auto x = random.normal(s), h = random.normal({s[1], s[2]});
        samples.push_back({fmt::format("{}", s), [=](Fusion) { return sum_parts(x); }});
        samples.push_back({fmt::format("{} and a residual", s), [=](Fusion) { return sum_parts(x, h); }});
      }
      return samples;
    }};

const Registration gated_silu_registered{
    "gated_silu", "silu(gate) up, of partial sums", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      for (const auto& [parts, rows, width] :
           size == SampleSize::bench ? std::vector<std::array<std::size_t, 3>>{{8, 1, 5632}}
                                     : std::vector<std::array<std::size_t, 3>>{{1, 1, 8}, {3, 2, 172}, {2, 5, 13}})
        samples.push_back(
            {fmt::format("{} x {} in {} parts", rows, width, parts),
             [=, x = random.normal({parts, rows, (width + 7) / 8 * 16})](Fusion) { return gated_silu(x, width); }});
      return samples;
    }};

/// What decode makes of a projection: a norm before, a residual or a gate after.
const Registration packed_projection_registered{
    "packed_projection", "rms_norm, x w^T, residual or silu gate", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      struct Case {
        std::size_t tokens, rows, columns;
      };
      const auto cases = size == SampleSize::bench ? std::vector<Case>{{1, 5632, 2048}}
                                                   : std::vector<Case>{{1, 48, 288}, {3, 64, 96}, {2, 32, 60}};
      for (const auto& c : cases)
        for (const auto format : {PackedFormat::f16, PackedFormat::q8_0, PackedFormat::q4_0}) {
          if (c.columns % columns_per_block(format)) continue;
          const auto w = packed_from_bytes(format, c.rows, c.columns, random_blocks(random, format, c.rows, c.columns));
          const auto x = random.normal({c.tokens, c.columns}), norm = random.normal({c.columns}),
                     residual = random.normal({c.tokens, c.rows});
          const auto label = fmt::format("{} [{}, {}] x {}", name_of(format), c.rows, c.columns, c.tokens);
          samples.push_back({label + ", norm",
                             [=](Fusion fusion) {
                               return sum_parts(
                                   packed_projection(x, w, {.norm = norm, .eps = 1e-5f, .fusion = fusion}));
                             },
                             true});
          samples.push_back({label + ", residual",
                             [=](Fusion fusion) {
                               return sum_parts(packed_projection(x, w, {.residual = residual, .fusion = fusion}));
                             },
                             true});
          samples.push_back({label + ", norm and gate",
                             [=](Fusion fusion) {
                               return sum_parts(packed_projection(
                                   x, w, {.norm = norm, .eps = 1e-5f, .gated = c.rows / 2, .fusion = fusion}));
                             },
                             true});
        }
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
