#pragma once

#include <optional>

#include "gpu/array.h"

namespace glassbox::gpu {

class Device;

/// How a matmul runs: what an autotuner picks.
struct MatmulVariant {
  enum class Kernel {
    row,    ///< a row of w an invocation
    group,  ///< `rows` rows of w a workgroup
    tile    ///< 4 side x 4 side results a workgroup of side^2 invocations, through shared memory
  };
  Kernel kernel = Kernel::row;
  unsigned local_size = 8;  ///< tile: side^2
  unsigned tokens = 1;      ///< row, group: an invocation's
  unsigned rows = 1;        ///< group: a workgroup's
};
/// The choice for `tokens` rows of x of `columns` elements.
MatmulVariant matmul_variant(const Device& device, std::size_t tokens, std::size_t columns);

/// x w^T: x [.., T, K] float; w [N, K] float of any dtype, or [.., N, K] with x's leading axes (a batch). Returns
/// [.., T, N] float32, accumulated in float32, by `variant` or else by matmul_variant(). Weights beyond the device's
/// largest binding are multiplied in windows of rows. Throws Error where shapes do not fit.
Array matmul(const Array& x, const Array& w, const std::optional<MatmulVariant>& variant = std::nullopt);

}  // namespace glassbox::gpu
