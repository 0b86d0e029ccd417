#include "model/chat_session.h"

#include <gmock/gmock.h>

#include <fstream>

#include "model/utf8.h"
#include "tests/support.h"

namespace glassbox::model {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr std::size_t small_context = 256;

std::unique_ptr<Engine> open_engine(const std::filesystem::path& model) {
  EngineOptions options;
  options.model = model;
  options.context = small_context;
  return std::make_unique<Engine>(options);
}

ChatSettings greedy(std::size_t max_tokens) {
  ChatSettings settings{.max_tokens = max_tokens};
  settings.sampling.temperature = 0;
  return settings;
}

/// The likelihoods hardly count: nearly all answers differ, and bytes that are no whole characters abound.
ChatSettings random_settings(std::size_t max_tokens, std::uint64_t seed) {
  ChatSettings settings{.seed = seed, .max_tokens = max_tokens};
  settings.sampling = {.top_k = 0, .top_p = 1, .min_p = 0, .temperature = 100};
  return settings;
}

/// Small trained weights without a chat template.
class ChatSessionTest : public ::testing::Test {
 protected:
  static constexpr const char* model = "models/stories260K";
  static void SetUpTestSuite() {
    if (std::filesystem::exists(testing::shared_dir() / model)) engine = open_engine(testing::shared_dir() / model);
  }
  static void TearDownTestSuite() { engine.reset(); }
  void SetUp() override { REQUIRE_SHARED(model); }

  ChatSession session(const ChatSettings& settings) { return {*engine, &store, settings}; }
  /// What the model was given and has answered.
  static std::string context_text() { return engine->tokenizer().decode(engine->tokens()); }

