#include "app/live/worker.h"

#include "app/cli/table.h"
#include "app/live/state.h"
#include "gpu/error.h"
#include "model/mapped_file.h"

namespace glassbox::app::live {

double TokenCheck::worst_nmse() const {
  double worst = 0;
  for (const auto& kernel : kernels) worst = std::max(worst, kernel.isolated.nmse);
  return worst;
}

Worker::Worker(Options options)
    : options_(std::move(options)),
      snapshot_(std::make_shared<Snapshot>()),
      thread_([this](const std::stop_token& closing) { run(closing); }) {}

Worker::~Worker() {
  thread_.request_stop();
  stop();
}

std::shared_ptr<const Snapshot> Worker::snapshot() const {
  const std::lock_guard lock(mutex_);
  return snapshot_;
}

void Worker::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Worker::stop() {
  const std::lock_guard lock(mutex_);
  stop_.request_stop();
}

void Worker::run(const std::stop_token& closing) {
  State state(*this);
  state.publish();
  while (true) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, closing, [&] { return !tasks_.empty(); });
      if (closing.stop_requested()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      stop_ = std::stop_source();
    }
    try {
      task(state);
    } catch (const Stopped&) {
      state.tell("stopped");
    } catch (const std::bad_alloc&) {
      state.tell("out of memory", true);
    } catch (const std::exception& error) {
      state.tell(error.what(), true);
    }
    state.publish();
  }
}

void Worker::open_model(model::EngineOptions options) {
  stop();
  post([options = std::move(options)](State& state) { state.open_model(options); });
}

void Worker::new_conversation(std::string system_prompt) {
  stop();
  post([system_prompt = std::move(system_prompt)](State& state) { state.new_conversation(system_prompt); });
}
void Worker::open_conversation(std::int64_t conversation) {
  stop();
  post([=](State& state) { state.open_conversation(conversation); });
}
void Worker::search(std::string text) {
  post([text = std::move(text)](State& state) {
    state.next.search = text;
    state.refresh_history();
  });
}
void Worker::rename(std::int64_t conversation, std::string title) {
  post([=, title = std::move(title)](State& state) {
    state.store().rename(conversation, title);
    state.refresh_history();
    state.refresh_thread();
  });
}
void Worker::remove(std::int64_t conversation) {
  post([=](State& state) {
    state.store().remove(conversation);
    state.next.undo_remove = conversation;
    if (state.next.thread->conversation == conversation) state.new_conversation(state.next.thread->system_prompt);
    state.refresh_history();
  });
}
void Worker::undo_remove() {
  post([](State& state) {
    if (!state.next.undo_remove) return;
    state.store().restore(*state.next.undo_remove);
    state.next.undo_remove.reset();
    state.refresh_history();
  });
}

void Worker::export_conversation(std::int64_t conversation, std::filesystem::path file) {
  post([=, file = std::move(file)](State& state) {
    write_text(file.string(), state.store().export_json(conversation));
    state.tell(fmt::format("Exported to {}", file.string()));
  });
}
void Worker::import_conversation(std::filesystem::path file) {
  stop();
  post([file = std::move(file)](State& state) {
    const auto conversation = state.store().import_json(model::MappedFile(file).text());
    state.refresh_history();
    state.open_conversation(conversation);
  });
}

void Worker::send(std::string text) {
  post([text = std::move(text)](State& state) {
    state.answer([&](model::ChatSession& session, const auto& seen, const auto& stop, const auto& progress) {
      return session.ask(text, seen, stop, progress);
    });
  });
}
void Worker::regenerate(std::int64_t message) {
  post([=](State& state) {
    state.answer([&](model::ChatSession& session, const auto& seen, const auto& stop, const auto& progress) {
      session.cut_before(message);
      return session.regenerate(seen, stop, progress);
    });
  });
}
void Worker::edit(std::int64_t message, std::string text) {
  post([=, text = std::move(text)](State& state) {
    state.answer([&](model::ChatSession& session, const auto& seen, const auto& stop, const auto& progress) {
      session.cut_before(message);
      return session.ask(text, seen, stop, progress);
    });
  });
}
void Worker::switch_to(std::int64_t message) {
  stop();
  post([=](State& state) {
    state.session().switch_to(message);
    state.refresh_thread();
  });
}
void Worker::go_on(std::int64_t message) {
  post([=](State& state) {
    const auto& answer = state.answer_at(message);
    const auto ids = answer.tokens;
    state.answer([&](model::ChatSession& session, const auto& seen, const auto& stop,
                     const auto& progress) { return session.answer_again(message, ids, seen, stop, progress); },
                 state.records_of(answer));
  });
}
void Worker::force(TokenPlace place, std::uint32_t forced) {
  post([=](State& state) {
    const auto& answer = state.answer_at(place.message);
    require(place.token < answer.tokens.size(), "the answer has no token {}", place.token);
    auto ids = answer.tokens;
    ids.resize(place.token + 1);
    ids.back() = forced;
    auto given = state.records_of(answer);
    given.resize(place.token + 1);
    // The candidates stand; what they led to is another token.
    auto record = *given.back();
    record.id = forced;
    record.probability.reset();
    for (const auto& candidate : record.candidates)
      if (candidate.token == forced) record.probability = candidate.probability;
    given.back() = std::make_shared<TokenRecord>(std::move(record));
    state.answer([&](model::ChatSession& session, const auto& seen, const auto& stop,
                     const auto& progress) { return session.answer_again(place.message, ids, seen, stop, progress); },
                 std::move(given));
  });
}

void Worker::inspect(TokenPlace place) {
  post([=](State& state) { state.inspect(place); });
}
void Worker::check(TokenPlace place, bool whole_model) {
  post([=](State& state) { state.check(place, whole_model); });
}
void Worker::save_kernel(TokenPlace place, std::size_t kernel, std::filesystem::path file) {
  post([=, file = std::move(file)](State& state) { state.save_kernel(place, kernel, file); });
}

void Worker::measure_roofline() {
  post([](State& state) {
    require(state.engine != nullptr, "open a model first: its device is what is measured");
    const State::Doing doing(state, Activity::measuring);
    state.next.roofline = gpu::measured_roofline(state.engine->device(), gpu::Measure::anew);
  });
}
void Worker::measure_functions() {
  post([](State& state) { state.measure_functions(); });
}

void Worker::change(const model::ChatSettings& settings) {
  post([=](State& state) {
    auto wanted = settings;
    wanted.sampling.keep_candidates = state.next.settings.sampling.keep_candidates;
    wanted.sampling.validate();
    state.next.settings = wanted;
    if (state.session_) state.session_->change(wanted);
  });
}
void Worker::watch(const Watching& watching) {
  // Reaches the answer under way: read before each step.
  {
    const std::lock_guard lock(mutex_);
    watching_ = watching;
  }
  post([](State&) {});  // shows it
}

}  // namespace glassbox::app::live
