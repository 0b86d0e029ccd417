#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gpu/kernel.h"

namespace glassbox::gpu {

/// How a body uses one of its arrays: only what is used is generated, bound and passed.
struct ArrayUse {
  bool scalar = false;  ///< x[i]
  bool flat4 = false;   ///< x_load4(i) or y_store4(i, v)
  bool row4 = false;    ///< x_load4(row, i), x_load8(row, ...), y_store4(row, i, v)
  bool size = false;    ///< x_size
  bool row = false;     ///< x_row, or needed by row4
  unsigned shape = 0;   ///< bit d: x_shape[d]
  bool texels() const { return flat4 || row4; }
};

/// A body taken apart once per kernel.
struct KernelBody {
  std::string header;          ///< its includes, array accesses as calls
  std::string code;            ///< the body with array accesses as calls: x_at(i), y_put(i, v)
  std::vector<ArrayUse> uses;  ///< inputs, then outputs
  bool group_sum = false, group_max = false, group_xor = false;
  bool halves = false;   ///< computes in f16vec2
  bool flat = false;     ///< uses flat_id or flat_group
  bool gl_grid = false;  ///< asks GL itself where in the grid it is
};

/// Throws Error where an include is unknown, a name is none, is given twice or is reserved, an access does not close
/// its brackets, or an input is written to.
KernelBody parse_body(const Kernel& kernel);

}  // namespace glassbox::gpu
