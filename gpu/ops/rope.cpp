#include "gpu/ops/rope.h"

#include <cmath>
#include <numbers>

#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/primitive.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

const Kernel rope_kernel{
    .name = "rope",
    .inputs = {"x", "frequencies"},
    .outputs = {"y"},
    .params = {param<std::uint32_t>("rows"), param<std::uint32_t>("heads"), param<std::uint32_t>("first")},
    .body = shader_source("rope.comp")};

constexpr double two_to_32 = 4294967296.0;

struct Rope final : Primitive {
  Rope(Dynamic position, RopePairing rope_pairing) : first(std::move(position)), pairing(rope_pairing) {}
  Dynamic first;
  RopePairing pairing;

  std::string_view name() const override { return "rope"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.map_size();
    encoder.dispatch(rope_kernel, {in[0], in[1]}, {out[0]},
                     {static_cast<std::uint32_t>(in[0].rows()), static_cast<std::uint32_t>(in[0].shape()[1]), first},
                     encoder.flat_invocations(in[0].size() / 2, size),
                     {.local_size = size, .constants = {{"INTERLEAVED", pairing == RopePairing::interleaved}}});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    const std::size_t d = in[0].last(), half = d / 2, heads = in[0].shape[1];
    for (std::size_t row = 0; row < in[0].rows(); ++row)
      for (std::size_t pair = 0; pair < half; ++pair) {
        const double angle = rope_angle(in[1], pair, first.value() + row / heads);
        const std::size_t even = row * d + (pairing == RopePairing::interleaved ? 2 * pair : pair);
        const std::size_t odd = even + (pairing == RopePairing::interleaved ? 1 : half);
        out[0].values[even] = in[0].values[even] * std::cos(angle) - in[0].values[odd] * std::sin(angle);
        out[0].values[odd] = in[0].values[even] * std::sin(angle) + in[0].values[odd] * std::cos(angle);
      }
  }
  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + in[1].nbytes() + out[0].nbytes()),
            .flops = 15.0 * static_cast<double>(in[0].size())};
  }
};

}  // namespace

double rope_angle(const Tensor64& frequencies, std::size_t pair, std::uint64_t position) {
  const auto turns = static_cast<std::uint64_t>(frequencies.values[2 * pair]) << 32 |
                     static_cast<std::uint64_t>(frequencies.values[2 * pair + 1]);
  return 2 * std::numbers::pi * static_cast<double>(position * turns) / two_to_32 / two_to_32;  // modulo 2^64, one turn
}

Array rope_frequencies(std::span<const double> radians_per_position) {
  std::vector<double> words;
  for (const double radians : radians_per_position) {
    require(std::isfinite(radians) && radians >= 0, "[rope] frequencies must be finite and not negative, received {}",
            radians);
    const long double turns = std::fmod(radians / (2 * std::numbers::pi_v<long double>), 1.0L);
    const long double high = std::floor(turns * two_to_32);
    words.push_back(static_cast<double>(high));
    words.push_back(static_cast<double>(std::floor((turns * two_to_32 - high) * two_to_32)));
  }
  return Array::from_values({radians_per_position.size(), 2}, DType::u32, words);
}

Array plain_rope_frequencies(std::size_t d) {
  std::vector<double> radians;
  for (std::size_t i = 0; i < d / 2; ++i)
    radians.push_back(std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(d)));
  return rope_frequencies(radians);
}

Array rope(const Array& x, const Array& frequencies, const Dynamic& first, RopePairing pairing) {
  require(x.ndim() == 3 && is_float(x.dtype()) && x.size() > 0 && x.last() % 2 == 0,
          "[rope] x must be float [T, heads, d] with d even, received {} {}", name_of(x.dtype()), x.shape());
  require(frequencies.shape() == Shape{x.last() / 2, 2} && frequencies.dtype() == DType::u32,
          "[rope] frequencies must be u32 [{}, 2] for x {}, received {} {}", x.last() / 2, x.shape(),
          name_of(frequencies.dtype()), frequencies.shape());
  return Array::make(x.shape(), x.dtype(), std::make_shared<Rope>(first, pairing), {x, frequencies});
}

namespace {

const Registration rope_registered{
    "rope", "pairs of a head turned by position x frequency", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      const auto shapes = size == SampleSize::bench ? std::vector<Shape>{{1, 32, 128}, {512, 32, 128}}
                                                    : std::vector<Shape>{{1, 1, 2}, {5, 3, 16}, {2, 7, 48}, {3, 2, 6}};
      for (const auto& s : shapes)
        for (const auto dtype : {DType::f32, DType::f16})
          for (const auto pairing : {RopePairing::half_split, RopePairing::interleaved}) {
            const auto first = static_cast<std::uint32_t>(random.integer(0, 100000));
            samples.push_back({fmt::format("{} {} {} at {}", name_of(dtype), s,
                                           pairing == RopePairing::interleaved ? "interleaved" : "half split", first),
                               [=, x = random.normal(s, dtype), f = plain_rope_frequencies(s[2])](Fusion) {
                                 return rope(x, f, Dynamic(first), pairing);
                               }});
          }
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
