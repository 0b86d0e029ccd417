#include "gpu/differ.h"

#include <cmath>

#include "gpu/encoder.h"
#include "gpu/ops/copy.h"
#include "gpu/ops/elementwise.h"
#include "gpu/ops/rms_norm.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::Differ;
using gpu::Inputs;
using gpu::Outputs;

/// RMSNorm's reference with a body of the test's choice: what an edited kernel in the lab is.
struct EditedRmsNorm final : gpu::Primitive {
  EditedRmsNorm(Array sound_one, const std::string& from, const std::string& to) : sound(std::move(sound_one)) {
    const auto at = kernel.body.find(from);
    require(at != std::string::npos, "rms_norm.comp has no \"{}\"", from);
    kernel.body.replace(at, from.size(), to);
  }
  Array sound;
  gpu::Kernel kernel{.name = "rms_norm",
                     .inputs = {"x", "weight"},
                     .outputs = {"y"},
                     .params = {gpu::param<std::uint32_t>("rows"), gpu::param<float>("eps")},
                     .body = gpu::shader_source("rms_norm.comp")};

  std::string_view name() const override { return "rms_norm"; }
  void eval_gpu(gpu::CommandEncoder& encoder, Inputs in, Outputs out) const override {
    encoder.dispatch(kernel, {in[0], in[1]}, {out[0]}, {static_cast<std::uint32_t>(in[0].rows()), 1e-5f},
                     encoder.flat_groups(in[0].rows()), {.local_size = encoder.reduce_size(in[0].last())});
  }
  void eval_cpu(gpu::Reference in, gpu::ReferenceOut out) const override {
    sound.data()->operation->primitive->eval_cpu(in, out);
  }
};

class DifferTest : public GpuTest {
 protected:
  /// square, rms_norm with `from` replaced by `to`, scale.
  std::vector<gpu::KernelError> run(const std::string& from, const std::string& to) {
    const auto x = gpu::square(random.normal({5, 37})), w = random.normal({37});
    const auto norm = Array::make(x.shape(), x.dtype(),
                                  std::make_shared<EditedRmsNorm>(gpu::rms_norm(x, w, 1e-5f), from, to), {x, w});
    auto plan = gpu::Plan::record({gpu::scale(norm, 2)});
    return Differ().run(plan);
  }
};

TEST_F(DifferTest, PassesSoundKernels) {
  for (const auto& error : run("eps", "eps")) EXPECT_TRUE(error.ok) << error.name;
}

/// Each is a mistake someone makes: a wrong formula, a lost row end, a forgotten write, a wrong row, a racy sum.
struct BrokenKernels : DifferTest, ::testing::WithParamInterface<std::pair<const char*, const char*>> {};
TEST_P(BrokenKernels, AreNamedAsTheFirstToDiverge) {
  const auto errors = run(GetParam().first, GetParam().second);
  ASSERT_EQ(errors.size(), 3u);
  EXPECT_TRUE(errors[0].ok);
  EXPECT_EQ(errors[1].name, "rms_norm");
  EXPECT_EQ(errors[1].index, 1u);
  EXPECT_FALSE(errors[1].ok);
  EXPECT_GT(errors[1].isolated.nmse, errors[1].tolerance.nmse);
  EXPECT_TRUE(errors[2].ok) << "what follows is right about what it was given";
}
INSTANTIATE_TEST_SUITE_P(Edits, BrokenKernels,
                         ::testing::Values(std::pair{"1.0 / sqrt(", "1.0 / ("},
                                           std::pair{"sqrt(sum / float(x_row)", "sqrt(sum / float(x_row + 1u)"},
                                           std::pair{"(x_row + 3u) / 4u", "x_row / 4u"},
                                           std::pair{"row = flat_group", "row = 0u"},
                                           std::pair{"weight_load4(0u, i)", "1.0"},
                                           std::pair{"group_sum(sum)", "sum * float(LOCAL_SIZE)"}));

TEST_F(DifferTest, TellsTheErrorOfAKernelFromWhatItWasHanded) {
  const auto x = random.normal({4, 24}, gpu::DType::f16);
  const auto y = gpu::square(gpu::cast(gpu::square(x), gpu::DType::f32));  // the first rounds to float16
  auto plan = gpu::Plan::record({y});
  Differ differ(true);
  const auto errors = differ.run(plan);
  ASSERT_EQ(errors.size(), 3u);
  EXPECT_LE(errors[2].isolated.nmse, 1e-12);
  EXPECT_GT(errors[2].accumulated.nmse, 1e-10);
  const auto exact = differ.accumulated(y);
  const auto in = x.values();
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_DOUBLE_EQ(exact[i], std::pow(in[i], 4));
}

}  // namespace
}  // namespace glassbox::testing
