#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/bench/plain_support.h"

namespace glassbox::bench {
namespace {

/// y = f(x), of x's shape or of another one.
template <class F>
Prepare map(F f) {
  return [f](const Sampled& s) -> Run {
    return [f, x = floats(s.leaves.at(0)), y = Rows()]() mutable {
      y = f(x);
      return y.data();
    };
  };
}
template <class F>
Prepare map2(F f) {
  return [f](const Sampled& s) -> Run {
    return [f, a = floats(s.leaves.at(0)), b = floats(s.leaves.at(1)), y = Rows()]() mutable {
      y = f(a, b);
      return y.data();
    };
  };
}

constexpr float eps = 1e-5f;

/// Each row divided by its root mean square and multiplied by the weights.
void normalise(const Rows& x, const Rows& w, Rows& y) {
  y.resize(x.rows(), x.cols());
  for (Index row = 0; row < x.rows(); ++row)
    y.row(row) = x.row(row) * (1 / std::sqrt(x.row(row).square().mean() + eps)) * w.row(0);
}

Run rms_norm(const Sampled& s) {
  return [x = floats(s.leaves.at(0)), w = floats(s.leaves.at(1)), y = Rows()]() mutable {
    normalise(x, w, y);
    return y.data();
  };
}

Run rms_norm_residual(const Sampled& s) {
  return [x = floats(s.leaves.at(0)), r = floats(s.leaves.at(1)), w = floats(s.leaves.at(2)), h = Rows(),
          y = Rows()]() mutable {
    h = x + r;
    normalise(h, w, y);
    return y.data();
  };
}

Run softmax(const Sampled& s) {
  return [x = floats(s.leaves.at(0)), y = Rows()]() mutable {
    y.resize(x.rows(), x.cols());
    for (Index row = 0; row < x.rows(); ++row) {
      y.row(row) = (x.row(row) - x.row(row).maxCoeff()).exp();
      y.row(row) *= 1 / y.row(row).sum();
    }
    return y.data();
  };
}

/// [heads, tokens, keys]
Run causal_mask(const Sampled& s) {
  return [x = floats(s.leaves.at(0)), y = Rows(), tokens = index(s.result.at(1)), first = position(s.label)]() mutable {
    y = x;
    for (Index row = 0; row < y.rows(); ++row) {
      const Index seen = std::min(y.cols(), first + row % tokens + 1);
      y.row(row).tail(y.cols() - seen).setConstant(-std::numeric_limits<float>::infinity());
    }
    return y.data();
  };
}

/// The sum over the first axis of [P, ..], and a residual where there is one.
Run sum_parts(const Sampled& s) {
  const auto parts = index(s.leaves.at(0).shape().at(0));
  return
      [parts, x = floats(s.leaves[0]), h = s.leaves.size() > 1 ? floats(s.leaves[1]) : Rows(), y = Rows()]() mutable {
        const Index rows = x.rows() / parts;
        y = x.topRows(rows);
        for (Index p = 1; p < parts; ++p) y += x.middleRows(p * rows, rows);
        if (h.size() > 0) y += h;
        return y.data();
      };
}

Run gated_silu(const Sampled& s) {
  const auto parts = index(s.leaves.at(0).shape().at(0));
  return [parts, width = index(s.result.back()), x = floats(s.leaves[0]), sum = Rows(), y = Rows()]() mutable {
    const Index rows = x.rows() / parts;
    sum = x.topRows(rows);
    for (Index p = 1; p < parts; ++p) sum += x.middleRows(p * rows, rows);
    y.resize(rows, width);
    for (Index n = 0; n < width; n += 8) {
      const Index count = std::min<Index>(8, width - n);
      y.middleCols(n, count) = silu(sum.middleCols(2 * n, count)) * sum.middleCols(2 * n + 8, count);
    }
    return y.data();
  };
}

Run argmax(const Sampled& s) {
  return [x = floats(s.leaves.at(0)), best = std::vector<Index>()]() mutable {
    best.resize(static_cast<std::size_t>(x.rows()));
    for (Index row = 0; row < x.rows(); ++row) x.row(row).maxCoeff(&best[static_cast<std::size_t>(row)]);
    return best.data();
  };
}

Run top_k(const Sampled& s) {
  return [x = floats(s.leaves.at(0)), k = index(s.result.back()), order = std::vector<Index>(), y = Rows()]() mutable {
    y.resize(x.rows(), k);
    order.resize(static_cast<std::size_t>(x.cols()));
    for (Index row = 0; row < x.rows(); ++row) {
      std::iota(order.begin(), order.end(), Index{0});
      const auto larger = [&](Index a, Index b) { return x(row, a) > x(row, b); };
      std::nth_element(order.begin(), order.begin() + k - 1, order.end(), larger);
      std::sort(order.begin(), order.begin() + k, larger);
      for (Index i = 0; i < k; ++i) y(row, i) = x(row, order[static_cast<std::size_t>(i)]);
    }
    return y.data();
  };
}

Run embedding(const Sampled& s) {
  return [ids = indices(s.leaves.at(0)), table = floats(s.leaves.at(1)), y = Rows()]() mutable {
    y.resize(index(ids.size()), table.cols());
    for (Index row = 0; row < y.rows(); ++row) y.row(row) = table.row(index(ids[static_cast<std::size_t>(row)]));
    return y.data();
  };
}

}  // namespace

PlainOps plain_rows() {
  return {
      {"add", map2([](const Rows& a, const Rows& b) { return a + b; })},
      {"mul", map2([](const Rows& a, const Rows& b) { return a.rowwise() * b.row(0); })},
      {"silu_mul", map2([](const Rows& a, const Rows& b) { return (silu(a) * b).eval(); })},
      {"silu", map([](const Rows& x) { return silu(x).eval(); })},
      {"square", map([](const Rows& x) { return x.square(); })},
      {"rsqrt", map([](const Rows& x) { return (x + eps).rsqrt(); })},
      {"scale", map([](const Rows& x) { return 0.7f * x; })},
      {"soft_cap", map([](const Rows& x) { return 15 * (x / 15).tanh(); })},
      {"mean", map([](const Rows& x) { return x.rowwise().mean(); })},
      {"rms_norm", rms_norm},
      {"rms_norm_residual", rms_norm_residual},
      {"softmax", softmax},
      {"causal_mask", causal_mask},
      {"sum_parts", sum_parts},
      {"gated_silu", gated_silu},
      {"argmax", argmax},
      {"top_k", top_k},
      {"embedding", embedding},
  };
}

}  // namespace glassbox::bench
