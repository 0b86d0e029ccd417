#include "gpu/ops/copy.h"

#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {
namespace {

constexpr std::size_t max_axes = 6;

const Kernel dense{.name = "copy",
                   .inputs = {"x"},
                   .outputs = {"y"},
                   .params = {param<std::uint32_t>("count")},
                   .body = shader_source("copy.comp")};

Kernel strided_kernel() {
  Kernel kernel{.name = "copy_strided",
                .inputs = {"x"},
                .outputs = {"y"},
                .params = {param<std::uint32_t>("count"), param<std::uint32_t>("first")},
                .body = shader_source("copy_strided.comp")};
  for (std::size_t axis = 0; axis < max_axes; ++axis)
    kernel.params.push_back(param<std::uint32_t>(fmt::format("length{}", axis)));
  for (std::size_t axis = 0; axis < max_axes; ++axis)
    kernel.params.push_back(param<std::uint32_t>(fmt::format("stride{}", axis)));
  return kernel;
}
const Kernel strided = strided_kernel();

struct Copy final : Primitive {
  std::string_view name() const override { return "copy"; }
  bool accepts_strided() const override { return true; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override { encode_copy(encoder, in[0], out[0]); }
  void eval_cpu(Reference in, ReferenceOut out) const override { out[0].values = in[0].values; }
  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes())};
  }
  Tolerance tolerance(Inputs in, Outputs out) const override {
    return {.nmse = in[0].dtype() == out[0].dtype() ? 0 : storage_nmse(out[0].dtype(), 0)};
  }
};

}  // namespace

void encode_copy(CommandEncoder& encoder, const Array& x, const Array& y) {
  const auto count = static_cast<std::uint32_t>(y.size());
  if (count == 0) return;
  const auto size = encoder.map_size();
  const auto grid = encoder.flat_invocations((y.size() + 3) / 4, size);
  if (x.contiguous()) {
    encoder.dispatch(dense, {x.reshape({x.size()})}, {y.reshape({y.size()})}, {count}, grid, {.local_size = size});
    return;
  }
  std::vector<ParamValue> params{count, static_cast<std::uint32_t>(x.offset())};
  for (std::size_t axis = 0; axis < max_axes; ++axis)
    params.emplace_back(axis < max_axes - x.ndim() ? 1u
                                                   : static_cast<std::uint32_t>(x.shape()[axis + x.ndim() - max_axes]));
  for (std::size_t axis = 0; axis < max_axes; ++axis)
    params.emplace_back(
        axis < max_axes - x.ndim() ? 0u : static_cast<std::uint32_t>(x.strides()[axis + x.ndim() - max_axes]));
  encoder.dispatch(strided, {x.base()}, {y.reshape({y.size()})}, params, grid, {.local_size = size});
}

Array copy(const Array& x) {
  require(x.ndim() <= max_axes, "[copy] at most {} axes, received {}", max_axes, x.shape());
  return Array::make(x.shape(), x.dtype(), std::make_shared<Copy>(), {x});
}

Array cast(const Array& x, DType dtype) {
  if (dtype == x.dtype()) return x;
  require(is_float(dtype) && is_float(x.dtype()), "[cast] between float dtypes alone, received {} to {}",
          name_of(x.dtype()), name_of(dtype));
  require(x.ndim() <= max_axes, "[cast] at most {} axes, received {}", max_axes, x.shape());
  return Array::make(x.shape(), dtype, std::make_shared<Copy>(), {x});
}

}  // namespace glassbox::gpu
