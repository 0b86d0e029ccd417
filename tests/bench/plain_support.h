#pragma once

#include <Eigen/Core>
#include <string>

#include "tests/bench/plain.h"

namespace glassbox::bench {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Row = Eigen::Array<float, 1, Eigen::Dynamic>;
using Rows = Eigen::Array<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Eigen::Index;

inline Index index(std::size_t n) { return static_cast<Index>(n); }

/// A float array as [rows, last axis].
inline Rows floats(const gpu::Array& array) {
  const auto values = array.values();
  return Eigen::Map<const Eigen::Array<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
             values.data(), index(array.rows()), index(array.last()))
      .cast<float>();
}

inline std::vector<std::uint32_t> indices(const gpu::Array& array) {
  const auto values = array.values();
  return {values.begin(), values.end()};
}

/// The first position of a sample, which its label ends with: "f32 [1, 32, 128] half split at 79105".
inline Index position(const std::string& label) { return std::stol(label.substr(label.rfind(' ') + 1)); }

/// sigmoid(x) x.
inline auto silu(const auto& x) { return x / (1 + (-x).exp()); }

}  // namespace glassbox::bench
