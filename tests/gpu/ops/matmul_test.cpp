#include "gpu/ops/matmul.h"

#include "gpu/device.h"
#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::matmul;
using gpu::MatmulVariant;
using gpu::Shape;

/// y[b][t][n] = sum_k x[b][t][k] w[b][n][k]
std::vector<double> matmul_by_definition(const Array& x, const Array& w, std::size_t batch = 1) {
  const std::size_t k = x.last(), n = w.rows() / batch, t = x.rows() / batch;
  const auto a = x.values(), b = w.values();
  std::vector<double> y;
  for (std::size_t g = 0; g < batch; ++g)
    for (std::size_t row = 0; row < t; ++row)
      for (std::size_t column = 0; column < n; ++column) {
        double sum = 0;
        for (std::size_t i = 0; i < k; ++i) sum += a[(g * t + row) * k + i] * b[(g * n + column) * k + i];
        y.push_back(sum);
      }
  return y;
}

void check_matmul(const Array& x, const Array& w, const std::optional<MatmulVariant>& variant = {},
                  std::size_t batch = 1) {
  const auto y = matmul(x, w, variant);
  expect_within_tolerance(y);
  expect_near(y, matmul_by_definition(x, w, batch));
}

struct Named {
  std::string name;
  std::optional<MatmulVariant> variant;
};
using MatmulKernel = MatmulVariant::Kernel;

/// Every kernel on every device, whatever the device would choose.
class Matmul : public GpuTest, public ::testing::WithParamInterface<Named> {
 protected:
  /// Where a workgroup of the named size does not fit the device, a tile of 8 x 8 invocations fits every one.
  static std::optional<MatmulVariant> variant() {
    auto named = GetParam().variant;
    if (named && named->local_size > device().limits().invocations) named->local_size = 64;
    return named;
  }
  void run(const Shape& x, const Shape& w, DType dtype = DType::f32, std::size_t batch = 1) {
    SCOPED_TRACE(fmt::format("{} x {} {}", x, name_of(dtype), w));
    check_matmul(random.normal(x), random.normal(w, dtype), variant(), batch);
  }
};

TEST_P(Matmul, MatchesTheDefinitionAroundEveryTileEdge) {
  const std::size_t cases[][3] = {{1, 3, 2},   {2, 5, 7},    {3, 12, 9},   {5, 64, 40},  {8, 20, 1},
                                  {9, 31, 33}, {16, 24, 64}, {33, 64, 65}, {70, 96, 67}, {65, 17, 31}};
  for (const auto& [t, k, n] : cases) run({t, k}, {n, k});
}
TEST_P(Matmul, MatchesTheDefinitionOnRandomShapes) {
  for (int i = 0; i < 6; ++i) {
    const std::size_t k = random.integer(8, 300);
    run({random.integer(1, 70), k}, {random.integer(4, 90), k});
  }
}
TEST_P(Matmul, TakesSixteenBitWeights) {
  for (const auto dtype : {DType::f16, DType::bf16})
    for (const std::size_t k : {7, 12, 64}) run({3, k}, {19, k}, dtype);
}
TEST_P(Matmul, SumsLongRowsAccurately) {
  run({1, 16384}, {21, 16384});
  run({2, 16383}, {9, 16383}, DType::f16);
}
TEST_P(Matmul, TakesABatch) {
  run({3, 4, 20}, {3, 9, 20}, DType::f32, 3);
  run({2, 3, 17, 24}, {2, 3, 6, 24}, DType::f16, 6);
}
TEST_P(Matmul, TakesHugeAndTinyValues) {
  check_matmul(random.normal({3, 40}, DType::f32, 1e18), random.normal({5, 40}, DType::f32, 1e18), variant());
  check_matmul(random.normal({3, 40}, DType::f32, 1e-15), random.normal({5, 40}, DType::f32, 1e-15), variant());
}
TEST_P(Matmul, ByZeroWeightsIsZero) {
  EXPECT_THAT(matmul(random.normal({3, 40}), zeros({5, 40}), variant()).values(), ::testing::Each(0.0));
}
TEST_P(Matmul, TakesFloat16Inputs) {
  check_matmul(random.normal({4, 36}, DType::f16), random.normal({10, 36}, DType::bf16), variant());
}

