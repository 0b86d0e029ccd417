#include "app/live/worker.h"

#include <gmock/gmock.h>

#include <atomic>
#include <fstream>

#include "model/safetensors.h"
#include "tests/process.h"
#include "tests/support.h"

// The engine behind the window, without one: what a person does, and what the snapshots show of it.
namespace glassbox::app::live {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr const char* stories = "models/stories260K";

class WorkerTest : public ::testing::Test {
 protected:
  void SetUp() override { REQUIRE_SHARED(stories); }

  Worker& worker() {
    if (!worker_) worker_ = std::make_unique<Worker>(Worker::Options{.store = file});
    return *worker_;
  }
  void close() { worker_.reset(); }
  Worker& ready(std::size_t max_tokens = 12) {
    model::EngineOptions options;
    options.model = testing::shared_dir() / stories;
    options.context = 256;
    auto settings = worker().snapshot()->settings;
    settings.sampling.temperature = 0;
    settings.max_tokens = max_tokens;
    worker().change(settings);
    worker().open_model(options);
    EXPECT_TRUE(until([](const Snapshot& now) { return now.model && !now.busy(); })) << now()->notice.text;
    return worker();
  }
  std::shared_ptr<const Snapshot> now() { return worker().snapshot(); }
  template <class Condition>
  bool until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + testing::patience;
    while (!condition(*now())) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return true;
  }
  /// Until everything asked for so far has been done.
  void settle() {
    settings_.seed = ++marker_;
    auto settings = now()->settings;
    settings.seed = marker_;
    worker().change(settings);
    ASSERT_TRUE(until([&](const Snapshot& s) { return s.settings.seed == marker_ && !s.busy(); }));
  }
  const Message& message(std::size_t index) {
    held_ = now();
    return *held_->thread->messages.at(index);
  }

  testing::TempDir temp;
  std::filesystem::path file = temp.path() / "conversations.db";

 private:
  std::unique_ptr<Worker> worker_;
  model::ChatSettings settings_;
  std::uint64_t marker_ = 1'000'000;
  std::shared_ptr<const Snapshot> held_;
};

TEST_F(WorkerTest, ShowsModelAndDevice) {
  ready();
  const auto snapshot = now();
  EXPECT_EQ(snapshot->model->config.num_hidden_layers, 5u);
  EXPECT_THAT(snapshot->model->tensors, SizeIs(47));
  EXPECT_EQ(snapshot->thread->context_size, 256u);
  EXPECT_NE(snapshot->device->renderer, "");
  ASSERT_TRUE(snapshot->roofline);
  EXPECT_GT(snapshot->roofline->bytes_per_second, 0);
}

TEST_F(WorkerTest, AnAnswerStreamsWithWhatWasSeenOfEachToken) {
  ready().send("Once upon a time");
  std::size_t growing = 0, longest = 0;
  ASSERT_TRUE(until([&](const Snapshot& s) {
    if (s.thread->messages.size() == 2) {
      const auto count = s.thread->messages[1]->tokens.size();
      growing += count > longest;
      longest = std::max(longest, count);
      if (s.busy()) {
        EXPECT_EQ(s.thread->messages[1]->state, model::MessageState::streaming);
      }
    }
    return longest == 12 && !s.busy();
  }));
  EXPECT_GT(growing, 3u) << "it came piece by piece";
  const auto& answer = message(1);
  EXPECT_EQ(answer.state, model::MessageState::complete);
  EXPECT_EQ(answer.stop_reason, "length");
  EXPECT_GT(answer.first_token_seconds, 0);
  std::string text;
  for (const auto& token : answer.tokens) {
    EXPECT_EQ(token->begin, text.size());
    text += token->text;
    ASSERT_FALSE(token->candidates.empty());
    EXPECT_EQ(token->candidates[0].token, token->id) << "greedy";
    EXPECT_EQ(token->probability, token->candidates[0].probability);
    ASSERT_TRUE(token->run);
    EXPECT_GT(token->run->dispatches.size(), 40u);
    EXPECT_GT(token->seconds, 0);
  }
  EXPECT_EQ(text, answer.content);
  EXPECT_THAT(*now()->history, SizeIs(1));
  EXPECT_EQ(now()->history->front().title, "Once upon a time");
}

