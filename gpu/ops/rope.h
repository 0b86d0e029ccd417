#pragma once

#include "gpu/array.h"
#include "gpu/dynamic.h"
#include "gpu/reference.h"

namespace glassbox::gpu {

/// Which elements of a head are rotated together: element i with i + d/2 (Hugging Face), or 2i with 2i + 1 (Meta,
/// GGUF).
enum class RopePairing { half_split, interleaved };

/// Rotary frequencies as the kernel takes them: radians a position -> u32 [d/2, 2], turns a position as a 64-bit binary
/// fraction (high word, low word). Throws Error for negative or non-finite frequencies.
Array rope_frequencies(std::span<const double> radians_per_position);
/// Those of heads of `d` as they were first: 10000^(-2i / d) radians (Su et al. 2021).
Array plain_rope_frequencies(std::size_t d);

/// Radians, modulo one turn, of a pair at a position. For references: `frequencies` as rope_frequencies() gives them.
double rope_angle(const Tensor64& frequencies, std::size_t pair, std::uint64_t position);

/// Rotates x [T, heads, d], float, d even: row t by position first + t. Returns x's shape and dtype. The angle is exact
/// to 2^-32 turns at any position below 2^32. Su et al. 2021.
Array rope(const Array& x, const Array& frequencies, const Dynamic& first, RopePairing pairing);

}  // namespace glassbox::gpu
