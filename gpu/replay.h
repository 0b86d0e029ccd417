#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "gpu/encoder.h"

namespace glassbox::gpu {

/// What one lane runs of a dispatch: `groups` from `first` on.
struct Share {
  Grid groups{0, 0, 0};
  Grid first{0, 0, 0};
  bool empty() const { return groups.x == 0; }
};

/// Splits dispatches between lanes: shares[lane * dispatches + i]. Those between two barriers are spread so that each
/// lane has as many groups as any other; what cannot be split goes whole to the lane that has least.
std::vector<Share> share_out(std::span<const Dispatch> dispatches, unsigned lanes);

/// The GL calls of a list of dispatches in one context: made once, with what is bound already left out.
class Replay {
 public:
  /// `parameters`: the buffer whose range from `offset` on holds the blocks of the dispatches. `shares`: of this lane;
  /// empty: all of each.
  Replay(std::span<const Dispatch> dispatches, Buffer& parameters, std::size_t offset, unsigned lane,
         std::span<const Share> shares);

  enum class Bind {
    changes, /* what differs from the dispatch before: for a list issued from its start and nothing between */
    all
  };
  void issue(std::size_t dispatch, Bind bind = Bind::changes) const;
  std::size_t size() const { return calls_.size(); }
  bool barrier_before(std::size_t dispatch) const { return calls_[dispatch].barrier; }

 private:
  struct Binding {
    enum class Kind : std::uint8_t { uniforms, storage, image, texels } kind;
    unsigned unit, name;
    std::size_t offset = 0, bytes = 0;
    bool operator==(const Binding&) const = default;
    void bind() const;
  };
  struct Call {
    unsigned program = 0;
    std::uint32_t first = 0, changed = 0, end = 0;  ///< into bindings_: [first, changed) differ, [changed, end) do not
    Grid groups;
    bool switches = true;  ///< to another program
    bool barrier = false;
  };

  std::vector<Call> calls_;
  std::vector<Binding> bindings_;
};

}  // namespace glassbox::gpu
