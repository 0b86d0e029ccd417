#include "gpu/ops/half_projection.h"

#include <algorithm>
#include <cmath>

#include "gpu/device.h"
#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/ops/packed_table.h"

namespace glassbox::gpu {
namespace {

constexpr double largest_half = 65504;

const Kernel row_kernel{.name = "half_row",
                        .inputs = {"x", "norm"},
                        .outputs = {"y", "squares"},
                        .params = {param<std::uint32_t>("eights")},
                        .body = shader_source("half_row.comp")};

/// Rounding a row to float16 costs an NMSE of 2^-22 / 12 each time, a product eight more such errors for each eight of
/// its terms: 2e-7 together, where long rows average it. Short ones are given five times that.
constexpr Tolerance rounded_row{.nmse = 1e-6};
/// silu(gate) up has the errors of both, the gate's magnified where it is most curved.
constexpr Tolerance gated_row{.nmse = 4e-6};

void squares_of_eights(std::span<const double> x, Tensor64& squares) {
  for (std::size_t i = 0; i < squares.values.size(); ++i)
    squares.values[i] = Eigen::Map<const Eigen::ArrayXd>(x.data() + 8 * i, 8).square().sum();
}

/// Inputs: x, norm. Outputs: the row, the squares.
struct HalfRowOf final : Primitive {
  std::string_view name() const override { return "half_row"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const std::size_t eights = in[0].size() / 8;
    const unsigned size = std::min(64u, encoder.map_size());
    encoder.dispatch(row_kernel, {in[0], in[1]}, {out[0], out[1]}, {u32(eights)},
                     encoder.flat_invocations(eights, size), {.local_size = size});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    out[0].flat() = (in[0].flat() * in[1].flat()).max(-largest_half).min(largest_half);
    squares_of_eights(in[0].values, out[1]);
  }
  Tolerance tolerance(Inputs, Outputs) const override { return rounded_row; }
};

/// Inputs: x, the panels, then x's squares, the residual and the next norm where there are. Outputs: y, the next row
/// and its squares, as far as they are wanted.
struct HalfProjection final : Primitive {
  HalfProjection(const PackedMatrix& w, const PackedVariant& how, const AfterHalf& after, bool has_norm)
      : variant(how),
        eps(after.eps),
        norm(has_norm),
        residual(bool(after.residual)),
        keep(after.keep),
        next(after.next || bool(after.next_norm)),
        next_norm(bool(after.next_norm)),
        gated(after.gated) {
    for (const auto& panel : w.panels) panels.emplace_back(panel.layout, panel.first_row);
  }
  PackedVariant variant;
  float eps;
  bool norm, residual, keep, next, next_norm;
  std::size_t gated;
  std::vector<std::pair<PackedLayout, std::size_t>> panels;

  std::string_view name() const override { return "half_projection"; }

  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const unsigned tiles = gated ? std::max(2u, variant.tiles) : variant.tiles;
    Kernel kernel{.name = "half_projection",
                  .inputs = {"x", "w"},
                  .outputs = {},
                  .params = {param<std::uint32_t>("rows"), param<std::uint32_t>("first"), param<float>("eps")},
                  .shared = {{.name = "partial", .per_invocation = tiles + norm}},
                  .body = shader_source("half_projection.comp")};
    if (norm) kernel.inputs.push_back("squares");
    if (residual) kernel.inputs.push_back("residual");
    if (next_norm) kernel.inputs.push_back("next_norm");
    if (keep) kernel.outputs.push_back("y");
    if (next) kernel.outputs.push_back("next");
    if (next_norm) kernel.outputs.push_back("next_squares");
    // Two halves are a word to whoever multiplies them in pairs.
    const auto words = [](const Array& halves) {
      return Array::on(halves.data()->storage, {halves.size() / 2}, DType::u32);
    };
    const bool half_x = in[0].dtype() == DType::f16;
    std::vector<Array> outputs{out.begin(), out.end()};
    if (next) outputs[keep] = words(outputs[keep]);
    for (std::size_t i = 0; i < panels.size(); ++i) {
      const auto& [layout, first] = panels[i];
      std::vector<Array> inputs{half_x ? words(in[0]) : in[0], in[1 + i]};
      inputs.insert(inputs.end(), in.begin() + 1 + std::ptrdiff_t(panels.size()), in.end());
      const std::size_t rows = gated ? std::min(layout.rows / 2, gated - first / 2) : layout.rows;
      encoder.dispatch(kernel, inputs, outputs, {u32(rows), u32(gated ? first / 2 : first), eps},
                       {u32(divide_up(layout.tiles(), tiles))},
                       {.local_size = variant.local_size,
                        .constants = {{"FORMAT", static_cast<int>(layout.format)},
                                      {"TILES", static_cast<int>(tiles)},
                                      {"SLOTS", static_cast<int>(variant.local_size / 8)},
                                      {"BLOCKS", static_cast<int>(layout.blocks())},
                                      {"ALL_TILES", static_cast<int>(layout.tiles())},
                                      {"TEXELS", static_cast<int>(layout.texel_rows(8) * 8)},
                                      {"LAST_TEXELS", static_cast<int>(layout.texel_rows(layout.blocks() % 8) * 8)},
                                      {"HALF_X", half_x},
                                      {"NORM", norm},
                                      {"RESIDUAL", residual},
                                      {"GATED", gated > 0},
                                      {"KEEP", keep},
                                      {"NEXT", next},
                                      {"NEXT_NORM", next_norm}}});
    }
  }

