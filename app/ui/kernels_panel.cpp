#include "app/ui/kernels_panel.h"

#include <algorithm>
#include <cmath>

#include "app/ui/format.h"
#include "app/ui/landmarks.h"
#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

using Scope = ProfileChoice::Scope;

constexpr ImGuiTableFlags kernels_table_flags =
    ImGuiTableFlags_ScrollY | ImGuiTableFlags_RowBg | ImGuiTableFlags_Resizable | ImGuiTableFlags_Sortable |
    ImGuiTableFlags_SortMulti | ImGuiTableFlags_Hideable | ImGuiTableFlags_Reorderable |
    ImGuiTableFlags_NoBordersInBodyUntilResize | ImGuiTableFlags_PadOuterX;

}  // namespace

void KernelsPanel::draw(Frame& frame) {
  view_.update(frame, choice_, ImGui::GetTime());
  draw_controls(frame);
  if (view_.rows().empty()) {
    table_ = histogram_area_ = {};
    if (!frame.now.model)
      empty_state(frame, "No model is open", "Open a model and send a message: its kernels are timed as they run.");
    else if (choice_.scope == Scope::token && frame.token() && frame.token()->run)
      empty_state(frame, "Nothing in this section",
                  "The step of this token belongs to the other section: the first token of an answer comes of the "
                  "prompt, the others of decode.");
    else
      empty_state(frame, "Nothing timed here yet",
                  frame.now.watching.time_kernels
                      ? "Send a message: each token's kernels are timed. What was answered before is not, except under "
                        "\"Everything\"."
                      : "Kernels are not being timed: switch on \"Time every token\" and send a message.");
    return;
  }
  draw_totals(frame);
  const bool shows_times = frame.view.kernel.has_value();
  const float room = ImGui::GetContentRegionAvail().y;
  const float below = shows_times ? std::clamp(room * 0.38F, 120 * frame.scale, 230 * frame.scale) : 0;
  const float height = std::max(room - below, 80 * frame.scale);
  if (comparing_ && stored_)
    draw_comparison(frame, height);
  else
    draw_table(frame, height);
  table_ = {ImGui::GetItemRectMin(), ImGui::GetItemRectMax()};
  Landmarks::mark("kernels table");
  if (shows_times) draw_histogram(frame);
}

void KernelsPanel::take_snapshot() {
  stored_ = Stored{view_.rows(gpu::Profile::By::kernel), view_.rows(gpu::Profile::By::kernel_and_layer), choice_,
                   view_.totals().runs};
}

void KernelsPanel::draw_controls(Frame& frame) {
  draw_choice(frame, choice_);
  flow(check_width("By layer"));
  ImGui::Checkbox("By layer", &choice_.per_layer);
  hint(frame, "A row for each kernel of each layer.");
  flow(140 * frame.scale);
  ImGui::SetNextItemWidth(140 * frame.scale);
  ImGui::InputTextWithHint("##filter", "Filter kernels", filter_.data(), filter_.size());
  flow(button_width("Snapshot"));
  ImGui::BeginDisabled(view_.rows().empty());
  if (ImGui::Button("Snapshot")) take_snapshot();
  ImGui::EndDisabled();
  Landmarks::mark("kernels snapshot");
  hint(frame, "Keep this table, to compare a later one with it.");
  flow(check_width("Compare"));
  ImGui::BeginDisabled(!stored_);
  ImGui::Checkbox("Compare", &comparing_);
  ImGui::EndDisabled();
  Landmarks::mark("kernels compare");
  hint(frame, stored_ ? "Then, now and the ratio of one column." : "Take a snapshot first.");
  flow(button_width("Copy CSV"));
  ImGui::BeginDisabled(view_.rows().empty());
  if (ImGui::Button("Copy CSV")) ImGui::SetClipboardText(rows_as_csv(view_.rows()).c_str());
  ImGui::EndDisabled();
  hint(frame, "The whole table in full precision, to the clipboard.");
  flow(check_width("Time every token"));
  bool timing = frame.now.watching.time_kernels;
  if (ImGui::Checkbox("Time every token", &timing)) {
    auto watching = frame.now.watching;
    watching.time_kernels = timing;
    frame.worker.watch(watching);
  }
  Landmarks::mark("time every token");
  hint(frame, "Time each dispatch as it runs. Answers take a little longer for it.");
}

void KernelsPanel::draw_totals(const Frame& frame) {
  const auto& totals = view_.totals();
  auto text = fmt::format("{}, {}, {}  ·  {} in kernels, {} between them", counted(totals.runs, "step"),
                          counted(totals.tokens, "token"), counted(totals.dispatches, "dispatch"),
                          duration_text(totals.busy_us), duration_text(totals.gap_us()));
  if (frame.now.device) text += "  ·  " + frame.now.device->measured_by;
  muted(frame, text);
  if (!frame.now.roofline) muted(frame, "No ceilings measured yet: the Roofline panel measures them.");
}

