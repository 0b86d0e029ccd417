#pragma once

#include "gpu/array.h"

namespace glassbox::gpu {

class CommandEncoder;

/// The same elements, contiguous. Any dtype and strides, up to 6 axes.
Array copy(const Array& x);
/// The elements of a float array rounded to nearest even into another float dtype.
Array cast(const Array& x, DType dtype);

/// Records the dispatch of both on evaluated arrays: x of any strides, y contiguous, of x's shape.
void encode_copy(CommandEncoder& encoder, const Array& x, const Array& y);

}  // namespace glassbox::gpu
