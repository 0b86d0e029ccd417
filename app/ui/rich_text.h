#pragma once

#include <imgui.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/ui/frame.h"
#include "app/ui/markdown.h"
#include "app/ui/text_wrap.h"

namespace glassbox::app::ui {

/// A tint behind the bytes [begin, end) of the source.
struct TextMark {
  std::size_t begin = 0, end = 0;
  ImU32 colour = 0;  ///< 0: none
};

/// How RichText is drawn.
struct TextPaint {
  ImDrawList* list = nullptr;
  ImVec2 origin;                      ///< of its upper left corner on screen
  float top = 0, bottom = 0;          ///< only what is between them on screen is drawn
  TextRange selection;                ///< positions
  std::span<const TextMark> marks;    ///< by ascending begin
  std::optional<TextRange> outlined;  ///< bytes of the source
};

/// A document laid out in a width: wrapped lines in which each character knows its byte of the source. What is shown
/// is addressed by positions, bytes of all its text with one between two blocks or cells.
class RichText {
 public:
  /// Blocks that begin the document as they began the one before, at the same width, are kept as they are: what
  /// streams in costs its last block.
  void lay_out(Document document, float width, const Fonts& fonts, float scale);

  float height() const { return height_; }
  float natural_width() const;                ///< of the widest line
  std::size_t size() const { return size_; }  ///< positions
  /// Blocks laid out by the last lay_out(): those that were not kept.
  std::size_t fresh() const { return fresh_; }

  struct Hit {
    std::size_t position = 0;              ///< the gap between characters nearest to the point
    std::optional<std::size_t> character;  ///< position of the character under the point
    std::string_view link;                 ///< address under the point; "" where none is
  };
  /// `at` in pixels from the upper left corner.
  Hit hit(ImVec2 at) const;
  /// Byte of the source where the character at a position stands; none between blocks.
  std::optional<std::size_t> source_of(std::size_t position) const;
  TextRange word(std::size_t position) const;
  TextRange paragraph(std::size_t position) const;
  /// As rendered: list markers and line breaks, no Markdown; code byte by byte; cells separated by tabs.
  std::string text(TextRange range) const;
  /// The text of a code block, nothing added.
  std::string code_text(TextRange range) const;
  /// Top and bottom, in pixels from the upper edge, of the first line that shows something of [begin, end) of the
  /// source, or of what follows it.
  std::optional<std::pair<float, float>> lines_of(TextRange source) const;

  struct CodeArea {
    ImVec2 min, max;  ///< pixels from the upper left corner; a header as high as a line, then the code
    std::string_view language;
    TextRange range;  ///< positions of the code
  };
  std::vector<CodeArea> code_areas() const;

  void draw(const TextPaint& paint, const Fonts& fonts, const Palette& palette) const;

 private:
  struct Span {
    std::size_t begin = 0, end = 0;  ///< of the part's text
    std::size_t source = 0, length = 0;
    std::uint8_t style = plain;
    int link = -1;
    bool exact() const { return length == end - begin; }
    /// Bytes of the source that [from, to) of the part's text show.
    TextRange source_of(std::size_t from, std::size_t to) const;
    /// Part of [from, to) that shows bytes of `wanted`.
    TextRange text_of(TextRange wanted, std::size_t from, std::size_t to) const;
  };
  /// Text of a block, or of a cell of a table.
  struct Part {
    std::size_t begin = 0;  ///< position in the block
    std::string text;
    std::vector<Span> spans;     ///< at least one
    std::vector<FontRun> fonts;  ///< beside them
    WrappedText wrapped;
    ImVec2 at;  ///< from the block's upper left corner
    float width = 0;
  };
  struct Laid {
    Block block;
    std::vector<Part> parts;
    std::size_t begin = 0, size = 0;  ///< positions
    float x = 0, y = 0, width = 0, height = 0;
    std::vector<float> columns;  ///< left edges of a table's, and its right edge
  };
  struct Place {
    const Laid* block = nullptr;
    const Part* part = nullptr;
    std::size_t offset = 0;  ///< in the part's text
  };

  Laid lay_out_block(Block block, const Fonts& fonts) const;
  Part make_part(const std::vector<Run>& runs, const Block& block, const Fonts& fonts) const;
  void lay_out_table(Laid& laid, const Fonts& fonts) const;
  float gap_before(std::size_t block, const Fonts& fonts) const;
  Place place(std::size_t position) const;
  void draw_decoration(const Laid& laid, const TextPaint& paint, const Fonts& fonts, const Palette& palette) const;
  void draw_part(const Laid& laid, const Part& part, const TextPaint& paint, const Palette& palette) const;

  std::vector<Laid> blocks_;
  float width_ = 0, height_ = 0, scale_ = 1;
  std::size_t size_ = 0, fresh_ = 0;
  FontKey font_;  ///< the body's that it was laid out with
};

}  // namespace glassbox::app::ui
