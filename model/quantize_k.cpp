#include "model/quantize_k.h"

#include <Eigen/Core>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace glassbox::model {
namespace {

void store_half(std::byte* to, Eigen::half value) { std::memcpy(to, &value, sizeof value); }

/// d as float16; away from zero where float16 is coarse, so that the largest multiple of d still reaches its group.
Eigen::half stored_step(float d) {
  const Eigen::half nearest(d);
  if (!(std::fabs(float(nearest)) < std::fabs(d) && std::fabs(d) < 0x1p-14F)) return nearest;
  return Eigen::numext::bit_cast<Eigen::half>(
      static_cast<std::uint16_t>(Eigen::numext::bit_cast<std::uint16_t>(nearest) + 1));
}

/// Reciprocal, or 0 for steps so small that float16 has none of them.
float step_inverse(float step) { return std::fabs(step) > 1e-30F ? 1 / step : 0; }

template <class Values>
auto rounded(const Values& nonnegative) {
  return (nonnegative + 0.5F).template cast<int>().template cast<float>();
}

// q4_k and q5_k: eight groups of 32, scale·q − min with scale and min at least 0 and q from 0 to `levels` − 1.

using Group = Eigen::Array<float, 32, 1>;
using Groups = Eigen::Array<float, 32, 8>;  // a column a group

struct Affine {
  float scale = 0, min = 0;
};

template <int levels>
Group quants(const Group& x, Affine a) {
  return rounded(((x + a.min) * step_inverse(a.scale)).max(0.0F).min(float(levels - 1)));
}
template <int levels>
float squared_error(const Group& x, Affine a) {
  return (quants<levels>(x, a) * a.scale - a.min - x).square().sum();
}

/// Least squares for u·a − v·b = x with u, v at least 0; `start` where the equations do not determine it.
struct Sums {
  float aa, ab, bb, ax, bx;
};
Affine solve(const Sums& s, Affine start) {
  const float determinant = s.aa * s.bb - s.ab * s.ab;
  if (!(determinant > 1e-6F * s.aa * s.bb)) return start;
  const Affine free{(s.ax * s.bb - s.ab * s.bx) / determinant, (s.ab * s.ax - s.aa * s.bx) / determinant};
  if (free.scale > 0 && free.min >= 0) return free;
  return free.scale > 0 && s.ax > 0 ? Affine{s.ax / s.aa, 0} : start;
}

template <int levels>
Affine fit(const Group& x) {
  const float low = std::min(x.minCoeff(), 0.0F), width = x.maxCoeff() - low;
  Affine best{0, -low};
  float best_error = squared_error<levels>(x, best);
  if (!(width > 0)) return best;
  for (int i = -4; i <= 4; ++i) {
    Affine a{width / (float(levels - 1) + 0.25F * float(i)), -low};
    for (int round = 0; round < 3; ++round) {
      const Group q = quants<levels>(x, a);
      a = solve({q.square().sum(), q.sum(), 32, (q * x).sum(), x.sum()}, a);
    }
    if (const float error = squared_error<levels>(x, a); error < best_error) best = a, best_error = error;
  }
  return best;
}

using Codes = Eigen::Array<float, 1, 8>;

struct AffineBlock {
  Eigen::half d{0}, dmin{0};
  Codes scales = Codes::Zero(), mins = Codes::Zero();  // integers from 0 to 63
  float error = 0;

