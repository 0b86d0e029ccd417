#pragma once

#include "gpu/array.h"

namespace glassbox::gpu {

/// a + b and a * b. b is of a's shape, one row for all ([n] or [.., 1, n] of a's last axis), or one value a row ([..,
/// 1]). The result has a's shape and dtype. Throw Error for other shapes and integer dtypes.
Array add(const Array& a, const Array& b);
Array mul(const Array& a, const Array& b);
/// silu(gate) * up, element by element: SwiGLU's middle (Shazeer 2020). Shapes agree.
Array silu_mul(const Array& gate, const Array& up);
Array silu(const Array& x);
Array square(const Array& x);
/// 1 / sqrt(x + c)
Array rsqrt(const Array& x, float c = 0);
Array scale(const Array& x, float factor);
/// cap * tanh(x / cap), cap > 0: Gemma 2's and xLSTM's soft cap.
Array soft_cap(const Array& x, float cap);
/// Mean over the last axis: [.., n] -> [.., 1] float32.
Array mean(const Array& x);

}  // namespace glassbox::gpu
