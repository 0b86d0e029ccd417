#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace glassbox::gpu {

/// Lengths of the axes, outermost first. {} is a scalar.
using Shape = std::vector<std::size_t>;

/// Element types an array can have on the device. Storage is little-endian and, for 16-bit types, two to a word.
enum class DType : std::uint8_t { f32, f16, bf16, u32, i32 };

std::size_t size_of(DType dtype);       ///< bytes an element
std::string_view name_of(DType dtype);  ///< "f32", "f16", ...
bool is_float(DType dtype);

/// Product of the axes; 1 for a scalar. Throws Error where so many elements have no address.
std::size_t element_count(const Shape& shape);

/// Elements of `dtype` at `bytes`, as float64 (exact for every DType).
std::vector<double> to_float64(std::span<const std::byte> bytes, DType dtype);
/// The float64 values rounded once, to nearest even, into `dtype`; integers are truncated, and clamped to the dtype's
/// range (NaN gives 0).
std::vector<std::byte> from_float64(std::span<const double> values, DType dtype);

}  // namespace glassbox::gpu
