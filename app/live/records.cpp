#include <algorithm>

#include "app/live/state.h"
#include "gpu/error.h"
#include "gpu/timer.h"
#include "model/safetensors.h"

namespace glassbox::app::live {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// Outputs larger than this are not kept: a picture of them says no more.
constexpr std::size_t most_values = std::size_t{1} << 18;

}  // namespace

/// Lets something else run the engine's steps until the scope ends.
class Worker::State::Watched {
 public:
  explicit Watched(State& state) : state_(state) {}
  ~Watched() {
    state_.engine->on_step([&state = state_](const model::EngineStep& step) { state.run_step(step); });
  }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

 private:
  State& state_;
};

void Worker::State::keep_run(std::shared_ptr<const gpu::ProfiledRun> run) {
  constexpr std::size_t most = 4096, dropped = 512;  // dropped together: publishing copies the list
  auto runs = *next.runs;
  if (runs.size() >= most) runs.erase(runs.begin(), runs.begin() + dropped);
  runs.push_back(std::move(run));
  next.runs = std::make_shared<std::vector<std::shared_ptr<const gpu::ProfiledRun>>>(std::move(runs));
}

void Worker::State::run_step(const model::EngineStep& step) {
  if (asking_ && !streaming_) {
    streaming_ = session().thread().back().id;
    steps_ = 0;
    refresh_thread();
    publish();
  }
  Watching watching;
  {
    const std::lock_guard lock(worker_.mutex_);
    watching = worker_.watching_;
  }
  last_run_.reset();
  last_check_.reset();
  // The check first: it is the plain run that leaves what the next token is drawn from.
  if (!step.prefill && watching.check_every > 0 && steps_++ % watching.check_every == 0) {
    try {
      gpu::Differ differ;
      last_check_ = std::make_shared<TokenCheck>(compare(step.plan, differ, false, Keep::worst));
    } catch (const Stopped&) {
      last_check_.reset();
    }
  }
  const auto start = Clock::now();
  if (watching.time_kernels) {
    const auto since = std::chrono::duration<double, std::micro>(start - started_).count();
    gpu::Profile profile(engine->device().timer_source());
    profile.run(step.plan, step.prefill ? "prompt" : "decode", step.first, step.count);
    auto run = profile.runs().front();
    run.start_us = since;
    last_run_ = std::make_shared<gpu::ProfiledRun>(std::move(run));
    keep_run(last_run_);
  } else {
    step.plan.run();
    engine->device().finish();
  }
  last_seconds_ = seconds_since(start);
}

TokenCheck Worker::State::compare(gpu::Plan& plan, gpu::Differ& differ, bool whole_model, Keep keep) const {
  const auto stop = stopped();
  const auto start = Clock::now();
  TokenCheck check{.whole_model = whole_model};
  check.kernels = differ.run(
      plan, [&](const gpu::KernelError& error, std::span<const double> values, std::span<const double> reference) {
        if (stop.stop_requested()) throw Stopped();
        const auto index = check.values.size();
        KernelValues kept{.shape = error.shape};
        if (values.size() <= most_values && gpu::element_count(error.shape) == values.size()) {
          kept.computed.assign(values.begin(), values.end());
          kept.reference.assign(reference.begin(), reference.end());
        }
        check.values.push_back(std::move(kept));
        if (!error.ok && !check.first_divergent) check.first_divergent = index;
      });
  // Of every token only the worst kernel's values: all of them would fill the memory within a conversation.
  if (keep == Keep::worst) {
    std::size_t worst = 0;
    for (std::size_t i = 1; i < check.kernels.size(); ++i)
      if (check.kernels[i].isolated.nmse > check.kernels[worst].isolated.nmse) worst = i;
    for (std::size_t i = 0; i < check.values.size(); ++i)
      if (i != worst && i != check.first_divergent) check.values[i] = {.shape = check.values[i].shape};
  }
  if (whole_model) {
    const auto& logits = plan.steps().back().outputs[0];
    const auto computed = logits.values(), exact = differ.accumulated(logits);
    const std::size_t last = computed.size() - logits.last();
    check.kl = gpu::kl_divergence(std::span(exact).subspan(last), std::span(computed).subspan(last));
    check.logits = gpu::compare(computed, exact, logits.dtype());
  }
  check.seconds = seconds_since(start);
  return check;
}

void Worker::State::replace_record(TokenPlace place, TokenRecord record) {
  records_[place.message][place.token] = std::make_shared<TokenRecord>(std::move(record));
  refresh_thread();
}

void Worker::State::at_token(TokenPlace place, const std::function<void(const model::EngineStep&)>& step) {
  const auto& answer = answer_at(place.message);
  require(place.token < answer.tokens.size(), "the answer has {} tokens, not one at {}", answer.tokens.size(),
          place.token);
  records_of(answer);
  auto ids = session().prompt_of(place.message);
  ids.insert(ids.end(), answer.tokens.begin(), answer.tokens.begin() + static_cast<std::ptrdiff_t>(place.token));
  const Watched restore(*this);
  engine->on_step(nullptr);
  if (ids.size() > 1 && engine->common_prefix(ids) + 1 < ids.size()) {
    if (!engine->feed_from_common_prefix(std::span(ids).first(ids.size() - 1), stopped(), progress(Activity::checking)))
      throw Stopped();
  }
  engine->rewind(ids.size() - 1);
  engine->on_step(step);
  engine->feed(std::span(ids).last(1));
}

