#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "app/live/snapshot.h"

// Snapshots as the worker publishes them, made of nothing: for the panels' tests and screenshots. Same arguments, same
// snapshot.
namespace glassbox::testing {

struct FakeOptions {
  int layers = 7;
  std::size_t tokens = 24;  ///< of the answer
  bool timed = true;
  std::size_t check_every = 0;  ///< tokens between checked ones; 0: none
  bool whole_model = false;     ///< checks with accumulated errors, logits and KL
  /// The kernel of a checked token (an index into its kernels) whose error is far beyond its tolerance.
  std::optional<std::size_t> divergent;
  std::size_t candidates = 12;
  std::size_t prompt_tokens = 40;
  bool roofline = true;
  bool software = true;
  gpu::TimerSource timer = gpu::TimerSource::gpu_timestamp;
};

/// The dispatches of a step of `count` tokens from position `first`: about 17 a layer, in a model of width 512.
gpu::ProfiledRun fake_run(const FakeOptions& options, std::size_t first, std::size_t count, std::uint64_t seed);
/// A check of such a step, kernel by kernel with values.
app::live::TokenCheck fake_check(const FakeOptions& options, std::uint64_t seed);
app::live::ModelCard fake_model(const FakeOptions& options);
app::live::DeviceCard fake_device(const FakeOptions& options);

/// A question and an answer of options.tokens tokens (message 2 of the conversation 1), idle.
app::live::Snapshot fake_snapshot(const FakeOptions& options = {});

}  // namespace glassbox::testing
