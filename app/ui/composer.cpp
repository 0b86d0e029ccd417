#include "app/ui/composer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/ui/clipped_text.h"
#include "app/ui/format.h"

namespace glassbox::app::ui {
namespace {

constexpr int most_lines = 8;
constexpr float nearly_full = 0.8F, full = 0.95F;
constexpr float composer_button_width = 76;  // units of layout

float meter_height() { return std::round(ImGui::GetFontSize() * 1.5F); }

bool is_answering(const live::Snapshot& now) {
  return now.activity == live::Activity::answering || now.activity == live::Activity::reading;
}

float work_height(const Frame& frame) {
  return frame.now.work || frame.now.stopping ? ImGui::GetFrameHeight() + ImGui::GetStyle().ItemSpacing.y : 0;
}

}  // namespace

std::string reason_not_to_ask(const Frame& frame) {
  const auto& now = frame.now;
  if (now.activity == live::Activity::loading) return "The model is being loaded";
  if (!now.model) return "Open a model first: Ctrl+O, or drop a .gguf file here";
  if (now.model->tokenizer.empty()) return "This model has no tokenizer: it cannot read text";
  if (now.stopping) return "Stopping";
  switch (now.activity) {
    case live::Activity::reading:
    case live::Activity::answering:
      return "The answer is still being written; Esc stops it";
    case live::Activity::checking:
      return "A comparison with float64 is under way; Esc stops it";
    case live::Activity::measuring:
      return "A measurement is under way; Esc stops it";
    default:
      return "";
  }
}

float Composer::box_width(float width, const Frame& frame) const {
  return std::max(width - composer_button_width * frame.scale - ImGui::GetStyle().ItemSpacing.x, 60.0F);
}

float Composer::height(float width, const Frame& frame) {
  return work_height(frame) + box_.height(box_width(width, frame), frame, most_lines) + meter_height();
}

void Composer::type(std::string_view text) {
  box_.edit.insert(text);
  box_.focus();
}

void Composer::propose(std::string_view text) {
  box_.edit.select_all();
  box_.edit.insert(text);
  box_.focus();
}

void Composer::draw_work(float width, Frame& frame) const {
  const auto& now = frame.now;
  const bool cancel = !is_answering(now);  // else the button below stops it
  if (!now.work && !now.stopping) return;
  const auto at = ImGui::GetCursorScreenPos();
  std::string what = now.stopping ? "Stopping after this step" : now.work->what;
  if (!what.empty()) what[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(what[0])));
  std::string count;
  if (now.work && now.work->total > 0)
    count = fmt::format("{} of {}", with_thousands(now.work->done), with_thousands(now.work->total));
  ImGui::AlignTextToFramePadding();
  ImGui::TextUnformatted(what.c_str());
  const float bar_left = std::round(std::min(180 * frame.scale, width * 0.35F));
  const float bar_right = width - (cancel ? (composer_button_width + 8) * frame.scale : 0);
  if (bar_right > bar_left + 20) {
    ImGui::SetCursorScreenPos({at.x + bar_left, at.y});
    const float part =
        now.work && now.work->total > 0
            ? static_cast<float>(static_cast<double>(now.work->done) / static_cast<double>(now.work->total))
            : 0;
    ImGui::PushStyleColor(ImGuiCol_PlotHistogram, frame.palette.selection);
    ImGui::ProgressBar(std::clamp(part, 0.0F, 1.0F), {bar_right - bar_left, 0}, count.c_str());
    ImGui::PopStyleColor();
  }
  if (!cancel) return;
  ImGui::SetCursorScreenPos({at.x + width - composer_button_width * frame.scale, at.y});
  ImGui::BeginDisabled(now.stopping);
  if (ImGui::Button("Cancel", {composer_button_width * frame.scale, 0})) frame.worker.stop();
  ImGui::EndDisabled();
}

