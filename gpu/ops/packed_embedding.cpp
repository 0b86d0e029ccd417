#include "gpu/device.h"
#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/ops/packed_matmul.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {
namespace {

const Kernel packed_embedding_kernel{
    .name = "packed_embedding",
    .inputs = {"ids", "w"},
    .outputs = {"y"},
    .params = {param<std::uint32_t>("tokens"), param<std::uint32_t>("first"), param<std::uint32_t>("rows"),
               param<std::uint32_t>("tiles"), param<std::uint32_t>("blocks"), param<std::uint32_t>("texels"),
               param<std::uint32_t>("last_texels")},
    .body = shader_source("packed_embedding.comp")};

struct PackedEmbedding final : Primitive {
  explicit PackedEmbedding(const PackedMatrix& matrix) {
    for (const auto& panel : matrix.panels) panels.emplace_back(panel.layout, panel.first_row);
  }
  std::vector<std::pair<PackedLayout, std::size_t>> panels;

  std::string_view name() const override { return "packed_embedding"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const auto size = encoder.device().features().software ? 8u : 32u;
    for (std::size_t i = 0; i < panels.size(); ++i) {
      const auto& [layout, first] = panels[i];
      encoder.dispatch(packed_embedding_kernel, {in[0], in[1 + i]}, {out[0]},
                       {u32(in[0].size()), u32(first), u32(layout.rows), u32(layout.tiles()), u32(layout.blocks()),
                        u32(layout.texel_rows(8) * 8), u32(layout.texel_rows(layout.blocks() % 8) * 8)},
                       encoder.flat_invocations(in[0].size() * layout.blocks(), size),
                       {.local_size = size, .constants = {{"FORMAT", static_cast<int>(layout.format)}}});
    }
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    for (std::size_t t = 0; t < in[0].values.size(); ++t)
      for (std::size_t i = 0; i < panels.size(); ++i) {
        const auto& [layout, first] = panels[i];
        const auto id = static_cast<std::size_t>(in[0].values[t]);
        if (id < first || id - first >= layout.rows) continue;
        unpack_row(layout, in[1 + i].values, id - first,
                   std::span(out[0].values).subspan(t * layout.columns, layout.columns));
      }
  }
  Cost cost(Inputs in, Outputs out) const override {
    double row = 0;
    for (const auto& [layout, first] : panels) row = static_cast<double>(layout.texels()) * 16.0 / double(layout.rows);
    return {.bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes()) + row * static_cast<double>(in[0].size())};
  }
  Tolerance tolerance(Inputs, Outputs) const override { return {.nmse = 1e-14}; }  // d q - m is rounded
};

}  // namespace

Array packed_embedding(const Array& ids, const PackedMatrix& table) {
  require(ids.ndim() == 1 && ids.dtype() == DType::u32 && ids.size() > 0,
          "[packed_embedding] ids must be u32 [T], received {} {}", name_of(ids.dtype()), ids.shape());
  std::vector<Array> inputs{ids};
  for (const auto& panel : table.panels) inputs.push_back(panel.words);
  return Array::make({ids.size(), table.columns}, DType::f32, std::make_shared<PackedEmbedding>(table),
                     std::move(inputs));
}

}  // namespace glassbox::gpu
