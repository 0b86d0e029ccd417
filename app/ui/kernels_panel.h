#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "app/ui/kernels_table.h"
#include "app/ui/plot.h"
#include "app/ui/profile_view.h"

namespace glassbox::app::ui {

/// Times by kernel as a table to sort and filter, against an earlier one where asked for, and the distribution of one
/// kernel's times.
class KernelsPanel {
 public:
  void draw(Frame& frame);

  ProfileChoice& choice() { return choice_; }
  const ProfileView& view() const { return view_; }
  /// The rows on screen, in their order.
  const std::vector<std::size_t>& order() const { return order_; }
  bool comparing() const { return comparing_; }
  /// What the Snapshot button does.
  void take_snapshot();
  void compare(bool on) { comparing_ = on && stored_; }
  /// Where the last frame drew: headings and rows of the table, the bars of the histogram.
  const Area& table() const { return table_; }
  const Area& histogram() const { return histogram_area_; }

 private:
  struct Stored {
    std::vector<gpu::ProfileRow> merged, per_layer;
    ProfileChoice choice;
    std::size_t runs = 0;
  };
  void draw_controls(Frame& frame);
  void draw_totals(const Frame& frame);
  void draw_table(Frame& frame, float height);
  void draw_row(Frame& frame, const gpu::ProfileRow& row);
  void draw_comparison(Frame& frame, float height);
  void draw_histogram(const Frame& frame);
  void select(Frame& frame, const gpu::ProfileRow& row);
  bool is_selected(const Frame& frame, const gpu::ProfileRow& row) const;
  void name_cell(Frame& frame, const gpu::ProfileRow& row);

  ProfileChoice choice_;
  ProfileView view_;
  std::array<char, 64> filter_{};
  std::vector<SortKey> keys_;
  std::vector<std::size_t> order_;
  std::uint64_t ordered_version_ = 0;
  std::string ordered_filter_;
  std::optional<int> selected_layer_;  ///< with View::kernel, where rows are by layer

  std::optional<Stored> stored_;
  bool comparing_ = false;
  KernelColumn compared_ = KernelColumn::mean;

  bool logarithmic_ = true;
  struct {
    std::uint64_t version = 0;
    std::string kernel;
    std::optional<int> layer;
    bool logarithmic = false;
    std::size_t bins = 0;
    Histogram histogram;
    std::size_t calls = 0;
    double p50 = 0, p99 = 0;
  } times_;
  Area table_{}, histogram_area_{};
};

}  // namespace glassbox::app::ui
