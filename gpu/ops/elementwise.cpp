#include "gpu/ops/elementwise.h"

#include <cmath>

#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/primitive.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

const Kernel unary_kernel{.name = "elementwise",
                          .inputs = {"a"},
                          .outputs = {"y"},
                          .params = {param<std::uint32_t>("count"), param<float>("c")},
                          .body = shader_source("elementwise.comp")};
const Kernel binary_kernel{.name = "binary",
                           .inputs = {"a", "b"},
                           .outputs = {"y"},
                           .params = {param<std::uint32_t>("rows")},
                           .body = shader_source("binary.comp")};
const Kernel mean_kernel{.name = "mean",
                         .inputs = {"x"},
                         .outputs = {"y"},
                         .params = {param<std::uint32_t>("rows")},
                         .body = shader_source("mean.comp")};

double silu64(double x) { return x / (1 + std::exp(-x)); }

/// In the order of UNARY in the shader.
enum class Unary : int { square, rsqrt, silu, soft_cap, scale };
constexpr std::string_view unary_names[] = {"square", "rsqrt", "silu", "soft_cap", "scale"};
constexpr double unary_flops[] = {1, 3, 20, 25, 1};

struct UnaryOp final : Primitive {
  UnaryOp(Unary kind_of, float constant) : kind(kind_of), c(constant) {}
  Unary kind;
  float c;

  std::string_view name() const override { return unary_names[static_cast<int>(kind)]; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.map_size();
    Kernel kernel = unary_kernel;
    kernel.name = name();
    encoder.dispatch(kernel, {in[0]}, {out[0]}, {static_cast<std::uint32_t>(out[0].size()), c},
                     encoder.flat_invocations((out[0].size() + 3) / 4, size),
                     {.local_size = size, .constants = {{"UNARY", static_cast<int>(kind)}}});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    for (std::size_t i = 0; i < in[0].values.size(); ++i) {
      const double x = in[0].values[i];
      switch (kind) {
        case Unary::square:
          out[0].values[i] = x * x;
          break;
        case Unary::rsqrt:
          out[0].values[i] = 1 / std::sqrt(x + c);
          break;
        case Unary::silu:
          out[0].values[i] = silu64(x);
          break;
        case Unary::soft_cap:
          out[0].values[i] = c * std::tanh(x / c);
          break;
        case Unary::scale:
          out[0].values[i] = x * c;
          break;
      }
    }
  }
  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes()),
            .flops = unary_flops[static_cast<int>(kind)] * static_cast<double>(out[0].size())};
  }
};

/// In the order of BINARY in the shader.
enum class Binary : int { add, mul, silu_mul };
constexpr std::string_view binary_names[] = {"add", "mul", "silu_mul"};
enum class Broadcast : int { none, one_row, one_value_a_row };

struct BinaryOp final : Primitive {
  BinaryOp(Binary kind_of, Broadcast b) : kind(kind_of), broadcast(b) {}
  Binary kind;
  Broadcast broadcast;

  std::string_view name() const override { return binary_names[static_cast<int>(kind)]; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto rows = out[0].rows();
    const auto size = encoder.map_size();
    Kernel kernel = binary_kernel;
    kernel.name = name();
    encoder.dispatch(kernel, {in[0], in[1]}, {out[0]}, {static_cast<std::uint32_t>(rows)},
                     encoder.flat_invocations(rows * ((out[0].last() + 3) / 4), size),
                     {.local_size = size,
                      .constants = {{"BINARY", static_cast<int>(kind)}, {"BROADCAST", static_cast<int>(broadcast)}}});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    const std::size_t n = in[0].last();
    for (std::size_t i = 0; i < in[0].values.size(); ++i) {
      const double a = in[0].values[i];
      const double b = in[1].values[broadcast == Broadcast::none ? i : broadcast == Broadcast::one_row ? i % n : i / n];
      out[0].values[i] = kind == Binary::add ? a + b : kind == Binary::mul ? a * b : silu64(a) * b;
    }
  }
  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + in[1].nbytes() + out[0].nbytes()),
            .flops = (kind == Binary::silu_mul ? 21.0 : 1.0) * static_cast<double>(out[0].size())};
  }
};

struct Mean final : Primitive {
  std::string_view name() const override { return "mean"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    encoder.dispatch(mean_kernel, {in[0]}, {out[0]}, {static_cast<std::uint32_t>(in[0].rows())},
                     encoder.flat_groups(in[0].rows()), {.local_size = encoder.reduce_size(in[0].last())});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    out[0].flat() = in[0].matrix().rowwise().mean().array();
  }
  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes()), .flops = static_cast<double>(in[0].size())};
  }
};

Array unary(Unary kind, const Array& x, float c = 0) {
  require(is_float(x.dtype()) && x.size() > 0, "[{}] takes a float array with elements, received {} {}",
          unary_names[static_cast<int>(kind)], name_of(x.dtype()), x.shape());
  return Array::make(x.shape(), x.dtype(), std::make_shared<UnaryOp>(kind, c), {x});
}

