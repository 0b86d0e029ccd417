#include "app/ui/settings_panel.h"

#include <imgui_stdlib.h>

#include <cmath>

#include "app/ui/landmarks.h"
#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

struct Preset {
  const char* name;
  const char* what;
  model::SamplingOptions sampling;
};

const Preset presets[] = {
    {"Balanced", "llama.cpp's defaults: lively and mostly to the point", {}},
    {"Exact", "always the likeliest token: the same answer each time", {.temperature = 0}},
    {"Careful",
     "close to the likeliest, a little variety",
     {.top_k = 20, .top_p = 0.9F, .min_p = 0.1F, .temperature = 0.4F}},
    {"Creative", "surprising, at times astray", {.top_k = 100, .top_p = 0.98F, .min_p = 0.02F, .temperature = 1.15F}},
};

bool same(const model::SamplingOptions& a, const model::SamplingOptions& b) {
  return a.temperature == b.temperature && a.top_k == b.top_k && a.top_p == b.top_p && a.min_p == b.min_p &&
         a.typical_p == b.typical_p && a.repeat_last_n == b.repeat_last_n && a.repeat_penalty == b.repeat_penalty &&
         a.presence_penalty == b.presence_penalty && a.frequency_penalty == b.frequency_penalty;
}

void heading(const Frame& frame, const char* text) {
  ImGui::Spacing();
  ImGui::PushFont(frame.fonts.bold);
  ImGui::TextUnformatted(text);
  ImGui::PopFont();
}

void explain(const char* text) {
  if (!ImGui::IsItemHovered()) return;
  ImGui::BeginTooltip();
  ImGui::PushTextWrapPos(ImGui::GetFontSize() * 24);
  ImGui::TextUnformatted(text);
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
}

}  // namespace

void SettingsPanel::draw(Frame& frame, Preferences& preferences) {
  draw_presets(frame, preferences);
  draw_sampling(frame, preferences);
  heading(frame, "System prompt of new chats");
  ImGui::InputTextMultiline("##system", &preferences.system_prompt, {-1, ImGui::GetTextLineHeight() * 5});
  if (!frame.now.thread->system_prompt.empty() && frame.now.thread->system_prompt != preferences.system_prompt) {
    ImGui::PushStyleColor(ImGuiCol_Text, frame.palette.muted);
    ImGui::TextWrapped("This chat's own: %s", frame.now.thread->system_prompt.c_str());
    ImGui::PopStyleColor();
  }
  draw_looks(frame, preferences);
}

void SettingsPanel::draw_presets(Frame& frame, Preferences& preferences) {
  heading(frame, "Sampling");
  auto& sampling = preferences.settings.sampling;
  for (const auto& preset : presets) {
    const bool chosen = same(sampling, preset.sampling);
    if (&preset != presets) ImGui::SameLine();
    if (chosen) ImGui::PushStyleColor(ImGuiCol_Button, frame.palette.selection);
    if (ImGui::Button(preset.name)) {
      sampling = preset.sampling;
      frame.worker.change(preferences.settings);
    }
    if (chosen) ImGui::PopStyleColor();
    explain(preset.what);
  }
}

void SettingsPanel::draw_sampling(Frame& frame, Preferences& preferences) {
  auto& settings = preferences.settings;
  auto& s = settings.sampling;
  bool changed = false;
  ImGui::PushItemWidth(ImGui::GetContentRegionAvail().x * 0.5F);
  const auto slider = [&](const char* name, float& value, float low, float high, const char* what) {
    changed |= ImGui::SliderFloat(name, &value, low, high, "%.2f", ImGuiSliderFlags_AlwaysClamp);
    explain(what);
  };
  slider("Temperature", s.temperature, 0, 2,
         "Flattens (above 1) or sharpens the distribution; 0 takes the likeliest token.");
  changed |= ImGui::SliderInt("Top-k", &s.top_k, 0, 200, s.top_k == 0 ? "off" : "%d", ImGuiSliderFlags_AlwaysClamp);
  explain("Keeps the k likeliest tokens.");
  slider("Top-p", s.top_p, 0, 1, "Keeps the likeliest tokens that together make up p; 1 is off.");
  slider("Min-p", s.min_p, 0, 1, "Keeps tokens at least p times as likely as the likeliest; 0 is off.");
  if (ImGui::TreeNode("More")) {
    slider("Typical-p", s.typical_p, 0, 1, "Keeps tokens about as surprising as expected; 1 is off.");
    slider("Repeat penalty", s.repeat_penalty, 0.5F, 2, "Divides the logits of tokens seen lately; 1 is off.");
    changed |= ImGui::SliderInt("Looks back", &s.repeat_last_n, -1, 512, s.repeat_last_n < 0 ? "all" : "%d tokens",
                                ImGuiSliderFlags_AlwaysClamp);
    slider("Presence penalty", s.presence_penalty, -2, 2, "Subtracted where a token occurred; 0 is off.");
    slider("Frequency penalty", s.frequency_penalty, -2, 2, "Subtracted for each time it occurred; 0 is off.");
    ImGui::TreePop();
  }
  auto most = static_cast<int>(settings.max_tokens);
  if (ImGui::InputInt("Longest answer", &most, 32, 256)) {
    settings.max_tokens = static_cast<std::size_t>(std::max(most, 0));
    changed = true;
  }
  explain("Tokens; 0 lets the model end it, or the context.");
  // The seed that is in force is the worker's: it begins fresh in every run.
  settings.seed = frame.now.settings.seed;
  auto seed = settings.seed;
  if (ImGui::InputScalar("Seed", ImGuiDataType_U64, &seed)) {
    settings.seed = seed;
    changed = true;
  }
  explain("Of the next answer; the same seed and settings give the same words. Each answer takes the next number.");
  ImGui::PopItemWidth();
  if (changed) frame.worker.change(settings);
}

void SettingsPanel::draw_looks(Frame& frame, Preferences& preferences) {
  heading(frame, "Looks");
  int theme = static_cast<int>(preferences.theme);
  ImGui::RadioButton("Dark", &theme, static_cast<int>(Theme::dark));
  Landmarks::mark("dark theme");
  ImGui::SameLine();
  ImGui::RadioButton("Light", &theme, static_cast<int>(Theme::light));
  Landmarks::mark("light theme");
  preferences.theme = static_cast<Theme>(theme);
  ImGui::AlignTextToFramePadding();
  ImGui::Text("Zoom %.0f%%", std::round(preferences.zoom * 100));
  ImGui::SameLine();
  if (ImGui::Button("-", {ImGui::GetFrameHeight(), 0})) preferences.zoom = std::max(0.5F, preferences.zoom - 0.1F);
  ImGui::SameLine();
  if (ImGui::Button("+", {ImGui::GetFrameHeight(), 0})) preferences.zoom = std::min(3.0F, preferences.zoom + 0.1F);
}

}  // namespace glassbox::app::ui