TEST_F(WorkerTest, StopEndsAnAnswerWithinATokenAndKeepsIt) {
  ready(200).send("Once");
  ASSERT_TRUE(until(
      [](const Snapshot& s) { return s.thread->messages.size() == 2 && s.thread->messages[1]->tokens.size() > 4; }));
  const auto had = now()->thread->messages[1]->tokens.size();
  worker().stop();
  settle();
  EXPECT_LE(message(1).tokens.size(), had + 40);
  EXPECT_EQ(message(1).state, model::MessageState::stopped);
  const auto begun = message(1).content;
  worker().go_on(message(1).id);
  settle();
  EXPECT_THAT(message(1).content, StartsWith(begun));
  EXPECT_GT(message(1).content.size(), begun.size());
  EXPECT_THAT(message(1).siblings, SizeIs(2));
  EXPECT_EQ(message(1).sibling, 1u);
  EXPECT_TRUE(message(1).tokens[0]->run) << "what was recorded of its beginning came along";
}

TEST_F(WorkerTest, BranchesOfQuestionsAndAnswers) {
  ready(4).send("Once upon a time");
  worker().send("And then?");
  settle();
  const auto first = message(2).id, answer = message(3).id;
  worker().edit(first, "Why?");
  settle();
  ASSERT_THAT(now()->thread->messages, SizeIs(4));
  EXPECT_EQ(message(2).content, "Why?");
  EXPECT_EQ(message(2).siblings, (std::vector<std::int64_t>{first, message(2).id}));
  worker().switch_to(first);
  settle();
  EXPECT_EQ(message(3).id, answer);
  worker().regenerate(answer);
  settle();
  EXPECT_THAT(message(3).siblings, SizeIs(2));
  worker().force({message(3).id, 1}, 300);
  settle();
  EXPECT_EQ(message(3).tokens.at(1)->id, 300u);
  EXPECT_THAT(message(3).siblings, SizeIs(3));
}

TEST_F(WorkerTest, WhatFailsIsToldAndTheThreadStands) {
  ready(4).send("Once");
  settle();
  worker().edit(message(0).id, "\xff");
  settle();
  EXPECT_TRUE(now()->notice.error);
  EXPECT_THAT(now()->notice.text, HasSubstr("UTF-8"));
  EXPECT_THAT(now()->thread->messages, SizeIs(2));
  model::EngineOptions options;
  options.model = temp.path() / "nowhere";
  worker().open_model(options);
  settle();
  EXPECT_THAT(now()->notice.text, HasSubstr("nowhere"));
  EXPECT_EQ(now()->model, nullptr);
  EXPECT_THAT(now()->thread->messages, SizeIs(2)) << "a conversation can be read without a model";
  worker().send("x");
  settle();
  EXPECT_THAT(now()->notice.text, HasSubstr("no model"));
}

TEST_F(WorkerTest, EveryTokenIsComparedWithFloat64WhereAskedFor) {
  ready(4).watch({.time_kernels = false, .check_every = 1});
  worker().send("Once upon a time");
  settle();
  for (std::size_t i = 1; i < 4; ++i) {
    const auto& token = *message(1).tokens[i];
    EXPECT_FALSE(token.run);
    ASSERT_TRUE(token.check);
    EXPECT_FALSE(token.check->first_divergent);
    EXPECT_GT(token.check->kernels.size(), 40u);
    EXPECT_GT(token.check->worst_nmse(), 0);
  }
}

