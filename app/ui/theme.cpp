#include "app/ui/theme.h"

#include <algorithm>
#include <functional>

namespace glassbox::app::ui {
namespace {

ImVec4 rgb(unsigned hex, float alpha = 1) {
  return {static_cast<float>(hex >> 16 & 255) / 255, static_cast<float>(hex >> 8 & 255) / 255,
          static_cast<float>(hex & 255) / 255, alpha};
}

// The series are Okabe & Ito's (2008) eight, which the colour-blind can tell apart, lightened or darkened for contrast.
const Palette dark{.text = rgb(0xe6e8ec),
                   .muted = rgb(0x9aa1ad),
                   .faint = rgb(0x363b45),
                   .accent = rgb(0x6ea8fe),
                   .good = rgb(0x5fc98f),
                   .warning = rgb(0xe8b04a),
                   .bad = rgb(0xf0706a),
                   .user_bubble = rgb(0x2a3140),
                   .code_background = rgb(0x14161b),
                   .selection = rgb(0x3d6fc4, 0.55F),
                   .series = {rgb(0x56b4e9), rgb(0xe69f00), rgb(0x2fbf9b), rgb(0xcc79a7), rgb(0xf0e442), rgb(0x5b8def),
                              rgb(0xe8703a), rgb(0xb0b7c3)}};
const Palette light{.text = rgb(0x1d2129),
                    .muted = rgb(0x626a77),
                    .faint = rgb(0xd9dde4),
                    .accent = rgb(0x1f62d0),
                    .good = rgb(0x16803f),
                    .warning = rgb(0xa16207),
                    .bad = rgb(0xc2302b),
                    .user_bubble = rgb(0xe3ebf8),
                    .code_background = rgb(0xf0f2f5),
                    .selection = rgb(0x8db8ff, 0.6F),
                    .series = {rgb(0x1f86c4), rgb(0xb87a00), rgb(0x008a66), rgb(0xb0508a), rgb(0x8f8600), rgb(0x2f5fd0),
                               rgb(0xc64d12), rgb(0x6b7280)}};

ImVec4 mix(const ImVec4& a, const ImVec4& b, float t) {
  return {a.x + (b.x - a.x) * t, a.y + (b.y - a.y) * t, a.z + (b.z - a.z) * t, a.w + (b.w - a.w) * t};
}

}  // namespace

ImVec4 Palette::heat(float t) const {
  t = std::clamp(t, 0.0F, 1.0F);
  auto colour = t < 0.5F ? mix(good, warning, 2 * t) : mix(warning, bad, 2 * t - 1);
  colour.w = 0.15F + 0.45F * t;
  return colour;
}

const Palette& palette_of(Theme theme) { return theme == Theme::dark ? dark : light; }

const live::TokenRecord* Frame::token() const {
  const auto at = place();
  if (!at) return nullptr;
  for (const auto& message : now.thread->messages)
    if (message->id == at->message) return message->tokens[at->token].get();
  return nullptr;
}

std::optional<live::TokenPlace> Frame::place() const {
  const auto& messages = now.thread->messages;
  if (view.token)
    for (const auto& message : messages)
      if (message->id == view.token->message && view.token->token < message->tokens.size()) return view.token;
  for (auto message = messages.rbegin(); message != messages.rend(); ++message)
    if (!(*message)->tokens.empty()) return live::TokenPlace{(*message)->id, (*message)->tokens.size() - 1};
  return std::nullopt;
}

ImVec4 Frame::colour_of(const std::string& kernel) const {
  // The kernels a model spends its time in are few: named, so that no two of them share a colour.
  static constexpr std::string_view common[] = {"matmul_row", "attention", "rms_norm",          "rope",
                                                "silu_mul",   "kv_pack",   "rms_norm_residual", "embedding"};
  for (std::size_t i = 0; i < std::size(common); ++i)
    if (kernel == common[i]) return palette.series[i];
  return palette.series[std::hash<std::string>{}(kernel) % std::size(palette.series)];
}

void apply_style(Theme theme, float scale) {
  ImGuiStyle style;
  const bool is_dark = theme == Theme::dark;
  if (is_dark)
    ImGui::StyleColorsDark(&style);
  else
    ImGui::StyleColorsLight(&style);
  const Palette& palette = palette_of(theme);
  const auto set = [&](std::initializer_list<ImGuiCol> which, const ImVec4& colour) {
    for (const auto index : which) style.Colors[index] = colour;
  };
  const ImVec4 window = is_dark ? rgb(0x1b1e24) : rgb(0xfbfbfc), raised = is_dark ? rgb(0x242831) : rgb(0xffffff),
               control = is_dark ? rgb(0x2e333d) : rgb(0xe9ecf1), hovered = is_dark ? rgb(0x3a404c) : rgb(0xdde2ea),
               pressed = is_dark ? rgb(0x465061) : rgb(0xcdd5e1);
  set({ImGuiCol_Text}, palette.text);
  set({ImGuiCol_TextDisabled}, palette.muted);
  set({ImGuiCol_WindowBg}, window);
  set({ImGuiCol_ChildBg, ImGuiCol_BorderShadow, ImGuiCol_ScrollbarBg}, {0, 0, 0, 0});
  set({ImGuiCol_PopupBg}, raised);
  set({ImGuiCol_Border, ImGuiCol_Separator, ImGuiCol_TableBorderStrong, ImGuiCol_TableBorderLight}, palette.faint);
  set({ImGuiCol_FrameBg, ImGuiCol_Button, ImGuiCol_ScrollbarGrab, ImGuiCol_TableHeaderBg}, control);
  set({ImGuiCol_FrameBgHovered, ImGuiCol_ButtonHovered, ImGuiCol_HeaderHovered, ImGuiCol_ScrollbarGrabHovered},
      hovered);
  set({ImGuiCol_FrameBgActive, ImGuiCol_ButtonActive, ImGuiCol_HeaderActive, ImGuiCol_ScrollbarGrabActive}, pressed);
  set({ImGuiCol_Header, ImGuiCol_TabActive}, control);
  set({ImGuiCol_Tab, ImGuiCol_TabUnfocused, ImGuiCol_TitleBg, ImGuiCol_TitleBgActive, ImGuiCol_MenuBarBg}, window);
  set({ImGuiCol_TabHovered, ImGuiCol_TabUnfocusedActive}, hovered);
  set({ImGuiCol_CheckMark, ImGuiCol_SliderGrab, ImGuiCol_SliderGrabActive, ImGuiCol_NavHighlight, ImGuiCol_PlotLines,
       ImGuiCol_PlotHistogram, ImGuiCol_DragDropTarget},
      palette.accent);
  set({ImGuiCol_SeparatorHovered, ImGuiCol_SeparatorActive, ImGuiCol_ResizeGripHovered, ImGuiCol_ResizeGripActive},
      palette.accent);
  set({ImGuiCol_ResizeGrip, ImGuiCol_TableRowBg}, {0, 0, 0, 0});
  set({ImGuiCol_TableRowBgAlt}, is_dark ? rgb(0xffffff, 0.03F) : rgb(0x000000, 0.03F));
  set({ImGuiCol_TextSelectedBg}, palette.selection);
  set({ImGuiCol_ModalWindowDimBg}, rgb(0x000000, is_dark ? 0.55F : 0.35F));
  style.WindowPadding = {12, 10};
  style.FramePadding = {9, 5};
  style.ItemSpacing = {8, 7};
  style.ItemInnerSpacing = {6, 5};
  style.CellPadding = {7, 4};
  style.ScrollbarSize = 12;
  style.WindowRounding = 8;
  style.PopupRounding = 8;
  style.ChildRounding = 6;
  style.FrameRounding = 6;
  style.GrabRounding = 6;
  style.ScrollbarRounding = 6;
  style.TabRounding = 6;
  style.WindowBorderSize = 0;
  style.PopupBorderSize = 1;
  style.ScaleAllSizes(scale);
  ImGui::GetStyle() = style;
}

}  // namespace glassbox::app::ui
