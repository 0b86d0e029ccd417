#include "app/ui/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace glassbox::app::ui {

std::string duration_text(double microseconds) {
  const double size = std::abs(microseconds);
  // From the value as it will be written: 999.96 us is "1.00 ms", not "1000 us".
  const auto in = [&](double unit, const char* name) {
    const double value = microseconds / unit;
    return fmt::format("{:.{}f} {}", value, std::abs(value) < 9.995 ? 2 : std::abs(value) < 99.95 ? 1 : 0, name);
  };
  if (size == 0) return "0 µs";
  if (size < 0.9995) return in(1e-3, "ns");
  if (size < 999.5) return in(1, "µs");
  if (size < 999.5e3) return in(1e3, "ms");
  return in(1e6, "s");
}

std::string with_thousands(std::size_t value) {
  auto text = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

std::string shape_text(const gpu::Shape& shape) {
  if (shape.empty()) return "scalar";
  return fmt::format("{}", fmt::join(shape, " × "));
}

std::string error_text(double error) { return error == 0 ? "0" : fmt::format("{:.1e}", error); }

std::string text_in_steps(double value, double step) {
  // 1-2-5 steps of ten: the digits after the point are those of the step's power of ten.
  const int decimals = step > 0 ? std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9))) : 0;
  const auto text = fmt::format("{:.{}f}", value, decimals);
  return text == "-0" ? "0" : text;
}

std::string counted(std::size_t count, const char* noun) {
  const std::string_view name = noun;
  const char* ending = count == 1 ? "" : name.ends_with("ch") || name.ends_with('s') ? "es" : "s";
  return fmt::format("{} {}{}", with_thousands(count), name, ending);
}

}  // namespace glassbox::app::ui