  inline static std::unique_ptr<Engine> engine;
  testing::TempDir temp;
  std::filesystem::path file = temp.path() / "conversations.db";
  ConversationStore store{file};
};

TEST_F(ChatSessionTest, AnswersAsTheModelContinuesThePlainForm) {
  auto chat = session(greedy(20));
  const auto answer = chat.ask("Tell me of Lily", nullptr).generation;
  const auto expected = generate(*engine,
                                 {.prompt = engine->tokenizer().encode("User: Tell me of Lily\nAssistant:", true),
                                  .max_tokens = 20,
                                  .sampling = greedy(20).sampling},
                                 nullptr);
  EXPECT_EQ(answer.tokens, expected.tokens);
  EXPECT_EQ(answer.text, expected.text.substr(expected.text.find_first_not_of(" \n")));
  EXPECT_EQ(chat.thread().back().content, answer.text);
}

TEST_F(ChatSessionTest, AQuestionFollowsTheThreadAndTheSystemPrompt) {
  auto chat = session(greedy(5));
  chat.start("You tell stories.");
  const auto first = chat.ask("Hello", nullptr).generation.text;
  chat.ask("And then?", nullptr);
  EXPECT_THAT(context_text(),
              StartsWith("You tell stories.\n\nUser: Hello\nAssistant: " + first + "\nUser: And then?\nAssistant:"));
}

TEST_F(ChatSessionTest, OnlyWhatIsNewIsReadAgain) {
  auto chat = session(greedy(5));
  const auto first = chat.ask("Hello", nullptr);
  const auto second = chat.ask("And then?", nullptr);
  const auto whole = engine->tokens().size() + 1 - second.generation.tokens.size();
  EXPECT_LT(second.generation.prompt_tokens, whole - first.generation.prompt_tokens / 2);
}

TEST_F(ChatSessionTest, EachTokenIsStoredBeforeItIsSeen) {
  auto chat = session(greedy(12));
  std::string shown;
  std::size_t count = 0;
  chat.ask("Hello", [&](const GeneratedToken& token) {
    shown += token.text;
    ++count;
    const auto other = ConversationStore(file).thread(*chat.conversation()).back();
    EXPECT_EQ(other.state, MessageState::streaming);
    EXPECT_EQ(other.content, shown);
    EXPECT_EQ(other.tokens.size(), count);
  });
  EXPECT_EQ(count, 12u);
}

TEST_F(ChatSessionTest, TheStoreHoldsTheThread) {
  auto chat = session(greedy(6));
  chat.start("You tell stories.");
  chat.ask("Once upon\na time", nullptr);
  chat.ask("More", nullptr);
  const auto stored = store.thread(*chat.conversation());
  ASSERT_EQ(stored.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(stored[i].id, chat.thread()[i].id);
    EXPECT_EQ(stored[i].parent, chat.thread()[i].parent);
    EXPECT_EQ(stored[i].role, i % 2 ? "assistant" : "user");
    EXPECT_EQ(stored[i].content, chat.thread()[i].content);
    EXPECT_EQ(stored[i].tokens, chat.thread()[i].tokens);
    EXPECT_EQ(stored[i].sampling, chat.thread()[i].sampling);
    EXPECT_EQ(stored[i].stats, chat.thread()[i].stats);
    EXPECT_EQ(stored[i].state, MessageState::complete);
  }
  EXPECT_EQ(stored[3].sampling["top_p"].dump(), "0.95");
  EXPECT_EQ(stored[3].stats["stop_reason"], "length");
  EXPECT_EQ(store.conversation(*chat.conversation()).title, "Once upon a time");
  EXPECT_EQ(store.conversation(*chat.conversation()).system_prompt, "You tell stories.");
}

TEST_F(ChatSessionTest, StopsWithinAToken) {
  auto chat = session(greedy(50));
  std::stop_source source;
  std::size_t count = 0;
  const auto stop_at_three = [&](const GeneratedToken&) {
    if (++count == 3) source.request_stop();
  };
  const auto answer = chat.ask("Hello", stop_at_three, source.get_token());
  EXPECT_EQ(answer.generation.reason, StopReason::cancelled);
  EXPECT_EQ(answer.generation.tokens.size(), 3u);
  EXPECT_EQ(store.thread(*chat.conversation()).back().state, MessageState::stopped);
  EXPECT_EQ(store.thread(*chat.conversation()).back().content, answer.generation.text);
  EXPECT_EQ(chat.ask("Go on", nullptr).generation.tokens.size(), 50u);
}

TEST_F(ChatSessionTest, AnAnswerCutInACharacterKeepsItsTokensAndNoHalfCharacter) {
  std::size_t cut = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto chat = session(random_settings(5, seed));
    std::string shown;
    const auto answer = chat.ask("q", [&](const GeneratedToken& token) { shown += token.text; }).generation;
    const auto stored = store.thread(*chat.conversation()).back();
    EXPECT_EQ(stored.tokens, answer.tokens);
    EXPECT_EQ(stored.content, shown);
    EXPECT_EQ(stored.content, answer.text);
    EXPECT_EQ(find_invalid_utf8(shown), std::nullopt);
    StreamingDecoder decoder(engine->tokenizer(), true);
    for (const auto id : answer.tokens) decoder.push(id);
    cut += !decoder.finish().empty();
  }
  EXPECT_GT(cut, 0u);  // else this says nothing
}

TEST_F(ChatSessionTest, AnAnswerGoesOnFromItsOwnTokens) {
  auto chat = session(greedy(5));
  const auto begun = chat.ask("Hello", nullptr).generation.tokens;
  const auto whole = session(greedy(12)).ask("Hello", nullptr).generation;
  const auto id = chat.thread().back().id;
  chat.change(greedy(7));
  std::string shown;
  const auto more = chat.answer_again(id, begun, [&](const GeneratedToken& token) { shown += token.text; });
  EXPECT_EQ(chat.thread().back().tokens, whole.tokens) << "greedy: as if it had never been cut";
  EXPECT_EQ(more.generation.text, whole.text);
  EXPECT_TRUE(whole.text.ends_with(shown));
  EXPECT_EQ(more.generation.prompt_tokens, 1u) << "the context held the rest";
  const auto siblings = store.children(chat.thread().front().id);
  ASSERT_THAT(siblings, SizeIs(2));
  EXPECT_EQ(siblings[0].tokens, begun);
  EXPECT_EQ(siblings[1].content, whole.text);
}

