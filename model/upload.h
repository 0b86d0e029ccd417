#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gpu/array.h"
#include "model/weights.h"

namespace glassbox::model {

/// Moves a model's tensors from mapped files to the device, one at a time: a tensor's pages are given back as soon as
/// the device has them, so the weights are in memory once. f32, f16 and bf16 stay as they are; q8_0 and q4_0 become
/// float32, exactly.
class Uploader {
 public:
  /// Called with the bytes of the file that are done.
  using Progress = std::function<void(std::size_t done, std::size_t total)>;

  Uploader(const Weights& weights, Progress progress);

  /// Throws Error where the tensor is missing or of another shape.
  gpu::Array operator()(const std::string& name, const gpu::Shape& shape);
  /// An empty Array where there is none of that name.
  gpu::Array optional(const std::string& name, const gpu::Shape& shape);

  std::size_t device_bytes() const { return arena_->used_bytes(); }

 private:
  const Weights& weights_;
  Progress progress_;
  std::shared_ptr<gpu::Arena> arena_;
  std::size_t done_ = 0;
};

}  // namespace glassbox::model
