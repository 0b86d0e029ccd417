#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "app/ui/frame.h"

// What the panel of differences decides, without drawing.
namespace glassbox::app::ui {

/// A token with its check.
struct Checked {
  live::TokenPlace place;
  std::shared_ptr<const live::TokenRecord> token;
  std::shared_ptr<const live::TokenCheck> check;  ///< null: the token shown was not compared
  bool earlier = false;  ///< not the token shown, which was not compared, but the last one before it that was
};
/// The token shown; where none was clicked and the latest is not compared, the last compared before it, so that the
/// panel does not flicker while an answer streams. None where there is no token.
std::optional<Checked> checked_token(const Frame& frame);

/// Its error as a fraction of the tolerance: above 1 is out of tolerance. 0 where nothing bounds it.
double strain(const gpu::KernelError& error);
/// Index of the kernel to look at: the first out of tolerance, else the one nearest to it (of those whose values were
/// kept, where any were). None of an empty check.
std::optional<std::size_t> worst_kernel(const live::TokenCheck& check);

/// The kernels, by the names that timed runs give them, that compute each entry of the check: matmul_row for matmul.
/// Its own name where the step was not timed.
std::vector<std::string> kernel_names(const live::TokenCheck& check, const gpu::ProfiledRun* run);

/// How many elements to a row when an output is looked at: its last axis, or (an output of one or two rows, a vector)
/// the power of two that makes it about twice as wide as high.
std::size_t viewing_columns(const gpu::Shape& shape);
/// "[0, 3, 17]".
std::string index_text(const gpu::Shape& shape, std::size_t flat);

/// HOME/glassbox-00017-matmul_row.safetensors, what is no plain character of a file name replaced.
std::filesystem::path default_save_path(const std::filesystem::path& home, const gpu::KernelError& error);

/// Where checks are asked for by N: 0 off, 1 every token, else every Nth.
enum class CheckMode : std::uint8_t { on_demand, every, every_nth };
CheckMode mode_of(const live::Watching& watching);
live::Watching with_mode(live::Watching watching, CheckMode mode, std::size_t nth);

}  // namespace glassbox::app::ui
