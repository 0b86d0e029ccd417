#include "app/ui/rich_text.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace glassbox::app::ui {
namespace {

constexpr float prose_line_height = 1.45F;
constexpr float list_indent = 26, quote_indent = 16, code_padding = 10, cell_padding = 8;  // units of layout

const ImFont* font_of(const Run& run, const Block& block, const Fonts& fonts) {
  if (block.kind == BlockKind::code || (run.style & code)) return fonts.mono;
  if (block.kind == BlockKind::heading && block.level <= 2) return fonts.heading;
  const bool heavy = (run.style & bold) || block.kind == BlockKind::heading;
  if (run.style & italic) return heavy ? fonts.bold_italic : fonts.italic;
  return heavy ? fonts.bold : fonts.body;
}

}  // namespace

TextRange RichText::Span::source_of(std::size_t from, std::size_t to) const {
  if (!exact()) return {source, source + length};
  return {source + (from - begin), source + (to - begin)};
}

TextRange RichText::Span::text_of(TextRange wanted, std::size_t from, std::size_t to) const {
  const auto here = source_of(from, to);
  if (wanted.begin >= here.end || wanted.end <= here.begin) return {to, to};
  if (!exact()) return {from, to};
  return {from + (std::max(wanted.begin, here.begin) - here.begin), to - (here.end - std::min(wanted.end, here.end))};
}

RichText::Part RichText::make_part(const std::vector<Run>& runs, const Block& block, const Fonts& fonts) const {
  Part part;
  for (const auto& run : runs) {
    const auto begin = part.text.size();
    part.text += run.text;
    part.spans.push_back({begin, part.text.size(), run.source, run.length, run.style, run.link});
    part.fonts.push_back({part.text.size(), font_of(run, block, fonts)});
  }
  if (part.spans.empty()) {
    part.spans.emplace_back();
    part.fonts.push_back({0, font_of({}, block, fonts)});
  }
  return part;
}

void RichText::lay_out_table(Laid& laid, const Fonts& fonts) const {
  const auto columns = std::max<std::size_t>(laid.block.columns, 1);
  const float padding = cell_padding * scale_;
  std::vector<float> wanted(columns, 2 * scale_), word(columns, 2 * scale_);
  for (std::size_t i = 0; i < laid.block.cells.size(); ++i) {
    auto part = make_part(laid.block.cells[i].runs, laid.block, fonts);
    const auto wide = wrap_text(part.text, part.fonts, std::numeric_limits<float>::max(), prose_line_height);
    wanted[i % columns] = std::max(wanted[i % columns], std::ceil(wide.width) + 1);
    word[i % columns] = std::max(word[i % columns], std::min(std::ceil(wide.width) + 1, 60 * scale_));
    laid.parts.push_back(std::move(part));
  }
  // Where the columns do not fit, each has what it needs least and the rest is shared by what they lack.
  const float available = laid.width - 2 * padding * static_cast<float>(columns);
  const float sum = std::accumulate(wanted.begin(), wanted.end(), 0.0F);
  const float least = std::accumulate(word.begin(), word.end(), 0.0F);
  if (sum > available)
    for (std::size_t i = 0; i < columns; ++i)
      wanted[i] = least >= available ? std::max(available / static_cast<float>(columns), 8 * scale_)
                                     : word[i] + (wanted[i] - word[i]) * (available - least) / (sum - least);
  laid.columns.assign(1, 0);
  for (const float width : wanted) laid.columns.push_back(laid.columns.back() + std::floor(width) + 2 * padding);
  float y = 0;
  for (std::size_t row = 0; row < laid.parts.size(); row += columns) {
    float height = 0;
    for (auto i = row; i < std::min(row + columns, laid.parts.size()); ++i) {
      auto& part = laid.parts[i];
      const auto column = i - row;
      part.width = laid.columns[column + 1] - laid.columns[column] - 2 * padding;
      part.at = {laid.columns[column] + padding, y + padding / 2};
      part.wrapped = wrap_text(part.text, part.fonts, part.width, prose_line_height);
      const auto align = laid.block.cells[i].align;
      for (auto& line : part.wrapped.lines)
        line.x =
            align == Align::left ? 0 : std::max(0.0F, part.width - line.width) * (align == Align::right ? 1 : 0.5F);
      height = std::max(height, part.wrapped.height);
    }
    y += height + padding;
  }
  laid.height = y;
}

