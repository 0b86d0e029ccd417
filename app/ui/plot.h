#pragma once

#include <imgui.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "app/ui/frame.h"

// What plots share: scales with ticks, axes, histograms, heat maps, hatching, tooltips.
namespace glassbox::app::ui {

struct Area {
  ImVec2 min, max;
  float width() const { return max.x - min.x; }
  float height() const { return max.y - min.y; }
  ImVec2 centre() const { return {(min.x + max.x) / 2, (min.y + max.y) / 2}; }
  bool contains(ImVec2 p) const { return p.x >= min.x && p.x < max.x && p.y >= min.y && p.y < max.y; }
};

/// Values to pixels along one axis and back.
struct Scale {
  double low = 0, high = 1;  ///< of the axis' ends; above 0 where logarithmic
  float from = 0, to = 1;    ///< pixels of low and high
  bool logarithmic = false;

  float at(double value) const;
  double value(float pixel) const;
};

struct Tick {
  double value;
  bool major;  ///< to be labelled
};
/// At 1, 2 or 5 times a power of ten, labels at least `spacing` pixels apart; powers of ten where logarithmic and the
/// axis spans more than two, with minor ticks between.
std::vector<Tick> ticks(const Scale& scale, float spacing);

using TickText = std::function<std::string(double value)>;
/// Grid lines across `area` and labels outside it: below for x, to the left for y.
void draw_x_axis(ImDrawList& draw, const Frame& frame, const Area& area, const Scale& scale, const TickText& text,
                 const char* label);
void draw_y_axis(ImDrawList& draw, const Frame& frame, const Area& area, const Scale& scale, const TickText& text,
                 const char* label);
/// "1", "20", "0.1", "1e-12": as short as a tick can be.
std::string tick_text(double value);
/// 10^floor and 10^ceil around positive values, at least a decade; {1, 10} of none.
std::pair<double, double> decades_around(std::span<const double> values);

/// The same with ends at 1, 2 or 5 times a power of ten.
std::pair<double, double> steps_around(std::span<const double> values);

struct Histogram {
  std::vector<std::size_t> counts;
  double low = 0, high = 1;  ///< of the first bin's beginning and the last one's end
  bool logarithmic = false;
  double edge(std::size_t bin) const;  ///< where it begins
  std::size_t most() const;
};
/// Values at or below 0 are left out where logarithmic.
Histogram histogram(std::span<const double> values, std::size_t bins, bool logarithmic);

/// A matrix seen from afar: each cell is the largest of its block.
struct HeatMap {
  std::size_t rows = 0, columns = 0;              ///< cells
  std::size_t block_rows = 1, block_columns = 1;  ///< elements in a cell, fewer at the far edges
  std::vector<float> values;                      ///< largest of each cell, row-major
  std::vector<std::size_t> where;                 ///< index of that element in the matrix
  float most = 0;                                 ///< of all finite values
  bool exact() const { return block_rows == 1 && block_columns == 1; }
};
/// `values` row-major with `columns` to a row; at most most_rows x most_columns cells. NaN counts as infinite.
HeatMap heat_map(std::span<const float> values, std::size_t columns, std::size_t most_rows, std::size_t most_columns);

ImU32 colour(const ImVec4& colour, float alpha = 1);
/// Black or white, whichever reads better on it.
ImU32 ink_on(const ImVec4& background);
/// Slanted lines, for what is not work.
void hatch(ImDrawList& draw, const Area& area, ImU32 line, float spacing);
/// Text in the area, centred, cut with an ellipsis; nothing where not even that fits.
void text_within(ImDrawList& draw, const Area& area, ImU32 ink, const std::string& text, float padding);

/// A line of a tooltip or card: a muted name and a value beside it, values aligned.
void fact(const Frame& frame, const char* name, const std::string& value, float name_width = 0);
/// Secondary text, wrapped at the window's edge, or (in tooltips, in a row) wherever text wraps now.
void muted(const Frame& frame, const std::string& text);
void muted_line(const Frame& frame, const std::string& text);
/// Text in that colour, wrapped at the window's edge.
void wrapped(const ImVec4& ink, const std::string& text);
/// What is missing and how to get it, in place of a panel's content.
void empty_state(const Frame& frame, const char* title, const std::string& how);
/// Goes on in the same line where an item of that width still fits, else in the next.
void flow(float width);
/// Widths of a button, a check box and a combo of that text, for flow().
float button_width(const char* text);
float check_width(const char* text);
/// A cell of the current table column, to the right.
void right_cell(const std::string& text);
void right_cell(const std::string& text, const ImVec4& ink);
/// The tooltip of the item before, where the pointer rests on it.
void hint(const Frame& frame, const char* text);
/// Between these text wraps at a readable width.
void begin_tooltip(const Frame& frame);
void end_tooltip();

}  // namespace glassbox::app::ui
