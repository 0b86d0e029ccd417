#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gpu/array.h"
#include "gpu/packed.h"
#include "model/weights.h"

namespace glassbox::model {

/// A matrix by its name and rows.
struct MatrixPart {
  std::string name;
  std::size_t rows = 0;
};

/// Moves a model's tensors from mapped files to the device, one at a time: a tensor's pages are given back as soon as
/// the device has them, so the weights are in memory once. Matrices are packed (gpu/packed.h) in the type they are
/// stored in; types that have no packed format become float32, exactly.
class Uploader {
 public:
  /// Called with the bytes of the file that are done.
  using Progress = std::function<void(std::size_t done, std::size_t total)>;

  Uploader(const Weights& weights, Progress progress);

  /// A tensor as it is, for small ones: norms and biases. Throws Error where it is missing or of another shape.
  gpu::Array operator()(const std::string& name, const gpu::Shape& shape);
  /// Matrices of `columns` columns one below the other, [sum of rows, columns]: what reads the same input is one
  /// matmul. Neighbours of one type share a panel.
  gpu::PackedMatrix matrix(const std::vector<MatrixPart>& parts, std::size_t columns);

  /// Two matrices [rows, columns] whose eights of rows take turns (gpu::gated_silu); an empty one where they are stored
  /// in different types.
  gpu::PackedMatrix pairs(const std::string& name, const std::string& partner, std::size_t rows, std::size_t columns);

  std::size_t device_bytes() const { return arena_->used_bytes(); }

 private:
  void upload(const gpu::PackedMatrix& matrix, std::size_t first_row, const TensorInfo& tensor);
  /// Rows row .. row + count in a form that can be packed.
  std::span<const std::byte> rows_of(const TensorInfo& tensor, gpu::PackedFormat format, std::size_t row,
                                     std::size_t count, std::vector<float>& values) const;
  void done(const TensorInfo& tensor);

  const Weights& weights_;
  Progress progress_;
  std::shared_ptr<gpu::Arena> arena_;
  std::size_t done_ = 0;
};

}  // namespace glassbox::model
