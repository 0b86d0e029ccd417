#include "gpu/ops/half_projection.h"

#include <gmock/gmock.h>

#include <cmath>

#include "gpu/error.h"
#include "gpu/ops/packed_table.h"
#include "tests/gpu_support.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::half_projection;
using gpu::HalfRow;
using gpu::PackedFormat;

class HalfProjection : public GpuTest {
 protected:
  gpu::PackedMatrix matrix(PackedFormat format, std::size_t rows, std::size_t columns) {
    return gpu::packed_from_bytes(format, rows, columns, gpu::random_blocks(random, format, rows, columns));
  }
  static gpu::PackedVariant how(unsigned local_size, unsigned tiles) {
    return {.local_size = local_size, .tiles = tiles, .activations = gpu::Activations::half};
  }
  /// Whatever is wanted of a product is computed, and checked, together.
  static void expect_all(const gpu::HalfProjected& made) { expect_within_tolerance(made.y ? made.y : made.next.x); }
};

TEST_F(HalfProjection, RowIsRoundedAndItsSquaresAreSummed) {
  for (const std::size_t columns : {8, 72, 4096}) {
    const auto row = gpu::half_row(random.normal({1, columns}), random.normal({columns}));
    expect_within_tolerance(row.x);
    EXPECT_TRUE(row.squares.evaluated());
  }
}

TEST_F(HalfProjection, TakesEachFormatAndWorkgroup) {
  struct Case {
    std::size_t rows, columns;
    gpu::PackedVariant variant;
  };
  for (const auto format : {PackedFormat::q4_0, PackedFormat::q8_0})
    for (const auto& [rows, columns, variant] :
         {Case{41, 288, how(64, 2)}, Case{8, 32, how(32, 1)}, Case{70, 1056, how(128, 4)}}) {
      SCOPED_TRACE(fmt::format("{} [{}, {}] {}", name_of(format), rows, columns, describe(variant)));
      const auto w = matrix(format, rows, columns);
      expect_all(half_projection({random.normal({1, columns}), {}}, w, {.variant = variant}));
      expect_all(half_projection({random.normal({1, columns}, DType::f16), {}}, w, {.variant = variant}));
    }
}

TEST_F(HalfProjection, HasWhatIsAroundIt) {
  for (const auto& [format, variant] :
       {std::pair(PackedFormat::q4_0, how(128, 2)), std::pair(PackedFormat::q8_0, how(32, 2))}) {
    const auto w = matrix(format, 96, 320);
    const auto row = gpu::half_row(random.normal({1, 320}), random.normal({320}));
    const auto residual = random.normal({1, 96}), norm = random.normal({96});
    expect_all(half_projection(row, w, {.eps = 1e-5f, .variant = variant}));
    expect_all(half_projection({row.x, {}}, w, {.residual = residual, .next_norm = norm, .variant = variant}));
    expect_all(half_projection(row, w, {.eps = 1e-5f, .gated = 48, .keep = false, .next = true, .variant = variant}));
    expect_all(half_projection(row, w, {.eps = 1e-5f, .gated = 40, .next = true, .variant = variant}));
  }
}

TEST_F(HalfProjection, IsAProjectionOfTheFloatPath) {
  const auto w = matrix(PackedFormat::q4_0, 64, 576);
  const auto x = random.normal({1, 576}), norm = random.normal({576}), residual = random.normal({1, 64});
  const auto expected = gpu::sum_parts(gpu::packed_projection(x, w, {.norm = norm, .eps = 1e-5f})).values();
  const auto got = half_projection(gpu::half_row(x, norm), w, {.eps = 1e-5f}).y.values();
  EXPECT_LT(gpu::compare(got, expected, DType::f32).nmse, 2e-6);
}

TEST_F(HalfProjection, PanelsStandSideBySide) {
  gpu::PackedMatrix w{.format = PackedFormat::q4_0, .rows = 0, .columns = 96, .panels = {}};
  for (const std::size_t rows : {16, 32, 24}) {
    auto panel = matrix(PackedFormat::q4_0, rows, 96).panels.at(0);
    panel.first_row = w.rows;
    w.rows += rows;
    w.panels.push_back(std::move(panel));
  }
  const auto row = gpu::half_row(random.normal({1, 96}), random.normal({96}));
  expect_all(half_projection(row, w, {.eps = 1e-5f, .next_norm = random.normal({72})}));
}

TEST_F(HalfProjection, SaturatesAndNeverOverflows) {
  const std::size_t columns = 256;
  const auto w = matrix(PackedFormat::q4_0, 16, columns);
  const auto large = Array::from_values({1, columns}, DType::f32, std::vector<double>(columns, 1e6));
  const auto row = gpu::half_row(large, large.reshape({columns}));
  EXPECT_THAT(row.x.values(), ::testing::Each(65504));
  const auto made = half_projection({row.x, {}}, w, {.next = true});
  EXPECT_THAT(made.y.values(), ::testing::Each(::testing::Truly([](double v) { return std::isfinite(v); })));
  EXPECT_THAT(made.next.x.values(), ::testing::Each(::testing::AllOf(::testing::Ge(-65504), ::testing::Le(65504))));
  EXPECT_THAT(half_projection({large, {}}, w, {}).y.values(),
              ::testing::Each(::testing::Truly([](double v) { return std::isfinite(v); })));
}

TEST_F(HalfProjection, RefusesWhatDoesNotFit) {
  const auto w = matrix(PackedFormat::q4_0, 44, 64);
  const auto x = random.normal({1, 64});
  EXPECT_FALSE(gpu::takes_half(matrix(PackedFormat::f16, 8, 32)));
  EXPECT_THROW(half_projection({x, {}}, matrix(PackedFormat::f16, 8, 64), {}), Error);
  EXPECT_THROW(half_projection({random.normal({2, 64}), {}}, w, {}), Error);
  EXPECT_THROW(half_projection({random.normal({1, 32}), {}}, w, {}), Error);
  EXPECT_THROW(half_projection({x, random.normal({4})}, w, {}), Error);
  EXPECT_THROW(half_projection({x, {}}, w, {.residual = random.normal({1, 40})}), Error);
  EXPECT_THROW(half_projection({x, {}}, w, {.next = true}), Error);  // 44 is no multiple of 8
  EXPECT_THROW(half_projection({x, {}}, w, {.gated = 23}), Error);
  EXPECT_THROW(half_projection({x, {}}, w, {.keep = false}), Error);
  EXPECT_THROW(gpu::half_row(random.normal({1, 12}), random.normal({12})), Error);
}

}  // namespace
}  // namespace glassbox::testing
