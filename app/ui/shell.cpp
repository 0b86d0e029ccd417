#include "app/ui/shell.h"

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>
#include <imgui_internal.h>

#include <algorithm>
#include <random>

#include "app/ui/chat_panel.h"
#include "app/ui/device_panel.h"
#include "app/ui/diff_panel.h"
#include "app/ui/history_panel.h"
#include "app/ui/kernels_panel.h"
#include "app/ui/landmarks.h"
#include "app/ui/model_dialog.h"
#include "app/ui/model_panel.h"
#include "app/ui/roofline_panel.h"
#include "app/ui/settings_panel.h"
#include "app/ui/theme.h"
#include "app/ui/timeline_panel.h"
#include "app/ui/token_panel.h"
#include "gpu/error.h"

namespace glassbox::app::ui {

struct Shell::Parts {
  HistoryPanel history;
  ChatPanel chat;
  TokenPanel token;
  TimelinePanel timeline;
  KernelsPanel kernels;
  RooflinePanel roofline;
  DiffPanel diff;
  DevicePanel device;
  ModelPanel model;
  SettingsPanel settings;
  ModelDialog dialog;

  struct Panel {
    const char* name;
    std::function<void(Frame&)> draw;
  };
  std::vector<Panel> panels;
};

Shell::Shell(live::Worker& worker, Preferences& preferences, model::EngineOptions engine_options)
    : worker_(worker),
      preferences_(preferences),
      engine_options_(std::move(engine_options)),
      parts_(std::make_unique<Parts>()) {
  view_.theme = preferences_.theme;
  view_.tint = preferences_.tint;
  auto& parts = *parts_;
  parts.chat.open_model = [this] { parts_->dialog.open(); };
  parts.panels = {{"Token", [&](Frame& frame) { parts.token.draw(frame); }},
                  {"Timeline", [&](Frame& frame) { parts.timeline.draw(frame); }},
                  {"Kernels", [&](Frame& frame) { parts.kernels.draw(frame); }},
                  {"Roofline", [&](Frame& frame) { parts.roofline.draw(frame); }},
                  {"Diff", [&](Frame& frame) { parts.diff.draw(frame); }},
                  {"Model", [&](Frame& frame) { parts.model.draw(frame); }},
                  {"Device", [&](Frame& frame) { parts.device.draw(frame); }},
                  {"Settings", [&](Frame& frame) { parts.settings.draw(frame, preferences_); }}};
  preferences_.settings.seed = std::random_device{}();
  worker_.change(preferences_.settings);
  worker_.watch(preferences_.watching);
  if (preferences_.conversation > 0)
    worker_.open_conversation(preferences_.conversation);
  else
    worker_.new_conversation(preferences_.system_prompt);
  if (!engine_options_.model.empty()) worker_.open_model(engine_options_);
}

Shell::~Shell() = default;

void Shell::open_model(const std::filesystem::path& path) {
  engine_options_.model = path;
  worker_.open_model(engine_options_);
}

void Shell::drop(const std::filesystem::path& path) {
  if (path.extension() == ".json" && path.filename() != "config.json")
    worker_.import_conversation(path);
  else
    open_model(path.filename() == "config.json" ? path.parent_path() : path);
}

void Shell::show_panel(std::size_t index) {
  preferences_.inspector = true;
  preferences_.panel = parts_->panels[std::min(index, parts_->panels.size() - 1)].name;
  select_panel_ = true;
}

/// What the worker did that the preferences should know of.
void Shell::follow(const live::Snapshot& now) {
  view_.theme = preferences_.theme;
  preferences_.tint = view_.tint;
  preferences_.watching = now.watching;
  bool changed = false;
  if (const auto conversation = now.thread->conversation.value_or(0); conversation != preferences_.conversation) {
    preferences_.conversation = conversation;
    changed = true;
  }
  if (now.model && (preferences_.recent_models.empty() || preferences_.recent_models.front() != now.model->path)) {
    preferences_.remember_model(now.model->path);
    changed = true;
  }
  if (changed && save) save();
}

void Shell::shortcuts(Frame& frame) {
  const auto& io = ImGui::GetIO();
  const auto ctrl = [&](int key) { return io.KeyCtrl && !io.KeyAlt && ImGui::IsKeyPressed(key, false); };
  if (ImGui::IsKeyPressed(GLFW_KEY_F1, false)) help_ = !help_;
  if (ImGui::IsKeyPressed(GLFW_KEY_ESCAPE, false) && !ImGui::IsPopupOpen("", ImGuiPopupFlags_AnyPopup)) {
    if (help_)
      help_ = false;
    else if (frame.now.busy() && !parts_->chat.takes_escape())
      worker_.stop();
  }
  if (ctrl(GLFW_KEY_N)) {
    HistoryPanel::begin_new(frame, preferences_.system_prompt);
    parts_->chat.focus_composer();
  }
  if (ctrl(GLFW_KEY_K)) {
    preferences_.sidebar = true;
    ImGui::ClearActiveID();  // the composer's: else it would keep the keyboard
    parts_->history.focus_search();
  }
  if (ctrl(GLFW_KEY_O)) parts_->dialog.open();
  if (ctrl(GLFW_KEY_B)) preferences_.sidebar = !preferences_.sidebar;
  if (ctrl(GLFW_KEY_J)) preferences_.inspector = !preferences_.inspector;
  if (ctrl(GLFW_KEY_L)) parts_->chat.focus_composer();
  if (ctrl(GLFW_KEY_COMMA)) show_panel(parts_->panels.size() - 1);
  for (int i = 0; i < static_cast<int>(parts_->panels.size()); ++i)
    if (ctrl(GLFW_KEY_1 + i)) show_panel(static_cast<std::size_t>(i));
  if (ctrl(GLFW_KEY_EQUAL) || ctrl(GLFW_KEY_KP_ADD)) preferences_.zoom = std::min(3.0F, preferences_.zoom + 0.1F);
  if (ctrl(GLFW_KEY_MINUS) || ctrl(GLFW_KEY_KP_SUBTRACT)) preferences_.zoom = std::max(0.5F, preferences_.zoom - 0.1F);
  if (ctrl(GLFW_KEY_0)) preferences_.zoom = 1;
}

void Shell::draw_splitter(const char* name, float& width, float direction, float scale) {
  ImGui::SameLine(0, 0);
  const float height = ImGui::GetContentRegionAvail().y;
  ImGui::InvisibleButton(name, {8 * scale, height});
  if (ImGui::IsItemActive()) width = std::max(width + direction * ImGui::GetIO().MouseDelta.x / scale, 120.0F);
  if (ImGui::IsItemHovered() || ImGui::IsItemActive()) ImGui::SetMouseCursor(ImGuiMouseCursor_ResizeEW);
  Landmarks::mark(name);
  const auto from = ImGui::GetItemRectMin(), to = ImGui::GetItemRectMax();
  const float x = (from.x + to.x) / 2;
  ImGui::GetWindowDrawList()->AddLine(
      {x, from.y}, {x, to.y},
      ImGui::GetColorU32(ImGui::IsItemHovered() || ImGui::IsItemActive() ? ImGuiCol_SeparatorHovered
                                                                         : ImGuiCol_Separator));
  ImGui::SameLine(0, 0);
}

void Shell::draw_sidebar(Frame& frame, float width) {
  ImGui::BeginChild("sidebar", {width, 0}, false, ImGuiWindowFlags_AlwaysUseWindowPadding);
  const float row = ImGui::GetFrameHeightWithSpacing();
  ImGui::BeginChild("history", {0, -row});
  parts_->history.system_prompt = preferences_.system_prompt;
  parts_->history.draw(frame);
  ImGui::EndChild();
  const auto name = frame.now.model ? frame.now.model->name : std::string("Open a model...");
  if (ImGui::Button(fmt::format("{}##model", name).c_str(), {-1, 0})) parts_->dialog.open();
  Landmarks::mark("open model");
  if (ImGui::IsItemHovered())
    ImGui::SetTooltip("%s", frame.now.model ? (frame.now.model->path + "\nOpen another (Ctrl+O)").c_str()
                                            : "A .gguf file or a Hugging Face folder (Ctrl+O)");
  ImGui::EndChild();
}

void Shell::draw_inspector(Frame& frame, float width) {
  ImGui::BeginChild("inspector", {width, 0}, false, ImGuiWindowFlags_AlwaysUseWindowPadding);
  // Eight names fit the usual width when they stand close.
  ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, {6 * frame.scale, 5 * frame.scale});
  ImGui::PushStyleVar(ImGuiStyleVar_ItemInnerSpacing, {3 * frame.scale, 5 * frame.scale});
  const Parts::Panel* chosen = nullptr;
  if (ImGui::BeginTabBar("panels", ImGuiTabBarFlags_FittingPolicyScroll)) {
    for (const auto& panel : parts_->panels) {
      const bool wanted = select_panel_ && preferences_.panel == panel.name;
      const bool shown = ImGui::BeginTabItem(panel.name, nullptr, wanted ? ImGuiTabItemFlags_SetSelected : 0);
      Landmarks::mark(panel.name);
      if (!shown) continue;
      chosen = &panel;
      ImGui::EndTabItem();
    }
    ImGui::EndTabBar();
  }
  ImGui::PopStyleVar(2);
  if (chosen) {
    if (!select_panel_) preferences_.panel = chosen->name;
    ImGui::BeginChild("panel");
    chosen->draw(frame);
    ImGui::EndChild();
    Landmarks::mark("panel");
  }
  select_panel_ = false;
  ImGui::EndChild();
}

