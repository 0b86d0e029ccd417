#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "gpu/array.h"

// Every op once more in float32 with Eigen or plain C++ on one core, compiled like the rest of the program: what the
// kernels are measured beside.
namespace glassbox::bench {

/// A sample of an op: its label, the evaluated arrays its graph begins with (in the order of the op's arguments), and
/// the shape of its result.
struct Sampled {
  std::string label;
  std::vector<gpu::Array> leaves;
  gpu::Shape result;
};
Sampled sampled(const std::string& label, const gpu::Array& result);

/// One run; returns where its results stand.
using Run = std::function<const void*()>;
/// Takes the inputs to the CPU as float32, or as GGML's blocks, and allocates what a run needs.
using Prepare = std::function<Run(const Sampled&)>;

/// That of an op of gpu::registry(), or null for a sample that has none of its own: those in 16 bit or interleaved,
/// which would be the same again, and products with formats other than f16, q8_0 and q4_0.
const Prepare* plain_op(const std::string& name, const std::string& label);

/// By the op's name: one value for each element or row; products; attention and its cache.
using PlainOps = std::map<std::string, Prepare>;
PlainOps plain_rows();
PlainOps plain_products();
PlainOps plain_attention();

}  // namespace glassbox::bench
