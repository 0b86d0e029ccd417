#pragma once

#include <optional>
#include <string_view>

#include "gpu/array.h"
#include "gpu/dynamic.h"
#include "gpu/random.h"
#include "gpu/reference.h"

namespace glassbox::gpu {

/// How a cache holds keys or values. q8_0 is ggml's: blocks of 32 along the head, each 32 signed bytes and a float16
/// scale, their largest magnitude / 127.
enum class CacheType : std::uint8_t { f32, f16, bf16, q8_0 };

std::string_view name_of(CacheType type);
/// Throws Error naming `flag` ("-ctk") for what is none.
CacheType parse_cache_type(std::string_view text, std::string_view flag);

/// A cache is an array [heads, capacity, row]: of f32, f16 or bf16 with row = head_dim, or of u32 for q8_0, where a row
/// is head_dim / 4 words of bytes (128 more than they stand for) and then a word for each block's scale (the float32 of
/// its float16), up to a multiple of 4 words. Its content is unspecified. Throws Error naming `flag` where head_dim
/// does not suit the type.
Array make_kv_cache(CacheType type, std::size_t heads, std::size_t capacity, std::size_t head_dim,
                    std::string_view flag);
CacheType cache_type(const Array& cache);
/// head_dim of a cache; nothing where it is none: not three axes, i32, or u32 of a length that no q8_0 row has.
std::optional<std::size_t> cache_head_dim(const Array& cache);

/// Writes new keys or values into a cache, in place: x float [T, heads, head_dim]; token t lands at first + t, rounded
/// to nearest even (q8_0: as ggml does, see above). Tokens beyond the capacity are dropped (the engine never sends
/// any). Returns the cache. Throws Error where shapes do not fit or a 16-bit cache has odd head_dim.
Array kv_pack(const Array& cache, const Array& x, const Dynamic& first);

/// The cache as float32 [heads, capacity, head_dim], with zeros from first + extra on: what composed attention reads.
Array kv_unpack(const Array& cache, const Dynamic& first, std::size_t extra);

/// For references: what a cache's elements stand for, [heads, capacity, head_dim]; and a row of a cache that stands for
/// x (16-bit floats are left unrounded).
Tensor64 cache_values(const Tensor64& cache, CacheType type);
void pack_row(const double* x, std::size_t head_dim, CacheType type, double* row);

/// A cache of normal numbers, for samples and tests.
Array random_kv_cache(Random& random, CacheType type, std::size_t heads, std::size_t capacity, std::size_t head_dim);

}  // namespace glassbox::gpu
