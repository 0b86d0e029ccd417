#include "app/ui/text_wrap.h"

#include <algorithm>

#include "model/utf8.h"

namespace glassbox::app::ui {
namespace {

struct Character {
  char32_t point;
  std::size_t length;
};

Character character_at(std::string_view text, std::size_t position) {
  const auto byte = static_cast<unsigned char>(text[position]);
  if (byte < 0x80) return {byte, 1};
  const auto head = model::decode_utf8(text.substr(position));
  return {head.code_point, std::max<std::size_t>(head.length, 1)};
}

float advance(const ImFont& font, char32_t point) {
  if (point == '\r' || point == '\n') return 0;  // ImDrawList::AddText skips them
  // Dear ImGui of Debian 12 keeps 16 bits of a character.
  return font.GetCharAdvance(point <= 0xffff ? static_cast<ImWchar>(point) : ImWchar{0xfffd});
}

bool is_blank(char32_t c) { return c == ' ' || c == '\t' || c == U'\u3000'; }

/// Scripts written without blanks between words: kana, Han, Hangul, full-width forms.
bool breaks_anywhere(char32_t c) {
  return (c >= 0x2e80 && c <= 0xa4cf) || (c >= 0xac00 && c <= 0xd7af) || (c >= 0xf900 && c <= 0xfaff) ||
         (c >= 0xff00 && c <= 0xffef) || (c >= 0x20000 && c <= 0x3ffff);
}

/// What may not begin a line: closing signs and marks that sit on the character before.
bool holds_on(char32_t c) {
  static constexpr std::u32string_view closing = U"、。，．・：；？！）］｝」』】〕〉》ー々,.;:?!)]}'\"”’…%";
  return closing.find(c) != closing.npos || (c >= 0x300 && c <= 0x36f) || (c >= 0xfe00 && c <= 0xfe0f) || c == 0x200d;
}

bool is_opening(char32_t c) {
  static constexpr std::u32string_view opening = U"（［｛「『【〔〈《([{“‘";
  return opening.find(c) != opening.npos;
}

bool may_break(char32_t before, char32_t after) {
  if (is_blank(after)) return false;
  if (is_blank(before)) return true;
  if (holds_on(after) || is_opening(before)) return false;
  return before == '-' || before == '/' || before == U'—' || breaks_anywhere(before) || breaks_anywhere(after);
}

class Wrapper {
 public:
  Wrapper(std::string_view text, std::span<const FontRun> runs, float width, float line_height)
      : text_(text), runs_(runs), width_(width), line_height_(line_height) {}

  WrappedText wrap() {
    std::size_t begin = 0, break_at = 0, at = 0, run = 0;
    float x = 0, x_at_break = 0;
    char32_t before = 0;
    while (at < text_.size()) {
      while (run + 1 < runs_.size() && at >= runs_[run].end) ++run;
      const auto [point, length] = character_at(text_, at);
      if (point == '\n') {
        add_line(begin, at + length);
        begin = break_at = at += length;
        x = x_at_break = 0;
        before = 0;
        continue;
      }
      if (at > begin && before != 0 && may_break(before, point)) {
        break_at = at;
        x_at_break = x;
      }
      const float step = advance(*runs_[run].font, point);
      // Twice where what is broken off before is narrower than this character.
      while (x + step > width_ && at > begin && !is_blank(point) && !is_mark(point)) {
        if (break_at == begin) {  // the word alone is too long
          break_at = at;
          x_at_break = x;
        }
        add_line(begin, break_at);
        begin = break_at;
        x -= x_at_break;
        x_at_break = 0;
      }
      x += step;
      before = point;
      at += length;
    }
    add_line(begin, text_.size());
    return std::move(result_);
  }

 private:
  static bool is_mark(char32_t c) { return (c >= 0x300 && c <= 0x36f) || (c >= 0xfe00 && c <= 0xfe0f) || c == 0x200d; }

