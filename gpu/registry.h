#pragma once

#include <functional>
#include <string>
#include <vector>

#include "gpu/primitive.h"
#include "gpu/random.h"

namespace glassbox::gpu {

/// A use of an op on random inputs that are evaluated already: calling build() makes its graph, fused or composed.
struct Sample {
  std::string label;  ///< dtypes and shapes
  std::function<Array(Fusion)> build;
  bool has_composed = false;
};

/// test: small, odd, many. bench: few, of the size a model has.
enum class SampleSize { test, bench };

struct RegisteredOp {
  std::string name;
  std::string summary;  ///< one line: the formula
  std::function<std::vector<Sample>(Random&, SampleSize)> samples;
};

/// Every op that registered itself, by name. Tests, benches, `glassbox kernels` and the lab walk this list.
const std::vector<RegisteredOp>& registry();

/// `const Registration name_registered{"name", "formula", samples};` in an op's file is its one registry line.
struct Registration {
  Registration(std::string name, std::string summary, std::function<std::vector<Sample>(Random&, SampleSize)> samples);
};

}  // namespace glassbox::gpu
