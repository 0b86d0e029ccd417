#pragma once

#include <cstdint>
#include <random>

#include "gpu/array.h"

namespace glassbox::gpu {

/// Fresh inputs for tests, benches and `glassbox kernels test`; a seed names a run.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  /// Normal with the given deviation, rounded into the dtype.
  Array normal(Shape shape, DType dtype = DType::f32, double deviation = 1.0);
  Array uniform(Shape shape, double low, double high, DType dtype = DType::f32);
  /// u32 in [0, below).
  Array indices(Shape shape, std::uint32_t below);
  std::size_t integer(std::size_t low, std::size_t high);  ///< both included
  std::mt19937_64& engine() { return engine_; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace glassbox::gpu
