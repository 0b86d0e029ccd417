#include "gpu/program_cache.h"

#include <fstream>

#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::DType;

/// Devices of the test's own on an empty cache directory.
class ProgramCacheTest : public GpuTest {
 protected:
  TempDir directory;
  ScopedEnvironment cache{"XDG_CACHE_HOME", directory.path().c_str()};

  static std::vector<double> doubled() { return each("x[i] * 2.0", counting({5})).values(); }
  /// What computing `doubled` on a fresh device took; probing it is not counted.
  gpu::ProgramCache::Statistics statistics() {
    gpu::ProgramCache::Statistics taken;
    on_own_device({.index = device_index()}, [&](gpu::Device& own) {
      const auto before = own.programs().statistics();
      EXPECT_THAT(doubled(), ::testing::ElementsAre(0, 2, 4, 6, 8));
      const auto once = own.programs().statistics();
      doubled();
      EXPECT_EQ(own.programs().statistics().compiled, once.compiled) << "the second time from memory";
      EXPECT_EQ(own.programs().statistics().from_disk, once.from_disk);
      taken = {.compiled = once.compiled - before.compiled, .from_disk = once.from_disk - before.from_disk};
    });
    return taken;
  }
  std::vector<std::filesystem::path> binaries() {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path()))
      if (entry.path().extension() == ".bin") files.push_back(entry.path());
    return files;
  }
};

TEST_F(ProgramCacheTest, CompilesOnceAndThenReadsTheDisk) {
  const bool has_binaries = device().features().program_binary;
  EXPECT_EQ(statistics().compiled, 1u);
  EXPECT_EQ(binaries().empty(), !has_binaries);
  const auto second = statistics();
  EXPECT_EQ(second.compiled, has_binaries ? 0u : 1u);
  EXPECT_EQ(second.from_disk, has_binaries ? 1u : 0u);
}

TEST_F(ProgramCacheTest, IgnoresBrokenBinaries) {
  if (!device().features().program_binary) GTEST_SKIP() << "this driver has no program binaries";
  statistics();
  const std::vector<std::function<void(const std::filesystem::path&)>> breaks{
      [](const auto& file) { std::filesystem::resize_file(file, 0); },
      [](const auto& file) { std::filesystem::resize_file(file, 3); },
      [](const auto& file) { std::filesystem::resize_file(file, 4); },
      [](const auto& file) { std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2); },
      [](const auto& file) { std::ofstream(file) << std::string(5000, 'x'); }};
  for (const auto& broken : breaks) {
    for (const auto& file : binaries()) broken(file);
    EXPECT_EQ(statistics().compiled, 1u);
    EXPECT_EQ(statistics().from_disk, 1u) << "written anew";
  }
}

TEST_F(ProgramCacheTest, KeepsNothingOfAKernelThatDoesNotCompile) {
  on_own_device({.index = device_index()}, [&](gpu::Device& own) {
    const auto before = own.programs().statistics();
    const auto files = binaries().size();
    for (int attempt = 0; attempt < 2; ++attempt)
      EXPECT_ERROR(each("nonsense", counting({5})).values(), "[each] does not compile");
    EXPECT_EQ(own.programs().statistics().compiled, before.compiled);
    EXPECT_EQ(binaries().size(), files);
    EXPECT_THAT(doubled(), ::testing::ElementsAre(0, 2, 4, 6, 8));
  });
}

TEST_F(ProgramCacheTest, GivesOneProgramForOneText) {
  auto& programs = device().programs();
  const gpu::Kernel kernel{.name = "k", .outputs = {"y"}, .body = "if (flat_id == 0u) y[0] = float(N);"};
  gpu::Variant variant{.arguments = {{}}, .wide_slots = {false}, .local_size = 8, .constants = {{"N", 1}}};
  const auto* const one = &programs.program(kernel, variant);
  EXPECT_EQ(&programs.program(kernel, variant), one);
  variant.constants = {{"N", 2}};
  EXPECT_NE(&programs.program(kernel, variant), one);
}

}  // namespace
}  // namespace glassbox::testing
