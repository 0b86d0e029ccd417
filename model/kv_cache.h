#pragma once

#include <vector>

#include "gpu/array.h"

namespace glassbox::model {

/// Keys and values of every layer for the tokens so far: caches of gpu/ops/kv_cache.h of [kv_heads, capacity, head_dim]
/// each, written in place.
struct KvCache {
  std::vector<gpu::Array> keys, values;  ///< by layer
  std::size_t capacity = 0;              ///< tokens
  /// All zeros, as a new one is.
  void clear() const {
    std::vector<std::byte> zeros;
    for (const auto* list : {&keys, &values})
      for (const auto& array : *list) {
        zeros.resize(array.nbytes());
        array.write(zeros);
      }
  }
  std::size_t nbytes() const {
    std::size_t total = 0;
    for (const auto* list : {&keys, &values})
      for (const auto& array : *list) total += array.nbytes();
    return total;
  }
};

}  // namespace glassbox::model
