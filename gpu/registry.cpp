#include "gpu/registry.h"

#include <algorithm>

namespace glassbox::gpu {
namespace {

std::vector<RegisteredOp>& ops() {
  static std::vector<RegisteredOp> list;
  return list;
}

}  // namespace

const std::vector<RegisteredOp>& registry() { return ops(); }

Registration::Registration(std::string name, std::string summary,
                           std::function<std::vector<Sample>(Random&, SampleSize)> samples) {
  // Kept sorted: registration order is the linker's.
  const auto at = std::lower_bound(ops().begin(), ops().end(), name,
                                   [](const RegisteredOp& op, const std::string& n) { return op.name < n; });
  ops().insert(at, {std::move(name), std::move(summary), std::move(samples)});
}

}  // namespace glassbox::gpu
