#pragma once

#include <nlohmann/json.hpp>

#include "gpu/profile.h"

namespace glassbox::gpu {

/// The profile as Chrome trace events (Google's "Trace Event Format", JSON object form), which ui.perfetto.dev opens:
/// complete events, microseconds, ordered by start. One track holds the engine's steps by the CPU's clock, one the
/// device's dispatches with layer, grid, bytes, flops and rates in `args`. A run's dispatches are laid from the CPU's
/// start of that run: between runs the clocks need not agree. `device` names where it ran and by which timer.
nlohmann::ordered_json chrome_trace(const Profile& profile, const std::string& device);

}  // namespace glassbox::gpu
