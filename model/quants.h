#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/weights.h"

namespace glassbox::model {

/// The float32 values of `bytes` stored as `type`, bit for bit as GGML gives them. Blocks are GGML's (ggml-common.h);
/// d and m are float16; how the bits of the quants q are packed is in the function of each type.
///
///     q8_0                32 values d·q, q int8
///     q4_0, q5_0          32 values d·(q−8), d·(q−16)
///     q4_1, q5_1          32 values d·q + m
///     iq4_nl              32 values d·level(q), of 16 levels
///     mxfp4               32 values 2^e·E2M1(q)
///     q2_k, q4_k, q5_k    256 values d·s·q − dmin·m, s and m for each 16 (q2_k) or 32 (the others)
///     q3_k                256 values d·(s−32)·(q−4), s for each 16
///     q6_k                256 values d·s·(q−32), s for each 16
///     iq4_xs              256 values d·(s−32)·level(q), s for each 32
///     tq1_0, tq2_0        256 values d·(q−1), q of 0, 1, 2
///
/// Every product above has at most 24 significant bits and so is exact; only a min is rounded when it is added, once:
/// the same on every machine, with or without fused multiply-add. Any run of whole blocks may be given, so that a large
/// tensor can go row by row. Throws Error where `bytes` and `out` do not hold the same whole number of blocks.
void dequantize(StorageType type, std::span<const std::byte> bytes, std::span<float> out);

/// The whole tensor, row-major.
std::vector<float> dequantize(const TensorInfo& tensor);

}  // namespace glassbox::model