TEST_F(ChatSessionTest, WhatIfAnotherTokenHadBeenDrawn) {
  auto chat = session(greedy(6));
  const auto first = chat.ask("Hello", nullptr).generation.tokens;
  auto begin = first;
  begin.resize(3);
  begin.back() = first[2] == 300 ? 301 : 300;
  chat.answer_again(chat.thread().back().id, begin, nullptr);
  const auto& tokens = chat.thread().back().tokens;
  ASSERT_THAT(tokens, SizeIs(9));
  EXPECT_TRUE(std::equal(begin.begin(), begin.end(), tokens.begin()));
  EXPECT_EQ(chat.thread().back().content, store.thread(*chat.conversation()).back().content);
  EXPECT_ERROR(chat.answer_again(chat.thread().back().id, std::vector<std::uint32_t>{999999}, nullptr), "999999");
  EXPECT_ERROR(chat.answer_again(chat.thread().front().id, begin, nullptr), "no answer");
  EXPECT_THAT(chat.thread(), SizeIs(2)) << "what was refused changed nothing";
}

TEST_F(ChatSessionTest, AnEditedQuestionIsASiblingAndBothBranchesCanBeSeen) {
  auto chat = session(greedy(4));
  chat.ask("Hello", nullptr);
  chat.ask("And then?", nullptr);
  const auto old = chat.thread();
  chat.cut_before(old[2].id);
  chat.ask("Why?", nullptr);
  const auto edited = chat.thread();
  ASSERT_THAT(edited, SizeIs(4));
  EXPECT_EQ(edited[2].parent, old[1].id);
  chat.switch_to(old[2].id);
  ASSERT_THAT(chat.thread(), SizeIs(4));
  EXPECT_EQ(chat.thread()[3].content, old[3].content);
  chat.switch_to(edited[2].id);
  EXPECT_EQ(chat.thread()[2].content, "Why?");
  EXPECT_ERROR(chat.cut_before(old[2].id), "not in this thread");
  EXPECT_ERROR(chat.switch_to(99999), "99999");
}

TEST_F(ChatSessionTest, ThePromptOfAnAnswerIsWhatTheModelRead) {
  auto chat = session(greedy(4));
  chat.ask("Hello", nullptr);
  const auto second = chat.ask("And then?", nullptr).generation.tokens;
  auto read = chat.prompt_of(chat.thread()[3].id);
  read.insert(read.end(), second.begin(), second.end() - 1);  // the last was drawn and not fed
  EXPECT_EQ(read, engine->tokens());
  EXPECT_ERROR(chat.prompt_of(chat.thread()[2].id), "no answer");
}

TEST_F(ChatSessionTest, AnotherAnswerIsASibling) {
  auto chat = session(random_settings(8, 1));
  const auto first = chat.ask("Hello", nullptr).generation.tokens;
  const auto second = chat.regenerate(nullptr).generation.tokens;
  EXPECT_NE(first, second);
  ASSERT_THAT(chat.thread(), SizeIs(2));
  const auto answers = store.children(chat.thread()[0].id);
  ASSERT_THAT(answers, SizeIs(2));
  EXPECT_EQ(answers[0].tokens, first);
  EXPECT_EQ(answers[1].tokens, second);
  EXPECT_EQ(store.conversation(*chat.conversation()).leaf, answers[1].id);
}

TEST_F(ChatSessionTest, TheSeedDecidesEveryAnswer) {
  auto chat = session(random_settings(8, 7));
  const auto answer = chat.ask("Hello", nullptr).generation.tokens;
  const auto again = chat.regenerate(nullptr).generation.tokens;
  auto other = session(random_settings(8, 7));
  EXPECT_EQ(other.ask("Hello", nullptr).generation.tokens, answer);
  EXPECT_EQ(other.regenerate(nullptr).generation.tokens, again);
  EXPECT_EQ(other.thread().back().sampling["seed"], 8);
}