void Composer::draw_context(float width, const Frame& frame) const {
  const auto& thread = *frame.now.thread;
  const auto& palette = frame.palette;
  auto& list = *ImGui::GetWindowDrawList();
  const auto at = ImGui::GetCursorScreenPos();
  const float y = at.y + std::floor((meter_height() - ImGui::GetFontSize()) / 2);
  const auto colour = [](const ImVec4& c) { return ImGui::ColorConvertFloat4ToU32(c); };
  float right = at.x + width;
  if (thread.context_size > 0) {
    const float share =
        static_cast<float>(static_cast<double>(thread.context_used) / static_cast<double>(thread.context_size));
    const auto& state = share >= full ? palette.bad : share >= nearly_full ? palette.warning : palette.accent;
    const auto text =
        fmt::format("{} of {} tokens", with_thousands(thread.context_used), with_thousands(thread.context_size));
    // As wide as it will ever be: nothing moves while tokens stream.
    const auto size = with_thousands(thread.context_size);
    const float text_width = ImGui::CalcTextSize(fmt::format("{} of {} tokens", size, size).c_str()).x;
    const float bar = (width < 560 * frame.scale ? 40 : 90) * frame.scale, thick = 6 * frame.scale,
                gap = 8 * frame.scale;
    const float left = right - text_width - gap - bar;
    list.AddText({right - ImGui::CalcTextSize(text.c_str()).x, y}, colour(share >= nearly_full ? state : palette.muted),
                 text.c_str());
    const float bar_y = at.y + std::floor((meter_height() - thick) / 2);
    list.AddRectFilled({left, bar_y}, {left + bar, bar_y + thick}, colour(palette.faint), thick / 2);
    if (share > 0)
      list.AddRectFilled({left, bar_y}, {left + std::max(bar * std::min(share, 1.0F), thick), bar_y + thick},
                         colour(state), thick / 2);
    if (ImGui::IsMouseHoveringRect({left, at.y}, {right, at.y + meter_height()}) && ImGui::IsWindowHovered())
      ImGui::SetTooltip(
          "Tokens of this conversation in the model's context.\nWhen it is full the oldest messages are left "
          "out of the prompt.");
    right = left - 12 * frame.scale;
  }
  const auto reason = reason_not_to_ask(frame);
  if (thread.forgotten > 0)
    clipped_text({at.x, y}, right, palette.warning,
                 fmt::format("The model no longer sees the oldest {}",
                             thread.forgotten == 1 ? "message" : fmt::format("{} messages", thread.forgotten)));
  else
    clipped_text({at.x, y}, right, palette.muted,
                 !reason.empty() ? reason : "Enter sends, Shift+Enter begins a new line");
  ImGui::Dummy({width, meter_height()});
}

Composer::Event Composer::draw(float width, Frame& frame) {
  const auto& now = frame.now;
  const float scale = frame.scale;
  auto at = ImGui::GetCursorScreenPos();
  draw_work(width, frame);
  at.y += work_height(frame);
  ImGui::SetCursorScreenPos(at);
  const float inner = box_width(width, frame);
  const float box_height = box_.height(inner, frame, most_lines);
  const float one_line = box_.height(inner, frame, 1);
  const auto reason = reason_not_to_ask(frame);
  const auto typed =
      box_.draw("composer", inner, frame, most_lines, now.model ? "Ask something" : "Open a model to ask it something");
  Event event{.edit_last = typed.up_in_empty};
  const bool blank = box_.edit.text().find_first_not_of(" \t\n") == std::string::npos;
  ImGui::SetCursorScreenPos({at.x + width - composer_button_width * scale, at.y + box_height - one_line});
  const ImVec2 button(composer_button_width * scale, one_line);
  if (is_answering(now)) {
    ImGui::BeginDisabled(now.stopping);
    if (ImGui::Button("Stop", button)) frame.worker.stop();
    ImGui::EndDisabled();
    if (ImGui::IsItemHovered()) ImGui::SetTooltip("Esc");
  } else {
    ImGui::BeginDisabled(blank || !reason.empty());
    const bool clicked = ImGui::Button("Send", button);
    ImGui::EndDisabled();
    if (ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled))
      ImGui::SetTooltip("%s", !reason.empty() ? reason.c_str() : blank ? "Nothing typed yet" : "Enter");
    if ((clicked || typed.submitted) && !blank && reason.empty()) {
      frame.worker.send(box_.edit.text());
      box_.edit.reset("");
      box_.focus();
      event.sent = true;
    }
  }
  ImGui::SetCursorScreenPos({at.x, at.y + box_height});
  draw_context(width, frame);
  return event;
}

}  // namespace glassbox::app::ui
