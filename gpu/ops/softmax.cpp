#include "gpu/ops/softmax.h"

#include <cmath>
#include <limits>

#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/primitive.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

const Kernel softmax_kernel{.name = "softmax",
                            .inputs = {"x"},
                            .outputs = {"y"},
                            .params = {param<std::uint32_t>("rows")},
                            .body = shader_source("softmax.comp")};
const Kernel mask_kernel{
    .name = "causal_mask",
    .inputs = {"x"},
    .outputs = {"y"},
    .params = {param<std::uint32_t>("rows"), param<std::uint32_t>("tokens"), param<std::uint32_t>("first")},
    .body = shader_source("causal_mask.comp")};

struct Softmax final : Primitive {
  std::string_view name() const override { return "softmax"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    encoder.dispatch(softmax_kernel, {in[0]}, {out[0]}, {static_cast<std::uint32_t>(in[0].rows())},
                     encoder.flat_groups(in[0].rows()), {.local_size = encoder.reduce_size(in[0].last())});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    for (Eigen::Index row = 0; row < in[0].matrix().rows(); ++row) {
      const auto x = in[0].matrix().row(row).array();
      out[0].matrix().row(row).array() = (x - x.maxCoeff()).exp();
      out[0].matrix().row(row) /= out[0].matrix().row(row).sum();
    }
  }
  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes()),
            .flops = 25.0 * static_cast<double>(in[0].size())};
  }
};

struct CausalMask final : Primitive {
  explicit CausalMask(Dynamic position) : first(std::move(position)) {}
  Dynamic first;

  std::string_view name() const override { return "causal_mask"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.map_size();
    encoder.dispatch(mask_kernel, {in[0]}, {out[0]},
                     {static_cast<std::uint32_t>(in[0].rows()), static_cast<std::uint32_t>(in[0].shape()[1]), first},
                     encoder.flat_invocations(in[0].rows() * ((in[0].last() + 3) / 4), size), {.local_size = size});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    const std::size_t n = in[0].last(), tokens = in[0].shape[1];
    for (std::size_t i = 0; i < in[0].values.size(); ++i) {
      const bool seen = i % n <= first.value() + i / n % tokens;
      out[0].values[i] = seen ? in[0].values[i] : -std::numeric_limits<double>::infinity();
    }
  }
  Tolerance tolerance(Inputs, Outputs) const override { return {.nmse = 0}; }
};

}  // namespace

Array softmax(const Array& x) {
  require(x.ndim() >= 1 && is_float(x.dtype()) && x.size() > 0,
          "[softmax] takes a float array with elements and at least one axis, received {} {}", name_of(x.dtype()),
          x.shape());
  return Array::make(x.shape(), x.dtype(), std::make_shared<Softmax>(), {x});
}

Array causal_mask(const Array& x, const Dynamic& first) {
  require(x.ndim() == 3 && is_float(x.dtype()) && x.size() > 0,
          "[causal_mask] x must be float [heads, T, n], received {} {}", name_of(x.dtype()), x.shape());
  return Array::make(x.shape(), x.dtype(), std::make_shared<CausalMask>(first), {x});
}

namespace {

const Registration softmax_registered{
    "softmax", "exp(x - max x) / sum", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      const auto shapes = size == SampleSize::bench ? std::vector<Shape>{{32, 1024}, {1, 32000}}
                                                    : std::vector<Shape>{{1, 1}, {3, 7}, {2, 5, 64}, {4, 1001}};
      for (const auto& s : shapes)
        for (const auto dtype : {DType::f32, DType::f16})
          samples.push_back({fmt::format("{} {}", name_of(dtype), s),
                             [=, x = random.normal(s, dtype, 4)](Fusion) { return softmax(x); }});
      return samples;
    }};

const Registration causal_mask_registered{
    "causal_mask", "-inf where key > position", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      const auto shapes = size == SampleSize::bench ? std::vector<Shape>{{32, 64, 1024}}
                                                    : std::vector<Shape>{{1, 1, 1}, {3, 5, 7}, {2, 4, 64}};
      for (const auto& s : shapes) {
        const auto first = static_cast<std::uint32_t>(random.integer(0, s[2]));
        samples.push_back({fmt::format("f32 {} from {}", s, first),
                           [=, x = random.normal(s)](Fusion) { return causal_mask(x, Dynamic(first)); }});
      }
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
