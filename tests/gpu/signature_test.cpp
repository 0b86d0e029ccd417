#include "gpu/signature.h"

#include <Eigen/Core>
#include <bit>
#include <cmath>
#include <limits>

#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::Kernel;
using gpu::LoadPath;
using ::testing::Each;
using ::testing::ElementsAre;

/// Values that break shortcuts; every one fits every float dtype after rounding.
const std::vector<double> special_floats{0.0,   -0.0,     1,       -1,       infinity, -infinity,   std::nan(""),
                                         65504, -65504,   0x1p-14, -0x1p-14, 0x1p-24,  -0x1p-24,    0x1.ffcp-15,
                                         1e-40, -1.1e-38, 3.3e38,  0x1p-149, 0.1,      1.0009765625};
const std::vector<double> special_integers{0, 1, 2147483647.0, -2147483648.0, 4294967295.0, 65535, -1, 16777217};

bool subnormal32(double value) { return value != 0 && std::abs(value) < std::numeric_limits<float>::min(); }

/// Equal in bits; NaN for NaN; a float32 subnormal may be flushed (GLSL ES 3.10, 4.5.1).
void expect_same_elements(const Array& y, const Array& x, const char* what) {
  const auto got = y.values(), expected = x.values();
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(expected[i]) && std::isnan(got[i])) continue;
    if (subnormal32(expected[i]) && got[i] == 0) continue;
    ASSERT_EQ(std::bit_cast<std::uint64_t>(got[i]), std::bit_cast<std::uint64_t>(expected[i]))
        << what << " " << gpu::name_of(y.dtype()) << " " << fmt::format("{}", x.shape()) << " at " << i << ": "
        << got[i] << " for " << expected[i];
  }
}

/// Through every function that reads and every one that writes.
const Kernel every_access{
    .name = "every_access", .inputs = {"x"}, .outputs = {"single", "flat", "row4", "row8"}, .body = R"(
uint eights = (x_row + 7u) / 8u, rows = x_size / x_row;
if (flat_id >= rows * eights) return;
uint row = flat_id / eights, i = flat_id % eights;
for (uint e = flat_id; e < x_size; e += rows * eights) single[e] = x[e];
for (uint f = flat_id; f < (x_size + 3u) / 4u; f += rows * eights) flat_store4(f, x_load4(f));
row4_store4(row, 2u * i, x_load4(row, 2u * i));
row4_store4(row, 2u * i + 1u, x_load4(row, 2u * i + 1u));
x_vec4 a, b;
x_load8(row, i, a, b);
row8_store4(row, 2u * i, a);
row8_store4(row, 2u * i + 1u, b);
)"};

struct EveryAccess : GpuTest, ::testing::WithParamInterface<std::tuple<DType, LoadPath>> {};

TEST_P(EveryAccess, MovesEveryValueThroughRowsOfAnyLength) {
  const auto [dtype, path] = GetParam();
  const auto& specials = gpu::is_float(dtype) ? special_floats : special_integers;
  const auto arena = std::make_shared<gpu::Arena>(device(), 1 << 16);  // small enough for every texel view
  for (std::size_t length = 1; length <= 17; ++length) {
    std::vector<double> values(5 * length);
    for (auto& value : values) value = specials[random.integer(0, specials.size() - 1)];
    const auto bytes = gpu::from_float64(values, dtype);
    const auto x = Array::from_bytes({5, length}, dtype, bytes, arena.get());
    const auto outputs = launch_all({.kernel = every_access,
                                     .outputs = std::vector<gpu::OutputSpec>(4, {{5, length}, dtype}),
                                     .invocations = 5 * ((length + 7) / 8),
                                     .options = {.load_path = path}},
                                    {x});
    auto plan = gpu::Plan::record(outputs, arena);
    plan.run({.poison = true});
    for (std::size_t i = 0; i < outputs.size(); ++i)
      expect_same_elements(outputs[i], x, every_access.outputs[i].c_str());
    // x[i] and rows that start anywhere need words; else the bytes come through the door that was asked for.
    const auto& first = plan.dispatches().front();
    if (device().features().texel_buffers && length % 4 == 0) {
      EXPECT_EQ(first.images.size() + 2 * first.texels.size(), static_cast<std::size_t>(path));
    }
  }
}
INSTANTIATE_TEST_SUITE_P(DTypesAndPaths, EveryAccess,
                         ::testing::Combine(::testing::Values(DType::f32, DType::f16, DType::bf16, DType::u32,
                                                              DType::i32),
                                            ::testing::Values(LoadPath::ssbo, LoadPath::image, LoadPath::texel)),
                         [](const auto& p) {
                           return std::string(gpu::name_of(std::get<0>(p.param))) + "_" +
                                  std::string(gpu::name_of(std::get<1>(p.param)));
                         });