  void add_line(std::size_t begin, std::size_t end) {
    Line line{.begin = begin, .end = end, .first_piece = result_.pieces.size(), .y = result_.height};
    float font_size = 0;
    while (run_ + 1 < runs_.size() && begin >= runs_[run_].end) ++run_;
    auto at = begin;
    do {
      const auto piece_end = run_ + 1 < runs_.size() ? std::min(end, runs_[run_].end) : end;
      const auto& font = *runs_[run_].font;
      const Piece piece{at, piece_end, run_, line.width, text_width(font, text_.substr(at, piece_end - at))};
      result_.pieces.push_back(piece);
      line.width += piece.width;
      font_size = std::max(font_size, font.FontSize);
      at = piece_end;
      if (at < end) ++run_;
    } while (at < end);
    line.pieces = result_.pieces.size() - line.first_piece;
    line.height = static_cast<float>(static_cast<int>(font_size * line_height_ + 0.5F));
    result_.height += line.height;
    result_.width = std::max(result_.width, line.width);
    result_.lines.push_back(line);
  }

  std::string_view text_;
  std::span<const FontRun> runs_;
  float width_, line_height_;
  WrappedText result_;
  std::size_t run_ = 0;
};

enum class CharacterKind { blank, word, ideograph, other };

CharacterKind kind_of(char32_t c) {
  if (is_blank(c) || c == '\n' || c == '\r' || c == 0xa0) return CharacterKind::blank;
  if (breaks_anywhere(c)) return CharacterKind::ideograph;
  if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_')
    return CharacterKind::word;
  return c >= 0xc0 && (c < 0x2000 || c > 0x2bff) && c != 0xd7 && c != 0xf7 ? CharacterKind::word : CharacterKind::other;
}

}  // namespace

std::size_t WrappedText::line_of(std::size_t position) const {
  const auto after = std::upper_bound(lines.begin(), lines.end(), position,
                                      [](std::size_t value, const Line& line) { return value < line.begin; });
  return after == lines.begin() ? 0 : static_cast<std::size_t>(after - lines.begin()) - 1;
}

WrappedText wrap_text(std::string_view text, std::span<const FontRun> runs, float width, float line_height) {
  return Wrapper(text, runs, width, line_height).wrap();
}

float text_width(const ImFont& font, std::string_view text) {
  float width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto [point, length] = character_at(text, at);
    width += advance(font, point);
    at += length;
  }
  return width;
}

std::size_t position_at(const ImFont& font, std::string_view text, float x, bool nearest) {
  std::size_t at = 0;
  while (at < text.size() && text[at] != '\n') {
    const auto [point, length] = character_at(text, at);
    const float step = advance(font, point);
    if (x < (nearest ? step / 2 : step)) break;
    x -= step;
    at += length;
  }
  return at;
}

std::size_t next_character(std::string_view text, std::size_t position) {
  if (position >= text.size()) return text.size();
  return std::min(position + character_at(text, position).length, text.size());
}

std::size_t previous_character(std::string_view text, std::size_t position) {
  position = std::min(position, text.size());
  if (position == 0) return 0;
  do --position;
  while (position > 0 && (static_cast<unsigned char>(text[position]) & 0xc0) == 0x80);
  return position;
}

TextRange word_at(std::string_view text, std::size_t position) {
  if (text.empty()) return {};
  if (position >= text.size() || text[position] == '\n') {
    if (position == 0 || (position < text.size() && text[position - 1] == '\n')) return {position, position};
    position = previous_character(text, position);
  }
  const auto kind = kind_of(character_at(text, position).point);
  TextRange range{position, next_character(text, position)};
  if (kind == CharacterKind::ideograph) return range;
  const auto same = [&](std::size_t at) {
    const auto point = character_at(text, at).point;
    return point != '\n' && kind_of(point) == kind;
  };
  while (range.begin > 0 && same(previous_character(text, range.begin)))
    range.begin = previous_character(text, range.begin);
  while (range.end < text.size() && same(range.end)) range.end = next_character(text, range.end);
  return range;
}

TextRange paragraph_at(std::string_view text, std::size_t position) {
  position = std::min(position, text.size());
  const auto begin = position == 0 ? text.npos : text.rfind('\n', position - 1);
  return {begin == text.npos ? 0 : begin + 1, std::min(text.find('\n', position), text.size())};
}

}  // namespace glassbox::app::ui
