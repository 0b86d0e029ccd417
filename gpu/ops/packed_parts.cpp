#include <cmath>

#include "gpu/device.h"
#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/ops/packed_matmul.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {
namespace {

Kernel sum_kernel(bool residual) {
  Kernel kernel{.name = "sum_parts",
                .inputs = {"x"},
                .outputs = {"y"},
                .params = {param<std::uint32_t>("parts"), param<std::uint32_t>("steps")},
                .body = shader_source("sum_parts.comp")};
  if (residual) kernel.inputs.push_back("residual");
  return kernel;
}

/// Sums over the first axis, and what is done with them.
struct SumParts final : Primitive {
  explicit SumParts(bool silu) : gated(silu) {}
  bool gated;

  std::string_view name() const override { return gated ? "gated_silu" : "sum_parts"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.device().features().software ? 8u : encoder.map_size();
    const bool residual = in.size() > 1;
    const std::size_t parts = in[0].shape()[0], width = in[0].last(), rows = out[0].rows(),
                      steps = rows * ((out[0].last() + 3) / 4);
    std::vector<Array> inputs{in[0].reshape({parts * rows, width})};
    if (residual) inputs.push_back(in[1]);
    encoder.dispatch(
        sum_kernel(residual), inputs, {out[0]}, {static_cast<std::uint32_t>(parts), static_cast<std::uint32_t>(steps)},
        encoder.flat_invocations(steps, size),
        {.local_size = size, .constants = {{"RESIDUAL", residual}, {"GATED", gated}, {"ONE_ROW", rows == 1}}});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    const std::size_t parts = in[0].shape[0];
    const auto rows = Eigen::Index(out[0].rows()), width = Eigen::Index(in[0].last());
    Tensor64::Matrix sum = Tensor64::Matrix::Zero(rows, width);
    for (std::size_t p = 0; p < parts; ++p) sum += in[0].matrix().middleRows(Eigen::Index(p) * rows, rows);
    if (in.size() > 1) sum += in[1].matrix();
    if (!gated) {
      out[0].matrix() = sum;
      return;
    }
    for (Eigen::Index row = 0; row < rows; ++row)
      for (Eigen::Index n = 0; n < out[0].matrix().cols(); ++n) {
        const double gate = sum(row, n / 8 * 16 + n % 8), partner = sum(row, n / 8 * 16 + 8 + n % 8);
        out[0].matrix()(row, n) = gate / (1 + std::exp(-gate)) * partner;
      }
  }
};

void check_parts(std::string_view op, const Array& parts) {
  require(parts.ndim() >= 2 && parts.dtype() == DType::f32 && parts.size() > 0,
          "[{}] takes float32 [P, ..], received {} {}", op, name_of(parts.dtype()), parts.shape());
}

}  // namespace

Array sum_parts(const Array& parts, const Array& residual) {
  check_parts("sum_parts", parts);
  Shape shape(parts.shape().begin() + 1, parts.shape().end());
  if (!residual) {
    if (parts.shape()[0] == 1) return parts.reshape(std::move(shape));
    return Array::make(std::move(shape), DType::f32, std::make_shared<SumParts>(false), {parts});
  }
  require(residual.shape() == shape && residual.dtype() == DType::f32,
          "[sum_parts] the residual must be float32 {}, received {} {}", shape, name_of(residual.dtype()),
          residual.shape());
  return Array::make(std::move(shape), DType::f32, std::make_shared<SumParts>(false), {parts, residual});
}

Array gated_silu(const Array& parts, std::size_t width) {
  check_parts("gated_silu", parts);
  require(width > 0 && parts.last() == (width + 7) / 8 * 16,
          "[gated_silu] {} columns in eights beside their partners are {}, received {}", width, (width + 7) / 8 * 16,
          parts.shape());
  Shape shape(parts.shape().begin() + 1, parts.shape().end());
  shape.back() = width;
  return Array::make(std::move(shape), DType::f32, std::make_shared<SumParts>(true), {parts});
}

}  // namespace glassbox::gpu
