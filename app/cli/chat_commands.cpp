// What the chat does for a line that begins with a slash.

#include <charconv>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "app/cli/chat_repl.h"
#include "app/cli/chat_settings.h"
#include "gpu/error.h"

namespace glassbox::app {
namespace {

std::string local_time(std::int64_t milliseconds) {
  const std::time_t seconds = milliseconds / 1000;
  std::tm time{};
  localtime_r(&seconds, &time);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &time);
  return text;
}

/// The whole file or none of it: a full disk leaves what was there.
void write_file(const std::filesystem::path& path, std::string_view text) {
  const auto partial = path.string() + ".part";
  std::ofstream file(partial, std::ios::binary);
  file << text << '\n';
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(partial, path, error);
  if (file && !error) return;
  std::filesystem::remove(partial, error);
  fail("{}: cannot be written", path.string());
}

}  // namespace

std::int64_t parse_conversation(std::string_view flag, std::string_view text) {
  std::int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  require(error == std::errc() && end == text.data() + text.size(),
          "{} expects the number of a conversation, found '{}'", flag, text);
  return id;
}

const std::vector<ChatRepl::SlashCommand>& ChatRepl::commands() {
  static const std::vector<SlashCommand> list{
      {"help", "", "this list", &ChatRepl::help},
      {"new", "", "begin a new conversation", &ChatRepl::begin_new},
      {"list", "[TEXT]", "the stored conversations, or those with TEXT in them", &ChatRepl::list},
      {"open", "N", "go on with conversation N of /list", &ChatRepl::open},
      {"regenerate", "", "answer the last question again; the other answer stays stored", &ChatRepl::regenerate},
      {"undo", "", "take back the last question and its answer", &ChatRepl::undo},
      {"system", "[TEXT]", "show the system prompt, or begin a conversation with TEXT", &ChatRepl::system},
      {"set", "[NAME VALUE]", "show or change the sampling: /set top-p 0.9", &ChatRepl::set},
      {"stats", "", "the last answer's speed, and what the context holds", &ChatRepl::stats},
      {"why", "", "the candidates for the last token, before and after the sampling chain", &ChatRepl::why},
      {"save", "FILE", "write the conversation as JSON", &ChatRepl::save},
      {"quit", "", "leave, as Ctrl+D does", &ChatRepl::quit}};
  return list;
}

model::ConversationStore& ChatRepl::store() const {
  require(store_ != nullptr, "conversations are not stored (--no-store)");
  return *store_;
}

void ChatRepl::help(const std::string&) {
  for (const auto& [name, argument, text, run] : commands())
    terminal_.line(fmt::format("  {:<18} {}", fmt::format("/{} {}", name, argument), text));
  terminal_.line("A backslash at the end of a line goes on in the next; // begins a message with a slash.");
}

void ChatRepl::begin_new(const std::string&) {
  session_.start(session_.system_prompt());
  terminal_.note("a new conversation");
}

void ChatRepl::list(const std::string& search) {
  constexpr std::size_t most = 50;
  const auto found = store().list(most, search);
  for (const auto& c : found)
    terminal_.line(fmt::format("{} {:>4}  {}  {}", c.id == session_.conversation() ? '*' : ' ', c.id,
                               local_time(c.updated), c.title));
  if (found.empty()) terminal_.note("no conversation found");
  if (found.size() == most) terminal_.note(fmt::format("the latest {}: /list TEXT searches them all", most));
}

void ChatRepl::open(const std::string& id) {
  const auto number = parse_conversation("/open", id);
  store();
  session_.open(number);
  show_thread();
}

void ChatRepl::regenerate(const std::string&) {
  answer([&](const auto& seen, const auto& stop, const auto& progress) {
    return session_.regenerate(seen, stop, progress);
  });
}

void ChatRepl::undo(const std::string&) { terminal_.note(fmt::format("taken back: {}", session_.undo())); }

void ChatRepl::system(const std::string& text) {
  if (text.empty()) {
    const auto& now = session_.system_prompt();
    return now.empty() ? terminal_.note("there is no system prompt") : terminal_.line(now);
  }
  const bool under_way = !session_.thread().empty();
  session_.start(text);
  terminal_.note(under_way ? "a new conversation, with this system prompt" : "the system prompt is set");
}

void ChatRepl::set(const std::string& name_and_value) {
  auto settings = session_.settings();
  if (!name_and_value.empty()) {
    const auto space = name_and_value.find(' ');
    const auto value = name_and_value.find_first_not_of(' ', space);
    require(value != std::string::npos, "/set expects a name and a value, as in /set top-p 0.9");
    set_by_name(settings, name_and_value.substr(0, space), name_and_value.substr(value));
    session_.change(settings);
  }
  terminal_.note(describe(settings));
}

void ChatRepl::stats(const std::string&) {
  if (last_) {
    terminal_.line(fmt::format("answer   {} tokens at {:.1f} tokens/s, ended by: {}", last_->tokens.size(),
                               last_->decode_tokens_per_second(), model::name_of(last_->reason)));
    terminal_.line(fmt::format("prompt   {} tokens read at {:.1f} tokens/s", last_->prompt_tokens,
                               last_->prefill_tokens_per_second()));
    terminal_.line(fmt::format("first    token after {:.3f} s", last_->first_token_seconds));
  }
  terminal_.line(fmt::format("context  {}", context_used()));
  terminal_.line(fmt::format("memory   weights {:.1f} MB, KV cache {:.1f} MB",
                             static_cast<double>(engine_.weight_bytes()) / 1e6,
                             static_cast<double>(engine_.cache_bytes()) / 1e6));
}

void ChatRepl::why(const std::string&) {
  require(last_choice_.has_value(), "there is no token to explain yet");
  const auto& tokenizer = engine_.tokenizer();
  const auto& candidates = last_choice_->candidates;
  const auto row = [&](char mark, std::uint32_t id, const std::string& before, const std::string& after) {
    // The vocabulary may be padded with ids that have no piece.
    const auto piece = id < tokenizer.vocab_size() ? fmt::format("{:?}", std::string_view(tokenizer.piece(id))) : "";
    terminal_.line(fmt::format("{} {:>7}  {:<20} {:>8} {:>8}", mark, id, piece, before, after));
  };
  terminal_.line(fmt::format("  {:>7}  {:<20} {:>8} {:>8}", "token", "piece", "before", "after"));
  bool listed = false;
  for (const auto& c : candidates) {
    const bool chosen = c.token == last_choice_->token;
    listed |= chosen;
    row(chosen ? '*' : ' ', c.token, fmt::format("{:.2f}%", 100 * c.probability),
        c.chain_probability > 0 ? fmt::format("{:.2f}%", 100 * c.chain_probability) : "cut");
  }
  if (!listed) row('*', last_choice_->token, "", "");
  terminal_.note("before: the model's; after: what the draw saw; *: the token that was drawn");
}

void ChatRepl::save(const std::string& file) {
  require(!file.empty(), "/save expects a file name");
  write_file(file, session_.export_json());
  terminal_.note(fmt::format("saved to {}", file));
}

void ChatRepl::quit(const std::string&) { leave_ = 0; }

}  // namespace glassbox::app
