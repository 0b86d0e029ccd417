#include "gpu/roofline.h"

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>

#include "gpu/probe.h"
#include "tests/gpu_support.h"

namespace glassbox::testing {
namespace {

using gpu::Roofline;

constexpr Roofline ceilings() { return {.bytes_per_second = 100e9, .flops_per_second = 1e12}; }

TEST(Roofline, BoundsACopyByTheBandwidth) { EXPECT_DOUBLE_EQ(ceilings().seconds({.bytes = 1e9}), 0.01); }
TEST(Roofline, BoundsArithmeticByThePeak) { EXPECT_DOUBLE_EQ(ceilings().seconds({.bytes = 1, .flops = 2e12}), 2.0); }
TEST(Roofline, TakesTheHarderOfTheTwoBounds) {
  EXPECT_DOUBLE_EQ(ceilings().seconds({.bytes = 1e9, .flops = 9e9}), 0.01);
  EXPECT_DOUBLE_EQ(ceilings().seconds({.bytes = 1e9, .flops = 11e9}), 0.011);
}
TEST(Roofline, FractionIsTheLeastTimeOverTheTimeTaken) {
  EXPECT_DOUBLE_EQ(ceilings().fraction({.bytes = 1e9, .flops = 1e9}, 0.04), 0.25);
}
TEST(Roofline, FractionPassesOneWhereCachesBeatMemory) {
  EXPECT_DOUBLE_EQ(ceilings().fraction({.bytes = 1e9}, 0.005), 2.0);
}
TEST(Roofline, FractionOfNoTimeIsZeroAndNotInfinite) { EXPECT_EQ(ceilings().fraction({.bytes = 1e9}, 0), 0); }

/// Caches of its own, so that what is measured and what is read back is known.
class MeasuredRoofline : public GpuTest {
 protected:
  MeasuredRoofline() : before_(std::getenv("XDG_CACHE_HOME") ? std::getenv("XDG_CACHE_HOME") : "") {
    setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
  }
  ~MeasuredRoofline() override {
    if (before_.empty())
      unsetenv("XDG_CACHE_HOME");
    else
      setenv("XDG_CACHE_HOME", before_.c_str(), 1);
  }
  std::filesystem::path cached_file() const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(cache.path()))
      if (entry.path().filename().string().find("ceilings") != std::string::npos) return entry.path();
    return {};
  }
  TempDir cache;

 private:
  std::string before_;
};

TEST_F(MeasuredRoofline, ReadsEachElementOnce) {
  for (const std::size_t steps : {1, 4, 7}) {
    const std::size_t invocations = 24;
    const auto x = random.normal({4 * invocations * steps});
    const auto y = gpu::Array::make({4 * invocations}, gpu::DType::f32, gpu::read_probe(device(), invocations), {x});
    expect_within_tolerance(y);
    double all = 0, read = 0;
    for (const double value : x.values()) all += value;
    for (const double value : y.values()) read += value;
    EXPECT_NEAR(read, all, 1e-4) << steps;
  }
}
TEST_F(MeasuredRoofline, IsPlausibleDatedAndKept) {
  const auto measured = gpu::measured_roofline(device());
  EXPECT_GT(measured.bytes_per_second, 1e7);
  EXPECT_LT(measured.bytes_per_second, 1e14);
  EXPECT_GT(measured.flops_per_second, 1e8);
  EXPECT_LT(measured.flops_per_second, 1e15);
  EXPECT_TRUE(std::regex_match(measured.date, std::regex(R"(20\d\d-[01]\d-[0-3]\d)"))) << measured.date;
  const auto again = gpu::measured_roofline(device());
  EXPECT_EQ(again.bytes_per_second, measured.bytes_per_second) << "measured anew, though it was on disk";
  EXPECT_EQ(again.flops_per_second, measured.flops_per_second);

  // What the file says is believed; what is no file of ours is measured again.
  std::ofstream(cached_file()) << R"({"bytes_per_second": 3e9, "flops_per_second": 4e9, "date": "2020-02-02"})";
  EXPECT_EQ(gpu::measured_roofline(device()).bytes_per_second, 3e9);
  for (const char* broken : {"", "[1, 2]", R"({"bytes_per_second": -1, "flops_per_second": 1, "date": "x"})",
                             R"({"bytes_per_second": "1", "flops_per_second": 1, "date": "x"})",
                             R"({"bytes_per_second": 1, "flops_per_second": 1, "date": 7})"}) {
    std::ofstream(cached_file()) << broken;
    EXPECT_GT(gpu::measured_roofline(device()).bytes_per_second, 1e7) << broken;
  }
}

}  // namespace
}  // namespace glassbox::testing
