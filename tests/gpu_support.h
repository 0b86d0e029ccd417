#pragma once

#include <functional>

#include "gpu/device.h"
#include "gpu/differ.h"
#include "gpu/random.h"
#include "tests/support.h"

namespace glassbox::testing {

/// The device of this test binary, opened at first use; GLASSBOX_DEVICE picks one, GLASSBOX_LIMITS applies.
gpu::Device& device();

/// A seed for fresh inputs: $GLASSBOX_TEST_SEED, or another one at each run; a failing test prints it.
std::uint64_t seed();

/// Evaluates the array's graph with poisoned outputs: every primitive of it is within its tolerance of its float64
/// reference, and of `nmse` where a test knows a smaller bound; and a second run gives the same bits.
void expect_within_tolerance(const gpu::Array& array, double nmse = 1);

/// Calls `test` on a thread of its own with a second device of the same driver, opened with these options.
void on_another_device(gpu::Device::Options options, const std::function<void(gpu::Random&)>& test);

/// Opens the device before each test and names the seed when one fails.
class GpuTest : public ::testing::Test {
 protected:
  GpuTest() : random(seed()) { device(); }
  void TearDown() override {
    if (HasFailure()) RecordProperty("seed", std::to_string(seed()));
    if (HasFailure()) std::fprintf(stderr, "GLASSBOX_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed()));
  }
  gpu::Random random;
};

}  // namespace glassbox::testing
