#include "app/ui/clipped_text.h"

#include <imgui_internal.h>

#include <algorithm>

namespace glassbox::app::ui {

void clipped_text(ImVec2 at, float right, const ImVec4& colour, const std::string& text) {
  const auto size = ImGui::CalcTextSize(text.c_str());
  const ImVec2 end(std::min(at.x + size.x, right), at.y + size.y);
  if (end.x <= at.x) return;
  ImGui::PushStyleColor(ImGuiCol_Text, colour);
  ImGui::RenderTextEllipsis(ImGui::GetWindowDrawList(), at, {right, end.y}, right, right, text.c_str(), nullptr, &size);
  ImGui::PopStyleColor();
  if (size.x > right - at.x && ImGui::IsWindowHovered() && ImGui::IsMouseHoveringRect(at, end))
    ImGui::SetTooltip("%s", text.c_str());
}

}  // namespace glassbox::app::ui
