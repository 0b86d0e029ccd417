#include "app/ui/message_view.h"

namespace glassbox::app::ui {
namespace {

bool is_answer(const live::Message& message) { return message.role == "assistant"; }

}  // namespace

bool is_offered(MessageAction action, const live::Message& message) {
  const bool streaming = message.state == model::MessageState::streaming;
  switch (action) {
    case MessageAction::copy:
      return !message.content.empty();
    case MessageAction::regenerate:
      return is_answer(message) && !streaming;
    case MessageAction::edit:
      return message.role == "user";
    case MessageAction::go_on:
      return is_answer(message) && !streaming && !message.tokens.empty() &&
             (message.state == model::MessageState::stopped || message.stop_reason == "length");
    case MessageAction::previous:
    case MessageAction::next:
      return message.siblings.size() > 1;
  }
  return false;
}

bool is_possible(MessageAction action, const live::Message& message, const Frame& frame) {
  if (!is_offered(action, message)) return false;
  switch (action) {
    case MessageAction::copy:
      return true;
    case MessageAction::regenerate:
    case MessageAction::edit:
    case MessageAction::go_on:
      return frame.now.model && !frame.now.busy();
    case MessageAction::previous:
      return message.sibling > 0 && !frame.now.busy();
    case MessageAction::next:
      return message.sibling + 1 < message.siblings.size() && !frame.now.busy();
  }
  return false;
}

void perform(MessageAction action, const live::Message& message, Frame& frame, ChatContext& context) {
  if (!is_possible(action, message, frame)) return;
  switch (action) {
    case MessageAction::copy:
      ImGui::SetClipboardText(message.content.c_str());
      break;
    case MessageAction::regenerate:
      frame.worker.regenerate(message.id);
      break;
    case MessageAction::edit:
      context.editing = message.id;
      context.editor.edit.reset(message.content);
      context.editor.focus();
      break;
    case MessageAction::go_on:
      frame.worker.go_on(message.id);
      break;
    case MessageAction::previous:
      frame.worker.switch_to(message.siblings[message.sibling - 1]);
      break;
    case MessageAction::next:
      frame.worker.switch_to(message.siblings[message.sibling + 1]);
      break;
  }
}

const char* name_of(MessageAction action) {
  switch (action) {
    case MessageAction::copy:
      return "Copy";
    case MessageAction::regenerate:
      return "Regenerate";
    case MessageAction::edit:
      return "Edit";
    case MessageAction::go_on:
      return "Continue";
    case MessageAction::previous:
      return "Branch before";
    case MessageAction::next:
      return "Branch after";
  }
  return "";
}

const char* keys_of(MessageAction action) {
  switch (action) {
    case MessageAction::copy:
      return "Ctrl+Shift+C";
    case MessageAction::regenerate:
      return "Ctrl+R";
    case MessageAction::edit:
      return "Ctrl+E";
    case MessageAction::go_on:
      return "Ctrl+G";
    case MessageAction::previous:
      return "Alt+Left";
    case MessageAction::next:
      return "Alt+Right";
  }
  return "";
}

}  // namespace glassbox::app::ui
