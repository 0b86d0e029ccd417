#include "gpu/lanes.h"

#include <GLES3/gl32.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "gpu/buffer.h"
#include "gpu/shared_memory.h"
#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::Device;
using gpu::DType;
using gpu::Grid;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Entries of a directory of /proc/self.
std::size_t entries(const char* directory) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}
/// One that was joined still stands in the list for a moment.
std::size_t threads_left() {
  std::size_t least = entries("/proc/self/task");
  for (int i = 0; i < 10; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    least = std::min(least, entries("/proc/self/task"));
  }
  return least;
}
/// Descriptors of memory that buffers stand on.
std::size_t memory_files() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code closed;  // the directory's own is gone by then
    count += std::filesystem::read_symlink(entry, closed).string().find("memfd:glassbox") != std::string::npos;
  }
  return count;
}
std::size_t shared_maps() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find("memfd:glassbox") != std::string::npos;
  return count;
}

class LanesTest : public GpuTest {
 protected:
  void SetUp() override {
    if (!device().lanes()) GTEST_SKIP() << "this device has no lanes";
  }
  static gpu::Lanes& lanes() { return *device().lanes(); }
};

TEST(LanesOfADevice, AreThereOnLlvmpipeWithFewCores) {
  const auto cores = std::thread::hardware_concurrency();
  if (!device().renderer().starts_with("llvmpipe") || !device().pretended().empty() || cores < 2 || cores > 4 ||
      std::getenv("GLASSBOX_LANES") || std::getenv("LP_NUM_THREADS"))
    GTEST_SKIP() << "not where they are expected";
  ASSERT_NE(device().lanes(), nullptr);
  EXPECT_EQ(device().lane_count(), 2u);
  EXPECT_EQ(device().timer_source(), gpu::TimerSource::cpu_clock);
  EXPECT_EQ(std::getenv("LP_NUM_THREADS"), nullptr) << "other contexts of the process keep the driver's threads";
}

TEST_F(LanesTest, CanBeDeclined) {
  for (const char* name : {"GLASSBOX_LANES", "LP_NUM_THREADS"}) {
    const ScopedEnvironment one(name, "1");
    on_own_device({.index = device_index()}, [](Device& own) {
      EXPECT_EQ(own.lanes(), nullptr);
      EXPECT_EQ(own.lane_count(), 1u);
      EXPECT_NE(own.cache_key(), device().cache_key()) << "what was measured with lanes holds for lanes";
      EXPECT_THAT(each("x[i] * 2.0", counting({3})).values(), ElementsAre(0, 2, 4));
    });
  }
  for (const char* wrong : {"0", "many", "2 ", "-1"}) {
    const ScopedEnvironment lanes("GLASSBOX_LANES", wrong);
    EXPECT_ERROR(on_own_device({.index = device_index()}, [](Device&) {}), "is no number of lanes");
  }
}

