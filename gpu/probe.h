#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "gpu/device.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {

struct TimerProbe {
  TimerSource source = TimerSource::cpu_clock;
  std::string verdict;  ///< one line: why
};
/// Times one dispatch by the device's timestamps and by the CPU's clock around glFinish; trusts the former only if both
/// tell the same story (some drivers announce timers that read 0 for compute).
TimerProbe probe_timer(Device& device);

/// Reads each element of x [4 * invocations * steps] once and sums it by invocation: y [4 * invocations], all float32.
/// By the device's own load path where none is given. `invocations` must be a multiple of eight.
std::shared_ptr<Primitive> read_probe(const Device& device, std::size_t invocations, std::optional<LoadPath> path = {});

struct LoadPathProbe {
  LoadPath best = LoadPath::ssbo;
  std::array<double, 3> gigabytes_per_second{};  ///< by LoadPath; 0: not there
};
/// Measures every load path once per driver; the result is cached on disk.
LoadPathProbe probe_load_path(Device& device);

}  // namespace glassbox::gpu
