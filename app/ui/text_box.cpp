#include "app/ui/text_box.h"

#include <imgui_internal.h>

#include <algorithm>
#include <cmath>

#include "app/ui/landmarks.h"
#include "model/utf8.h"

namespace glassbox::app::ui {
namespace {

constexpr float box_line_height = 1.35F;
const ImVec2 padding(10, 8);  // units of layout

}  // namespace

void TextBox::wrap(float width, const ImFont& font) {
  const auto key = FontKey::of(font);
  if (wrapped_revision_ == edit.revision() && wrapped_width_ == width && font_ == key) return;
  const FontRun run{edit.text().size(), &font};
  wrapped_ = wrap_text(edit.text(), {&run, 1}, width, box_line_height);
  wrapped_revision_ = edit.revision();
  wrapped_width_ = width;
  font_ = key;
}

float TextBox::height(float width, const Frame& frame, int max_lines) {
  const float inner = width - 2 * padding.x * frame.scale - ImGui::GetStyle().ScrollbarSize;
  wrap(std::max(inner, 1.0F), *frame.fonts.body);
  const float line = wrapped_.lines[0].height;
  return std::min(wrapped_.height, line * static_cast<float>(max_lines)) + 2 * padding.y * frame.scale;
}

std::size_t TextBox::position_at_point(ImVec2 at) const {
  const auto& lines = wrapped_.lines;
  const auto line =
      std::prev(std::upper_bound(lines.begin() + 1, lines.end(), at.y, [](float y, const Line& l) { return y < l.y; }));
  const auto text = std::string_view(edit.text()).substr(line->begin, line->end - line->begin);
  auto offset = position_at(*font_.font, text, at.x, true);
  // The gap after a soft break belongs to the next line.
  if (offset == text.size() && offset > 0 && line + 1 != lines.end()) offset = previous_character(text, offset);
  return line->begin + offset;
}

ImVec2 TextBox::caret_point() const {
  const auto& line = wrapped_.lines[wrapped_.line_of(edit.caret())];
  const auto before = std::string_view(edit.text()).substr(line.begin, edit.caret() - line.begin);
  return {text_width(*font_.font, before), line.y};
}

void TextBox::move_lines(int lines, bool select) {
  const auto caret = caret_point();
  const float column = column_ < 0 ? caret.x : column_;
  const float y = caret.y + wrapped_.lines[0].height * (static_cast<float>(lines) + 0.5F);
  if (y < 0)
    edit.move_to(0, select);
  else if (y >= wrapped_.height)
    edit.move_to(edit.text().size(), select);
  else
    edit.move_to(position_at_point({column, y}), select);
  column_ = column;
}

TextBox::Event TextBox::handle_keys(float page) {
  auto& io = ImGui::GetIO();
  const bool shift = io.KeyShift, command = io.KeyCtrl && !io.KeyAlt;
  const auto reach = command ? TextEdit::Reach::word : TextEdit::Reach::character;
  Event event;
  const float column = column_;
  column_ = -1;  // kept only by what moves by lines
  const auto lines = [&](int count) {
    column_ = column;
    move_lines(count, shift);
  };
  const auto selection = edit.selection();
  const auto& line = wrapped_.lines[wrapped_.line_of(edit.caret())];
  const bool last_line = line.end == edit.text().size() && &line == &wrapped_.lines.back();
  if (pressed(ImGuiKey_Enter) || pressed(ImGuiKey_KeyPadEnter)) {
    if (shift)
      edit.insert("\n");
    else
      event.submitted = true;
  } else if (pressed(ImGuiKey_Escape)) {
    event.cancelled = true;
  } else if (pressed(ImGuiKey_LeftArrow) && !io.KeyAlt) {
    edit.move_to(!selection.empty() && !shift && !command ? selection.begin : edit.before(reach), shift);
  } else if (pressed(ImGuiKey_RightArrow) && !io.KeyAlt) {
    edit.move_to(!selection.empty() && !shift && !command ? selection.end : edit.after(reach), shift);
  } else if (pressed(ImGuiKey_UpArrow)) {
    if (edit.empty())
      event.up_in_empty = true;
    else
      lines(-1);
  } else if (pressed(ImGuiKey_DownArrow)) {
    lines(1);
  } else if (pressed(ImGuiKey_PageUp)) {
    lines(-std::max(static_cast<int>(page / line.height), 1));
  } else if (pressed(ImGuiKey_PageDown)) {
    lines(std::max(static_cast<int>(page / line.height), 1));
  } else if (pressed(ImGuiKey_Home)) {
    edit.move_to(command ? 0 : line.begin, shift);
  } else if (pressed(ImGuiKey_End)) {
    edit.move_to(
        command || last_line ? (command ? edit.text().size() : line.end) : previous_character(edit.text(), line.end),
        shift);
  } else if (pressed(ImGuiKey_Backspace)) {
    edit.erase_before(reach);
  } else if (pressed(ImGuiKey_Delete)) {
    edit.erase_after(reach);
  } else if (command && pressed(ImGuiKey_A)) {
    edit.select_all();
  } else if (command && (pressed(ImGuiKey_C) || pressed(ImGuiKey_X))) {
    if (!selection.empty()) ImGui::SetClipboardText(std::string(edit.selected()).c_str());
    if (!selection.empty() && pressed(ImGuiKey_X)) edit.erase_before(reach);
  } else if (command && pressed(ImGuiKey_V)) {
    if (const char* text = ImGui::GetClipboardText()) edit.insert(text);
  } else if (command && (pressed(ImGuiKey_Y) || (shift && pressed(ImGuiKey_Z)))) {
    edit.redo();
  } else if (command && pressed(ImGuiKey_Z)) {
    edit.undo();
  } else {
    column_ = column;
  }
  if (!command)
    for (const ImWchar point : io.InputQueueCharacters)
      if (point >= ' ' && point != 0x7f && (point < 0xd800 || point > 0xdfff)) {
        std::string typed;
        model::append_utf8(typed, point);
        edit.insert(typed);
        column_ = -1;
      }
  io.InputQueueCharacters.resize(0);
  return event;
}

void TextBox::handle_mouse(ImVec2 origin, bool clicked) {
  const auto& io = ImGui::GetIO();
  const auto at = position_at_point({io.MousePos.x - origin.x, io.MousePos.y - origin.y});
  if (clicked) {
    clicks_ = std::max<int>(io.MouseClickedCount[0], 1);
    column_ = -1;
    grabbed_ = clicks_ == 2   ? word_at(edit.text(), at)
               : clicks_ >= 3 ? paragraph_at(edit.text(), at)
                              : TextRange{at, at};
    if (clicks_ > 1)
      edit.select(grabbed_);
    else
      edit.move_to(at, io.KeyShift);
  } else if (io.MouseDown[0] && clicks_ > 0 && (io.MouseDelta.x != 0 || io.MouseDelta.y != 0)) {
    if (clicks_ == 1) {
      edit.move_to(at, true);
    } else {
      const auto here = clicks_ == 2 ? word_at(edit.text(), at) : paragraph_at(edit.text(), at);
      edit.select(here.begin < grabbed_.begin ? TextRange{grabbed_.end, here.begin}
                                              : TextRange{grabbed_.begin, std::max(here.end, grabbed_.end)});
    }
  }
  if (!io.MouseDown[0]) clicks_ = 0;
}

void TextBox::paint(ImVec2 origin, const Frame& frame) const {
  auto& list = *ImGui::GetWindowDrawList();
  const float top = list.GetClipRectMin().y, bottom = list.GetClipRectMax().y;
  const auto& lines = wrapped_.lines;
  const std::string_view text = edit.text();
  const auto selection = edit.selection();
  const auto caret_line = wrapped_.line_of(edit.caret());
  auto line = std::upper_bound(lines.begin(), lines.end(), top - origin.y,
                               [](float y, const Line& l) { return y < l.y + l.height; });
  for (; line != lines.end() && origin.y + line->y < bottom; ++line) {
    const auto width_to = [&](std::size_t position) {
      return text_width(*font_.font, text.substr(line->begin, position - line->begin));
    };
    const float y = origin.y + line->y;
    const auto from = std::max(selection.begin, line->begin), to = std::min(selection.end, line->end);
    if (from < to)
      list.AddRectFilled({origin.x + width_to(from), y},
                         {origin.x + std::max(width_to(to), width_to(from) + 4 * frame.scale), y + line->height},
                         ImGui::ColorConvertFloat4ToU32(frame.palette.selection));
    const float text_y = y + std::floor((line->height - font_.font->FontSize) / 2);
    list.AddText(font_.font, font_.font->FontSize, {origin.x, text_y},
                 ImGui::ColorConvertFloat4ToU32(frame.palette.text), text.data() + line->begin,
                 text.data() + line->end);
    if (focused_ && static_cast<std::size_t>(line - lines.begin()) == caret_line) {
      const float x = std::floor(origin.x + width_to(edit.caret()));
      list.AddRectFilled({x, y + 1}, {x + std::max(1.0F, std::round(1.5F * frame.scale)), y + line->height - 1},
                         ImGui::ColorConvertFloat4ToU32(frame.palette.text));
    }
  }
}

TextBox::Event TextBox::draw(const char* id, float width, Frame& frame, int max_lines, const char* hint) {
  const float scale = frame.scale;
  const float outer = height(width, frame, max_lines);
  Event event;
  ImGui::PushStyleColor(ImGuiCol_ChildBg, ImGui::GetStyleColorVec4(ImGuiCol_FrameBg));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {0, 0});
  const bool shown = ImGui::BeginChild(id, {width, outer}, false, ImGuiWindowFlags_NoNav);
  ImGui::PopStyleVar();
  ImGui::PopStyleColor();
  if (shown) {
    auto& g = *ImGui::GetCurrentContext();
    auto* window = ImGui::GetCurrentWindow();
    const auto item = window->GetID("##text");
    const auto corner = ImGui::GetCursorScreenPos();
    const float inner = std::max(wrapped_.height + 2 * padding.y * scale, outer);
    const ImRect area(corner, {corner.x + ImGui::GetContentRegionAvail().x, corner.y + inner});
    ImGui::ItemSize(area);
    ImGui::ItemAdd(area, item, nullptr, ImGuiItemFlags_Inputable);
    ImGui::KeepAliveID(item);
    const bool hovered = ImGui::ItemHoverable(area, item);
    const bool tabbed = (g.LastItemData.StatusFlags & ImGuiItemStatusFlags_FocusedByTabbing) != 0;
    if (hovered) ImGui::SetMouseCursor(ImGuiMouseCursor_TextInput);
    const bool clicked = hovered && g.IO.MouseClicked[0];
    if (clicked || focus_ || tabbed) {
      ImGui::SetActiveID(item, window);
      ImGui::SetFocusID(item, window);
      ImGui::FocusWindow(window);
      focus_ = false;
    }
    focused_ = g.ActiveId == item;
    if (focused_ && g.IO.MouseClicked[0] && !hovered) {
      ImGui::ClearActiveID();
      focused_ = false;
    }
    const ImVec2 origin(corner.x + padding.x * scale, corner.y + padding.y * scale);
    if (focused_) {
      // As Dear ImGui's own text box: the keyboard is its, other widgets may be pointed at.
      g.ActiveIdAllowOverlap = !g.IO.MouseDown[0];
      g.WantTextInputNextFrame = 1;
      ImGui::SetActiveIdUsingNavAndKeys();
      g.ActiveIdUsingKeyInputMask &= ~(ImU64{1} << ImGuiKey_Tab);
      handle_mouse(origin, clicked);
      event = handle_keys(outer);
      wrap(wrapped_width_, *frame.fonts.body);
    }
    if (seen_caret_ != edit.caret() || seen_revision_ != edit.revision()) {
      // What is typed or reached is seen.
      const float y = caret_point().y, line = wrapped_.lines[0].height, view = outer - 2 * padding.y * scale;
      const float scroll = ImGui::GetScrollY();
      if (y < scroll)
        ImGui::SetScrollY(y);
      else if (y + line > scroll + view)
        ImGui::SetScrollY(y + line - view);
      seen_caret_ = edit.caret();
      seen_revision_ = edit.revision();
    }
    if (edit.empty()) {
      const float y = origin.y + std::floor((wrapped_.lines[0].height - frame.fonts.body->FontSize) / 2);
      window->DrawList->AddText({origin.x + 3 * scale, y}, ImGui::ColorConvertFloat4ToU32(frame.palette.muted), hint);
    }
    paint(origin, frame);
  } else {
    focused_ = false;
  }
  ImGui::EndChild();
  Landmarks::mark(id);
  return event;
}

}  // namespace glassbox::app::ui
