#pragma once

#include <optional>
#include <vector>

#include "gpu/differ.h"
#include "model/engine.h"

namespace glassbox::model {

/// A model's kernels held against float64, over a prompt and the tokens that follow it greedily.
struct DiffReport {
  std::vector<gpu::KernelError> kernels;       ///< in the order they ran; index counts through all steps
  std::optional<std::size_t> first_divergent;  ///< into kernels: the first out of tolerance
  gpu::ErrorStats logits;                      ///< of the last step, against the whole model in float64
  double kl = 0;  ///< KL(float64 || GPU) of the next-token distribution, nats, largest of all steps
  bool ok() const { return !first_divergent; }
};

/// Called after each kernel with the values of its first output.
using KernelSeen = gpu::Differ::Seen;

/// Feeds the prompt to an empty context, then `count` greedy tokens, every step beside its float64 reference, both on
/// the kernel's own inputs and accumulated through the whole model.
DiffReport diff(Engine& engine, std::span<const std::uint32_t> prompt, std::size_t count,
                const KernelSeen& seen = nullptr, const Progress& progress = nullptr);

}  // namespace glassbox::model