  void eval_cpu(Reference in, ReferenceOut out) const override {
    const auto columns = Eigen::Index(in[0].values.size());
    const Eigen::Map<const Eigen::VectorXd> x(in[0].values.data(), columns);
    std::size_t more = 1 + panels.size();
    const double scale = norm ? 1 / std::sqrt(in[more++].flat().sum() / double(columns) + double(eps)) : 1;
    std::vector<double> y(panels.back().second + panels.back().first.rows), row(static_cast<std::size_t>(columns));
    for (std::size_t i = 0; i < panels.size(); ++i)
      for (std::size_t n = 0; n < panels[i].first.rows; ++n) {
        unpack_row(panels[i].first, in[1 + i].values, n, row);
        y[panels[i].second + n] = scale * x.dot(Eigen::Map<const Eigen::VectorXd>(row.data(), columns));
      }
    if (gated) {
      for (std::size_t n = 0; n < gated; ++n) {
        const double gate = y[n / 8 * 16 + n % 8];
        y[n] = gate / (1 + std::exp(-gate)) * y[n / 8 * 16 + 8 + n % 8];
      }
      y.resize(gated);
    }
    Eigen::Map<Eigen::ArrayXd> all(y.data(), Eigen::Index(y.size()));
    if (residual) all += in[more++].flat();
    std::size_t made = 0;
    if (keep) out[made++].flat() = all;
    if (!next) return;
    Tensor64& next_row = out[made++];
    next_row.flat() = all;
    if (next_norm) {
      next_row.flat() *= in[more].flat();
      squares_of_eights(y, out[made]);
    }
    next_row.flat() = next_row.flat().max(-largest_half).min(largest_half);
  }

  Tolerance tolerance(Inputs, Outputs) const override { return gated ? gated_row : rounded_row; }
  Cost cost(Inputs in, Outputs out) const override {
    double bytes = 0, rows = 0;
    for (const auto& x : in) bytes += static_cast<double>(x.nbytes());
    for (const auto& y : out) bytes += static_cast<double>(y.nbytes());
    for (const auto& [layout, first] : panels) rows += static_cast<double>(layout.rows);
    return {.bytes = bytes, .flops = 2 * rows * static_cast<double>(in[0].size())};
  }
};

}  // namespace

HalfRow half_row(const Array& x, const Array& norm) {
  require(x.dtype() == DType::f32 && x.rows() == 1 && x.last() % 8 == 0,
          "[half_row] x must be float32 [1, K], K a multiple of 8, received {} {}", name_of(x.dtype()), x.shape());
  require(norm.shape() == Shape{x.last()} && is_float(norm.dtype()), "[half_row] norm must be [{}], received {} {}",
          x.last(), name_of(norm.dtype()), norm.shape());
  auto both = Array::make_all({{{1, x.last()}, DType::f16}, {{x.last() / 8}, DType::f32}},
                              std::make_shared<HalfRowOf>(), {x, norm});
  return {both[0], both[1]};
}

