#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gpu/egl.h"

namespace glassbox::gpu {

/// Contexts of llvmpipe that compute side by side, each on a thread of its own, on memory that all of them share
/// (SharedMemory). A dispatch runs in the thread that issues it, from beginning to end, and costs a fraction of a
/// microsecond: the driver's own worker threads need some 60 for each. Contexts of one EGL display wait for one
/// another, so there are as many lanes as displays of the driver.
class Lanes {
 public:
  /// Null where they cannot be had: another driver, one core, fewer lanes than half of the cores, an import that the
  /// driver refuses, displays that somebody opened with worker threads, LP_NUM_THREADS set. GLASSBOX_LANES is how many
  /// are wanted; 1: none. Lane 0's context is current on this thread then.
  static std::unique_ptr<Lanes> open(const EglCandidate& candidate, bool debug);
  ~Lanes();
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;

  unsigned count() const { return static_cast<unsigned>(lanes_.size()); }
  /// Lane 0's, of the thread that opened them. It outlives the others.
  const std::shared_ptr<EglContext>& context() const { return context_; }

  /// Calls body(lane) on each lane's thread at once and waits for all. Nothing is allocated. Throws what a body threw.
  /// From lane 0's thread, and not from within a body.
  template <class Body>
  void together(const Body& body) {
    run({[](const void* b, unsigned lane) { (*static_cast<const Body*>(b))(lane); }, &body});
  }
  /// Within such a body: waits until every lane has come here as often as this one, so none may throw before. What they
  /// wrote before is seen.
  void meet(unsigned lane);
  /// Within such a body: returns at once on lane 0, on the others when lane 0 has come here as often, which may
  /// not throw before; they sleep until then.
  void follow(unsigned lane);

  /// The first error that the driver reported on a lane other than 0 since the last call; empty: none.
  std::string take_error();

 private:
  struct Task {
    void (*call)(const void* body, unsigned lane) = nullptr;  ///< null: the thread ends
    const void* body = nullptr;
  };
  /// On cache lines of its own: the lanes look at each other's counters all the time.
  struct alignas(64) Lane {
    std::atomic<std::uint32_t> met{0};  ///< times it came to meet()
    std::uint32_t followed = 0;         ///< and to follow()
    alignas(64) std::atomic<std::uint32_t> asked{0};
    std::atomic<std::uint32_t> answered{0};
    std::exception_ptr thrown;
    std::string error;
    std::thread thread;  ///< of every lane but 0
  };

  explicit Lanes(unsigned count) : lanes_(count) {}
  void start(unsigned lane, const EglCandidate& candidate, bool debug);
  void run(Task task);
  void ask(Lane& lane, Task task);
  void serve(unsigned lane);
  bool share_memory();

  std::vector<Lane> lanes_;
  std::atomic<std::uint32_t> led_{0};  ///< times that lane 0 came to follow()
  std::shared_ptr<EglContext> context_;
  Task task_;
};

/// body(lane) on every lane at once; body(0) here where there are none.
template <class Body>
void on_each_lane(Lanes* lanes, const Body& body) {
  lanes ? lanes->together(body) : body(0u);
}

}  // namespace glassbox::gpu