bool KernelsPanel::is_selected(const Frame& frame, const gpu::ProfileRow& row) const {
  return frame.view.kernel == row.kernel && (!choice_.per_layer || !selected_layer_ || selected_layer_ == row.layer);
}

void KernelsPanel::select(Frame& frame, const gpu::ProfileRow& row) {
  const bool again = is_selected(frame, row) && (!choice_.per_layer || selected_layer_);
  frame.view.kernel = again ? std::nullopt : std::optional(row.kernel);
  selected_layer_ = choice_.per_layer && !again ? std::optional(row.layer) : std::nullopt;
}

void KernelsPanel::name_cell(Frame& frame, const gpu::ProfileRow& row) {
  const float size = ImGui::GetTextLineHeight() * 0.6F;
  const auto at = ImGui::GetCursorScreenPos();
  const float y = at.y + (ImGui::GetTextLineHeight() - size) / 2;
  if (ImGui::Selectable("##row", is_selected(frame, row),
                        ImGuiSelectableFlags_SpanAllColumns | ImGuiSelectableFlags_AllowItemOverlap))
    select(frame, row);
  ImGui::GetWindowDrawList()->AddRectFilled({at.x, y}, {at.x + size, y + size}, colour(frame.colour_of(row.kernel)),
                                            2 * frame.scale);
  ImGui::SameLine(0, 0);
  ImGui::SetCursorScreenPos({at.x + size + 7 * frame.scale, at.y});
  ImGui::TextUnformatted(row.kernel.c_str());
}

void KernelsPanel::draw_table(Frame& frame, float height) {
  const float digit = ImGui::CalcTextSize("0").x, name = 20 * digit;
  float needed = name;
  for (std::size_t i = 1; i < kernel_columns; ++i)
    needed += info_of(static_cast<KernelColumn>(i)).width * digit + 2 * ImGui::GetStyle().CellPadding.x;
  // In a narrow window it scrolls sideways under the names.
  const bool narrow = ImGui::GetContentRegionAvail().x < needed;
  const auto flags = kernels_table_flags | (narrow ? ImGuiTableFlags_ScrollX : 0);
  if (!ImGui::BeginTable(narrow ? "kernels, narrow" : "kernels", kernel_columns, flags, {0, height})) return;
  ImGui::TableSetupScrollFreeze(1, 1);
  for (std::size_t i = 0; i < kernel_columns; ++i) {
    const auto column = static_cast<KernelColumn>(i);
    const auto& info = info_of(column);
    const bool is_name = column == KernelColumn::kernel;
    ImGuiTableColumnFlags kind =
        is_name && !narrow ? ImGuiTableColumnFlags_WidthStretch : ImGuiTableColumnFlags_WidthFixed;
    kind |= is_name ? ImGuiTableColumnFlags_NoHide : ImGuiTableColumnFlags_PreferSortDescending;
    if (column == KernelColumn::total) kind |= ImGuiTableColumnFlags_DefaultSort;
    const float width = is_name ? name : info.width * digit;
    ImGui::TableSetupColumn(info.heading, kind, is_name && !narrow ? 1 : width, static_cast<ImGuiID>(i));
  }
  ImGui::TableSetColumnEnabled(static_cast<int>(KernelColumn::layer), choice_.per_layer);
  ImGui::TableNextRow(ImGuiTableRowFlags_Headers);
  for (std::size_t i = 0; i < kernel_columns; ++i) {
    if (!ImGui::TableSetColumnIndex(static_cast<int>(i))) continue;
    const auto& info = info_of(static_cast<KernelColumn>(i));
    ImGui::TableHeader(info.heading);
    Landmarks::mark("kernels column", static_cast<int>(i));
    hint(frame, info.explanation);
  }
  auto* specs = ImGui::TableGetSortSpecs();
  const std::string filter = filter_.data();
  if ((specs && specs->SpecsDirty) || ordered_version_ != view_.version() || ordered_filter_ != filter) {
    if (specs) {
      keys_.clear();
      for (int i = 0; i < specs->SpecsCount; ++i)
        keys_.push_back({static_cast<KernelColumn>(specs->Specs[i].ColumnUserID),
                         specs->Specs[i].SortDirection == ImGuiSortDirection_Ascending});
      specs->SpecsDirty = false;
    }
    order_ = ordered(view_.rows(), keys_, filter);
    ordered_version_ = view_.version();
    ordered_filter_ = filter;
  }
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(order_.size()));
  while (clipper.Step())
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
      ImGui::PushID(i);
      draw_row(frame, view_.rows()[order_[static_cast<std::size_t>(i)]]);
      ImGui::PopID();
    }
  if (order_.empty()) {
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::TextColored(frame.palette.muted, "No kernel contains \"%s\"", filter.c_str());
  }
  ImGui::EndTable();
}

