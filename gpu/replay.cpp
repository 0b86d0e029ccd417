#include "gpu/replay.h"

#include <GLES3/gl32.h>

#include <algorithm>
#include <iterator>
#include <numeric>

namespace glassbox::gpu {

std::vector<Share> share_out(std::span<const Dispatch> dispatches, unsigned lanes) {
  std::vector<Share> shares(dispatches.size() * lanes);
  std::vector<std::uint64_t> load(lanes, 0);  // groups since the barrier
  for (std::size_t i = 0; i < dispatches.size(); ++i) {
    const auto& d = dispatches[i];
    if (d.barrier) std::fill(load.begin(), load.end(), 0);
    // The lane with least to do first: it gets the larger part of what does not divide.
    std::vector<unsigned> order(lanes);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](unsigned a, unsigned b) { return load[a] < load[b]; });
    const auto axis = [&](auto& grid) -> auto& {
      return d.split == Dispatch::Split::z ? grid.z : d.split == Dispatch::Split::y ? grid.y : grid.x;
    };
    const std::uint32_t parts = d.split == Dispatch::Split::none ? 1 : std::min(axis(d.grid), lanes);
    std::uint32_t first = 0;
    for (std::uint32_t part = 0; part < parts; ++part) {
      auto& share = shares[order[part] * dispatches.size() + i];
      share.groups = d.grid;
      const std::uint32_t count = d.split == Dispatch::Split::none
                                      ? axis(d.grid)
                                      : axis(d.grid) / parts + (part < axis(d.grid) % parts ? 1 : 0);
      axis(share.groups) = count;
      axis(share.first) = first;
      first += count;
      load[order[part]] += std::uint64_t{share.groups.x} * share.groups.y * share.groups.z;
    }
  }
  return shares;
}

Replay::Replay(std::span<const Dispatch> dispatches, Buffer& parameters, std::size_t offset, unsigned lane,
               std::span<const Share> shares) {
  unsigned program = 0;
  std::vector<Binding> bound;
  for (std::size_t i = 0; i < dispatches.size(); ++i) {
    const auto& d = dispatches[i];
    Call call{.program = d.program->ids[lane], .groups = shares.empty() ? d.grid : shares[i].groups};
    call.barrier = d.barrier;
    call.first = call.changed = call.end = static_cast<std::uint32_t>(bindings_.size());
    if (call.groups.x > 0) {
      std::vector<Binding> wanted;
      if (d.params_bytes > 0)
        wanted.push_back({Binding::Kind::uniforms, 0, parameters.id(lane), offset + d.params_offset, d.params_bytes});
      for (unsigned unit = 0; unit < d.slots.size(); ++unit)
        wanted.push_back(
            {Binding::Kind::storage, unit, d.slots[unit].buffer->id(lane), d.slots[unit].offset, d.slots[unit].bytes});
      for (unsigned unit = 0; unit < d.images.size(); ++unit)
        wanted.push_back({Binding::Kind::image, unit, d.images[unit]->texture(lane)});
      for (unsigned unit = 0; unit < d.texels.size(); ++unit)
        wanted.push_back({Binding::Kind::texels, unit, d.texels[unit]->texture(lane)});
      const auto kept = std::stable_partition(wanted.begin(), wanted.end(), [&](const Binding& b) {
        return std::find(bound.begin(), bound.end(), b) == bound.end();
      });
      for (auto b = wanted.begin(); b != kept; ++b) {
        std::erase_if(bound, [&](const Binding& old) { return old.kind == b->kind && old.unit == b->unit; });
        bound.push_back(*b);
      }
      call.switches = std::exchange(program, call.program) != call.program;
      call.changed += static_cast<std::uint32_t>(std::distance(wanted.begin(), kept));
      call.end += static_cast<std::uint32_t>(wanted.size());
      bindings_.insert(bindings_.end(), wanted.begin(), wanted.end());
    }
    calls_.push_back(call);
  }
}

void Replay::Binding::bind() const {
  switch (kind) {
    case Kind::uniforms:
    case Kind::storage:
      glBindBufferRange(kind == Kind::uniforms ? GL_UNIFORM_BUFFER : GL_SHADER_STORAGE_BUFFER, unit, name,
                        static_cast<GLintptr>(offset), static_cast<GLsizeiptr>(bytes));
      break;
    case Kind::image:
      glBindImageTexture(unit, name, 0, GL_FALSE, 0, GL_READ_ONLY, GL_RGBA32UI);
      break;
    case Kind::texels:
      glActiveTexture(GL_TEXTURE0 + unit);
      glBindTexture(GL_TEXTURE_BUFFER, name);
      break;
  }
}

void Replay::issue(std::size_t dispatch, Bind bind) const {
  const Call& call = calls_[dispatch];
  if (call.barrier)
    glMemoryBarrier(GL_SHADER_STORAGE_BARRIER_BIT | GL_SHADER_IMAGE_ACCESS_BARRIER_BIT | GL_TEXTURE_FETCH_BARRIER_BIT);
  if (call.groups.x == 0) return;
  if (call.switches || bind == Bind::all) glUseProgram(call.program);
  const std::uint32_t end = bind == Bind::all ? call.end : call.changed;
  for (std::uint32_t i = call.first; i < end; ++i) bindings_[i].bind();
  glDispatchCompute(call.groups.x, call.groups.y, call.groups.z);
}

}  // namespace glassbox::gpu
