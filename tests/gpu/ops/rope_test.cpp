#include "gpu/ops/rope.h"

#include <cmath>
#include <complex>
#include <numbers>

#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::Dynamic;
using gpu::rope;
using gpu::RopePairing;
using gpu::Shape;

/// theta_i = base^(-2i / d), as the paper has it.
std::vector<double> powers(std::size_t d, double base) {
  std::vector<double> radians;
  for (std::size_t i = 0; i < d / 2; ++i)
    radians.push_back(std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(d)));
  return radians;
}

/// Each pair is a complex number, multiplied by e^(i m theta). Half split: element i with i + d/2, as rotate_half of
/// Hugging Face; interleaved: 2i with 2i + 1, as Meta's view_as_complex.
std::vector<double> rope_by_definition(const Array& x, const std::vector<double>& radians, std::uint32_t first,
                                       RopePairing pairing) {
  const std::size_t d = x.last(), heads = x.shape()[1];
  const auto in = x.values();
  std::vector<double> out(in.size());
  for (std::size_t t = 0; t < x.shape()[0]; ++t)
    for (std::size_t h = 0; h < heads; ++h)
      for (std::size_t i = 0; i < d / 2; ++i) {
        const std::size_t base = (t * heads + h) * d;
        const std::size_t re = base + (pairing == RopePairing::half_split ? i : 2 * i);
        const std::size_t im = base + (pairing == RopePairing::half_split ? i + d / 2 : 2 * i + 1);
        const auto angle = static_cast<long double>(first + t) * radians[i];
        const auto turned = std::complex<long double>(in[re], in[im]) * std::polar(1.0L, angle);
        out[re] = static_cast<double>(turned.real());
        out[im] = static_cast<double>(turned.imag());
      }
  return out;
}

class Rope : public GpuTest {
 protected:
  static void check(const Array& x, double base, std::uint32_t first, RopePairing pairing) {
    SCOPED_TRACE(fmt::format("{} {} at {}", name_of(x.dtype()), x.shape(), first));
    const auto radians = powers(x.last(), base);
    const auto y = rope(x, gpu::rope_frequencies(radians), Dynamic(first), pairing);
    expect_within_tolerance(y);
    const auto expected = rope_by_definition(x, radians, first, pairing);
    expect_near(y, expected, gpu::storage_nmse(y.dtype()));
    if (y.dtype() == DType::f32) {
      EXPECT_LE(max_abs_error(y, expected), 1e-6);
    }
  }
};

struct RopePairings : Rope, ::testing::WithParamInterface<RopePairing> {};
TEST_P(RopePairings, TurnsByPositionTimesFrequency) {
  for (const std::size_t d : {2, 4, 6, 14, 48, 64, 80, 128, 256})
    check(random.uniform({3, 2, d}, -1, 1), 10000, static_cast<std::uint32_t>(random.integer(0, 2047)), GetParam());
}
TEST_P(RopePairings, KeepsTheAngleOfFarPositions) {
  for (const std::uint32_t first : {8191u, 131070u, 1048576u, 16777217u, 1073741823u})
    check(random.uniform({3, 1, 128}, -1, 1), 500000, first, GetParam());
}
TEST_P(RopePairings, TakesFloat16) {
  check(random.normal({3, 5, 64}, DType::f16), 10000, 77, GetParam());
  check(random.normal({2, 3, 6}, DType::f16), 10000, 131071, GetParam());
  check(random.normal({2, 3, 48}, DType::bf16), 10000, 5, GetParam());
}
TEST_P(RopePairings, LeavesPositionZeroAlone) {
  const auto x = random.normal({1, 3, 16});
  EXPECT_EQ(rope(x, gpu::rope_frequencies(powers(16, 10000)), Dynamic(0), GetParam()).values(), x.values());
}
TEST_P(RopePairings, KeepsHugeAndTinyValuesLengths) {
  check(random.uniform({2, 2, 8}, -1e-30, 1e-30), 10000, 9, GetParam());
  const auto x = random.normal({2, 2, 8}, DType::f32, 1e30);
  const auto radians = powers(8, 10000);
  const auto y = rope(x, gpu::rope_frequencies(radians), Dynamic(9), GetParam());
  expect_near(y, rope_by_definition(x, radians, 9, GetParam()));
}
TEST_P(RopePairings, MakesScoresDependOnTheDistanceAlone) {
  const auto q = random.normal({1, 1, 64}), k = random.normal({1, 1, 64});
  const auto f = gpu::rope_frequencies(powers(64, 10000));
  const auto score = [&](std::uint32_t m, std::uint32_t n) {
    const auto a = rope(q, f, Dynamic(m), GetParam()), b = rope(k, f, Dynamic(n), GetParam());
    double sum = 0;
    for (const double product : combined(a, b, std::multiplies<>())) sum += product;
    return sum;
  };
  EXPECT_NEAR(score(12, 5), score(100012, 100005), 2e-5);
  EXPECT_GT(std::abs(score(12, 5) - score(5, 12)), 1e-3);
}
TEST_P(RopePairings, FollowsThePositionWhenAPlanIsReplayed) {
  const Dynamic first(0);
  const auto x = random.normal({1, 2, 8});
  const auto y = rope(x, gpu::rope_frequencies(powers(8, 100)), first, GetParam());
  auto plan = gpu::Plan::record({y});
  for (const std::uint32_t position : {3u, 0u, 900u}) {
    first.set(position);
    plan.run();
    expect_near(y, rope_by_definition(x, powers(8, 100), position, GetParam()));
  }
}
INSTANTIATE_TEST_SUITE_P(Both, RopePairings, ::testing::Values(RopePairing::half_split, RopePairing::interleaved),
                         [](const auto& p) {
                           return p.param == RopePairing::half_split ? "HalfSplit" : "Interleaved";
                         });

