#include "gpu/ops/embedding.h"

#include "gpu/device.h"
#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/ops/windows.h"
#include "gpu/primitive.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

const Kernel embedding_kernel{
    .name = "embedding",
    .inputs = {"ids", "table"},
    .outputs = {"y"},
    .params = {param<std::uint32_t>("rows"), param<std::uint32_t>("first"), param<std::uint32_t>("count")},
    .body = shader_source("embedding.comp")};

struct Embedding final : Primitive {
  std::string_view name() const override { return "embedding"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.map_size();
    for (const auto& window : row_windows(in[1], encoder.device()))
      encoder.dispatch(embedding_kernel, {in[0], in[1].slice(0, window.first, window.first + window.count)}, {out[0]},
                       {static_cast<std::uint32_t>(in[0].size()), static_cast<std::uint32_t>(window.first),
                        static_cast<std::uint32_t>(window.count)},
                       encoder.flat_invocations(in[0].size() * ((out[0].last() + 3) / 4), size), {.local_size = size});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    for (std::size_t row = 0; row < in[0].values.size(); ++row) {
      const auto id = static_cast<std::size_t>(in[0].values[row]);
      if (id < in[1].rows()) out[0].matrix().row(Eigen::Index(row)) = in[1].matrix().row(Eigen::Index(id));
    }
  }
  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes() + out[0].size() * size_of(in[1].dtype()))};
  }
  Tolerance tolerance(Inputs, Outputs) const override { return {.nmse = 0}; }
};

}  // namespace

Array embedding(const Array& ids, const Array& table) {
  require(ids.ndim() == 1 && ids.dtype() == DType::u32 && ids.size() > 0,
          "[embedding] ids must be u32 [T], received {} {}", name_of(ids.dtype()), ids.shape());
  require(table.ndim() == 2 && is_float(table.dtype()) && table.size() > 0,
          "[embedding] table must be a float matrix, received {} {}", name_of(table.dtype()), table.shape());
  return Array::make({ids.size(), table.last()}, DType::f32, std::make_shared<Embedding>(), {ids, table});
}

namespace {

const Registration embedding_registered{
    "embedding", "table[ids]", [](Random& random, SampleSize size) {
      std::vector<Sample> samples;
      const auto shapes = size == SampleSize::bench
                              ? std::vector<Shape>{{512, 32000, 2048}}
                              : std::vector<Shape>{{1, 1, 1}, {5, 33, 7}, {3, 512, 64}, {65, 100, 130}};
      for (const auto& s : shapes)
        for (const auto dtype : {DType::f32, DType::f16, DType::bf16})
          samples.push_back({fmt::format("{} {} of [{}, {}]", name_of(dtype), s[0], s[1], s[2]),
                             [=, ids = random.indices({s[0]}, static_cast<std::uint32_t>(s[1])),
                              table = random.normal({s[1], s[2]}, dtype)](Fusion) { return embedding(ids, table); }});
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
