#include "gpu/device.h"

#include <GLES3/gl32.h>

#include <fstream>

#include "gpu/cache_dir.h"
#include "gpu/egl.h"
#include "gpu/probe.h"
#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Device;
using gpu::LoadPath;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<double> computed() { return each("x[i] * 2.0", counting({3})).values(); }

class DeviceTest : public GpuTest {};

TEST_F(DeviceTest, SaysWhatItIs) {
  EXPECT_FALSE(device().renderer().empty());
  EXPECT_THAT(device().version(), HasSubstr("OpenGL ES 3"));
  const auto& limits = device().limits();
  EXPECT_GE(limits.ssbo_bindings, 4u) << "what ES 3.1 guarantees, section 20.3";
  EXPECT_GE(limits.invocations, 128u);
  EXPECT_GE(limits.shared_bytes, 16384u);
  EXPECT_GE(limits.ssbo_block_bytes, 1u << 27);
  for (const auto groups : limits.groups) EXPECT_GE(groups, 65535u);
  EXPECT_THAT(device().features().es_version, AnyOf(310, 320));
  EXPECT_EQ(&Device::current(), &device());
}

TEST_F(DeviceTest, ThatIsNotThereIsRefused) {
  EXPECT_ERROR(on_own_device({.index = 99}, [](Device&) {}), "--device 99 does not exist, this machine has 0 to");
}

TEST_F(DeviceTest, RefusesUnknownLimits) {
  EXPECT_ERROR(on_own_device({.index = device_index(), .limits = "tiny"}, [](Device&) {}),
               "GLASSBOX_LIMITS=tiny is unknown, expected es31, v3d or panfrost");
}

struct Pretended : DeviceTest, ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Drivers, Pretended, ::testing::Values("es31", "v3d", "panfrost"),
                         [](const auto& name) { return std::string(name.param); });

TEST_P(Pretended, LimitsAreAppliedAndEnough) {
  const std::string name = GetParam();
  on_own_device({.index = device_index(), .limits = name}, [&](Device& own) {
    EXPECT_EQ(own.pretended(), name);
    EXPECT_LE(own.limits().ssbo_bindings, name == "es31" ? 4u : name == "panfrost" ? 8u : 16u);
    EXPECT_LE(own.limits().invocations, name == "es31" ? 128u : 256u);
    EXPECT_LE(own.limits().shared_bytes, name == "panfrost" ? 32768u : 16384u);
    EXPECT_EQ(own.features().es_version, 310);
    EXPECT_FALSE(own.features().subgroups || own.features().timestamps);
    EXPECT_FALSE(own.features().shuffles || own.features().half_floats);
    EXPECT_EQ(own.timer_source(), gpu::TimerSource::cpu_clock);
    if (name == "es31") {
      EXPECT_FALSE(own.features().texel_buffers || own.features().buffer_storage || own.features().precise);
      EXPECT_EQ(own.load_path(), LoadPath::ssbo);
    }
    EXPECT_NE(own.cache_key(), device().pretended() == name ? "" : device().cache_key());
    EXPECT_THAT(computed(), ElementsAre(0, 2, 4));
  });
}

TEST_F(DeviceTest, TakesTheLoadPathItIsTold) {
  for (const auto path : {LoadPath::ssbo, LoadPath::image, LoadPath::texel}) {
    const Device::Options options{.index = device_index(), .load_path = path};
    if (path == LoadPath::ssbo || device().features().texel_buffers)
      on_own_device(options, [&](Device& own) {
        EXPECT_EQ(own.load_path(), path);
        EXPECT_THAT(computed(), ElementsAre(0, 2, 4));
      });
    else
      EXPECT_ERROR(on_own_device(options, [](Device&) {}), "this device has no buffer textures");
  }
  EXPECT_ERROR(on_own_device({.index = device_index(), .load_path = LoadPath::image, .limits = "es31"}, [](Device&) {}),
               "--load-path image: this device has no buffer textures (GLASSBOX_LIMITS=es31)");
}
TEST_F(DeviceTest, ReadsNamesOfLoadPaths) {
  for (const auto path : {LoadPath::ssbo, LoadPath::image, LoadPath::texel})
    EXPECT_EQ(gpu::parse_load_path(gpu::name_of(path)), path);
  EXPECT_ERROR(gpu::parse_load_path("vram"), "load path 'vram' is unknown, expected ssbo, image or texel");
}

TEST_F(DeviceTest, IsTheOnlyOneOfItsThread) {
  EXPECT_ERROR(Device::open({.index = device_index()}), "a device is open on this thread already");
  EXPECT_THAT(computed(), ElementsAre(0, 2, 4)) << "and goes on";
}

TEST_F(DeviceTest, ReopensAfterItWasClosed) {
  std::thread([] {
    for (int i = 0; i < 3; ++i) {
      const auto own = Device::open({.index = device_index()});
      EXPECT_THAT(computed(), ElementsAre(0, 2, 4));
    }
    EXPECT_ERROR(Device::current(), "no device is open on this thread");
    EXPECT_ERROR(counting({3}), "no device is open on this thread");
  }).join();
}

TEST_F(DeviceTest, OfEveryThreadComputesForItself) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([t] {
      const auto own = Device::open({.index = device_index()});
      auto x = array({100}, std::vector<double>(100, t));
      for (int i = 0; i < 50; ++i) x = each("x[i] + 1.0", x);
      EXPECT_THAT(x.values(), ::testing::Each(50 + t));
    });
  for (auto& thread : threads) thread.join();
}

