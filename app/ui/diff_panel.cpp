#include "app/ui/diff_panel.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "app/ui/format.h"
#include "app/ui/landmarks.h"
#include "gpu/error.h"

namespace glassbox::app::ui {
namespace {

enum Column { index, layer, kernel, verdict, nmse, tolerance, accumulated, max_abs, max_ulp, cosine, shape, columns };

struct ColumnInfo {
  const char* heading;
  const char* explanation;
  float width;  ///< in digits
};
constexpr ColumnInfo infos[columns] = {
    {"#", "Step of the plan.", 5},
    {"layer", "Of the model; - outside the layers.", 6},
    {"kernel", "The operation, in the colour of the kernel that computes it.", 18},
    {"verdict", "Whether the error is within the tolerance.", 10},
    {"NMSE", "Sum of squared errors over the sum of squares, against float64 on the inputs that the kernel read.", 9},
    {"tolerance", "NMSE that the number formats justify.", 10},
    {"accumulated", "NMSE against the whole model in float64.", 12},
    {"max abs", "Largest absolute error.", 9},
    {"max ulp", "Largest error in units in the last place of the output's type.", 9},
    {"cosine", "Of the angle between the output and its reference.", 11},
    {"shape", "Of its worst output.", 12}};

double sort_value(const gpu::KernelError& error, int column) {
  switch (column) {
    case layer:
      return error.layer;
    case shape:
      return static_cast<double>(gpu::element_count(error.shape));
    case nmse:
      return error.isolated.nmse;
    case max_abs:
      return error.isolated.max_abs;
    case max_ulp:
      return error.isolated.max_ulp;
    case cosine:
      return error.isolated.cosine;
    case accumulated:
      return error.accumulated.nmse;
    case tolerance:
      return error.tolerance.nmse;
    case verdict:
      return -strain(error);
    default:
      return static_cast<double>(error.index);
  }
}

std::string place_text(const gpu::KernelError& error) {
  return error.layer < 0 ? fmt::format("{} (step {}, outside the layers)", error.name, error.index)
                         : fmt::format("{} (step {}, layer {})", error.name, error.index, error.layer);
}

std::string tolerance_text(const gpu::Tolerance& tolerance) {
  return std::isfinite(tolerance.nmse) ? error_text(tolerance.nmse) : "none";
}

}  // namespace

void DiffPanel::draw(Frame& frame) {
  table_ = plot_ = heat_ = {};
  checked_ = checked_token(frame);
  follow(frame);
  draw_controls(frame);
  if (!frame.now.model) {
    empty_state(frame, "No model is open", "Open a model and send a message: any token of an answer can be compared.");
    return;
  }
  if (!checked_) {
    empty_state(frame, "No token yet",
                "Send a message. Each step can be computed once more in float64 on the CPU, kernel by kernel, from the "
                "inputs that the GPU's kernel read.");
    return;
  }
  if (!check_) {
    empty_state(frame, "This token was not compared",
                "\"Check this token\" computes its step again beside the float64 reference: some tenths of a second "
                "for a small model. \"Whole model\" follows errors from the first token on, which takes longer.");
    return;
  }
  draw_verdict(frame);
  const auto room = ImGui::GetContentRegionAvail();
  const float gap = ImGui::GetStyle().ItemSpacing.y;
  const float below = std::clamp(room.y * 0.46F, 150 * frame.scale, 380 * frame.scale);
  const bool enough = room.y > 260 * frame.scale;
  draw_table(frame, enough ? room.y - below - gap : room.y);
  if (!enough) return;
  const float half = std::floor((room.x - ImGui::GetStyle().ItemSpacing.x) * 0.54F);
  draw_along_layers(frame, {half, below});
  ImGui::SameLine();
  draw_heat(frame, {room.x - half - ImGui::GetStyle().ItemSpacing.x, below});
}

void DiffPanel::follow(Frame& frame) {
  const auto check = checked_ ? checked_->check : nullptr;
  if (check != check_) {
    check_ = check;
    mapped_ = static_cast<std::size_t>(-1);
    sort_again_ = true;
    // The same kernel of the next token, so that one can watch it.
    if (chosen_ && (!check_ || *chosen_ >= check_->kernels.size())) chosen_.reset();
    names_ = check_ ? kernel_names(*check_, checked_->token->run.get()) : std::vector<std::string>();
    std::vector<double> errors;
    if (check_)
      for (const auto& error : check_->kernels)
        for (const double value : {error.isolated.nmse, error.accumulated.nmse, error.tolerance.nmse})
          errors.push_back(value);
    std::tie(low_, high_) = decades_around(errors);
    high_ *= 10;  // a tolerance is a line within the plot, not its edge
  }
  if (frame.view.kernel != followed_) {
    followed_ = frame.view.kernel;
    const bool other = check_ && followed_ && (!chosen_ || names_[*chosen_] != *followed_);
    if (!followed_) chosen_.reset();
    if (other) {
      chosen_.reset();
      for (std::size_t i = 0; i < check_->kernels.size(); ++i)
        if (names_[i] == *followed_ && (!chosen_ || strain(check_->kernels[i]) > strain(check_->kernels[*chosen_])))
          chosen_ = i;
    }
  }
  shown_ = check_ ? chosen_ ? chosen_ : worst_kernel(*check_) : std::nullopt;
}

void DiffPanel::show(Frame& frame, std::size_t kernel_index) {
  chosen_ = kernel_index;
  frame.view.kernel = followed_ = names_[kernel_index];
}

void DiffPanel::draw_controls(Frame& frame) {
  static constexpr const char* modes[] = {"Off: on demand", "Every token", "Every Nth token"};
  const auto mode = mode_of(frame.now.watching);
  const auto ask = [&](CheckMode wanted) {
    frame.worker.watch(with_mode(frame.now.watching, wanted, static_cast<std::size_t>(nth_)));
  };
  ImGui::SetNextItemWidth(150 * frame.scale);
  if (ImGui::BeginCombo("##mode", modes[static_cast<std::size_t>(mode)])) {
    for (const auto choice : {CheckMode::on_demand, CheckMode::every, CheckMode::every_nth})
      if (ImGui::Selectable(modes[static_cast<std::size_t>(choice)], choice == mode) && choice != mode) ask(choice);
    ImGui::EndCombo();
  }
  Landmarks::mark("check mode");
  hint(frame, "Which tokens are compared with float64 as they come. A compared token takes much longer.");
  if (mode == CheckMode::every_nth) {
    flow(110 * frame.scale);
    ImGui::SetNextItemWidth(110 * frame.scale);
    if (!ImGui::IsAnyItemActive()) nth_ = static_cast<int>(frame.now.watching.check_every);
    if (ImGui::InputInt("##nth", &nth_)) {
      nth_ = std::clamp(nth_, 2, 10000);
      ask(CheckMode::every_nth);
    }
    hint(frame, "One token in so many.");
  }
  const auto place = frame.place();
  ImGui::BeginDisabled(!place || frame.now.busy());
  flow(button_width("Check this token"));
  if (ImGui::Button("Check this token")) frame.worker.check(*place, false);
  Landmarks::mark("check token");
  Landmarks::mark("check token");
  hint(frame, frame.now.busy() ? "The engine is busy: wait or stop it first."
                               : "Each kernel against float64 on the inputs it read.");
  flow(button_width("Whole model in float64"));
  if (ImGui::Button("Whole model in float64")) frame.worker.check(*place, true);
  Landmarks::mark("check whole model");
  hint(frame, frame.now.busy() ? "The engine is busy: wait or stop it first."
                               : "From the first token on: errors as they add up, and what they do to the next token's "
                                 "distribution. Takes about as long as reading the whole context once in float64.");
  ImGui::EndDisabled();
  draw_save(frame);
  if (frame.now.activity == live::Activity::checking) {
    const auto& work = frame.now.work;
    flow(200 * frame.scale);
    const auto text =
        work && work->total > 0 ? fmt::format("{} of {}", work->done, work->total) : std::string("comparing");
    ImGui::ProgressBar(work && work->total > 0 ? static_cast<float>(work->done) / static_cast<float>(work->total) : 0,
                       {130 * frame.scale, 0}, text.c_str());
    ImGui::SameLine();
    if (ImGui::Button("Stop")) frame.worker.stop();
  }
}

void DiffPanel::draw_save(Frame& frame) {
  flow(button_width("Save inputs and outputs..."));
  ImGui::BeginDisabled(!shown_ || frame.now.busy());
  if (ImGui::Button("Save inputs and outputs...")) {
    const char* home = std::getenv("HOME");
    const auto path = default_save_path(home && *home ? home : ".", check_->kernels[*shown_]).string();
    path_.fill(0);
    path.copy(path_.data(), path_.size() - 1);
    ImGui::OpenPopup("save kernel");
  }
  ImGui::EndDisabled();
  Landmarks::mark("save kernel");
  hint(frame, "What the kernel shown read, wrote and should have written, as safetensors.");
  if (!ImGui::BeginPopup("save kernel")) return;
  if (!shown_ || !checked_) {
    ImGui::CloseCurrentPopup();
    ImGui::EndPopup();
    return;
  }
  ImGui::TextUnformatted(place_text(check_->kernels[*shown_]).c_str());
  if (ImGui::IsWindowAppearing()) ImGui::SetKeyboardFocusHere();
  ImGui::SetNextItemWidth(460 * frame.scale);
  const bool entered = ImGui::InputText("##path", path_.data(), path_.size(), ImGuiInputTextFlags_EnterReturnsTrue);
  std::error_code ignored;
  if (std::filesystem::exists(path_.data(), ignored))
    ImGui::TextColored(frame.palette.warning, "This file exists and will be replaced.");
  ImGui::BeginDisabled(path_[0] == 0);
  if ((ImGui::Button("Save") || entered) && path_[0] != 0) {
    frame.worker.save_kernel(checked_->place, check_->kernels[*shown_].index, path_.data());
    ImGui::CloseCurrentPopup();
  }
  ImGui::EndDisabled();
  ImGui::SameLine();
  if (ImGui::Button("Cancel")) ImGui::CloseCurrentPopup();
  ImGui::EndPopup();
}

void DiffPanel::draw_verdict(const Frame& frame) {
  const auto& check = *check_;
  const auto bad = std::count_if(check.kernels.begin(), check.kernels.end(), [](const auto& e) { return !e.ok; });
  ImGui::PushFont(frame.fonts.bold);
  ImGui::PushTextWrapPos(0);
  if (check.first_divergent && *check.first_divergent < check.kernels.size()) {
    const auto& first = check.kernels[*check.first_divergent];
    ImGui::TextColored(frame.palette.bad, "%s",
                       fmt::format("First out of tolerance: {}: NMSE {}, tolerance {}{}", place_text(first),
                                   error_text(first.isolated.nmse), tolerance_text(first.tolerance),
                                   bad > 1 ? fmt::format("; {} kernels in all", bad) : "")
                           .c_str());
  } else {
    ImGui::TextColored(
        frame.palette.good, "%s",
        fmt::format("Every kernel within tolerance ({})", counted(check.kernels.size(), "kernel")).c_str());
  }
  ImGui::PopTextWrapPos();
  ImGui::PopFont();
  auto text = fmt::format("token {}{}, compared in {}", checked_->place.token,
                          checked_->earlier ? " (the last one compared)" : "", duration_text(check.seconds * 1e6));
  if (check.whole_model)
    text += fmt::format("  ·  end to end: logits NMSE {}, max abs {}; KL of the next token's distribution {} nats",
                        error_text(check.logits.nmse), error_text(check.logits.max_abs), error_text(check.kl));
  else
    text += "  ·  each kernel alone; \"Whole model in float64\" adds the errors up to the logits";
  muted(frame, text);
}

void DiffPanel::sort(const ImGuiTableSortSpecs* specs) {
  order_.resize(check_->kernels.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  sort_again_ = false;
  if (!specs || specs->SpecsCount == 0) return;
  const auto& kernels = check_->kernels;
  std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
    for (int i = 0; i < specs->SpecsCount; ++i) {
      const auto& spec = specs->Specs[i];
      if (spec.SortDirection == ImGuiSortDirection_Descending) std::swap(a, b);
      const auto column = static_cast<int>(spec.ColumnUserID);
      const int order = column == kernel ? kernels[a].name.compare(kernels[b].name)
                        : sort_value(kernels[a], column) < sort_value(kernels[b], column) ? -1
                        : sort_value(kernels[a], column) > sort_value(kernels[b], column) ? 1
                                                                                          : 0;
      if (order != 0) return order < 0;
      if (spec.SortDirection == ImGuiSortDirection_Descending) std::swap(a, b);
    }
    return false;
  });
}