TEST_F(ChatSessionTest, UndoGoesBackToBeforeTheQuestion) {
  auto chat = session(greedy(4));
  chat.ask("one", nullptr);
  chat.ask("two", nullptr);
  EXPECT_EQ(chat.undo(), "two");
  EXPECT_THAT(store.thread(*chat.conversation()), SizeIs(2));
  chat.ask("three", nullptr);
  EXPECT_THAT(store.children(chat.thread()[1].id), SizeIs(2));
  EXPECT_EQ(chat.undo(), "three");
  EXPECT_EQ(chat.undo(), "one");
  chat.ask("zero", nullptr);
  EXPECT_THAT(store.roots(*chat.conversation()), SizeIs(2));
  EXPECT_EQ(store.thread(*chat.conversation()).front().content, "zero");
}

TEST_F(ChatSessionTest, GoesOnWithAStoredConversation) {
  auto before = session(greedy(5));
  before.start("You tell stories.");
  before.ask("Hello", nullptr);
  auto chat = session(greedy(5));
  chat.open(*before.conversation());
  EXPECT_EQ(chat.system_prompt(), "You tell stories.");
  chat.ask("More", nullptr);
  EXPECT_THAT(context_text(), StartsWith("You tell stories.\n\nUser: Hello\nAssistant: "));
  EXPECT_THAT(store.thread(*before.conversation()), SizeIs(4));
}

TEST_F(ChatSessionTest, AFullContextForgetsTheOldestTurnsAndKeepsTheSystemPrompt) {
  auto chat = session(greedy(12));
  chat.start("You tell stories.");
  std::size_t forgotten = 0, times = 0;
  for (int i = 0; i < 14; ++i) {
    const auto question = fmt::format("Question number {}?", i);
    const auto answer = chat.ask(question, nullptr);
    forgotten += answer.forgotten;
    times += answer.forgotten > 0;
    EXPECT_EQ(answer.generation.reason, StopReason::length);  // there was room for the whole answer
    EXPECT_EQ(answer.context_tokens, engine->tokens().size());
    EXPECT_THAT(context_text(), StartsWith("You tell stories.\n\nUser: Question number "));
    EXPECT_THAT(context_text(), HasSubstr("User: " + question + "\nAssistant:"));
    EXPECT_EQ(context_text().find("number 0?") == std::string::npos, forgotten > 0);
  }
  EXPECT_THAT(forgotten, AllOf(Ge(10u), Le(26u)));
  EXPECT_EQ(forgotten % 2, 0u);     // whole turns
  EXPECT_LT(times, forgotten / 3);  // not with each further question
  EXPECT_THAT(store.thread(*chat.conversation()), SizeIs(28));
}

TEST_F(ChatSessionTest, AMessageThatDoesNotFitChangesNothing) {
  auto chat = session(greedy(5));
  chat.ask("Hello", nullptr);
  std::string longest;
  for (int i = 0; i < 100; ++i) longest += "word ";
  EXPECT_ERROR(chat.ask(longest, nullptr), "the context of 256 leaves no room for an answer");
  EXPECT_THAT(store.thread(*chat.conversation()), SizeIs(2));
  EXPECT_EQ(chat.ask("More", nullptr).forgotten, 0u);
}

TEST_F(ChatSessionTest, SpecialPiecesInAPlainMessageAreText) {
  auto chat = session(greedy(2));
  chat.ask("a </s> b", nullptr);
  EXPECT_EQ(std::ranges::count(engine->tokens(), *engine->tokenizer().eos()), 0);
}

