#include <algorithm>
#include <cmath>

#include "tests/bench/plain_support.h"

// Caches are float32 here, whatever the kernel's are: [heads, capacity, d].
namespace glassbox::bench {
namespace {

/// x turned by position x frequency, a head a row, pairs (i, i + d/2).
void turn(Rows& x, const Row& frequencies, Index first_position, Index heads) {
  const Index half = x.cols() / 2;
  Row cosine(half), sine(half), before(half);
  for (Index row = 0; row < x.rows(); ++row) {
    if (row % heads == 0) {
      const auto angle = frequencies * static_cast<float>(first_position + row / heads);
      cosine = angle.cos();
      sine = angle.sin();
    }
    before = x.row(row).head(half);
    x.row(row).head(half) = before * cosine - x.row(row).tail(half) * sine;
    x.row(row).tail(half) = x.row(row).tail(half) * cosine + before * sine;
  }
}

Row frequencies(Index d) {
  return Eigen::pow(10000.0f, -Row::LinSpaced(d / 2, 0, static_cast<float>(d / 2 - 1)) * 2 / static_cast<float>(d));
}

Run rope(const Sampled& s) {
  return [x = floats(s.leaves.at(0)), f = frequencies(index(s.result.back())), heads = index(s.result.at(1)),
          first = position(s.label), y = Rows()]() mutable {
    y = x;
    turn(y, f, first, heads);
    return y.data();
  };
}

/// Queries [tokens, heads, d] turned, keys turned into their cache and values into theirs.
Run rope_kv(const Sampled& s) {
  const auto heads = index(s.result.at(1)), d = index(s.result.at(2));
  const auto& cache = s.leaves.at(2).shape();
  const auto kv_heads = index(cache[0]), capacity = index(cache[1]), first = position(s.label);
  return [=, x = floats(s.leaves[0]), f = frequencies(d), keys = Rows(kv_heads * capacity, d),
          values = Rows(kv_heads * capacity, d), qk = Rows(), q = Rows()]() mutable {
    const Index tokens = x.rows();
    qk = x.leftCols((heads + kv_heads) * d).reshaped<Eigen::RowMajor>(tokens * (heads + kv_heads), d);
    turn(qk, f, first, heads + kv_heads);
    q.resize(tokens * heads, d);
    for (Index t = 0; t < tokens; ++t) {
      q.middleRows(t * heads, heads) = qk.middleRows(t * (heads + kv_heads), heads);
      for (Index head = 0; head < kv_heads; ++head) {
        keys.row(head * capacity + first + t) = qk.row(t * (heads + kv_heads) + heads + head);
        values.row(head * capacity + first + t) = x.row(t).segment((heads + kv_heads + head) * d, d);
      }
    }
    return q.data();
  };
}

/// [tokens, heads, d] to cache[head][t].
Run kv_pack(const Sampled& s) {
  const auto& shape = s.leaves.at(1).shape();
  const auto tokens = index(shape[0]), heads = index(shape[1]), capacity = index(s.result.at(1)),
             first = position(s.label);
  return [=, x = floats(s.leaves[1]), cache = floats(s.leaves[0])]() mutable {
    for (Index t = 0; t < tokens; ++t)
      for (Index head = 0; head < heads; ++head) cache.row(head * capacity + first + t) = x.row(t * heads + head);
    return cache.data();
  };
}

/// "f32 [32, 1024, 128], 512 at 116": zeros from token 116 + 512 on.
Run kv_unpack(const Sampled& s) {
  const Index seen = position(s.label) + std::stol(s.label.substr(s.label.find("], ") + 3));
  return [cache = floats(s.leaves.at(0)), y = Rows(), heads = index(s.result.at(0)), capacity = index(s.result.at(1)),
          seen]() mutable {
    y.resize(cache.rows(), cache.cols());
    for (Index head = 0; head < heads; ++head) {
      y.middleRows(head * capacity, seen) = cache.middleRows(head * capacity, seen);
      y.middleRows(head * capacity + seen, capacity - seen).setZero();
    }
    return y.data();
  };
}

/// Of the last tokens that the caches hold.
Run attention(const Sampled& s) {
  const auto tokens = index(s.result.at(0)), heads = index(s.result.at(1)), d = index(s.result.at(2));
  const auto& cache = s.leaves.at(1).shape();
  const auto kv_heads = index(cache[0]), capacity = index(cache[1]);
  return [=, q = Matrix(floats(s.leaves[0])), k = Matrix(floats(s.leaves[1])), v = Matrix(floats(s.leaves[2])),
          of_head = Matrix(tokens, d), y = Matrix(tokens * heads, d)]() mutable {
    const float scale = 1 / std::sqrt(static_cast<float>(d));
    for (Index head = 0; head < heads; ++head) {
      const Index kv = head / (heads / kv_heads) * capacity;
      for (Index t = 0; t < tokens; ++t) of_head.row(t) = q.row(t * heads + head);
      Matrix scores = scale * of_head * k.middleRows(kv, capacity).transpose();
      for (Index t = 0; t < tokens; ++t) {
        const Index seen = capacity - tokens + t + 1;
        scores.row(t).tail(capacity - seen).setZero();
        auto row = scores.row(t).head(seen).array();
        row = (row - row.maxCoeff()).exp();
        row /= row.sum();
      }
      of_head.noalias() = scores * v.middleRows(kv, capacity);
      for (Index t = 0; t < tokens; ++t) y.row(t * heads + head) = of_head.row(t);
    }
    return y.data();
  };
}

}  // namespace

PlainOps plain_attention() {
  return {
      {"rope", rope}, {"rope_kv", rope_kv}, {"kv_pack", kv_pack}, {"kv_unpack", kv_unpack}, {"attention", attention}};
}

}  // namespace glassbox::bench
