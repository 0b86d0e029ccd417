#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/ui/frame.h"
#include "app/ui/rich_text.h"

namespace glassbox::app::ui {

/// The colour behind a token: how unlikely it was, how long it took, or how wrong its worst kernel was.
class TokenTint {
 public:
  /// Follows what is chosen and, for times, what is usual in the conversation.
  void update(const Frame& frame);

  /// 0 (calm) to 1 (alarming); none where nothing was recorded or nothing is tinted.
  std::optional<float> heat(const live::TokenRecord& token) const;
  std::vector<TextMark> marks(const live::Message& message, const Palette& palette) const;
  /// Grows with each change of what marks() would give for the same message.
  std::uint64_t revision() const { return revision_; }

  /// The choice of the tint, and what its colours mean.
  void draw_control(Frame& frame);

 private:
  Tint tint_ = Tint::none;
  const Palette* palette_ = nullptr;
  std::shared_ptr<const live::Thread> thread_;
  double usual_seconds_ = 0;
  bool any_ = false;  ///< token that can be tinted
  std::uint64_t revision_ = 0;
};

}  // namespace glassbox::app::ui
