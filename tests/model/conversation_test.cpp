#include "model/conversation.h"

#include <sqlite3.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

#include "tests/support.h"

namespace glassbox::model {
namespace {

class Conversations : public ::testing::Test {
 protected:
  std::vector<std::string> texts(std::int64_t conversation) { return contents(store.thread(conversation)); }
  static std::vector<std::string> contents(const std::vector<StoredMessage>& messages) {
    std::vector<std::string> found;
    for (const auto& m : messages) found.push_back(m.content);
    return found;
  }
  std::vector<std::string> titles(std::size_t limit, std::string_view search = "") {
    std::vector<std::string> found;
    for (const auto& c : store.list(limit, search)) found.push_back(c.title);
    return found;
  }
  using Strings = std::vector<std::string>;

  testing::TempDir temp;
  std::filesystem::path file = temp.path() / "conversations.db";
  ConversationStore store{file};
  std::int64_t id = store.create("Cats", "llama", "Be brief.");
};

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// One value by SQLite's own API: what is really in the file.
std::string query(const std::filesystem::path& file, const char* sql) {
  sqlite3* handle = nullptr;
  std::string value = "no row";
  const auto read = [](void* out, int, char** columns, char**) {
    *static_cast<std::string*>(out) = columns[0] ? columns[0] : "null";
    return 0;
  };
  char* error = nullptr;
  if (sqlite3_open(file.c_str(), &handle) != SQLITE_OK || sqlite3_exec(handle, sql, read, &value, &error) != SQLITE_OK)
    value = error ? error : "cannot open";
  sqlite3_free(error);
  sqlite3_close(handle);
  return value;
}

TEST_F(Conversations, KeepWhatTheyWereCreatedWith) {
  const auto c = ConversationStore(file).conversation(id);
  EXPECT_EQ(c.title, "Cats");
  EXPECT_EQ(c.model, "llama");
  EXPECT_EQ(c.system_prompt, "Be brief.");
  EXPECT_FALSE(c.leaf.has_value());
  EXPECT_FALSE(c.removed);
  EXPECT_GT(c.created, 1'700'000'000'000);  // milliseconds, not seconds
  EXPECT_TRUE(store.thread(id).empty());
}

TEST_F(Conversations, AreOneSqliteFileInWalMode) {
  EXPECT_EQ(query(file, "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(query(file, "PRAGMA user_version"), "1");
  EXPECT_EQ(query(file, "PRAGMA integrity_check"), "ok");
  EXPECT_EQ(query(file, "PRAGMA foreign_key_check"), "no row");
}

TEST_F(Conversations, DefaultToTheDataHome) {
  const char* old = std::getenv("XDG_DATA_HOME");
  const std::string saved = old ? old : "";
  setenv("XDG_DATA_HOME", temp.path().c_str(), 1);
  EXPECT_EQ(ConversationStore::default_path(), temp.path() / "glassbox/conversations.db");
  EXPECT_NO_THROW(ConversationStore(ConversationStore::default_path()));
  old ? setenv("XDG_DATA_HOME", saved.c_str(), 1) : unsetenv("XDG_DATA_HOME");
}

TEST_F(Conversations, ThreadIsThePathFromTheRootToTheLeaf) {
  const std::vector<std::uint32_t> tokens = {1, 4294967295u, 0};
  const auto question = store.add_message(id, std::nullopt, "user", "Why purr?", tokens);
  store.add_message(id, question, "assistant", "Joy.");
  const auto thread = store.thread(id);
  ASSERT_EQ(thread.size(), 2u);
  EXPECT_EQ(thread[0].id, question);
  EXPECT_EQ(thread[0].conversation, id);
  EXPECT_EQ(thread[0].role, "user");
  EXPECT_EQ(thread[0].content, "Why purr?");
  EXPECT_EQ(thread[0].tokens, tokens);
  EXPECT_EQ(thread[0].state, MessageState::complete);
  EXPECT_FALSE(thread[0].parent.has_value());
  EXPECT_EQ(thread[1].parent, question);
  EXPECT_EQ(store.conversation(id).leaf, thread[1].id);
}

TEST_F(Conversations, BranchAtAnyMessage) {
  const auto question = store.add_message(id, std::nullopt, "user", "q");
  const auto first = store.add_message(id, question, "assistant", "a1");
  store.add_message(id, first, "user", "q2");
  store.add_message(id, question, "assistant", "a2");
  EXPECT_EQ(texts(id), (Strings{"q", "a2"}));
  EXPECT_EQ(contents(store.children(question)), (Strings{"a1", "a2"}));
  EXPECT_EQ(contents(store.children(first)), Strings{"q2"});
  store.set_leaf(id, store.children(first).front().id);
  EXPECT_EQ(texts(id), (Strings{"q", "a1", "q2"}));
  store.add_message(id, std::nullopt, "user", "edited q");
  EXPECT_EQ(texts(id), Strings{"edited q"});
  EXPECT_EQ(contents(store.roots(id)), (Strings{"q", "edited q"}));
}

TEST_F(Conversations, ListShowsTheLastUpdatedFirst) {
  const auto dogs = store.create("Dogs", "", "");
  EXPECT_EQ(titles(10), (Strings{"Dogs", "Cats"}));
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  store.add_message(id, std::nullopt, "user", "q");
  EXPECT_EQ(titles(10), (Strings{"Cats", "Dogs"}));
  store.rename(dogs, "Wolves");  // not news
  EXPECT_EQ(titles(10), (Strings{"Cats", "Wolves"}));
  EXPECT_EQ(titles(1), Strings{"Cats"});
  EXPECT_EQ(titles(0), Strings{});
}

TEST_F(Conversations, ListSearchesTitlesAndMessages) {
  store.create("", "", "");
  store.add_message(store.create("Dogs", "", ""), std::nullopt, "user", "100% of _dogs_ say \"WUFF\"");
  EXPECT_EQ(titles(10, "cat"), Strings{"Cats"});
  EXPECT_EQ(titles(10, "wuff"), Strings{"Dogs"});
  EXPECT_EQ(titles(10, "0% OF _"), Strings{"Dogs"});
  EXPECT_EQ(titles(10, "%s"), Strings{});
  EXPECT_EQ(titles(10, "'; DROP TABLE messages; --"), Strings{});
  EXPECT_EQ(titles(10, "").size(), 3u);
  EXPECT_EQ(titles(10, std::string(100'000, '%')), Strings{});
}

TEST_F(Conversations, RemoveIsUndoneByRestore) {
  store.add_message(id, std::nullopt, "user", "kept");
  store.remove(id);
  EXPECT_EQ(titles(10), Strings{});
  EXPECT_TRUE(store.conversation(id).removed);
  store.restore(id);
  EXPECT_EQ(titles(10), Strings{"Cats"});
  EXPECT_EQ(texts(id), Strings{"kept"});
}

TEST_F(Conversations, KeepAnyBytes) {
  const std::string odd("nul \0 euro \xe2\x82\xac broken \xff quote ' end", 36);
  store.add_message(id, std::nullopt, "user", odd);
  EXPECT_EQ(texts(id), Strings{odd});
}

TEST_F(Conversations, RefuseIdsThatDoNotExist) {
  const auto other = store.add_message(store.create("Dogs", "", ""), std::nullopt, "user", "q");
  EXPECT_ERROR(store.thread(77), file.string() + ": there is no conversation 77");
  EXPECT_ERROR(store.roots(77), "there is no conversation 77");
  EXPECT_ERROR(store.rename(77, "x"), "there is no conversation 77");
  EXPECT_ERROR(store.remove(77), "there is no conversation 77");
  EXPECT_ERROR(store.export_json(77), "there is no conversation 77");
  EXPECT_ERROR(store.add_message(77, std::nullopt, "user", "q"), "there is no conversation 77");
  EXPECT_ERROR(store.add_message(id, 99, "user", "q"), "there is no message 99 in conversation 1");
  EXPECT_ERROR(store.add_message(id, other, "user", "q"), "there is no message 1 in conversation 1");
  EXPECT_ERROR(store.begin_answer(id, other, {}), "there is no message 1 in conversation 1");
  EXPECT_ERROR(store.set_leaf(id, other), "there is no message 1 in conversation 1");
  EXPECT_TRUE(store.thread(id).empty());
}

TEST_F(Conversations, AnAnswerStreamsAndIsFolded) {
  const auto question = store.add_message(id, std::nullopt, "user", "q");
  auto answer = store.begin_answer(id, question, {{"temperature", 0.5}});
  answer.append(5, "Be");
  answer.append(6, "");
  answer.append(7, "cause");
  ConversationStore other(file);  // opening it does not end what streams
  for (auto* reader : {&store, &other}) {
    const auto streaming = reader->thread(id).back();
    EXPECT_EQ(streaming.id, answer.message());
    EXPECT_EQ(streaming.state, MessageState::streaming);
    EXPECT_EQ(streaming.content, "Because");
  }
  EXPECT_EQ(query(file, "SELECT count(*) FROM pieces"), "3");
  answer.finish(MessageState::complete, {{"tokens_per_s", 12.5}});
  const auto m = other.thread(id).back();
  EXPECT_EQ(m.state, MessageState::complete);
  EXPECT_EQ(m.role, "assistant");
  EXPECT_EQ(m.content, "Because");
  EXPECT_EQ(m.tokens, (std::vector<std::uint32_t>{5, 6, 7}));
  EXPECT_EQ(m.sampling, (nlohmann::json{{"temperature", 0.5}}));
  EXPECT_EQ(m.stats, (nlohmann::json{{"tokens_per_s", 12.5}}));
  EXPECT_EQ(query(file, "SELECT count(*) FROM pieces"), "0");
  EXPECT_EQ(titles(10, "because"), Strings{"Cats"});
}

TEST_F(Conversations, AnAnswerThatIsNotFinishedIsStopped) {
  {
    auto answer = store.begin_answer(id, std::nullopt, {});
    answer.append(5, "Be");
    auto moved = std::move(answer);
    moved.append(6, "cause");
  }
  EXPECT_EQ(store.thread(id).back().state, MessageState::stopped);
  EXPECT_EQ(texts(id), Strings{"Because"});
  EXPECT_EQ(query(file, "SELECT count(*) FROM pieces"), "0");
}

TEST_F(Conversations, AFinishedAnswerTakesNoMore) {
  auto answer = store.begin_answer(id, std::nullopt, {});
  EXPECT_ERROR(answer.finish(MessageState::streaming, {}), "must be finished as complete or stopped");
  answer.finish(MessageState::complete, {});
  EXPECT_ERROR(answer.append(1, "x"), "message 1 is finished");
  EXPECT_ERROR(answer.finish(MessageState::complete, {}), "message 1 is finished");
}

TEST_F(Conversations, AnAnswerOutlivesItsStore) {
  auto own = std::make_unique<ConversationStore>(file);
  auto answer = own->begin_answer(id, std::nullopt, {});
  own.reset();
  answer.append(1, "still");
  answer.finish(MessageState::complete, {});
  EXPECT_EQ(texts(id), Strings{"still"});
}

// An append must not rewrite the answer so far: the log grows by what one token needs, early and late alike.
TEST_F(Conversations, AppendCostsTheSameHoweverLongTheAnswer) {
  auto answer = store.begin_answer(id, std::nullopt, {});
  query(file, "PRAGMA wal_checkpoint(TRUNCATE)");
  const auto wal = [&] { return std::filesystem::file_size(file.string() + "-wal"); };
  const auto growth = [&](int tokens) {
    const auto before = wal();
    for (int i = 0; i < tokens; ++i) answer.append(1, "token ");
    return wal() - before;
  };
  const auto early = growth(20);
  growth(400);
  const auto late = growth(20);
  EXPECT_GT(early, 0u);
  EXPECT_LE(late, 2 * early);
}

TEST_F(Conversations, ThreadsShareAStore) {
  for (int round = 0; round < 20; ++round) {
    auto answer = store.begin_answer(id, std::nullopt, {});
    std::thread writer([&] {
      for (std::uint32_t i = 0; i < 20; ++i) answer.append(i, "x");
      answer.finish(MessageState::complete, {});
    });
    std::size_t seen = 0;
    bool never_shrank = true, never_stopped = true;
    for (auto state = MessageState::streaming; state == MessageState::streaming;) {
      const auto m = store.thread(id).back();
      state = m.state;
      never_shrank = never_shrank && m.content.size() >= seen;
      never_stopped = never_stopped && state != MessageState::stopped;
      seen = m.content.size();
    }
    writer.join();
    EXPECT_TRUE(never_shrank);
    EXPECT_TRUE(never_stopped);
    EXPECT_EQ(texts(id), Strings{std::string(20, 'x')});
  }
}

TEST_F(Conversations, ExportAndImportKeepEverythingButIds) {
  const auto question = store.add_message(id, std::nullopt, "user", "q \xe2\x82\xac");
  auto answer = store.begin_answer(id, question, {{"top_k", 40}});
  answer.append(4294967295u, "a1");
  answer.finish(MessageState::stopped, {{"ttft_s", 0.25}});
  store.add_message(id, question, "assistant", "a2");
  store.set_leaf(id, answer.message());

  const auto text = store.export_json(id);
  testing::TempDir elsewhere;
  ConversationStore target(elsewhere.path() / "other.db");
  target.add_message(target.create("in the way", "", ""), std::nullopt, "user", "x");  // so that ids differ
  const auto imported = target.import_json(text);
  EXPECT_NE(imported, id);
  EXPECT_EQ(contents(target.thread(imported)), (Strings{"q \xe2\x82\xac", "a1"}));

  auto before = nlohmann::json::parse(text), after = nlohmann::json::parse(target.export_json(imported));
  const auto shift = after["messages"][0]["id"].get<std::int64_t>() - before["messages"][0]["id"].get<std::int64_t>();
  EXPECT_NE(shift, 0);
  before["leaf"] = before["leaf"].get<std::int64_t>() + shift;
  for (auto& m : before["messages"])
    for (const char* key : {"id", "parent"})
      if (!m[key].is_null()) m[key] = m[key].get<std::int64_t>() + shift;
  EXPECT_EQ(before, after);
}

TEST_F(Conversations, ExportIsUtf8WhateverIsStored) {
  store.add_message(id, std::nullopt, "user", "broken \xff byte");
  EXPECT_EQ(nlohmann::json::parse(store.export_json(id))["messages"][0]["content"], "broken \xef\xbf\xbd byte");
}

TEST_F(Conversations, ImportNamesTheFieldThatIsWrong) {
  const auto question = store.add_message(id, std::nullopt, "user", "q");
  store.add_message(id, question, "assistant", "a");
  const auto good = nlohmann::json::parse(store.export_json(id));
  const auto with = [&](const char* pointer, const nlohmann::json& value) {
    auto file_json = good;
    file_json[nlohmann::json::json_pointer(pointer)] = value;
    return file_json.dump();
  };
  EXPECT_ERROR(store.import_json("{"), "conversation import: not JSON");
  EXPECT_ERROR(store.import_json("{\"a\":\"\xff\"}"), "conversation import: not JSON");
  EXPECT_ERROR(store.import_json("[]"), "expected an object, found array");
  EXPECT_ERROR(store.import_json("{}"), "\"format\" is missing");
  EXPECT_ERROR(store.import_json(with("/format", "x")), "\"format\" must be \"glassbox-conversation\", found \"x\"");
  EXPECT_ERROR(store.import_json(with("/version", 2)), "\"version\" must be 1, found 2");
  EXPECT_ERROR(store.import_json(with("/title", 3)), "\"title\" must be a string, found 3");
  EXPECT_ERROR(store.import_json(with("/created", 0.5)), "\"created\" must be an integer, found 0.5");
  EXPECT_ERROR(store.import_json(with("/created", ~0ull)), "\"created\" must be an integer, found 184467");
  EXPECT_ERROR(store.import_json(with("/messages", nullptr)), "\"messages\" must be an array, found null");
  EXPECT_ERROR(store.import_json(with("/messages/1", 7)), "messages[1]: expected an object, found number");
  EXPECT_ERROR(store.import_json(with("/messages/1/parent", 99)), "messages[1]: \"parent\" is 99, which is no message");
  EXPECT_ERROR(store.import_json(with("/messages/1/parent", 2)), "messages[1]: \"parent\" is 2, which is no message");
  EXPECT_ERROR(store.import_json(with("/messages/1/id", question)), "messages[1]: \"id\" 1 occurs twice");
  EXPECT_ERROR(store.import_json(with("/messages/0/state", "streaming")), "\"state\" must be \"complete\" or");
  EXPECT_ERROR(store.import_json(with("/messages/0/tokens", {1, -1})), "\"tokens\" must be an array of token ids");
  EXPECT_ERROR(store.import_json(with("/messages/0/tokens", {4294967296})), "\"tokens\" must be an array of token ids");
  EXPECT_ERROR(store.import_json(with("/messages/0/stats", "x")), "\"stats\" must be an object, found \"x\"");
  EXPECT_ERROR(store.import_json(with("/leaf", 99)), "\"leaf\" is 99, which is no message");
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_ERROR(store.import_json(deep), "conversation import: nested deeper than 64 levels");
  EXPECT_EQ(titles(10), Strings{"Cats"});  // nothing came in by halves
}

// Files that are not ours, as they were afterwards.
class BadConversationFile : public ::testing::Test {
 protected:
  void expect_refused(const std::string& part) {
    const auto before = bytes_of(file);
    EXPECT_ERROR(ConversationStore{file}, file.string() + ": ");
    EXPECT_ERROR(ConversationStore{file}, part);
    EXPECT_EQ(bytes_of(file), before);
  }
  /// A file of a few hundred kB in `file`.
  void make_store() {
    ConversationStore store(file);
    const auto id = store.create("Cats", "", "");
    for (int i = 0; i < 200; ++i) store.add_message(id, std::nullopt, "user", std::string(1000, 'x'));
  }

  testing::TempDir temp;
  std::filesystem::path file = temp.path() / "conversations.db";
};

TEST_F(BadConversationFile, OfGarbageIsLeftAsItIs) {
  std::ofstream(file) << std::string(10000, 'g');
  expect_refused("not a readable database");
}
TEST_F(BadConversationFile, WithADamagedPageIsLeftAsItIs) {
  make_store();
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(3 * 4096) << std::string(40960, '\x7f');
  expect_refused("put a copy in its place");
}
TEST_F(BadConversationFile, WithADamagedPageAndALogIsLeftAsItIs) {
  make_store();
  {
    // What a power cut leaves: the file without what is in the log.
    ConversationStore store(file);
    store.create("in the log only", "", "");
    std::filesystem::copy(file, temp.path() / "cut.db");
    std::filesystem::copy(file.string() + "-wal", temp.path() / "cut.db-wal");
  }
  file = temp.path() / "cut.db";
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(3 * 4096) << std::string(40960, '\x7f');
  expect_refused("put a copy in its place");
}
TEST_F(BadConversationFile, CutShortIsLeftAsItIs) {
  make_store();
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  expect_refused("put a copy in its place");
}
TEST_F(BadConversationFile, OfAnotherProgramIsLeftAsItIs) {
  query(file, "CREATE TABLE theirs(x)");
  expect_refused("a database of another program");
}
TEST_F(BadConversationFile, OfANewerGlassboxIsLeftAsItIs) {
  make_store();
  query(file, "PRAGMA user_version = 9");
  expect_refused("written by a newer Glassbox (version 9 of the file, this one knows 1)");
}
TEST_F(BadConversationFile, ThatIsAFolderOrInNoFolder) {
  EXPECT_ERROR(ConversationStore{temp.path()}, temp.path().string() + ": unable to open");
  EXPECT_ERROR(ConversationStore{temp.path() / "none" / "c.db"}, "none/c.db: unable to open");
}
TEST_F(BadConversationFile, ThatIsEmptyBecomesAStore) {
  std::ofstream{file};
  EXPECT_EQ(ConversationStore(file).create("Cats", "", ""), 1);
}

}  // namespace
}  // namespace glassbox::model
