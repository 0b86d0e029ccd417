#include "gpu/custom_kernel.h"

#include "tests/gpu_support.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::Kernel;
using gpu::Plan;
using gpu::Shape;

class CustomKernel : public GpuTest {};

const Kernel saxpy{.name = "saxpy",
                   .inputs = {"x", "y"},
                   .outputs = {"z"},
                   .params = {gpu::param<float>("a")},
                   .body = "if (flat_id >= x_size) return;\nz[flat_id] = a * x[flat_id] + y[flat_id];"};

gpu::KernelLaunch launch_saxpy(float a, std::size_t size) {
  return {.params = {a},
          .grid = {static_cast<std::uint32_t>((size + 31) / 32)},
          .options = {.local_size = 32},
          .reference = [a](gpu::Reference in, gpu::ReferenceOut out) {
            out[0].flat() = double(a) * in[0].flat() + in[1].flat();
          }};
}

TEST_F(CustomKernel, TypedByAPersonIsTheSameAsABuiltInOne) {
  const Shape shape{random.integer(1, 1000)};
  expect_within_tolerance(
      gpu::kernel(saxpy, {random.normal(shape), random.normal(shape)}, {{shape}}, launch_saxpy(0.3f, shape[0]))[0]);
}

TEST_F(CustomKernel, SaysWhichLineOfTheBodyDoesNotCompile) {
  Kernel broken = saxpy;
  broken.body = "float fine = 1.0;\nfloat broken = undeclared_name;\nz[0] = fine + broken;";
  const auto z = gpu::kernel(broken, {random.normal({4}), random.normal({4})}, {{{4}}}, launch_saxpy(1, 4))[0];
  EXPECT_ERROR(z.values(), "undeclared_name");
}

TEST_F(CustomKernel, WithoutAReferenceRunsButCannotBeDiffed) {
  auto launch = launch_saxpy(2, 3);
  launch.reference = nullptr;
  const auto z = gpu::kernel(saxpy,
                             {Array::from_values({3}, DType::f32, std::vector<double>{1, 2, 3}),
                              Array::from_values({3}, DType::f32, std::vector<double>{10, 20, 30})},
                             {{{3}}}, launch)[0];
  EXPECT_EQ(z.values(), (std::vector<double>{12, 24, 36}));
  const auto again = gpu::kernel(saxpy, {z, z}, {{{3}}}, launch)[0];
  auto plan = Plan::record({again});
  EXPECT_ERROR(gpu::Differ().run(plan), "no float64 reference");
}

TEST_F(CustomKernel, RefusesAnotherNumberOfInputs) {
  EXPECT_ERROR(gpu::kernel(saxpy, {random.normal({4})}, {{{4}}}, launch_saxpy(1, 4)),
               "takes 2 inputs, 1 outputs and 1 params, received 1, 1 and 1");
}

}  // namespace
}  // namespace glassbox::testing