class Stores : public GpuTest {
 protected:
  /// Float32 rounded by the store of another dtype, through rows of `last` elements.
  static Array stored(const std::vector<float>& values, DType dtype, std::size_t last, bool single) {
    const auto x = from_elements<float>({values.size() / last, last}, DType::f32, values);
    const std::string body =
        single ? "if (flat_id < x_size) y[flat_id] = x[flat_id];"
               : "uint steps = (x_row + 3u) / 4u;\nif (flat_id < x_shape[0] * steps) "
                 "y_store4(flat_id / steps, flat_id % steps, x_load4(flat_id / steps, flat_id % steps));";
    return launch({.kernel = {.name = "store", .inputs = {"x"}, .outputs = {"y"}, .body = body},
                   .outputs = {{x.shape(), dtype}},
                   .invocations = single ? x.size() : x.rows() * ((last + 3) / 4)},
                  {x});
  }
  template <class T>
  static void expect_rounded_as_eigen(const std::vector<float>& values, DType dtype, std::size_t last, bool single) {
    const auto got = elements<std::uint16_t>(stored(values, dtype, last, single));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const T expected(values[i]);
      if (std::isnan(values[i])) {
        ASSERT_TRUE(std::isnan(static_cast<float>(std::bit_cast<T>(got[i])))) << values[i];
      } else if (!(subnormal32(values[i]) && (got[i] & 0x7fff) == 0)) {
        ASSERT_EQ(got[i], std::bit_cast<std::uint16_t>(expected)) << values[i];
      }
    }
  }
  static void expect_rounded(const std::vector<float>& values, std::size_t last, bool single = false) {
    expect_rounded_as_eigen<Eigen::half>(values, DType::f16, last, single);
    expect_rounded_as_eigen<Eigen::bfloat16>(values, DType::bf16, last, single);
  }
  std::vector<float> random_bits(std::size_t count) {
    std::vector<float> values(count);
    for (auto& v : values) v = std::bit_cast<float>(static_cast<std::uint32_t>(random.engine()()));
    return values;
  }
  /// The range of float16 and its surroundings, with as many ties as a step has places.
  std::vector<float> random_near_half(std::size_t count) {
    std::vector<float> values(count);
    for (auto& v : values) {
      const auto exponent = static_cast<std::uint32_t>(random.integer(127 - 27, 127 + 17));
      const auto kept = static_cast<std::uint32_t>(random.integer(0, 23));
      const auto mantissa = static_cast<std::uint32_t>(random.engine()()) & 0x7fffffu & ~((1u << kept) - 1u);
      v = std::bit_cast<float>(exponent << 23 | mantissa | (random.integer(0, 1) ? 0x80000000u : 0u));
    }
    return values;
  }
};

TEST_F(Stores, KeepEveryPatternOfFloat16AndBfloat16) {
  std::vector<float> halves(65536), brains(65536);
  for (unsigned i = 0; i < 65536; ++i) {
    halves[i] = static_cast<float>(std::bit_cast<Eigen::half>(static_cast<std::uint16_t>(i)));
    brains[i] = std::bit_cast<float>(i << 16);
  }
  expect_rounded(halves, 64);
  expect_rounded(brains, 64);
}
TEST_F(Stores, RoundRandomFloatsToNearestEvenAsEigenDoes) {
  expect_rounded(random_bits(1 << 17), 64);
  expect_rounded(random_near_half(1 << 17), 64);
}
TEST_F(Stores, OfRowsThatAreEvenRoundThemAlike) { expect_rounded(random_near_half(6000), 6); }
TEST_F(Stores, OfOddRowsRoundThemBySecondDispatch) {
  expect_rounded(random_near_half(7000), 7);
  expect_rounded(random_near_half(3), 3);
  const auto y = stored(random_near_half(7), DType::f16, 7, false);
  EXPECT_EQ(gpu::Plan::record({y}).dispatches().size(), 2u);
}
TEST_F(Stores, OfSingleElementsRoundThemBySecondDispatch) { expect_rounded(random_near_half(1001), 1, true); }

