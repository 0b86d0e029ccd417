#include "gpu/ops/top_k.h"

#include <algorithm>
#include <numeric>

#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/primitive.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

const Kernel argmax_kernel{.name = "argmax",
                           .inputs = {"x"},
                           .outputs = {"y"},
                           .params = {param<std::uint32_t>("rows")},
                           .body = shader_source("argmax.comp")};
const Kernel top_k_kernel{.name = "top_k",
                          .inputs = {"x"},
                          .outputs = {"values", "indices"},
                          .params = {param<std::uint32_t>("rows"), param<std::uint32_t>("k"),
                                     param<std::uint32_t>("begin"), param<std::uint32_t>("end")},
                          .body = shader_source("top_k.comp")};

/// llvmpipe ends the loops of an invocation, silently, after 65535 iterations of them all.
constexpr std::size_t most_iterations = 32768;

/// Long rows take more invocations: any row below 2^24 is then within most_iterations.
unsigned group_size(const CommandEncoder& encoder, std::size_t length) {
  return std::max(encoder.reduce_size(length), length > (1u << 18) ? 128u : 1u);
}

struct ArgMax final : Primitive {
  std::string_view name() const override { return "argmax"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    encoder.dispatch(argmax_kernel, {in[0]}, {out[0]}, {static_cast<std::uint32_t>(in[0].rows())},
                     encoder.flat_groups(in[0].rows()), {.local_size = group_size(encoder, in[0].last())});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    for (std::size_t row = 0; row < in[0].rows(); ++row) {
      const auto begin = in[0].values.begin() + std::ptrdiff_t(row * in[0].last());
      out[0].values[row] = static_cast<double>(std::max_element(begin, begin + std::ptrdiff_t(in[0].last())) - begin);
    }
  }
};

struct TopK final : Primitive {
  explicit TopK(std::size_t count) : k(count) {}
  std::size_t k;

  std::string_view name() const override { return "top_k"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = group_size(encoder, in[0].last());
    const std::size_t passes = std::max<std::size_t>(most_iterations / (in[0].last() / 4 / size + 1), 1);
    for (std::size_t begin = 0; begin < k; begin += passes)
      encoder.dispatch(top_k_kernel, {in[0]}, {out[0], out[1]},
                       {u32(in[0].rows()), u32(k), u32(begin), u32(std::min(begin + passes, k))},
                       encoder.flat_groups(in[0].rows()), {.local_size = size});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    std::vector<std::size_t> order(in[0].last());
    for (std::size_t row = 0; row < in[0].rows(); ++row) {
      const double* x = in[0].values.data() + row * in[0].last();
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] > x[b]; });
      for (std::size_t i = 0; i < k; ++i) {
        out[0].values[row * k + i] = x[order[i]];
        out[1].values[row * k + i] = static_cast<double>(order[i]);
      }
    }
  }
  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes() + out[1].nbytes()),
            .flops = static_cast<double>(k * in[0].size())};
  }
  Tolerance tolerance(Inputs, Outputs) const override { return {.nmse = 0}; }
};

void check_rows(std::string_view op, const Array& x) {
  require(x.ndim() >= 1 && is_float(x.dtype()) && x.size() > 0 && x.last() < (1u << 24),
          "[{}] takes a float array with rows of 1 to 2^24 - 1 elements, received {} {}", op, name_of(x.dtype()),
          x.shape());
}

}  // namespace

Array argmax(const Array& x) {
  check_rows("argmax", x);
  return Array::make({x.shape().begin(), x.shape().end() - 1}, DType::u32, std::make_shared<ArgMax>(), {x});
}

std::pair<Array, Array> top_k(const Array& x, std::size_t k) {
  check_rows("top_k", x);
  require(k >= 1 && k <= x.last(), "[top_k] k must be 1 to {} for x {}, received {}", x.last(), x.shape(), k);
  Shape shape = x.shape();
  shape.back() = k;
  auto both = Array::make_all({{shape, DType::f32}, {shape, DType::u32}}, std::make_shared<TopK>(k), {x});
  return {both[0], both[1]};
}

namespace {

std::vector<Shape> sample_rows(SampleSize size) {
  return size == SampleSize::bench ? std::vector<Shape>{{1, 32000}}
                                   : std::vector<Shape>{{1, 1}, {3, 7}, {2, 5, 64}, {2, 5003}};
}

const Registration argmax_registered{
    "argmax", "index of the largest", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      for (const auto& s : sample_rows(size))
        for (const auto dtype : {DType::f32, DType::f16})
          samples.push_back({fmt::format("{} {}", name_of(dtype), s),
                             [=, x = random.normal(s, dtype)](Fusion) { return argmax(x); }});
      return samples;
    }};

const Registration top_k_registered{
    "top_k", "the k largest, in order", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      for (const auto& s : sample_rows(size))
        for (const auto dtype : {DType::f32, DType::f16}) {
          const std::size_t k = size == SampleSize::bench ? 40 : random.integer(1, std::min<std::size_t>(s.back(), 40));
          samples.push_back({fmt::format("{} {} k {}", name_of(dtype), s, k),
                             [=, x = random.normal(s, dtype)](Fusion) { return top_k(x, k).first; }});
        }
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
