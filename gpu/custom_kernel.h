#pragma once

#include <functional>
#include <vector>

#include "gpu/encoder.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {

/// How a custom kernel is run.
struct KernelLaunch {
  std::vector<ParamValue> params;  ///< in the order of Kernel::params
  Grid grid;
  DispatchOptions options;
  std::function<void(Reference, ReferenceOut)> reference;  ///< float64; without one the kernel cannot be diffed
  Tolerance tolerance;
};

/// Applies a kernel that somebody wrote, a body and its names, to arrays: the way of the built-in ones, through the
/// same generator, plans, profiler and differ. Returns one lazy array for each output. Throws Error where the numbers
/// of inputs, outputs or params are not the kernel's; the driver's complaints come when it is evaluated.
std::vector<Array> kernel(const Kernel& kernel, std::vector<Array> inputs, std::vector<OutputSpec> outputs,
                          KernelLaunch launch);

}  // namespace glassbox::gpu
