#include "app/cli/chat_repl.h"
#include "app/cli/command.h"
#include "gpu/error.h"

namespace glassbox::app {
namespace {

/// How many candidates /why shows.
constexpr std::size_t candidates_shown = 10;

struct ChatFlags {
  ModelOptions model;
  SamplingFlags sampling;
  std::string system_prompt, first, conversation;
  int count = -1;
  bool first_given = false, go_on = false, no_store = false;
};

model::ConversationStore open_store() {
  try {
    return model::ConversationStore(model::ConversationStore::default_path());
  } catch (const Error& error) {
    fail("{} (--no-store chats without storing)", error.what());
  }
}

std::int64_t conversation_to_open(const model::ConversationStore& store, const std::filesystem::path& file,
                                  const std::string& given) {
  if (!given.empty()) return store.conversation(parse_conversation("--continue", given)).id;
  const auto latest = store.list(1);
  require(!latest.empty(), "--continue: {} holds no conversation yet", file.string());
  return latest.front().id;
}

int run_chat(const ChatFlags& options) {
  require(options.count > 0 || options.count == -1, "-n must be a number of tokens, or -1 for no limit, found {}",
          options.count);
  model::ChatSettings settings{.sampling = options.sampling.options,
                               .seed = options.sampling.seed(),
                               .max_tokens = options.count > 0 ? static_cast<std::size_t>(options.count) : 0};
  settings.sampling.keep_candidates = candidates_shown;
  settings.sampling.validate();

  // What can be refused at once is, before the model is loaded.
  std::optional<model::ConversationStore> store;
  std::optional<std::int64_t> conversation;
  std::string stored_where = "conversations are not stored";
  if (!options.no_store) {
    store.emplace(open_store());
    const auto file = model::ConversationStore::default_path();
    stored_where = fmt::format("conversations in {}", file.string());
    if (options.go_on) conversation = conversation_to_open(*store, file, options.conversation);
  }
  const auto engine = options.model.load();
  model::ChatSession session(*engine, store ? &*store : nullptr, settings);
  session.start(options.system_prompt);
  ChatRepl repl(*engine, store ? &*store : nullptr, session);
  repl.banner(stored_where);
  if (conversation) {
    session.open(*conversation);
    repl.show_thread();
  }
  return repl.run(options.first_given ? std::optional(options.first) : std::nullopt);
}

Command add_chat(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<ChatFlags>();
  self = program.add_subcommand("chat", "Chat with a model in the terminal, or message by message through pipes");
  options->model.add_to(*self);
  auto* system = self->add_option("--system-prompt", options->system_prompt, "What the model is told first; also -sys");
  auto* first = self->add_option("-p,--prompt", options->first, "First message; the chat goes on after it");
  self->add_option("-n,--n-predict", options->count, "Tokens an answer may take; -1: until the model ends it")
      ->capture_default_str();
  auto* no_store = self->add_flag("--no-store", options->no_store, "Keep nothing of this chat on disk");
  auto* go_on = self->add_option("--continue", options->conversation,
                                 "Go on with the latest conversation, or the one of this number (/list shows them)")
                    ->type_name("[ID]")
                    ->expected(0, 1)
                    ->excludes(no_store)
                    ->excludes(system);
  options->sampling.add_to(*self);
  self->footer(
      "Through pipes each line of stdin is a message and stdout holds the answers alone; a backslash at the end of a\n"
      "line goes on in the next. /help in the chat lists its commands.");
  return [options, first, go_on] {
    options->first_given = first->count() > 0;
    options->go_on = go_on->count() > 0;
    return run_chat(*options);
  };
}

const CommandRegistration chat_registered{10, add_chat};

}  // namespace
}  // namespace glassbox::app
