#pragma once

#include "app/ui/plot.h"

namespace glassbox::app::ui {

/// What the kernels run on: the driver, its timer, its limits and features and what they mean for speed.
class DevicePanel {
 public:
  void draw(Frame& frame);

 private:
  static void draw_driver(const Frame& frame, const live::DeviceCard& card);
  static void draw_load_paths(const Frame& frame, const live::DeviceCard& card);
  static void draw_features(const Frame& frame, const live::DeviceCard& card);
  static void draw_limits(const live::DeviceCard& card);
  static void draw_functions(Frame& frame, const live::DeviceCard& card);
};

}  // namespace glassbox::app::ui
