#include "gpu/ops/matmul.h"

#include <algorithm>
#include <cmath>

#include "gpu/device.h"
#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/ops/windows.h"
#include "gpu/primitive.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

Kernel kernel_named(std::string name, std::vector<SharedArray> shared = {}) {
  auto body = shader_source(name + ".comp");
  return {.name = std::move(name),
          .inputs = {"x", "w"},
          .outputs = {"y"},
          .params = {param<std::uint32_t>("tokens"), param<std::uint32_t>("rows"), param<std::uint32_t>("first"),
                     param<std::uint32_t>("w_stride")},
          .shared = std::move(shared),
          .body = std::move(body)};
}
const Kernel matmul_row = kernel_named("matmul_row");
const Kernel matmul_group = kernel_named("matmul_group");
Kernel matmul_tile(unsigned side) {
  return kernel_named("matmul_tile", {{.name = "x_tile", .type = "vec4", .fixed = 16 * side},
                                      {.name = "w_tile", .type = "vec4", .fixed = 16 * side}});
}

struct Matmul final : Primitive {
  explicit Matmul(std::optional<MatmulVariant> chosen) : variant(chosen) {}
  std::optional<MatmulVariant> variant;

  std::string_view name() const override { return "matmul"; }

  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const Array &x = in[0], &w = in[1];
    const std::size_t n = w.shape()[w.ndim() - 2], k = w.last(), tokens = x.ndim() > 1 ? x.shape()[x.ndim() - 2] : 1;
    const bool batched = w.ndim() > 2;
    const std::size_t batch = batched ? w.rows() / n : 1, t = batched ? tokens : x.rows();
    const Array flat = w.reshape({w.rows(), k});
    // A batch is small (a head's keys): only a single matrix is ever cut.
    for (const auto& window :
         batched ? std::vector<RowWindow>{{0, flat.rows()}} : row_windows(flat, encoder.device())) {
      const std::size_t rows = batched ? n : window.count;
      encode(encoder, x, flat.slice(0, window.first, window.first + window.count), out[0], t, rows,
             batched ? 0 : window.first, batch);
    }
  }

  void eval_cpu(Reference in, ReferenceOut out) const override {
    const auto& w = in[1];
    const std::size_t n = w.shape[w.shape.size() - 2], batch = w.rows() / n;
    const auto x = in[0].matrix();
    const auto each = Eigen::Index(in[0].rows() / batch);
    for (std::size_t b = 0; b < batch; ++b)
      out[0].matrix().middleRows(Eigen::Index(b) * each, each).noalias() =
          x.middleRows(Eigen::Index(b) * each, each) *
          w.matrix().middleRows(Eigen::Index(b * n), Eigen::Index(n)).transpose();
  }

  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + in[1].nbytes() + out[0].nbytes()),
            .flops = 2.0 * static_cast<double>(out[0].size()) * static_cast<double>(in[1].last())};
  }

 private:
  void encode(CommandEncoder& encoder, const Array& x, const Array& w, const Array& y, std::size_t tokens,
              std::size_t rows, std::size_t first, std::size_t batch) const {
    const std::vector<ParamValue> params{u32(tokens), u32(rows), u32(first), batch > 1 ? u32(rows) : 0u};
    const auto [kind, size, each, rows_each] = variant.value_or(matmul_variant(encoder.device(), tokens, w.last()));
    switch (kind) {
      case MatmulVariant::Kernel::row:
        return encoder.dispatch(matmul_row, {x, w}, {y}, params,
                                {u32(divide_up(rows, size)), u32(divide_up(tokens, each)), u32(batch)},
                                {.local_size = size, .constants = {{"TOKENS", static_cast<int>(each)}}});
      case MatmulVariant::Kernel::group:
        return encoder.dispatch(
            matmul_group, {x, w}, {y}, params,
            {u32(divide_up(rows, rows_each)), u32(divide_up(tokens, each)), u32(batch)},
            {.local_size = size,
             .constants = {{"ROWS", static_cast<int>(rows_each)}, {"TOKENS", static_cast<int>(each)}}});
      case MatmulVariant::Kernel::tile: {
        const auto side = static_cast<unsigned>(std::lround(std::sqrt(size)));
        return encoder.dispatch(matmul_tile(side), {x, w}, {y}, params,
                                {u32(divide_up(rows, 4 * side)), u32(divide_up(tokens, 4 * side)), u32(batch)},
                                {.local_size = size, .constants = {{"SIDE", static_cast<int>(side)}}});
      }
    }
  }
};

}  // namespace

MatmulVariant matmul_variant(const Device& device, std::size_t tokens, std::size_t columns) {
  const unsigned most = device.limits().invocations;
  if (device.features()
          .software)  // one vector of the CPU: rows spread over as many workgroups, and so cores, as can be
    return {MatmulVariant::Kernel::row, 8, tokens >= 8 ? 8u : tokens >= 4 ? 4u : tokens >= 2 ? 2u : 1u};
  if (tokens < 16)
    return {MatmulVariant::Kernel::group, std::min(columns >= 2048 ? 64u : 32u, most),
            tokens >= 4   ? 4u
            : tokens >= 2 ? 2u
                          : 1u,
            4};
  return {MatmulVariant::Kernel::tile, most >= 256 ? 256u : 64u};
}

Array matmul(const Array& x, const Array& w, const std::optional<MatmulVariant>& variant) {
  require(is_float(x.dtype()) && is_float(w.dtype()) && x.size() > 0 && w.size() > 0,
          "[matmul] takes float arrays with elements, received {} {} and {} {}", name_of(x.dtype()), x.shape(),
          name_of(w.dtype()), w.shape());
  require(w.ndim() >= 2 && x.ndim() >= 1 && x.last() == w.last(), "[matmul] x {} and w {} must share their last axis",
          x.shape(), w.shape());
  Shape shape = x.shape();
  shape.back() = w.shape()[w.ndim() - 2];
  if (w.ndim() > 2)
    require(x.ndim() == w.ndim() && std::equal(w.shape().begin(), w.shape().end() - 2, x.shape().begin()),
            "[matmul] a batch needs the same leading axes, received {} and {}", x.shape(), w.shape());
  return Array::make(std::move(shape), DType::f32, std::make_shared<Matmul>(variant), {x, w});
}

namespace {

const Registration matmul_registered{
    "matmul", "x w^T", [](Random& random, SampleSize size) {
      struct Case {
        Shape x, w;
      };
      std::vector<Case> cases = {{{1, 1}, {1, 1}},        {{1, 64}, {64, 64}},    {{1, 172}, {65, 172}},
                                 {{3, 7}, {5, 7}},        {{17, 130}, {33, 130}}, {{70, 96}, {67, 96}},
                                 {{2, 5, 20}, {2, 9, 20}}};
      if (size == SampleSize::bench)
        cases = {{{1, 2048}, {2048, 2048}}, {{1, 2048}, {5632, 2048}}, {{64, 2048}, {2048, 2048}}};
      std::vector<Sample> samples;
      for (const auto& [x, w] : cases)
        for (const auto dtype : {DType::f32, DType::f16, DType::bf16})
          samples.push_back({fmt::format("{} {} x {}", name_of(dtype), w, x),
                             [=, a = random.normal(x), b = random.normal(w, dtype)](Fusion) { return matmul(a, b); }});
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
