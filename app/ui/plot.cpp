#include "app/ui/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace glassbox::app::ui {

float Scale::at(double value) const {
  double t;
  if (logarithmic)
    t = value > 0 ? std::log(value / low) / std::log(high / low) : -1;
  else
    t = (value - low) / (high - low);
  return from + (to - from) * static_cast<float>(t);
}

double Scale::value(float pixel) const {
  const double t = static_cast<double>(pixel - from) / static_cast<double>(to - from);
  return logarithmic ? low * std::pow(high / low, t) : low + (high - low) * t;
}

namespace {

std::vector<Tick> linear_ticks(const Scale& scale, float spacing) {
  const double pixels = std::abs(static_cast<double>(scale.to - scale.from));
  if (!(scale.high > scale.low) || pixels < 1) return {};
  const double wanted = (scale.high - scale.low) * static_cast<double>(spacing) / pixels;
  const double power = std::pow(10.0, std::floor(std::log10(wanted)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= wanted) {
      step = factor * power;
      break;
    }
  std::vector<Tick> list;
  const double first = std::ceil(scale.low / step - 1e-9);
  if (std::abs(first) > 1e12) return list;  // a double no longer tells neighbours apart
  for (double i = first; i * step <= scale.high + step * 1e-9; ++i) list.push_back({i * step, true});
  return list;
}

std::vector<Tick> logarithmic_ticks(const Scale& scale, float spacing) {
  std::vector<Tick> list;
  if (!(scale.low > 0) || !(scale.high > scale.low)) return list;
  const double decades = std::log10(scale.high / scale.low);
  const double decade_pixels = std::abs(static_cast<double>(scale.to - scale.from)) / decades;
  const auto first = static_cast<int>(std::floor(std::log10(scale.low) + 1e-9));
  const auto last = static_cast<int>(std::ceil(std::log10(scale.high) - 1e-9));
  const int every = std::max(1, static_cast<int>(std::ceil(static_cast<double>(spacing) / decade_pixels)));
  for (int power = first; power <= last; ++power)
    for (const int factor : {1, 2, 5}) {
      const double value = factor * std::pow(10.0, power);
      if (value < scale.low * (1 - 1e-9) || value > scale.high * (1 + 1e-9)) continue;
      const bool major = factor == 1 ? power % every == 0 : decade_pixels > 3.4 * static_cast<double>(spacing);
      if (factor == 1 || decade_pixels > 30) list.push_back({value, major});
    }
  return list;
}

}  // namespace

std::vector<Tick> ticks(const Scale& scale, float spacing) {
  return scale.logarithmic ? logarithmic_ticks(scale, spacing) : linear_ticks(scale, spacing);
}

std::string tick_text(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size < 1e-3 || size >= 1e6) {
    const auto power = static_cast<int>(std::floor(std::log10(size) + 1e-9));
    return fmt::format("{:.0f}e{}", value / std::pow(10.0, power), power);
  }
  return fmt::format("{:.4g}", value);
}

