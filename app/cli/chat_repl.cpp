#include "app/cli/chat_repl.h"

#include "app/cli/interrupt.h"
#include "app/cli/progress.h"
#include "gpu/error.h"

namespace glassbox::app {
namespace {

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\n") == text.npos; }

}  // namespace

ChatRepl::ChatRepl(model::Engine& engine, model::ConversationStore* store, model::ChatSession& session)
    : engine_(engine), store_(store), session_(session), input_(terminal_.interactive()) {}

void ChatRepl::banner(std::string_view stored_where) const {
  const auto& device = engine_.device();
  if (terminal_.interactive()) {
    terminal_.note(fmt::format("{} ({:.1f} MB) on {}{} · context {} tokens", engine_.files().name,
                               static_cast<double>(engine_.weight_bytes()) / 1e6, device.renderer(),
                               device.features().software ? ", a software driver: the CPU computes, slowly" : "",
                               engine_.context()));
    terminal_.note(fmt::format("{} · /help lists the commands · Ctrl+C stops an answer, Ctrl+D leaves", stored_where));
  }
  if (engine_.chat_template().is_plain())
    terminal_.note("this model has no chat template: it is asked in the plain form, \"User: ... Assistant:\"");
}

void ChatRepl::show_thread() const {
  for (const auto& message : session_.thread()) {
    const auto text = message.role == "user" ? "> " + message.content : message.content;
    if (!terminal_.interactive()) {
      terminal_.aside(text);  // stdout is for the answers of this run
      continue;
    }
    terminal_.line(text);
    if (message.state == model::MessageState::stopped) terminal_.note("(stopped)");
  }
}

int ChatRepl::run(const std::optional<std::string>& first) {
  auto message = first;
  if (first && terminal_.interactive()) {
    terminal_.prompt("> ");
    terminal_.line(*first);
  }
  while (!leave_) {
    if (!message && !(message = read_message())) break;
    try {
      handle(*message);
    } catch (const Error& error) {
      if (!terminal_.interactive()) throw;
      terminal_.error(error.what());
    }
    message.reset();
  }
  return leave_.value_or(0);
}

/// Lines up to one that does not end with a backslash. Nothing at the end, or after Ctrl+C twice at an empty prompt.
std::optional<std::string> ChatRepl::read_message() {
  std::string message, line;
  bool interrupted = false;
  terminal_.prompt("> ");
  while (true) {
    const auto event = input_.read(line);
    if (event == InputEvent::end) {
      if (terminal_.interactive()) terminal_.line("");
      return is_blank(message) ? std::nullopt : std::optional(message);
    }
    if (event == InputEvent::interrupt) {
      terminal_.line("");
      if (interrupted) return std::nullopt;
      interrupted = true;
      message.clear();
      terminal_.note("Ctrl+C again leaves, as Ctrl+D does");
      terminal_.prompt("> ");
      continue;
    }
    interrupted = false;
    if (line.ends_with('\\')) {
      message += line.substr(0, line.size() - 1) + '\n';
      terminal_.prompt(". ");
      continue;
    }
    message += line;
    if (!is_blank(message)) return message;
    message.clear();
    terminal_.prompt("> ");
  }
}

void ChatRepl::handle(const std::string& message) {
  if (message.starts_with('/') && !message.starts_with("//")) {
    const auto space = message.find_first_of(" \n");
    const auto name = message.substr(1, space == std::string::npos ? space : space - 1);
    const auto from = space == std::string::npos ? space : message.find_first_not_of(' ', space);
    for (const auto& command : commands())
      if (command.name == name) return (this->*command.run)(from == std::string::npos ? "" : message.substr(from));
    fail("there is no command /{}: /help lists them, and // begins a message with a slash", name);
  }
  const auto text = message.starts_with("//") ? message.substr(1) : message;
  answer([&](const auto& seen, const auto& stop, const auto& progress) {
    return session_.ask(text, seen, stop, progress);
  });
}

void ChatRepl::answer(const Ask& ask) {
  const InterruptGuard interrupt;
  ProgressBar bar;
  bool begun = false;
  const auto seen = [&](const model::GeneratedToken& token) {
    bar.clear();
    begun |= !token.text.empty();
    last_choice_ = token.choice;
    terminal_.text(token.text);
  };
  try {
    const auto told = ask(seen, interrupt.token(), bar.callback());
    bar.clear();
    terminal_.line("");
    last_ = told.generation;
    tell(told);
  } catch (...) {
    bar.clear();
    if (begun) terminal_.line("");
    throw;
  }
  if (last_->reason == model::StopReason::cancelled && !terminal_.interactive()) leave_ = 130;
}

void ChatRepl::tell(const model::ChatAnswer& answer) const {
  const auto& generation = answer.generation;
  if (terminal_.interactive())
    terminal_.note(fmt::format("{}{} tokens · {:.1f} tokens/s · first token {:.2f} s · context {}",
                               generation.reason == model::StopReason::cancelled ? "stopped · " : "",
                               generation.tokens.size(), generation.decode_tokens_per_second(),
                               generation.first_token_seconds, context_used()));
  if (answer.forgotten)
    terminal_.note(fmt::format("the context of {} tokens was full: the model no longer sees the oldest {} messages",
                               engine_.context(), answer.forgotten));
  if (generation.reason == model::StopReason::context)
    terminal_.note(fmt::format("the context of {} tokens is full: the answer ends here", engine_.context()));
}

std::string ChatRepl::context_used() const {
  const auto used = engine_.tokens().size();
  return fmt::format("{} of {} ({}%)", used, engine_.context(), 100 * used / engine_.context());
}

}  // namespace glassbox::app