TEST_F(DeviceTest, MayCloseBeforeItsArrays) {
  gpu::Array left, view;
  std::optional<gpu::Plan> plan;
  on_own_device({.index = device_index()}, [&](Device&) {
    left = counting({1000});
    view = left.reshape({10, 100}).transpose({1, 0});
    plan = gpu::Plan::record({each("x[i]", left)});
    plan->run();
  });
  EXPECT_ERROR(left.values(), "closed");
  EXPECT_ERROR(view.values(), "closed");
  on_own_device({.index = device_index()}, [&](Device&) {
    const auto theirs = counting({1000});
    left = view = gpu::Array();
    plan.reset();
    EXPECT_EQ(theirs.values()[999], 999) << "what dies late frees nothing of another device";
  });
}

/// Caches are never needed: whatever is wrong with their directory, the device opens and computes.
class CacheDirectory : public DeviceTest {
 protected:
  TempDir directory;
  static void expect_works(LoadPath* path = nullptr) {
    on_own_device({.index = device_index()}, [&](Device& own) {
      EXPECT_THAT(computed(), ElementsAre(0, 2, 4));
      if (path) *path = own.load_path();
    });
  }
};

TEST_F(CacheDirectory, MayBeNowhere) {
  const ScopedEnvironment cache("XDG_CACHE_HOME", nullptr), home("HOME", nullptr);
  EXPECT_FALSE(gpu::cache_directory("programs").has_value());
  expect_works();
}
TEST_F(CacheDirectory, MayBeAFile) {
  const auto file = directory.path() / "file";
  std::ofstream(file) << "no directory";
  const ScopedEnvironment cache("XDG_CACHE_HOME", file.c_str());
  EXPECT_FALSE(gpu::cache_directory("programs").has_value());
  expect_works();
}
TEST_F(CacheDirectory, MayBeReadOnly) {
  const ScopedEnvironment cache("XDG_CACHE_HOME", "/proc/self");  // not even root writes there
  EXPECT_FALSE(gpu::cache_directory("programs").has_value());
  expect_works();
}
TEST_F(CacheDirectory, MayBeFullOfDirectories) {
  const ScopedEnvironment cache("XDG_CACHE_HOME", directory.path().c_str());
  expect_works();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path()))
    if (entry.is_regular_file()) {  // a file's place taken by a directory
      const auto path = entry.path();
      std::filesystem::remove(path);
      std::filesystem::create_directories(path / "x");
    }
  expect_works();
}
TEST_F(CacheDirectory, FollowsTheStandard) {
  {
    const ScopedEnvironment cache("XDG_CACHE_HOME", directory.path().c_str());
    EXPECT_EQ(gpu::cache_directory("a"), directory.path() / "glassbox" / "a");
    EXPECT_TRUE(std::filesystem::is_directory(directory.path() / "glassbox" / "a"));
  }
  const ScopedEnvironment relative("XDG_CACHE_HOME", "cache"), home("HOME", directory.path().c_str());
  EXPECT_EQ(gpu::cache_directory("a"), directory.path() / ".cache" / "glassbox" / "a") << "relative ones are invalid";
}
TEST_F(CacheDirectory, HashesNamesAlikeEverywhere) {
  EXPECT_EQ(gpu::stable_hash(""), 0xcbf29ce484222325u);
  EXPECT_EQ(gpu::stable_hash("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(gpu::stable_hash("foobar"), 0x85944171f73967e8u);
}

TEST_F(CacheDirectory, RemembersTheLoadPathAndIgnoresABrokenFile) {
  if (!device().features().texel_buffers) GTEST_SKIP() << "this device has one load path";
  const ScopedEnvironment cache("XDG_CACHE_HOME", directory.path().c_str());
  expect_works();
  const auto file = *gpu::cache_directory("devices") / (device().cache_key() + "-load-paths.json");
  ASSERT_TRUE(std::filesystem::exists(file));
  const auto path_told_by = [&](const std::string& text) {
    std::ofstream(file) << text;
    LoadPath path{};
    expect_works(&path);
    return path;
  };
  EXPECT_EQ(path_told_by("[1, 1, 100]"), LoadPath::texel);
  EXPECT_EQ(path_told_by("[1, 100, 1]"), LoadPath::image);
  EXPECT_EQ(path_told_by("[1, 1.05, 1]"), LoadPath::ssbo) << "another path must earn its place";
  for (const char* broken : {"", "[1, 2", "{}", "[1, 2]", "[1, \"x\", 3]", "[0, 0, 0]", "[-1, -1, -1]", "\xff\xfe"}) {
    path_told_by(broken);
    std::ifstream written(file);
    const std::string text((std::istreambuf_iterator<char>(written)), {});
    EXPECT_NE(text, broken) << "measured and written anew";
  }
}

TEST_F(DeviceTest, TellsTheDriversErrorsOnce) {
  glEnable(0xdead);
  EXPECT_ERROR(device().check("testing"), "while testing");
  device().check("testing");
  glEnable(0xdead);
  glEnable(0xbeef);
  device().forget_errors();
  device().check("testing");
}

TEST_F(DeviceTest, ListsItsCandidatesHardwareFirst) {
  const auto candidates = gpu::egl_candidates();
  ASSERT_FALSE(candidates.empty());
  EXPECT_LT(static_cast<std::size_t>(device_index()), candidates.size());
  EXPECT_TRUE(std::is_sorted(candidates.begin(), candidates.end(),
                             [](const auto& a, const auto& b) { return a.software < b.software; }));
  for (const auto& candidate : candidates) EXPECT_FALSE(candidate.name.empty());
}

}  // namespace
}  // namespace glassbox::testing
