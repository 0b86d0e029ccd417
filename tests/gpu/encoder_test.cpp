#include "gpu/encoder.h"

#include <algorithm>

#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Arena;
using gpu::Array;
using gpu::CommandEncoder;
using gpu::DType;
using gpu::Kernel;

class Packing : public GpuTest {
 protected:
  static constexpr std::size_t count = 70, length = 12;

  /// y = sum of k * xk.
  static Kernel weighted_sum() {
    Kernel kernel{
        .name = "weighted_sum", .outputs = {"y"}, .body = "if (flat_id >= y_size) return;\nfloat sum = 0.0;\n"};
    for (std::size_t k = 0; k < count; ++k) {
      kernel.inputs.push_back(fmt::format("x{}", k));
      kernel.body += fmt::format("sum += {}.0 * x{}[flat_id];\n", k, k);
    }
    kernel.body += "y[flat_id] = sum;\n";
    return kernel;
  }
  static Array sum(std::vector<Array> inputs) {
    return launch({.kernel = weighted_sum(), .outputs = {{{length}, DType::f32}}, .invocations = length},
                  std::move(inputs));
  }
  /// xk[i] = k + i, on the arena of k.
  static std::vector<Array> inputs(const std::function<Arena*(std::size_t)>& arena) {
    std::vector<Array> list;
    for (std::size_t k = 0; k < count; ++k) {
      std::vector<float> values(length);
      for (std::size_t i = 0; i < length; ++i) values[i] = static_cast<float>(k + i);
      list.push_back(from_elements<float>({length}, DType::f32, values, arena(k)));
    }
    return list;
  }
  static std::vector<double> expected() {
    std::vector<double> values(length, 0.0);
    for (std::size_t k = 0; k < count; ++k)
      for (std::size_t i = 0; i < length; ++i) values[i] += static_cast<double>(k * (k + i));
    return values;
  }
};

TEST_F(Packing, SeventyInputsOfOneArenaTakeFourBindings) {
  const auto y = sum(inputs([](auto) { return nullptr; }));
  auto plan = gpu::Plan::record({y});
  plan.run();
  EXPECT_EQ(y.values(), expected());
  EXPECT_EQ(plan.dispatches().size(), 1u);
  EXPECT_LE(plan.dispatches()[0].slots.size(), 4u);
  EXPECT_EQ(plan.copies(), 0u);
}

TEST_F(Packing, SeventyInputsOfSeventyBuffersAreCopiedTogether) {
  std::vector<std::shared_ptr<Arena>> arenas;
  for (std::size_t k = 0; k < count; ++k) arenas.push_back(std::make_shared<Arena>(device(), Arena::alignment));
  const auto y = sum(inputs([&](std::size_t k) { return arenas[k].get(); }));
  auto plan = gpu::Plan::record({y});
  plan.run();
  EXPECT_EQ(y.values(), expected());
  EXPECT_GT(plan.copies(), count - device().limits().ssbo_bindings);
  EXPECT_EQ(plan.dispatches().size(), plan.copies() + 1);
  EXPECT_LE(plan.dispatches().back().slots.size(), device().limits().ssbo_bindings);
  plan.run();
  EXPECT_EQ(y.values(), expected()) << "what was packed is packed anew";
}

TEST_F(Packing, RefusesOutputsOfMoreBuffersThanBindings) {
  const auto bindings = device().limits().ssbo_bindings;
  Kernel kernel{.name = "spread", .body = "if (flat_id > 0u) return;\n"};
  for (unsigned i = 0; i <= bindings; ++i) {
    kernel.outputs.push_back(fmt::format("y{}", i));
    kernel.body += fmt::format("y{}[0] = 1.0;\n", i);
  }
  const auto arena = std::make_shared<Arena>(device(), Arena::alignment);
  const auto outputs =
      launch_all({.kernel = kernel, .outputs = std::vector<gpu::OutputSpec>(bindings + 1, {{200}, DType::f32})}, {});
  EXPECT_ERROR(gpu::Plan::record(outputs, arena),
               fmt::format("[spread] 0 inputs and {0} outputs need {0} storage bindings", bindings + 1));
}

/// What a dispatch reads and writes, in chunks of the one array.
struct Access {
  std::size_t first, second, to, chunks;
};

/// Dispatches over ranges of its own output: a chunk becomes the mean of two others.
struct Shuffle final : gpu::Primitive {
  static constexpr std::size_t chunk = 64;  // elements: one Arena::alignment
  explicit Shuffle(std::vector<Access> what) : accesses(std::move(what)) {}
  std::vector<Access> accesses;

