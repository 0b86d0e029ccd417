#include "gpu/ops/embedding.h"

#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::DType;
using gpu::embedding;

void check_embedding(const Array& ids, const Array& table) {
  const auto y = embedding(ids, table);
  expect_within_tolerance(y);
  std::vector<double> expected;
  const auto rows = table.values();
  for (const double id : ids.values())
    for (std::size_t i = 0; i < table.last(); ++i) expected.push_back(rows[std::size_t(id) * table.last() + i]);
  EXPECT_EQ(y.dtype(), DType::f32);
  EXPECT_EQ(y.values(), expected);
}

struct Embedding : GpuTest, ::testing::WithParamInterface<std::size_t> {};
TEST_P(Embedding, GathersRowsExactly) {
  for (const auto dtype : {DType::f32, DType::f16, DType::bf16})
    check_embedding(random.indices({9}, 23), random.normal({23, GetParam()}, dtype));
}
INSTANTIATE_TEST_SUITE_P(Widths, Embedding, ::testing::Values(1, 2, 3, 4, 5, 7, 12, 64, 1001));

class EmbeddingOp : public GpuTest {};
TEST_F(EmbeddingOp, TakesOneRowOfOne) { check_embedding(zeros({1}, DType::u32), random.normal({1, 1})); }
TEST_F(EmbeddingOp, RepeatsRows) { check_embedding(array({4}, {2, 2, 0, 2}, DType::u32), random.normal({3, 10})); }
TEST_F(EmbeddingOp, ReachesTheLastRow) {
  check_embedding(array({2}, {4999, 0}, DType::u32), random.normal({5000, 16}));
}
TEST_F(EmbeddingOp, TakesMoreRowsThanAGridAxisHasGroups) {
  check_embedding(random.indices({2100001}, 50), random.normal({50, 1}));
}
TEST_F(EmbeddingOp, KeepsInfinitiesAndSubnormalHalves) {
  check_embedding(array({2}, {1, 0}, DType::u32),
                  array({2, 3}, {infinity, -infinity, 65504, 6e-8, -0.0, 1e-5}, DType::f16));
}
TEST_F(EmbeddingOp, TakesViews) {
  check_embedding(random.indices({9}, 6).slice(0, 1, 6), random.normal({12, 6}).transpose({1, 0}));
  check_embedding(random.indices({5}, 6), random.normal({8, 7}).slice(0, 1, 7));
}
TEST_F(EmbeddingOp, LeavesOtherRowsRightWhereAnIdIsBeyondTheTable) {
  const auto table = random.normal({3, 8});
  const auto y = embedding(array({3}, {2, 4294967295.0, 1}, DType::u32), table);
  const auto row = [](const Array& a, std::size_t i) { return a.slice(0, i, i + 1).values(); };
  EXPECT_EQ(row(y, 0), row(table, 2));
  EXPECT_EQ(row(y, 2), row(table, 1));
}
TEST_F(EmbeddingOp, RefusesOtherShapesAndDtypes) {
  const auto ids = random.indices({3}, 4), table = zeros({4, 8});
  EXPECT_ERROR(embedding(zeros({3}), table), "[embedding] ids must be u32 [T], received f32 [3]");
  EXPECT_ERROR(embedding(random.indices({1, 3}, 4), table), "received u32 [1, 3]");
  EXPECT_ERROR(embedding(ids, zeros({8})), "[embedding] table must be a float matrix, received f32 [8]");
  EXPECT_ERROR(embedding(ids, random.indices({4, 8}, 4)), "received u32 [4, 8]");
  EXPECT_ERROR(embedding(ids, zeros({0, 8})), "received f32 [0, 8]");
}

TEST(EmbeddingWindows, FindTheRowsOfATableBeyondTheLargestBinding) {
  for (const auto path : {gpu::LoadPath::ssbo, device().load_path()})
    on_another_device({.load_path = path, .ssbo_block_bytes = 16384}, [](gpu::Random& random) {
      for (const auto dtype : {DType::f32, DType::f16, DType::bf16})
        for (const std::size_t width : {30, 31, 32}) {
          const auto ids = random.indices({40}, 500), table = random.normal({500, width}, dtype);
          EXPECT_GE(gpu::Plan::record({embedding(ids, table)}).dispatches().size(), 2u);
          check_embedding(ids, table);
        }
    });
}

}  // namespace
}  // namespace glassbox::testing
