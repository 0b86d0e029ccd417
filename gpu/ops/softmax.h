#pragma once

#include "gpu/array.h"
#include "gpu/dynamic.h"

namespace glassbox::gpu {

/// exp(x - max) / sum exp(x - max) over the last axis. x float [.., n]; the result has x's shape and dtype. -infinity
/// gives 0; a row with nothing above it is NaN.
Array softmax(const Array& x);

/// x [heads, T, n] with -infinity where key j > first + t: what composed attention adds to its scores.
Array causal_mask(const Array& x, const Dynamic& first);

}  // namespace glassbox::gpu
