#include "gpu/ops/packed_matmul.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "gpu/device.h"
#include "gpu/error.h"
#include "tests/gpu_support.h"
#include "tests/support.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::packed_matmul_parts;
using gpu::packed_projection;
using gpu::PackedFormat;
using gpu::PackedVariant;
using PackedKernel = PackedVariant::Kernel;

/// Every kernel on every device, not only those its autotuner would take: they are checked where there is no GPU too.
class PackedMatmulVariants : public GpuTest, public ::testing::WithParamInterface<PackedFormat> {
 protected:
  gpu::PackedMatrix matrix(std::size_t rows, std::size_t columns) {
    return gpu::packed_from_bytes(GetParam(), rows, columns, gpu::random_blocks(random, GetParam(), rows, columns));
  }
  bool fits(unsigned local_size, std::size_t shared_bytes) const {
    const auto& limits = gpu::Device::current().limits();
    return local_size <= limits.invocations && shared_bytes <= limits.shared_bytes;
  }
  /// Columns that are no whole chunk where the format has such.
  std::size_t odd() const { return gpu::columns_per_block(GetParam()) == 256 ? 512 : 288; }
};

TEST_P(PackedMatmulVariants, GroupSharesColumns) {
  const auto w = matrix(41, odd());
  for (const auto& [size, tokens, tiles] : {std::array{128u, 1u, 4u}, std::array{64u, 2u, 2u}})
    expect_within_tolerance(packed_matmul_parts(
        random.normal({3, odd()}), w,
        PackedVariant{.kernel = PackedKernel::group, .local_size = size, .tokens = tokens, .tiles = tiles}));
}

TEST_P(PackedMatmulVariants, GroupOfOneToken) {
  const auto w = matrix(33, odd());
  for (const unsigned size : {32u, 128u})
    expect_within_tolerance(packed_matmul_parts(
        random.normal({1, odd()}), w, PackedVariant{.kernel = PackedKernel::group, .local_size = size, .tiles = 2}));
}

TEST_P(PackedMatmulVariants, GroupWithWhatIsAroundIt) {
  if (GetParam() != PackedFormat::q4_0 && GetParam() != PackedFormat::q5_k) GTEST_SKIP() << "two formats suffice";
  const std::size_t columns = odd();
  const auto w = matrix(48, columns);
  for (const std::size_t tokens : {1, 3})
    for (const unsigned size : {64u}) {
      const auto x = random.normal({tokens, columns}), norm = random.normal({columns}), h = random.normal({tokens, 48});
      const PackedVariant variant{
          .kernel = PackedKernel::group, .local_size = size, .tokens = tokens > 1 ? 2u : 1u, .tiles = 2};
      expect_within_tolerance(packed_projection(x, w, {.norm = norm, .eps = 1e-5f, .variant = variant}));
      expect_within_tolerance(packed_projection(x, w, {.residual = h, .variant = variant}));
      expect_within_tolerance(packed_projection(x, w, {.norm = norm, .eps = 1e-5f, .gated = 21, .variant = variant}));
    }
}

TEST_P(PackedMatmulVariants, TileGoesThroughSharedMemory) {
  if (!fits(256, 16384)) GTEST_SKIP() << "needs workgroups of 256 and 16 KB";
  const auto w = matrix(70, odd());
  expect_within_tolerance(packed_matmul_parts(
      random.normal({67, odd()}), w, PackedVariant{.kernel = PackedKernel::tile, .local_size = 256, .vectors = 1}));
}

TEST_P(PackedMatmulVariants, TileInHalfPrecision) {
  if (!fits(256, 16384)) GTEST_SKIP() << "needs workgroups of 256 and 16 KB";
  if (GetParam() != PackedFormat::q4_0 && GetParam() != PackedFormat::q5_k) GTEST_SKIP() << "two formats suffice";
  const auto w = matrix(70, odd());
  const auto x = random.normal({67, odd()});
  const PackedVariant variant{
      .kernel = PackedKernel::tile, .local_size = 256, .vectors = 1, .activations = gpu::Activations::half};
  expect_within_tolerance(packed_matmul_parts(x, w, variant));
  // Sums of 64 stay within float16 where all x are a thousand, and the weights above one.
  expect_within_tolerance(packed_matmul_parts(
      Array::from_values({67, odd()}, gpu::DType::f32, std::vector<double>(67 * odd(), -1000)), w, variant));
}

TEST_P(PackedMatmulVariants, LanesLeavePartialSums) {
  const auto w = matrix(41, odd());
  const auto y =
      packed_matmul_parts(random.normal({1, odd()}), w, PackedVariant{.kernel = PackedKernel::lanes, .local_size = 8});
  const std::size_t parts = odd() == 288 ? 1 : 2;  // a block that is left goes to the chunk before it
  EXPECT_EQ(y.shape(), (gpu::Shape{parts, 1, 41}));
  expect_within_tolerance(y);
}

