#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/ui/diff_view.h"
#include "app/ui/plot.h"

namespace glassbox::app::ui {

/// A token's step held against float64: a verdict, a table by kernel, the error along the layers, and a map of one
/// kernel's.
class DiffPanel {
 public:
  void draw(Frame& frame);

  /// The kernel looked at, into TokenCheck::kernels; none where there is no check.
  std::optional<std::size_t> shown_kernel() const { return shown_; }
  const HeatMap& map() const { return map_; }
  /// Where the last frame drew them; empty where it did not.
  const Area& table() const { return table_; }
  const Area& plot() const { return plot_; }
  const Area& heat() const { return heat_; }

 private:
  void draw_controls(Frame& frame);
  void draw_verdict(const Frame& frame);
  void draw_table(Frame& frame, float height);
  void draw_table_row(Frame& frame, std::size_t index);
  void sort(const ImGuiTableSortSpecs* specs);
  void draw_along_layers(Frame& frame, ImVec2 size);
  void draw_lines(ImDrawList& draw, const Frame& frame, const Scale& x, const Scale& y) const;
  void plot_tooltip(const Frame& frame, std::size_t index) const;
  void draw_heat(Frame& frame, ImVec2 size);
  void draw_cells(const Frame& frame, ImDrawList& draw, const live::KernelValues& values);
  void heat_tooltip(const Frame& frame, const live::KernelValues& values, std::size_t cell) const;
  void draw_save(Frame& frame);
  void follow(Frame& frame);
  void show(Frame& frame, std::size_t index);

  std::optional<Checked> checked_;                 ///< of this frame
  std::shared_ptr<const live::TokenCheck> check_;  ///< that what follows was made of
  std::vector<std::string> names_;                 ///< kernels beside its entries, as in the other panels
  std::optional<std::size_t> chosen_, shown_;      ///< by hand; or the worst
  std::optional<std::string> followed_;            ///< View::kernel as last seen
  std::vector<std::size_t> order_;
  bool sort_again_ = true;
  double low_ = 1e-16, high_ = 1;  ///< decades of the plot
  int nth_ = 8;

  HeatMap map_;
  std::vector<float> errors_;
  std::size_t mapped_ = static_cast<std::size_t>(-1), most_rows_ = 0, most_columns_ = 0, view_columns_ = 1;
  std::array<char, 1024> path_{};
  Area table_{}, plot_{}, heat_{};
};

}  // namespace glassbox::app::ui