RichText::Laid RichText::lay_out_block(Block block, const Fonts& fonts) const {
  Laid laid;
  laid.block = std::move(block);
  const float indent =
      list_indent * static_cast<float>(laid.block.indent) + quote_indent * static_cast<float>(laid.block.quote);
  laid.x = std::floor(std::min(indent * scale_, width_ / 2));
  laid.width = width_ - laid.x;
  if (laid.block.kind == BlockKind::table) {
    lay_out_table(laid, fonts);
  } else {
    auto part = make_part(laid.block.runs, laid.block, fonts);
    const bool is_code = laid.block.kind == BlockKind::code;
    const float padding = is_code ? code_padding * scale_ : 0;
    const float header = is_code ? std::round(fonts.body->FontSize * prose_line_height) : 0;
    part.at = {padding, is_code ? header + padding / 2 : 0};
    part.width = std::max(laid.width - 2 * padding, 1.0F);
    part.wrapped = wrap_text(part.text, part.fonts, part.width, prose_line_height);
    laid.height = laid.block.kind == BlockKind::rule ? std::round(fonts.body->FontSize / 2)
                                                     : part.at.y + part.wrapped.height + padding;
    laid.parts.push_back(std::move(part));
  }
  for (auto& part : laid.parts) {
    part.begin = laid.size;
    laid.size += part.text.size() + 1;
  }
  return laid;
}

float RichText::gap_before(std::size_t block, const Fonts& fonts) const {
  if (block == 0) return 0;
  const auto& laid = blocks_[block].block;
  const float unit = fonts.body->FontSize;
  if (laid.tight) return std::round(unit * 0.2F);
  return std::round(laid.kind == BlockKind::heading ? unit : unit * 0.7F);
}

void RichText::lay_out(Document document, float width, const Fonts& fonts, float scale) {
  width = std::max(std::floor(width), 1.0F);
  const auto font = FontKey::of(*fonts.body);
  if (width != width_ || scale != scale_ || font != font_) blocks_.clear();
  width_ = width;
  scale_ = scale;
  font_ = font;

  std::size_t kept = 0;
  while (kept < blocks_.size() && kept < document.size() && blocks_[kept].block == document[kept]) ++kept;
  fresh_ = document.size() - kept;
  blocks_.resize(kept);
  blocks_.reserve(document.size());
  for (auto i = kept; i < document.size(); ++i) {
    blocks_.push_back(lay_out_block(std::move(document[i]), fonts));
    auto& laid = blocks_.back();
    const auto* before = i > 0 ? &blocks_[i - 1] : nullptr;
    laid.y = before ? before->y + before->height + gap_before(i, fonts) : 0;
    laid.begin = before ? before->begin + before->size : 0;
  }
  height_ = blocks_.empty() ? 0 : blocks_.back().y + blocks_.back().height;
  size_ = blocks_.empty() ? 0 : blocks_.back().begin + blocks_.back().size - 1;
}

float RichText::natural_width() const {
  float width = 0;
  for (const auto& laid : blocks_)
    for (const auto& part : laid.parts) width = std::max(width, laid.x + part.at.x + part.wrapped.width);
  return std::ceil(width);
}

RichText::Place RichText::place(std::size_t position) const {
  if (blocks_.empty()) return {};
  const auto block = std::prev(std::upper_bound(blocks_.begin() + 1, blocks_.end(), position,
                                                [](std::size_t at, const Laid& laid) { return at < laid.begin; }));
  if (block->parts.empty()) return {};
  const auto within = position - block->begin;
  const auto part = std::prev(std::upper_bound(block->parts.begin() + 1, block->parts.end(), within,
                                               [](std::size_t at, const Part& p) { return at < p.begin; }));
  return {&*block, &*part, std::min(within - part->begin, part->text.size())};
}

RichText::Hit RichText::hit(ImVec2 at) const {
  Hit result;
  if (blocks_.empty()) return result;
  const auto block = std::prev(
      std::upper_bound(blocks_.begin() + 1, blocks_.end(), at.y, [](float y, const Laid& laid) { return y < laid.y; }));
  const Part* nearest = nullptr;
  float distance = std::numeric_limits<float>::max();
  const ImVec2 inside(at.x - block->x, at.y - block->y);
  for (const auto& part : block->parts) {
    const ImVec2 p(inside.x - part.at.x, inside.y - part.at.y);
    const float dx = std::max({-p.x, p.x - part.width, 0.0F}), dy = std::max({-p.y, p.y - part.wrapped.height, 0.0F});
    if (dx + 4 * dy < distance) {
      distance = dx + 4 * dy;
      nearest = &part;
    }
  }
  if (!nearest) return result;
  const ImVec2 p(inside.x - nearest->at.x, inside.y - nearest->at.y);
  const auto& lines = nearest->wrapped.lines;
  const auto line =
      std::prev(std::upper_bound(lines.begin() + 1, lines.end(), p.y, [](float y, const Line& l) { return y < l.y; }));
  const bool on_line = p.y >= line->y && p.y < line->y + line->height;
  const auto base = block->begin + nearest->begin;
  result.position = base + line->begin;
  for (auto i = line->first_piece; i < line->first_piece + line->pieces; ++i) {
    const auto& piece = nearest->wrapped.pieces[i];
    const auto& font = *nearest->fonts[piece.run].font;
    const auto text = std::string_view(nearest->text).substr(piece.begin, piece.end - piece.begin);
    const float x = p.x - line->x - piece.x;
    if (x < 0) break;
    // The gap after a soft break belongs to the next line: stay before the blank.
    auto offset = position_at(font, text, x, true);
    if (piece.end == line->end && offset == text.size() && line->end < nearest->text.size())
      offset = previous_character(text, offset);
    result.position = base + piece.begin + offset;
    if (on_line && x < piece.width) {
      result.character = base + piece.begin + position_at(font, text, x, false);
      const auto link = nearest->spans[piece.run].link;
      if (link >= 0) result.link = block->block.links[static_cast<std::size_t>(link)];
    }
  }
  return result;
}