/// The last notice, for a while; errors until they are clicked away.
void Shell::draw_status(Frame& frame) {
  const auto& notice = frame.now.notice;
  if (notice.number == 0 || notice.number == notice_seen_) return;
  constexpr double seconds = 6;
  if (notice_since_ == 0) notice_since_ = ImGui::GetTime();
  if (!notice.error && ImGui::GetTime() - notice_since_ > seconds) {
    notice_seen_ = notice.number;
    notice_since_ = 0;
    return;
  }
  const auto* viewport = ImGui::GetMainViewport();
  ImGui::SetNextWindowPos({viewport->WorkPos.x + viewport->WorkSize.x / 2, viewport->WorkPos.y + 12 * frame.scale},
                          ImGuiCond_Always, {0.5F, 0});
  ImGui::PushStyleColor(ImGuiCol_WindowBg, ImGui::GetStyleColorVec4(ImGuiCol_PopupBg));
  ImGui::PushStyleColor(ImGuiCol_Border, notice.error ? frame.palette.bad : frame.palette.accent);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 1);
  ImGui::Begin("notice", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoSavedSettings |
                   ImGuiWindowFlags_NoFocusOnAppearing | ImGuiWindowFlags_NoMove);
  ImGui::PushTextWrapPos(std::min(640 * frame.scale, viewport->WorkSize.x * 0.8F));
  ImGui::PushStyleColor(ImGuiCol_Text, notice.error ? frame.palette.bad : frame.palette.text);
  ImGui::TextUnformatted(notice.text.c_str());
  ImGui::PopStyleColor();
  ImGui::PopTextWrapPos();
  if (ImGui::SmallButton("Close")) {
    notice_seen_ = notice.number;
    notice_since_ = 0;
  }
  ImGui::SameLine();
  if (ImGui::SmallButton("Copy")) ImGui::SetClipboardText(notice.text.c_str());
  ImGui::End();
  ImGui::PopStyleVar();
  ImGui::PopStyleColor(2);
}

