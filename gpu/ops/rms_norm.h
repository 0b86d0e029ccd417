#pragma once

#include <utility>

#include "gpu/primitive.h"

namespace glassbox::gpu {

/// x / sqrt(mean(x^2) + eps) * weight over the last axis, summed in float32. x [.., n] float; weight [n] float; the
/// result has x's shape and dtype. Fusion::off composes it of square, mean, rsqrt and two mul. Throws Error if weight
/// is not [n] or eps is negative. Zhang & Sennrich 2019.
Array rms_norm(const Array& x, const Array& weight, float eps, Fusion fusion = Fusion::on);

/// h = x + residual and rms_norm(h): {h, y}, both of x's shape and dtype.
std::pair<Array, Array> rms_norm_residual(const Array& x, const Array& residual, const Array& weight, float eps,
                                          Fusion fusion = Fusion::on);

}  // namespace glassbox::gpu
