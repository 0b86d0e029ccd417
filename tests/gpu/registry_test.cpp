#include "gpu/registry.h"

#include "tests/gpu_support.h"

namespace glassbox::testing {
namespace {

using gpu::Fusion;

/// Every op that registered itself, on its own samples: what `glassbox kernels test` runs.
class RegisteredOps : public ::testing::TestWithParam<gpu::RegisteredOp> {};

TEST_P(RegisteredOps, AreWithinToleranceOfFloat64FusedAndComposed) {
  device();
  gpu::Random random(seed());
  const auto samples = GetParam().samples(random, gpu::SampleSize::test);
  ASSERT_FALSE(samples.empty());
  for (const auto& sample : samples) {
    SCOPED_TRACE(GetParam().name + " " + sample.label);
    expect_within_tolerance(sample.build(Fusion::on));
    if (sample.has_composed) expect_within_tolerance(sample.build(Fusion::off));
  }
}

INSTANTIATE_TEST_SUITE_P(All, RegisteredOps, ::testing::ValuesIn(gpu::registry()),
                         [](const auto& op) { return op.param.name; });

}  // namespace
}  // namespace glassbox::testing
