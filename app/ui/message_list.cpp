#include "app/ui/message_list.h"

#include <imgui_internal.h>

#include <algorithm>
#include <cmath>

#include "app/ui/token_walk.h"

namespace glassbox::app::ui {
namespace {

constexpr float widest = 860;  // units of layout: longer lines are hard to read
constexpr float side = 14;
constexpr float kept_screens = 3;  // above and below the view that stay laid out

const live::Message* find(const live::Thread& thread, std::int64_t id) {
  const auto found =
      std::find_if(thread.messages.begin(), thread.messages.end(), [&](const auto& m) { return m->id == id; });
  return found == thread.messages.end() ? nullptr : found->get();
}

}  // namespace

/// Heights and tops of all, with those in view laid out; moves the scroll so that these do not jump.
void MessageList::place(Frame& frame, ChatContext& context, float width, float view_height, float& scroll) {
  const auto& messages = frame.now.thread->messages;
  const auto count = messages.size();
  const auto in_view = [&](std::size_t i, float margin) {
    return tops_[i + 1] > scroll - margin && tops_[i] < scroll + view_height + margin;
  };
  const auto measure = [&] {
    tops_.resize(count + 1);
    tops_[0] = side * frame.scale;
    for (std::size_t i = 0; i < count; ++i)
      tops_[i + 1] = tops_[i] + view_of(*messages[i]).height(*messages[i], width, frame);
    total_ = tops_[count] + side * frame.scale;
  };
  // What stays where it is: the first message in view of which the height is known or, where none is (a jump, another
  // width), the share of the topmost that is above the view.
  std::size_t anchor = count;
  float offset = 0, share = 0;
  if (width == width_) measure();
  if (tops_.size() == count + 1)
    for (std::size_t i = 0; i < count; ++i) {
      if (!in_view(i, 0)) continue;
      const bool known = width == width_ && view_of(*messages[i]).laid_out();
      if (anchor == count || known) {
        anchor = i;
        offset = known ? tops_[i] - scroll : 0;
        share = known ? 0 : (scroll - tops_[i]) / std::max(tops_[i + 1] - tops_[i], 1.0F);
      }
      if (known) break;
    }
  if (width != width_) measure();
  width_ = width;
  const auto settle = [&] {
    const float end = std::max(total_ - view_height, 0.0F);
    if (anchor < count) scroll = tops_[anchor] - offset + share * (tops_[anchor + 1] - tops_[anchor]);
    scroll = at_end_ ? end : std::clamp(scroll, 0.0F, end);
  };
  settle();

  // Laying out one message may bring others into view: a few rounds do.
  for (int round = 0; round < 8; ++round) {
    bool moved = false;
    for (std::size_t i = 0; i < count; ++i) {
      if (!in_view(i, 40)) continue;
      auto& view = view_of(*messages[i]);
      const float before = view.height(*messages[i], width, frame);
      view.lay_out(messages[i], width, frame, context);
      moved = moved || view.height(*messages[i], width, frame) != before;
    }
    if (!moved) break;
    measure();
    settle();
  }
  scroll = std::round(scroll);
  for (std::size_t i = 0; i < count; ++i)
    if (!in_view(i, kept_screens * view_height)) view_of(*messages[i]).forget();
}

/// A token that was walked to is brought into view.
void MessageList::follow_token(const Frame& frame, float view_height, float& scroll) {
  if (frame.view.token == followed_) return;
  followed_ = frame.view.token;
  if (!followed_) return;
  const auto& messages = frame.now.thread->messages;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i]->id != followed_->message || followed_->token >= messages[i]->tokens.size()) continue;
    const auto& record = *messages[i]->tokens[followed_->token];
    const auto& view = view_of(*messages[i]);
    // Of a message that is not laid out the beginning is shown.
    const auto lines =
        view.text().lines_of({record.begin, record.begin + std::max<std::size_t>(record.text.size(), 1)});
    const float top = tops_[i] + view.text_offset().y + (lines ? lines->first : 0);
    const float bottom = tops_[i] + view.text_offset().y + (lines ? lines->second : 20 * frame.scale);
    if (top < scroll)
      scroll = top - 8 * frame.scale;
    else if (bottom > scroll + view_height)
      scroll = bottom - view_height + 8 * frame.scale;
    else
      return;
    at_end_ = false;
    return;
  }
}

void MessageList::scroll_by_keys(float view_height, float& scroll) {
  const float before = scroll, line = ImGui::GetFontSize() * 3;
  if (pressed(ImGuiKey_UpArrow)) scroll -= line;
  if (pressed(ImGuiKey_DownArrow)) scroll += line;
  if (pressed(ImGuiKey_PageUp)) scroll -= view_height * 0.9F;
  if (pressed(ImGuiKey_PageDown)) scroll += view_height * 0.9F;
  if (pressed(ImGuiKey_Home)) scroll = 0;
  if (pressed(ImGuiKey_End)) scroll = total_;
  if (scroll != before) at_end_ = scroll >= total_ - view_height - 1;
}

void MessageList::handle_keys(Frame& frame, ChatContext& context) {
  const auto& io = ImGui::GetIO();
  const auto* selected = find(*frame.now.thread, context.selected);
  if (io.KeyCtrl && !io.KeyShift && !io.KeyAlt && selected) {
    const auto& text = view_of(*selected).text();
    if (pressed(ImGuiKey_C))
      if (const auto range = context.selection_in(selected->id); !range.empty())
        ImGui::SetClipboardText(text.text(range).c_str());
    if (pressed(ImGuiKey_A)) {
      context.anchor = 0;
      context.caret = text.size();
    }
  }
  if (!io.KeyAlt && !io.KeyCtrl) {
    if (pressed(ImGuiKey_LeftArrow)) walk_token(frame, -1);
    if (pressed(ImGuiKey_RightArrow)) walk_token(frame, 1);
  }
}

