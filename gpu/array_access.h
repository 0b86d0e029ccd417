#pragma once

#include <string>
#include <string_view>

#include "gpu/signature.h"

namespace glassbox::gpu {

/// float, uint or int: what a body sees of a dtype.
std::string_view glsl_scalar(DType dtype);

/// GLSL that the functions below call where an input, or an output, is of a 16-bit type.
extern const std::string_view unpacking_functions, packing_functions;

/// GLSL functions x_at, x_load4, x_load8 as far as they are used: a word or a texel, then what its dtype makes of it.
/// `wide`: the storage block is declared as uvec4.
std::string reading_functions(const std::string& x, const Argument& argument, const ArrayUse& use, bool wide);

/// GLSL functions y_put, y_at, y_store4 as far as they are used. 16-bit types are written by pairs or fours alone: a
/// single half would race with its neighbour. Throws Error naming `kernel` for an element of them.
std::string writing_functions(const std::string& y, const Argument& argument, const ArrayUse& use, bool wide,
                              const std::string& kernel);

}  // namespace glassbox::gpu
