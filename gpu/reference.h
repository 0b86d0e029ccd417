#pragma once

#include <Eigen/Core>
#include <span>
#include <vector>

#include "gpu/dtype.h"

namespace glassbox::gpu {

/// An array in float64 on the CPU, row-major: what eval_cpu reads and writes. Integers are exact in it.
struct Tensor64 {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  Shape shape;
  std::vector<double> values;

  std::size_t last() const { return shape.empty() ? 1 : shape.back(); }
  std::size_t rows() const { return values.empty() ? 0 : values.size() / last(); }
  /// All axes but the last folded into rows: [rows(), last()].
  Eigen::Map<const Matrix> matrix() const { return {values.data(), Eigen::Index(rows()), Eigen::Index(last())}; }
  Eigen::Map<Matrix> matrix() { return {values.data(), Eigen::Index(rows()), Eigen::Index(last())}; }
  /// Every element in one column.
  Eigen::Map<const Eigen::ArrayXd> flat() const { return {values.data(), Eigen::Index(values.size())}; }
  Eigen::Map<Eigen::ArrayXd> flat() { return {values.data(), Eigen::Index(values.size())}; }
};

using Reference = std::span<const Tensor64>;
using ReferenceOut = std::span<Tensor64>;  ///< shapes are set, values sized and NaN

}  // namespace glassbox::gpu