INSTANTIATE_TEST_SUITE_P(Kernels, Matmul,
                         ::testing::Values(Named{"chosen", std::nullopt},
                                           Named{"row1", MatmulVariant{MatmulKernel::row, 8, 1}},
                                           Named{"row4", MatmulVariant{MatmulKernel::row, 32, 4}},
                                           Named{"group", MatmulVariant{MatmulKernel::group, 32, 4, 4}},
                                           Named{"group1", MatmulVariant{MatmulKernel::group, 64, 1, 4}},
                                           Named{"tile8", MatmulVariant{MatmulKernel::tile, 64}},
                                           Named{"tile16", MatmulVariant{MatmulKernel::tile, 256}}),
                         [](const auto& test) { return test.param.name; });

class MatmulOp : public GpuTest {};
TEST_F(MatmulOp, TakesEveryNumberOfTokens) {
  const auto w = random.normal({11, 16});
  for (std::size_t t = 1; t <= 17; ++t) check_matmul(random.normal({t, 16}), w);
}
TEST_F(MatmulOp, TakesOneOfEverything) { check_matmul(random.uniform({1, 1}, 1, 2), random.uniform({1, 1}, 1, 2)); }
TEST_F(MatmulOp, TakesAVectorAndLeadingAxes) {
  const auto w = random.normal({6, 12});
  EXPECT_EQ(matmul(random.normal({12}), w).shape(), (Shape{6}));
  check_matmul(random.normal({12}), w);
  EXPECT_EQ(matmul(random.normal({2, 3, 12}), w).shape(), (Shape{2, 3, 6}));
  check_matmul(random.normal({2, 3, 12}), w);
}
TEST_F(MatmulOp, MultipliesByTheTransposeOfTheWeights) {
  EXPECT_THAT(matmul(array({1, 2}, {1, 10}), array({3, 2}, {1, 2, 3, 4, 5, 6})).values(),
              ::testing::ElementsAre(21, 43, 65));
}
TEST_F(MatmulOp, TakesViewsAndCountsTheCopies) {
  const auto x = random.normal({12, 5}).transpose({1, 0}), w = random.normal({9, 13}).slice(1, 1, 13);
  EXPECT_EQ(gpu::Plan::record({matmul(x, w)}).copies(), 2u);
  check_matmul(x, w);
  const auto all = random.normal({10, 16});
  EXPECT_EQ(gpu::Plan::record({matmul(all.slice(0, 0, 3), all.slice(0, 3, 10))}).copies(), 0u);
  check_matmul(all.slice(0, 0, 3), all.slice(0, 3, 10));
}
TEST_F(MatmulOp, RefusesShapesThatDoNotFit) {
  EXPECT_ERROR(matmul(zeros({2, 8}), zeros({3, 7})), "[matmul] x [2, 8] and w [3, 7] must share their last axis");
  EXPECT_ERROR(matmul(zeros({2, 8}), zeros({8})), "[matmul] x [2, 8] and w [8] must share");
  EXPECT_ERROR(matmul(zeros({2, 0}), zeros({3, 0})), "[matmul] takes float arrays with elements");
  EXPECT_ERROR(matmul(random.indices({2, 8}, 4), zeros({3, 8})), "received u32 [2, 8]");
  EXPECT_ERROR(matmul(zeros({2, 4, 8}), zeros({3, 5, 8})), "[matmul] a batch needs the same leading axes");
}

TEST(MatmulWindows, GiveTheRowsOfWeightsBeyondTheLargestBinding) {
  for (const auto path : {gpu::LoadPath::ssbo, device().load_path()})
    on_another_device({.load_path = path, .ssbo_block_bytes = 16384}, [](gpu::Random& random) {
      for (const auto dtype : {DType::f32, DType::f16})
        for (const std::size_t tokens : {1, 3, 20}) {
          const auto x = random.normal({tokens, 60}), w = random.normal({201, 60}, dtype);
          EXPECT_GE(gpu::Plan::record({matmul(x, w)}).dispatches().size(), 2u);
          check_matmul(x, w);
          check_matmul(x, w, MatmulVariant{MatmulKernel::tile, 64});
        }
    });
}

}  // namespace
}  // namespace glassbox::testing
