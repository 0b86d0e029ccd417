#include "tests/gpu_support.h"

#include <random>
#include <thread>

#include "gpu/plan.h"

namespace glassbox::testing {

gpu::Device& device() {
  static const auto opened = [] {
    const char* index = std::getenv("GLASSBOX_DEVICE");
    return gpu::Device::open({.index = index ? std::atoi(index) : -1});
  }();
  return *opened;
}

std::uint64_t seed() {
  static const std::uint64_t value = [] {
    const char* given = std::getenv("GLASSBOX_TEST_SEED");
    return given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();
  return value;
}

void expect_within_tolerance(const gpu::Array& array, double nmse) {
  auto plan = gpu::Plan::record({array});
  const auto errors = gpu::Differ().run(plan);
  ASSERT_FALSE(errors.empty()) << "nothing was computed";
  for (const auto& error : errors)
    EXPECT_TRUE(error.ok && error.isolated.nmse <= nmse)
        << error.name << " (step " << error.index << ") of shape " << fmt::format("{}", error.shape) << ": NMSE "
        << error.isolated.nmse << " (allowed " << std::min(nmse, error.tolerance.nmse) << "), max abs "
        << error.isolated.max_abs << " (allowed " << error.tolerance.max_abs << ") at " << error.isolated.worst << ": "
        << error.isolated.worst_value << " for " << error.isolated.worst_reference;
  const auto first = array.bytes();
  plan.run();
  EXPECT_TRUE(first == array.bytes()) << "a second run gave other bits";
}

void on_another_device(gpu::Device::Options options, const std::function<void(gpu::Random&)>& test) {
  options.index = device().index();
  std::thread([&] {
    const auto other = gpu::Device::open(options);
    gpu::Random random(seed());
    test(random);
  }).join();
}

}  // namespace glassbox::testing