void MessageList::draw_menu(Frame& frame, ChatContext& context) {
  if (context.menu != 0) {
    menu_message_ = context.menu;
    context.menu = 0;
    ImGui::OpenPopup("message");
  }
  if (!ImGui::BeginPopup("message")) return;
  if (const auto* message = find(*frame.now.thread, menu_message_)) {
    const auto& text = view_of(*message).text();
    const auto range = context.selection_in(message->id);
    if (ImGui::MenuItem("Copy selection", "Ctrl+C", false, !range.empty()))
      ImGui::SetClipboardText(text.text(range).c_str());
    if (ImGui::MenuItem("Select all", "Ctrl+A")) {
      context.selected = message->id;
      context.anchor = 0;
      context.caret = text.size();
    }
    if (!context.menu_link.empty() && ImGui::MenuItem("Copy address"))
      ImGui::SetClipboardText(context.menu_link.c_str());
    ImGui::Separator();
    using enum MessageAction;
    for (const auto action : {copy, edit, regenerate, go_on, previous, next})
      if (is_offered(action, *message) && ImGui::MenuItem(action == copy ? "Copy message" : name_of(action), nullptr,
                                                          false, is_possible(action, *message, frame)))
        perform(action, *message, frame, context);
  }
  ImGui::EndPopup();
}

void MessageList::draw_jump_button(const Frame& frame, ImVec2 corner, ImVec2 size) {
  const char* label = frame.now.activity == live::Activity::answering ? "↓ Follow the answer" : "↓ Newest";
  const float width = ImGui::CalcTextSize(label).x + 2 * ImGui::GetStyle().FramePadding.x;
  ImGui::SetCursorScreenPos({std::floor(corner.x + (size.x - width) / 2),
                             std::floor(corner.y + size.y - ImGui::GetFrameHeight() - 10 * frame.scale)});
  if (ImGui::Button(label)) at_end_ = true;
  if (ImGui::IsItemHovered()) ImGui::SetTooltip("End");
}

void MessageList::draw(Frame& frame, ChatContext& context, float height) {
  const auto& thread = *frame.now.thread;
  if (thread.conversation != conversation_) {
    // The first message gives a new conversation its number: nothing else has changed then.
    if (conversation_) {
      views_.clear();
      context.selected = context.editing = 0;
    }
    at_end_ = true;
  } else if (thread_ != frame.now.thread && views_.size() > 2 * thread.messages.size() + 64) {
    std::erase_if(views_, [&](const auto& entry) { return find(thread, entry.first) == nullptr; });
  }
  conversation_ = thread.conversation;
  thread_ = frame.now.thread;

  ImGui::BeginChild("messages", {0, height}, false, ImGuiWindowFlags_NoNavInputs);
  const auto corner = ImGui::GetWindowPos();
  const auto size = ImGui::GetWindowSize();
  const float scroll_bar = ImGui::GetStyle().ScrollbarSize;
  const float width = std::floor(std::clamp(size.x - scroll_bar - 2 * side * frame.scale, 40.0F, widest * frame.scale));
  const float left = corner.x + std::floor((size.x - scroll_bar - width) / 2);

  float scroll = ImGui::GetScrollY();
  if (scroll != scroll_) at_end_ = scroll >= std::min(ImGui::GetScrollMaxY(), total_ - size.y) - 2;
  const bool focused = ImGui::IsWindowFocused() && !ImGui::GetIO().WantTextInput && !ImGui::IsPopupOpen("message");
  if (focused) {
    scroll_by_keys(size.y, scroll);
    handle_keys(frame, context);
  }
  // A selection drawn beyond the edge takes the text along.
  if (context.clicks > 0) {
    const float y = ImGui::GetIO().MousePos.y;
    const float beyond = std::min(y - corner.y, 0.0F) + std::max(y - corner.y - size.y, 0.0F);
    scroll += beyond * 0.3F;
    if (beyond < 0) at_end_ = false;
  }
  place(frame, context, width, size.y, scroll);
  follow_token(frame, size.y, scroll);
  scroll = std::round(std::clamp(scroll, 0.0F, std::max(total_ - size.y, 0.0F)));

  for (std::size_t i = 0; i < thread.messages.size(); ++i) {
    if (tops_[i + 1] <= scroll || tops_[i] >= scroll + size.y) continue;
    auto& view = view_of(*thread.messages[i]);
    view.lay_out(thread.messages[i], width, frame, context);  // a token followed brings others into view
    view.draw(frame, context, {left, corner.y + tops_[i] - scroll}, i + 1 == thread.messages.size());
  }
  draw_menu(frame, context);
  // The height of all, for the scroll bar.
  ImGui::SetCursorPos({0, total_ - 1});
  ImGui::Dummy({1, 1});
  if (!at_end_ && scroll < total_ - size.y - 40 * frame.scale) draw_jump_button(frame, corner, size);
  // At once, not by SetScrollY(): the wheel's next step begins there.
  ImGui::GetCurrentWindow()->Scroll.y = scroll;
  scroll_ = scroll;
  ImGui::EndChild();
}

}  // namespace glassbox::app::ui