std::pair<double, double> decades_around(std::span<const double> values) {
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const double value : values)
    if (value > 0 && std::isfinite(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  if (!(high > 0)) return {1, 10};
  low = std::pow(10.0, std::floor(std::log10(low)));
  high = std::pow(10.0, std::ceil(std::log10(high)));
  return {low, std::max(high, 10 * low)};
}

std::pair<double, double> steps_around(std::span<const double> values) {
  const auto [bottom, top] = decades_around(values);
  double low = bottom, high = top, least = top, most = bottom;
  for (const double value : values)
    if (value > 0 && std::isfinite(value)) {
      least = std::min(least, value);
      most = std::max(most, value);
    }
  for (const double factor : {2.0, 5.0})
    if (bottom * factor <= least) low = bottom * factor;
  for (const double factor : {5.0, 2.0})
    if (top / 10 * factor >= most) high = top / 10 * factor;
  return {low, std::max(high, 10 * low)};
}

void draw_x_axis(ImDrawList& draw, const Frame& frame, const Area& area, const Scale& scale, const TickText& text,
                 const char* label) {
  const float space = ImGui::GetFontSize() * 4;
  const auto grid = colour(frame.palette.faint), ink = colour(frame.palette.muted);
  const float name_width = ImGui::CalcTextSize(label).x;
  const float y = area.max.y + 4 * frame.scale;
  for (const auto& tick : ticks(scale, space)) {
    const float x = std::round(scale.at(tick.value));
    if (x < area.min.x || x > area.max.x) continue;
    draw.AddLine({x, area.min.y}, {x, area.max.y}, tick.major ? grid : colour(frame.palette.faint, 0.4F));
    if (!tick.major) continue;
    const auto name = text(tick.value);
    const float width = ImGui::CalcTextSize(name.c_str()).x;
    const float left = std::clamp(x - width / 2, area.min.x, std::max(area.min.x, area.max.x - width));
    // The unit stands at the right end; a label that would run into it is left out.
    if (left + width + 8 * frame.scale <= area.max.x - name_width || !*label)
      draw.AddText({left, y}, ink, name.c_str());
  }
  draw.AddText({area.max.x - name_width, y}, ink, label);
}

void draw_y_axis(ImDrawList& draw, const Frame& frame, const Area& area, const Scale& scale, const TickText& text,
                 const char* label) {
  const float height = ImGui::GetFontSize();
  const auto grid = colour(frame.palette.faint), ink = colour(frame.palette.muted);
  for (const auto& tick : ticks(scale, height * 1.8F)) {
    const float y = std::round(scale.at(tick.value));
    if (y < area.min.y || y > area.max.y) continue;
    draw.AddLine({area.min.x, y}, {area.max.x, y}, tick.major ? grid : colour(frame.palette.faint, 0.4F));
    if (!tick.major) continue;
    const auto name = text(tick.value);
    draw.AddText({area.min.x - ImGui::CalcTextSize(name.c_str()).x - 6 * frame.scale, y - height / 2}, ink,
                 name.c_str());
  }
  // Above the axis: turned text reads badly.
  draw.AddText({area.min.x - ImGui::CalcTextSize("1e-12").x - 6 * frame.scale, area.min.y - height - 5 * frame.scale},
               ink, label);
}

double Histogram::edge(std::size_t bin) const {
  const double t = static_cast<double>(bin) / static_cast<double>(counts.size());
  return logarithmic ? low * std::pow(high / low, t) : low + (high - low) * t;
}

std::size_t Histogram::most() const { return counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end()); }

