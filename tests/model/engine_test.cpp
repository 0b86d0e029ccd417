#include "model/engine.h"

#include <gtest/gtest.h>

#include <numeric>

#include "gpu/arena.h"
#include "tests/model/tiny_engine.h"

namespace glassbox::model {
namespace {

using glassbox::testing::letter_tokenizer;
using glassbox::testing::nmse;
using glassbox::testing::some_ids;
using glassbox::testing::TempDir;
using glassbox::testing::TinyEngine;
using glassbox::testing::TinyLlama;
using glassbox::testing::TinyShape;
using glassbox::testing::write_file;
using Ids = std::vector<std::uint32_t>;
using Logits = std::vector<float>;

class EngineTest : public TinyEngine {
 protected:
  /// What a context that never held anything else gives.
  Logits fresh(const Ids& ids, const EngineOptions& changes = {}) { return *open(changes).feed(ids); }
};

TEST_F(EngineTest, ComputesWhatPlainFloat64LoopsDo) {
  const auto ids = some_ids(40);
  EXPECT_LE(nmse(open().feed_all(ids), tiny.logits(ids)), 1e-11);
}

struct Variant {
  const char* name;
  TinyShape shape;
};
void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }
class Variants : public ::testing::TestWithParam<Variant> {};
TEST_P(Variants, ComputesWhatPlainFloat64LoopsDo) {
  const TinyLlama tiny(GetParam().shape);
  const TempDir dir;
  const auto ids = some_ids(30);
  const auto expected = tiny.logits(ids);
  for (const auto fusion : {gpu::Fusion::on, gpu::Fusion::off}) {
    Engine engine({.model = tiny.write(dir.path()), .fusion = fusion, .chunk = 7});
    EXPECT_LE(nmse(engine.feed_all(ids), expected), 1e-11);
  }
}
INSTANTIATE_TEST_SUITE_P(
    Shapes, Variants,
    ::testing::Values(
        Variant{"tied", {.tied = true}}, Variant{"attention_bias", {.attention_bias = true}},
        Variant{"mlp_bias", {.mlp_bias = true}},
        Variant{"all_of_it", {.heads = 4, .kv_heads = 2, .tied = true, .attention_bias = true, .mlp_bias = true}},
        Variant{"odd_sizes", {.hidden = 30, .intermediate = 41, .heads = 5, .kv_heads = 5, .head_dim = 6}},
        Variant{"smallest", {.hidden = 2, .intermediate = 1, .layers = 1, .heads = 1, .head_dim = 2}}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(EngineTest, ABiasOfOIsOptionalWhereQkvHaveTheirs) {
  tiny = TinyLlama({.attention_bias = true});
  for (std::size_t i = 0; i < tiny.s.layers; ++i)
    tiny.tensors.erase("model.layers." + std::to_string(i) + ".self_attn.o_proj.bias");
  const auto ids = some_ids(9);
  EXPECT_LE(nmse(open().feed_all(ids), tiny.logits(ids)), 1e-11);
}
TEST_F(EngineTest, AMissingBiasIsNamed) {
  tiny = TinyLlama({.attention_bias = true});
  tiny.tensors.erase("model.layers.1.self_attn.k_proj.bias");
  EXPECT_ERROR(open(), "model.layers.1.self_attn.k_proj.bias");
}

TEST_F(EngineTest, FeedGivesTheLastRowOfFeedAll) {
  const auto ids = some_ids(20);
  auto& engine = open({.chunk = 8});
  const auto all = engine.feed_all(ids);
  engine.rewind(0);
  const auto last = engine.feed(ids);
  ASSERT_EQ(last->size(), 288U);
  EXPECT_LE(nmse(*last, Logits(all.end() - 288, all.end())), 1e-12);
}
TEST_F(EngineTest, RewindForgets) {
  const auto ids = some_ids(12), others = some_ids(20, 100);
  const auto expected = fresh(ids);
  auto& engine = open();
  engine.feed(others);
  engine.rewind(0);
  EXPECT_EQ(engine.tokens(), Ids{});
  EXPECT_EQ(*engine.feed(ids), expected);
}
TEST_F(EngineTest, DecodingAfterARewindIsDecodingAfresh) {
  const auto ids = some_ids(12), others = some_ids(8, 200);
  const std::uint32_t next = 77;
  open().feed(ids);
  const auto expected = *again().feed(std::span(&next, 1));
  auto& engine = open();
  engine.feed(ids);
  engine.feed(others);
  for (const auto id : others) engine.feed(std::span(&id, 1));
  engine.rewind(ids.size());
  EXPECT_EQ(engine.tokens(), ids);
  EXPECT_EQ(*engine.feed(std::span(&next, 1)), expected);
}
TEST_F(EngineTest, CannotRewindForwards) {
  auto& engine = open();
  engine.feed(some_ids(3));
  EXPECT_ERROR(engine.rewind(4), "cannot go back to 4 tokens, the context holds 3");
}

TEST_F(EngineTest, CommonPrefixIsCounted) {
  auto& engine = open();
  EXPECT_EQ(engine.common_prefix(some_ids(5)), 0U);
  engine.feed(Ids{5, 6, 7, 8});
  EXPECT_EQ(engine.common_prefix(Ids{}), 0U);
  EXPECT_EQ(engine.common_prefix(Ids{6}), 0U);
  EXPECT_EQ(engine.common_prefix(Ids{5, 6, 9, 8}), 2U);
  EXPECT_EQ(engine.common_prefix(Ids{5, 6, 7, 8, 9}), 4U);
  EXPECT_EQ(engine.common_prefix(Ids{5, 6}), 2U);
}
TEST_F(EngineTest, FeedsOnlyWhatTheContextDoesNotHold) {
  const auto expected = fresh({5, 6, 9});
  auto& engine = open();
  engine.feed(Ids{5, 6, 7, 8});
  std::vector<std::pair<std::size_t, std::size_t>> steps;  // first position, tokens
  engine.on_step([&](const EngineStep& step) {
    steps.emplace_back(step.first, step.count);
    step.plan.run();
  });
  const auto logits = engine.feed_from_common_prefix(Ids{5, 6, 9});
  EXPECT_EQ(steps, (std::vector<std::pair<std::size_t, std::size_t>>{{2, 1}}));
  EXPECT_EQ(engine.tokens(), (Ids{5, 6, 9}));
  EXPECT_LE(nmse(*logits, expected), 1e-12);
}
TEST_F(EngineTest, FeedsTheLastTokenAgainWhereTheContextHoldsAll) {
  const auto shorter = fresh({5, 6});
  auto& engine = open();
  const auto first = engine.feed_from_common_prefix(Ids{5, 6, 7});
  EXPECT_LE(nmse(*engine.feed_from_common_prefix(Ids{5, 6, 7}), *first), 1e-12);
  EXPECT_LE(nmse(*engine.feed_from_common_prefix(Ids{5, 6}), shorter), 1e-12);
}

TEST_F(EngineTest, StepsSayWhatTheyAre) {
  auto& engine = open({.chunk = 8});
  std::vector<std::tuple<bool, std::size_t, std::size_t>> steps;  // prefill, first position, tokens
  engine.on_step([&](const EngineStep& step) {
    steps.emplace_back(step.prefill, step.first, step.count);
    step.plan.run();
  });
  engine.feed(some_ids(19));
  engine.feed(some_ids(1));
  EXPECT_EQ(steps, (decltype(steps){{true, 0, 8}, {true, 8, 8}, {true, 16, 3}, {false, 19, 1}}));
}

TEST_F(EngineTest, TheContextIsTheModelsUnlessLessIsAskedFor) {
  EXPECT_EQ(open().context(), 64U);
  EXPECT_EQ(open({.context = 10}).context(), 10U);
  EXPECT_ERROR(open({.context = 65}), "--ctx-size 65: this model's context is 64");
  EXPECT_EQ(open({}, {{"max_position_embeddings", 1 << 20}}).context(), EngineOptions::default_context);
}
TEST_F(EngineTest, AFullContextTakesNothingMoreAndLosesNothing) {
  const auto ids = some_ids(10);
  const auto expected = fresh(ids);
  auto& engine = open({.context = 10});
  engine.feed(Ids(ids.begin(), ids.begin() + 9));
  EXPECT_ERROR(engine.feed(some_ids(2)), "2 tokens do not fit the context of 10, which holds 9");
  EXPECT_ERROR(engine.feed_all(some_ids(2)), "2 tokens do not fit the context of 10, which holds 9");
  EXPECT_EQ(engine.tokens().size(), 9U);
  const auto last = engine.feed(std::span(&ids[9], 1));
  EXPECT_LE(nmse(*last, expected), 1e-12);
}
TEST_F(EngineTest, APromptLongerThanTheContextIsRefused) {
  auto& engine = open({.context = 10});
  EXPECT_ERROR(engine.feed(some_ids(11)), "11 tokens do not fit the context of 10");
  EXPECT_ERROR(engine.feed_all(some_ids(11)), "11 tokens do not fit the context of 10");
  EXPECT_ERROR(engine.feed_from_common_prefix(some_ids(11)), "11 tokens do not fit the context of 10");
  EXPECT_EQ(engine.tokens(), Ids{});
}
TEST_F(EngineTest, IdsOutOfRangeAreRefusedBeforeAnythingIsFed) {
  auto& engine = open();
  EXPECT_ERROR(engine.feed(Ids{1, 2, 288}), "token id 288 is out of range, the vocabulary has 288");
  EXPECT_ERROR(engine.feed(Ids{0xffffffff}), "token id 4294967295 is out of range");
  EXPECT_ERROR(engine.feed_all(Ids{1, 288}), "token id 288 is out of range");
  EXPECT_EQ(engine.tokens(), Ids{});
  EXPECT_TRUE(engine.feed(Ids{287}).has_value());
}
TEST_F(EngineTest, NoTokensAreRefused) {
  auto& engine = open();
  EXPECT_ERROR(engine.feed({}), "no tokens");
  EXPECT_ERROR(engine.feed_all({}), "no tokens");
  EXPECT_ERROR(engine.feed_from_common_prefix({}), "no tokens");
}

TEST_F(EngineTest, StopsBetweenChunksAndGoesOnAsIfNothingHadBeen) {
  const auto ids = some_ids(30);
  const auto expected = fresh(ids, {.chunk = 8});
  auto& engine = open({.chunk = 8});
  std::stop_source stop;
  EXPECT_EQ(engine.feed(ids, stop.get_token(),
                        [&](std::string_view, std::size_t done, std::size_t total) {
                          EXPECT_EQ(total, 30U);
                          if (done == 16) stop.request_stop();
                        }),
            std::nullopt);
  EXPECT_EQ(engine.tokens(), Ids(ids.begin(), ids.begin() + 16));
  EXPECT_EQ(*engine.feed_from_common_prefix(ids), expected);
}
TEST_F(EngineTest, AStopBeforeATokenLeavesTheContextAlone) {
  const auto expected = fresh({5, 6, 7});
  auto& engine = open();
  engine.feed(Ids{5, 6});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(engine.feed(Ids{7}, stop.get_token()), std::nullopt);
  EXPECT_EQ(engine.tokens(), (Ids{5, 6}));
  EXPECT_LE(nmse(*engine.feed(Ids{7}), expected), 1e-12);
}
TEST_F(EngineTest, AStepThatFailsIsNotInTheContext) {
  const auto expected = fresh(some_ids(10), {.chunk = 4});
  auto& engine = open({.chunk = 4});
  engine.on_step([&](const EngineStep& step) {
    if (step.first == 4) fail("the driver is gone");
    step.plan.run();
  });
  EXPECT_ERROR(engine.feed(some_ids(10)), "the driver is gone");
  EXPECT_EQ(engine.tokens(), some_ids(4));
  engine.on_step(nullptr);
  EXPECT_EQ(*engine.feed_from_common_prefix(some_ids(10)), expected);
}

TEST_F(EngineTest, ReportsItsProgress) {
  std::vector<std::string> said;
  std::size_t last = 0;
  Engine engine({.model = tiny.write(dir.path())}, [&](std::string_view what, std::size_t done, std::size_t total) {
    if (said.empty() || said.back() != what) last = 0, said.emplace_back(what);
    EXPECT_GE(done, last);
    EXPECT_LE(done, total);
    last = done;
  });
  EXPECT_EQ(said, (std::vector<std::string>{"loading weights", "compiling kernels"}));
  EXPECT_GT(engine.load_seconds(), 0);
}

TEST_F(EngineTest, CountsItsBytes) {
  auto& engine = open({.context = 32});
  std::size_t weights = 0;
  std::size_t least = 0;  // matrices are padded to whole tiles of rows and blocks of columns
  for (const auto& [name, tensor] : tiny.tensors) {
    least += tensor.values.size() * sizeof(float);
    weights += tensor.shape.size() == 2
                   ? gpu::PackedLayout{gpu::PackedFormat::f32, tensor.shape[0], tensor.shape[1]}.texels() * 16
                   : tensor.values.size() * sizeof(float);
  }
  EXPECT_GE(engine.weight_bytes(), least);
  EXPECT_LE(engine.weight_bytes(), weights + tiny.tensors.size() * gpu::Arena::alignment);
  EXPECT_EQ(engine.cache_bytes(), 2U * 2 * 32 * 8 * sizeof(float));  // keys and values, layers, positions, head
  EXPECT_EQ(open({.context = 32, .key_cache = gpu::CacheType::f16, .value_cache = gpu::CacheType::f16}).cache_bytes(),
            2U * 2 * 32 * 8 * 2);
}
TEST_F(EngineTest, PlansOfOddLengthsDoNotPileUp) {
  // Bytes of the buffers, as far as any array reaches that a plan has computed.
  std::map<const gpu::Buffer*, std::size_t> ends;
  const auto bytes_after = [&](std::vector<std::size_t> counts) {
    ends.clear();
    auto& engine = open({.chunk = 32});
    engine.on_step([&](const EngineStep& step) {
      for (const auto& kernel : step.plan.steps())
        for (const auto& out : kernel.outputs) {
          const auto& storage = *out.data()->storage;
          auto& end = ends[&storage.buffer()];
          end = std::max(end, storage.offset() + storage.bytes());
        }
      step.plan.run();
    });
    for (const auto count : counts) {
      engine.rewind(0);
      engine.feed_all(some_ids(count));
    }
    return std::accumulate(ends.begin(), ends.end(), std::size_t{0},
                           [](std::size_t sum, const auto& end) { return sum + end.second; });
  };
  std::vector<std::size_t> counts(32);
  std::iota(counts.begin(), counts.end(), 1);
  // All 32 kept would be 16 times the logits of the longest.
  const std::size_t logits = 32 * 288 * sizeof(float);
  EXPECT_LE(bytes_after(counts), bytes_after({32}) + 5 * logits);
}

TEST_F(EngineTest, WithoutATokenizerLogitsWorkAndTextSaysSo) {
  auto& engine = open();
  EXPECT_TRUE(engine.feed(Ids{1, 2, 3}).has_value());
  EXPECT_ERROR(engine.tokenizer(), "tiny: no tokenizer found");
  EXPECT_ERROR(engine.chat_template(), "tiny: no tokenizer found");
  EXPECT_TRUE(engine.ends_answer(2));
  EXPECT_FALSE(engine.ends_answer(3));
}
TEST_F(EngineTest, TheVocabularyMayBePaddedBeyondTheTokenizers) {
  std::filesystem::create_directories(dir.path() / "tiny");
  write_file(dir.path() / "tiny/tokenizer.model", letter_tokenizer(280));
  auto& engine = open();
  EXPECT_EQ(engine.tokenizer().vocab_size(), 280U);
  EXPECT_TRUE(engine.feed(Ids{287}).has_value());
  EXPECT_FALSE(engine.ends_answer(287));
}
TEST_F(EngineTest, ATokenizerThatDisagreesIsRefused) {
  std::filesystem::create_directories(dir.path() / "tiny");
  write_file(dir.path() / "tiny/tokenizer.model", letter_tokenizer(289));
  EXPECT_ERROR(open(), "tokenizer.model: the tokenizer has 289 pieces, the model a vocabulary of 288");
  tiny = TinyLlama({.vocab = 600});
  EXPECT_ERROR(open(), "tokenizer.model: the tokenizer has 289 pieces, the model a vocabulary of 600");
}

}  // namespace
}  // namespace glassbox::model
