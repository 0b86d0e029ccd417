#include "gpu/plan.h"

#include <GLES3/gl32.h>

#include <algorithm>
#include <cstring>

#include "gpu/device.h"
#include "gpu/egl.h"
#include "gpu/error.h"
#include "gpu/lanes.h"
#include "gpu/recorder.h"
#include "gpu/timer.h"

namespace glassbox::gpu {
namespace {

constexpr std::uint32_t poison_word = 0x7fc0dead;  // a NaN in float32 and bfloat16, absurd as an integer

void poison(const Array& array) {
  const std::vector<std::uint32_t> words(array.data()->storage->bytes() / 4, poison_word);
  array.data()->storage->buffer().write(array.data()->storage->offset(), std::as_bytes(std::span(words)));
}

/// The arena whose scratch a watched run is reading on this thread.
thread_local const Arena* watched = nullptr;

struct WatchScope {
  explicit WatchScope(const Arena* arena) { watched = arena; }
  ~WatchScope() { watched = nullptr; }
};

void require_not_watched(const Arena* arena) {
  require(!watched || watched != arena, "no other plan can be recorded or run in an arena while one is watched there");
}

}  // namespace

Plan Plan::record(std::span<const Array> outputs, const std::shared_ptr<Arena>& arena) {
  for (const auto& output : outputs) require(bool(output), "an output of the plan is no array");
  Plan plan;
  plan.device_ = &Device::current();
  plan.context_ = plan.device_->context();
  plan.arena_ = arena ? arena : plan.device_->arena().shared_from_this();
  require_not_watched(plan.arena_.get());
  Recorder(plan).record(outputs);
  if (!plan.dispatches_.empty()) plan.lay_params();
  return plan;
}

std::size_t Plan::barriers() const {
  return static_cast<std::size_t>(
      std::count_if(dispatches_.begin(), dispatches_.end(), [](const Dispatch& d) { return d.barrier; }));
}

void Plan::begin() {
  require_current(context_);
  require_not_watched(arena_.get());
  upload_params();
}

/// Each lane has the parameters of its own share of the groups.
void Plan::lay_params() {
  const unsigned lanes = device_->lane_count();
  const std::size_t bytes = (params_.size() + Arena::alignment - 1) / Arena::alignment * Arena::alignment;
  params_.resize(bytes);  // so that every lane's blocks are aligned
  params_storage_ = device_->parameters().allocate(lanes * bytes);
  const auto shares = lanes > 1 ? share_out(dispatches_, lanes) : std::vector<Share>();
  for (unsigned lane = 0; lane < lanes; ++lane) {
    const std::span own = shares.empty() ? std::span<const Share>()
                                         : std::span(shares).subspan(lane * dispatches_.size(), dispatches_.size());
    for (std::size_t i = 0; i < own.size(); ++i) {
      const std::uint32_t first[] = {own[i].first.x, own[i].first.y, own[i].first.z};
      std::memcpy(params_.data() + dispatches_[i].params_offset, first, sizeof first);
    }
    if (bytes > 0) params_storage_->buffer().write(params_storage_->offset() + lane * bytes, params_);
    replays_.emplace_back(dispatches_, params_storage_->buffer(), params_storage_->offset() + lane * bytes, lane, own);
  }
}

void Plan::upload_params() {
  std::size_t begin = params_.size(), end = 0;
  for (const auto& patch : patches_) {
    const std::uint32_t value = patch.value.value();
    if (std::memcmp(params_.data() + patch.at, &value, sizeof value) == 0) continue;
    std::memcpy(params_.data() + patch.at, &value, sizeof value);
    if (const auto shared = params_storage_->buffer().shared(); !shared.empty()) {
      for (unsigned lane = 0; lane < replays_.size(); ++lane)
        std::memcpy(shared.data() + params_storage_->offset() + lane * params_.size() + patch.at, &value, sizeof value);
    } else {
      begin = std::min(begin, patch.at);
      end = patch.at + sizeof value;
    }
  }
  if (end > begin)
    params_storage_->buffer().write(params_storage_->offset() + begin, std::span(params_).subspan(begin, end - begin));
}

void Plan::issue(std::size_t first, std::size_t count, Replay::Bind bind) {
  Lanes* const lanes = device_->lanes();
  // A GPU begins while the rest is still being issued. More flushes cost more than they bring.
  const std::size_t flush_after = device_->features().software ? 0 : 2;
  // llvmpipe generates code at a program's first dispatch: one lane does, the others find it in the driver's cache.
  const bool first_time = lanes && !dispatched_;
  on_each_lane(lanes, [&](unsigned lane) {
    const Replay& replay = replays_[lane];
    for (std::size_t i = first; i < first + count; ++i) {
      if (lanes && i > first && replay.barrier_before(i)) lanes->meet(lane);
      const bool unseen = first_time && !dispatches_[i].program->dispatched;
      if (unseen && lane > 0) lanes->follow(lane);
      replay.issue(i, bind);
      if (unseen && lane == 0) lanes->follow(lane);
      if (i + 1 == first + flush_after) glFlush();
    }
  });
  if (!first_time) return;
  for (std::size_t i = first; i < first + count; ++i) dispatches_[i].program->dispatched = true;
  dispatched_ = count == dispatches_.size();
}

void Plan::run() {
  if (dispatches_.empty()) return;
  const auto called = cpu_nanoseconds();
  begin();
  issue(0, dispatches_.size(), Replay::Bind::changes);
  issue_seconds_ = static_cast<double>(cpu_nanoseconds() - called) * 1e-9;
  device_->check("running kernels");
}

void Plan::run(const Watch& watch) {
  if (steps_.empty()) return;
  begin();
  const WatchScope scope(arena_.get());
  for (const auto& step : steps_) {
    if (watch.poison)
      for (std::size_t i = 0; i < step.outputs.size(); ++i)
        if (!step.primitive->in_place(i)) poison(step.outputs[i]);
    if (watch.before) watch.before(step);
    glMemoryBarrier(GL_ALL_BARRIER_BITS);
    issue(step.first, step.count, Replay::Bind::all);
    device_->finish();
    device_->check(fmt::format("running {}", step.primitive->name()));
    if (watch.after) watch.after(step);
  }
}

std::vector<Timing> Plan::run_timed() {
  if (dispatches_.empty()) return {};
  begin();
  const std::size_t count = dispatches_.size();
  std::vector<std::uint64_t> begins(count), ends(count);
  device_->finish();
  if (device_->timer_source() == TimerSource::gpu_timestamp) {
    TimestampPool stamps(2 * count);
    stamps.disjoint();
    for (std::size_t i = 0; i < count; ++i) {
      stamps.stamp(2 * i);
      replays_[0].issue(i);
      stamps.stamp(2 * i + 1);
    }
    for (std::size_t i = 0; i < count; ++i) {
      begins[i] = stamps.read(2 * i);
      ends[i] = stamps.read(2 * i + 1);
    }
  } else {
    Lanes* const lanes = device_->lanes();
    on_each_lane(lanes, [&](unsigned lane) {
      for (std::size_t i = 0; i < count; ++i) {
        if (lanes) lanes->meet(lane);
        if (lane == 0) begins[i] = cpu_nanoseconds();
        replays_[lane].issue(i);
        lanes ? lanes->meet(lane) : device_->finish();
        if (lane == 0) ends[i] = cpu_nanoseconds();
      }
    });
  }
  const auto microseconds = [](std::uint64_t from, std::uint64_t to) {
    return to > from ? static_cast<double>(to - from) / 1000.0 : 0.0;
  };
  std::vector<Timing> timings;
  for (std::size_t i = 0; i < count; ++i)
    timings.push_back({microseconds(begins[0], begins[i]), microseconds(begins[i], ends[i])});
  device_->check("timing kernels");
  return timings;
}

}  // namespace glassbox::gpu
