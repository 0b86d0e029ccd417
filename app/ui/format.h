#pragma once

#include <cstddef>
#include <string>

#include "app/cli/table.h"
#include "gpu/dtype.h"

// Numbers as the panels write them, beside short_number(), percent() and byte_size() of app/cli/table.h.
namespace glassbox::app::ui {

/// Microseconds with a unit that suits them: "850 ns", "12.3 µs", "1.23 ms", "2.50 s".
std::string duration_text(double microseconds);
/// "1,234,567".
std::string with_thousands(std::size_t value);
/// "1 × 512"; "scalar" for {}.
std::string shape_text(const gpu::Shape& shape);
/// Two digits and the power of ten, "3.1e-15"; "0", "inf" and "nan" as they are.
std::string error_text(double error);
/// Exactly as many decimals as a step between neighbours needs: 0.25 of steps of 0.05 is "0.25".
std::string text_in_steps(double value, double step);

/// Singular for one, else plural with an s: "1 token", "1,200 tokens".
std::string counted(std::size_t count, const char* noun);

}  // namespace glassbox::app::ui
