#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/cli/chat_input.h"
#include "app/cli/chat_terminal.h"
#include "model/chat_session.h"

namespace glassbox::app {

/// The conversation at a terminal, or message by message through pipes: reads lines, streams answers, obeys /commands.
class ChatRepl {
 public:
  /// What is given must outlive it; `store` null stores nothing.
  ChatRepl(model::Engine& engine, model::ConversationStore* store, model::ChatSession& session);

  /// Two lines on what answers here and where it is kept, and one where the model was never taught to chat.
  void banner(std::string_view stored_where) const;
  /// The thread so far, where there is one.
  void show_thread() const;
  /// Asks `first` if given and then what stdin says, until its end or /quit. Returns the exit code: 0, or 130 where
  /// Ctrl+C ended an answer that nobody sits in front of. Throws Error for bad input through a pipe; in a terminal that
  /// is one line, and the chat goes on.
  int run(const std::optional<std::string>& first);

 private:
  using Ask =
      std::function<model::ChatAnswer(const model::ChatSession::Seen&, const std::stop_token&, const model::Progress&)>;
  struct SlashCommand {
    std::string_view name, argument, help;
    void (ChatRepl::*run)(const std::string& argument);
  };
  static const std::vector<SlashCommand>& commands();

  std::optional<std::string> read_message();
  void handle(const std::string& message);
  void answer(const Ask& ask);
  void tell(const model::ChatAnswer& answer) const;
  std::string context_used() const;
  model::ConversationStore& store() const;  ///< throws Error where nothing is stored

  void help(const std::string&);
  void begin_new(const std::string&);
  void list(const std::string& search);
  void open(const std::string& id);
  void regenerate(const std::string&);
  void undo(const std::string&);
  void system(const std::string& text);
  void set(const std::string& name_and_value);
  void stats(const std::string&);
  void why(const std::string&);
  void save(const std::string& file);
  void quit(const std::string&);

  model::Engine& engine_;
  model::ConversationStore* store_;
  model::ChatSession& session_;
  Terminal terminal_;
  LineReader input_;
  std::optional<model::Generation> last_;     ///< the last answer's numbers
  std::optional<model::Choice> last_choice_;  ///< how its last token was chosen
  std::optional<int> leave_;                  ///< the exit code, once the chat is over
};

/// The id of a conversation out of a person's words; throws Error naming `flag` for anything but a number.
std::int64_t parse_conversation(std::string_view flag, std::string_view text);

}  // namespace glassbox::app
