#include "model/upload.h"

#include <algorithm>

#include "gpu/device.h"
#include "gpu/error.h"
#include "model/quants.h"

namespace glassbox::model {
namespace {

constexpr std::size_t chunk_bytes = std::size_t{4} << 20;

gpu::DType device_dtype(StorageType type) {
  switch (type) {
    case StorageType::f16:
      return gpu::DType::f16;
    case StorageType::bf16:
      return gpu::DType::bf16;
    default:
      return gpu::DType::f32;
  }
}

/// Blocks of the weights' own size where they are small; a block's unused tail is at most 32 MiB where they are not.
std::size_t block_bytes(const Weights& weights) {
  std::size_t total = 0;
  for (const auto& tensor : weights.tensors())
    total += gpu::element_count(tensor.shape) * gpu::size_of(device_dtype(tensor.type)) + gpu::Arena::alignment;
  return std::min(total, std::size_t{32} << 20);
}

}  // namespace

Uploader::Uploader(const Weights& weights, Progress progress)
    : weights_(weights),
      progress_(std::move(progress)),
      arena_(std::make_shared<gpu::Arena>(gpu::Device::current(), block_bytes(weights))) {}

gpu::Array Uploader::operator()(const std::string& name, const gpu::Shape& shape) {
  const auto& tensor = weights_.at(name, shape);
  const auto dtype = device_dtype(tensor.type);
  const auto array = gpu::Array::empty(shape, dtype, arena_.get());
  const std::size_t blocks = tensor.bytes.size() / bytes_per_block(tensor.type),
                    elements = elements_per_block(tensor.type);
  const bool as_is = elements == 1;
  const std::size_t step = std::max<std::size_t>(chunk_bytes / (elements * gpu::size_of(dtype)), 1);
  std::vector<float> values;
  for (std::size_t first = 0; first < blocks; first += step) {
    const std::size_t count = std::min(step, blocks - first);
    auto bytes = tensor.bytes.subspan(first * bytes_per_block(tensor.type), count * bytes_per_block(tensor.type));
    if (!as_is) {
      values.resize(count * elements);
      dequantize(tensor.type, bytes, values);
      bytes = std::as_bytes(std::span(values));
    }
    array.data()->storage->buffer().write(array.byte_offset() + first * elements * gpu::size_of(dtype), bytes);
  }
  weights_.release(tensor);
  done_ += tensor.bytes.size();
  if (progress_) progress_(std::min(done_, weights_.total_bytes()), weights_.total_bytes());
  return array;
}

gpu::Array Uploader::optional(const std::string& name, const gpu::Shape& shape) {
  return weights_.contains(name) ? (*this)(name, shape) : gpu::Array();
}

}  // namespace glassbox::model
