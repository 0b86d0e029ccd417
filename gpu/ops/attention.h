#pragma once

#include "gpu/dynamic.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {

/// Causal attention of T new tokens over a KV cache: q float [T, heads, d]; keys, values float [kv_heads, capacity, d]
/// (f32, f16 or bf16) that hold the tokens up to first + T. Query t sees keys 0..first + t; query head h reads KV head
/// h / (heads / kv_heads) (GQA). Returns float32 [T, heads, d]. Fused: one dispatch with an online softmax, for any
/// context. Fusion::off composes it of kv_unpack, matmul, causal_mask, softmax and matmul over the whole capacity.
/// Throws Error where shapes do not fit.
Array attention(const Array& q, const Array& keys, const Array& values, const Dynamic& first, float scale,
                Fusion fusion = Fusion::on);

}  // namespace glassbox::gpu
