#include "model/diff.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/model/tiny_llama.h"

namespace glassbox::model {
namespace {

using glassbox::testing::argmax;
using glassbox::testing::nmse;
using glassbox::testing::shared_dir;
using glassbox::testing::TempDir;
using glassbox::testing::TinyLlama;
using Ids = std::vector<std::uint32_t>;

class DiffOfReferenceModels : public ::testing::TestWithParam<std::tuple<const char*, gpu::Fusion>> {};
TEST_P(DiffOfReferenceModels, EveryKernelIsWithinItsTolerance) {
  const auto [name, fusion] = GetParam();
  REQUIRE_SHARED(std::string("models/") + name);
  Engine engine({.model = shared_dir() / "models" / name, .fusion = fusion});
  const auto report = diff(engine, Ids{1, 301, 435, 337, 327, 444, 263, 262, 259, 366, 430}, 4);
  for (const auto& kernel : report.kernels)
    EXPECT_TRUE(kernel.ok) << kernel.name << " #" << kernel.index << ": NMSE " << kernel.isolated.nmse << ", allowed "
                           << kernel.tolerance.nmse;
  EXPECT_EQ(report.first_divergent, std::nullopt);
  EXPECT_TRUE(report.ok());
  EXPECT_LE(report.logits.nmse, 1e-10);
  EXPECT_LE(report.kl, 1e-9);
}
INSTANTIATE_TEST_SUITE_P(Models, DiffOfReferenceModels,
                         ::testing::Combine(::testing::Values("llama_gqa", "llama_tied_rope3"),
                                            ::testing::Values(gpu::Fusion::on, gpu::Fusion::off)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) +
                                  (std::get<1>(test.param) == gpu::Fusion::on ? "_fused" : "_composed");
                         });

class DiffTest : public ::testing::Test {
 protected:
  TinyLlama tiny{{.attention_bias = true, .mlp_bias = true}};
  TempDir dir;
  Engine engine{{.model = tiny.write(dir.path())}};
};

TEST_F(DiffTest, NumbersItsKernelsThroughAllStepsAndNamesTheirLayers) {
  const auto report = diff(engine, Ids{1, 260, 262}, 2);
  std::set<int> layers;
  for (std::size_t i = 0; i < report.kernels.size(); ++i) {
    EXPECT_EQ(report.kernels[i].index, i);
    layers.insert(report.kernels[i].layer);
  }
  EXPECT_EQ(layers, (std::set{-1, 0, 1}));
  EXPECT_EQ(report.kernels.front().name, "packed_embedding");
  EXPECT_EQ(report.kernels.back().name, "packed_matmul");
  const auto embeddings = std::count_if(report.kernels.begin(), report.kernels.end(),
                                        [](const auto& kernel) { return kernel.name == "packed_embedding"; });
  EXPECT_EQ(embeddings, 3) << "the prompt and two tokens";
}
TEST_F(DiffTest, FollowsTheGreedyTokens) {
  const Ids prompt{1, 260, 262};
  auto logits = engine.feed(prompt);
  Ids expected = prompt;
  for (int i = 0; i < 3; ++i) {
    expected.push_back(argmax(*logits));
    logits = engine.feed(std::span(&expected.back(), 1));
  }
  diff(engine, prompt, 3);
  EXPECT_EQ(engine.tokens(), expected);
}
TEST_F(DiffTest, ItsFloat64ModelIsTheFloat64Model) {
  const Ids ids{1, 260, 262, 9, 100, 201};
  const auto exact = tiny.logits(ids);
  const auto computed = *engine.feed(ids);
  const auto report = diff(engine, ids, 0);
  const double error = nmse(computed, std::vector<double>(exact.end() - 288, exact.end()));
  // The same error, about 1e-14, seen from two float64 models; they differ in that the primitives hold eps and the
  // attention's scale in float32, an NMSE of 1e-16.
  EXPECT_NEAR(report.logits.nmse / error, 1, 0.2);
  double kl = 0, p_total = 0, q_total = 0;
  const std::vector<double> p(exact.end() - 288, exact.end());
  for (std::size_t i = 0; i < 288; ++i) p_total += std::exp(p[i]), q_total += std::exp(double(computed[i]));
  for (std::size_t i = 0; i < 288; ++i)
    kl += std::exp(p[i]) / p_total * (p[i] - std::log(p_total) - double(computed[i]) + std::log(q_total));
  EXPECT_NEAR(report.kl, kl, 1e-13);
}
TEST_F(DiffTest, HandsOutEachKernelsFirstOutput) {
  std::size_t count = 0;
  std::vector<double> last;
  const auto report =
      diff(engine, Ids{1, 260, 262}, 1,
           [&](const gpu::KernelError& error, std::span<const double> y, std::span<const double> reference) {
             EXPECT_EQ(y.size(), reference.size());
             EXPECT_EQ(error.index, count++);
             last.assign(y.begin(), y.end());
           });
  EXPECT_EQ(count, report.kernels.size());
  const auto tokens = engine.tokens();
  engine.rewind(0);
  engine.feed(std::span(tokens).first(3));
  const auto logits = engine.feed(std::span(tokens).last(1));
  EXPECT_EQ(std::vector<float>(last.begin(), last.end()), *logits);
}
TEST_F(DiffTest, LeavesTheEngineAsItWas) {
  const auto before = *engine.feed(Ids{1, 260});
  diff(engine, Ids{5, 6, 7}, 1);
  engine.rewind(0);
  EXPECT_EQ(*engine.feed(Ids{1, 260}), before);
  EXPECT_ERROR(diff(engine, Ids{288}, 0), "token id 288 is out of range");
  engine.rewind(0);
  EXPECT_EQ(*engine.feed(Ids{1, 260}), before) << "after a diff that failed";
}
TEST_F(DiffTest, EndsWhereTheContextDoes) {
  const auto report = diff(engine, Ids(62, 260), 10);
  EXPECT_LE(engine.tokens().size(), 64U);
  EXPECT_TRUE(report.ok());
}
TEST_F(DiffTest, ProgressReachesItsEnd) {
  std::size_t last = 0, all = 0;
  diff(engine, Ids{1, 260, 262}, 2, nullptr, [&](std::string_view, std::size_t done, std::size_t total) {
    EXPECT_GE(done, last);
    last = done, all = total;
  });
  EXPECT_EQ(last, all);
}

}  // namespace
}  // namespace glassbox::model
