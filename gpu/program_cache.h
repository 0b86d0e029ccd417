#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gpu/signature.h"

namespace glassbox::gpu {

/// A linked compute program: its name on each lane.
struct Program {
  std::vector<unsigned> ids;
  std::string glsl;
  mutable bool dispatched = false;  ///< a plan that names it has run
};

/// Compiles each variant of a kernel once: in memory by its text, on disk (program binaries, by driver) across runs.
class ProgramCache {
 public:
  explicit ProgramCache(Device& device) : device_(device) {}
  ~ProgramCache();

  /// The body taken apart; kept by name and text.
  const KernelBody& body(const Kernel& kernel);
  /// Throws Error with the driver's first complaint where the text does not compile.
  const Program& program(const Kernel& kernel, const Variant& variant);

  struct Statistics {
    unsigned compiled = 0, from_disk = 0;
  };
  const Statistics& statistics() const { return statistics_; }

 private:
  Device& device_;
  std::map<std::string, std::unique_ptr<KernelBody>, std::less<>> bodies_;
  std::map<std::string, std::unique_ptr<Program>, std::less<>> programs_;
  Statistics statistics_;
};

}  // namespace glassbox::gpu