  std::string_view name() const override { return "shuffle"; }
  std::optional<std::size_t> in_place(std::size_t) const override { return 0; }
  void eval_gpu(CommandEncoder& encoder, gpu::Inputs, gpu::Outputs out) const override {
    static const Kernel kernel{.name = "mean_of_two",
                               .inputs = {"a", "b"},
                               .outputs = {"y"},
                               .body =
                                   "if (flat_id * 4u < y_size) y_store4(flat_id, (a_load4(flat_id) + "
                                   "b_load4(flat_id)) * 0.5);"};
    for (const auto& access : accesses) {
      const auto range = [&](std::size_t at) { return out[0].slice(0, at * chunk, (at + access.chunks) * chunk); };
      encoder.dispatch(kernel, {range(access.first), range(access.second)}, {range(access.to)}, {},
                       encoder.flat_invocations(access.chunks * chunk / 4, encoder.map_size()));
    }
  }
  void eval_cpu(gpu::Reference, gpu::ReferenceOut) const override { fail("not asked for"); }
};

class Hazards : public GpuTest {
 protected:
  static constexpr std::size_t chunks = 24;

  static bool meet(std::size_t a, std::size_t b, const Access& x, const Access& y) {
    return a < b + y.chunks && b < a + x.chunks;
  }
  /// Whether the later one reads or writes what the earlier one writes, or writes what it reads.
  static bool conflict(const Access& earlier, const Access& later) {
    return meet(earlier.to, later.first, earlier, later) || meet(earlier.to, later.second, earlier, later) ||
           meet(earlier.to, later.to, earlier, later) || meet(earlier.first, later.to, earlier, later) ||
           meet(earlier.second, later.to, earlier, later);
  }
  /// Within a dispatch reads and writes do not meet: that would be a race in any order.
  std::vector<Access> accesses(std::size_t count) {
    std::vector<Access> list;
    while (list.size() < count) {
      Access a{.chunks = random.integer(1, 3)};
      for (auto* at : {&a.first, &a.second, &a.to}) *at = random.integer(0, chunks - a.chunks);
      if (!meet(a.first, a.to, a, a) && !meet(a.second, a.to, a, a)) list.push_back(a);
    }
    return list;
  }
};

TEST_F(Hazards, OfRandomRangesAreOrderedAsIfOneByOne) {
  for (int round = 0; round < 5; ++round) {
    const auto list = accesses(150);
    const auto x = random.normal({chunks * Shuffle::chunk});
    auto expected = elements<float>(x);
    for (const auto& a : list)
      for (std::size_t i = 0; i < a.chunks * Shuffle::chunk; ++i)
        expected[a.to * Shuffle::chunk + i] =
            (expected[a.first * Shuffle::chunk + i] + expected[a.second * Shuffle::chunk + i]) * 0.5f;
    const auto y = Array::make(x.shape(), x.dtype(), std::make_shared<Shuffle>(list), {x});
    auto plan = gpu::Plan::record({y});
    plan.run();
    EXPECT_EQ(elements<float>(y), expected);

    const auto& dispatches = plan.dispatches();
    ASSERT_EQ(dispatches.size(), list.size());
    EXPECT_TRUE(dispatches[0].barrier) << "what ran before the plan is over";
    std::size_t since = 0;
    for (std::size_t i = 1; i < list.size(); ++i) {
      bool needed = false;
      for (std::size_t j = since; j < i; ++j) needed |= conflict(list[j], list[i]);
      ASSERT_EQ(dispatches[i].barrier, needed) << "dispatch " << i;
      if (dispatches[i].barrier) since = i;
    }
    EXPECT_LT(plan.barriers(), list.size());
  }
}

TEST_F(Hazards, OfIndependentDispatchesNeedOneBarrier) {
  std::vector<Array> outputs;
  const auto x = random.normal({50});
  for (int i = 0; i < 10; ++i) outputs.push_back(each(fmt::format("x[i] * {}.0", i), x));
  EXPECT_EQ(gpu::Plan::record(outputs).barriers(), 1u);
  EXPECT_EQ(gpu::Plan::record({each("x[i]", each("x[i]", each("x[i]", x)))}).barriers(), 3u);
}

class Encoding : public GpuTest {
 protected:
  static Array typed(std::size_t inputs, std::size_t outputs, std::vector<gpu::ParamValue> params) {
    /// Past the count that gpu::kernel checks, where an op of our own would fail.
    struct Wrong final : gpu::Primitive {
      std::size_t in_count, out_count;
      std::vector<gpu::ParamValue> values;
      Wrong(std::size_t i, std::size_t o, std::vector<gpu::ParamValue> v)
          : in_count(i), out_count(o), values(std::move(v)) {}
      std::string_view name() const override { return "typed"; }
      void eval_gpu(CommandEncoder& encoder, gpu::Inputs in, gpu::Outputs out) const override {
        encoder.dispatch({.name = "typed",
                          .inputs = {"x"},
                          .outputs = {"y"},
                          .params = {gpu::param<float>("f"), gpu::param<std::int32_t>("n")},
                          .body = "y[0] = x[0] * f + float(n);"},
                         std::vector<Array>(in_count, in[0]), std::vector<Array>(out_count, out[0]), values, {});
      }
      void eval_cpu(gpu::Reference, gpu::ReferenceOut) const override {}
    };
    return Array::make({1}, DType::f32, std::make_shared<Wrong>(inputs, outputs, std::move(params)), {array({1}, {3})});
  }
};

