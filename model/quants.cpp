#include "model/quants.h"

#include <Eigen/Core>
#include <array>
#include <cmath>
#include <cstring>

#include "gpu/error.h"

namespace glassbox::model {
namespace {

/// The T at `from`, which need not be aligned.
template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}
float half(const std::byte* from) { return static_cast<float>(load<Eigen::half>(from)); }
int u8(std::byte byte) { return std::to_integer<int>(byte); }
int low(std::byte byte) { return u8(byte) & 0xF; }
int high(std::byte byte) { return u8(byte) >> 4; }

template <class T>
void widen(const std::byte* from, float* out) {
  *out = static_cast<float>(load<T>(from));
}

void q8_0(const std::byte* block, float* out) {
  const float d = half(block);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(load<std::int8_t>(block + 2 + j));
}

/// 16 bytes of nibbles: value(byte's low nibble, j) for j < 16, then value(high nibble, j) for 16 <= j < 32.
template <class Value>
void nibbles(const std::byte* bytes, float* out, Value value) {
  for (int j = 0; j < 16; ++j) {
    out[j] = value(low(bytes[j]), j);
    out[j + 16] = value(high(bytes[j]), j + 16);
  }
}

void q4_0(const std::byte* block, float* out) {
  const float d = half(block);
  nibbles(block + 2, out, [d](int q, int) { return d * static_cast<float>(q - 8); });
}

void q4_1(const std::byte* block, float* out) {
  const float d = half(block), m = half(block + 2);
  nibbles(block + 4, out, [=](int q, int) { return d * static_cast<float>(q) + m; });
}

/// The fifth bit of value j is bit j of `bits`.
int with_fifth(int q, std::uint32_t bits, int j) { return q | static_cast<int>(bits >> j & 1) << 4; }

void q5_0(const std::byte* block, float* out) {
  const float d = half(block);
  const auto fifth = load<std::uint32_t>(block + 2);
  nibbles(block + 6, out, [=](int q, int j) { return d * static_cast<float>(with_fifth(q, fifth, j) - 16); });
}

void q5_1(const std::byte* block, float* out) {
  const float d = half(block), m = half(block + 2);
  const auto fifth = load<std::uint32_t>(block + 4);
  nibbles(block + 8, out, [=](int q, int j) { return d * static_cast<float>(with_fifth(q, fifth, j)) + m; });
}

void q2_k(const std::byte* block, float* out) {
  const std::byte *scales = block, *quants = block + 16;
  const float d = half(block + 80), dmin = half(block + 82);
  for (int i = 0; i < 256; ++i) {
    const int q = u8(quants[i / 128 * 32 + i % 32]) >> (i % 128 / 32 * 2) & 3;
    const std::byte scale = scales[i / 16];
    out[i] = d * static_cast<float>(low(scale)) * static_cast<float>(q) - dmin * static_cast<float>(high(scale));
  }
}

void q3_k(const std::byte* block, float* out) {
  const std::byte *third = block, *quants = block + 32, *scales = block + 96;
  const float d = half(block + 108);
  for (int i = 0; i < 256; ++i) {
    const int q = (u8(quants[i / 128 * 32 + i % 32]) >> (i % 128 / 32 * 2) & 3) | (u8(third[i % 32]) >> i / 32 & 1)
                                                                                      << 2;
    const int s = i / 16;
    const int scale = (s < 8 ? low(scales[s]) : high(scales[s - 8])) | (u8(scales[8 + s % 4]) >> (s / 4 * 2) & 3) << 4;
    out[i] = d * static_cast<float>(scale - 32) * static_cast<float>(q - 4);
  }
}

struct ScaleAndMin {
  float scale, min;
};
/// Number j of the eight of q4_k and q5_k. Of twelve bytes the first four hold the scales 0 to 3, the next four their
/// mins, in six bits each; the last four the low nibbles of 4 to 7, whose upper two bits are on top of the first eight.
ScaleAndMin scale_and_min(const std::byte* block, int j) {
  const float d = half(block), dmin = half(block + 2);
  const std::byte* packed = block + 4;
  if (j < 4) return {d * static_cast<float>(u8(packed[j]) & 63), dmin * static_cast<float>(u8(packed[j + 4]) & 63)};
  return {d * static_cast<float>(low(packed[j + 4]) | u8(packed[j - 4]) >> 6 << 4),
          dmin * static_cast<float>(high(packed[j + 4]) | u8(packed[j]) >> 6 << 4)};
}

/// Nibble of value i where each 32 bytes hold 64 values: the low nibbles first.
int nibble64(const std::byte* quants, int i) {
  const std::byte pair = quants[i / 64 * 32 + i % 32];
  return i % 64 < 32 ? low(pair) : high(pair);
}

void q4_k(const std::byte* block, float* out) {
  for (int j = 0; j < 8; ++j) {
    const auto [scale, min] = scale_and_min(block, j);
    for (int i = j * 32; i < j * 32 + 32; ++i) out[i] = scale * static_cast<float>(nibble64(block + 16, i)) - min;
  }
}

void q5_k(const std::byte* block, float* out) {
  const std::byte *fifth = block + 16, *quants = block + 48;
  for (int j = 0; j < 8; ++j) {
    const auto [scale, min] = scale_and_min(block, j);
    for (int i = j * 32; i < j * 32 + 32; ++i)
      out[i] = scale * static_cast<float>(nibble64(quants, i) | (u8(fifth[i % 32]) >> j & 1) << 4) - min;
  }
}

void q6_k(const std::byte* block, float* out) {
  const std::byte *quants = block, *upper = block + 128, *scales = block + 192;
  const float d = half(block + 208);
  for (int i = 0; i < 256; ++i) {
    const std::byte pair = quants[i / 128 * 64 + i % 64];
    const int q = (i % 128 < 64 ? low(pair) : high(pair)) | (u8(upper[i / 128 * 32 + i % 32]) >> (i % 128 / 32 * 2) & 3)
                                                                << 4;
    out[i] = d * static_cast<float>(load<std::int8_t>(scales + i / 16)) * static_cast<float>(q - 32);
  }
}

constexpr std::array<int, 16> iq4_levels{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
float iq4_level(int q) { return static_cast<float>(iq4_levels[static_cast<std::size_t>(q)]); }

void iq4_nl(const std::byte* block, float* out) {
  const float d = half(block);
  nibbles(block + 2, out, [d](int q, int) { return d * iq4_level(q); });
}

void iq4_xs(const std::byte* block, float* out) {
  const float d = half(block);
  const auto upper = load<std::uint16_t>(block + 2);
  for (int j = 0; j < 8; ++j) {
    const std::byte pair = block[4 + j / 2];
    const int scale = (j % 2 == 0 ? low(pair) : high(pair)) | (upper >> 2 * j & 3) << 4;
    const float step = d * static_cast<float>(scale - 32);
    nibbles(block + 8 + j * 16, out + j * 32, [step](int q, int) { return step * iq4_level(q); });
  }
}

/// A byte holds five ternary digits as the fraction byte/256: times 3^n modulo 1, the n-th is in front.
float trit(std::byte byte, int n) {
  constexpr std::array<int, 5> powers{1, 3, 9, 27, 81};
  return static_cast<float>(((u8(byte) * powers[static_cast<std::size_t>(n)] & 0xFF) * 3 >> 8) - 1);
}

void tq1_0(const std::byte* block, float* out) {
  const float d = half(block + 52);
  const auto digits = [&](const std::byte* bytes, int count, int each) {
    for (int n = 0; n < each; ++n)
      for (int j = 0; j < count; ++j) *out++ = d * trit(bytes[j], n);
  };
  digits(block, 32, 5);
  digits(block + 32, 16, 5);
  digits(block + 48, 4, 4);
}

void tq2_0(const std::byte* block, float* out) {
  const float d = half(block + 64);
  for (int i = 0; i < 256; ++i)
    out[i] = d * static_cast<float>((u8(block[i / 128 * 32 + i % 32]) >> (i % 128 / 32 * 2) & 3) - 1);
}

void mxfp4(const std::byte* block, float* out) {
  constexpr std::array<int, 16> levels{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};  // E2M1 times two
  const float d = std::ldexp(1.0F, u8(block[0]) - 128);                                           // E8M0 by two
  nibbles(block + 1, out, [&](int q, int) { return d * static_cast<float>(levels[static_cast<std::size_t>(q)]); });
}

/// `block` for each block of `bytes`.
template <void (*block)(const std::byte*, float*)>
void dequantize_each(std::span<const std::byte> bytes, std::size_t block_bytes, std::span<float> out,
                     std::size_t elements) {
  for (std::size_t b = 0; b < out.size() / elements; ++b) block(&bytes[b * block_bytes], &out[b * elements]);
}

decltype(&dequantize_each<q8_0>) dequantizer_of(StorageType type) {
  switch (type) {
    case StorageType::f32:
      return dequantize_each<widen<float>>;
    case StorageType::f16:
      return dequantize_each<widen<Eigen::half>>;
    case StorageType::bf16:
      return dequantize_each<widen<Eigen::bfloat16>>;
    case StorageType::q8_0:
      return dequantize_each<q8_0>;
    case StorageType::q4_0:
      return dequantize_each<q4_0>;
    case StorageType::q4_1:
      return dequantize_each<q4_1>;
    case StorageType::q5_0:
      return dequantize_each<q5_0>;
    case StorageType::q5_1:
      return dequantize_each<q5_1>;
    case StorageType::q2_k:
      return dequantize_each<q2_k>;
    case StorageType::q3_k:
      return dequantize_each<q3_k>;
    case StorageType::q4_k:
      return dequantize_each<q4_k>;
    case StorageType::q5_k:
      return dequantize_each<q5_k>;
    case StorageType::q6_k:
      return dequantize_each<q6_k>;
    case StorageType::iq4_nl:
      return dequantize_each<iq4_nl>;
    case StorageType::iq4_xs:
      return dequantize_each<iq4_xs>;
    case StorageType::tq1_0:
      return dequantize_each<tq1_0>;
    case StorageType::tq2_0:
      return dequantize_each<tq2_0>;
    case StorageType::mxfp4:
      return dequantize_each<mxfp4>;
  }
  fail("unknown storage type {}", static_cast<int>(type));
}

}  // namespace

void dequantize(StorageType type, std::span<const std::byte> bytes, std::span<float> out) {
  const std::size_t elements = elements_per_block(type), block_bytes = bytes_per_block(type);
  const std::size_t blocks = out.size() / elements;
  require(out.size() % elements == 0 && bytes.size() / block_bytes == blocks && bytes.size() % block_bytes == 0,
          "[dequantize] {} bytes of {} do not hold {} values", bytes.size(), name_of(type), out.size());
  dequantizer_of(type)(bytes, block_bytes, out, elements);
}

std::vector<float> dequantize(const TensorInfo& tensor) {
  std::vector<float> out(gpu::element_count(tensor.shape));
  dequantize(tensor.type, tensor.bytes, out);
  return out;
}

}  // namespace glassbox::model
