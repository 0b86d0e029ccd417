#include "gpu/plan.h"

#include <GLES3/gl32.h>

#include <algorithm>
#include <cmath>

#include "gpu/ops/elementwise.h"
#include "gpu/ops/kv_cache.h"
#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Arena;
using gpu::Array;
using gpu::DType;
using gpu::Dynamic;
using gpu::Plan;
using ::testing::Each;
using ::testing::ElementsAre;

class PlanTest : public GpuTest {
 protected:
  static constexpr std::size_t length = 1000, bytes = 4096;  // of one array, as the arena lays it

  std::shared_ptr<Arena> arena = std::make_shared<Arena>(device());

  static Array chain(Array x, int steps) {
    for (int i = 0; i < steps; ++i) x = each("x[i] + 1.0", x);
    return x;
  }
  static std::vector<double> plus(const Array& x, double v) {
    return mapped(x, [&](double e) { return e + v; });
  }
};

TEST_F(PlanTest, ReplaysWithChangedDynamicParams) {
  const Dynamic a(1), b(10);
  const auto x = each("float(a) + 100.0 * float(b)", zeros({3}),
                      {gpu::param<std::uint32_t>("a"), gpu::param<std::uint32_t>("b")}, {a, b});
  const auto y = each("x[i] + 0.5 * float(a)", x, {gpu::param<std::uint32_t>("a")}, {a});
  auto plan = Plan::record({y});
  for (const std::uint32_t value : {1u, 2u, 7u, 0u}) {
    a.set(value);
    b.set(value + 1);
    plan.run();
    EXPECT_THAT(y.values(), Each(1.5 * value + 100 * (value + 1)));
  }
  a.set(4);
  plan.run_timed();
  EXPECT_THAT(y.values(), Each(106));
  a.set(6);
  plan.run(Plan::Watch{});
  EXPECT_THAT(y.values(), Each(109));
}

TEST_F(PlanTest, OfALongChainStandsOnTwoArrays) {
  const auto x = counting({length});
  const auto y = chain(x, 50);
  auto plan = Plan::record({y}, arena);
  EXPECT_LE(arena->peak_bytes(), 3 * bytes) << "two to go back and forth, and the result";
  EXPECT_EQ(arena->used_bytes(), bytes) << "the result alone is held";
  plan.run();
  EXPECT_EQ(y.values(), plus(x, 50));
}

TEST_F(PlanTest, ReplaysOverNoArrayThatIsHeld) {
  const auto x = counting({length});
  const auto y = chain(x, 6);
  auto plan = Plan::record({y}, arena);
  plan.run();
  std::vector<Array> later;
  for (int i = 0; i < 8; ++i) later.push_back(Array::from_bytes({length}, DType::f32, x.bytes(), arena.get()));
  plan.run();
  for (const auto& array : later) ASSERT_EQ(array.values(), x.values()) << "laid down after the plan was recorded";
  EXPECT_EQ(y.values(), plus(x, 6));
}

TEST_F(PlanTest, SharesScratchWithTheOtherPlansOfItsArena) {
  const auto x = counting({length});
  const auto a = chain(x, 5), b = chain(x, 9), c = average(chain(x, 2), chain(x, 4));
  auto first = Plan::record({a}, arena);
  const auto one = arena->peak_bytes();
  auto second = Plan::record({b}, arena);
  EXPECT_LE(arena->peak_bytes(), one + bytes) << "only its result is new";
  auto third = Plan::record({c}, arena);
  for (int round = 0; round < 3; ++round) {
    first.run();
    second.run();
    third.run();
    first.run();
    EXPECT_EQ(a.values(), plus(x, 5));
    EXPECT_EQ(b.values(), plus(x, 9));
    EXPECT_EQ(c.values(), plus(x, 3));
  }
}

TEST_F(PlanTest, RunsAfterOthersThatReadAndWriteItsArrays) {
  const auto x = counting({length});
  const auto y = chain(x, 3);
  auto plan = Plan::record({y});
  plan.run();
  EXPECT_EQ(chain(y, 4).values(), plus(x, 7));
  x.write(zeros({length}).bytes());
  plan.run();
  EXPECT_THAT(y.values(), Each(3));
}