PackedVariant half_rule(const Device& device, const PackedLayout& layout) {
  const unsigned most = device.features().software ? 32u : std::min(device.limits().invocations, 512u);
  unsigned size = 32;
  while (size < 8 * layout.blocks() && 2 * size <= most) size *= 2;
  return {.kernel = PackedVariant::Kernel::group,
          .local_size = size,
          .tiles = size == 512 && layout.tiles() >= 512 ? 2u : 1u,
          .activations = Activations::half};
}

bool takes_half(PackedFormat format) { return format == PackedFormat::q4_0 || format == PackedFormat::q8_0; }

bool takes_half(const PackedMatrix& w) {
  return bool(w) && std::all_of(w.panels.begin(), w.panels.end(),
                                [](const auto& panel) { return takes_half(panel.layout.format); });
}

HalfProjected half_projection(const HalfRow& x, const PackedMatrix& w, const AfterHalf& after) {
  require(takes_half(w), "[half_projection] w must be q4_0 or q8_0, received {}", name_of(w.format));
  require((x.x.dtype() == DType::f16 || x.x.dtype() == DType::f32) && x.x.rows() == 1 && x.x.last() == w.columns,
          "[half_projection] x must be float16 or float32 [1, {}], received {} {}", w.columns, name_of(x.x.dtype()),
          x.x.shape());
  require(x.x.dtype() != DType::f16 || (x.x.contiguous() && x.x.offset() == 0),
          "[half_projection] a float16 x must not be a part of another array");
  require(!x.squares || (x.squares.dtype() == DType::f32 && x.squares.size() == w.columns / 8),
          "[half_projection] the squares must be float32 [{}], received {} {}", w.columns / 8,
          name_of(x.squares ? x.squares.dtype() : DType::f32), x.squares ? x.squares.shape() : Shape());
  require(!after.gated || after.gated <= w.rows / 2, "[half_projection] {} gated results need {} rows, w has {}",
          after.gated, 2 * after.gated, w.rows);
  const std::size_t columns = after.gated ? after.gated : w.rows;
  const bool next = after.next || after.next_norm;
  require(after.keep || next, "[half_projection] neither y nor the next row is wanted");
  require(!next || columns % 8 == 0, "[half_projection] a next row must be a multiple of 8 long, it has {}", columns);
  const auto variant =
      after.variant.value_or(packed_variant(Device::current(), w.panels[0].layout, 1, Activations::half));
  require(variant.kernel == PackedVariant::Kernel::group && packed_fits(Device::current().limits(), variant, 1),
          "[half_projection] the variant must be of Kernel::group and fit the device, received {}", describe(variant));
  std::vector<Array> inputs{x.x};
  for (const auto& panel : w.panels) inputs.push_back(panel.words);
  if (x.squares) inputs.push_back(x.squares);
  if (after.residual) {
    require(after.residual.dtype() == DType::f32 && after.residual.size() == columns,
            "[half_projection] the residual must be float32 [1, {}], received {} {}", columns,
            name_of(after.residual.dtype()), after.residual.shape());
    inputs.push_back(after.residual);
  }
  if (after.next_norm) {
    require(after.next_norm.shape() == Shape{columns}, "[half_projection] the next norm must be [{}], received {}",
            columns, after.next_norm.shape());
    inputs.push_back(after.next_norm);
  }
  std::vector<OutputSpec> specs;
  if (after.keep) specs.push_back({{1, columns}, DType::f32});
  if (next) specs.push_back({{1, columns}, DType::f16});
  if (after.next_norm) specs.push_back({{columns / 8}, DType::f32});
  const auto made =
      Array::make_all(specs, std::make_shared<HalfProjection>(w, variant, after, bool(x.squares)), std::move(inputs));
  HalfProjected result;
  auto at = made.begin();
  if (after.keep) result.y = *at++;
  if (next) result.next.x = *at++;
  if (after.next_norm) result.next.squares = *at;
  return result;
}

}  // namespace glassbox::gpu
