#include "gpu/differ.h"

#include <limits>
#include <numeric>

namespace glassbox::gpu {
namespace {

/// Elements of a view out of those of its base, row-major.
std::vector<double> gather(const Array& view, const std::vector<double>& base) {
  std::vector<double> out;
  out.reserve(view.size());
  std::vector<std::size_t> at(view.ndim(), 0);
  for (std::size_t n = 0; n < view.size(); ++n) {
    out.push_back(base[std::inner_product(at.begin(), at.end(), view.strides().begin(), view.offset())]);
    for (std::size_t axis = view.ndim(); axis-- > 0;) {
      if (++at[axis] < view.shape()[axis]) break;
      at[axis] = 0;
    }
  }
  return out;
}

std::vector<Tensor64> run_reference(const Step& step, std::span<const Tensor64> inputs) {
  std::vector<Tensor64> outputs;
  for (const auto& out : step.outputs)
    outputs.push_back({out.shape(), std::vector<double>(out.size(), std::numeric_limits<double>::quiet_NaN())});
  step.primitive->eval_cpu(inputs, outputs);
  return outputs;
}

}  // namespace

std::vector<double> Differ::accumulated_input(const Array& array) const {
  const auto found = accumulated_.find(array.data()->storage.get());
  return found == accumulated_.end() ? array.values() : gather(array, found->second);
}

std::vector<double> Differ::accumulated(const Array& array) const {
  return accumulate_ ? accumulated_input(array) : std::vector<double>{};
}

std::vector<KernelError> Differ::run(Plan& plan, const Seen& seen) {
  std::vector<KernelError> errors;
  std::vector<Tensor64> inputs;
  Plan::Watch watch{.poison = true};
  // Read before the step: some primitives write over an input.
  watch.before = [&](const Step& step) {
    inputs.clear();
    for (const auto& in : step.inputs) inputs.push_back({in.shape(), in.values()});
  };
  watch.after = [&](const Step& step) {
    KernelError error{.name = std::string(step.primitive->name()),
                      .index = errors.size(),
                      .layer = step.layer,
                      .tolerance = step.primitive->tolerance(step.inputs, step.outputs)};
    const auto expected = run_reference(step, inputs);
    std::vector<Tensor64> exact;
    if (accumulate_) {
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        const auto known = accumulated_.find(step.inputs[i].data()->storage.get());
        if (known != accumulated_.end()) inputs[i].values = gather(step.inputs[i], known->second);
      }
      exact = run_reference(step, inputs);
    }
    std::vector<double> first;
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
      auto values = step.outputs[i].values();
      const auto stats = compare(values, expected[i].values, step.outputs[i].dtype());
      if (i == 0 || stats.nmse > error.isolated.nmse) {
        error.isolated = stats;
        error.shape = step.outputs[i].shape();
      }
      if (accumulate_) {
        const auto far = compare(values, exact[i].values, step.outputs[i].dtype());
        if (i == 0 || far.nmse > error.accumulated.nmse) error.accumulated = far;
        accumulated_[step.outputs[i].data()->storage.get()] = exact[i].values;
      }
      if (i == 0) first = std::move(values);
    }
    error.ok = error.isolated.nmse <= error.tolerance.nmse && error.isolated.max_abs <= error.tolerance.max_abs;
    if (seen) seen(error, first, expected[0].values);
    errors.push_back(std::move(error));
  };
  plan.run(watch);
  return errors;
}

}  // namespace glassbox::gpu
