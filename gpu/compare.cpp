#include "gpu/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

struct FloatFormat {
  int mantissa_bits, min_exponent;  // of the smallest normal number
  double largest;
};

FloatFormat float_format(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return {10, -14, 65504.0};
    case DType::bf16:
      return {7, -126, 3.3895313892515355e38};
    default:
      return {23, -126, std::numeric_limits<float>::max()};
  }
}

double ulp_at(double value, const FloatFormat& format) {
  const int exponent = value == 0 ? format.min_exponent : std::max(std::ilogb(value), format.min_exponent);
  return std::ldexp(1.0, exponent - format.mantissa_bits);
}

double log_sum_exp(std::span<const double> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double l : logits) sum += std::exp(l - top);
  return top + std::log(sum);
}

}  // namespace

ErrorStats compare(std::span<const double> values, std::span<const double> reference, DType dtype) {
  require(values.size() == reference.size(), "comparing {} values with {} of the reference", values.size(),
          reference.size());
  const FloatFormat format = float_format(dtype);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double flushed = dtype == DType::f16 ? 0 : std::numeric_limits<float>::min();
  ErrorStats stats;
  double squared_error = 0, squared = 0, squared_values = 0, product = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double a = values[i];
    double b = reference[i];
    if (is_float(dtype) && std::abs(b) > format.largest + ulp_at(format.largest, format) / 2)
      b = std::copysign(infinity, b);
    if (a == 0 && std::abs(b) < flushed) b = 0;
    double error = std::abs(a - b);
    if (a == b || (std::isnan(a) && std::isnan(b)))
      error = 0;
    else if (!std::isfinite(a) || !std::isfinite(b))
      error = infinity;
    if (error > stats.max_abs || i == 0) {
      stats.max_abs = error;
      stats.worst = i;
      stats.worst_value = a;
      stats.worst_reference = b;
    }
    if (error == infinity) {
      stats.nmse = stats.max_ulp = infinity;
      stats.cosine = 0;
      return stats;
    }
    if (!std::isfinite(b)) continue;
    stats.max_ulp = std::max(stats.max_ulp, error / ulp_at(b, format));
    squared_error += error * error;
    squared += b * b;
    squared_values += a * a;
    product += a * b;
  }
  stats.nmse = squared_error == 0 ? 0 : squared == 0 ? infinity : squared_error / squared;
  stats.cosine = squared > 0 && squared_values > 0 ? product / std::sqrt(squared * squared_values)
                 : squared == squared_values       ? 1
                                                   : 0;
  return stats;
}

double kl_divergence(std::span<const double> p_logits, std::span<const double> q_logits) {
  require(p_logits.size() == q_logits.size() && !p_logits.empty(), "KL divergence of {} logits against {}",
          p_logits.size(), q_logits.size());
  const double p_norm = log_sum_exp(p_logits), q_norm = log_sum_exp(q_logits);
  double sum = 0;
  for (std::size_t i = 0; i < p_logits.size(); ++i) {
    const double log_p = p_logits[i] - p_norm;
    if (const double p = std::exp(log_p); p > 0) sum += p * (log_p - (q_logits[i] - q_norm));
  }
  return std::max(sum, 0.0);
}

}  // namespace glassbox::gpu
