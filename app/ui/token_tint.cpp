#include "app/ui/token_tint.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "app/ui/format.h"

namespace glassbox::app::ui {
namespace {

constexpr std::size_t tokens_looked_at = 4096;  // the newest
constexpr double unlikely = 1e-3;               // as red as it gets
constexpr double least_error = 1e-15, most_error = 1e-6;
constexpr double slow = 2;  // times the usual; its inverse is the calmest

struct Choice {
  Tint tint;
  const char *name, *explanation;
};
constexpr std::array<Choice, 4> choices{
    {{Tint::none, "No tint", "Text as it is"},
     {Tint::probability, "Probability", "How likely the model found each token, before the sampler chain"},
     {Tint::time, "Time", "Wall time of the step behind each token, against the usual one"},
     {Tint::error, "Numerical error", "NMSE of the worst kernel of each token's step against float64"}}};

}  // namespace

void TokenTint::update(const Frame& frame) {
  if (tint_ == frame.view.tint && palette_ == &frame.palette && thread_ == frame.now.thread) return;
  const bool changed = tint_ != frame.view.tint || palette_ != &frame.palette;
  tint_ = frame.view.tint;
  palette_ = &frame.palette;
  thread_ = frame.now.thread;
  any_ = false;
  std::vector<double> seconds;
  std::size_t looked = 0;
  for (auto message = thread_->messages.rbegin();
       tint_ != Tint::none && message != thread_->messages.rend() && looked < tokens_looked_at; ++message)
    for (const auto& token : (*message)->tokens) {
      ++looked;
      if (token->seconds > 0) seconds.push_back(token->seconds);
      any_ = any_ || (tint_ == Tint::probability && token->probability) ||
             (tint_ == Tint::time && token->seconds > 0) || (tint_ == Tint::error && token->check);
    }
  double usual = 0;
  if (tint_ == Tint::time && !seconds.empty()) {
    const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
    std::nth_element(seconds.begin(), middle, seconds.end());
    // In steps of a quarter: the colours do not flicker while tokens stream in.
    usual = std::pow(1.25, std::round(std::log(*middle) / std::log(1.25)));
  }
  if (changed || usual != usual_seconds_) ++revision_;
  usual_seconds_ = usual;
}

std::optional<float> TokenTint::heat(const live::TokenRecord& token) const {
  const auto along = [](double value, double from, double to) {
    return static_cast<float>(std::clamp(std::log(value / from) / std::log(to / from), 0.0, 1.0));
  };
  switch (tint_) {
    case Tint::none:
      break;
    case Tint::probability:
      if (token.probability) return along(std::max(*token.probability, 1e-30), 1, unlikely);
      break;
    case Tint::time:
      if (token.seconds > 0 && usual_seconds_ > 0) return along(token.seconds / usual_seconds_, 1 / slow, slow);
      break;
    case Tint::error:
      if (token.check) return along(std::max(token.check->worst_nmse(), 1e-30), least_error, most_error);
      break;
  }
  return std::nullopt;
}

std::vector<TextMark> TokenTint::marks(const live::Message& message, const Palette& palette) const {
  std::vector<TextMark> marks;
  if (tint_ == Tint::none) return marks;
  marks.reserve(message.tokens.size());
  for (const auto& token : message.tokens)
    if (const auto t = heat(*token); t && !token->text.empty())
      marks.push_back(
          {token->begin, token->begin + token->text.size(), ImGui::ColorConvertFloat4ToU32(palette.heat(*t))});
  return marks;
}

void TokenTint::draw_control(Frame& frame) {
  auto& chosen = frame.view.tint;
  const float scale = frame.scale;
  const bool narrow = ImGui::GetWindowContentRegionMax().x < 560 * scale;  // no room for the legend's numbers
  ImGui::SetNextItemWidth(150 * scale);
  if (ImGui::BeginCombo("##tint", choices[static_cast<std::size_t>(chosen)].name)) {
    for (const auto& [tint, name, explanation] : choices) {
      if (ImGui::Selectable(name, chosen == tint)) chosen = tint;
      if (ImGui::IsItemHovered()) ImGui::SetTooltip("%s", explanation);
    }
    ImGui::EndCombo();
  }
  if (ImGui::IsItemHovered()) ImGui::SetTooltip("What the colour behind each token of an answer shows");
  if (chosen == Tint::none) return;
  ImGui::SameLine();
  if (!any_) {
    ImGui::AlignTextToFramePadding();
    const char* missing = chosen == Tint::probability ? "no probabilities recorded yet"
                          : chosen == Tint::time      ? "no token timed yet"
                                                      : "no token compared with float64 yet";
    ImGui::TextColored(frame.palette.muted, "%s", missing);
    if (ImGui::IsItemHovered())
      ImGui::SetTooltip("%s", chosen == Tint::error
                                  ? "The Diff panel compares one token on demand, or every Nth as it is answered."
                                  : "Recorded while an answer is written; for an older one choose Record in the "
                                    "Token panel.");
    return;
  }
  std::string low = "certain", high = "0.1 %";
  if (chosen == Tint::time) {
    low = duration_text(usual_seconds_ / slow * 1e6);
    high = duration_text(usual_seconds_ * slow * 1e6);
  } else if (chosen == Tint::error) {
    low = error_text(least_error);
    high = error_text(most_error);
  }
  if (!narrow) {
    ImGui::AlignTextToFramePadding();
    ImGui::TextColored(frame.palette.muted, "%s", low.c_str());
    ImGui::SameLine();
  }
  const ImVec2 size(72 * scale, std::round(ImGui::GetFontSize() * 0.8F));
  auto at = ImGui::GetCursorScreenPos();
  at.y += std::floor((ImGui::GetFrameHeight() - size.y) / 2);
  constexpr int steps = 24;
  for (int i = 0; i < steps; ++i) {
    const float left = std::round(size.x * static_cast<float>(i) / steps);
    const float right = std::round(size.x * static_cast<float>(i + 1) / steps);
    ImGui::GetWindowDrawList()->AddRectFilled(
        {at.x + left, at.y}, {at.x + right, at.y + size.y},
        ImGui::ColorConvertFloat4ToU32(frame.palette.heat((static_cast<float>(i) + 0.5F) / steps)));
  }
  ImGui::Dummy({size.x, ImGui::GetFrameHeight()});
  if (ImGui::IsItemHovered())
    ImGui::SetTooltip("%s\nFrom %s to %s", choices[static_cast<std::size_t>(chosen)].explanation, low.c_str(),
                      high.c_str());
  if (narrow) return;
  ImGui::SameLine();
  ImGui::AlignTextToFramePadding();
  ImGui::TextColored(frame.palette.muted, "%s", high.c_str());
}

}  // namespace glassbox::app::ui
