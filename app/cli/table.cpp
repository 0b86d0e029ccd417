#include "app/cli/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "gpu/error.h"

namespace glassbox::app {

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    widths.push_back(columns_[i].heading.size());
    for (const auto& row : rows_) widths[i] = std::max(widths[i], row.at(i).size());
  }
  std::string out;
  const auto line = [&](const auto& cell_of) {
    std::string text;
    for (std::size_t i = 0; i < columns_.size(); ++i)
      text += columns_[i].align == Align::left ? fmt::format("{}{:<{}}", i ? "  " : "", cell_of(i), widths[i])
                                               : fmt::format("{}{:>{}}", i ? "  " : "", cell_of(i), widths[i]);
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + '\n';
  };
  line([&](std::size_t i) { return columns_[i].heading; });
  for (const auto& row : rows_) line([&](std::size_t i) { return row[i]; });
  return out;
}

std::string short_number(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size < 1e-3 || size >= 1e7) return fmt::format("{:.1e}", value);
  if (size < 1) return fmt::format("{:.3g}", value);
  return fmt::format("{:.{}f}", value, size < 10 ? 2 : size < 1000 ? 1 : 0);
}

std::string percent(double fraction) { return fmt::format("{:.1f}%", 100 * fraction); }

std::string byte_size(double bytes) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(units); ++unit) bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[unit]);
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\n\r") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + '"';
}

void write_text(const std::string& path, std::string_view text) {
  const auto close = [](std::FILE* file) { return file == stdout ? std::fflush(file) : std::fclose(file); };
  std::unique_ptr<std::FILE, decltype(close)> file(path.empty() ? stdout : std::fopen(path.c_str(), "wb"), close);
  const std::string name = path.empty() ? "standard output" : path;
  require(file != nullptr, "{}: cannot be opened for writing", name);
  // A full disk may show only when the last block is flushed.
  const bool written = std::fwrite(text.data(), 1, text.size(), file.get()) == text.size();
  require(close(file.release()) == 0 && written, "{}: cannot be written to the end (is the disk full?)", name);
}

}  // namespace glassbox::app
