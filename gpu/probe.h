#pragma once

#include <array>
#include <string>

#include "gpu/device.h"

namespace glassbox::gpu {

struct TimerProbe {
  TimerSource source = TimerSource::cpu_clock;
  std::string verdict;  ///< one line: why
};
/// Times one dispatch by the device's timestamps and by the CPU's clock around glFinish; trusts the former only if both
/// tell the same story (some drivers announce timers that read 0 for compute).
TimerProbe probe_timer(Device& device);

struct LoadPathProbe {
  LoadPath best = LoadPath::ssbo;
  std::array<double, 3> gigabytes_per_second{};  ///< by LoadPath; 0: not there
};
/// Measures every load path once per driver; the result is cached on disk.
LoadPathProbe probe_load_path(Device& device);

}  // namespace glassbox::gpu
