#include "app/ui/profile_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "app/cli/table.h"
#include "app/ui/plot.h"

namespace glassbox::app::ui {
namespace {

/// One name for all runs in the profile: they are chosen before they are added.
constexpr const char* chosen_section = "chosen";

std::shared_ptr<const live::Message> message_of(const Frame& frame) {
  if (const auto place = frame.place())
    for (const auto& message : frame.now.thread->messages)
      if (message->id == place->message) return message;
  return nullptr;
}

std::shared_ptr<const live::TokenRecord> token_of(const Frame& frame) {
  const auto message = message_of(frame);
  return message ? message->tokens[frame.place()->token] : nullptr;
}

constexpr const char* scopes[] = {"This token", "This answer", "Everything"};
constexpr const char* sections[] = {"Prompt + decode", "Prompt", "Decode"};

template <class Value, std::size_t N>
void combo(const Frame& frame, const char* id, const char* const (&names)[N], Value& value, float width,
           const char* explanation) {
  ImGui::SetNextItemWidth(width * frame.scale);
  if (ImGui::BeginCombo(id, names[static_cast<std::size_t>(value)])) {
    for (std::size_t i = 0; i < N; ++i)
      if (ImGui::Selectable(names[i], static_cast<std::size_t>(value) == i)) value = static_cast<Value>(i);
    ImGui::EndCombo();
  }
  hint(frame, explanation);
}

}  // namespace

std::string text_of(const ProfileChoice& choice) {
  return fmt::format("{}, {}", scopes[static_cast<std::size_t>(choice.scope)],
                     sections[static_cast<std::size_t>(choice.section)]);
}

void draw_choice(const Frame& frame, ProfileChoice& choice) {
  combo(frame, "##scope", scopes, choice.scope, 125,
        "Which steps are summed: the token's, its whole answer's, or all that were timed since the start.");
  flow(160 * frame.scale);
  combo(frame, "##section", sections, choice.section, 160,
        "The prompt is read in chunks of many tokens, an answer computed token by token: other kernels, other limits.");
}

ProfileView::Runs ProfileView::chosen(const Frame& frame, const ProfileChoice& choice) {
  using Scope = ProfileChoice::Scope;
  using Section = ProfileChoice::Section;
  Runs runs;
  const auto add = [&](const std::shared_ptr<const gpu::ProfiledRun>& run) {
    if (!run) return;
    const bool prompt = run->section == "prompt";
    if (choice.section == Section::both || (choice.section == Section::prompt) == prompt) runs.push_back(run);
  };
  if (choice.scope == Scope::all) {
    for (const auto& run : *frame.now.runs) add(run);
  } else if (choice.scope == Scope::token) {
    if (const auto token = token_of(frame)) add(token->run);
  } else if (const auto message = message_of(frame)) {
    for (const auto& token : message->tokens) add(token->run);
  }
  return runs;
}

void ProfileView::update(const Frame& frame, const ProfileChoice& choice, double now_seconds) {
  // Snapshots share what did not change: the same object is the same runs.
  using Scope = ProfileChoice::Scope;
  std::shared_ptr<const void> source;
  if (choice.scope == Scope::all)
    source = frame.now.runs;
  else if (choice.scope == Scope::token)
    source = token_of(frame);
  else
    source = message_of(frame);
  const auto roofline = frame.now.roofline.value_or(gpu::Roofline{});
  const bool asked = version_ == 0 || choice != choice_ || roofline.bytes_per_second != roofline_.bytes_per_second ||
                     roofline.flops_per_second != roofline_.flops_per_second;
  if (asked || source != source_) {
    auto wanted = chosen(frame, choice);
    const bool continues =
        choice == choice_ && wanted.size() >= runs_.size() && std::equal(runs_.begin(), runs_.end(), wanted.begin());
    if (!continues) {
      profile_ = gpu::Profile(gpu::TimerSource::cpu_clock);
      added_ = 0;
    }
    outdated_ = outdated_ || !continues || wanted.size() != runs_.size() || asked;
    runs_ = std::move(wanted);
    source_ = std::move(source);
    choice_ = choice;
    roofline_ = roofline;
  }
  if (!outdated_ || (!asked && now_seconds < next_)) return;
  const auto begin = std::chrono::steady_clock::now();
  rebuild();
  next_ = now_seconds + 10 * std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void ProfileView::rebuild() {
  for (; added_ < runs_.size(); ++added_) {
    auto run = *runs_[added_];
    run.section = chosen_section;
    profile_.add(std::move(run));
  }
  const auto by = choice_.per_layer ? gpu::Profile::By::kernel_and_layer : gpu::Profile::By::kernel;
  rows_ = rows(by);
  totals_ = profile_.totals(chosen_section);
  outdated_ = false;
  ++version_;
}

std::vector<gpu::ProfileRow> ProfileView::rows(gpu::Profile::By by) const {
  return profile_.rows(chosen_section, roofline_, by);
}

std::vector<double> ProfileView::times(const std::string& kernel, std::optional<int> layer) const {
  std::vector<double> list;
  for (const auto& run : profile_.runs())
    for (const auto& dispatch : run.dispatches)
      if (dispatch.kernel == kernel && (!layer || dispatch.layer == *layer)) list.push_back(dispatch.duration_us);
  return list;
}

std::string rows_as_csv(const std::vector<gpu::ProfileRow>& rows) {
  std::string out =
      "kernel,layer,calls,total_us,mean_us,p50_us,p99_us,bytes,flops,gb_per_s,gflop_per_s,roofline,share\n";
  for (const auto& row : rows)
    out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{}\n", csv_field(row.kernel),
                       row.layer < 0 ? "" : std::to_string(row.layer), row.calls, row.total_us, row.mean_us, row.p50_us,
                       row.p99_us, row.cost.bytes, row.cost.flops, row.gigabytes_per_second(), row.gigaflops(),
                       row.roofline, row.share);
  return out;
}

std::vector<ComparedRow> compare_rows(const std::vector<gpu::ProfileRow>& then,
                                      const std::vector<gpu::ProfileRow>& now) {
  std::map<std::pair<std::string_view, int>, const gpu::ProfileRow*> before;
  for (const auto& row : then) before[{row.kernel, row.layer}] = &row;
  std::vector<ComparedRow> list;
  for (const auto& row : now) {
    const auto found = before.find({row.kernel, row.layer});
    list.push_back({found == before.end() ? nullptr : found->second, &row});
    if (found != before.end()) before.erase(found);
  }
  for (const auto& row : then)
    if (before.contains({row.kernel, row.layer})) list.push_back({&row, nullptr});
  return list;
}

}  // namespace glassbox::app::ui
