#include "gpu/dtype.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

template <class T>
std::vector<double> widen(std::span<const std::byte> bytes) {
  std::vector<double> out(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    out[i] = static_cast<double>(value);
  }
  return out;
}

template <class T>
T rounded(double value) {
  if constexpr (std::is_integral_v<T>) {
    if (std::isnan(value)) return 0;
    return static_cast<T>(std::clamp(value, static_cast<double>(std::numeric_limits<T>::min()),
                                     static_cast<double>(std::numeric_limits<T>::max())));
  } else if constexpr (sizeof(T) == 2) {
    // Eigen rounds through float32, and two roundings are not one: cut to the last place that the type has here first.
    using Limits = std::numeric_limits<T>;
    if (!std::isfinite(value) || value == 0) return T(static_cast<float>(value));
    const int last_place = std::max(std::ilogb(value), Limits::min_exponent - 1) - (Limits::digits - 1);
    return T(static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(value, -last_place)), last_place)));
  } else {
    return static_cast<T>(value);
  }
}

template <class T>
std::vector<std::byte> narrow(std::span<const double> values) {
  std::vector<std::byte> out(values.size() * sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T value = rounded<T>(values[i]);
    std::memcpy(out.data() + i * sizeof(T), &value, sizeof(T));
  }
  return out;
}

}  // namespace

std::size_t size_of(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16 ? 2 : 4; }

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f16:
      return "f16";
    case DType::bf16:
      return "bf16";
    case DType::u32:
      return "u32";
    case DType::i32:
      return "i32";
  }
  fail("unknown dtype {}", static_cast<int>(dtype));
}

bool is_float(DType dtype) { return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16; }

std::size_t element_count(const Shape& shape) {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 16;
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::size_t count = 1;
  for (const std::size_t length : shape) {
    require(count <= most / length, "an array of shape {} is too large", shape);
    count *= length;
  }
  return count;
}

std::vector<double> to_float64(std::span<const std::byte> bytes, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return widen<float>(bytes);
    case DType::f16:
      return widen<Eigen::half>(bytes);
    case DType::bf16:
      return widen<Eigen::bfloat16>(bytes);
    case DType::u32:
      return widen<std::uint32_t>(bytes);
    case DType::i32:
      return widen<std::int32_t>(bytes);
  }
  fail("unknown dtype {}", static_cast<int>(dtype));
}

std::vector<std::byte> from_float64(std::span<const double> values, DType dtype) {
  switch (dtype) {
    case DType::f32:
      return narrow<float>(values);
    case DType::f16:
      return narrow<Eigen::half>(values);
    case DType::bf16:
      return narrow<Eigen::bfloat16>(values);
    case DType::u32:
      return narrow<std::uint32_t>(values);
    case DType::i32:
      return narrow<std::int32_t>(values);
  }
  fail("unknown dtype {}", static_cast<int>(dtype));
}

}  // namespace glassbox::gpu