TEST_F(Encoding, PassesTypedParams) {
  EXPECT_THAT(typed(1, 1, {0.5f, -7}).values(), ::testing::ElementsAre(-5.5));
  const gpu::Dynamic n(4);
  EXPECT_THAT(typed(1, 1, {0.5f, n}).values(), ::testing::ElementsAre(5.5));
}
TEST_F(Encoding, RefusesWrongNumbersOfArguments) {
  const std::string takes = "[typed] takes 1 inputs, 1 outputs and 2 params, received ";
  EXPECT_ERROR(typed(2, 1, {0.5f, 1}).values(), takes + "2, 1 and 2");
  EXPECT_ERROR(typed(1, 0, {0.5f, 1}).values(), takes + "1, 0 and 2");
  EXPECT_ERROR(typed(1, 1, {0.5f}).values(), takes + "1, 1 and 1");
}
TEST_F(Encoding, RefusesParamsOfAnotherType) {
  EXPECT_ERROR(typed(1, 1, {1, 1}).values(), "[typed] param f is declared f32, received an integer");
  EXPECT_ERROR(typed(1, 1, {0.5f, 0.5f}).values(), "[typed] param n is declared i32, received a float");
}

TEST_F(Encoding, FoldsGridsAsSquareAsItGoes) {
  const CommandEncoder encoder(device(), device().arena());
  const std::size_t width = device().limits().groups[0];
  for (const std::size_t count : {std::size_t{1}, width - 1, width, width + 1, 3 * width, 3 * width + 1}) {
    const auto grid = encoder.flat_groups(count);
    const auto groups = std::size_t{grid.x} * grid.y;
    EXPECT_GE(groups, count);
    EXPECT_LT(groups - count, grid.y) << "less than one idle group a row";
    EXPECT_EQ(grid.z, 1u);
  }
  EXPECT_EQ(encoder.flat_invocations(65, 32).x, 3u);
}

TEST_F(Encoding, ChoosesGroupsThatFitTheDevice) {
  const CommandEncoder encoder(device(), device().arena());
  EXPECT_LE(encoder.map_size(), device().limits().invocations);
  for (const std::size_t length : {0, 1, 5, 100, 1 << 20}) {
    EXPECT_LE(encoder.reduce_size(length), device().limits().invocations);
    EXPECT_GE(encoder.reduce_size(length), 1u);
  }
}

/// A temporary larger than the arena's blocks has a buffer of its own, which the plan must keep.
struct Detour final : gpu::Primitive {
  std::string_view name() const override { return "detour"; }
  void eval_gpu(CommandEncoder& encoder, gpu::Inputs in, gpu::Outputs out) const override {
    static const Kernel kernel{.name = "increment",
                               .inputs = {"x"},
                               .outputs = {"y"},
                               .body = "if (flat_id < y_size) y[flat_id] = x[flat_id] + 1.0;"};
    const auto between = encoder.temporary(in[0].shape(), DType::f32);
    const auto grid = encoder.flat_invocations(in[0].size(), encoder.map_size());
    encoder.dispatch(kernel, {in[0]}, {between}, {}, grid);
    encoder.dispatch(kernel, {between}, {out[0]}, {}, grid);
  }
  void eval_cpu(gpu::Reference, gpu::ReferenceOut) const override {}
};

TEST_F(Encoding, KeepsTheBuffersOfLargeTemporaries) {
  const auto arena = std::make_shared<Arena>(device(), 4096);
  Array x = counting({5000});
  for (int i = 0; i < 3; ++i) x = Array::make({5000}, DType::f32, std::make_shared<Detour>(), {x});
  auto plan = gpu::Plan::record({x}, arena);
  const auto others = random.normal({5000});  // may take what the plan has let go
  plan.run();
  plan.run();
  auto expected = counting({5000}).values();
  for (auto& v : expected) v += 6;
  EXPECT_EQ(x.values(), expected);
}

TEST_F(Encoding, RefusesAnArrayOfAClosedDevice) {
  Array theirs;
  on_own_device({.index = device_index()}, [&](gpu::Device&) { theirs = counting({4}); });
  EXPECT_ERROR(each("x[i]", theirs).values(), "closed");
  EXPECT_ERROR(theirs.values(), "closed");
}

}  // namespace
}  // namespace glassbox::testing
