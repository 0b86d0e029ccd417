#include <algorithm>
#include <cmath>

#include "app/ui/rich_text.h"

namespace glassbox::app::ui {
namespace {

ImU32 to_u32(const ImVec4& colour) { return ImGui::ColorConvertFloat4ToU32(colour); }

/// Left and right edge of [from, to) of a piece.
std::pair<float, float> extent(const Piece& piece, const ImFont& font, std::string_view text, std::size_t from,
                               std::size_t to) {
  const float left = piece.x + text_width(font, text.substr(piece.begin, from - piece.begin));
  const float right = to >= piece.end ? piece.x + piece.width : left + text_width(font, text.substr(from, to - from));
  return {left, right};
}

}  // namespace

void RichText::draw_decoration(const Laid& laid, const TextPaint& paint, const Fonts& fonts,
                               const Palette& palette) const {
  auto& list = *paint.list;
  const ImVec2 at(paint.origin.x + laid.x, paint.origin.y + laid.y);
  const float unit = fonts.body->FontSize;
  for (int i = 0; i < laid.block.quote && i < 8; ++i) {
    const float x = paint.origin.x + 16 * scale_ * static_cast<float>(i);
    list.AddRectFilled({x, at.y}, {x + 3 * scale_, at.y + laid.height}, to_u32(palette.faint), 1.5F * scale_);
  }
  if (!laid.block.marker.empty()) {
    const float width = text_width(*fonts.body, laid.block.marker);
    const float y = laid.parts.empty() ? at.y : at.y + laid.parts[0].at.y;
    list.AddText(fonts.body, unit, {at.x - width - 8 * scale_, y + std::floor(unit * 0.225F)}, to_u32(palette.muted),
                 laid.block.marker.c_str());
  }
  if (laid.block.kind == BlockKind::rule)
    list.AddRectFilled({at.x, at.y + std::floor(laid.height / 2)},
                       {at.x + laid.width, at.y + std::floor(laid.height / 2) + std::max(1.0F, scale_)},
                       to_u32(palette.faint));
  if (laid.block.kind == BlockKind::code) {
    list.AddRectFilled(at, {at.x + laid.width, at.y + laid.height}, to_u32(palette.code_background), 6 * scale_);
    const std::string language = laid.block.language.empty() ? "code" : laid.block.language;
    list.AddText(fonts.body, unit, {at.x + 10 * scale_, at.y + std::floor(unit * 0.3F)}, to_u32(palette.muted),
                 language.c_str());
  }
  if (laid.block.kind == BlockKind::table && !laid.parts.empty()) {
    const float right = at.x + laid.columns.back();
    const auto columns = std::max<std::size_t>(laid.block.columns, 1);
    for (std::size_t row = columns; row < laid.parts.size(); row += columns) {
      const float y = at.y + laid.parts[row].at.y - std::floor(4 * scale_);
      list.AddRectFilled({at.x, y}, {right, y + std::max(1.0F, scale_) * (row == columns ? 2.0F : 1.0F)},
                         to_u32(palette.faint));
    }
  }
}

void RichText::draw_part(const Laid& laid, const Part& part, const TextPaint& paint, const Palette& palette) const {
  auto& list = *paint.list;
  const ImVec2 corner(paint.origin.x + laid.x + part.at.x, paint.origin.y + laid.y + part.at.y);
  const auto base = laid.begin + part.begin;
  const std::string_view text = part.text;
  const auto& lines = part.wrapped.lines;
  auto line = std::upper_bound(lines.begin(), lines.end(), paint.top - corner.y,
                               [](float y, const Line& l) { return y < l.y + l.height; });
  for (; line != lines.end() && corner.y + line->y < paint.bottom; ++line) {
    const float top = corner.y + line->y, bottom = top + line->height, left = corner.x + line->x;
    const auto* pieces = part.wrapped.pieces.data() + line->first_piece;
    float ascent = 0, size = 0;
    for (std::size_t i = 0; i < line->pieces; ++i) {
      ascent = std::max(ascent, part.fonts[pieces[i].run].font->Ascent);
      size = std::max(size, part.fonts[pieces[i].run].font->FontSize);
    }
    const float baseline = top + std::floor((line->height - size) / 2) + ascent;
    for (std::size_t i = 0; i < line->pieces; ++i) {
      const auto& piece = pieces[i];
      const auto& span = part.spans[piece.run];
      const auto& font = *part.fonts[piece.run].font;
      const auto rectangle = [&](std::size_t from, std::size_t to) {
        const auto [x0, x1] = extent(piece, font, text, from, to);
        return std::pair(ImVec2(left + x0, top + 1), ImVec2(left + std::max(x1, x0 + 3 * scale_), bottom - 1));
      };
      if ((span.style & code) && laid.block.kind != BlockKind::code)
        list.AddRectFilled({left + piece.x - 2 * scale_, top + 2},
                           {left + piece.x + piece.width + 2 * scale_, bottom - 2}, to_u32(palette.code_background),
                           3 * scale_);
      const auto shown = span.source_of(piece.begin, piece.end);
      auto mark = std::lower_bound(paint.marks.begin(), paint.marks.end(), shown.begin,
                                   [](const TextMark& m, std::size_t at) { return m.end <= at; });
      for (; mark != paint.marks.end() && mark->begin < shown.end; ++mark) {
        const auto range = span.text_of({mark->begin, mark->end}, piece.begin, piece.end);
        if (mark->colour == 0 || range.empty()) continue;
        const auto [min, max] = rectangle(range.begin, range.end);
        list.AddRectFilled(min, max, mark->colour);
      }
      if (base + piece.end > paint.selection.begin && base + piece.begin < paint.selection.end) {
        const auto from = std::max(base + piece.begin, paint.selection.begin) - base;
        const auto to = std::min(base + piece.end, paint.selection.end) - base;
        const auto [min, max] = rectangle(from, to);
        list.AddRectFilled({min.x, top}, {max.x, bottom}, to_u32(palette.selection));
      }
      if (paint.outlined)
        if (const auto range = span.text_of(*paint.outlined, piece.begin, piece.end); !range.empty()) {
          const auto [min, max] = rectangle(range.begin, range.end);
          list.AddRect({min.x - 1, min.y}, {max.x + 1, max.y}, to_u32(palette.accent), 3 * scale_, 0,
                       std::max(1.5F, 1.5F * scale_));
        }
      const ImU32 colour = to_u32(span.link >= 0         ? palette.accent
                                  : laid.block.quote > 0 ? palette.muted
                                                         : palette.text);
      const float x = left + piece.x, y = baseline - font.Ascent;
      list.AddText(&font, font.FontSize, {x, y}, colour, text.data() + piece.begin, text.data() + piece.end);
      const float thickness = std::max(1.0F, scale_);
      if (span.link >= 0)
        list.AddLine({x, baseline + 2 * scale_}, {x + piece.width, baseline + 2 * scale_}, colour, thickness);
      if (span.style & struck)
        list.AddLine({x, baseline - ascent * 0.3F}, {x + piece.width, baseline - ascent * 0.3F}, colour, thickness);
    }
  }
}

void RichText::draw(const TextPaint& paint, const Fonts& fonts, const Palette& palette) const {
  auto laid = std::upper_bound(blocks_.begin(), blocks_.end(), paint.top - paint.origin.y,
                               [](float y, const Laid& block) { return y < block.y + block.height; });
  for (; laid != blocks_.end() && paint.origin.y + laid->y < paint.bottom; ++laid) {
    draw_decoration(*laid, paint, fonts, palette);
    for (const auto& part : laid->parts) draw_part(*laid, part, paint, palette);
  }
}

}  // namespace glassbox::app::ui