TEST_F(Rope, TurnsCounterclockwise) {
  const std::vector<double> quarter{std::numbers::pi / 2};
  const auto f = gpu::rope_frequencies(quarter);
  EXPECT_THAT(rope(array({1, 1, 2}, {1, 0}), f, Dynamic(1), RopePairing::half_split).values(),
              ::testing::Pointwise(::testing::DoubleNear(1e-7), {0.0, 1.0}));
}
TEST_F(Rope, PairsElementsAsAsked) {
  const std::vector<double> half_turns{std::numbers::pi, 0};
  const auto f = gpu::rope_frequencies(half_turns), x = array({1, 1, 4}, {1, 2, 3, 4});
  const auto near = [](std::vector<double> v) { return ::testing::Pointwise(::testing::DoubleNear(1e-6), v); };
  EXPECT_THAT(rope(x, f, Dynamic(1), RopePairing::half_split).values(), near({-1, 2, -3, 4}));
  EXPECT_THAT(rope(x, f, Dynamic(1), RopePairing::interleaved).values(), near({-1, -2, 3, 4}));
}
TEST_F(Rope, GivesAllHeadsOfATokenOnePosition) {
  const auto y = rope(array({2, 3, 2}, {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0}), gpu::rope_frequencies({{0.5}}),
                      Dynamic(4), RopePairing::half_split);
  for (std::size_t h = 0; h < 3; ++h) {
    EXPECT_NEAR(y.values()[2 * h], std::cos(2.0), 1e-6);
    EXPECT_NEAR(y.values()[6 + 2 * h], std::cos(2.5), 1e-6);
  }
}
TEST_F(Rope, TakesFrequenciesOfMoreThanATurn) {
  const auto x = random.uniform({2, 1, 4}, -1, 1);
  const std::vector<double> radians{7.0, 100.0};
  const auto y = rope(x, gpu::rope_frequencies(radians), Dynamic(3), RopePairing::interleaved);
  EXPECT_LE(max_abs_error(y, rope_by_definition(x, radians, 3, RopePairing::interleaved)), 1e-6);
}
TEST_F(Rope, TakesViewsAndCountsTheCopies) {
  const auto across = random.normal({3, 4, 8}).transpose({1, 0, 2}), off = random.normal({5, 3, 6}).slice(0, 1, 4);
  const auto f = gpu::rope_frequencies(powers(8, 10000));
  EXPECT_EQ(gpu::Plan::record({rope(across, f, Dynamic(0), RopePairing::half_split)}).copies(), 1u);
  check(across, 10000, 3, RopePairing::half_split);
  check(off, 10000, 3, RopePairing::interleaved);
}
TEST_F(Rope, RefusesWhatItCannotTurn) {
  const auto f = gpu::rope_frequencies(powers(8, 10000));
  const auto turn = [&](const Array& x, const Array& g) { return rope(x, g, Dynamic(0), RopePairing::half_split); };
  EXPECT_ERROR(turn(zeros({1, 2, 7}), f), "[rope] x must be float [T, heads, d] with d even, received f32 [1, 2, 7]");
  EXPECT_ERROR(turn(zeros({2, 8}), f), "received f32 [2, 8]");
  EXPECT_ERROR(turn(zeros({1, 2, 6}), f), "[rope] frequencies must be u32 [3, 2] for x [1, 2, 6], received u32 [4, 2]");
  EXPECT_ERROR(turn(zeros({1, 2, 8}), zeros({4, 2})), "received f32 [4, 2]");
  EXPECT_ERROR(gpu::rope_frequencies({{-1.0}}), "[rope] frequencies must be finite and not negative, received -1");
  EXPECT_ERROR(gpu::rope_frequencies({{infinity}}), "received inf");
}

}  // namespace
}  // namespace glassbox::testing
