#pragma once

#include <filesystem>

namespace glassbox::model {

/// Where the program keeps its files, after the XDG Base Directory Specification 0.8: the variable if it holds an
/// absolute path, else the fallback below $HOME, then "glassbox". Directories that are missing are made with mode 0700.
/// Throws Error if neither variable is set or a directory cannot be made.
std::filesystem::path data_home();    ///< $XDG_DATA_HOME/glassbox, or ~/.local/share/glassbox
std::filesystem::path cache_home();   ///< $XDG_CACHE_HOME/glassbox, or ~/.cache/glassbox
std::filesystem::path config_home();  ///< $XDG_CONFIG_HOME/glassbox, or ~/.config/glassbox

}  // namespace glassbox::model
