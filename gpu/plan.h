#pragma once

#include <functional>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "gpu/encoder.h"
#include "gpu/primitive.h"
#include "gpu/replay.h"

namespace glassbox::gpu {

/// One primitive of a plan with the dispatches that compute it.
struct Step {
  std::shared_ptr<const Primitive> primitive;
  std::vector<Array> inputs, outputs;
  std::size_t first = 0, count = 0;  ///< into Plan::dispatches()
  int layer = -1;
};

/// When a dispatch ran, from the start of its run.
struct Timing {
  double start_us = 0, duration_us = 0;
};

/// A recorded graph: replayed as it stands, with nothing allocated, looked up or validated again; only Dynamic
/// parameters are read anew. eval(), the engine's tokens, the profiler and the differ all run plans; there is no second
/// path.
class Plan {
 public:
  /// Records what `outputs` need that is not evaluated yet. Their elements, and those of any other array of the graph
  /// that the caller still holds, live until the arrays and the plan are gone; all others share scratch where lifetimes
  /// allow, also with the other plans of the arena. `arena`: where arrays are laid; the device's where null. Throws
  /// Error for what a primitive refuses; then all arrays are as they were.
  static Plan record(std::span<const Array> outputs, const std::shared_ptr<Arena>& arena = nullptr);
  static Plan record(std::initializer_list<Array> outputs, const std::shared_ptr<Arena>& arena = nullptr) {
    return record(std::span(outputs.begin(), outputs.size()), arena);
  }

  struct Watch {
    /// Around each step, with the device idle; intermediate arrays can be read here and only here. Nothing may be
    /// evaluated in the same arena meanwhile: its scratch is in use.
    std::function<void(const Step&)> before, after;
    bool poison = false;  ///< fill outputs with a pattern before their step: what a kernel forgets to write shows
  };

  /// Issues every dispatch; on a device with lanes, they have run when it returns.
  void run();
  void run(const Watch& watch);
  /// One run with each dispatch timed by the device's timer source.
  std::vector<Timing> run_timed();

  const std::vector<Step>& steps() const { return steps_; }
  const std::vector<Dispatch>& dispatches() const { return dispatches_; }
  std::size_t copies() const { return copies_; }  ///< arrays that had to be packed or made contiguous
  std::size_t barriers() const;
  /// Time that the last run() took the CPU, from its call to the last GL call's return: on a device with lanes, kernels
  /// and all.
  double issue_seconds() const { return issue_seconds_; }

  Plan() = default;  ///< of nothing

 private:
  void begin();
  void lay_params();
  void upload_params();
  void issue(std::size_t first, std::size_t count, Replay::Bind bind);

  Device* device_ = nullptr;
  std::weak_ptr<const EglContext> context_;
  std::shared_ptr<Arena> arena_;
  std::vector<Step> steps_;
  std::vector<Dispatch> dispatches_;
  std::vector<CommandEncoder::Patch> patches_;
  std::vector<std::byte> params_;              ///< as the device has them
  std::shared_ptr<Storage> params_storage_;    ///< a copy for each lane
  std::vector<Replay> replays_;                ///< by lane
  std::set<std::shared_ptr<Buffer>> buffers_;  ///< that the dispatches name
  std::size_t copies_ = 0;
  bool dispatched_ = false;  ///< all of them, once at least
  double issue_seconds_ = 0;

  friend class Recorder;
};

}  // namespace glassbox::gpu
