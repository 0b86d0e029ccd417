#include "model/upload.h"

#include <algorithm>

#include "gpu/device.h"
#include "gpu/error.h"
#include "model/quants.h"

namespace glassbox::model {
namespace {

using gpu::PackedFormat;

constexpr std::size_t chunk_elements = std::size_t{4} << 20;

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

PackedFormat packed_format(StorageType type) {
  switch (type) {
    case StorageType::f16:
      return PackedFormat::f16;
    case StorageType::bf16:
      return PackedFormat::bf16;
    case StorageType::q8_0:
      return PackedFormat::q8_0;
    case StorageType::q4_0:
      return PackedFormat::q4_0;
    case StorageType::q4_k:
      return PackedFormat::q4_k;
    case StorageType::q5_k:
      return PackedFormat::q5_k;
    case StorageType::q6_k:
      return PackedFormat::q6_k;
    default:
      return PackedFormat::f32;
  }
}

/// Blocks of the weights' own size where they are small; a block's unused tail is at most 32 MiB where they are not.
std::size_t block_bytes(const Weights& weights) {
  std::size_t total = 0;
  for (const auto& tensor : weights.tensors())
    if (tensor.shape.size() == 2)
      total += gpu::PackedLayout{packed_format(tensor.type), tensor.shape[0], tensor.shape[1]}.texels() * 16 +
               gpu::Arena::alignment;
    else
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
  if (elements_per_block(tensor.type) == 1) {
    const auto array = gpu::Array::from_bytes(shape, dtype, tensor.bytes, arena_.get());
    done(tensor);
    return array;
  }
  const auto values = dequantize(tensor);
  const auto array = gpu::Array::from_bytes(shape, dtype, std::as_bytes(std::span(values)), arena_.get());
  done(tensor);
  return array;
}

gpu::PackedMatrix Uploader::matrix(const std::vector<MatrixPart>& parts, std::size_t columns) {
  gpu::PackedMatrix whole{.columns = columns};
  for (std::size_t first = 0; first < parts.size();) {
    const auto format = packed_format(weights_.at(parts[first].name, {parts[first].rows, columns}).type);
    // A panel's next part must begin with a tile.
    std::size_t end = first, rows = 0;
    while (end < parts.size() && rows % 8 == 0 &&
           packed_format(weights_.at(parts[end].name, {parts[end].rows, columns}).type) == format)
      rows += parts[end++].rows;
    const auto panel = gpu::make_packed(format, rows, columns, arena_.get());
    for (std::size_t row = 0; first < end; row += parts[first++].rows)
      upload(panel, row, weights_.at(parts[first].name));
    whole.format = format;
    for (auto piece : panel.panels) {
      piece.first_row += whole.rows;
      whole.panels.push_back(std::move(piece));
    }
    whole.rows += rows;
  }
  return whole;
}

std::span<const std::byte> Uploader::rows_of(const TensorInfo& tensor, PackedFormat format, std::size_t row,
                                             std::size_t count, std::vector<float>& values) const {
  const std::size_t row_bytes = tensor.bytes.size() / tensor.shape[0];
  const auto bytes = tensor.bytes.subspan(row * row_bytes, count * row_bytes);
  if (gpu::bytes_per_block(format) == bytes_per_block(tensor.type) &&
      gpu::columns_per_block(format) == elements_per_block(tensor.type))
    return bytes;
  values.resize(count * tensor.shape[1]);
  dequantize(tensor.type, bytes, values);
  return std::as_bytes(std::span(values));
}

void Uploader::upload(const gpu::PackedMatrix& matrix, std::size_t first_row, const TensorInfo& tensor) {
  const std::size_t rows = tensor.shape[0], step = std::max<std::size_t>(chunk_elements / matrix.columns / 8, 1) * 8;
  std::vector<float> values;
  for (std::size_t row = 0; row < rows; row += step) {
    const std::size_t count = std::min(step, rows - row);
    gpu::upload_rows(matrix, first_row + row, count, rows_of(tensor, matrix.format, row, count, values));
  }
  done(tensor);
}

gpu::PackedMatrix Uploader::pairs(const std::string& name, const std::string& partner, std::size_t rows,
                                  std::size_t columns) {
  const auto &a = weights_.at(name, {rows, columns}), &b = weights_.at(partner, {rows, columns});
  const auto format = packed_format(a.type);
  if (packed_format(b.type) != format) return {};
  const auto matrix = gpu::make_packed(format, (rows + 7) / 8 * 16, columns, arena_.get());
  const std::size_t step = std::max<std::size_t>(chunk_elements / columns / 8, 1) * 8;
  std::vector<float> values, partners;
  for (std::size_t row = 0; row < rows; row += step) {
    const std::size_t count = std::min(step, rows - row);
    gpu::upload_pairs(matrix, rows, row, count, rows_of(a, format, row, count, values),
                      rows_of(b, format, row, count, partners));
  }
  done(a);
  done(b);
  return matrix;
}

void Uploader::done(const TensorInfo& tensor) {
  weights_.release(tensor);
  done_ += tensor.bytes.size();
  if (progress_) progress_(std::min(done_, weights_.total_bytes()), weights_.total_bytes());
}

}  // namespace glassbox::model
