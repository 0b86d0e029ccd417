#include "gpu/replay.h"

#include <numeric>

#include "tests/allocations.h"
#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Dispatch;
using gpu::Grid;
using gpu::Share;

std::uint64_t groups(const Grid& grid) { return std::uint64_t{grid.x} * grid.y * grid.z; }

Dispatch dispatch(Grid grid, Dispatch::Split split, bool barrier) {
  Dispatch d;
  d.grid = grid;
  d.split = split;
  d.barrier = barrier;
  return d;
}

TEST(ShareOut, CoversEveryGridOnceAndLoadsLanesAlike) {
  gpu::Random random(seed());
  for (int round = 0; round < 200; ++round) {
    const auto lanes = static_cast<unsigned>(random.integer(1, 5));
    std::vector<Dispatch> list;
    for (int i = 0; i < 20; ++i) {
      const auto side = [&] { return static_cast<std::uint32_t>(random.integer(1, 9)); };
      const auto split = static_cast<Dispatch::Split>(random.integer(1, 3));
      list.push_back(dispatch({side(), side(), side()}, split, random.integer(0, 2) == 0));
    }
    const auto shares = gpu::share_out(list, lanes);
    ASSERT_EQ(shares.size(), lanes * list.size());
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto& whole = list[i].grid;
      std::vector<int> seen(groups(whole), 0);
      for (unsigned lane = 0; lane < lanes; ++lane) {
        const Share& s = shares[lane * list.size() + i];
        for (std::uint32_t z = 0; z < s.groups.z; ++z)
          for (std::uint32_t y = 0; y < s.groups.y; ++y)
            for (std::uint32_t x = 0; x < s.groups.x; ++x)
              ++seen.at(((z + s.first.z) * whole.y + y + s.first.y) * whole.x + x + s.first.x);
        EXPECT_EQ(s.empty(), groups(s.groups) == 0);
      }
      ASSERT_THAT(seen, ::testing::Each(1)) << "dispatch " << i;
    }
  }
}

TEST(ShareOut, GivesWhatCannotBeSplitToEachInTurn) {
  const Grid one{1, 1, 1};
  std::vector<Dispatch> list(4, dispatch(one, Dispatch::Split::x, false));
  list[0].barrier = true;
  list.push_back(dispatch({9, 1, 1}, Dispatch::Split::none, false));
  list.push_back(dispatch({4, 1, 1}, Dispatch::Split::x, true));
  list.push_back(dispatch({5, 1, 1}, Dispatch::Split::x, true));
  list.push_back(dispatch({5, 1, 1}, Dispatch::Split::x, false));
  const auto shares = gpu::share_out(list, 2);
  const auto of = [&](std::size_t i) {
    return std::pair{groups(shares[i].groups), groups(shares[list.size() + i].groups)};
  };
  EXPECT_EQ(of(0), std::pair(1ul, 0ul));
  EXPECT_EQ(of(1), std::pair(0ul, 1ul));
  EXPECT_EQ(of(2), std::pair(1ul, 0ul));
  EXPECT_EQ(of(3), std::pair(0ul, 1ul));
  EXPECT_EQ(of(4), std::pair(9ul, 0ul)) << "whole";
  EXPECT_EQ(of(5), std::pair(2ul, 2ul));
  EXPECT_EQ(of(6), std::pair(3ul, 2ul));
  EXPECT_EQ(of(7), std::pair(2ul, 3ul)) << "the larger part to the lane that had the smaller";
}

class ReplayTest : public GpuTest {};

TEST_F(ReplayTest, AllocatesNothing) {
  if (!counts_allocations) GTEST_SKIP() << "AddressSanitizer has its own operator new";
  const gpu::Dynamic position(0);
  auto x = counting({5000});
  for (int i = 0; i < 30; ++i)
    x = i % 3 ? average(x, each("x[i] * 0.5", x))
              : each("x[i] + float(p)", x, {gpu::param<std::uint32_t>("p")}, {position});
  auto plan = gpu::Plan::record({x});
  plan.run();
  plan.run();
  const auto before = allocations();
  auto kept = std::make_unique<int>(1);
  ASSERT_EQ(allocations(), before + 1) << "they are counted";
  for (std::uint32_t i = 0; i < 50; ++i) {
    position.set(i % 7);
    plan.run();
  }
  EXPECT_EQ(allocations(), before + 1);
  EXPECT_GT(plan.issue_seconds(), 0);
}

/// Programs, buffers, texel views and parameters that change from dispatch to dispatch, or do not.
TEST_F(ReplayTest, BindsWhatChangedAndWhatSomebodyElseBound) {
  std::vector<std::shared_ptr<gpu::Arena>> arenas;
  std::vector<gpu::Array> inputs;
  for (int i = 0; i < 5; ++i) {
    arenas.push_back(std::make_shared<gpu::Arena>(device(), gpu::Arena::alignment));
    inputs.push_back(from_elements<float>({64}, gpu::DType::f32, std::vector<float>(64, static_cast<float>(1 << i)),
                                          arenas.back().get()));
  }
  std::vector<gpu::Array> sums;
  std::vector<double> expected;
  for (int i = 0; i < 40; ++i) {
    const auto a = random.integer(0, 4), b = random.integer(0, 4);
    sums.push_back(random.integer(0, 1) ? average(inputs[a], inputs[b])
                                        : each(fmt::format("x[i] * {}.0", random.integer(1, 3)), inputs[a]));
  }
  auto plan = gpu::Plan::record(sums);
  plan.run({.poison = true});  // binds everything anew at each step
  for (const auto& sum : sums) expected.push_back(sum.values()[17]);
  const auto disturb = [&] { EXPECT_EQ(average(inputs[0], inputs[1]).values()[0], 1.5); };
  for (int replay = 0; replay < 3; ++replay) {
    for (const auto& sum : sums) sum.write(std::vector<std::byte>(sum.nbytes()));
    if (replay > 0) disturb();
    plan.run();
    for (std::size_t i = 0; i < sums.size(); ++i) EXPECT_THAT(sums[i].values(), ::testing::Each(expected[i])) << i;
  }
}

}  // namespace
}  // namespace glassbox::testing