TEST_P(PackedMatmulVariants, TokensAreLanes) {
  const auto w = matrix(21, odd());
  expect_within_tolerance(
      packed_matmul_parts(random.normal({19, odd()}), w,
                          PackedVariant{.kernel = PackedKernel::tokens, .local_size = 8, .rows = 8, .vectors = 2}));
}

TEST_P(PackedMatmulVariants, PairsTakeTurns) {
  const std::size_t rows = 13, columns = odd();
  const auto a = gpu::random_blocks(random, GetParam(), rows, columns),
             b = gpu::random_blocks(random, GetParam(), rows, columns);
  const auto pairs = gpu::make_packed(GetParam(), 32, columns);
  gpu::upload_pairs(pairs, rows, 0, rows, a, b);
  const auto x = random.normal({1, columns});
  const auto both = gpu::packed_matmul(x, pairs).values(),
             first = gpu::packed_matmul(x, gpu::packed_from_bytes(GetParam(), rows, columns, a)).values(),
             second = gpu::packed_matmul(x, gpu::packed_from_bytes(GetParam(), rows, columns, b)).values();
  for (std::size_t n = 0; n < rows; ++n) {
    EXPECT_EQ(both[n / 8 * 16 + n % 8], first[n]) << n;
    EXPECT_EQ(both[n / 8 * 16 + 8 + n % 8], second[n]) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, PackedMatmulVariants,
                         ::testing::Values(PackedFormat::f32, PackedFormat::f16, PackedFormat::bf16, PackedFormat::q8_0,
                                           PackedFormat::q4_0, PackedFormat::q4_k, PackedFormat::q5_k,
                                           PackedFormat::q6_k),
                         [](const auto& of) { return std::string(name_of(of.param)); });

class PackedMatmul : public GpuTest {
 protected:
  /// Rows whose blocks of 32 are integers up to 127 times a power of two: rounding to int8 leaves them as they are.
  Array made_for_int8(std::size_t tokens, std::size_t columns) {
    std::vector<double> values(tokens * columns);
    double unit = 1;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i % 32 == 0) unit = std::exp2(static_cast<double>(random.integer(0, 18)) - 12);
      values[i] = unit * (i % 32 == 5 ? (random.integer(0, 1) ? 127.0 : -127.0)
                                      : static_cast<double>(random.integer(0, 254)) - 127);
    }
    for (std::size_t i = 64; i < 96; ++i) values[i] = 0;
    return Array::from_values({tokens, columns}, gpu::DType::f32, values);
  }
  gpu::PackedMatrix q4_0(std::size_t rows, std::size_t columns) {
    return gpu::packed_from_bytes(PackedFormat::q4_0, rows, columns,
                                  gpu::random_blocks(random, PackedFormat::q4_0, rows, columns));
  }
};

TEST_F(PackedMatmul, LanesTakeSeveralChunksAndWhatIsLeft) {
  struct Case {
    std::size_t columns;
    unsigned chunks;
    std::size_t parts;
  };
  for (const auto& [columns, chunks, parts] :
       {Case{160, 1, 1}, Case{672, 1, 3}, Case{672, 2, 2}, Case{1024, 2, 2}, Case{1312, 2, 3}}) {
    const auto y = packed_matmul_parts(random.normal({1, columns}), q4_0(21, columns),
                                       PackedVariant{.kernel = PackedKernel::lanes, .local_size = 8, .chunks = chunks});
    EXPECT_EQ(y.shape(), (gpu::Shape{parts, 1, 21})) << columns;
    expect_within_tolerance(y);
  }
}

TEST_F(PackedMatmul, PanelsMayDifferInFormat) {
  const std::size_t columns = 512;
  gpu::PackedMatrix both{.format = PackedFormat::q4_0, .rows = 0, .columns = columns, .panels = {}};
  for (const auto format : {PackedFormat::q4_0, PackedFormat::q6_k, PackedFormat::q8_0, PackedFormat::f16}) {
    const auto one =
        gpu::packed_from_bytes(format, 16, columns, gpu::random_blocks(random, format, 16, columns)).panels[0];
    both.panels.push_back({one.words, one.layout, both.rows});
    both.rows += 16;
  }
  for (const auto activations : {gpu::Activations::f32, gpu::Activations::int8})
    for (const std::size_t tokens : {1, 11})
      expect_within_tolerance(packed_projection(random.normal({tokens, columns}), both, {.activations = activations}),
                              1e-12);
  expect_within_tolerance(
      packed_matmul_parts(random.normal({11, columns}), both,
                          PackedVariant{.kernel = PackedKernel::tokens, .local_size = 8, .rows = 8, .vectors = 2}));
  EXPECT_ERROR(
      packed_matmul_parts(
          random.normal({1, columns}), both,
          PackedVariant{
              .kernel = PackedKernel::lanes, .local_size = 8, .chunks = 2, .activations = gpu::Activations::int8}),
      "int8 activations take q4_0 weights alone");
}

