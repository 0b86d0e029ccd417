#pragma once

#include <utility>

#include "gpu/array.h"

namespace glassbox::gpu {

/// Index of the largest element of each row, the lowest where several are: float [.., n] -> u32 [..]. n < 2^24.
Array argmax(const Array& x);

/// The k largest of each row, largest first, lower index first where equal: {values float32 [.., k], indices u32 [..,
/// k]}. 1 <= k <= n < 2^24.
std::pair<Array, Array> top_k(const Array& x, std::size_t k);

}  // namespace glassbox::gpu
