#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "gpu/compare.h"
#include "gpu/plan.h"

namespace glassbox::gpu {

/// What one primitive of a plan got wrong.
struct KernelError {
  std::string name;
  std::size_t index = 0;  ///< of the step in the plan
  int layer = -1;
  Shape shape;             ///< of the worst output
  ErrorStats isolated;     ///< against eval_cpu on the inputs the kernel itself read
  ErrorStats accumulated;  ///< against the whole model in float64; only where it was asked for
  Tolerance tolerance;
  bool ok = true;  ///< isolated error within tolerance
};

/// Runs plans step by step beside the float64 reference. One Differ follows one conversation of plans: arrays written
/// in place, such as a KV cache, keep their float64 values from run to run.
class Differ {
 public:
  explicit Differ(bool accumulate = false) : accumulate_(accumulate) {}

  /// Called after each step with what the GPU computed for output 0, and what eval_cpu makes of the same inputs. What
  /// it throws ends the run.
  using Seen =
      std::function<void(const KernelError&, std::span<const double> values, std::span<const double> reference)>;

  /// Runs the plan, outputs poisoned beforehand, and compares every step.
  std::vector<KernelError> run(Plan& plan, const Seen& seen = nullptr);

  /// The float64 model's values of an array that a plan run here computed; empty without `accumulate`.
  std::vector<double> accumulated(const Array& array) const;

 private:
  std::vector<double> accumulated_input(const Array& array) const;

  bool accumulate_;
  std::map<const Storage*, std::vector<double>> accumulated_;  ///< all elements of a storage
};

}  // namespace glassbox::gpu
