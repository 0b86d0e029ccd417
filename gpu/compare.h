#pragma once

#include <span>

#include "gpu/dtype.h"

namespace glassbox::gpu {

/// How far computed values are from reference values.
struct ErrorStats {
  double nmse = 0;  ///< sum (a-b)^2 / sum b^2; infinite where only one side is finite
  double max_abs = 0;
  double max_ulp = 0;  ///< largest |a-b| in units in the last place of the dtype at b
  double cosine = 1;
  std::size_t worst = 0;  ///< index of max_abs, row-major
  double worst_value = 0, worst_reference = 0;
};

/// `values` as computed in `dtype` against the float64 `reference`. A reference beyond the dtype's range is compared as
/// the infinity it rounds to; where it is below the smallest normal float32, 0 is right too: shaders may flush
/// subnormal numbers (GLSL ES 3.10, 4.5.1). NaN equals NaN.
ErrorStats compare(std::span<const double> values, std::span<const double> reference, DType dtype);

/// KL(p || q) in nats of softmax(p_logits) against softmax(q_logits).
double kl_divergence(std::span<const double> p_logits, std::span<const double> q_logits);

}  // namespace glassbox::gpu