void DiffPanel::draw_table(Frame& frame, float height) {
  constexpr auto flags = ImGuiTableFlags_ScrollY | ImGuiTableFlags_ScrollX | ImGuiTableFlags_RowBg |
                         ImGuiTableFlags_Resizable | ImGuiTableFlags_Sortable | ImGuiTableFlags_SortMulti |
                         ImGuiTableFlags_Hideable | ImGuiTableFlags_NoBordersInBodyUntilResize |
                         ImGuiTableFlags_PadOuterX;
  if (!ImGui::BeginTable("errors", columns, flags, {0, height})) return;
  const float digit = ImGui::CalcTextSize("0").x;
  ImGui::TableSetupScrollFreeze(0, 1);
  for (int i = 0; i < columns; ++i) {
    ImGuiTableColumnFlags kind = ImGuiTableColumnFlags_WidthFixed;
    if (i == index) kind |= ImGuiTableColumnFlags_DefaultSort;
    if (i >= nmse && i != cosine) kind |= ImGuiTableColumnFlags_PreferSortDescending;
    ImGui::TableSetupColumn(infos[i].heading, kind, infos[i].width * digit, static_cast<ImGuiID>(i));
  }
  ImGui::TableSetColumnEnabled(accumulated, check_->whole_model);
  ImGui::TableNextRow(ImGuiTableRowFlags_Headers);
  for (int i = 0; i < columns; ++i) {
    if (!ImGui::TableSetColumnIndex(i)) continue;
    ImGui::TableHeader(infos[i].heading);
    hint(frame, infos[i].explanation);
  }
  auto* specs = ImGui::TableGetSortSpecs();
  if (sort_again_ || (specs && specs->SpecsDirty)) {
    sort(specs);
    if (specs) specs->SpecsDirty = false;
  }
  ImGuiListClipper clipper;
  clipper.Begin(static_cast<int>(order_.size()));
  while (clipper.Step())
    for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i)
      draw_table_row(frame, order_[static_cast<std::size_t>(i)]);
  ImGui::EndTable();
  table_ = {ImGui::GetItemRectMin(), ImGui::GetItemRectMax()};
}

