#pragma once

#include <optional>

#include "gpu/device.h"
#include "gpu/dynamic.h"
#include "gpu/ops/rope_kv.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {

enum class AttentionKernel {
  lanes,  ///< an invocation has whole query rows (CPUs)
  group,  ///< a workgroup shares query rows of a KV head
  row,    ///< a workgroup has one query row: the least latency
};

/// How attention runs: what suits a device and a shape.
struct AttentionVariant {
  AttentionKernel kernel = AttentionKernel::group;
  unsigned local_size = 8;  ///< invocations a workgroup
  unsigned rows = 1;        ///< query rows of a KV head that an invocation (lanes) or a workgroup reads keys for
  unsigned slots = 1;       ///< lanes: invocations that divide a part's keys; group: that score a key
  unsigned keys = 1;        ///< lanes: keys an invocation takes at a time; group: keys of a block
  std::size_t span = 0;     ///< keys of a part of the context
};
/// `group` query heads share a KV head; `longest` keys are seen at most.
AttentionVariant attention_variant(const Features& features, const Limits& limits, std::size_t tokens,
                                   std::size_t kv_heads, std::size_t group, std::size_t head_dim, std::size_t longest);

struct AttentionOptions {
  /// Keys that any run will see at most (first + T), 0: the capacity. A plan for short contexts has fewer and smaller
  /// dispatches; it must not be run further.
  std::size_t longest = 0;
  Fusion fusion = Fusion::on;
  DType result = DType::f32;                ///< f16: rope_attention's y may be, where it is one primitive
  std::optional<AttentionVariant> variant;  ///< instead of attention_variant()
};

/// Causal attention of T new tokens over a KV cache: q float [T, heads, d]; keys, values: caches (kv_cache.h) of
/// [kv_heads, capacity, d], each of any type, that hold the tokens up to first + T. Query t sees keys 0..first + t;
/// query head h reads KV head h / (heads / kv_heads) (GQA). Returns float32 [T, heads, d]. Fused: the scores are never
/// stored; parts of a long context are computed side by side and then combined (flash-decoding, Dao et al. 2023).
/// Fusion::off composes it of kv_unpack, matmul, causal_mask, softmax and matmul over the whole capacity. Throws Error
/// where shapes do not fit.
Array attention(const Array& q, const Array& keys, const Array& values, const Dynamic& first, float scale,
                const AttentionOptions& options);
inline Array attention(const Array& q, const Array& keys, const Array& values, const Dynamic& first, float scale,
                       Fusion fusion = Fusion::on) {
  return attention(q, keys, values, first, scale, AttentionOptions{.fusion = fusion});
}

struct AttendedAndCaches {
  Array y;             ///< float32, or as asked for, [T, heads, d]
  Array keys, values;  ///< the caches with the T new tokens in them
};

/// rope_kv, then attention of what it returns. One token over float32 caches is one primitive where the device has real
/// workgroups, for d a multiple of 8: each workgroup turns its queries and the new key itself, which saves a dispatch.
/// Throws Error as those two do.
AttendedAndCaches rope_attention(const Array& qkv, const Array& bias, const Array& frequencies, const Array& keys,
                                 const Array& values, const Dynamic& first, RopePairing pairing, float scale,
                                 const AttentionOptions& options = {});

}  // namespace glassbox::gpu