class Groups : public GpuTest {
 protected:
  static constexpr unsigned sizes[] = {1,  2,   3,   5,   8,   16,  31,  32,  33,  63,   64,   65,
                                       96, 100, 127, 128, 129, 255, 256, 511, 777, 1000, 1023, 1024};
  static constexpr std::size_t groups = 3;
};

TEST_F(Groups, SumAndFindTheMaximumInAFixedOrderAtEverySize) {
  for (const unsigned size : sizes) {
    if (size > device().limits().invocations) continue;
    const auto x = random.normal({groups, size});
    const auto outputs =
        launch_all({.kernel = {.name = "group_test",
                               .inputs = {"x"},
                               .outputs = {"sum", "largest"},
                               .body = "float v = x[flat_id];\nfloat s = group_sum(v), m = group_max(v), again = "
                                       "group_sum(v);\nsum[flat_id] = s == again ? s : -1e30; largest[flat_id] = m;"},
                    .outputs = {{{groups, size}, DType::f32}, {{groups, size}, DType::f32}},
                    .options = {.local_size = size},
                    .grid = gpu::Grid{groups}},
                   {x});
    auto plan = gpu::Plan::record(outputs);
    plan.run({.poison = true});
    const auto values = x.values();
    std::vector<double> sums, maxima;
    double scale = 0;
    for (std::size_t g = 0; g < groups; ++g) {
      double sum = 0, most = -infinity;
      for (std::size_t i = 0; i < size; ++i) {
        sum += values[g * size + i];
        scale += std::abs(values[g * size + i]);
        most = std::max(most, values[g * size + i]);
      }
      sums.insert(sums.end(), size, sum);
      maxima.insert(maxima.end(), size, most);
    }
    EXPECT_LE(max_abs_error(outputs[0], sums), scale * 1e-7) << "local size " << size;
    EXPECT_EQ(outputs[1].values(), maxima) << "local size " << size;
    const auto bits = outputs[0].bytes();
    plan.run();
    EXPECT_EQ(outputs[0].bytes(), bits) << "local size " << size;
  }
}

TEST_F(Groups, ExchangeBetweenNeighbours) {
  for (const unsigned size : {8u, 24u, 64u, 128u})
    for (const unsigned mask : {1u, 2u, 4u, 7u}) {
      const auto x = random.normal({groups, size});
      const auto y = launch({.kernel = {.name = "exchange",
                                        .inputs = {"x"},
                                        .outputs = {"y"},
                                        .body = "float v = x[flat_id], w = group_xor(v, uint(MASK));\n"
                                                "y[flat_id] = group_xor(w, uint(MASK)) == v ? w : -1e30;"},
                             .outputs = {{{groups, size}, DType::f32}},
                             .options = {.local_size = size, .constants = {{"MASK", int(mask)}}},
                             .grid = gpu::Grid{groups}},
                            {x});
      auto expected = x.values();
      for (std::size_t i = 0; i < expected.size(); ++i)
        if (const auto other = i / size * size + (i % size ^ mask); other > i) std::swap(expected[i], expected[other]);
      EXPECT_EQ(y.values(), expected) << "local size " << size << ", mask " << mask;
    }
}

