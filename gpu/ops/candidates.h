#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gpu/array.h"

namespace glassbox::gpu {

/// How candidates() cuts `count` logits into blocks: at most 1024 of them.
struct CandidateBlocks {
  std::size_t texels;  ///< fours of a block
  std::size_t blocks;
  explicit CandidateBlocks(std::size_t count);
  std::size_t length() const { return 4 * texels; }
  /// The largest k that candidates() takes.
  std::size_t most() const;
};

/// The blocks of x that hold its k largest elements: float32 [k, 4 + length], in the order of x. A row is {number of
/// the block, 0, 0, 0} and its elements, 0 from `count` on; the first begins {number, largest of all, sum of exp(x -
/// largest) over all, 0}. x is float32 of one row, 1 <= count <= its length, what is from `count` on does not exist;
/// 1 <= k <= CandidateBlocks::most(). Where an element is infinite or NaN the largest is infinity, and nothing else is
/// to be relied on.
///
/// Exact: an element in front of which fewer than k others stand is in one of the k blocks whose own largest elements
/// stand first, for each block in front has one that stands in front of it. Of equal elements the lower id is first.
Array candidates(const Array& x, std::size_t count, std::size_t k);

struct Candidate {
  std::uint32_t id = 0;
  float value = 0;
  /// Largest first, lower ids first where equal.
  friend bool operator<(const Candidate& a, const Candidate& b) {
    return a.value != b.value ? a.value > b.value : a.id < b.id;
  }
};

/// What `rows`, the elements of candidates(x, count, k), say of x.
class Candidates {
 public:
  /// The k largest in order go to `largest`, which allocates nothing once it is large enough. Returns false where x has
  /// infinities or NaN.
  bool read(std::span<const float> rows, std::size_t count, std::size_t k);

  std::span<const Candidate> largest() const { return largest_; }
  double log_sum() const { return log_sum_; }  ///< log of the sum of exp(x) over all

 private:
  std::vector<Candidate> largest_;
  double log_sum_ = 0;
};

}  // namespace glassbox::gpu
