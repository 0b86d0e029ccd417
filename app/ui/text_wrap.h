#pragma once

#include <imgui.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

// Breaks text into lines: between words, anywhere between Chinese, Japanese and Korean characters, and within a word
// only where it is longer than the line. Text is valid UTF-8 without U+0000; positions are bytes of it.
namespace glassbox::app::ui {

struct FontRun {
  std::size_t end = 0;  ///< byte where the next run begins
  const ImFont* font = nullptr;
};

/// What a layout depends on of a font: loading others may put one of another size in the same place.
struct FontKey {
  const ImFont* font = nullptr;
  int glyphs = 0;
  float size = 0;
  static FontKey of(const ImFont& font) { return {&font, font.Glyphs.Size, font.FontSize}; }
  bool operator==(const FontKey&) const = default;
};

/// The part of a line that is in one run.
struct Piece {
  std::size_t begin = 0, end = 0;
  std::size_t run = 0;
  float x = 0, width = 0;
};

struct Line {
  std::size_t begin = 0, end = 0;  ///< its line break, or the blank at which it was broken, included
  std::size_t first_piece = 0, pieces = 0;
  float x = 0, y = 0, width = 0, height = 0;
};

struct WrappedText {
  std::vector<Line> lines;  ///< at least one
  std::vector<Piece> pieces;
  float width = 0, height = 0;

  /// The line that a position is on; at a soft break the later one.
  std::size_t line_of(std::size_t position) const;
};

/// `runs` cover the text; `width` in pixels, at least one character stands on each line; lines are
/// `line_height` times as high as the largest of their fonts.
WrappedText wrap_text(std::string_view text, std::span<const FontRun> runs, float width, float line_height);

/// Pixels that text takes on one line, as ImDrawList::AddText draws it.
float text_width(const ImFont& font, std::string_view text);

/// Byte of `text` at a distance from its left edge: the character that is there or, `nearest`, the gap next to it.
std::size_t position_at(const ImFont& font, std::string_view text, float x, bool nearest);

/// Byte after, or before, the character at `position`.
std::size_t next_character(std::string_view text, std::size_t position);
std::size_t previous_character(std::string_view text, std::size_t position);

/// Begin and end of the word (or run of blanks, or of other signs) around `position`.
struct TextRange {
  std::size_t begin = 0, end = 0;
  bool empty() const { return begin >= end; }
  bool operator==(const TextRange&) const = default;
};
TextRange word_at(std::string_view text, std::size_t position);
/// From line break to line break.
TextRange paragraph_at(std::string_view text, std::size_t position);

}  // namespace glassbox::app::ui
