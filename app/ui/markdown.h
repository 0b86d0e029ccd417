#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// What models write, as blocks of styled text in which every byte knows where it stands in the source.
namespace glassbox::app::ui {

/// How a run is set; flags.
enum Emphasis : std::uint8_t { plain = 0, bold = 1, italic = 2, code = 4, struck = 8 };

struct Run {
  std::string text;        ///< valid UTF-8 without U+0000; "\n" breaks the line
  std::size_t source = 0;  ///< byte of the source where it stands
  std::size_t length = 0;  ///< bytes of the source it stands for: text.size() where the text is the source's own
  std::uint8_t style = plain;
  int link = -1;  ///< into Block::links
  bool operator==(const Run&) const = default;
};

enum class BlockKind : std::uint8_t { paragraph, heading, code, rule, table };
enum class Align : std::uint8_t { left, centre, right };

struct Cell {
  std::vector<Run> runs;
  Align align = Align::left;
  bool operator==(const Cell&) const = default;
};

struct Block {
  BlockKind kind = BlockKind::paragraph;
  int level = 0;         ///< of a heading, 1 to 6
  int indent = 0;        ///< lists it stands in
  int quote = 0;         ///< block quotes it stands in
  std::string marker;    ///< of the list item it begins: "•", "3."; "" otherwise
  bool tight = false;    ///< follows the block before without a blank line
  std::string language;  ///< of code; "" where not said
  std::vector<Run> runs;
  std::vector<std::string> links;  ///< addresses
  std::size_t columns = 0;         ///< of a table
  std::vector<Cell> cells;         ///< of a table, row-major, the head first
  bool operator==(const Block&) const = default;
};

using Document = std::vector<Block>;

/// CommonMark with tables, strikethrough, task lists and bare addresses as links; HTML is text, and a line break in a
/// paragraph stays one. Any bytes are accepted: what is not UTF-8 becomes U+FFFD. `streaming`: more will follow, so
/// emphasis and inline code still open at the end are shown as if closed there, and the beginning of a marker is held
/// back until it is known what it marks.
Document parse_markdown(std::string_view source, bool streaming = false);

/// The same for text that means what it says: one paragraph.
Document plain_document(std::string_view source);

}  // namespace glassbox::app::ui
