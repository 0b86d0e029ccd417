#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/weights.h"

namespace glassbox::model {

/// The float32 values of `bytes` stored as `type`, exactly: a float16 scale times a small integer has at most 19
/// significant bits. Blocks as GGML defines them (ggml-common.h): q8_0 is a float16 scale d and 32 int8, value d·q;
/// q4_0 is a float16 scale d and 16 bytes, where byte j holds value j in its low and value j+16 in its high nibble,
/// value d·(q−8). Any run of whole blocks may be given, so that a large tensor can go row by row.
/// Throws Error where `bytes` and `out` do not hold the same whole number of blocks.
void dequantize(StorageType type, std::span<const std::byte> bytes, std::span<float> out);

/// The whole tensor, row-major.
std::vector<float> dequantize(const TensorInfo& tensor);

}  // namespace glassbox::model
