#include "app/ui/text_edit.h"

#include <algorithm>
#include <utility>

#include "model/utf8.h"

namespace glassbox::app::ui {
namespace {

constexpr std::size_t undo_limit = 200;

std::string clean(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    if (text[0] == '\r') {
      result += '\n';
      text.remove_prefix(text.starts_with("\r\n") ? 2 : 1);
      continue;
    }
    const auto stretch = std::min(text.find_first_of(std::string_view("\r\0", 2)), text.size());
    const auto valid = std::min(model::find_invalid_utf8(text.substr(0, stretch)).value_or(stretch), stretch);
    result += text.substr(0, valid);
    text.remove_prefix(valid);
    if (!text.empty() && text[0] != '\r') {
      result += "\uFFFD";
      text.remove_prefix(1);
    }
  }
  return result;
}

bool separates_words(char c) { return c == ' ' || c == '\t' || c == '\n'; }

}  // namespace

TextRange TextEdit::selection() const { return {std::min(caret_, anchor_), std::max(caret_, anchor_)}; }

std::string_view TextEdit::selected() const {
  const auto range = selection();
  return std::string_view(text_).substr(range.begin, range.end - range.begin);
}

void TextEdit::reset(std::string_view text) {
  text_ = clean(text);
  caret_ = anchor_ = text_.size();
  done_.clear();
  undone_.clear();
  ++revision_;
}

void TextEdit::apply(std::size_t at, std::size_t removed, std::string_view inserted) {
  text_.replace(at, removed, inserted);
  caret_ = anchor_ = at + inserted.size();
  ++revision_;
}

void TextEdit::replace(TextRange range, std::string inserted, bool typed) {
  auto removed = text_.substr(range.begin, range.end - range.begin);
  apply(range.begin, removed.size(), inserted);
  undone_.clear();
  auto* last = done_.empty() ? nullptr : &done_.back();
  // What is typed in one go is undone word by word.
  if (typed && last && last->typed && removed.empty() && last->at + last->inserted.size() == range.begin &&
      !(separates_words(last->inserted.back()) && !separates_words(inserted.front()))) {
    last->inserted += inserted;
    return;
  }
  if (done_.size() == undo_limit) done_.erase(done_.begin());
  done_.push_back({range.begin, std::move(removed), std::move(inserted), typed});
}

void TextEdit::insert(std::string_view text) {
  auto cleaned = clean(text);
  if (cleaned.empty() && selection().empty()) return;
  const bool typed = !cleaned.empty() && next_character(cleaned, 0) == cleaned.size() && selection().empty();
  replace(selection(), std::move(cleaned), typed);
}

void TextEdit::erase_before(Reach reach) {
  const auto range = selection().empty() ? TextRange{before(reach), caret_} : selection();
  if (!range.empty()) replace(range, {}, false);
}

void TextEdit::erase_after(Reach reach) {
  const auto range = selection().empty() ? TextRange{caret_, after(reach)} : selection();
  if (!range.empty()) replace(range, {}, false);
}

void TextEdit::move_to(std::size_t position, bool select) {
  caret_ = std::min(position, text_.size());
  if (!select) anchor_ = caret_;
}

void TextEdit::select(TextRange range) {
  anchor_ = std::min(range.begin, text_.size());
  caret_ = std::min(range.end, text_.size());
}

std::size_t TextEdit::before(Reach reach) const {
  auto at = caret_;
  if (reach == Reach::character) return previous_character(text_, at);
  while (at > 0 && separates_words(text_[at - 1])) --at;
  return at == 0 ? 0 : word_at(text_, previous_character(text_, at)).begin;
}

std::size_t TextEdit::after(Reach reach) const {
  auto at = caret_;
  if (reach == Reach::character) return next_character(text_, at);
  while (at < text_.size() && separates_words(text_[at])) ++at;
  return at == text_.size() ? at : word_at(text_, at).end;
}

void TextEdit::undo() {
  if (done_.empty()) return;
  auto change = std::move(done_.back());
  done_.pop_back();
  apply(change.at, change.inserted.size(), change.removed);
  change.typed = false;
  undone_.push_back(std::move(change));
}

void TextEdit::redo() {
  if (undone_.empty()) return;
  auto change = std::move(undone_.back());
  undone_.pop_back();
  apply(change.at, change.removed.size(), change.inserted);
  done_.push_back(std::move(change));
}

}  // namespace glassbox::app::ui