TEST_F(PlanTest, OfARandomGraphIsWhatFloatsOnTheCpuSay) {
  for (int round = 0; round < 8; ++round) {
    const std::size_t rows = random.integer(1, 9), columns = random.integer(1, 30);
    struct Node {
      Array array;
      std::vector<float> values;
    };
    std::vector<Node> nodes, held;
    for (int i = 0; i < 3; ++i) {
      const auto x = random.normal({rows, columns});
      nodes.push_back({x, elements<float>(x)});
    }
    const auto pick = [&]() -> const Node& { return nodes[random.integer(0, nodes.size() - 1)]; };
    for (int i = 0; i < 80; ++i) {
      const Node a = pick(), b = pick();
      Node node{{}, std::vector<float>(rows * columns)};
      if (random.integer(0, 3) == 0) {  // through a transposed view, which the runtime makes contiguous
        node.array = average(a.array.transpose({1, 0}), b.array.transpose({1, 0})).transpose({1, 0});
      } else {
        node.array = average(a.array, b.array);
      }
      for (std::size_t k = 0; k < node.values.size(); ++k) node.values[k] = (a.values[k] + b.values[k]) * 0.5f;
      if (random.integer(0, 5) == 0) held.push_back(node);
      nodes.push_back(node);
      if (random.integer(0, 2) == 0)
        nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(random.integer(0, nodes.size() - 2)));
    }
    held.push_back(nodes.back());
    const auto last = nodes.back();
    nodes.clear();
    auto plan = Plan::record({last.array}, arena);
    plan.run({.poison = true});
    for (int replay = 0; replay < 2; ++replay) {
      for (const auto& node : held)
        if (node.array.evaluated()) ASSERT_EQ(elements<float>(node.array), node.values);
      plan.run();
    }
  }
}

TEST_F(PlanTest, KeepsWhatTheCallerHolds) {
  const auto x = counting({length});
  std::vector<Array> middle;
  Array y = x;
  for (int i = 0; i < 20; ++i) middle.push_back(y = each("x[i] + 1.0", y));
  const auto view = middle[7].reshape({length / 2, 2}).slice(1, 0, 1);
  const auto expected = mapped(counting({length / 2}), [](double v) { return 2 * v + 8; });
  std::erase_if(middle, [&, i = 0](const Array&) mutable { return ++i % 3 == 0 || i == 8; });
  gpu::eval({y});
  for (const auto& array : middle) {
    const auto values = array.values();
    EXPECT_EQ(values, plus(x, values[0]));
  }
  EXPECT_EQ(view.values(), expected) << "held by a view alone";
}

TEST_F(PlanTest, ReadsAnArrayTwiceThroughViewsBeforeItGoes) {
  const auto a = chain(counting({6, 8}), 1);
  const auto b = average(a.transpose({1, 0}), a.transpose({1, 0}));
  const auto c = average(b, chain(b, 2));
  const auto y = average(c.transpose({1, 0}), a);
  auto plan = Plan::record({y}, arena);
  plan.run({.poison = true});
  EXPECT_EQ(y.values(), mapped(counting({6, 8}), [](double v) { return v + 1.5; }));
}

TEST_F(PlanTest, JoinsADiamond) {
  const auto x = counting({length});
  const auto top = chain(x, 1);
  const auto y = average(average(top, chain(top, 2)), average(chain(top, 4), top));
  EXPECT_EQ(y.values(), plus(x, 2.5));
  EXPECT_EQ(Plan::record({average(top, top)}).steps().size(), 1u) << "top is evaluated already: " << top.evaluated();
}

