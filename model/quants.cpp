#include "model/quants.h"

#include <Eigen/Core>
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

template <class T>
void widen(std::span<const std::byte> bytes, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(load<T>(bytes.data() + i * sizeof(T)));
}

void dequantize_q8_0(const std::byte* block, float* out) {
  const auto d = static_cast<float>(load<Eigen::half>(block));
  for (std::size_t j = 0; j < 32; ++j) out[j] = d * static_cast<float>(load<std::int8_t>(block + 2 + j));
}

void dequantize_q4_0(const std::byte* block, float* out) {
  const auto d = static_cast<float>(load<Eigen::half>(block));
  for (std::size_t j = 0; j < 16; ++j) {
    const auto pair = std::to_integer<int>(block[2 + j]);
    out[j] = d * static_cast<float>((pair & 0xF) - 8);
    out[j + 16] = d * static_cast<float>((pair >> 4) - 8);
  }
}

}  // namespace

void dequantize(StorageType type, std::span<const std::byte> bytes, std::span<float> out) {
  const std::size_t blocks = out.size() / elements_per_block(type);
  require(out.size() % elements_per_block(type) == 0 && bytes.size() / bytes_per_block(type) == blocks &&
              bytes.size() % bytes_per_block(type) == 0,
          "[dequantize] {} bytes of {} do not hold {} values", bytes.size(), name_of(type), out.size());
  switch (type) {
    case StorageType::f32:
      return widen<float>(bytes, out);
    case StorageType::f16:
      return widen<Eigen::half>(bytes, out);
    case StorageType::bf16:
      return widen<Eigen::bfloat16>(bytes, out);
    case StorageType::q8_0:
      for (std::size_t b = 0; b < blocks; ++b) dequantize_q8_0(&bytes[b * 34], &out[b * 32]);
      return;
    case StorageType::q4_0:
      for (std::size_t b = 0; b < blocks; ++b) dequantize_q4_0(&bytes[b * 18], &out[b * 32]);
      return;
  }
  fail("unknown storage type {}", static_cast<int>(type));
}

std::vector<float> dequantize(const TensorInfo& tensor) {
  std::vector<float> out(gpu::element_count(tensor.shape));
  dequantize(tensor.type, tensor.bytes, out);
  return out;
}

}  // namespace glassbox::model