void Shell::draw_help(Frame& frame) {
  if (!help_) return;
  static constexpr const char* keys[][2] = {
      {"Enter, Shift+Enter", "send, new line"},
      {"Esc", "stop the answer, the load or the check"},
      {"Ctrl+N, Ctrl+K", "new chat, search the conversations"},
      {"Ctrl+O", "open a model (or drop it on the window)"},
      {"Ctrl+R, Ctrl+G", "answer again, go on with the answer"},
      {"Ctrl+E, or Up", "edit the last question"},
      {"Alt+Left, Alt+Right", "the branch before, after"},
      {"Ctrl+Shift+C", "copy the answer"},
      {"Click a token", "show it in every panel; Left and Right walk"},
      {"Ctrl+1 ... Ctrl+8", "Token, Timeline, Kernels, Roofline, Diff, Model, Device, Settings"},
      {"Ctrl+B, Ctrl+J", "show or hide the conversations, the instruments"},
      {"Ctrl+L", "write"},
      {"Ctrl++, Ctrl+-, Ctrl+0", "zoom"},
      {"F1", "this sheet"},
  };
  const auto* viewport = ImGui::GetMainViewport();
  ImGui::SetNextWindowPos(viewport->GetCenter(), ImGuiCond_Appearing, {0.5F, 0.5F});
  ImGui::SetNextWindowFocus();
  ImGui::PushStyleColor(ImGuiCol_WindowBg, ImGui::GetStyleColorVec4(ImGuiCol_PopupBg));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 1);
  if (ImGui::Begin(
          "Help", &help_,
          ImGuiWindowFlags_AlwaysAutoResize | ImGuiWindowFlags_NoCollapse | ImGuiWindowFlags_NoSavedSettings)) {
    if (ImGui::BeginTable("keys", 2)) {
      for (const auto& key : keys) {
        ImGui::TableNextColumn();
        ImGui::PushFont(frame.fonts.bold);
        ImGui::TextUnformatted(key[0]);
        ImGui::PopFont();
        ImGui::TableNextColumn();
        ImGui::TextUnformatted(key[1]);
      }
      ImGui::EndTable();
    }
    ImGui::Spacing();
    ImGui::TextColored(frame.palette.muted,
                       "Glassbox %s. The model runs in OpenGL ES compute shaders; nothing leaves this machine.",
                       GLASSBOX_VERSION);
  }
  ImGui::End();
  ImGui::PopStyleVar();
  ImGui::PopStyleColor();
}

