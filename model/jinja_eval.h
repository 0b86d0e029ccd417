#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/jinja_parser.h"
#include "model/jinja_value.h"

namespace glassbox::model::jinja {

/// What the program prints with these global variables, whose containers `heap` owns. Throws Error naming the line
/// where an expression cannot be evaluated, the template raises an exception, or it does not come to an end.
std::string render(const Block& program, Heap& heap, std::vector<std::pair<std::string, Value>> variables);

}  // namespace glassbox::model::jinja