TEST_F(Groups, ShareArraysSizedByTheGroup) {
  for (const unsigned size : {1u, 8u, 100u, 128u}) {
    const auto x = counting({size});
    const auto y = launch({.kernel = {.name = "reverse",
                                      .inputs = {"x"},
                                      .outputs = {"y"},
                                      .shared = {{.name = "tile", .type = "vec2", .per_invocation = 2, .fixed = 3},
                                                 {.name = "flag", .type = "uint", .fixed = 1}},
                                      .body = "if (local_id == 0u) flag[0] = LOCAL_SIZE;\n"
                                              "tile[2u * local_id + 3u] = vec2(x[local_id], 1.0);\nbarrier();\n"
                                              "vec2 v = tile[2u * (LOCAL_SIZE - 1u - local_id) + 3u];\n"
                                              "y[local_id] = v.x + v.y * float(flag[0]);"},
                           .outputs = {{{size}, DType::f32}},
                           .options = {.local_size = size},
                           .grid = gpu::Grid{1}},
                          {x});
    std::vector<double> expected(size);
    for (unsigned i = 0; i < size; ++i) expected[i] = size - 1 - i + size;
    EXPECT_EQ(y.values(), expected);
  }
}

TEST_F(Groups, FoldAGridBeyondOneAxis) {
  const std::size_t count = 140001;  // with one invocation a group: three times what an axis must hold
  const auto y = launch({.kernel = {.name = "fold",
                                    .outputs = {"y"},
                                    .body = "if (flat_id < y_size) y[flat_id] = flat_id + (flat_group - flat_id);"},
                         .outputs = {{{count}, DType::u32}},
                         .invocations = count,
                         .options = {.local_size = 1}},
                        {});
  EXPECT_EQ(y.values(), counting({count}, DType::u32).values());
}

class Limited : public GpuTest {
 protected:
  static void run(Kernel kernel, gpu::DispatchOptions options = {}, std::optional<gpu::Grid> grid = gpu::Grid{1}) {
    kernel.name = "limited";
    kernel.outputs = {"y"};
    launch({.kernel = std::move(kernel), .outputs = {{{4}, DType::f32}}, .options = std::move(options), .grid = grid},
           {})
        .values();
  }
};

TEST_F(Limited, RefusesMoreThanTheDeviceHas) {
  const auto& limits = device().limits();
  const auto most = fmt::format("this device has {}", limits.shared_bytes);
  EXPECT_ERROR(run({.shared = {{.name = "big", .type = "vec4", .fixed = limits.shared_bytes / 16 + 1}}}), most);
  EXPECT_ERROR(run({.shared = {{.name = "big", .per_invocation = 0xffffffffu, .fixed = 0xffffffffu}}}), most);
  EXPECT_ERROR(run({.shared = {{.name = "a", .fixed = limits.shared_bytes / 4}, {.name = "b", .fixed = 1}}}), most);
  EXPECT_ERROR(run({}, {.local_size = limits.invocations + 1}),
               fmt::format("[limited] a workgroup of {} does not fit", limits.invocations + 1));
  EXPECT_ERROR(run({}, {}, gpu::Grid{0}), "[limited] a grid of 0x1x1 workgroups");
  EXPECT_ERROR(run({}, {}, gpu::Grid{1, limits.groups[1] + 1}), "does not fit this device's");
}
TEST_F(Limited, RefusesSharedArraysThatAreNone) {
  EXPECT_ERROR(run({.shared = {{.name = "a", .type = "mat4", .fixed = 1}}}), "[limited] shared mat4 a: expected float");
  EXPECT_ERROR(run({.shared = {{.name = "a"}}}), "[limited] shared float a has no elements");
}
TEST_F(Limited, HasItsConstants) {
  const auto y = launch({.kernel = {.name = "constant", .outputs = {"y"}, .body = "if (flat_id == 0u) y[0] = N - M;"},
                         .outputs = {{{1}, DType::i32}},
                         .options = {.constants = {{"N", 3}, {"M", 45}}}},
                        {});
  EXPECT_THAT(y.values(), ElementsAre(-42));
}
TEST_F(Limited, BringsIncludedFunctions) {
  const auto y = launch({.kernel = {.name = "including",
                                    .inputs = {"x"},
                                    .outputs = {"y"},
                                    .body = "#include \"include/exp.glsl\"\nif (flat_id < 4u) y[flat_id] = "
                                            "exp_accurate(x[flat_id]);"},
                         .outputs = {{{4}, DType::f32}},
                         .invocations = 4},
                        {counting({4})});
  EXPECT_LE(max_abs_error(y, {1, std::exp(1), std::exp(2), std::exp(3)}), 2e-6);
}

}  // namespace
}  // namespace glassbox::testing
