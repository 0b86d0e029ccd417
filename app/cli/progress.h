#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "model/engine.h"

namespace glassbox::app {

/// One line on stderr that moves: what is being done and how far it is. Shown only where stderr is a terminal, and only
/// for work that takes longer than a moment; removed at the end.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::string_view what, std::size_t done, std::size_t total);
  void clear();
  /// For the engine; the bar must outlive its use.
  model::Progress callback();

 private:
  bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point started_, last_;
};

}  // namespace glassbox::app
