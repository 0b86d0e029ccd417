#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace glassbox::app {

/// Rows of text aligned under their headings: text columns to the left, numbers to the right.
class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string heading;
    Align align = Align::right;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// As many cells as there are columns.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  /// Each line ends with a newline; the headings come first.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// A number as a person reads it: three significant digits or more, "1234", "12.3", "0.0123", "1.2e-07".
std::string short_number(double value);
/// 0.123 as "12.3%".
std::string percent(double fraction);
/// "256 B", "16.0 KiB", "1.5 GiB".
std::string byte_size(double bytes);
/// One field of a CSV line (RFC 4180): quoted where it must be.
std::string csv_field(std::string_view text);

/// Writes to the file, or to stdout where the path is empty. Throws Error naming what could not be written.
void write_text(const std::string& path, std::string_view text);

}  // namespace glassbox::app
