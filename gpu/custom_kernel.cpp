#include "gpu/custom_kernel.h"

#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

struct CustomKernel final : Primitive {
  CustomKernel(const Kernel& kernel_of, KernelLaunch launched) : kernel(kernel_of), launch(std::move(launched)) {}
  Kernel kernel;
  KernelLaunch launch;

  std::string_view name() const override { return kernel.name; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    encoder.dispatch(kernel, {in.begin(), in.end()}, {out.begin(), out.end()}, launch.params, launch.grid,
                     launch.options);
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    require(launch.reference != nullptr, "[{}] has no float64 reference to be compared with", kernel.name);
    launch.reference(in, out);
  }
  Tolerance tolerance(Inputs, Outputs) const override { return launch.tolerance; }
};

}  // namespace

std::vector<Array> kernel(const Kernel& kernel, std::vector<Array> inputs, std::vector<OutputSpec> outputs,
                          KernelLaunch launch) {
  require(inputs.size() == kernel.inputs.size() && outputs.size() == kernel.outputs.size() &&
              launch.params.size() == kernel.params.size(),
          "[{}] takes {} inputs, {} outputs and {} params, received {}, {} and {}", kernel.name, kernel.inputs.size(),
          kernel.outputs.size(), kernel.params.size(), inputs.size(), outputs.size(), launch.params.size());
  return Array::make_all(std::move(outputs), std::make_shared<CustomKernel>(kernel, std::move(launch)),
                         std::move(inputs));
}

}  // namespace glassbox::gpu
