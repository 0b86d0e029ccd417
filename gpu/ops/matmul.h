#pragma once

#include "gpu/array.h"

namespace glassbox::gpu {

/// x w^T: x [.., T, K] float; w [N, K] float of any dtype, or [.., N, K] with x's leading axes (a batch). Returns
/// [.., T, N] float32, accumulated in float32. The kernel is chosen by device and T: one row of w an invocation
/// (matmul_row), one a workgroup (matmul_group), or tiles in shared memory (matmul_tile). Weights beyond the device's
/// largest binding are multiplied in windows of rows. Throws Error where shapes do not fit.
Array matmul(const Array& x, const Array& w);

}  // namespace glassbox::gpu
