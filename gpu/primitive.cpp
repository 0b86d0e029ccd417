#include "gpu/primitive.h"

#include <algorithm>

namespace glassbox::gpu {

double storage_nmse(DType output, double f32) {
  switch (output) {
    case DType::f16:
      return std::max(f32, 1e-6);
    case DType::bf16:
      return std::max(f32, 1.6e-5);  // 8 bits: rounding is at most 2^-8 of a value, 1.53e-5 squared
    case DType::f32:
      return f32;
    case DType::u32:
    case DType::i32:
      return 0;
  }
  return 0;
}

Cost Primitive::cost(Inputs in, Outputs out) const {
  Cost cost;
  for (const auto& x : in) cost.bytes += static_cast<double>(x.nbytes());
  for (const auto& y : out) {
    cost.bytes += static_cast<double>(y.nbytes());
    cost.flops += static_cast<double>(y.size());
  }
  return cost;
}

Tolerance Primitive::tolerance(Inputs, Outputs out) const {
  Tolerance tolerance{.nmse = 0};
  for (const auto& y : out) tolerance.nmse = std::max(tolerance.nmse, storage_nmse(y.dtype()));
  return tolerance;
}

}  // namespace glassbox::gpu
