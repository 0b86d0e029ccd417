#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/engine.h"
#include "model/sampler.h"
#include "tests/allocations.h"
#include "tests/model/tiny_engine.h"

namespace glassbox::model {
namespace {

using glassbox::testing::allocations;
using glassbox::testing::letter_tokenizer;
using glassbox::testing::nmse;
using glassbox::testing::some_ids;
using glassbox::testing::TinyEngine;
using glassbox::testing::write_file;
using Ids = std::vector<std::uint32_t>;
using Logits = std::vector<float>;

class EngineDecode : public TinyEngine {};

TEST_F(EngineDecode, AppendsAsItFeedsAndLeavesTheLogits) {
  const auto ids = some_ids(9);
  auto& engine = open();
  const auto expected = *engine.feed(ids);
  engine.rewind(0);
  EXPECT_TRUE(engine.append(ids));
  Logits logits(3, 7.0F);
  engine.read_logits(logits);
  EXPECT_EQ(logits, expected);
  EXPECT_TRUE(engine.append_from_common_prefix(ids));
  engine.read_logits(logits);
  EXPECT_LE(nmse(logits, expected), 1e-12);
}
TEST_F(EngineDecode, CandidatesAreTheLargestLogits) {
  auto& engine = open();
  for (std::size_t step = 0; step < 6; ++step) {
    const auto ids = some_ids(step == 0 ? 5 : 1, static_cast<std::uint32_t>(3 + step));
    auto logits = *engine.feed(ids);
    for (const std::size_t k : {1, 40, 72}) {
      const auto* found = engine.candidates(k);
      ASSERT_TRUE(found);
      Ids order(logits.size());
      std::iota(order.begin(), order.end(), 0U);
      std::ranges::stable_sort(order, [&](auto a, auto b) { return logits[a] > logits[b]; });
      ASSERT_EQ(found->largest().size(), k);
      for (std::size_t i = 0; i < k; ++i) {
        EXPECT_EQ(found->largest()[i].id, order[i]);
        EXPECT_EQ(found->largest()[i].value, logits[order[i]]);
      }
    }
  }
}
TEST_F(EngineDecode, CandidatesHaveAPiece) {
  tiny.write(dir.path() / "tiny");
  write_file(dir.path() / "tiny" / "tokenizer.model", letter_tokenizer(280));
  Engine engine({.model = dir.path() / "tiny"});
  engine.append(some_ids(3));
  const auto* found = engine.candidates(70);
  ASSERT_TRUE(found);
  for (const auto& c : found->largest()) EXPECT_LT(c.id, 280U);
}
TEST_F(EngineDecode, CandidatesAreNoneWhereAllLogitsAreToBeRead) {
  open().append(some_ids(2));
  EXPECT_FALSE(again().candidates(0));
  EXPECT_FALSE(again().candidates(73));
  open({.fusion = gpu::Fusion::off}).append(some_ids(2));
  EXPECT_FALSE(again().candidates(1));
  tiny.tensors.at("lm_head.weight").values[5 * tiny.s.hidden] = std::numeric_limits<float>::infinity();
  open().append(some_ids(2));
  EXPECT_FALSE(again().candidates(1));
  Logits logits;
  again().read_logits(logits);
  EXPECT_FALSE(std::isfinite(logits[5]));
}
TEST_F(EngineDecode, HasNoLogitsBeforeATokenOrAfterGoingBack) {
  auto& engine = open();
  Logits logits;
  EXPECT_ERROR(engine.read_logits(logits), "there are no logits: no token was appended last");
  EXPECT_ERROR(engine.candidates(1), "there are no logits");
  engine.append(some_ids(3));
  engine.rewind(3);
  EXPECT_TRUE(engine.candidates(1));
  engine.rewind(2);
  EXPECT_ERROR(engine.candidates(1), "there are no logits");
  std::stop_source stop;
  stop.request_stop();
  engine.append(some_ids(1));
  EXPECT_FALSE(engine.append(some_ids(1), stop.get_token()));
  EXPECT_ERROR(engine.candidates(1), "there are no logits");
}

/// A token in decode, from its id to the next one's: with candidates from the device and with all logits.
TEST_F(EngineDecode, DecodeAllocatesNothing) {
  if (!glassbox::testing::counts_allocations) GTEST_SKIP() << "AddressSanitizer has its own operator new";
  auto& engine = open();
  for (const SamplingOptions options :
       {SamplingOptions{}, SamplingOptions{.temperature = 0},
        SamplingOptions{.repeat_last_n = 20, .repeat_penalty = 1.1F, .typical_p = 0.9F}, SamplingOptions{.top_k = 0}}) {
    engine.rewind(0);
    engine.append(some_ids(4));
    Sampler sampler(options, 1);
    Logits logits;
    const auto decode = [&, needed = options.largest_needed()] {
      const auto* top = engine.candidates(needed);
      if (!top) engine.read_logits(logits);
      const auto choice = top ? sampler.sample(*top, engine.config().vocab_size, engine.tokens())
                              : sampler.sample(logits, engine.tokens());
      engine.append(std::span(&choice.token, 1));
    };
    for (int i = 0; i < 20; ++i) decode();
    const auto before = allocations();
    const auto kept = std::make_unique<int>(1);
    ASSERT_EQ(allocations(), before + 1) << "they are counted";
    for (int i = 0; i < 30; ++i) decode();
    EXPECT_EQ(allocations(), before + 1) << "top-k " << options.top_k << ", temperature " << options.temperature;
  }
}

}  // namespace
}  // namespace glassbox::model
