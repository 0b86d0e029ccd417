#include "app/ui/token_panel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/ui/format.h"
#include "app/ui/landmarks.h"
#include "app/ui/plot.h"
#include "app/ui/token_walk.h"

namespace glassbox::app::ui {
namespace {

/// Percent with digits enough to tell small ones apart: "63.2 %", "0.041 %".
std::string percent_text(double p) {
  if (p >= 0.1) return fmt::format("{:.1f} %", 100 * p);
  if (p >= 0.001) return fmt::format("{:.2f} %", 100 * p);
  return p >= 1e-6 ? fmt::format("{:.4f} %", 100 * p) : p > 0 ? "< 0.0001 %" : "0 %";
}

const char* reason_not_now(const Frame& frame) {
  if (!frame.now.model) return "Open the model first";
  return frame.now.busy() ? "Busy: wait, or stop it with Esc" : "";
}

/// A bar behind a number at the right of the cell.
void probability_cell(const Frame& frame, double p, const ImVec4& colour, const std::string& text) {
  const auto at = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x, height = ImGui::GetTextLineHeight();
  auto& list = *ImGui::GetWindowDrawList();
  auto fill = colour;
  fill.w = 0.35F;
  if (p > 0)
    list.AddRectFilled(at, {at.x + std::max(width * static_cast<float>(p), 2.0F), at.y + height},
                       ImGui::ColorConvertFloat4ToU32(fill), 3 * frame.scale);
  const float text_width = ImGui::CalcTextSize(text.c_str()).x;
  ImGui::SetCursorPosX(ImGui::GetCursorPosX() + std::max(width - text_width - 2 * frame.scale, 0.0F));
  ImGui::TextColored(p > 0 ? frame.palette.text : frame.palette.muted, "%s", text.c_str());
}

}  // namespace

void TokenPanel::draw_steps(Frame& frame) const {
  const auto place = frame.place();
  std::size_t count = 0;
  for (const auto& message : frame.now.thread->messages)
    if (place && message->id == place->message) count = message->tokens.size();
  if (ImGui::Button("‹##before")) walk_token(frame, -1);
  if (ImGui::IsItemHovered()) ImGui::SetTooltip("The token before (Left)");
  ImGui::SameLine();
  if (ImGui::Button("›##after")) walk_token(frame, 1);
  if (ImGui::IsItemHovered()) ImGui::SetTooltip("The token after (Right)");
  ImGui::SameLine();
  ImGui::AlignTextToFramePadding();
  ImGui::TextColored(frame.palette.muted, "Token %s of %s", with_thousands(place->token + 1).c_str(),
                     with_thousands(count).c_str());
  const char* latest = "Latest";
  ImGui::SameLine();
  const float right = ImGui::GetCursorPosX() + ImGui::GetContentRegionAvail().x;
  const float width = ImGui::CalcTextSize(latest).x + 2 * ImGui::GetStyle().FramePadding.x;
  ImGui::SetCursorPosX(std::max(right - width, ImGui::GetCursorPosX()));
  ImGui::BeginDisabled(!frame.view.token);
  if (ImGui::Button(latest)) frame.view.token.reset();
  ImGui::EndDisabled();
  if (ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled))
    ImGui::SetTooltip(frame.view.token ? "Follow the newest token again" : "The newest token is shown");
}

