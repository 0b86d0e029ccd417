#include "gpu/ops/candidates.h"

#include <algorithm>
#include <cmath>

#include "gpu/plan.h"
#include "tests/gpu_support.h"
#include "tests/gpu_values.h"

namespace glassbox::testing {
namespace {

using gpu::Array;
using gpu::Candidate;
using gpu::CandidateBlocks;
using gpu::candidates;
using gpu::Candidates;
using gpu::DType;

std::vector<float> floats(const Array& array) {
  const auto values = array.values();
  return {values.begin(), values.end()};
}

Array row(const std::vector<float>& values) {
  return array({1, values.size()}, std::vector<double>(values.begin(), values.end()));
}

/// The k largest and the log of the sum, by a full sort and in float64.
void check_candidates(const std::vector<float>& x, std::size_t count, std::size_t k) {
  SCOPED_TRACE(fmt::format("{} of {} k {}", count, x.size(), k));
  const auto rows = candidates(row(x), count, k);
  expect_within_tolerance(rows);
  Candidates found;
  ASSERT_TRUE(found.read(floats(rows), count, k));
  std::vector<Candidate> order;
  for (std::size_t i = 0; i < count; ++i) order.push_back({static_cast<std::uint32_t>(i), x[i]});
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.value > b.value; });
  ASSERT_EQ(found.largest().size(), k);
  for (std::size_t i = 0; i < k; ++i) {
    ASSERT_EQ(found.largest()[i].id, order[i].id) << "id " << i;
    ASSERT_EQ(found.largest()[i].value, order[i].value) << "value " << i;
  }
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += std::exp(double{x[i]} - order[0].value);
  EXPECT_NEAR(found.log_sum(), order[0].value + std::log(sum), 1e-6);
}

class CandidatesTest : public GpuTest {
 protected:
  std::vector<float> normal(std::size_t count, double deviation = 3) {
    std::normal_distribution<float> any(0, static_cast<float>(deviation));
    std::vector<float> values(count);
    for (auto& v : values) v = any(random.engine());
    return values;
  }
  /// Few values: nearly every comparison is a tie.
  std::vector<float> coarse(std::size_t count, std::size_t kinds) {
    std::vector<float> values(count);
    for (auto& v : values) v = static_cast<float>(random.integer(0, kinds - 1)) - 1;
    return values;
  }
};

struct CandidatesLengths : CandidatesTest, ::testing::WithParamInterface<std::size_t> {};
TEST_P(CandidatesLengths, AreTheLargestInOrderAndTheSumOfAll) {
  const auto n = GetParam();
  const auto most = CandidateBlocks(n).most();
  for (const auto k : {std::size_t{1}, random.integer(1, most), most}) check_candidates(normal(n), n, k);
}
TEST_P(CandidatesLengths, PreferTheLowerIdWhereEqual) {
  const auto n = GetParam();
  for (const auto kinds : {1, 2, 7})
    check_candidates(coarse(n, kinds), n, random.integer(1, CandidateBlocks(n).most()));
}
TEST_P(CandidatesLengths, LeaveOutWhatPadsTheVocabulary) {
  const auto n = GetParam();
  auto x = normal(n + random.integer(1, 70));
  std::fill(x.begin() + static_cast<std::ptrdiff_t>(n), x.end(), 100.0F);
  check_candidates(x, n, random.integer(1, CandidateBlocks(n).most()));
  x.back() = float(infinity);
  check_candidates(x, n, 1);
}
INSTANTIATE_TEST_SUITE_P(Rows, CandidatesLengths,
                         ::testing::Values(1, 2, 3, 4, 5, 31, 129, 288, 1023, 4096, 4097, 5003, 32000, 32769, 50257,
                                           128256, 300001));

TEST_F(CandidatesTest, CutAnyVocabularyIntoFewBlocks) {
  for (std::size_t n = 1; n < 400000; n = n * 9 / 8 + 1) {
    const CandidateBlocks cut(n);
    EXPECT_LE(cut.blocks, 1024U) << n;
    EXPECT_GE(cut.blocks * cut.length(), n);
    EXPECT_LT((cut.blocks - 1) * cut.length(), n);
  }
  EXPECT_EQ(CandidateBlocks(32000).length(), 32U);
  EXPECT_EQ(CandidateBlocks(32000).most(), 256U);
}
TEST_F(CandidatesTest, AllInOneBlock) {
  auto x = normal(32000);
  for (std::size_t i = 0; i < 32; ++i) x[640 + i] += 50;
  check_candidates(x, x.size(), 40);
  std::sort(x.begin(), x.end(), std::greater<>());
  check_candidates(x, x.size(), 40);
  std::sort(x.begin(), x.end());
  check_candidates(x, x.size(), 40);
}
TEST_F(CandidatesTest, KnowHugeTinyAndNegativeValues) {
  check_candidates({-3e38F, 3e38F, 0.0F, -0.0F, 1e-30F, -1e-30F, 2e30F, -7}, 8, 2);
  auto x = normal(5003, 1e-20);
  check_candidates(x, x.size(), 90);
  for (auto& v : x) v = -std::abs(v) * 1e30F;
  check_candidates(x, x.size(), 90);
  for (auto& v : x) v = v < -1e10F ? -0.0F : 0.0F;
  check_candidates(x, x.size(), 90);
}
TEST_F(CandidatesTest, SumManyOfLittle) {
  std::vector<float> x(152064, -1.5F);
  x[77] = 11;
  check_candidates(x, x.size(), 40);
}
TEST_F(CandidatesTest, SayWhereALogitIsNotFinite) {
  for (const std::size_t n : {5U, 32000U, 128256U})
    for (const float bad : {float(infinity), -float(infinity), std::nanf(""), -std::nanf("")}) {
      auto x = normal(n);
      x[random.integer(0, n - 1)] = bad;
      Candidates found;
      EXPECT_FALSE(found.read(floats(candidates(row(x), n, 1)), n, 1)) << bad << " among " << n;
    }
}
TEST_F(CandidatesTest, AllocateOnce) {
  const auto x = normal(32000);
  const auto rows = floats(candidates(row(x), x.size(), 40));
  Candidates found;
  ASSERT_TRUE(found.read(rows, x.size(), 40));
  const auto* const at = found.largest().data();
  ASSERT_TRUE(found.read(rows, x.size(), 40));
  EXPECT_EQ(found.largest().data(), at);
}
TEST_F(CandidatesTest, RefuseWhatTheyCannotFind) {
  EXPECT_ERROR(candidates(zeros({2, 8}), 8, 1), "[candidates] takes one float32 row of 1 to 2^24 - 1 elements");
  EXPECT_ERROR(candidates(random.normal({8}, DType::f16), 8, 1), "received f16 [8]");
  EXPECT_ERROR(candidates(zeros({8}), 9, 1), "[candidates] count must be 1 to 8, received 9");
  EXPECT_ERROR(candidates(zeros({8}), 0, 1), "received 0");
  EXPECT_ERROR(candidates(zeros({8}), 8, 3), "[candidates] k must be 1 to 2 for 8 elements, received 3");
  EXPECT_ERROR(candidates(zeros({32000}), 32000, 257), "k must be 1 to 256 for 32000 elements, received 257");
  EXPECT_ERROR(candidates(zeros({8}), 8, 0), "received 0");
}

}  // namespace
}  // namespace glassbox::testing