TEST_F(PlanTest, DropsOutputsThatNobodyHolds) {
  const gpu::Kernel kernel{
      .name = "two",
      .inputs = {"x"},
      .outputs = {"y", "z"},
      .body = "if (flat_id < x_size) { y[flat_id] = x[flat_id] + 1.0; z[flat_id] = -x[flat_id]; }"};
  const auto x = counting({length});
  Array z = x;
  for (int i = 0; i < 10; ++i)
    z = launch_all(
        {.kernel = kernel, .outputs = {{{length}, DType::f32}, {{length}, DType::f32}}, .invocations = length}, {z})[1];
  auto plan = Plan::record({z}, arena);
  plan.run();
  plan.run();
  EXPECT_EQ(z.values(), x.values());
  EXPECT_LE(arena->peak_bytes(), 4 * bytes);
}

TEST_F(PlanTest, ChainsStepsInPlace) {
  const auto cache = zeros({1, 6, 4});
  const Dynamic first(1), second(3);
  const auto row = [](double v) { return array({1, 1, 4}, {v, v, v, v}); };
  const auto packed = gpu::kv_pack(gpu::kv_pack(cache, row(7), first), row(9), second);
  auto plan = Plan::record({packed});
  plan.run();
  const auto rows = [&] {
    std::vector<double> values;
    for (std::size_t i = 0; i < 6; ++i) values.push_back(packed.values()[4 * i]);
    return values;
  };
  EXPECT_THAT(rows(), ElementsAre(0, 7, 0, 9, 0, 0));
  EXPECT_EQ(cache.values(), packed.values()) << "one storage";
  first.set(0);
  second.set(5);
  plan.run();
  EXPECT_THAT(rows(), ElementsAre(7, 7, 0, 9, 0, 9));
}

TEST_F(PlanTest, KeepsWhatIsWrittenInPlaceWithItsResult) {
  const auto cache = each("2.0", zeros({1, 64, 4}));  // made by the plan, held by nobody
  const auto packed = gpu::kv_pack(each("x[i] + 1.0", cache), array({1, 1, 4}, {5, 5, 5, 5}), Dynamic(1));
  auto plan = Plan::record({packed}, arena);
  auto other = Plan::record({chain(counting({256}), 4)}, arena);
  plan.run();
  other.run();
  auto expected = std::vector<double>(256, 3.0);
  std::fill_n(expected.begin() + 4, 4, 5.0);
  EXPECT_EQ(packed.values(), expected) << "not in the scratch that the other plan writes";
}

TEST_F(PlanTest, RefusesToReadWhatWasWrittenOver) {
  const auto cache = zeros({1, 6, 4});
  const auto packed = gpu::kv_pack(cache, zeros({1, 1, 4}), Dynamic(0));
  const auto stale = gpu::kv_unpack(cache, Dynamic(0), 1);
  EXPECT_ERROR(Plan::record({packed, stale}), "[kv_unpack] reads an array that kv_pack wrote over");
}
TEST_F(PlanTest, RefusesToWriteAViewInPlace) {
  const auto cache = zeros({2, 6, 4});
  EXPECT_ERROR(Plan::record({gpu::kv_pack(cache.slice(0, 1, 2), zeros({1, 1, 4}), Dynamic(0))}), "it cannot be a view");
}

TEST_F(PlanTest, TakesGraphsOfAnyDepth) {
  const auto x = counting({4});
  constexpr int depth = 20000;
  const auto y = chain(x, depth);
  auto plan = Plan::record({y}, arena);
  EXPECT_EQ(plan.steps().size(), static_cast<std::size_t>(depth));
  EXPECT_EQ(arena->peak_bytes(), 2 * Arena::alignment) << "one array read, one written";
  plan.run();
  EXPECT_EQ(y.values(), plus(x, depth));
}