void TokenPanel::draw_facts(const Frame& frame, const live::TokenRecord& token) const {
  const auto& palette = frame.palette;
  const float scale = frame.scale;
  // The text itself, larger, on the background that code has.
  const auto text = visible_text(token.text);
  ImGui::PushFont(frame.fonts.heading);
  const auto at = ImGui::GetCursorScreenPos();
  const float width = ImGui::GetContentRegionAvail().x, height = ImGui::GetTextLineHeight() + 16 * scale;
  auto& list = *ImGui::GetWindowDrawList();
  list.AddRectFilled(at, {at.x + width, at.y + height}, ImGui::ColorConvertFloat4ToU32(palette.code_background),
                     6 * scale);
  ImGui::PushClipRect(at, {at.x + width, at.y + height}, true);
  list.AddText({at.x + 12 * scale, at.y + 8 * scale},
               ImGui::ColorConvertFloat4ToU32(token.text.empty() ? palette.muted : palette.text), text.c_str());
  ImGui::PopClipRect();
  ImGui::PopFont();
  ImGui::Dummy({width, height});
  if (ImGui::IsItemHovered())
    ImGui::SetTooltip(token.text.empty() ? "A part of a character, or a token that ends the answer"
                                         : "· is a blank, ↵ a line break, → a tab");

  if (!ImGui::BeginTable("facts", 2, ImGuiTableFlags_SizingFixedFit)) return;
  const auto fact = [&](const char* name, const std::string& value, const char* explanation) {
    ImGui::TableNextColumn();
    ImGui::TextColored(palette.muted, "%s", name);
    if (ImGui::IsItemHovered()) ImGui::SetTooltip("%s", explanation);
    ImGui::TableNextColumn();
    ImGui::TextUnformatted(value.c_str());
  };
  fact("Id", with_thousands(token.id), "In the model's vocabulary");
  fact("Probability", token.probability ? percent_text(*token.probability) : "not recorded",
       "Softmax over all logits, before the sampler chain");
  if (token.probability && *token.probability > 0)
    fact("Surprise", fmt::format("{:.2f} bits", std::max(-std::log2(*token.probability), 0.0)),
         "-log2 of the probability");
  fact("Time", token.seconds > 0 ? duration_text(token.seconds * 1e6) : "not recorded",
       "Wall time of the step whose logits it was drawn from");
  if (token.check) fact("Worst NMSE", error_text(token.check->worst_nmse()), "Of that step's kernels, against float64");
  ImGui::EndTable();
}

void TokenPanel::draw_missing(Frame& frame, const live::TokenPlace& place) const {
  wrapped(frame.palette.muted,
          "What else could have stood here was not recorded: this answer is from an earlier session, or from the "
          "terminal.");
  const std::string reason = reason_not_now(frame);
  ImGui::BeginDisabled(!reason.empty());
  if (ImGui::Button("Record")) frame.worker.inspect(place);
  ImGui::EndDisabled();
  if (ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled))
    ImGui::SetTooltip("%s", !reason.empty() ? reason.c_str()
                                            : "Computes this token again: its candidates and its kernels' times.\nThe "
                                              "answer stays as it is.");
}

