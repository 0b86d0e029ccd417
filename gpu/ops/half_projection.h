#pragma once

#include <optional>

#include "gpu/ops/packed_matmul.h"
#include "gpu/packed.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {

/// One token's row as half_projection takes it.
struct HalfRow {
  Array x;        ///< [1, K] float16, or float32 that is rounded on the way
  Array squares;  ///< float32 [K / 8]: sums of squares of eights of the row that x is to be normalised by; or empty
};
/// x * norm as float16, at most 65504, and the squares of x: [1, K] float32, [K] float, K a multiple of 8. RMSNorm's
/// first half (Zhang & Sennrich 2019): who reads it divides.
HalfRow half_row(const Array& x, const Array& norm);

/// packed_rule's choice for one token in half precision.
PackedVariant half_rule(const Device& device, const PackedLayout& layout);

/// What stands after a product in half precision, and what of it is wanted.
struct AfterHalf {
  float eps = 0;          ///< of the norm that x brings its squares for
  Array residual;         ///< [1, N]: added to the result; or empty
  std::size_t gated = 0;  ///< not 0: w has eights of gate rows and of their partners, and the result is gated_silu's
  Array next_norm;        ///< [N]: `next` is a row multiplied by this, with its squares; or empty
  bool keep = true;       ///< y is wanted
  bool next = false;      ///< `next` is wanted without a norm
  std::optional<PackedVariant> variant = std::nullopt;  ///< instead of packed_variant(); Kernel::group
};
struct HalfProjected {
  Array y;       ///< float32 [1, N], where kept
  HalfRow next;  ///< the same as a row for the next projection, where wanted; N must be a multiple of 8 then
};

/// Whether half_projection takes the format: q4_0 and q8_0; or a matrix of such panels alone.
bool takes_half(PackedFormat format);
bool takes_half(const PackedMatrix& w);

/// x w^T of one token with weights and activations multiplied in half precision, two at a time, and summed eight by
/// eight; sums of those, norm, gate and residual are float32. Products are 1e-7 off in NMSE, and again what rounding x
/// to float16 costs. Devices without half-floats compute the same in float32. Throws Error where shapes do not fit or
/// takes_half() is false.
HalfProjected half_projection(const HalfRow& x, const PackedMatrix& w, const AfterHalf& after);

}  // namespace glassbox::gpu
