#include "app/ui/history_panel.h"

#include <imgui_stdlib.h>

#include <chrono>
#include <cstdlib>

#include "app/ui/clipped_text.h"
#include "app/ui/landmarks.h"
#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

/// "today", "yesterday", "this week", "earlier": what the list is grouped by.
const char* age_of(std::int64_t milliseconds) {
  using namespace std::chrono;
  const auto day = [](system_clock::time_point at) {
    const auto time = system_clock::to_time_t(at);
    std::tm local{};
    localtime_r(&time, &local);
    return local.tm_year * 366 + local.tm_yday;
  };
  const auto today = day(system_clock::now()),
             then = day(system_clock::time_point(std::chrono::milliseconds(milliseconds)));
  if (then >= today) return "Today";
  if (then == today - 1) return "Yesterday";
  return then > today - 7 ? "This week" : "Earlier";
}

std::string home_or_nothing() {
  const char* directory = std::getenv("HOME");
  return directory ? directory : "";
}

}  // namespace

void HistoryPanel::begin_new(Frame& frame, const std::string& system_prompt) {
  frame.view.token.reset();
  frame.worker.new_conversation(system_prompt);
}

void HistoryPanel::draw(Frame& frame) {
  const float width = ImGui::GetContentRegionAvail().x;
  if (ImGui::Button("New chat", {width, 0})) begin_new(frame, system_prompt);
  Landmarks::mark("new chat");
  if (ImGui::IsItemHovered()) ImGui::SetTooltip("Ctrl+N");
  if (focus_search_) ImGui::SetKeyboardFocusHere();
  focus_search_ = false;
  ImGui::SetNextItemWidth(width);
  if (ImGui::InputTextWithHint("##search", "Search (Ctrl+K)", &search_)) frame.worker.search(search_);
  Landmarks::mark("search");
  ImGui::Spacing();

  const float footer = ImGui::GetFrameHeightWithSpacing() * (frame.now.undo_remove ? 2.0F : 1.0F);
  ImGui::BeginChild("conversations", {0, -footer});
  const auto& list = *frame.now.history;
  if (list.empty()) {
    ImGui::PushStyleColor(ImGuiCol_Text, frame.palette.muted);
    ImGui::TextWrapped("%s", frame.now.search.empty() ? "Conversations appear here as soon as you send a message."
                                                      : "No conversation holds these words.");
    ImGui::PopStyleColor();
  }
  const char* age = nullptr;
  for (const auto& conversation : list) {
    if (const char* next = age_of(conversation.updated); next != age) {
      if (age) ImGui::Spacing();
      ImGui::TextColored(frame.palette.muted, "%s", age = next);
    }
    draw_entry(frame, conversation);
  }
  ImGui::EndChild();

  if (frame.now.undo_remove) {
    ImGui::TextColored(frame.palette.muted, "Deleted.");
    ImGui::SameLine();
    if (ImGui::SmallButton("Undo")) frame.worker.undo_remove();
    Landmarks::mark("undo");
  }
  if (ImGui::Button("Import...", {width, 0})) {
    file_ = home_or_nothing() + "/";
    open_import_ = true;
  }
  draw_file_popup(frame);
}

void HistoryPanel::draw_entry(Frame& frame, const model::Conversation& conversation) {
  ImGui::PushID(static_cast<int>(conversation.id));
  const bool shown = frame.now.thread->conversation == conversation.id;
  if (renaming_ == conversation.id) {
    ImGui::SetNextItemWidth(-1);
    if (focus_rename_) ImGui::SetKeyboardFocusHere();
    const bool entered =
        ImGui::InputText("##title", &title_, ImGuiInputTextFlags_EnterReturnsTrue | ImGuiInputTextFlags_AutoSelectAll);
    if (entered && !title_.empty()) frame.worker.rename(conversation.id, title_);
    if (entered || (!focus_rename_ && ImGui::IsItemDeactivated())) renaming_.reset();
    focus_rename_ = false;
  } else {
    const auto& title = conversation.title.empty() ? std::string("Untitled") : conversation.title;
    const auto at = ImGui::GetCursorScreenPos();
    const float right = at.x + ImGui::GetContentRegionAvail().x;
    if (ImGui::Selectable("##entry", shown) && !shown) {
      frame.view.token.reset();
      frame.worker.open_conversation(conversation.id);
    }
    Landmarks::mark("conversation", static_cast<int>(conversation.id));
    if (ImGui::BeginPopupContextItem("entry menu")) {
      draw_menu(frame, conversation);
      ImGui::EndPopup();
    }
    clipped_text(at, right, frame.palette.text, title);
  }
  ImGui::PopID();
}

void HistoryPanel::draw_menu(Frame& frame, const model::Conversation& conversation) {
  if (ImGui::MenuItem("Rename")) {
    renaming_ = conversation.id;
    title_ = conversation.title;
    focus_rename_ = true;
  }
  if (ImGui::MenuItem("Export as JSON...")) {
    exporting_ = conversation.id;
    file_ = fmt::format("{}/conversation-{}.json", home_or_nothing(), conversation.id);
    open_export_ = true;
  }
  if (ImGui::MenuItem("Delete")) frame.worker.remove(conversation.id);
  Landmarks::mark("delete");
}

void HistoryPanel::draw_file_popup(Frame& frame) {
  if (std::exchange(open_export_, false)) ImGui::OpenPopup("Export");
  if (std::exchange(open_import_, false)) ImGui::OpenPopup("Import");
  for (const bool importing : {false, true}) {
    if (!ImGui::BeginPopup(importing ? "Import" : "Export")) continue;
    ImGui::TextUnformatted(importing ? "A conversation exported as JSON:" : "Write this conversation as JSON to:");
    ImGui::SetNextItemWidth(420 * frame.scale);
    if (ImGui::IsWindowAppearing()) ImGui::SetKeyboardFocusHere();
    const bool entered = ImGui::InputText("##file", &file_, ImGuiInputTextFlags_EnterReturnsTrue);
    if ((ImGui::Button(importing ? "Import" : "Export") || entered) && !file_.empty()) {
      if (importing)
        frame.worker.import_conversation(file_);
      else
        frame.worker.export_conversation(*exporting_, file_);
      ImGui::CloseCurrentPopup();
    }
    ImGui::SameLine();
    if (ImGui::Button("Cancel")) ImGui::CloseCurrentPopup();
    ImGui::EndPopup();
  }
}

}  // namespace glassbox::app::ui