TEST_F(PackedMatmul, TokensReadNothingBeyondTheColumns) {
  // The columns before the last block's end are there, what follows x in memory is not its own.
  const std::size_t columns = 36, tokens = 11;
  const auto w =
      gpu::packed_from_bytes(PackedFormat::f32, 9, columns, gpu::random_blocks(random, PackedFormat::f32, 9, columns));
  std::vector<double> values(tokens * columns + 64, std::numeric_limits<double>::quiet_NaN());
  for (std::size_t i = 0; i < tokens * columns; ++i) values[i] = 0.01 * static_cast<double>(random.integer(0, 200)) - 1;
  const auto padded = Array::from_values({values.size()}, gpu::DType::f32, values);
  expect_within_tolerance(
      packed_matmul_parts(padded.slice(0, 0, tokens * columns).reshape({tokens, columns}), w,
                          PackedVariant{.kernel = PackedKernel::tokens, .local_size = 8, .rows = 8, .vectors = 2}));
}

TEST_F(PackedMatmul, Int8IsExactForWhatItRoundsToItself) {
  for (const std::size_t columns : {160, 672, 1024}) {
    const auto w = q4_0(37, columns);  // an odd number of tiles
    const PackedVariant lanes{
        .kernel = PackedKernel::lanes, .local_size = 8, .chunks = 2, .activations = gpu::Activations::int8};
    expect_within_tolerance(packed_matmul_parts(made_for_int8(1, columns), w, lanes), 1e-12);
    for (const unsigned rows : {8u, 16u}) {
      const PackedVariant tokens{.kernel = PackedKernel::tokens,
                                 .local_size = 8,
                                 .rows = rows,
                                 .vectors = rows / 4,
                                 .activations = gpu::Activations::int8};
      expect_within_tolerance(packed_matmul_parts(made_for_int8(rows + 11, columns), w, tokens), 1e-12);
    }
  }
}

TEST_F(PackedMatmul, Int8RoundsWithinItsTolerance) {
  const PackedVariant lanes{
      .kernel = PackedKernel::lanes, .local_size = 8, .chunks = 2, .activations = gpu::Activations::int8};
  const auto w = q4_0(200, 672);
  const auto y = packed_matmul_parts(random.normal({1, 672}), w, lanes);
  expect_within_tolerance(y);
  // One element far above the others of its block: all of theirs is lost, and little of the sum.
  std::vector<double> values(672);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = i % 32 == 7 ? 1000 : 0.02 * static_cast<double>(random.integer(0, 100)) - 1;
  expect_within_tolerance(packed_matmul_parts(Array::from_values({1, 672}, gpu::DType::f32, values), w, lanes));
}

TEST_F(PackedMatmul, Int8IsTakenForQ40OnSoftwareRenderersAlone) {
  const auto& device = gpu::Device::current();
  for (const auto format : {PackedFormat::q4_0, PackedFormat::q8_0, PackedFormat::f16})
    for (const std::size_t tokens : {1, 40}) {
      const gpu::PackedLayout layout{.format = format, .rows = 64, .columns = 256};
      EXPECT_EQ(
          gpu::packed_variant(device, layout, tokens, gpu::Activations::int8).activations,
          device.features().software && format == PackedFormat::q4_0 ? gpu::Activations::int8 : gpu::Activations::f32);
      EXPECT_EQ(gpu::packed_variant(device, layout, tokens).activations, gpu::Activations::f32);
    }
}

TEST_F(PackedMatmul, RefusesWhatDoesNotFit) {
  const auto w =
      gpu::packed_from_bytes(PackedFormat::q4_0, 8, 64, gpu::random_blocks(random, PackedFormat::q4_0, 8, 64));
  EXPECT_ERROR(gpu::packed_matmul(random.normal({1, 32}), w), "must share their last axis");
  EXPECT_ERROR(gpu::packed_matmul(random.indices({1, 64}, 3), w), "x must be a float array");
  EXPECT_ERROR(gpu::packed_from_bytes(PackedFormat::q4_k, 8, 64, {}), "no whole blocks");
  EXPECT_ERROR(gpu::packed_from_bytes(PackedFormat::q4_0, 8, 64, {}), "0 bytes given");
  EXPECT_ERROR(gpu::gated_silu(random.normal({1, 2, 24}), 13), "received");
  EXPECT_ERROR(gpu::sum_parts(random.normal({2, 3, 4}), random.normal({3, 5})), "the residual must be");
}

}  // namespace
}  // namespace glassbox::testing
