#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace glassbox::app::ui {

/// The end of Markdown that is still being written.
struct OpenTail {
  std::size_t end = 0;  ///< where to cut it: what follows begins a marker of which more is to come
  std::string closers;  ///< that close what is open there: "**", "`"; at most open_tail_limit bytes
};
constexpr std::size_t open_tail_limit = 64;

/// Looks at the last paragraph only: emphasis and inline code do not reach beyond one.
OpenTail open_tail(std::string_view source);

}  // namespace glassbox::app::ui
