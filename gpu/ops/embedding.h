#pragma once

#include "gpu/array.h"

namespace glassbox::gpu {

/// Rows of a table by index: ids u32 [T], table [V, D] float of any dtype. Returns [T, D] float32. An id at or beyond V
/// leaves its row unspecified: callers check ids (model/engine.h does).
Array embedding(const Array& ids, const Array& table);

}  // namespace glassbox::gpu