TEST_F(WorkerTest, ATokenOfAnEarlierRunIsRecordedAndComparedOnDemand) {
  ready(6).send("Once upon a time");
  settle();
  const auto conversation = *now()->thread->conversation;
  std::vector<std::uint32_t> ids;
  for (const auto& token : message(1).tokens) ids.push_back(token->id);
  const auto candidates = message(1).tokens[3]->candidates;
  close();
  ready(6).open_conversation(conversation);
  settle();
  const TokenPlace place{message(1).id, 3};
  EXPECT_FALSE(message(1).tokens[3]->run);
  EXPECT_EQ(message(1).tokens[3]->id, ids[3]);
  worker().inspect(place);
  settle();
  ASSERT_TRUE(message(1).tokens[3]->run);
  ASSERT_THAT(message(1).tokens[3]->candidates, SizeIs(candidates.size()));
  EXPECT_EQ(message(1).tokens[3]->candidates[0].token, ids[3]);
  EXPECT_NEAR(message(1).tokens[3]->candidates[0].probability, candidates[0].probability, 1e-5);
  worker().check(place, false);
  settle();
  ASSERT_TRUE(message(1).tokens[3]->check) << now()->notice.text;
  EXPECT_FALSE(message(1).tokens[3]->check->first_divergent);
  EXPECT_THAT(message(1).tokens[3]->check->values, SizeIs(message(1).tokens[3]->check->kernels.size()));
  worker().check(place, true);
  settle();
  const auto& whole = *message(1).tokens[3]->check;
  EXPECT_TRUE(whole.whole_model);
  EXPECT_LT(whole.logits.nmse, 1e-9);
  EXPECT_GT(whole.logits.nmse, 0);
  EXPECT_LT(whole.kl, 1e-9);
  worker().save_kernel(place, 2, temp.path() / "kernel.safetensors");
  settle();
  const auto saved = model::Safetensors::open(temp.path() / "kernel.safetensors");
  EXPECT_TRUE(saved.find("input0") && saved.find("output0") && saved.find("reference0"));
  // None of it changed the answer, and the chat goes on as if nothing had been.
  worker().send("And then?");
  settle();
  for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(message(1).tokens[i]->id, ids[i]);
  EXPECT_THAT(message(3).tokens, SizeIs(6));
}

TEST_F(WorkerTest, ConversationsAreFoundRenamedRemovedAndComeBack) {
  ready(2).send("Once upon a time");
  settle();
  const auto first = *now()->thread->conversation;
  worker().new_conversation("Be brief.");
  worker().send("A dragon");
  settle();
  EXPECT_THAT(*now()->history, SizeIs(2));
  EXPECT_EQ(now()->thread->system_prompt, "Be brief.");
  worker().search("dragon");
  settle();
  EXPECT_THAT(*now()->history, SizeIs(1));
  worker().search("");
  worker().rename(first, "The first");
  settle();
  EXPECT_EQ(now()->history->back().title, "The first");
  worker().export_conversation(first, temp.path() / "first.json");
  worker().remove(first);
  settle();
  EXPECT_THAT(*now()->history, SizeIs(1));
  worker().undo_remove();
  worker().import_conversation(temp.path() / "first.json");
  settle();
  EXPECT_THAT(*now()->history, SizeIs(3));
  EXPECT_EQ(now()->thread->title, "The first");
  EXPECT_EQ(message(0).content, "Once upon a time");
}

TEST_F(WorkerTest, LoadingCanBeStopped) {
  model::EngineOptions options;
  options.model = testing::shared_dir() / stories;
  std::atomic<Worker*> loading = nullptr;
  // At the first news of the load, on the worker's own thread: nothing later can come before it.
  Worker stopped({.store = file, .published = [&] {
                    if (Worker* worker = loading;
                        worker && worker->snapshot()->activity == Activity::loading && worker->snapshot()->work)
                      worker->stop();
                  }});
  loading = &stopped;
  stopped.open_model(options);
  const auto end = std::chrono::steady_clock::now() + testing::patience;
  while (stopped.snapshot()->notice.number == 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(stopped.snapshot()->notice.text, "stopped");
  EXPECT_EQ(stopped.snapshot()->model, nullptr);
}

TEST_F(WorkerTest, MeasuresWhatTheDriverMakesOfFunctions) {
  ready().measure_functions();
  settle();
  const auto device = now()->device;
  ASSERT_THAT(device->functions, SizeIs(11));
  for (const auto& function : device->functions) {
    EXPECT_GE(function.max_ulp, function.function == "sqrt" ? 0 : 0.3) << function.function;
    EXPECT_LT(function.max_ulp, 1e6) << function.function;
  }
}

}  // namespace
}  // namespace glassbox::app::live
