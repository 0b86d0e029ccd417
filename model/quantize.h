#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/weights.h"

namespace glassbox::model {

/// The types that quantize() writes: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k and q6_k.
std::span<const StorageType> quantizable_types();

/// `values` as `type`, in the layout that dequantize() reads.
///
/// f16 and bf16 round to nearest, ties to even. q8_0, q4_0, q4_1, q5_0 and q5_1 round as GGML's reference does and give
/// the bytes that llama.cpp gives: the scale from the extreme value of a block (of largest magnitude; smallest and
/// largest for the types with a min), divided out in float32, ties away from zero. The k-quants are searched for the
/// least sum of squared errors (quantize_k.h).
///
/// Throws Error where `values` is no whole number of blocks, where a value is not finite or beyond what the type can
/// hold, and for types that are only read.
std::vector<std::byte> quantize(StorageType type, std::span<const float> values);

}  // namespace glassbox::model
