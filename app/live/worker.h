#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "app/live/snapshot.h"
#include "model/engine.h"

namespace glassbox::app::live {

/// A place in the conversation: a token of an answer, or a whole message.
struct TokenPlace {
  std::int64_t message = 0;
  std::size_t token = 0;
  bool operator==(const TokenPlace&) const = default;
};

/// The engine, its GL context and the conversation store on a thread of their own. Every call returns at once; what
/// comes of it is seen in the snapshots. Calls are carried out in order, one at a time; stop() and the setters reach
/// the one under way. What fails becomes a Notice.
class Worker {
 public:
  struct Options {
    std::filesystem::path store;      ///< conversations.db; empty: nothing is kept
    std::function<void()> published;  ///< called on the worker's thread after each new snapshot: wake the window
  };
  explicit Worker(Options options);
  /// Stops what is under way and waits for it: within a token, or a chunk of a prompt.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// The newest snapshot; never null. From any thread.
  std::shared_ptr<const Snapshot> snapshot() const;

  void open_model(model::EngineOptions options);
  /// Ends the work under way: an answer keeps what it has, a load leaves no model.
  void stop();

  void new_conversation(std::string system_prompt);
  void open_conversation(std::int64_t conversation);
  void search(std::string text);  ///< history shows what matches; "" shows all
  void rename(std::int64_t conversation, std::string title);
  void remove(std::int64_t conversation);
  void undo_remove();
  void export_conversation(std::int64_t conversation, std::filesystem::path file);
  void import_conversation(std::filesystem::path file);  ///< and opens it

  void send(std::string text);
  /// Answers the question before `message` (an answer) again, as a sibling.
  void regenerate(std::int64_t message);
  /// Asks `text` in place of `message` (a question), as a sibling, and answers it.
  void edit(std::int64_t message, std::string text);
  /// Shows the branch that `message`, a sibling of one on screen, leads.
  void switch_to(std::int64_t message);
  /// Goes on with an answer that was stopped or cut, as a sibling that begins with it.
  void go_on(std::int64_t message);
  /// What if: the answer up to place.token, `forced` in its stead, and on from there, as a sibling.
  void force(TokenPlace place, std::uint32_t forced);

  /// Computes an answer's token again to record its candidates and its kernels' times; the answer stays as it is.
  void inspect(TokenPlace place);
  /// Compares the step behind a token with float64; `whole_model`: from the first token on, errors accumulated.
  void check(TokenPlace place, bool whole_model);
  /// Writes inputs, outputs and references of one kernel of that step as safetensors.
  void save_kernel(TokenPlace place, std::size_t kernel, std::filesystem::path file);

  void measure_roofline();
  void measure_functions();  ///< ulp of transcendentals on this driver

  void change(const model::ChatSettings& settings);
  void watch(const Watching& watching);

 private:
  class State;
  using Task = std::function<void(State&)>;
  void post(Task task);
  void run(const std::stop_token& closing);

  Options options_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Task> tasks_;
  std::stop_source stop_;  ///< of the task under way
  Watching watching_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::jthread thread_;  ///< last: it uses all of the above
};

}  // namespace glassbox::app::live
