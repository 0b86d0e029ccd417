#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace glassbox::gpu {

/// Every file under shaders/, by its name there ("rms_norm.comp", "include/exp.glsl"). Generated at build time.
const std::map<std::string, std::string, std::less<>>& shader_table();

/// The text of one of them, or of the file of that name in the directory $GLASSBOX_SHADERS where it has one (to try a
/// kernel without building). Throws Error where there is none.
const std::string& shader_source(std::string_view name);

}  // namespace glassbox::gpu
