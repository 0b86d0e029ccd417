#include "app/ui/chat_panel.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "app/ui/clipped_text.h"
#include "app/ui/composer.h"
#include "app/ui/message_list.h"
#include "model/utf8.h"

namespace glassbox::app::ui {
namespace {

constexpr std::array<const char*, 3> examples{"Tell me a story about a small boat.", "What is the capital of France?",
                                              "Write a haiku about glass."};

void centred(const char* text, ImFont* font, const ImVec4& colour) {
  ImGui::PushFont(font);
  const float wrap = ImGui::GetContentRegionAvail().x;
  const float width = std::min(ImGui::CalcTextSize(text, nullptr, false, wrap).x, wrap);
  ImGui::SetCursorPosX(ImGui::GetCursorPosX() + std::floor((wrap - width) / 2));
  ImGui::PushTextWrapPos(0);
  ImGui::TextColored(colour, "%s", text);
  ImGui::PopTextWrapPos();
  ImGui::PopFont();
}

bool centred_button(const char* label) {
  const float width = ImGui::CalcTextSize(label).x + 2 * ImGui::GetStyle().FramePadding.x;
  ImGui::SetCursorPosX(ImGui::GetCursorPosX() + std::floor((ImGui::GetContentRegionAvail().x - width) / 2));
  return ImGui::Button(label);
}

}  // namespace

struct ChatPanel::State {
  MessageList list;
  Composer composer;
  ChatContext context;
  bool began = false;
  float control_width = 0;

  void draw_header(Frame& frame);
  void draw_empty(Frame& frame, float height, const std::function<void()>& open_model);
  void handle_keys(Frame& frame);
  const live::Message* newest(const Frame& frame, MessageAction action) const;
};

ChatPanel::ChatPanel() : state_(std::make_unique<State>()) {}
ChatPanel::~ChatPanel() = default;
void ChatPanel::focus_composer() { state_->composer.focus(); }

bool ChatPanel::takes_escape() const { return state_->context.editing != 0 && state_->context.editor.focused(); }

void ChatPanel::State::draw_header(Frame& frame) {
  const auto& thread = *frame.now.thread;
  const std::string title = thread.title.empty() ? "New conversation" : thread.title;
  const auto at = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x;
  // The tint's control and its legend end at the right edge; how wide they are is known from the frame before.
  const float left = std::max(width - control_width, std::min(width * 0.25F, 120 * frame.scale));
  ImGui::PushFont(frame.fonts.bold);
  clipped_text({at.x, at.y + ImGui::GetStyle().FramePadding.y}, at.x + left - 8 * frame.scale, frame.palette.text,
               title);
  ImGui::PopFont();
  ImGui::SetCursorScreenPos({at.x + left, at.y});
  ImGui::BeginGroup();
  context.tint.draw_control(frame);
  ImGui::EndGroup();
  control_width = ImGui::GetItemRectSize().x;
  ImGui::SetCursorScreenPos({at.x, at.y + ImGui::GetFrameHeight()});
  ImGui::Separator();
}

void ChatPanel::State::draw_empty(Frame& frame, float height, const std::function<void()>& open_model) {
  const auto& palette = frame.palette;
  ImGui::BeginChild("empty", {0, height});
  ImGui::Dummy({1, std::max(height * 0.28F - 40 * frame.scale, 4.0F)});
  if (frame.now.model) {
    centred("What would you like to know?", frame.fonts.heading, palette.text);
    centred(frame.now.model->name.c_str(), frame.fonts.body, palette.muted);
    ImGui::Dummy({1, 8 * frame.scale});
    for (const char* example : examples)
      if (centred_button(example)) composer.propose(example);
  } else if (frame.now.activity == live::Activity::loading) {
    centred("Opening the model", frame.fonts.heading, palette.text);
  } else {
    centred("No model is open", frame.fonts.heading, palette.text);
    centred("A model is a GGUF file, or a folder with safetensors and a config.json. Everything runs on this machine.",
            frame.fonts.body, palette.muted);
    ImGui::Dummy({1, 8 * frame.scale});
    if (open_model) {
      if (centred_button("Open a model…")) open_model();
      centred("Ctrl+O; or drop a file onto the window", frame.fonts.body, palette.muted);
    } else {
      centred("Press Ctrl+O, or drop a file onto the window", frame.fonts.body, palette.muted);
    }
  }
  ImGui::EndChild();
}

/// The newest message for which the action makes sense.
const live::Message* ChatPanel::State::newest(const Frame& frame, MessageAction action) const {
  const auto& messages = frame.now.thread->messages;
  const auto found = std::find_if(messages.rbegin(), messages.rend(), [&](const auto& message) {
    return is_offered(action, *message) && (action != MessageAction::copy || message->role == "assistant");
  });
  return found == messages.rend() ? nullptr : found->get();
}

void ChatPanel::State::handle_keys(Frame& frame) {
  if (ImGui::IsPopupOpen("", ImGuiPopupFlags_AnyPopupId | ImGuiPopupFlags_AnyPopupLevel)) return;
  auto& io = ImGui::GetIO();
  const bool editing = context.editing != 0 && context.editor.focused();
  if (!ImGui::IsWindowFocused(ImGuiFocusedFlags_ChildWindows) || editing) return;
  const auto on_newest = [&](MessageAction action) {
    if (const auto* message = newest(frame, action)) perform(action, *message, frame, context);
  };
  // Letters are the keys' codes, as GLFW has them.
  using enum MessageAction;
  if (io.KeyCtrl && io.KeyShift && ImGui::IsKeyPressed('C')) on_newest(copy);
  if (io.KeyCtrl && !io.KeyShift && !io.KeyAlt) {
    if (ImGui::IsKeyPressed('R', false)) on_newest(regenerate);
    if (ImGui::IsKeyPressed('E', false)) on_newest(edit);
    if (ImGui::IsKeyPressed('G', false)) on_newest(go_on);
  }
  if (io.KeyAlt && !io.KeyCtrl) {
    if (pressed(ImGuiKey_LeftArrow)) on_newest(previous);
    if (pressed(ImGuiKey_RightArrow)) on_newest(next);
  }
  // Who types means the composer, wherever the focus is.
  if (!io.WantTextInput && !io.KeyCtrl && !io.KeyAlt && !io.InputQueueCharacters.empty()) {
    std::string typed;
    for (const ImWchar point : io.InputQueueCharacters)
      if (point >= ' ' && (point < 0xd800 || point > 0xdfff)) model::append_utf8(typed, point);
    if (!typed.empty()) composer.type(typed);
    io.InputQueueCharacters.resize(0);
  }
}

void ChatPanel::draw(Frame& frame) {
  auto& state = *state_;
  if (!state.began) state.composer.focus();
  state.began = true;
  state.context.tint.update(frame);
  state.handle_keys(frame);
  state.draw_header(frame);
  const float width = ImGui::GetContentRegionAvail().x;
  const float composer_height = state.composer.height(width, frame);
  const float rest = ImGui::GetContentRegionAvail().y - composer_height - ImGui::GetStyle().ItemSpacing.y;
  const float list_height = std::max(rest, 40.0F);
  if (frame.now.thread->messages.empty())
    state.draw_empty(frame, list_height, open_model);
  else
    state.list.draw(frame, state.context, list_height);
  const auto event = state.composer.draw(width, frame);
  if (event.sent) state.list.jump_to_newest();
  if (event.edit_last)
    if (const auto* message = state.newest(frame, MessageAction::edit))
      perform(MessageAction::edit, *message, frame, state.context);
}

}  // namespace glassbox::app::ui
