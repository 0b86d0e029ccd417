#pragma once

#include <imgui.h>

#include <span>
#include <string>
#include <vector>

#include "app/ui/profile_view.h"

// Columns, order and filter of the table of kernels; no drawing here.
namespace glassbox::app::ui {

enum class KernelColumn : std::uint8_t {
  kernel,
  layer,
  calls,
  total,
  mean,
  p50,
  p99,
  bandwidth,
  flops,
  roofline,
  share
};
inline constexpr std::size_t kernel_columns = 11;

struct KernelColumnInfo {
  const char* heading;
  const char* explanation;
  float width;  ///< in digits
};
const KernelColumnInfo& info_of(KernelColumn column);
/// As the cell has it; "-" for no layer.
std::string text_of(const gpu::ProfileRow& row, KernelColumn column);
/// What it sorts and compares by; 0 for the name.
double value_of(const gpu::ProfileRow& row, KernelColumn column);

struct SortKey {
  KernelColumn column;
  bool ascending;
};
/// Indices of the rows whose kernel contains `filter` (letters of either case), by the keys in turn; ties stay as they
/// are.
std::vector<std::size_t> ordered(const std::vector<gpu::ProfileRow>& rows, std::span<const SortKey> keys,
                                 std::string_view filter);
bool contains_text(std::string_view text, std::string_view part);  ///< A-Z in either case

/// now / then of a column where both have it above 0, else 0. `better`: whether that change is for the better; a
/// change under 2 % is none.
struct Change {
  double ratio = 0;
  enum class Verdict : std::uint8_t { none, better, worse } verdict = Verdict::none;
};
Change change_of(const ComparedRow& row, KernelColumn column);

}  // namespace glassbox::app::ui
