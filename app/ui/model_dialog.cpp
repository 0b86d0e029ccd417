#include "app/ui/model_dialog.h"

#include <imgui_stdlib.h>

#include <algorithm>
#include <cstdlib>

#include "app/assets.h"

namespace glassbox::app::ui {
namespace {

namespace fs = std::filesystem;

constexpr const char* title = "Open a model";

fs::path home_or_root() {
  const char* directory = std::getenv("HOME");
  return directory ? directory : "/";
}

}  // namespace

bool looks_like_model(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return fs::exists(path / "config.json", error);
  return path.extension() == ".gguf" && fs::is_regular_file(path, error);
}

void ModelDialog::list(const fs::path& directory) {
  std::error_code error;
  std::vector<Entry> found;
  for (fs::directory_iterator at(directory, fs::directory_options::skip_permission_denied, error), end;
       !error && at != end; at.increment(error)) {
    const auto& path = at->path();
    const auto name = path.filename().string();
    if (name.starts_with('.')) continue;
    std::error_code ignored;
    const bool model = looks_like_model(path), folder = at->is_directory(ignored);
    if (model || folder) found.push_back({path, folder ? name + "/" : name, model});
  }
  if (error) {
    error_ = directory.string() + ": " + error.message();
    return;
  }
  error_.clear();
  std::sort(found.begin(), found.end(),
            [](const Entry& a, const Entry& b) { return a.model != b.model ? a.model : a.label < b.label; });
  entries_ = std::move(found);
  directory_ = directory;
  typed_ = directory.string();
}

void ModelDialog::draw(Frame& frame, Preferences& preferences, const std::function<void(const fs::path&)>& chosen) {
  if (std::exchange(wanted_, false)) {
    std::error_code error;
    const auto start =
        preferences.recent_models.empty() ? home_or_root() : fs::path(preferences.recent_models.front()).parent_path();
    list(fs::is_directory(start, error) ? start : home_or_root());
    bundled_.clear();
    if (const auto assets = assets_directory(); !assets.empty())
      for (const auto& entry : fs::directory_iterator(assets, error))
        if (looks_like_model(entry.path())) bundled_.push_back(entry.path());
    ImGui::OpenPopup(title);
  }
  const auto* viewport = ImGui::GetMainViewport();
  ImGui::SetNextWindowPos(viewport->GetCenter(), ImGuiCond_Appearing, {0.5F, 0.5F});
  ImGui::SetNextWindowSize({std::min(640 * frame.scale, viewport->WorkSize.x * 0.95F),
                            std::min(520 * frame.scale, viewport->WorkSize.y * 0.95F)},
                           ImGuiCond_Appearing);
  bool open = true;
  if (!ImGui::BeginPopupModal(title, &open, ImGuiWindowFlags_NoSavedSettings)) return;
  fs::path pick, enter;
  const auto known = [&](const char* heading, const auto& paths) {
    if (paths.empty()) return;
    ImGui::TextColored(frame.palette.muted, "%s", heading);
    for (const auto& entry : paths) {
      const fs::path path(entry);
      ImGui::PushID(path.c_str());
      const bool there = looks_like_model(path);
      if (ImGui::Selectable(path.filename().c_str(), false, there ? 0 : ImGuiSelectableFlags_Disabled)) pick = path;
      if (ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled))
        ImGui::SetTooltip("%s%s", path.c_str(), there ? "" : " (gone)");
      ImGui::PopID();
    }
    ImGui::Spacing();
  };
  known("Comes with Glassbox", bundled_);
  known("Used lately", preferences.recent_models);
  ImGui::TextColored(frame.palette.muted,
                     "A .gguf file, or a folder with config.json, *.safetensors and tokenizer.model");
  ImGui::SetNextItemWidth(-1);
  if (ImGui::IsWindowAppearing()) ImGui::SetKeyboardFocusHere();
  if (ImGui::InputText("##path", &typed_, ImGuiInputTextFlags_EnterReturnsTrue | ImGuiInputTextFlags_AutoSelectAll)) {
    if (looks_like_model(typed_))
      pick = typed_;
    else
      enter = typed_;
  }
  if (!error_.empty()) ImGui::TextColored(frame.palette.bad, "%s", error_.c_str());
  ImGui::BeginChild("entries", {0, -ImGui::GetFrameHeightWithSpacing()}, true);
  if (directory_.has_parent_path() && directory_ != directory_.root_path() && ImGui::Selectable("../"))
    enter = directory_.parent_path();
  for (const auto& entry : entries_) {
    if (entry.model) ImGui::PushStyleColor(ImGuiCol_Text, frame.palette.accent);
    if (ImGui::Selectable(entry.label.c_str())) (entry.model ? pick : enter) = entry.path;
    if (entry.model) ImGui::PopStyleColor();
  }
  if (entries_.empty()) ImGui::TextColored(frame.palette.muted, "No folder and no model here.");
  ImGui::EndChild();
  if (ImGui::Button("Cancel") || !open) ImGui::CloseCurrentPopup();
  if (!enter.empty()) list(enter);
  if (!pick.empty()) {
    ImGui::CloseCurrentPopup();
    chosen(pick);
  }
  ImGui::EndPopup();
}

}  // namespace glassbox::app::ui