void TokenPanel::draw_candidates(Frame& frame, const live::TokenRecord& token, const live::TokenPlace& place) const {
  const auto& palette = frame.palette;
  const float scale = frame.scale;
  ImGui::PushFont(frame.fonts.bold);
  ImGui::TextUnformatted("What if");
  ImGui::PopFont();
  ImGui::SameLine();
  ImGui::TextColored(palette.muted, "click a candidate to go on with it");
  const std::string reason = reason_not_now(frame);
  if (!ImGui::BeginTable("candidates", 4, ImGuiTableFlags_RowBg | ImGuiTableFlags_SizingStretchProp)) return;
  ImGui::TableSetupColumn("", ImGuiTableColumnFlags_WidthFixed, 24 * scale);
  ImGui::TableSetupColumn("Candidate", ImGuiTableColumnFlags_WidthStretch, 1.3F);
  ImGui::TableSetupColumn("Model", ImGuiTableColumnFlags_WidthStretch, 1.0F);
  ImGui::TableSetupColumn("Sampled from", ImGuiTableColumnFlags_WidthStretch, 1.0F);
  ImGui::TableNextRow(ImGuiTableRowFlags_Headers);
  const char* headings[][2] = {{"", ""},
                               {"Candidate", "Text of the token; · is a blank, ↵ a line break"},
                               {"Model", "Probability as the model gave it, before the sampler chain"},
                               {"Drawn from", "Probability after penalties, top-k, top-p, min-p and temperature"}};
  for (int column = 0; column < 4; ++column) {
    ImGui::TableSetColumnIndex(column);
    ImGui::TextColored(palette.muted, "%s", headings[column][0]);
    if (column > 0 && ImGui::IsItemHovered()) ImGui::SetTooltip("%s", headings[column][1]);
  }
  bool chosen_seen = false;
  for (std::size_t i = 0; i < token.candidates.size(); ++i) {
    const auto& candidate = token.candidates[i];
    const bool chosen = candidate.token == token.id, cut = candidate.chain_probability <= 0;
    chosen_seen = chosen_seen || chosen;
    const auto text = i < token.candidate_texts.size() && !token.candidate_texts[i].empty()
                          ? visible_text(token.candidate_texts[i])
                      : chosen && !token.text.empty() ? visible_text(token.text)
                                                      : fmt::format("#{}", candidate.token);
    ImGui::TableNextRow();
    ImGui::TableNextColumn();
    ImGui::PushID(static_cast<int>(i));
    const bool possible = !chosen && reason.empty();
    if (ImGui::Selectable("##force", chosen,
                          ImGuiSelectableFlags_SpanAllColumns | ImGuiSelectableFlags_AllowItemOverlap) &&
        possible)
      frame.worker.force(place, candidate.token);
    Landmarks::mark("candidate", static_cast<int>(i));
    if (ImGui::IsItemHovered()) {
      const auto what = chosen            ? std::string("What stands in the answer")
                        : !reason.empty() ? reason
                                          : "Go on with this one instead: a new branch of the answer";
      ImGui::SetTooltip("%s\nid %s, logit %.3f%s", what.c_str(), with_thousands(candidate.token).c_str(),
                        static_cast<double>(candidate.logit),
                        cut ? "\nThe sampler chain cut it: it could not be drawn" : "");
    }
    ImGui::PopID();
    ImGui::SameLine(0, 0);
    ImGui::TextColored(chosen ? palette.accent : palette.muted, "%s", chosen ? "»" : fmt::format("{}", i + 1).c_str());
    ImGui::TableNextColumn();
    ImGui::TextColored(chosen ? palette.accent : cut ? palette.muted : palette.text, "%s", text.c_str());
    ImGui::TableNextColumn();
    probability_cell(frame, static_cast<double>(candidate.probability), palette.series[0],
                     percent_text(static_cast<double>(candidate.probability)));
    ImGui::TableNextColumn();
    probability_cell(frame, static_cast<double>(candidate.chain_probability), palette.accent,
                     cut ? "cut" : percent_text(static_cast<double>(candidate.chain_probability)));
  }
  ImGui::EndTable();
  if (!chosen_seen)
    wrapped(palette.muted, fmt::format("What stands in the answer, {}, is not among the {} likeliest.",
                                       visible_text(token.text), token.candidates.size()));
}

void TokenPanel::draw(Frame& frame) {
  const auto place = frame.place();
  const auto* token = frame.token();
  if (!place || !token) {
    wrapped(frame.palette.text, "No token yet.");
    wrapped(frame.palette.muted, frame.now.model
                                     ? "Ask something: each token of the answer can then be clicked, and what else "
                                       "could have stood there is listed here."
                                     : "Open a model (Ctrl+O) and ask it something; each token of the answer can then "
                                       "be clicked.");
    return;
  }
  const auto& io = ImGui::GetIO();
  if (ImGui::IsWindowFocused() && !io.WantTextInput && !io.KeyCtrl && !io.KeyAlt) {
    if (ImGui::IsKeyPressed(ImGui::GetKeyIndex(ImGuiKey_LeftArrow))) walk_token(frame, -1);
    if (ImGui::IsKeyPressed(ImGui::GetKeyIndex(ImGuiKey_RightArrow))) walk_token(frame, 1);
  }
  draw_steps(frame);
  draw_facts(frame, *token);
  ImGui::Spacing();
  if (token->candidates.empty())
    draw_missing(frame, *place);
  else
    draw_candidates(frame, *token, *place);
}

}  // namespace glassbox::app::ui
