#pragma once

#include <imgui.h>

#include <string>

namespace glassbox::app::ui {

/// Draws text on one line from `at` to at most `right`; where it is longer it ends in an ellipsis and pointing at it
/// shows all of it. Not an item: the cursor stays.
void clipped_text(ImVec2 at, float right, const ImVec4& colour, const std::string& text);

}  // namespace glassbox::app::ui