void DiffPanel::draw_table_row(Frame& frame, std::size_t at) {
  const auto& error = check_->kernels[at];
  ImGui::TableNextRow();
  ImGui::PushID(static_cast<int>(at));
  ImGui::TableSetColumnIndex(index);
  if (ImGui::Selectable("##row", shown_ == at, ImGuiSelectableFlags_SpanAllColumns)) show(frame, at);
  ImGui::SameLine(0, 0);
  right_cell(std::to_string(error.index), frame.palette.muted);
  ImGui::PopID();
  const auto cell = [&](int column, const std::string& text) {
    if (ImGui::TableSetColumnIndex(column)) right_cell(text);
  };
  cell(layer, error.layer < 0 ? "-" : std::to_string(error.layer));
  if (ImGui::TableSetColumnIndex(kernel)) ImGui::TextColored(frame.colour_of(names_[at]), "%s", error.name.c_str());
  if (ImGui::TableSetColumnIndex(verdict))
    ImGui::TextColored(error.ok ? frame.palette.good : frame.palette.bad, "%s", error.ok ? "ok" : "too large");
  cell(nmse, error_text(error.isolated.nmse));
  cell(tolerance, tolerance_text(error.tolerance));
  cell(accumulated, error_text(error.accumulated.nmse));
  cell(max_abs, error_text(error.isolated.max_abs));
  cell(max_ulp, short_number(error.isolated.max_ulp));
  cell(cosine, fmt::format("{:.8f}", error.isolated.cosine));
  cell(shape, shape_text(error.shape));
}

}  // namespace glassbox::app::ui