void Shell::draw(const live::Snapshot& now, const Fonts& fonts, float scale) {
  follow(now);
  Frame frame{now, worker_, view_, fonts, palette_of(view_.theme), scale};
  shortcuts(frame);
  const auto* viewport = ImGui::GetMainViewport();
  ImGui::SetNextWindowPos(viewport->WorkPos);
  ImGui::SetNextWindowSize(viewport->WorkSize);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {0, 0});
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, 0);
  ImGui::Begin("glassbox", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
                   ImGuiWindowFlags_NoBringToFrontOnFocus | ImGuiWindowFlags_NoScrollWithMouse);
  ImGui::PopStyleVar(2);
  // The chat keeps a width one can read in; the conversations give way first, then the instruments cover the chat.
  const float width = ImGui::GetContentRegionAvail().x, splitter = 8 * scale, least = 340 * scale;
  float sidebar = preferences_.sidebar ? preferences_.sidebar_width * scale + splitter : 0;
  float inspector = preferences_.inspector ? preferences_.inspector_width * scale + splitter : 0;
  if (width - sidebar - inspector < least && inspector > 0)
    inspector = std::max(width - sidebar - least, 300 * scale + splitter);
  if (width - sidebar - inspector < least && inspector > 0) sidebar = 0;
  if (sidebar > 0) {
    draw_sidebar(frame, sidebar - splitter);
    draw_splitter("sidebar splitter", preferences_.sidebar_width, 1, scale);
  }
  const float chat = width - sidebar - inspector;
  ImGui::BeginChild("chat", {chat, 0}, false, ImGuiWindowFlags_AlwaysUseWindowPadding);
  parts_->chat.draw(frame);
  ImGui::EndChild();
  Landmarks::mark("chat");
  if (inspector > 0) {
    draw_splitter("inspector splitter", preferences_.inspector_width, -1, scale);
    draw_inspector(frame, inspector - splitter);
  }
  parts_->dialog.draw(frame, preferences_, [this](const std::filesystem::path& path) { open_model(path); });
  ImGui::End();
  draw_status(frame);
  draw_help(frame);
}

}  // namespace glassbox::app::ui