  Affine group(int j) const { return {float(d) * scales[j], float(dmin) * mins[j]}; }
};

/// The block with these d and dmin: every group's integers searched around the wanted scale and min.
template <int levels>
AffineBlock with_steps(const Groups& x, float d, float dmin, const Codes& scales, const Codes& mins) {
  AffineBlock block{.d = stored_step(d), .dmin = stored_step(dmin)};
  const float per_d = step_inverse(float(block.d)), per_dmin = step_inverse(float(block.dmin));
  for (int j = 0; j < 8; ++j) {
    const float scale = std::round(scales[j] * per_d), min = std::round(mins[j] * per_dmin);
    float best = -1;
    for (float s = std::max(scale - 1, 0.0F); s <= std::min(scale + 1, 63.0F); ++s)
      for (float m = std::max(min - 1, 0.0F); m <= std::min(min + 1, 63.0F); ++m) {
        const float error = squared_error<levels>(x.col(j), {float(block.d) * s, float(block.dmin) * m});
        if (best >= 0 && error >= best) continue;
        best = error;
        block.scales[j] = s;
        block.mins[j] = m;
      }
    block.error += best;
  }
  return block;
}

template <int levels>
AffineBlock fit_block(const Groups& x) {
  Codes scales, mins;
  for (int j = 0; j < 8; ++j) {
    const Affine group = fit<levels>(x.col(j));
    scales[j] = group.scale;
    mins[j] = group.min;
  }
  auto best = with_steps<levels>(x, scales.maxCoeff() / 63, mins.maxCoeff() / 63, scales, mins);
  for (int round = 0; round < 2; ++round) {
    Sums sums{};
    for (int j = 0; j < 8; ++j) {
      const Group a = quants<levels>(x.col(j), best.group(j)) * best.scales[j];
      const float b = best.mins[j];
      sums.aa += a.square().sum();
      sums.ab += a.sum() * b;
      sums.bb += 32 * b * b;
      sums.ax += (a * x.col(j)).sum();
      sums.bx += x.col(j).sum() * b;
    }
    const auto [d, dmin] = solve(sums, {float(best.d), float(best.dmin)});
    const auto next = with_steps<levels>(x, d, dmin, best.scales * d, best.mins * dmin);
    if (!(next.error < best.error)) break;
    best = next;
  }
  return best;
}

/// d, dmin and the packed integers that q4_k and q5_k begin with: 16 bytes.
void store_steps(const AffineBlock& block, std::byte* to) {
  store_half(to, block.d);
  store_half(to + 2, block.dmin);
  const Eigen::Array<int, 1, 8> scales = block.scales.cast<int>(), mins = block.mins.cast<int>();
  for (int j = 0; j < 4; ++j) {
    to[4 + j] = static_cast<std::byte>(scales[j] | scales[j + 4] >> 4 << 6);
    to[8 + j] = static_cast<std::byte>(mins[j] | mins[j + 4] >> 4 << 6);
    to[12 + j] = static_cast<std::byte>((scales[j + 4] & 0xF) | (mins[j + 4] & 0xF) << 4);
  }
}

template <int levels>
Eigen::Array<int, 32, 8> quants_of(const Groups& x, const AffineBlock& block) {
  Eigen::Array<int, 32, 8> all;
  for (int j = 0; j < 8; ++j) all.col(j) = quants<levels>(x.col(j), block.group(j)).template cast<int>();
  return all;
}

/// The lower four bits, two groups in 32 bytes.
void store_nibbles(const Eigen::Array<int, 32, 8>& q, std::byte* to) {
  for (int j = 0; j < 8; j += 2)
    for (int i = 0; i < 32; ++i) *to++ = static_cast<std::byte>((q(i, j) & 0xF) | (q(i, j + 1) & 0xF) << 4);
}

// q6_k: sixteen groups of 16, scale·q with q from −32 to 31.

using Group16 = Eigen::Array<float, 16, 1>;
using Groups16 = Eigen::Array<float, 16, 16>;
using Codes16 = Eigen::Array<float, 1, 16>;

Group16 quants(const Group16& x, float scale) {
  return rounded((x * step_inverse(scale) + 32).max(0.0F).min(63.0F)) - 32;
}
float squared_error(const Group16& x, float scale) { return (quants(x, scale) * scale - x).square().sum(); }

float fit(const Group16& x) {
  Eigen::Index at = 0;
  if (!(x.abs().maxCoeff(&at) > 0)) return 0;
  float best = 0, best_error = x.square().sum();
  for (int i = -4; i <= 4; ++i) {
    float scale = x[at] / (-32 + 0.25F * float(i));
    for (int round = 0; round < 3; ++round) {
      const Group16 q = quants(x, scale);
      if (const float power = q.square().sum(); power > 0) scale = (q * x).sum() / power;
    }
    if (const float error = squared_error(x, scale); error < best_error) best = scale, best_error = error;
  }
  return best;
}

struct SymmetricBlock {
  Eigen::half d{0};
  Codes16 scales = Codes16::Zero();  // integers from −128 to 127
  float error = 0;
};

SymmetricBlock with_step(const Groups16& x, float d, const Codes16& scales) {
  SymmetricBlock block{.d = stored_step(d)};
  const float per_d = step_inverse(float(block.d));
  for (int j = 0; j < 16; ++j) {
    const float nearest = std::round(scales[j] * per_d);
    float best = -1;
    for (float s = std::max(nearest - 1, -128.0F); s <= std::min(nearest + 1, 127.0F); ++s) {
      const float error = squared_error(x.col(j), float(block.d) * s);
      if (best >= 0 && error >= best) continue;
      best = error;
      block.scales[j] = s;
    }
    block.error += best;
  }
  return block;
}

SymmetricBlock fit_block(const Groups16& x) {
  Codes16 scales;
  for (int j = 0; j < 16; ++j) scales[j] = fit(Group16(x.col(j)));
  Eigen::Index at = 0;
  scales.abs().maxCoeff(&at);
  auto best = with_step(x, scales[at] / -128, scales);
  for (int round = 0; round < 2; ++round) {
    float power = 0, product = 0;
    for (int j = 0; j < 16; ++j) {
      const Group16 a = quants(x.col(j), float(best.d) * best.scales[j]) * best.scales[j];
      power += a.square().sum();
      product += (a * x.col(j)).sum();
    }
    if (!(power > 0)) break;
    const float d = product / power;
    const auto next = with_step(x, d, best.scales * d);
    if (!(next.error < best.error)) break;
    best = next;
  }
  return best;
}

}  // namespace