void KernelsPanel::draw_row(Frame& frame, const gpu::ProfileRow& row) {
  ImGui::TableNextRow();
  ImGui::TableSetColumnIndex(0);
  name_cell(frame, row);
  for (std::size_t i = 1; i < kernel_columns; ++i) {
    const auto column = static_cast<KernelColumn>(i);
    if (!ImGui::TableSetColumnIndex(static_cast<int>(i))) continue;
    if (column == KernelColumn::share) {
      const auto at = ImGui::GetCursorScreenPos();
      const float number = ImGui::CalcTextSize("100.0%").x + 6 * frame.scale;
      const float room = ImGui::GetContentRegionAvail().x - number;
      const float line = ImGui::GetTextLineHeight();
      if (room > 4) {
        auto* draw = ImGui::GetWindowDrawList();
        const float top = at.y + line * 0.25F, bottom = at.y + line * 0.75F;
        draw->AddRectFilled({at.x, top}, {at.x + room, bottom}, colour(frame.palette.faint, 0.6F), 2 * frame.scale);
        draw->AddRectFilled({at.x, top}, {at.x + room * static_cast<float>(row.share), bottom},
                            colour(frame.colour_of(row.kernel)), 2 * frame.scale);
      }
    }
    right_cell(text_of(row, column),
               column == KernelColumn::roofline && row.roofline > 1 ? frame.palette.accent : frame.palette.text);
  }
}

void KernelsPanel::draw_comparison(Frame& frame, float height) {
  static constexpr KernelColumn metrics[] = {KernelColumn::mean,      KernelColumn::p50,   KernelColumn::p99,
                                             KernelColumn::total,     KernelColumn::share, KernelColumn::calls,
                                             KernelColumn::bandwidth, KernelColumn::flops, KernelColumn::roofline};
  const float before = ImGui::GetCursorPosY();
  ImGui::SetNextItemWidth(120 * frame.scale);
  if (ImGui::BeginCombo("##metric", info_of(compared_).heading)) {
    for (const auto metric : metrics)
      if (ImGui::Selectable(info_of(metric).heading, metric == compared_)) compared_ = metric;
    ImGui::EndCombo();
  }
  ImGui::SameLine();
  ImGui::AlignTextToFramePadding();
  muted(frame, fmt::format("then: {}; {}", counted(stored_->runs, "step"), text_of(stored_->choice)));
  height -= ImGui::GetCursorPosY() - before;
  const auto flags = kernels_table_flags & ~(ImGuiTableFlags_Sortable | ImGuiTableFlags_SortMulti);
  if (!ImGui::BeginTable("comparison", 5, flags, {0, std::max(height, 60 * frame.scale)})) return;
  const float digit = ImGui::CalcTextSize("0").x;
  ImGui::TableSetupScrollFreeze(0, 1);
  ImGui::TableSetupColumn("kernel", ImGuiTableColumnFlags_WidthStretch);
  ImGui::TableSetupColumn("layer", ImGuiTableColumnFlags_WidthFixed, 5 * digit);
  for (const char* heading : {"then", "now", "now / then"})
    ImGui::TableSetupColumn(heading, ImGuiTableColumnFlags_WidthFixed, 11 * digit);
  ImGui::TableSetColumnEnabled(1, choice_.per_layer);
  ImGui::TableHeadersRow();
  for (const auto& row : compare_rows(choice_.per_layer ? stored_->per_layer : stored_->merged, view_.rows())) {
    if (!contains_text(row.any().kernel, filter_.data())) continue;
    ImGui::TableNextRow();
    ImGui::TableSetColumnIndex(0);
    ImGui::PushID(&row.any());
    name_cell(frame, row.any());
    ImGui::PopID();
    if (ImGui::TableSetColumnIndex(1)) right_cell(text_of(row.any(), KernelColumn::layer));
    const auto cell = [&](int index, const gpu::ProfileRow* side) {
      if (ImGui::TableSetColumnIndex(index))
        right_cell(side ? text_of(*side, compared_) : "none", side ? frame.palette.text : frame.palette.muted);
    };
    cell(2, row.then);
    cell(3, row.now);
    if (!ImGui::TableSetColumnIndex(4)) continue;
    const auto change = change_of(row, compared_);
    const auto& ink = change.verdict == Change::Verdict::better  ? frame.palette.good
                      : change.verdict == Change::Verdict::worse ? frame.palette.bad
                                                                 : frame.palette.muted;
    right_cell(change.ratio > 0 ? fmt::format("{:.2f}×", change.ratio) : "-", ink);
  }
  ImGui::EndTable();
}

}  // namespace glassbox::app::ui
