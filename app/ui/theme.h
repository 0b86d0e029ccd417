#pragma once

#include <set>

#include "app/ui/frame.h"

namespace glassbox::app::ui {

const Palette& palette_of(Theme theme);

/// ImGui's colours, roundings and paddings.
void apply_style(Theme theme, float scale);

/// Adds the fonts to ImGuiIO::Fonts in place of those there: Inter and JetBrains Mono with European letters,
/// punctuation, arrows and mathematics, and `extra` code points from whatever fonts of the system fontconfig says have
/// them. The texture must be uploaded anew. Throws Error where the assets are missing and fontconfig knows no font.
Fonts load_fonts(float scale, const std::set<char32_t>& extra = {});

/// Whether the fonts have a glyph for it, or none of the system has one. ImGui of Debian 12 ends at U+FFFF.
bool has_glyph(const Fonts& fonts, char32_t point);

}  // namespace glassbox::app::ui
