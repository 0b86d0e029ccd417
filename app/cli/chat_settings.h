#pragma once

#include <string>
#include <string_view>

#include "model/chat_session.h"

namespace glassbox::app {

/// Sets one of the chat's settings by its flag's name without the dashes ("top-p", "seed", "n-predict"). Throws Error,
/// and changes nothing, for an unknown name or a value that does not fit.
void set_by_name(model::ChatSettings& settings, std::string_view name, std::string_view value);

/// "temp 0.8  top-k 40 ...": every setting, as /set takes them.
std::string describe(const model::ChatSettings& settings);

}  // namespace glassbox::app
