#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace glassbox::gpu {

/// Timestamps that the device writes between commands (EXT_disjoint_timer_query), in nanoseconds.
class TimestampPool {
 public:
  explicit TimestampPool(std::size_t count);
  ~TimestampPool();
  TimestampPool(const TimestampPool&) = delete;
  TimestampPool& operator=(const TimestampPool&) = delete;

  void stamp(std::size_t index);          ///< after all commands issued so far
  std::uint64_t read(std::size_t index);  ///< waits for it
  /// True if something (a power event, say) made the stamps since the last call meaningless.
  bool disjoint() const;

 private:
  std::vector<unsigned> queries_;
};

/// Nanoseconds of the CPU's steady clock.
std::uint64_t cpu_nanoseconds();

}  // namespace glassbox::gpu
