#include "app/ui/message_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/ui/clipped_text.h"
#include "app/ui/format.h"
#include "app/ui/landmarks.h"

namespace glassbox::app::ui {
namespace {

constexpr float bubble_share = 0.82F;         // of the width, for a question
constexpr float bubble_x = 12, bubble_y = 8;  // units of layout, as all below
constexpr float above_footer = 5;
constexpr float below_question = 4, below_answer = 16;
constexpr int editor_lines = 12;

/// Words that can be clicked, in the colour of secondary text until pointed at.
bool text_button(const char* label, bool enabled, const Palette& palette) {
  ImGui::PushStyleColor(ImGuiCol_Button, {0, 0, 0, 0});
  ImGui::PushStyleColor(ImGuiCol_Text, palette.muted);
  ImGui::BeginDisabled(!enabled);
  const bool clicked = ImGui::SmallButton(label);
  ImGui::EndDisabled();
  ImGui::PopStyleColor(2);
  return clicked;
}

float text_button_width(const char* label) {
  return ImGui::CalcTextSize(label).x + 2 * ImGui::GetStyle().FramePadding.x;
}

float footer_height() { return std::round(ImGui::GetFontSize() * 1.5F); }

/// Why the answer ends where it does, where that is not the model's own doing.
const char* end_of(const live::Message& message) {
  if (message.stop_reason == "length") return "Cut at the token limit";
  if (message.stop_reason == "context") return "Context full";
  return message.state == model::MessageState::stopped ? "Stopped" : "";
}

}  // namespace

float MessageView::height(const live::Message& message, float width, const Frame& frame) {
  if (width_ == width && height_ > 0) return height_;
  // About two characters fit where a line is high.
  const float size = frame.fonts.body->FontSize;
  const float a_line = std::max(width / (size * 0.5F), 1.0F);
  const auto breaks = std::count(message.content.begin(), message.content.end(), '\n');
  const float lines = static_cast<float>(message.content.size()) / a_line + static_cast<float>(breaks) * 0.7F + 1;
  message_.reset();
  width_ = width;
  height_ = std::round(lines * size * 1.45F + footer_height() + (2 * bubble_y + below_answer) * frame.scale);
  return height_;
}

void MessageView::forget() {
  message_.reset();
  text_ = {};
  marks_ = {};
  marked_ = nullptr;
}

void MessageView::lay_out(const std::shared_ptr<const live::Message>& message, float width, Frame& frame,
                          ChatContext& context) {
  const bool editing = context.editing == message->id;
  const auto font = FontKey::of(*frame.fonts.body);
  if (message_ == message && width_ == width && font_ == font && !editing && !editing_) return;
  const bool known = message_ && message_->content == message->content && message_->state == message->state;
  const bool same_text = known && width_ == width && font_ == font;
  message_ = message;
  width_ = width;
  font_ = font;
  editing_ = editing;
  const float scale = frame.scale;
  const bool question = is_question();
  if (!same_text) {
    const float inner = question ? width * bubble_share - 2 * bubble_x * scale : width;
    auto document = question ? plain_document(message->content)
                             : parse_markdown(message->content, message->state == model::MessageState::streaming);
    text_.lay_out(std::move(document), inner, frame.fonts, scale);
  }
  float text_height = text_.height();
  if (question) {
    const float natural = std::min(text_.natural_width(), width * bubble_share - 2 * bubble_x * scale);
    text_at_ = {std::floor(width - natural - bubble_x * scale), bubble_y * scale};
    text_height += 2 * bubble_y * scale;
  } else {
    text_at_ = {0, 0};
    text_height = std::max(text_height, std::round(frame.fonts.body->FontSize * 1.45F));
  }
  if (editing) text_height = context.editor.height(width, frame, editor_lines) + ImGui::GetFrameHeight() + 6 * scale;
  body_height_ = std::round(text_height);
  height_ =
      body_height_ + std::round((above_footer + (question ? below_question : below_answer)) * scale) + footer_height();
}

void MessageView::draw(Frame& frame, ChatContext& context, ImVec2 at, bool newest) {
  const float scale = frame.scale;
  const auto& palette = frame.palette;
  ImGui::PushID(static_cast<int>(message_->id));
  const float text_bottom = at.y + body_height_;
  if (editing_) {
    draw_editor(frame, context, at);
  } else {
    auto& list = *ImGui::GetWindowDrawList();
    if (is_question())
      list.AddRectFilled({at.x + text_at_.x - bubble_x * scale, at.y}, {at.x + width_, text_bottom},
                         ImGui::ColorConvertFloat4ToU32(palette.user_bubble), 10 * scale);
    if (text_.size() == 0 && !is_question())
      list.AddText({at.x, at.y + std::floor(ImGui::GetFontSize() * 0.22F)},
                   ImGui::ColorConvertFloat4ToU32(palette.muted),
                   message_->state == model::MessageState::streaming ? "…" : "(empty answer)");
    if (marked_ != message_.get() || marks_revision_ != context.tint.revision()) {
      marks_ = context.tint.marks(*message_, palette);
      marked_ = message_.get();
      marks_revision_ = context.tint.revision();
    }
    TextPaint paint{.list = &list,
                    .origin = {at.x + text_at_.x, at.y + text_at_.y},
                    .top = list.GetClipRectMin().y,
                    .bottom = list.GetClipRectMax().y,
                    .selection = context.selection_in(message_->id),
                    .marks = marks_};
    if (const auto& token = frame.view.token;
        token && token->message == message_->id && token->token < message_->tokens.size()) {
      const auto& record = *message_->tokens[token->token];
      paint.outlined = {record.begin, record.begin + record.text.size()};
    }
    text_.draw(paint, frame.fonts, palette);
    handle_pointer(frame, context, {at.x + text_at_.x, at.y + text_at_.y});
    draw_code_buttons(frame, {at.x + text_at_.x, at.y + text_at_.y});
  }
  const ImVec2 bottom(at.x + width_, at.y + height_);
  const bool pointed =
      ImGui::IsWindowHovered(ImGuiHoveredFlags_ChildWindows | ImGuiHoveredFlags_AllowWhenBlockedByActiveItem) &&
      ImGui::IsMouseHoveringRect(at, bottom);
  draw_footer(frame, context, {at.x, text_bottom + std::round(above_footer * scale)}, pointed || newest);
  ImGui::PopID();
}

void MessageView::handle_pointer(Frame& frame, ChatContext& context, ImVec2 at) {
  if (text_.size() == 0) return;
  ImGui::SetCursorScreenPos(at);
  const float width = is_question() ? width_ - text_at_.x : width_;
  ImGui::InvisibleButton("text", {std::max(width, 1.0F), std::max(text_.height(), 1.0F)},
                         ImGuiButtonFlags_MouseButtonLeft | ImGuiButtonFlags_MouseButtonRight);
  Landmarks::mark("message", static_cast<int>(message_->id));
  ImGui::SetItemAllowOverlap();
  const auto& io = ImGui::GetIO();
  const bool hovered = ImGui::IsItemHovered(), active = ImGui::IsItemActive();
  if (!hovered && !active && !ImGui::IsItemDeactivated()) return;
  const auto hit = text_.hit({io.MousePos.x - at.x, io.MousePos.y - at.y});
  if (hovered) {
    ImGui::SetMouseCursor(ImGuiMouseCursor_TextInput);
    if (!hit.link.empty()) ImGui::SetTooltip("%.*s", static_cast<int>(hit.link.size()), hit.link.data());
    if (ImGui::IsMouseClicked(ImGuiMouseButton_Right)) {
      context.menu = message_->id;
      context.menu_link = hit.link;
    }
  }
  const auto unit = [&](std::size_t position) {
    return context.clicks == 2   ? text_.word(position)
           : context.clicks >= 3 ? text_.paragraph(position)
                                 : TextRange{position, position};
  };
  if (hovered && ImGui::IsMouseClicked(ImGuiMouseButton_Left)) {
    context.clicks = std::max<int>(io.MouseClickedCount[0], 1);
    if (io.KeyShift && context.clicks == 1 && context.selected == message_->id) {
      context.caret = hit.position;
    } else {
      context.selected = message_->id;
      context.grabbed = unit(context.clicks == 2 ? hit.character.value_or(hit.position) : hit.position);
      context.anchor = context.grabbed.begin;
      context.caret = context.grabbed.end;
    }
  } else if (active && context.clicks > 0 && context.selected == message_->id && ImGui::IsMouseDragging(0, 2)) {
    const auto here = unit(hit.position);
    const bool backwards = here.begin < context.grabbed.begin;
    context.anchor = backwards ? context.grabbed.end : context.grabbed.begin;
    context.caret = backwards ? here.begin : std::max(here.end, context.grabbed.end);
  }
  if (!ImGui::IsMouseReleased(ImGuiMouseButton_Left) || context.clicks == 0 || context.selected != message_->id) return;
  const bool clicked = context.clicks == 1 && context.anchor == context.caret;
  context.clicks = 0;
  const auto source = clicked && hit.character ? text_.source_of(*hit.character) : std::nullopt;
  if (!clicked || message_->tokens.empty()) return;
  // Beside the text: back to the newest token.
  frame.view.token.reset();
  if (!source) return;
  const auto& tokens = message_->tokens;
  const auto after = std::upper_bound(tokens.begin(), tokens.end(), *source,
                                      [](std::size_t byte, const auto& token) { return byte < token->begin; });
  for (auto token = after; token != tokens.begin();) {
    --token;
    const auto end = (*token)->begin + (*token)->text.size();
    if (*source < end)
      frame.view.token = live::TokenPlace{message_->id, static_cast<std::size_t>(token - tokens.begin())};
    if (!(*token)->text.empty()) return;
  }
}

void MessageView::draw_code_buttons(Frame& frame, ImVec2 at) const {
  int number = 0;
  for (const auto& area : text_.code_areas()) {
    const float x = at.x + area.max.x - text_button_width("Copy") - 2 * frame.scale;
    const float y = at.y + area.min.y + std::floor(ImGui::GetFontSize() * 0.3F);
    ImGui::PushID(number++);
    if (ImGui::IsRectVisible({x, y}, {at.x + area.max.x, y + ImGui::GetFontSize()})) {
      ImGui::SetCursorScreenPos({x, y});
      if (text_button("Copy", true, frame.palette)) ImGui::SetClipboardText(text_.code_text(area.range).c_str());
    }
    ImGui::PopID();
  }
}

void MessageView::draw_editor(Frame& frame, ChatContext& context, ImVec2 at) {
  ImGui::SetCursorScreenPos(at);
  const auto event = context.editor.draw("editor", width_, frame, editor_lines, "An empty question cannot be asked");
  const bool blank = context.editor.edit.text().find_first_not_of(" \t\n") == std::string::npos;
  const bool possible = is_possible(MessageAction::edit, *message_, frame) && !blank;
  const float y = at.y + context.editor.height(width_, frame, editor_lines) + 6 * frame.scale;
  ImGui::SetCursorScreenPos({at.x, y});
  ImGui::BeginDisabled(!possible);
  const bool sent = ImGui::Button("Ask this instead") || (event.submitted && possible);
  ImGui::EndDisabled();
  ImGui::SameLine();
  const bool cancelled = ImGui::Button("Cancel") || event.cancelled;
  ImGui::SameLine();
  ImGui::AlignTextToFramePadding();
  ImGui::TextColored(frame.palette.muted, "Enter asks, Esc leaves it as it was");
  if (sent) frame.worker.edit(message_->id, context.editor.edit.text());
  if (sent || cancelled) context.editing = 0;
}

std::string MessageView::facts(const Frame& frame) const {
  const auto& message = *message_;
  const bool streaming = message.state == model::MessageState::streaming;
  if (streaming && message.tokens.empty())
    return frame.now.activity == live::Activity::reading ? "Reading the prompt" : "Thinking";
  std::string text;
  const auto add = [&](const std::string& fact) { text += (text.empty() ? "" : "  ·  ") + fact; };
  if (streaming) add("Writing");
  if (message.tokens_per_second > 0) add(fmt::format("{:.1f} tokens/s", message.tokens_per_second));
  if (message.first_token_seconds > 0)
    add(fmt::format("first after {}", duration_text(message.first_token_seconds * 1e6)));
  if (!message.tokens.empty()) add(counted(message.tokens.size(), "token"));
  const auto& thread = *frame.now.thread;
  if (!thread.messages.empty() && thread.messages.back()->id == message.id && thread.context_size > 0)
    add(fmt::format("context {} of {}", with_thousands(thread.context_used), with_thousands(thread.context_size)));
  return text;
}

void MessageView::draw_footer(Frame& frame, ChatContext& context, ImVec2 at, bool actions) {
  const auto& palette = frame.palette;
  const auto& message = *message_;
  if (!ImGui::IsRectVisible(at, {at.x + width_, at.y + footer_height()}) || editing_) return;
  const auto tooltip = [](MessageAction action) {
    if (ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled))
      ImGui::SetTooltip("%s (of the newest message: %s)", name_of(action), keys_of(action));
  };
  // From the right: what can be done; what is left of the row is for what is known.
  float right = at.x + width_;
  if (actions) {
    using enum MessageAction;
    for (const auto action : {copy, regenerate, edit, go_on}) {
      if (!is_offered(action, message)) continue;
      right -= text_button_width(name_of(action));
    }
    float x = right;
    for (const auto action : {go_on, edit, regenerate, copy}) {
      if (!is_offered(action, message)) continue;
      ImGui::SetCursorScreenPos({x, at.y});
      if (text_button(name_of(action), is_possible(action, message, frame), palette))
        perform(action, message, frame, context);
      Landmarks::mark(name_of(action), static_cast<int>(message.id));
      tooltip(action);
      x += text_button_width(name_of(action));
    }
  }
  float x = at.x;
  if (is_offered(MessageAction::next, message)) {
    const auto count = fmt::format("{} / {}", message.sibling + 1, message.siblings.size());
    const float width = 2 * text_button_width("‹") + ImGui::CalcTextSize(count.c_str()).x;
    if (is_question()) x = right - width;
    ImGui::SetCursorScreenPos({x, at.y});
    if (text_button("‹", is_possible(MessageAction::previous, message, frame), palette))
      perform(MessageAction::previous, message, frame, context);
    Landmarks::mark(name_of(MessageAction::previous), static_cast<int>(message.id));
    tooltip(MessageAction::previous);
    ImGui::SameLine(0, 0);
    ImGui::TextColored(palette.muted, "%s", count.c_str());
    ImGui::SameLine(0, 0);
    if (text_button("›", is_possible(MessageAction::next, message, frame), palette))
      perform(MessageAction::next, message, frame, context);
    tooltip(MessageAction::next);
    x += width + 6 * frame.scale;
  }
  if (is_question()) return;
  if (const std::string end = end_of(message); !end.empty()) {
    clipped_text({x, at.y}, right, palette.warning, end);
    x += ImGui::CalcTextSize(end.c_str()).x + 12 * frame.scale;
  }
  clipped_text({x, at.y}, right, palette.muted, facts(frame));
}

}  // namespace glassbox::app::ui
