#pragma once

#include <cstdint>
#include <optional>

#include "app/ui/frame.h"

namespace glassbox::app::ui {

/// The selected token: what else the model could have said, how likely, and the way there.
class TokenPanel {
 public:
  void draw(Frame& frame);

 private:
  void draw_steps(Frame& frame) const;
  void draw_facts(const Frame& frame, const live::TokenRecord& token) const;
  void draw_candidates(Frame& frame, const live::TokenRecord& token, const live::TokenPlace& place) const;
  void draw_missing(Frame& frame, const live::TokenPlace& place) const;
};

}  // namespace glassbox::app::ui
