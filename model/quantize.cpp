#include "model/quantize.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "gpu/error.h"
#include "model/quantize_k.h"

namespace glassbox::model {
namespace {

constexpr std::array<StorageType, 11> writable_types{
    StorageType::f32,  StorageType::f16,  StorageType::bf16, StorageType::q8_0, StorageType::q4_0, StorageType::q4_1,
    StorageType::q5_0, StorageType::q5_1, StorageType::q4_k, StorageType::q5_k, StorageType::q6_k};

template <class T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}
/// Reciprocal; 0 for a step of 0, or so small that it has none.
float inverse(float d) { return std::isfinite(1 / d) ? 1 / d : 0; }

template <class T>
void narrow(const float* from, std::byte* to) {
  store(to, static_cast<T>(*from));
}

void q8_0(const float* x, std::byte* block) {
  float largest = 0;
  for (int j = 0; j < 32; ++j) largest = std::max(largest, std::fabs(x[j]));
  const float d = largest / 127, id = inverse(d);
  store(block, Eigen::half(d));
  for (int j = 0; j < 32; ++j) store(block + 2 + j, static_cast<std::int8_t>(std::round(x[j] * id)));
}

/// Value j's lower four bits in byte j % 16, the first sixteen in the low nibbles; their fifth bits in a word.
template <class Quant>
std::uint32_t pack(std::byte* nibbles, Quant quant) {
  std::uint32_t fifth = 0;
  for (int j = 0; j < 16; ++j) {
    const int first = quant(j), second = quant(j + 16);
    nibbles[j] = static_cast<std::byte>((first & 0xF) | (second & 0xF) << 4);
    fifth |= static_cast<std::uint32_t>(first >> 4) << j | static_cast<std::uint32_t>(second >> 4) << (j + 16);
  }
  return fifth;
}

/// The block's value of largest magnitude becomes −half of the levels. Returns the fifth bits.
std::uint32_t pack_symmetric(const float* x, std::byte* scale, std::byte* nibbles, int levels) {
  float extreme = 0;
  for (int j = 0; j < 32; ++j)
    if (std::fabs(x[j]) > std::fabs(extreme)) extreme = x[j];
  const float d = extreme / static_cast<float>(-levels / 2), id = inverse(d);
  store(scale, Eigen::half(d));
  return pack(nibbles, [&](int j) {
    return std::min(levels - 1, static_cast<int>(x[j] * id + (static_cast<float>(levels) / 2 + 0.5F)));
  });
}

/// The block's smallest value becomes 0, its largest the last level. Returns the fifth bits.
std::uint32_t pack_from_min(const float* x, std::byte* scale_and_min, std::byte* nibbles, int levels) {
  const float min = *std::min_element(x, x + 32), max = *std::max_element(x, x + 32);
  const float d = (max - min) / static_cast<float>(levels - 1), id = inverse(d);
  store(scale_and_min, Eigen::half(d));
  store(scale_and_min + 2, Eigen::half(min));
  return pack(nibbles, [&](int j) { return std::min(levels - 1, static_cast<int>((x[j] - min) * id + 0.5F)); });
}

void q4_0(const float* x, std::byte* block) { pack_symmetric(x, block, block + 2, 16); }
void q5_0(const float* x, std::byte* block) { store(block + 2, pack_symmetric(x, block, block + 6, 32)); }
void q4_1(const float* x, std::byte* block) { pack_from_min(x, block, block + 4, 16); }
void q5_1(const float* x, std::byte* block) { store(block + 4, pack_from_min(x, block, block + 8, 32)); }

template <void (*block)(const float*, std::byte*)>
void quantize_each(std::span<const float> values, std::size_t elements, std::span<std::byte> out,
                   std::size_t block_bytes) {
  for (std::size_t b = 0; b < values.size() / elements; ++b) block(&values[b * elements], &out[b * block_bytes]);
}

decltype(&quantize_each<q8_0>) quantizer_of(StorageType type) {
  switch (type) {
    case StorageType::f32:
      return quantize_each<narrow<float>>;
    case StorageType::f16:
      return quantize_each<narrow<Eigen::half>>;
    case StorageType::bf16:
      return quantize_each<narrow<Eigen::bfloat16>>;
    case StorageType::q8_0:
      return quantize_each<q8_0>;
    case StorageType::q4_0:
      return quantize_each<q4_0>;
    case StorageType::q4_1:
      return quantize_each<q4_1>;
    case StorageType::q5_0:
      return quantize_each<q5_0>;
    case StorageType::q5_1:
      return quantize_each<q5_1>;
    case StorageType::q4_k:
      return quantize_each<quantize_q4_k>;
    case StorageType::q5_k:
      return quantize_each<quantize_q5_k>;
    case StorageType::q6_k:
      return quantize_each<quantize_q6_k>;
    default:
      break;
  }
  std::vector<std::string_view> names;
  for (const auto writable : writable_types) names.push_back(name_of(writable));
  fail("[quantize] {} is only read, expected one of {}", name_of(type), fmt::join(names, ", "));
}

/// The largest magnitude that surely fits: float16 scales must not overflow.
float largest_magnitude(StorageType type) {
  constexpr float largest_half = 65504;
  if (type == StorageType::f32) return std::numeric_limits<float>::max();
  if (type == StorageType::bf16) return 0x1.FEp127F;
  return largest_half;
}

}  // namespace

std::span<const StorageType> quantizable_types() { return writable_types; }

std::vector<std::byte> quantize(StorageType type, std::span<const float> values) {
  const auto quantize_blocks = quantizer_of(type);
  const std::size_t elements = elements_per_block(type), block_bytes = bytes_per_block(type);
  require(values.size() % elements == 0, "[quantize] {} values are no whole number of {} blocks of {}", values.size(),
          name_of(type), elements);
  const float largest = largest_magnitude(type);
  for (const float value : values)  // written so that NaN fails
    require(std::fabs(value) <= largest, "[quantize] {} does not fit {}, which holds magnitudes up to {}", value,
            name_of(type), largest);
  std::vector<std::byte> out(values.size() / elements * block_bytes);
  quantize_blocks(values, elements, out, block_bytes);
  return out;
}

}  // namespace glassbox::model
