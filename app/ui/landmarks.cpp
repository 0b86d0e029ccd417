#include "app/ui/landmarks.h"

#include <imgui.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

namespace glassbox::app::ui {
namespace {

const char* file() {
  static const char* const path = std::getenv("GLASSBOX_LANDMARKS");
  return path;
}

nlohmann::json& rectangles() {
  static nlohmann::json map = nlohmann::json::object();
  return map;
}

}  // namespace

bool Landmarks::wanted() { return file() != nullptr; }

void Landmarks::mark(const char* name) {
  if (!wanted()) return;
  const auto from = ImGui::GetItemRectMin(), to = ImGui::GetItemRectMax();
  rectangles()[name] = {from.x, from.y, to.x - from.x, to.y - from.y};
}

void Landmarks::mark(const char* name, int index) {
  if (wanted()) mark((std::string(name) + " " + std::to_string(index)).c_str());
}

void Landmarks::write(const live::Snapshot& now, std::uint64_t frames) {
  if (!wanted()) return;
  const auto& messages = now.thread->messages;
  const auto partial = std::string(file()) + ".new";
  std::ofstream(partial) << nlohmann::json{{"frames", frames},
                                           {"busy", now.busy()},
                                           {"model", now.model ? now.model->name : ""},
                                           {"messages", messages.size()},
                                           {"tokens", messages.empty() ? 0 : messages.back()->tokens.size()},
                                           {"conversation", now.thread->conversation.value_or(0)},
                                           {"notice", now.notice.text},
                                           {"rectangles", std::exchange(rectangles(), nlohmann::json::object())}};
  std::error_code error;
  std::filesystem::rename(partial, file(), error);
}

}  // namespace glassbox::app::ui