Array binary(Binary kind, const Array& a, const Array& b) {
  const auto name = binary_names[static_cast<int>(kind)];
  require(is_float(a.dtype()) && is_float(b.dtype()) && a.size() > 0,
          "[{}] takes float arrays with elements, received {} {} and {} {}", name, name_of(a.dtype()), a.shape(),
          name_of(b.dtype()), b.shape());
  Broadcast broadcast = Broadcast::none;
  if (a.shape() != b.shape()) {
    require(kind != Binary::silu_mul, "[{}] shapes must agree, received {} and {}", name, a.shape(), b.shape());
    if (b.size() == a.last() && b.last() == a.last())
      broadcast = Broadcast::one_row;
    else if (b.last() == 1 && b.size() == a.rows())
      broadcast = Broadcast::one_value_a_row;
    else
      fail("[{}] {} does not broadcast to {}: expected the same shape, one row of {} or one value a row", name,
           b.shape(), a.shape(), a.last());
  }
  return Array::make(a.shape(), a.dtype(), std::make_shared<BinaryOp>(kind, broadcast), {a, b});
}

}  // namespace

Array add(const Array& a, const Array& b) { return binary(Binary::add, a, b); }
Array mul(const Array& a, const Array& b) { return binary(Binary::mul, a, b); }
Array silu_mul(const Array& gate, const Array& up) { return binary(Binary::silu_mul, gate, up); }
Array silu(const Array& x) { return unary(Unary::silu, x); }
Array square(const Array& x) { return unary(Unary::square, x); }
Array rsqrt(const Array& x, float c) { return unary(Unary::rsqrt, x, c); }
Array scale(const Array& x, float factor) { return unary(Unary::scale, x, factor); }

Array soft_cap(const Array& x, float cap) {
  require(cap > 0 && std::isfinite(cap), "[soft_cap] cap must be positive and finite, received {}", cap);
  return unary(Unary::soft_cap, x, cap);
}

Array mean(const Array& x) {
  require(is_float(x.dtype()) && x.ndim() >= 1 && x.size() > 0,
          "[mean] takes a float array with elements and at least one axis, received {} {}", name_of(x.dtype()),
          x.shape());
  Shape shape = x.shape();
  shape.back() = 1;
  return Array::make(std::move(shape), DType::f32, std::make_shared<Mean>(), {x});
}

namespace {

std::vector<Shape> sample_shapes(SampleSize size) {
  return size == SampleSize::bench ? std::vector<Shape>{{1, 4096}, {512, 4096}}
                                   : std::vector<Shape>{{1, 1}, {3, 7}, {5, 64}, {2, 3, 130}};
}

auto samples_of(std::function<Array(Random&, Shape, DType)> make) {
  return [make](Random& random, SampleSize size) {
    std::vector<Sample> samples;
    for (const auto& shape : sample_shapes(size))
      for (const auto dtype : {DType::f32, DType::f16})
        samples.push_back(
            {fmt::format("{} {}", name_of(dtype), shape), [=, &random](Fusion) { return make(random, shape, dtype); }});
    return samples;
  };
}

const Registration add_registered{
    "add", "a + b", samples_of([](Random& r, Shape s, DType d) { return add(r.normal(s, d), r.normal(s, d)); })};
const Registration mul_registered{
    "mul", "a b", samples_of([](Random& r, Shape s, DType d) { return mul(r.normal(s, d), r.normal({s.back()}, d)); })};
const Registration silu_mul_registered{"silu_mul", "silu(a) b", samples_of([](Random& r, Shape s, DType d) {
                                         return silu_mul(r.normal(s, d, 3), r.normal(s, d));
                                       })};
const Registration silu_registered{"silu", "x / (1 + exp(-x))",
                                   samples_of([](Random& r, Shape s, DType d) { return silu(r.normal(s, d, 3)); })};
const Registration square_registered{"square", "x^2",
                                     samples_of([](Random& r, Shape s, DType d) { return square(r.normal(s, d)); })};
const Registration rsqrt_registered{"rsqrt", "1 / sqrt(x + c)", samples_of([](Random& r, Shape s, DType d) {
                                      return rsqrt(r.uniform(s, 0, 4, d), 1e-5f);
                                    })};
const Registration scale_registered{
    "scale", "c x", samples_of([](Random& r, Shape s, DType d) { return scale(r.normal(s, d), 0.7f); })};
const Registration soft_cap_registered{"soft_cap", "c tanh(x / c)", samples_of([](Random& r, Shape s, DType d) {
                                         return soft_cap(r.normal(s, d, 10), 15.0f);
                                       })};
const Registration mean_registered{"mean", "mean over the last axis",
                                   samples_of([](Random& r, Shape s, DType d) { return mean(r.uniform(s, 0, 1, d)); })};

}  // namespace
}  // namespace glassbox::gpu
