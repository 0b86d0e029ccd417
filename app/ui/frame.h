#pragma once

#include <imgui.h>

#include <optional>
#include <string>

#include "app/live/worker.h"

// What the panels of the window share. A panel is a class in a file of its own with a draw(Frame&); what it shows comes
// from the snapshot, what a person does goes to the worker.
namespace glassbox::app::ui {

enum class Tint : std::uint8_t { none, probability, time, error };
enum class Theme : std::uint8_t { dark, light };

/// Colours beside ImGui's own style, by theme.
struct Palette {
  ImVec4 text, muted, faint;  ///< text, secondary text, lines and grids
  ImVec4 accent, good, warning, bad;
  ImVec4 user_bubble, code_background, selection;
  ImVec4 series[8];  ///< told apart also by the colour-blind; kernels, lines of a plot
  /// 0 (calm) to 1 (alarming): tokens and heat maps.
  ImVec4 heat(float t) const;
};

struct Fonts {
  ImFont *body = nullptr, *bold = nullptr, *italic = nullptr, *bold_italic = nullptr, *mono = nullptr;
  ImFont* heading = nullptr;  ///< larger, bold
};

/// What is selected and how, across panels; remembered from frame to frame.
struct View {
  std::optional<live::TokenPlace> token;  ///< every panel shows this token; none: the latest
  std::optional<std::string> kernel;      ///< the one that every panel points out, by name
  Tint tint = Tint::none;
  Theme theme = Theme::dark;
};

struct Frame {
  const live::Snapshot& now;
  live::Worker& worker;
  View& view;
  const Fonts& fonts;
  const Palette& palette;
  float scale = 1;  ///< pixels a unit of layout: HiDPI and the user's zoom

  /// The token selected, or the latest answered; null where there is none.
  const live::TokenRecord* token() const;
  /// The same, as a place.
  std::optional<live::TokenPlace> place() const;
  /// A colour by the kernel's name, the same in every panel.
  ImVec4 colour_of(const std::string& kernel) const;
};

/// Whether the key goes down in this frame, or repeats.
inline bool pressed(ImGuiKey key) { return ImGui::IsKeyPressed(ImGui::GetKeyIndex(key)); }

}  // namespace glassbox::app::ui
