#pragma once

#include "gpu/ops/rope.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {

struct QueriesAndCaches {
  Array q;             ///< float32 [T, heads, d], rotated
  Array keys, values;  ///< the caches with the T new tokens in them
};

/// What stands between the joint projection and attention: qkv float32 [T, (heads + 2 kv_heads) d], or [P, T, ..] whose
/// P parts are added up first (a matmul split along its columns leaves such), plus bias [(heads + 2 kv_heads) d] unless
/// empty. Queries and keys are rotated as rope() does; keys and values are written in place as kv_pack() does, into
/// caches [kv_heads, capacity, d] of any type. Fused: one dispatch, for d a multiple of 8. Fusion::off, or another d,
/// composes it of add, slices, rope and kv_pack. Throws Error where shapes do not fit.
QueriesAndCaches rope_kv(const Array& qkv, const Array& bias, const Array& frequencies, const Array& keys,
                         const Array& values, const Dynamic& first, RopePairing pairing, Fusion fusion = Fusion::on);

/// How a kernel that does rope_kv's work besides its own checks and computes it: inputs qkv, frequencies, keys, values
/// and, where there is one, the bias; outputs q, keys, values.
std::shared_ptr<const Primitive> rope_kv_primitive(const Dynamic& first, RopePairing pairing, std::size_t heads,
                                                   const Array& keys, const Array& values, bool bias);

}  // namespace glassbox::gpu
