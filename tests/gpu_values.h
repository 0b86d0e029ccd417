#pragma once

#include <gmock/gmock.h>

#include <vector>

#include "gpu/array.h"
#include "gpu/compare.h"

namespace glassbox::testing {

inline gpu::Array array(gpu::Shape shape, const std::vector<double>& values, gpu::DType dtype = gpu::DType::f32) {
  return gpu::Array::from_values(std::move(shape), dtype, values);
}

inline gpu::Array zeros(gpu::Shape shape, gpu::DType dtype = gpu::DType::f32) {
  const std::vector<double> values(gpu::element_count(shape), 0.0);
  return array(std::move(shape), values, dtype);
}

/// f of each element.
template <class F>
std::vector<double> mapped(const gpu::Array& a, F f) {
  auto values = a.values();
  for (auto& v : values) v = f(v);
  return values;
}

/// f of the elements of two arrays of one shape.
template <class F>
std::vector<double> combined(const gpu::Array& a, const gpu::Array& b, F f) {
  auto values = a.values();
  const auto others = b.values();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = f(values[i], others[i]);
  return values;
}

inline double nmse_error(const gpu::Array& y, const std::vector<double>& expected) {
  return gpu::compare(y.values(), expected, y.dtype()).nmse;
}

inline double max_abs_error(const gpu::Array& y, const std::vector<double>& expected) {
  return gpu::compare(y.values(), expected, y.dtype()).max_abs;
}

/// y against an oracle that shares nothing with the op's own eval_cpu.
inline void expect_near(const gpu::Array& y, const std::vector<double>& expected, double nmse = 1e-12) {
  const auto stats = gpu::compare(y.values(), expected, y.dtype());
  EXPECT_LE(stats.nmse, nmse) << "worst at " << stats.worst << ": " << stats.worst_value << " for "
                              << stats.worst_reference;
}

}  // namespace glassbox::testing
