#pragma once

#include <chrono>
#include <map>
#include <optional>

#include "app/live/worker.h"

namespace glassbox::app::live {

/// Thrown through long work to end it where a stop was asked for.
struct Stopped {};

/// What lives on the worker's thread: the engine, the store, the chat, and the snapshot to be published next.
class Worker::State {
 public:
  explicit State(Worker& worker);

  Snapshot next;
  void publish();
  void tell(std::string text, bool error = false);
  /// Of the task under way.
  std::stop_token stopped() const;
  /// Sets the activity until the scope ends, and publishes both ways.
  class Doing;
  /// Where long work reports to; publishes at most some thirty times a second.
  model::Progress progress(Activity activity);

  void open_model(const model::EngineOptions& options);

  void new_conversation(std::string system_prompt);
  void open_conversation(std::int64_t conversation);
  void refresh_history();
  model::ConversationStore& store();
  model::ChatSession& session();

  using Ask = std::function<model::ChatAnswer(model::ChatSession&, const model::ChatSession::Seen&,
                                              const std::stop_token&, const model::Progress&)>;
  /// Runs one answer with its tokens published as they come. `given`: records of the tokens it begins with.
  void answer(const Ask& ask, std::vector<std::shared_ptr<const TokenRecord>> given = {});
  /// The thread as the session or the store has it now.
  void refresh_thread();
  /// An answer of the thread on screen; throws Error where there is none.
  const model::StoredMessage& answer_at(std::int64_t message);
  std::vector<std::shared_ptr<const TokenRecord>> records_of(const model::StoredMessage& message);

  void inspect(TokenPlace place);
  void check(TokenPlace place, bool whole_model);
  void save_kernel(TokenPlace place, std::size_t kernel, const std::filesystem::path& file);

  void show_device();
  void show_model(const model::EngineOptions& options);
  void measure_functions();

  std::unique_ptr<model::Engine> engine;

 private:
  friend class Worker;
  class Watched;
  void run_step(const model::EngineStep& step);
  /// Feeds what precedes a token, then `step` instead of the plan's plain run for the last id of it.
  void at_token(TokenPlace place, const std::function<void(const model::EngineStep&)>& step);
  std::shared_ptr<const TokenRecord> record_of(const model::GeneratedToken& token, std::size_t begin) const;
  void forget_old_records();
  void name_candidates(TokenRecord& record) const;
  std::vector<TokenRecord> decoded(std::span<const std::uint32_t> ids) const;
  void replace_record(TokenPlace place, TokenRecord record);
  void keep_run(std::shared_ptr<const gpu::ProfiledRun> run);
  enum class Keep { worst, all };
  TokenCheck compare(gpu::Plan& plan, gpu::Differ& differ, bool whole_model, Keep keep) const;
  std::shared_ptr<const Message> shown(const model::StoredMessage& message,
                                       std::vector<std::shared_ptr<const TokenRecord>> tokens);
  void publish_thread(Thread thread);
  const std::vector<model::StoredMessage>& messages();

  Worker& worker_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::optional<model::ConversationStore> store_;
  std::optional<model::ChatSession> session_;
  std::optional<std::int64_t> viewed_;               ///< the conversation on screen while no model is open
  std::vector<model::StoredMessage> viewed_thread_;  ///< its messages
  std::map<std::int64_t, std::vector<std::shared_ptr<const TokenRecord>>> records_;  ///< by message, of this process

  std::size_t context_used_ = 0;  ///< after the last answer; looking at tokens moves the engine about

  // Of the step run last: what the next token's record takes over.
  std::shared_ptr<const gpu::ProfiledRun> last_run_;
  std::shared_ptr<const TokenCheck> last_check_;
  double last_seconds_ = 0;
  std::size_t steps_ = 0;
  bool asking_ = false;                    ///< an answer is under way; its first step shows the question
  std::optional<std::int64_t> streaming_;  ///< the message it grows in
};

/// An activity on screen for as long as it lasts.
class Worker::State::Doing {
 public:
  Doing(State& state, Activity activity) : state_(state) {
    state_.next.activity = activity;
    state_.publish();
  }
  ~Doing() {
    state_.next.activity = Activity::idle;
    state_.next.work.reset();
    state_.publish();
  }
  Doing(const Doing&) = delete;
  Doing& operator=(const Doing&) = delete;

 private:
  State& state_;
};

}  // namespace glassbox::app::live