TEST_F(LanesTest, CallEachOnItsOwnThreadAndWait) {
  for (int round = 0; round < 100; ++round) {
    std::vector<std::thread::id> threads(lanes().count());
    lanes().together([&](unsigned lane) { threads[lane] = std::this_thread::get_id(); });
    EXPECT_EQ(threads[0], std::this_thread::get_id());
    EXPECT_NE(threads[1], threads[0]);
    if (round % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // they fall asleep
  }
}

TEST_F(LanesTest, SeeWhatOthersWroteBeforeTheyMet) {
  const unsigned count = lanes().count();
  constexpr std::uint64_t rounds = 20000;
  std::vector<std::uint64_t> cells(8 * count, 0);  // unguarded, each written by one lane
  std::vector<std::uint64_t> wrong(8 * count, 0);
  lanes().together([&](unsigned lane) {
    for (std::uint64_t round = 1; round <= rounds; ++round) {
      cells[8 * lane] = round;
      lanes().meet(lane);
      for (unsigned other = 0; other < count; ++other) wrong[8 * lane] += cells[8 * other] != round;
      lanes().meet(lane);
    }
  });
  EXPECT_THAT(wrong, Each(0u));
}

TEST_F(LanesTest, FollowTheFirst) {
  std::atomic<unsigned> led = 0;
  std::vector<unsigned> seen(lanes().count(), 0);
  for (const unsigned rounds : {3u, 2u})
    lanes().together([&](unsigned lane) {
      if (lane == 0) led = 0;
      lanes().meet(lane);
      for (unsigned round = 1; round <= rounds; ++round) {
        if (lane == 0) {
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
          led = round;
        }
        lanes().follow(lane);
        if (lane > 0 && led >= round) ++seen[lane];
      }
    });
  for (unsigned lane = 1; lane < lanes().count(); ++lane) EXPECT_EQ(seen[lane], 5u);
}

TEST_F(LanesTest, PassOnWhatABodyThrew) {
  for (unsigned thrower = 0; thrower < lanes().count(); ++thrower) {
    EXPECT_ERROR(lanes().together([&](unsigned lane) { require(lane != thrower, "thrown by {}", lane); }),
                 fmt::format("thrown by {}", thrower));
    EXPECT_THAT(each("x[i] + 1.0", counting({3})).values(), ElementsAre(1, 2, 3));
  }
}

TEST_F(LanesTest, TellTheDriversErrorsOfAll) {
  auto plan = gpu::Plan::record({each("x[i] + 1.0", counting({3}))});
  for (unsigned lane = 0; lane < lanes().count(); ++lane) {
    lanes().together([&](unsigned each) {
      if (each == lane) glEnable(0xdead);
    });
    EXPECT_ERROR(plan.run(), "OpenGL error");
    plan.run();
  }
}

/// Every workgroup of a grid counts itself at the place that `index` gives it.
TEST_F(LanesTest, RunEveryGroupOfAGridOnce) {
  const std::pair<const char*, const char*> places[] = {
      {"by its id", "(group_id.z * dy + group_id.y) * dx + group_id.x"},
      {"by its place in a folded grid", "flat_group + group_id.z * dx * dy"},
      {"by the ids of its invocations", "(global_id.z * dy + global_id.y) * dx + global_id.x / LOCAL_SIZE"},
      {"by what GL says",
       "(gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * gl_NumWorkGroups.x + "
       "gl_WorkGroupID.x"},
      {"by GL's invocations",
       "(gl_GlobalInvocationID.z * dy + gl_GlobalInvocationID.y) * dx + "
       "gl_GlobalInvocationID.x / LOCAL_SIZE"}};
  std::vector<Grid> grids = {{1, 1, 1}, {2, 1, 1}, {1, 2, 1}, {1, 1, 2}, {7, 1, 1}, {1, 5, 1}, {3, 3, 3}};
  for (int i = 0; i < 6; ++i) {
    const auto side = [&] { return static_cast<std::uint32_t>(random.integer(1, 20)); };
    grids.push_back({side(), side(), side()});
  }
  for (const auto& [what, place] : places)
    for (const auto& grid : grids) {
      const std::size_t groups = std::size_t{grid.x} * grid.y * grid.z;
      const auto y = launch({.kernel = {.name = "count_groups",
                                        .inputs = {"x"},
                                        .outputs = {"y"},
                                        .params = {gpu::param<std::uint32_t>("dx"), gpu::param<std::uint32_t>("dy")},
                                        .body = fmt::format("uint at = ({}) * LOCAL_SIZE + local_id;\n"
                                                            "if (at < y_size) y[at] = x[at] + 1.0;",
                                                            place)},
                             .outputs = {{{groups * 8}, DType::f32}},
                             .params = {grid.x, grid.y},
                             .options = {.local_size = 8},
                             .grid = grid},
                            {counting({groups * 8})});
      auto plan = gpu::Plan::record({y});
      plan.run({.poison = true});
      for (int replay = 0; replay < 2; ++replay) {
        const auto values = y.values();
        for (std::size_t i = 0; i < values.size(); ++i)
          ASSERT_EQ(values[i], static_cast<double>(i + 1))
              << what << ", group " << i / 8 << " of " << grid.x << "x" << grid.y << "x" << grid.z;
        y.write(std::vector<std::byte>(y.nbytes()));
        plan.run();
      }
    }
}

/// A chain in which each element needs one that the other lane computed, long enough for any race to show.
TEST_F(LanesTest, OrderWhatDependsOnTheOther) {
  constexpr std::size_t length = 64 * 8;
  Array x = counting({length});
  constexpr int steps = 400;
  for (int i = 0; i < steps; ++i)
    x = launch({.kernel = {.name = "reverse",
                           .inputs = {"x"},
                           .outputs = {"y"},
                           .body = "if (flat_id < y_size) y[flat_id] = x[y_size - 1u - flat_id] + 1.0;"},
                .outputs = {{{length}, DType::f32}},
                .invocations = length,
                .options = {.local_size = 8}},
               {x});
  auto plan = gpu::Plan::record({x});
  const auto expected = mapped(counting({length}), [](double v) { return v + steps; });
  for (int run = 0; run < 20; ++run) {
    plan.run();
    ASSERT_EQ(x.values(), expected) << "run " << run;
  }
  plan.run_timed();
  EXPECT_EQ(x.values(), expected);
}

TEST_F(LanesTest, ComputeTheBitsOfOneLane) {
  const auto x = random.normal({37, 130});
  const auto graph = [](const Array& a) {
    return each("sin(x[i]) * 3.0 + exp2(x[i])", average(a, each("x[i] * x[i] - 0.3", a)));
  };
  const auto here = graph(x).bytes(), elements = x.bytes();
  std::vector<std::byte> there;
  const ScopedEnvironment one("GLASSBOX_LANES", "1");
  on_own_device({.index = device_index()}, [&](Device&) {
    there = graph(Array::from_bytes({37, 130}, DType::f32, elements)).bytes();
  });
  EXPECT_EQ(here, there);
}

TEST_F(LanesTest, LeaveNothingBehind) {
  const auto use = [] {
    on_own_device({.index = device_index()}, [](Device& own) {
      ASSERT_NE(own.lanes(), nullptr);
      gpu::Buffer buffer(own, 1 << 20);
      buffer.texture();
      EXPECT_THAT(each("x[i] * 2.0", counting({3})).values(), ElementsAre(0, 2, 4));
    });
  };
  use();  // the first may open what the process keeps
  const auto files = memory_files(), all_files = entries("/proc/self/fd"), threads = threads_left(),
             maps = shared_maps();
  for (int i = 0; i < 3; ++i) use();
  EXPECT_EQ(memory_files(), files);
  EXPECT_LE(entries("/proc/self/fd"), all_files) << "fewer where the driver has closed one of its own meanwhile";
  EXPECT_EQ(threads_left(), threads);
  EXPECT_EQ(shared_maps(), maps) << "imports of the driver, too";
  {
    gpu::Buffer buffer(device(), 1 << 20);
    EXPECT_EQ(memory_files(), files) << "a buffer needs no descriptor";
    EXPECT_EQ(shared_maps(), maps + 1 + lanes().count());
  }
  EXPECT_EQ(shared_maps(), maps);
}

TEST_F(LanesTest, OfDevicesOnSeveralThreadsComputeForThemselves) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([t] {
      const auto own = Device::open({.index = device_index()});
      ASSERT_NE(own->lanes(), nullptr);
      auto x = array({1000}, std::vector<double>(1000, t));
      for (int i = 0; i < 50; ++i) x = each("x[i] + 1.0", x);
      EXPECT_THAT(x.values(), Each(50 + t));
    });
  for (auto& thread : threads) thread.join();
}

TEST(SharedMemoryTest, IsThereOrSaysSo) {
  gpu::SharedMemory memory(3 << 20);
  EXPECT_THAT(memory.bytes(), Each(std::byte{0}));
  memory.close_file();
  std::vector<std::byte> bytes(2 << 20, std::byte{7});
  memory.write(12345, bytes);  // large: the pages leave this map, not the memory
  EXPECT_EQ(memory.bytes()[12344], std::byte{0});
  EXPECT_THAT(memory.bytes().subspan(12345, bytes.size()), Each(std::byte{7}));
  EXPECT_EQ(memory.bytes()[12345 + bytes.size()], std::byte{0});
  EXPECT_ERROR(gpu::SharedMemory(std::size_t{1} << 50), "out of device memory while allocating a buffer of");
}

}  // namespace
}  // namespace glassbox::testing
