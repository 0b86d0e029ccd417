#include "gpu/ops/rms_norm.h"

#include <cmath>

#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/ops/elementwise.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

const Kernel plain{.name = "rms_norm",
                   .inputs = {"x", "weight"},
                   .outputs = {"y"},
                   .params = {param<std::uint32_t>("rows"), param<float>("eps")},
                   .body = shader_source("rms_norm.comp")};
const Kernel with_residual{.name = "rms_norm_residual",
                           .inputs = {"x", "residual", "weight"},
                           .outputs = {"h", "y"},
                           .params = {param<std::uint32_t>("rows"), param<float>("eps")},
                           .body = shader_source("rms_norm_residual.comp")};

void normalise(const Tensor64::Matrix& x, const Tensor64& weight, double eps, Tensor64& out) {
  const Eigen::ArrayXd scale = (x.array().square().rowwise().mean() + eps).rsqrt();
  out.matrix() = (x.array().colwise() * scale).rowwise() * weight.flat().transpose();
}

struct RmsNorm final : Primitive {
  explicit RmsNorm(float epsilon) : eps(epsilon) {}
  float eps;

  std::string_view name() const override { return "rms_norm"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    encoder.dispatch(plain, {in[0], in[1]}, {out[0]}, {static_cast<std::uint32_t>(in[0].rows()), eps},
                     encoder.flat_groups(in[0].rows()), {.local_size = encoder.reduce_size(in[0].last())});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override { normalise(in[0].matrix(), in[1], eps, out[0]); }
  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + in[1].nbytes() + out[0].nbytes()),
            .flops = 4.0 * static_cast<double>(in[0].size())};
  }
};

struct RmsNormResidual final : Primitive {
  explicit RmsNormResidual(float epsilon) : eps(epsilon) {}
  float eps;

  std::string_view name() const override { return "rms_norm_residual"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    encoder.dispatch(with_residual, {in[0], in[1], in[2]}, {out[0], out[1]},
                     {static_cast<std::uint32_t>(in[0].rows()), eps}, encoder.flat_groups(in[0].rows()),
                     {.local_size = encoder.reduce_size(in[0].last())});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    out[0].matrix() = in[0].matrix() + in[1].matrix();
    normalise(out[0].matrix(), in[2], eps, out[1]);
  }
  Cost cost(Inputs in, Outputs) const override {
    return {.bytes = 4.0 * static_cast<double>(in[0].nbytes()) + static_cast<double>(in[2].nbytes()),
            .flops = 5.0 * static_cast<double>(in[0].size())};
  }
};

void check_norm(std::string_view op, const Array& x, const Array& weight, float eps) {
  require(x.ndim() >= 1 && x.size() > 0 && is_float(x.dtype()),
          "[{}] x must be a float array with elements and at least one axis, received {} {}", op, name_of(x.dtype()),
          x.shape());
  require(weight.shape() == Shape{x.last()} && is_float(weight.dtype()),
          "[{}] weight must be [{}] to match the last axis of x {}, received {} {}", op, x.last(), x.shape(),
          name_of(weight.dtype()), weight.shape());
  require(eps >= 0 && std::isfinite(eps), "[{}] eps must be finite and not negative, received {}", op, eps);
}

}  // namespace

Array rms_norm(const Array& x, const Array& weight, float eps, Fusion fusion) {
  check_norm("rms_norm", x, weight, eps);
  if (fusion == Fusion::off) return mul(mul(x, rsqrt(mean(square(x)), eps)), weight);
  return Array::make(x.shape(), x.dtype(), std::make_shared<RmsNorm>(eps), {x, weight});
}

std::pair<Array, Array> rms_norm_residual(const Array& x, const Array& residual, const Array& weight, float eps,
                                          Fusion fusion) {
  check_norm("rms_norm_residual", x, weight, eps);
  require(residual.shape() == x.shape() && is_float(residual.dtype()),
          "[rms_norm_residual] residual must be {} as x, received {} {}", x.shape(), name_of(residual.dtype()),
          residual.shape());
  if (fusion == Fusion::off) {
    const auto h = add(x, residual);
    return {h, rms_norm(h, weight, eps, fusion)};
  }
  auto both = Array::make_all({{x.shape(), x.dtype()}, {x.shape(), x.dtype()}}, std::make_shared<RmsNormResidual>(eps),
                              {x, residual, weight});
  return {both[0], both[1]};
}

namespace {

std::vector<Sample> norm_samples(Random& random, SampleSize size, bool residual) {
  std::vector<Sample> list;
  const auto shapes = size == SampleSize::bench ? std::vector<Shape>{{1, 4096}, {512, 4096}}
                                                : std::vector<Shape>{{1, 1}, {3, 7}, {1, 64}, {2, 5, 130}, {4, 4096}};
  for (const auto& shape : shapes)
    for (const auto dtype : {DType::f32, DType::f16}) {
      const auto x = random.normal(shape, dtype), r = random.normal(shape, dtype),
                 w = random.normal({shape.back()}, dtype);
      list.push_back({fmt::format("{} {}", name_of(dtype), shape),
                      [=](Fusion fusion) {
                        return residual ? rms_norm_residual(x, r, w, 1e-5f, fusion).second
                                        : rms_norm(x, w, 1e-5f, fusion);
                      },
                      true});
    }
  return list;
}

const Registration rms_norm_registered{"rms_norm", "x / sqrt(mean(x^2) + eps) w",
                                       [](Random& r, SampleSize s) { return norm_samples(r, s, false); }};
const Registration rms_norm_residual_registered{"rms_norm_residual", "h = x + r; rms_norm(h)",
                                                [](Random& r, SampleSize s) { return norm_samples(r, s, true); }};

}  // namespace
}  // namespace glassbox::gpu
