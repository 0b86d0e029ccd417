#include <gmock/gmock.h>

#include <set>

#include "gpu/ops/packed_tune.h"
#include "model/engine.h"
#include "tests/gpu/runtime_support.h"
#include "tests/model/tiny_llama.h"

namespace glassbox::model {
namespace {

using gpu::PackedTable;
using gpu::Tune;
using testing::nmse;
using testing::ScopedEnvironment;

/// A cache directory of the test's own, on which engines follow each other.
class EngineTuning : public ::testing::Test {
 protected:
  EngineTuning() : model(tiny.write(dir.path() / "tiny", nlohmann::json::object())) {}

  std::unique_ptr<Engine> open(std::optional<Tune> tune) {
    said.clear();
    return std::make_unique<Engine>(EngineOptions{.model = model, .chunk = 16, .tune = tune},
                                    [this](std::string_view what, std::size_t, std::size_t) { said.emplace(what); });
  }
  /// The file that an engine leaves, in which every choice is replaced by one that would not be measured.
  void plant() {
    const auto engine = open(Tune::on);
    auto& table = engine->device().packed_table();
    for (const auto& [of, choice] : std::map(table.choices()))
      table.set(of, {.variant = {.kernel = gpu::PackedVariant::Kernel::group, .local_size = 8}, .us = 4242});
    table.save(engine->device());
  }

  testing::TinyLlama tiny;
  testing::TempDir dir, caches;
  ScopedEnvironment cache{"XDG_CACHE_HOME", caches.path().c_str()};
  std::filesystem::path model;
  std::set<std::string> said;
  const std::vector<std::uint32_t> ids{3, 40, 77, 114, 151, 188, 225, 262, 11, 48, 85, 122, 159, 196, 233, 270, 19};
};

TEST_F(EngineTuning, OnPicksAVariantForEachProductOnce) {
  std::size_t picked = 0;
  {
    const auto engine = open(Tune::on);
    EXPECT_THAT(said, ::testing::Contains("tuning kernels"));
    const auto& table = engine->device().packed_table();
    picked = table.choices().size();
    // Those of a layer with a token and with a chunk, the head's with a token.
    EXPECT_GE(picked, 9U);
    // Whatever a step of a token or of a whole chunk needs is there.
    engine->feed(std::span(ids).first(16));
    engine->feed(std::span(ids).first(1));
    for (const auto& [of, times] : table.asked()) EXPECT_TRUE(table.find(of)) << of.rows << " rows, " << of.tokens;
    engine->rewind(0);
    EXPECT_LE(nmse(engine->feed_all(ids), tiny.logits(ids)), 1e-11);
  }
  EXPECT_EQ(open(Tune::on)->device().packed_table().choices().size(), picked);
  EXPECT_THAT(said, ::testing::Not(::testing::Contains("tuning kernels"))) << "it was kept";
}

TEST_F(EngineTuning, CachedTakesWhatWasKeptAndMeasuresNothing) {
  EXPECT_TRUE(open(Tune::cached)->device().packed_table().choices().empty());
  EXPECT_THAT(said, ::testing::Not(::testing::Contains("tuning kernels")));
  plant();
  const auto engine = open(Tune::cached);
  EXPECT_THAT(said, ::testing::Not(::testing::Contains("tuning kernels")));
  std::set<std::string> kernels;
  engine->on_step([&](const EngineStep& step) {
    for (const auto& dispatch : step.plan.dispatches()) kernels.insert(dispatch.kernel);
    step.plan.run();
  });
  engine->feed(std::span(ids).first(1));
  EXPECT_THAT(kernels, ::testing::Contains("packed_matmul_group"));
  EXPECT_THAT(kernels, ::testing::Not(::testing::Contains("packed_matmul_lanes")));
  engine->rewind(0);
  EXPECT_LE(nmse(engine->feed_all(ids), tiny.logits(ids)), 1e-11);
}

TEST_F(EngineTuning, OffTakesTheRule) {
  const auto before = *open(Tune::off)->feed(ids);
  plant();
  const auto engine = open(Tune::off);
  EXPECT_TRUE(engine->device().packed_table().choices().empty());
  EXPECT_EQ(*engine->feed(ids), before);
}

TEST_F(EngineTuning, EnvironmentDecidesWhereNoOptionDoes) {
  plant();
  const ScopedEnvironment cached("GLASSBOX_TUNE", "cached");
  EXPECT_FALSE(open(std::nullopt)->device().packed_table().choices().empty());
  const ScopedEnvironment off("GLASSBOX_TUNE", "off");
  EXPECT_TRUE(open(std::nullopt)->device().packed_table().choices().empty());
}

}  // namespace
}  // namespace glassbox::model
