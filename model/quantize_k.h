#pragma once

#include <cstddef>

namespace glassbox::model {

/// One block of 256 finite values as GGML's k-quants, 144, 176 and 210 bytes.
///
/// The method is least squares by alternation, as Lloyd's quantiser is built: given the scale and min of a group of 32
/// (16) values their quants are the nearest ones; given the quants, scale and min are the solution of the normal
/// equations. It starts from nine widths of the step around the one that spans the group, and the best end wins. The
/// block holds scales and mins as small integers times d and dmin: these integers are then searched around their
/// nearest ones with the error that they really give, and d and dmin are the least squares solution for those, rounded
/// to float16, as long as the error falls.
void quantize_q4_k(const float* values, std::byte* block);
void quantize_q5_k(const float* values, std::byte* block);
void quantize_q6_k(const float* values, std::byte* block);

}  // namespace glassbox::model
