#pragma once

#include "app/ui/frame.h"
#include "tests/ui/canvas.h"
#include "tests/ui/fake_snapshot.h"

namespace glassbox::testing {

/// A canvas with what a panel is given: a snapshot, a worker without a model, a view.
struct Stage {
  Canvas canvas;
  app::live::Snapshot now;
  app::live::Worker worker{app::live::Worker::Options{}};
  app::ui::View view;

  explicit Stage(app::live::Snapshot snapshot = {}, int width = 900, int height = 600,
                 app::ui::Theme theme = app::ui::Theme::dark, float scale = 1)
      : canvas(width, height, theme, scale), now(std::move(snapshot)) {
    view.theme = theme;
  }

  app::ui::Frame frame() { return {now, worker, view, canvas.fonts(), canvas.palette(), canvas.scale()}; }
  /// From now on the canvas shows this panel; two frames, since some widths are known after the first.
  template <class Panel>
  void show(Panel& panel) {
    canvas.frame([this, &panel] {
      auto drawn = frame();
      panel.draw(drawn);
    });
    canvas.frames(1);
  }
};

}  // namespace glassbox::testing
