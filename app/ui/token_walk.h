#pragma once

#include <string>
#include <string_view>

#include "app/ui/frame.h"

namespace glassbox::app::ui {

/// Selects the token before (-1) or after (1) the one that is selected, or the latest, across the answers on screen.
void walk_token(Frame& frame, int step);

/// A token's text with its blanks and line breaks to be seen: "·the", "↵"; "(no text)" for none.
std::string visible_text(std::string_view text);

}  // namespace glassbox::app::ui