TEST_F(PlanTest, ThatFailsLeavesArraysAndArenaAsTheyWere) {
  const auto x = counting({length});
  const auto sound = chain(x, 3);
  const auto broken =
      launch({.kernel = {.name = "broken", .inputs = {"x"}, .outputs = {"y"}, .body = "y[0] = nonsense;"},
              .outputs = {{{length}, DType::f32}}},
             {sound});
  const auto before = arena->used_bytes();
  for (int attempt = 0; attempt < 3; ++attempt) {
    EXPECT_ERROR(Plan::record({chain(broken, 2)}, arena), "[broken] does not compile");
    EXPECT_EQ(arena->used_bytes(), before);
    EXPECT_FALSE(sound.evaluated()) << "it was recorded and never ran";
    EXPECT_FALSE(broken.evaluated());
  }
  EXPECT_EQ(sound.values(), plus(x, 3));
  EXPECT_ERROR(broken.values(), "[broken] does not compile");
}

TEST_F(PlanTest, PoisonShowsWhatAKernelForgets) {
  const auto y =
      launch({.kernel = {.name = "half", .outputs = {"y"}, .body = "if (flat_id < y_size / 2u) y[flat_id] = 1.0;"},
              .outputs = {{{length}, DType::f32}},
              .invocations = length},
             {});
  auto plan = Plan::record({y});
  plan.run({.poison = true});
  const auto values = y.values();
  EXPECT_EQ(std::count_if(values.begin(), values.end(), [](double v) { return std::isnan(v); }), length / 2);
}

TEST_F(PlanTest, IsWatchedStepByStep) {
  const auto x = counting({length});
  const auto y = average(chain(x, 3).reshape({length / 4, 4}).transpose({1, 0}), zeros({4, length / 4}));
  auto plan = Plan::record({y});
  std::vector<std::string> names;
  double before = -1;
  plan.run({.before = [&](const gpu::Step& step) { before = step.inputs[0].values()[0]; },
            .after =
                [&](const gpu::Step& step) {
                  names.emplace_back(step.primitive->name());
                  if (step.primitive->name() == "each") EXPECT_EQ(step.outputs[0].values()[0], before + 1);
                }});
  EXPECT_THAT(names, ElementsAre("each", "each", "each", "copy", "average"));
  EXPECT_EQ(plan.copies(), 1u);
  EXPECT_EQ(plan.steps()[2].first, 2u);
  EXPECT_EQ(plan.steps()[2].count, 1u);
}

TEST_F(PlanTest, LetsNoOtherUseItsScratchWhileItIsWatched) {
  const auto x = counting({length});
  auto plan = Plan::record({chain(x, 3)}, arena);
  auto other = Plan::record({chain(x, 2)}, arena);
  const auto elsewhere = chain(x, 1);
  plan.run({.after = [&](const gpu::Step&) {
    EXPECT_ERROR(other.run(), "while one is watched");
    EXPECT_ERROR(plan.run(), "while one is watched");
    EXPECT_ERROR(Plan::record({chain(x, 1)}, arena), "while one is watched");
    EXPECT_EQ(elsewhere.values(), plus(x, 1)) << "another arena is another matter";
  }});
  other.run();
  EXPECT_ERROR(plan.run({.before = [](const gpu::Step&) { fail("thrown by a watcher"); }}), "thrown by a watcher");
  plan.run();
}

TEST_F(PlanTest, OfNothingRuns) {
  Plan nothing;
  nothing.run();
  nothing.run(Plan::Watch{.poison = true});
  EXPECT_TRUE(nothing.run_timed().empty());
  const auto x = counting({3});
  auto evaluated = Plan::record({x});
  evaluated.run();
  EXPECT_TRUE(evaluated.dispatches().empty());
}

TEST_F(PlanTest, SaysWhatTheDriverReports) {
  auto plan = Plan::record({chain(counting({3}), 1)});
  glEnable(0xdead);
  EXPECT_ERROR(plan.run(), "while running kernels");
  plan.run();
}

TEST_F(PlanTest, OfAClosedDeviceSaysSo) {
  std::optional<Plan> plan;
  on_own_device({.index = device_index()}, [&](gpu::Device&) { plan = Plan::record({chain(counting({3}), 2)}); });
  EXPECT_ERROR(plan->run(), "closed");
  EXPECT_ERROR(plan->run_timed(), "closed");
}

}  // namespace
}  // namespace glassbox::testing