Histogram histogram(std::span<const double> values, std::size_t bins, bool logarithmic) {
  Histogram result{.counts = std::vector<std::size_t>(bins), .logarithmic = logarithmic};
  const auto counts = [&](double value) { return std::isfinite(value) && (!logarithmic || value > 0); };
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double value : values)
    if (counts(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  if (!(high >= low)) return result;
  // All alike: a range around them, so that the one bin stands in the middle.
  if (high == low) {
    const double size = std::abs(low) > 0 ? std::abs(low) : 1;
    high = logarithmic ? low * 1.5 : low + size / 2;
    low = logarithmic ? low / 1.5 : low - size / 2;
  }
  result.low = low;
  result.high = high;
  for (const double value : values) {
    if (!counts(value)) continue;
    const double t = logarithmic ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    const auto bin = static_cast<std::size_t>(std::clamp(t, 0.0, 1.0) * static_cast<double>(bins));
    ++result.counts[std::min(bin, bins - 1)];
  }
  return result;
}

HeatMap heat_map(std::span<const float> values, std::size_t columns, std::size_t most_rows, std::size_t most_columns) {
  HeatMap map;
  if (values.empty() || columns == 0 || most_rows == 0 || most_columns == 0) return map;
  const auto rows = (values.size() + columns - 1) / columns;
  map.block_rows = (rows + most_rows - 1) / most_rows;
  map.block_columns = (columns + most_columns - 1) / most_columns;
  map.rows = (rows + map.block_rows - 1) / map.block_rows;
  map.columns = (columns + map.block_columns - 1) / map.block_columns;
  map.values.assign(map.rows * map.columns, -1);
  map.where.assign(map.values.size(), 0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto cell = i / columns / map.block_rows * map.columns + i % columns / map.block_columns;
    const float value = std::isnan(values[i]) ? std::numeric_limits<float>::infinity() : values[i];
    if (value > map.values[cell]) {
      map.values[cell] = value;
      map.where[cell] = i;
    }
    if (std::isfinite(value)) map.most = std::max(map.most, value);
  }
  return map;
}

ImU32 colour(const ImVec4& c, float alpha) { return ImGui::GetColorU32({c.x, c.y, c.z, c.w * alpha}); }

ImU32 ink_on(const ImVec4& background) {
  const float luminance = 0.2126F * background.x + 0.7152F * background.y + 0.0722F * background.z;
  return luminance > 0.5F ? IM_COL32(12, 14, 18, 255) : IM_COL32(255, 255, 255, 255);
}

void hatch(ImDrawList& draw, const Area& area, ImU32 line, float spacing) {
  if (area.width() <= 0 || area.height() <= 0) return;
  draw.PushClipRect(area.min, area.max, true);
  // Anchored to the screen, not to the area: neighbours meet and nothing crawls while it pans.
  const float first = std::floor((area.min.x - area.height()) / spacing) * spacing;
  const float begin = std::max(first, draw.GetClipRectMin().x - area.height() - spacing);
  const float end = std::min(area.max.x, draw.GetClipRectMax().x);
  for (float x = begin; x < end; x += spacing) draw.AddLine({x, area.max.y}, {x + area.height(), area.min.y}, line);
  draw.PopClipRect();
}

void text_within(ImDrawList& draw, const Area& area, ImU32 ink, const std::string& text, float padding) {
  const float room = area.width() - 2 * padding;
  const float font = ImGui::GetFontSize();
  if (room < font * 0.8F || area.height() < font * 0.8F) return;
  const float width = ImGui::CalcTextSize(text.c_str()).x;
  const float y = std::round(area.centre().y - font / 2);
  if (width <= room) {
    draw.AddText({std::round(area.centre().x - width / 2), y}, ink, text.c_str());
    return;
  }
  const float dots = ImGui::CalcTextSize("…").x;
  if (room < dots + 2 * font) return;
  const char* cut = nullptr;
  ImGui::GetFont()->CalcTextSizeA(font, room - dots, 0, text.c_str(), text.c_str() + text.size(), &cut);
  const auto shortened = std::string(text.c_str(), cut) + "…";
  draw.AddText({std::round(area.min.x + padding), y}, ink, shortened.c_str());
}

void fact(const Frame& frame, const char* name, const std::string& value, float name_width) {
  ImGui::TextColored(frame.palette.muted, "%s", name);
  ImGui::SameLine(name_width > 0 ? name_width : 122 * frame.scale);
  ImGui::TextUnformatted(value.c_str());
}

void muted(const Frame& frame, const std::string& text) {
  ImGui::PushTextWrapPos(0);
  muted_line(frame, text);
  ImGui::PopTextWrapPos();
}

void muted_line(const Frame& frame, const std::string& text) {
  ImGui::PushStyleColor(ImGuiCol_Text, frame.palette.muted);
  ImGui::TextUnformatted(text.c_str());
  ImGui::PopStyleColor();
}

void empty_state(const Frame& frame, const char* title, const std::string& how) {
  ImGui::Dummy({0, ImGui::GetTextLineHeight()});
  ImGui::PushFont(frame.fonts.heading);
  ImGui::TextColored(frame.palette.muted, "%s", title);
  ImGui::PopFont();
  ImGui::PushTextWrapPos(ImGui::GetCursorPosX() + std::min(ImGui::GetContentRegionAvail().x, 560 * frame.scale));
  ImGui::PushStyleColor(ImGuiCol_Text, frame.palette.muted);
  ImGui::TextUnformatted(how.c_str());
  ImGui::PopStyleColor();
  ImGui::PopTextWrapPos();
}

void wrapped(const ImVec4& ink, const std::string& text) {
  ImGui::PushTextWrapPos(0);
  ImGui::TextColored(ink, "%s", text.c_str());
  ImGui::PopTextWrapPos();
}

void flow(float width) {
  const float right = ImGui::GetWindowPos().x + ImGui::GetWindowContentRegionMax().x;
  if (ImGui::GetItemRectMax().x + ImGui::GetStyle().ItemSpacing.x + width <= right) ImGui::SameLine();
}

float button_width(const char* text) { return ImGui::CalcTextSize(text).x + 2 * ImGui::GetStyle().FramePadding.x; }

float check_width(const char* text) {
  return ImGui::GetFrameHeight() + ImGui::GetStyle().ItemInnerSpacing.x + ImGui::CalcTextSize(text).x;
}

void right_cell(const std::string& text) { right_cell(text, ImGui::GetStyleColorVec4(ImGuiCol_Text)); }

void right_cell(const std::string& text, const ImVec4& ink) {
  const float room = ImGui::GetContentRegionAvail().x, width = ImGui::CalcTextSize(text.c_str()).x;
  if (room > width) ImGui::SetCursorPosX(ImGui::GetCursorPosX() + room - width);
  ImGui::TextColored(ink, "%s", text.c_str());
}

void hint(const Frame& frame, const char* text) {
  if (!ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled)) return;
  begin_tooltip(frame);
  ImGui::TextUnformatted(text);
  end_tooltip();
}

void begin_tooltip(const Frame& frame) {
  ImGui::BeginTooltip();
  ImGui::PushTextWrapPos(420 * frame.scale);
}

void end_tooltip() {
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
}

}  // namespace glassbox::app::ui
