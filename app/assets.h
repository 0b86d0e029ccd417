#pragma once

#include <filesystem>

namespace glassbox::app {

/// The directory that travels with the program: $GLASSBOX_ASSETS; assets/ beside a program or of the checkout it was
/// built in; share/glassbox of where it was installed. Empty where there is none.
std::filesystem::path assets_directory();

}  // namespace glassbox::app
