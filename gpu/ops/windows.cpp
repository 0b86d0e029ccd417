#include "gpu/ops/windows.h"

#include <algorithm>

#include "gpu/device.h"

namespace glassbox::gpu {

std::vector<RowWindow> row_windows(const Array& matrix, const Device& device) {
  const std::size_t rows = matrix.rows(),
                    row_bytes = std::max<std::size_t>(matrix.nbytes() / std::max<std::size_t>(rows, 1), 1);
  // Less the alignment a window may have to begin early by; whole eights of rows end on 16 bytes for every dtype.
  const std::size_t fits = std::max<std::size_t>((device.limits().ssbo_block_bytes - 4096) / row_bytes / 8 * 8, 8);
  std::vector<RowWindow> windows;
  for (std::size_t first = 0; first < rows; first += fits) windows.push_back({first, std::min(fits, rows - first)});
  return windows;
}

}  // namespace glassbox::gpu