void quantize_q4_k(const float* values, std::byte* block) {
  const Groups x = Eigen::Map<const Groups>(values);
  const auto fitted = fit_block<16>(x);
  store_steps(fitted, block);
  store_nibbles(quants_of<16>(x, fitted), block + 16);
}

void quantize_q5_k(const float* values, std::byte* block) {
  const Groups x = Eigen::Map<const Groups>(values);
  const auto fitted = fit_block<32>(x);
  const auto q = quants_of<32>(x, fitted);
  store_steps(fitted, block);
  for (int i = 0; i < 32; ++i) {
    int fifth = 0;
    for (int j = 0; j < 8; ++j) fifth |= q(i, j) >> 4 << j;
    block[16 + i] = static_cast<std::byte>(fifth);
  }
  store_nibbles(q, block + 48);
}

void quantize_q6_k(const float* values, std::byte* block) {
  const Groups16 x = Eigen::Map<const Groups16>(values);
  const auto fitted = fit_block(x);
  Eigen::Array<int, 16, 16> q;  // value i of the block is q(i % 16, i / 16): q(i), columns being contiguous
  for (int j = 0; j < 16; ++j) q.col(j) = quants(x.col(j), float(fitted.d) * fitted.scales[j]).cast<int>() + 32;
  for (int half = 0; half < 2; ++half)
    for (int i = 0; i < 32; ++i) {
      const auto at = [&](int quarter) { return q(half * 128 + quarter * 32 + i); };
      block[half * 64 + i] = static_cast<std::byte>((at(0) & 0xF) | (at(2) & 0xF) << 4);
      block[half * 64 + 32 + i] = static_cast<std::byte>((at(1) & 0xF) | (at(3) & 0xF) << 4);
      block[128 + half * 32 + i] =
          static_cast<std::byte>(at(0) >> 4 | at(1) >> 4 << 2 | at(2) >> 4 << 4 | at(3) >> 4 << 6);
    }
  for (int j = 0; j < 16; ++j) block[192 + j] = static_cast<std::byte>(static_cast<std::int8_t>(fitted.scales[j]));
  store_half(block + 208, fitted.d);
}

}  // namespace glassbox::model
