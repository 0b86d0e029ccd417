#pragma once

#include <string>

#include "app/ui/frame.h"
#include "app/ui/text_box.h"

namespace glassbox::app::ui {

/// Where a question is typed; above it what the engine is busy with, below it how full the context is.
class Composer {
 public:
  struct Event {
    bool sent = false;
    bool edit_last = false;  ///< the arrow up with nothing typed
  };
  /// That draw() will take in that width, in pixels.
  float height(float width, const Frame& frame);
  Event draw(float width, Frame& frame);

  void focus() { box_.focus(); }
  bool focused() const { return box_.focused(); }
  /// Puts text where the caret is, as if typed.
  void type(std::string_view text);
  void propose(std::string_view text);  ///< in place of what is there

 private:
  float box_width(float width, const Frame& frame) const;
  void draw_work(float width, Frame& frame) const;
  void draw_context(float width, const Frame& frame) const;

  TextBox box_;
};

/// Why nothing can be asked now; "" where it can.
std::string reason_not_to_ask(const Frame& frame);

}  // namespace glassbox::app::ui
