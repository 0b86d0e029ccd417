#include "app/ui/kernels_table.h"

#include <algorithm>
#include <numeric>

#include "app/ui/format.h"
#include "gpu/error.h"

namespace glassbox::app::ui {

const KernelColumnInfo& info_of(KernelColumn column) {
  static constexpr KernelColumnInfo infos[kernel_columns] = {
      {"kernel", "The compute shader. A click points it out in every panel.", 0},
      {"layer", "Of the model; - outside the layers.", 5},
      {"calls", "Dispatches.", 6},
      {"total ms", "Sum of their times.", 8},
      {"mean µs", "Mean time of a dispatch.", 9},
      {"p50 µs", "Half of the dispatches took no longer.", 7},
      {"p99 µs", "99 of 100 dispatches took no longer.", 7},
      {"GB/s", "Bytes that must be read and written at least, over the time taken.", 6},
      {"GFLOP/s", "Floating-point operations over the time taken.", 9},
      {"roofline",
       "The least time that the measured ceilings allow, over the time taken. Above 100% caches beat memory.", 8},
      {"share", "Of the time in kernels.", 11}};
  return infos[static_cast<std::size_t>(column)];
}

double value_of(const gpu::ProfileRow& row, KernelColumn column) {
  switch (column) {
    case KernelColumn::kernel:
      return 0;
    case KernelColumn::layer:
      return row.layer;
    case KernelColumn::calls:
      return static_cast<double>(row.calls);
    case KernelColumn::total:
      return row.total_us / 1e3;
    case KernelColumn::mean:
      return row.mean_us;
    case KernelColumn::p50:
      return row.p50_us;
    case KernelColumn::p99:
      return row.p99_us;
    case KernelColumn::bandwidth:
      return row.gigabytes_per_second();
    case KernelColumn::flops:
      return row.gigaflops();
    case KernelColumn::roofline:
      return row.roofline;
    case KernelColumn::share:
      return row.share;
  }
  return 0;
}

std::string text_of(const gpu::ProfileRow& row, KernelColumn column) {
  switch (column) {
    case KernelColumn::kernel:
      return row.kernel;
    case KernelColumn::layer:
      return row.layer < 0 ? "-" : std::to_string(row.layer);
    case KernelColumn::calls:
      return with_thousands(row.calls);
    case KernelColumn::total:
      return fmt::format("{:.3f}", row.total_us / 1e3);
    case KernelColumn::roofline:
      return row.roofline > 0 ? percent(row.roofline) : "-";
    case KernelColumn::share:
      return percent(row.share);
    default:
      return short_number(value_of(row, column));
  }
}

bool contains_text(std::string_view text, std::string_view part) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::search(text.begin(), text.end(), part.begin(), part.end(),
                     [&](char a, char b) { return lower(a) == lower(b); }) != text.end();
}

std::vector<std::size_t> ordered(const std::vector<gpu::ProfileRow>& rows, std::span<const SortKey> keys,
                                 std::string_view filter) {
  std::vector<std::size_t> list;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (contains_text(rows[i].kernel, filter)) list.push_back(i);
  std::stable_sort(list.begin(), list.end(), [&](std::size_t a, std::size_t b) {
    for (const auto& key : keys) {
      const auto& first = key.ascending ? rows[a] : rows[b];
      const auto& second = key.ascending ? rows[b] : rows[a];
      if (key.column == KernelColumn::kernel) {
        if (first.kernel != second.kernel) return first.kernel < second.kernel;
      } else if (const double x = value_of(first, key.column), y = value_of(second, key.column); x != y) {
        return x < y;
      }
    }
    return false;
  });
  return list;
}

Change change_of(const ComparedRow& row, KernelColumn column) {
  if (!row.then || !row.now) return {};
  const double then = value_of(*row.then, column), now = value_of(*row.now, column);
  if (!(then > 0) || !(now > 0)) return {};
  Change change{.ratio = now / then};
  constexpr double noise = 0.02;
  const bool more_is_better =
      column == KernelColumn::bandwidth || column == KernelColumn::flops || column == KernelColumn::roofline;
  if (column == KernelColumn::calls || std::abs(change.ratio - 1) < noise) return change;
  change.verdict = (change.ratio > 1) == more_is_better ? Change::Verdict::better : Change::Verdict::worse;
  return change;
}

}  // namespace glassbox::app::ui