std::optional<std::size_t> RichText::source_of(std::size_t position) const {
  const auto [block, part, offset] = place(position);
  if (!part || offset >= part->text.size()) return std::nullopt;
  for (const auto& span : part->spans)
    if (offset < span.end) return span.source_of(offset, offset).begin;
  return std::nullopt;
}

TextRange RichText::word(std::size_t position) const {
  const auto [block, part, offset] = place(position);
  if (!part) return {};
  const auto base = block->begin + part->begin;
  const auto range = word_at(part->text, offset);
  return {base + range.begin, base + range.end};
}

TextRange RichText::paragraph(std::size_t position) const {
  const auto [block, part, offset] = place(position);
  if (!part) return {};
  const auto base = block->begin + part->begin;
  const auto range = paragraph_at(part->text, offset);
  return {base + range.begin, base + range.end};
}

std::string RichText::text(TextRange range) const {
  std::string result;
  bool first = true;
  for (const auto& laid : blocks_) {
    if (laid.begin + laid.size <= range.begin || laid.begin >= range.end) continue;
    if (!first) result += laid.block.tight ? "\n" : "\n\n";
    if (range.begin <= laid.begin && (!first || range.end > laid.begin + laid.size)) {
      for (int i = 0; i < laid.block.quote; ++i) result += "> ";
      const auto depth = static_cast<std::size_t>(std::max(laid.block.indent, 1) - 1) * 2;
      if (!laid.block.marker.empty())
        result.append(depth, ' ').append(laid.block.marker).append(" ");
      else if (laid.block.indent > 0)
        result.append(depth + 2, ' ');
    }
    if (laid.block.kind == BlockKind::rule) result += "———";
    const auto columns = std::max<std::size_t>(laid.block.columns, 1);
    bool first_part = true;
    for (std::size_t i = 0; i < laid.parts.size(); ++i) {
      const auto& part = laid.parts[i];
      const auto base = laid.begin + part.begin;
      if (base + part.text.size() < range.begin || base >= range.end) continue;
      if (!first_part) result += i % columns == 0 ? "\n" : "\t";
      first_part = false;
      const auto from = std::max(range.begin, base) - base;
      result.append(part.text, from, std::min(range.end - base, part.text.size()) - from);
    }
    first = false;
  }
  return result;
}

std::string RichText::code_text(TextRange range) const {
  const auto [block, part, offset] = place(range.begin);
  return part ? part->text.substr(offset, range.end - range.begin) : std::string();
}

std::optional<std::pair<float, float>> RichText::lines_of(TextRange source) const {
  for (const auto& laid : blocks_)
    for (const auto& part : laid.parts)
      for (const auto& line : part.wrapped.lines)
        for (auto i = line.first_piece; i < line.first_piece + line.pieces; ++i) {
          const auto& piece = part.wrapped.pieces[i];
          const auto shown = part.spans[piece.run].source_of(piece.begin, piece.end);
          if (shown.end <= source.begin || piece.begin == piece.end) continue;
          const float y = laid.y + part.at.y + line.y;
          return std::pair(y, y + line.height);
        }
  return std::nullopt;
}

std::vector<RichText::CodeArea> RichText::code_areas() const {
  std::vector<CodeArea> areas;
  for (const auto& laid : blocks_)
    if (laid.block.kind == BlockKind::code)
      areas.push_back({{laid.x, laid.y},
                       {laid.x + laid.width, laid.y + laid.height},
                       laid.block.language,
                       {laid.begin, laid.begin + laid.size - 1}});
  return areas;
}

}  // namespace glassbox::app::ui
