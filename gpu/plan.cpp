#include "gpu/plan.h"

#include <GLES3/gl32.h>

#include <algorithm>
#include <cstring>

#include "gpu/device.h"
#include "gpu/egl.h"
#include "gpu/error.h"
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
  plan.bound_slots_.resize(plan.device_->limits().ssbo_bindings);
  if (!plan.params_.empty()) {
    plan.params_buffer_ = std::make_unique<Buffer>(*plan.device_, plan.params_.size());
    plan.params_buffer_->write(0, plan.params_);
  }
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
  forget_bindings();
}

void Plan::upload_params() {
  if (patches_.empty()) return;
  for (const auto& patch : patches_) {
    const std::uint32_t value = patch.value.value();
    std::memcpy(params_.data() + patch.at, &value, sizeof value);
  }
  const std::size_t first = patches_.front().at, end = patches_.back().at + sizeof(std::uint32_t);
  params_buffer_->write(first, std::span(params_).subspan(first, end - first));
}

void Plan::forget_bindings() {
  bound_program_ = 0;
  std::fill(bound_slots_.begin(), bound_slots_.end(), Dispatch::Range{});
  bound_images_.fill(0);
  bound_texels_.fill(0);
}

void Plan::issue(const Dispatch& d) {
  if (d.barrier)
    glMemoryBarrier(GL_SHADER_STORAGE_BARRIER_BIT | GL_SHADER_IMAGE_ACCESS_BARRIER_BIT | GL_TEXTURE_FETCH_BARRIER_BIT);
  if (d.program->id != bound_program_) glUseProgram(bound_program_ = d.program->id);
  for (unsigned i = 0; i < d.slots.size(); ++i) {
    if (d.slots[i] == bound_slots_[i]) continue;
    bound_slots_[i] = d.slots[i];
    glBindBufferRange(GL_SHADER_STORAGE_BUFFER, i, d.slots[i].buffer, static_cast<GLintptr>(d.slots[i].offset),
                      static_cast<GLsizeiptr>(d.slots[i].bytes));
  }
  for (unsigned i = 0; i < d.images.size(); ++i)
    if (d.images[i] != bound_images_[i])
      glBindImageTexture(i, bound_images_[i] = d.images[i], 0, GL_FALSE, 0, GL_READ_ONLY, GL_RGBA32UI);
  for (unsigned i = 0; i < d.texels.size(); ++i) {
    if (d.texels[i] == bound_texels_[i]) continue;
    glActiveTexture(GL_TEXTURE0 + i);
    glBindTexture(GL_TEXTURE_BUFFER, bound_texels_[i] = d.texels[i]);
  }
  if (d.params_bytes > 0)
    glBindBufferRange(GL_UNIFORM_BUFFER, 0, params_buffer_->id(), static_cast<GLintptr>(d.params_offset),
                      static_cast<GLsizeiptr>(d.params_bytes));
  glDispatchCompute(d.grid.x, d.grid.y, d.grid.z);
}

void Plan::run() {
  if (dispatches_.empty()) return;
  begin();
  for (const auto& dispatch : dispatches_) issue(dispatch);
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
    forget_bindings();
    glMemoryBarrier(GL_ALL_BARRIER_BITS);
    for (std::size_t i = 0; i < step.count; ++i) issue(dispatches_[step.first + i]);
    device_->finish();
    device_->check(fmt::format("running {}", step.primitive->name()));
    if (watch.after) watch.after(step);
  }
}

std::vector<Timing> Plan::run_timed() {
  if (dispatches_.empty()) return {};
  begin();
  std::vector<Timing> timings(dispatches_.size());
  const auto microseconds = [](std::uint64_t from, std::uint64_t to) {
    return to > from ? static_cast<double>(to - from) / 1000.0 : 0.0;
  };
  device_->finish();
  if (device_->timer_source() == TimerSource::gpu_timestamp) {
    TimestampPool stamps(2 * dispatches_.size());
    stamps.disjoint();
    for (std::size_t i = 0; i < dispatches_.size(); ++i) {
      stamps.stamp(2 * i);
      issue(dispatches_[i]);
      stamps.stamp(2 * i + 1);
    }
    const std::uint64_t start = stamps.read(0);
    for (std::size_t i = 0; i < dispatches_.size(); ++i) {
      const auto begin = stamps.read(2 * i), end = stamps.read(2 * i + 1);
      timings[i] = {microseconds(start, begin), microseconds(begin, end)};
    }
  } else {
    const auto start = cpu_nanoseconds();
    for (std::size_t i = 0; i < dispatches_.size(); ++i) {
      const auto begin = cpu_nanoseconds();
      issue(dispatches_[i]);
      device_->finish();
      timings[i] = {microseconds(start, begin), microseconds(begin, cpu_nanoseconds())};
    }
  }
  device_->check("timing kernels");
  return timings;
}

}  // namespace glassbox::gpu
