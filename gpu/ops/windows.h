#pragma once

#include <vector>

#include "gpu/array.h"

namespace glassbox::gpu {

class Device;

struct RowWindow {
  std::size_t first, count;
};

/// The rows of a contiguous matrix cut so that each window fits one storage binding and starts on 16 bytes. One window
/// for all but the largest weights (an output matrix of 32000 x 2048 in float32 is 262 MB; ES 3.1 promises 128 MiB).
std::vector<RowWindow> row_windows(const Array& matrix, const Device& device);

}  // namespace glassbox::gpu
