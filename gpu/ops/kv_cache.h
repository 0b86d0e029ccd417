#pragma once

#include "gpu/array.h"
#include "gpu/dynamic.h"

namespace glassbox::gpu {

/// Writes new keys or values into a cache, in place: cache [heads, capacity, d] f32, f16 or bf16; x [T, heads, d]
/// float; token t lands at first + t, rounded to nearest even. Tokens beyond the capacity are dropped (the engine never
/// sends any). Returns the cache. Throws Error where shapes do not fit or a 16-bit cache has odd d.
Array kv_pack(const Array& cache, const Array& x, const Dynamic& first);

/// The cache as float32 [heads, capacity, d], with zeros from first + extra on: what composed attention reads.
Array kv_unpack(const Array& cache, const Dynamic& first, std::size_t extra);

}  // namespace glassbox::gpu
