#include "app/live/state.h"

#include "gpu/error.h"
#include "model/xdg.h"

namespace glassbox::app::live {

Worker::State::State(Worker& worker) : worker_(worker) {
  next.settings.sampling.keep_candidates = 16;
  next.settings.seed = std::random_device{}();
  if (worker_.options_.store.empty()) return;
  try {
    store_.emplace(worker_.options_.store);
    refresh_history();
  } catch (const Error& error) {
    tell(fmt::format("{}; conversations are not kept", error.what()), true);
  }
}

void Worker::State::publish() {
  ++next.revision;
  {
    const std::lock_guard lock(worker_.mutex_);
    next.watching = worker_.watching_;
    next.stopping = next.busy() && worker_.stop_.stop_requested();
    worker_.snapshot_ = std::make_shared<Snapshot>(next);
  }
  if (worker_.options_.published) worker_.options_.published();
}

void Worker::State::tell(std::string text, bool error) {
  next.notice = {next.notice.number + 1, std::move(text), error};
}

std::stop_token Worker::State::stopped() const {
  const std::lock_guard lock(worker_.mutex_);
  return worker_.stop_.get_token();
}

model::Progress Worker::State::progress(Activity activity) {
  using Clock = std::chrono::steady_clock;
  return [this, activity, published = Clock::time_point()](std::string_view what, std::size_t done,
                                                           std::size_t total) mutable {
    next.activity = activity;
    next.work = Work{std::string(what), done, total};
    constexpr std::chrono::milliseconds rarely{33};
    if (done < total && Clock::now() - published < rarely) return;
    published = Clock::now();
    publish();
  };
}

void Worker::State::open_model(const model::EngineOptions& options) {
  const Doing doing(*this, Activity::loading);
  viewed_ = next.thread->conversation;
  viewed_thread_ = messages();
  session_.reset();
  engine.reset();
  last_run_.reset();
  last_check_.reset();
  context_used_ = 0;
  next.model.reset();
  next.runs = std::make_shared<std::vector<std::shared_ptr<const gpu::ProfiledRun>>>();
  publish();
  const auto stop = stopped();
  engine = std::make_unique<model::Engine>(
      options, [&, report = progress(Activity::loading)](std::string_view what, std::size_t done, std::size_t total) {
        if (stop.stop_requested()) throw Stopped();
        report(what, done, total);
      });
  engine->on_step([this](const model::EngineStep& step) { run_step(step); });
  show_device();
  show_model(options);
  session_.emplace(*engine, store_ ? &*store_ : nullptr, next.settings);
  if (viewed_)
    session_->open(*viewed_);
  else
    session_->start(next.thread->system_prompt);
  refresh_thread();
  if (!next.roofline) {
    next.activity = Activity::measuring;
    next.work = Work{"measuring what this device can do at best", 0, 0};
    publish();
    next.roofline = gpu::measured_roofline(engine->device());
  }
}

model::ConversationStore& Worker::State::store() {
  require(store_.has_value(), "conversations are not kept: there is no store");
  return *store_;
}

model::ChatSession& Worker::State::session() {
  require(session_.has_value(), "no model is open");
  return *session_;
}

void Worker::State::refresh_history() {
  if (!store_) return;
  constexpr std::size_t most = 1000;
  next.history = std::make_shared<std::vector<model::Conversation>>(store_->list(most, next.search));
}

void Worker::State::new_conversation(std::string system_prompt) {
  context_used_ = 0;
  viewed_.reset();
  viewed_thread_.clear();
  if (session_) session_->start(system_prompt);
  publish_thread({.system_prompt = std::move(system_prompt)});
  refresh_thread();
}

void Worker::State::open_conversation(std::int64_t conversation) {
  context_used_ = 0;
  if (session_) {
    session_->open(conversation);
  } else {
    viewed_thread_ = store().thread(conversation);
    viewed_ = conversation;
  }
  refresh_thread();
}

}  // namespace glassbox::app::live