void Worker::State::inspect(TokenPlace place) {
  const Doing doing(*this, Activity::checking);
  std::vector<float> logits;
  at_token(place, [&](const model::EngineStep& step) {
    run_step(step);
    const auto values = step.plan.steps().back().outputs[0].values();
    logits.assign(values.begin(), values.end());
  });
  auto record = *records_[place.message][place.token];
  const auto pieces = static_cast<std::ptrdiff_t>(engine->tokenizer().vocab_size());
  std::fill(logits.begin() + pieces, logits.end(), -std::numeric_limits<float>::infinity());
  model::Sampler sampler(next.settings.sampling, next.settings.seed);
  record.candidates = sampler.sample(logits, engine->tokens()).candidates;
  name_candidates(record);
  record.run = last_run_;
  record.seconds = last_seconds_;
  if (last_check_) record.check = last_check_;
  replace_record(place, std::move(record));
}

void Worker::State::check(TokenPlace place, bool whole_model) {
  const Doing doing(*this, Activity::checking);
  TokenCheck check;
  if (!whole_model) {
    at_token(place, [&](const model::EngineStep& step) {
      gpu::Differ differ;
      next.work = Work{"comparing with float64", 0, 0};
      publish();
      check = compare(step.plan, differ, false, Keep::all);
    });
  } else {
    const auto& answer = answer_at(place.message);
    require(place.token < answer.tokens.size(), "the answer has no token {}", place.token);
    records_of(answer);
    auto ids = session().prompt_of(place.message);
    ids.insert(ids.end(), answer.tokens.begin(), answer.tokens.begin() + static_cast<std::ptrdiff_t>(place.token));
    gpu::Differ differ(true);
    auto report = progress(Activity::checking);
    const Watched restore(*this);
    engine->on_step([&](const model::EngineStep& step) {
      report("comparing the whole model with float64", step.first, ids.size());
      check = compare(step.plan, differ, true, Keep::all);
    });
    engine->rewind(0);
    // Its last token alone, as it was in decode; nothing but that step's kernels is shown.
    if (ids.size() > 1 && !engine->feed(std::span(ids).first(ids.size() - 1), stopped())) throw Stopped();
    engine->feed(std::span(ids).last(1));
  }
  auto record = *records_[place.message][place.token];
  record.check = std::make_shared<TokenCheck>(std::move(check));
  replace_record(place, std::move(record));
}

void Worker::State::save_kernel(TokenPlace place, std::size_t kernel, const std::filesystem::path& file) {
  const Doing doing(*this, Activity::checking);
  struct Kept {
    std::string name;
    gpu::Shape shape;
    std::vector<float> values;
  };
  std::vector<Kept> kept;
  std::string name;
  at_token(place, [&](const model::EngineStep& step) {
    require(kernel < step.plan.steps().size(), "the model has {} kernels a token, not one at {}",
            step.plan.steps().size(), kernel);
    const auto* const wanted = &step.plan.steps()[kernel];
    name = wanted->primitive->name();
    const auto keep = [&](std::string_view what, std::size_t i, const gpu::Shape& shape, const std::vector<double>& v) {
      kept.push_back({fmt::format("{}{}", what, i), shape, {v.begin(), v.end()}});
    };
    std::vector<gpu::Tensor64> inputs;
    gpu::Plan::Watch watch{.poison = true};
    watch.before = [&](const gpu::Step& each) {
      if (&each != wanted) return;
      for (const auto& input : each.inputs) inputs.push_back({input.shape(), input.values()});
    };
    watch.after = [&](const gpu::Step& each) {
      if (&each != wanted) return;
      std::vector<gpu::Tensor64> reference;
      for (const auto& out : each.outputs) reference.push_back({out.shape(), std::vector<double>(out.size())});
      each.primitive->eval_cpu(inputs, reference);
      for (std::size_t i = 0; i < inputs.size(); ++i) keep("input", i, inputs[i].shape, inputs[i].values);
      for (std::size_t i = 0; i < each.outputs.size(); ++i) {
        keep("output", i, each.outputs[i].shape(), each.outputs[i].values());
        keep("reference", i, each.outputs[i].shape(), reference[i].values);
      }
    };
    step.plan.run(watch);
  });
  std::vector<model::SafetensorsTensor> tensors;
  for (const auto& tensor : kept)
    tensors.push_back(
        {.name = tensor.name, .dtype = "F32", .shape = tensor.shape, .bytes = std::as_bytes(std::span(tensor.values))});
  model::save_safetensors(file, tensors, {{"format", "glassbox-kernel"}, {"kernel", name}});
  tell(fmt::format("Inputs, outputs and references of {} are in {}", name, file.string()));
}

}  // namespace glassbox::app::live