TEST_F(ChatSessionTest, WithoutAStoreTheThreadCanStillBeSaved) {
  ChatSession chat(*engine, nullptr, greedy(4));
  chat.start("You tell stories.");
  chat.ask("one", nullptr);
  chat.ask("two", nullptr);
  EXPECT_EQ(chat.conversation(), std::nullopt);
  const auto id = store.import_json(chat.export_json());
  const auto stored = store.thread(id);
  ASSERT_THAT(stored, SizeIs(4));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(stored[i].content, chat.thread()[i].content);
    EXPECT_EQ(stored[i].tokens, chat.thread()[i].tokens);
    EXPECT_EQ(stored[i].stats, chat.thread()[i].stats);
  }
  EXPECT_EQ(store.conversation(id).system_prompt, "You tell stories.");
}

TEST_F(ChatSessionTest, RefusesWhatMakesNoSense) {
  auto chat = session(greedy(4));
  EXPECT_ERROR(chat.ask("", nullptr), "the message is empty");
  EXPECT_ERROR(chat.ask("ab\xFF", nullptr), "the message is not valid UTF-8 at byte 2");
  EXPECT_ERROR(chat.start("\xC3"), "the system prompt is not valid UTF-8 at byte 0");
  EXPECT_ERROR(chat.regenerate(nullptr), "no question to answer again");
  EXPECT_ERROR(chat.undo(), "no question to take back");
  EXPECT_ERROR(chat.open(7), "there is no conversation 7");
  EXPECT_ERROR(ChatSession(*engine, nullptr, {}).open(1), "this chat is not stored");
  auto settings = chat.settings();
  settings.sampling.top_p = 2;
  EXPECT_ERROR(chat.change(settings), "--top-p");
  EXPECT_EQ(chat.settings().sampling.top_p, 0.95f);
  EXPECT_TRUE(chat.thread().empty());
  EXPECT_THAT(store.list(10), SizeIs(0));
}

/// The same weights with a template of their own.
class ChatSessionTemplateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    REQUIRE_SHARED("models/stories260K");
    for (const char* name : {"config.json", "model.safetensors", "tokenizer.model"})
      std::filesystem::create_symlink(std::filesystem::absolute(testing::shared_dir() / "models/stories260K" / name),
                                      temp.path() / name);
  }
  std::unique_ptr<Engine> engine_with(const std::string& chat_template) {
    std::ofstream(temp.path() / "chat_template.jinja") << chat_template;
    return open_engine(temp.path());
  }
  testing::TempDir temp;
};

TEST_F(ChatSessionTemplateTest, AsksInTheModelsOwnForm) {
  const auto engine = engine_with("{% for m in messages %}[{{ m.role }}] {{ m.content }}</s>{% endfor %}[answer]");
  ChatSession chat(*engine, nullptr, greedy(3));
  chat.start("Be brief.");
  chat.ask("Hello", nullptr);
  const auto& tokenizer = engine->tokenizer();
  std::vector<std::uint32_t> expected{*tokenizer.bos()};
  const auto append = [&](std::string_view text, bool end) {
    const auto ids = tokenizer.encode(text, false);
    expected.insert(expected.end(), ids.begin(), ids.end());
    if (end) expected.push_back(*tokenizer.eos());
  };
  append("[system] Be brief.", true);
  append("[user] Hello", true);
  append("[answer]", false);
  ASSERT_GE(engine->tokens().size(), expected.size());
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), engine->tokens().begin()));
}

TEST_F(ChatSessionTemplateTest, ARefusalIsTheTemplatesOwnWordsAndChangesNothing) {
  const auto engine = engine_with(
      "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
      "{{ messages[0].content }}");
  ConversationStore store(temp.path() / "conversations.db");
  ChatSession chat(*engine, &store, greedy(3));
  chat.start("Be brief.");
  EXPECT_ERROR(chat.ask("Hello", nullptr), "System role not supported");
  EXPECT_TRUE(chat.thread().empty());
  EXPECT_THAT(store.list(1), SizeIs(0));
}

}  // namespace
}  // namespace glassbox::model
