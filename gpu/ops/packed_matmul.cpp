#include "gpu/ops/packed_matmul.h"

#include <algorithm>
#include <cmath>

#include "gpu/device.h"
#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/ops/half_projection.h"
#include "gpu/ops/rms_norm.h"
#include "gpu/primitive.h"

namespace glassbox::gpu {
namespace {

std::size_t groups(std::size_t count, std::size_t each) { return (count + each - 1) / each; }

Kernel group_kernel(const PackedVariant& variant, bool norm = false, bool residual = false) {
  Kernel kernel{.name = "packed_matmul_group",
                .inputs = {"x", "w"},
                .outputs = {"y"},
                .params = {param<std::uint32_t>("tokens"), param<std::uint32_t>("rows"), param<std::uint32_t>("first"),
                           param<std::uint32_t>("tiles"), param<std::uint32_t>("blocks"),
                           param<std::uint32_t>("texels"), param<std::uint32_t>("last_texels"), param<float>("eps")},
                .shared = {{.name = "partial", .per_invocation = (variant.tiles + norm) * variant.tokens}},
                .body = shader_source("packed_matmul_group.comp")};
  if (norm) kernel.inputs.push_back("norm");
  if (residual) kernel.inputs.push_back("residual");
  return kernel;
}

const Kernel& lanes_kernel() {
  static const Kernel kernel{
      .name = "packed_matmul_lanes",
      .inputs = {"xs", "w"},
      .outputs = {"y"},
      .params = {param<std::uint32_t>("rows"), param<std::uint32_t>("first"), param<std::uint32_t>("tiles"),
                 param<std::uint32_t>("tiles_each"), param<std::uint32_t>("first_part"),
                 param<std::uint32_t>("first_chunk"), param<std::uint32_t>("chunk_texels"),
                 param<std::uint32_t>("tile_texels"), param<std::uint32_t>("rest_texels")},
      .body = shader_source("packed_matmul_lanes.comp")};
  return kernel;
}

const Kernel& tokens_kernel() {
  static const Kernel kernel{
      .name = "packed_matmul_tokens",
      .inputs = {"xs", "w"},
      .outputs = {"y"},
      .params = {param<std::uint32_t>("tokens"), param<std::uint32_t>("rows"), param<std::uint32_t>("first"),
                 param<std::uint32_t>("tiles"), param<std::uint32_t>("blocks"), param<std::uint32_t>("chunks"),
                 param<std::uint32_t>("texels"), param<std::uint32_t>("last_texels")},
      .body = shader_source("packed_matmul_tokens.comp")};
  return kernel;
}

Kernel tile_kernel(const PackedVariant& variant) {
  Kernel kernel = group_kernel(variant);
  const bool half = variant.activations == Activations::half;
  kernel.name = half ? "packed_matmul_tile_half" : "packed_matmul_tile";
  kernel.params.pop_back();
  kernel.shared = {
      {.name = "parts", .type = half ? "uvec4" : "vec4", .fixed = 512 * (variant.vectors + variant.tiles)}};
  kernel.body = half ? shader_source("packed_matmul_tile_half.comp") : shader_source("packed_matmul_tile.comp");
  return kernel;
}

const Kernel tokens_first{.name = "tokens_first",
                          .inputs = {"x"},
                          .outputs = {"y"},
                          .params = {param<std::uint32_t>("tokens"), param<std::uint32_t>("count")},
                          .body = shader_source("tokens_first.comp")};

bool has_minimum(PackedFormat format) { return format == PackedFormat::q4_k || format == PackedFormat::q5_k; }

/// How the lanes kernel cuts the columns: as many parts of variant.chunks chunks as there are, and what is left. A few
/// blocks go to the part before them, as far as registers reach.
struct LaneParts {
  std::size_t equal, last_chunks, last_blocks;
  LaneParts(const PackedLayout& layout, const PackedVariant& variant) {
    const std::size_t whole = layout.blocks() / 8, most = variant.activations == Activations::int8 ? 31 : 12;
    equal = whole / variant.chunks;
    last_chunks = whole % variant.chunks;
    last_blocks = layout.blocks() % 8;
    if (last_blocks && !last_chunks && equal && 8 * variant.chunks + last_blocks <= most) {
      --equal;
      last_chunks = variant.chunks;
    }
  }
  std::size_t last() const { return last_chunks + last_blocks ? 1 : 0; }
  std::size_t count() const { return equal + last(); }
};

/// Inputs: x, the panels, then the norm's weight and the residual where there are.
struct PackedMatmul final : Primitive {
  PackedMatmul(const PackedMatrix& matrix, const PackedVariant& how, const Around& with = {})
      : variant(how), eps(with.eps), norm(bool(with.norm)), residual(bool(with.residual)), gated(with.gated) {
    for (const auto& panel : matrix.panels) panels.emplace_back(panel.layout, panel.first_row);
  }
  PackedVariant variant;
  float eps;
  bool norm, residual;
  std::size_t gated;
  std::vector<std::pair<PackedLayout, std::size_t>> panels;

  std::string_view name() const override { return "packed_matmul"; }

  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    Array x;  // as the panels' format wants it; most often they share one
    for (std::size_t i = 0; i < panels.size(); ++i) {
      const auto& [layout, first] = panels[i];
      switch (variant.kernel) {
        case PackedVariant::Kernel::group:
          encode_group(encoder, in, in[1 + i], out[0], layout, first);
          break;
        case PackedVariant::Kernel::lanes:
          encode_lanes(encoder, in[0], in[1 + i], out[0], layout, first);
          break;
        case PackedVariant::Kernel::tokens:
          if (i == 0 || layout.format != panels[i - 1].first.format) x = encode_tokens_first(encoder, in[0], layout);
          encode_tokens(encoder, x, in[1 + i], out[0], layout, first);
          break;
        case PackedVariant::Kernel::tile:
          encode_tile(encoder, in[0], in[1 + i], out[0], layout, first);
          break;
      }
    }
  }

  void eval_cpu(Reference in, ReferenceOut out) const override {
    Tensor64::Matrix x = in[0].matrix();
    if (norm) {
      const Eigen::ArrayXd scale = (x.array().square().rowwise().mean() + double(eps)).rsqrt();
      x = (x.array().colwise() * scale).rowwise() * in[1 + panels.size()].flat().transpose();
    }
    const auto tokens = x.rows(), columns = x.cols();
    const std::size_t parts = out[0].shape[0];
    const Eigen::Index each = parts == 1 ? columns : 256 * Eigen::Index(variant.chunks);
    std::vector<double> row(static_cast<std::size_t>(columns));
    Tensor64::Matrix y(Eigen::Index(parts) * tokens, Eigen::Index(panels.back().second + panels.back().first.rows));
    for (std::size_t i = 0; i < panels.size(); ++i) {
      const auto& [layout, first] = panels[i];
      for (std::size_t n = 0; n < layout.rows; ++n) {
        unpack_row(layout, in[1 + i].values, n, row);
        const Eigen::Map<const Eigen::VectorXd> w(row.data(), columns);
        for (std::size_t p = 0; p < parts; ++p) {
          const Eigen::Index begin = Eigen::Index(p) * each, count = p + 1 == parts ? columns - begin : each;
          for (Eigen::Index t = 0; t < tokens; ++t)
            y(Eigen::Index(p) * tokens + t, Eigen::Index(first + n)) =
                x.row(t).segment(begin, count).dot(w.segment(begin, count));
        }
      }
    }
    if (gated) {
      for (Eigen::Index t = 0; t < tokens; ++t)
        for (Eigen::Index n = 0; n < Eigen::Index(gated); ++n) {
          const double gate = y(t, n / 8 * 16 + n % 8);
          out[0].matrix()(t, n) = gate / (1 + std::exp(-gate)) * y(t, n / 8 * 16 + 8 + n % 8);
        }
      return;
    }
    out[0].matrix() = y;
    if (residual) out[0].matrix() += in.back().matrix();
  }

  Tolerance tolerance(Inputs in, Outputs out) const override {
    // An error of a 254th of a block's largest magnitude at most, evenly spread: its mean square is that of the block
    // times 32 / (12 127^2) where one element is all of the block, a fifth of it for normal numbers.
    if (variant.activations == Activations::int8) return {.nmse = 2e-4};
    // Both factors rounded to 11 bits cost 2^-22 / 6, and their sums of 64 thirty-two roundings more, half of them
    // large.
    if (variant.activations == Activations::half) return {.nmse = 2e-6};
    return Primitive::tolerance(in, out);
  }
  Cost cost(Inputs in, Outputs out) const override {
    double bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes()), rows = 0;
    for (std::size_t i = 1; i < in.size(); ++i) bytes += static_cast<double>(in[i].nbytes());
    for (const auto& [layout, first] : panels) rows += static_cast<double>(layout.rows);
    return {.bytes = bytes, .flops = 2 * rows * static_cast<double>(in[0].size())};
  }

 private:
  /// Texels of a token's block as tokens_first leaves it.
  std::size_t token_steps(PackedFormat format) const {
    if (variant.activations == Activations::int8) return 5;
    return format == PackedFormat::f32 || format == PackedFormat::f16 || format == PackedFormat::bf16 ? 8 : 9;
  }

  void encode_group(CommandEncoder& encoder, Inputs in, const Array& w, const Array& y, const PackedLayout& layout,
                    std::size_t first) const {
    const Array& x = in[0];
    std::vector<Array> inputs{x, w};
    if (norm) inputs.push_back(in[1 + panels.size()]);
    if (residual) inputs.push_back(in.back());
    const std::size_t rows = gated ? std::min(layout.rows / 2, gated - first / 2) : layout.rows;
    encoder.dispatch(
        group_kernel(variant, norm, residual), inputs, {y},
        {u32(x.rows()), u32(rows), u32(gated ? first / 2 : first), u32(layout.tiles()), u32(layout.blocks()),
         u32(layout.texel_rows(8) * 8), u32(layout.texel_rows(layout.blocks() % 8) * 8), eps},
        {u32(groups(layout.tiles(), variant.tiles)), u32(groups(x.rows(), variant.tokens))},
        {.local_size = variant.local_size,
         .constants = {{"FORMAT", static_cast<int>(layout.format)},
                       {"TILES", static_cast<int>(variant.tiles)},
                       {"TOKENS", static_cast<int>(variant.tokens)},
                       {"SLOTS", static_cast<int>(variant.local_size / 8)},
                       {"WHOLE_BLOCKS", layout.columns % 32 == 0},
                       {"HAS_MINIMUM", has_minimum(layout.format)},
                       {"SCALES", layout.format == PackedFormat::q6_k ? 2 : 1},
                       {"NORM", norm},
                       {"RESIDUAL", residual},
                       {"GATED", gated > 0}}});
  }

  void encode_lanes(CommandEncoder& encoder, const Array& x, const Array& w, const Array& y, const PackedLayout& layout,
                    std::size_t first) const {
    // Each processor walks over some hundred tiles: what a workgroup reads of x it must use often.
    const std::size_t each = std::max<std::size_t>(groups(layout.tiles(), 2 * groups(layout.tiles(), 256)), 1);
    const auto run = [&](std::size_t first_part, std::size_t parts, std::size_t chunks, std::size_t rest) {
      if (parts == 0) return;
      encoder.dispatch(lanes_kernel(), {x, w}, {y},
                       {u32(layout.rows), u32(first), u32(layout.tiles()), u32(each), u32(first_part),
                        u32(first_part * variant.chunks), u32(layout.tiles() * layout.texel_rows(8) * 8),
                        u32(layout.texel_rows(8) * 8), u32(layout.texel_rows(rest) * 8)},
                       {u32(groups(layout.tiles(), each)), u32(parts)},
                       {.local_size = 8,
                        .constants = {{"FORMAT", static_cast<int>(layout.format)},
                                      {"CHUNKS", static_cast<int>(chunks)},
                                      {"REST", static_cast<int>(rest)},
                                      {"INT8", variant.activations == Activations::int8}}});
    };
    const LaneParts parts(layout, variant);
    run(0, parts.equal, variant.chunks, 0);
    run(parts.equal, parts.last(), parts.last_chunks, parts.last_blocks);
  }

  void encode_tile(CommandEncoder& encoder, const Array& x, const Array& w, const Array& y, const PackedLayout& layout,
                   std::size_t first) const {
    encoder.dispatch(tile_kernel(variant), {x, w}, {y},
                     {u32(x.rows()), u32(layout.rows), u32(first), u32(layout.tiles()), u32(layout.blocks()),
                      u32(layout.texel_rows(8) * 8), u32(layout.texel_rows(layout.blocks() % 8) * 8)},
                     {u32(groups(layout.rows, 64 * variant.tiles)), u32(groups(x.rows(), 64 * variant.vectors))},
                     {.local_size = variant.local_size,
                      .constants = {{"FORMAT", static_cast<int>(layout.format)},
                                    {"ROWS4", static_cast<int>(variant.tiles)},
                                    {"TOKENS4", static_cast<int>(variant.vectors)}}});
  }

  Array encode_tokens_first(CommandEncoder& encoder, const Array& x, const PackedLayout& layout) const {
    const std::size_t steps = token_steps(layout.format), count = layout.blocks() * x.rows();
    const Array first =
        encoder.temporary({count * steps * 4}, variant.activations == Activations::int8 ? DType::u32 : DType::f32);
    encoder.dispatch(tokens_first, {x}, {first}, {u32(x.rows()), u32(count)}, encoder.flat_invocations(count, 8),
                     {.local_size = 8,
                      .constants = {{"FORMAT", static_cast<int>(layout.format)},
                                    {"INT8", variant.activations == Activations::int8},
                                    {"STEPS", static_cast<int>(steps)}}});
    return first;
  }

  void encode_tokens(CommandEncoder& encoder, const Array& x, const Array& w, const Array& y,
                     const PackedLayout& layout, std::size_t first) const {
    const std::size_t tokens = y.shape()[1];
    encoder.dispatch(
        tokens_kernel(), {x, w}, {y},
        {u32(tokens), u32(layout.rows), u32(first), u32(layout.tiles()), u32(layout.blocks()), u32(layout.chunks()),
         u32(layout.texel_rows(8) * 8), u32(layout.texel_rows(layout.blocks() % 8) * 8)},
        {u32(groups(layout.rows, variant.rows)), u32(groups(tokens, 8 * variant.vectors))},
        {.local_size = 8,
         .constants = {{"FORMAT", static_cast<int>(layout.format)},
                       {"INT8", variant.activations == Activations::int8},
                       {"STEPS", static_cast<int>(token_steps(layout.format))},
                       {"ROWS", static_cast<int>(variant.rows)},
                       {"VECTORS", static_cast<int>(variant.vectors)}}});
  }
};

std::vector<Array> inputs_of(const Array& x, const PackedMatrix& matrix) {
  std::vector<Array> inputs{x};
  for (const auto& panel : matrix.panels) inputs.push_back(panel.words);
  return inputs;
}

bool is_q4_0(const PackedMatrix& w) {
  return std::all_of(w.panels.begin(), w.panels.end(),
                     [](const auto& panel) { return panel.layout.format == PackedFormat::q4_0; });
}

void check(const Array& x, const PackedMatrix& w) {
  require(is_float(x.dtype()) && x.size() > 0, "[packed_matmul] x must be a float array with elements, received {} {}",
          name_of(x.dtype()), x.shape());
  require(bool(w) && x.ndim() >= 1 && x.last() == w.columns,
          "[packed_matmul] x {} and w [{}, {}] must share their last axis", x.shape(), w.rows, w.columns);
}

}  // namespace

std::string_view name_of(Activations activations) {
  constexpr std::string_view names[] = {"float", "int8", "half"};
  return names[static_cast<int>(activations)];
}

Activations parse_activations(std::string_view text, std::string_view flag) {
  for (const auto each : all_activations)
    if (text == name_of(each)) return each;
  fail("{} must be float, int8 or half, received {}", flag, text);
}

PackedVariant packed_rule(const Device& device, const PackedLayout& layout, std::size_t tokens,
                          Activations activations) {
  if (tokens == 1 && activations == Activations::half && takes_half(layout.format)) return half_rule(device, layout);
  const unsigned most = device.limits().invocations;
  if (device.features().software) {
    PackedVariant variant{.kernel = PackedVariant::Kernel::lanes, .local_size = 8};
    const bool int8 = activations == Activations::int8 && layout.format == PackedFormat::q4_0;
    if (int8) variant.activations = Activations::int8;
    // int8 takes half of the registers. Longer code takes LLVM seconds to compile.
    if (int8) variant.chunks = 2;
    if (tokens == 1) return variant;
    variant.kernel = PackedVariant::Kernel::tokens;
    variant.vectors = tokens > 16 && int8 ? 4 : tokens > 8 ? 2 : 1;
    if (variant.vectors == 4) variant.rows = 16;
    return variant;
  }
  if (tokens >= 16 && most >= 256)
    return {.kernel = PackedVariant::Kernel::tile,
            .local_size = 256,
            .tiles = device.limits().shared_bytes >= 24576 ? 2u : 1u,
            .vectors = 1,
            .activations = activations == Activations::half ? Activations::half : Activations::f32};
  unsigned size = 32;
  while (size < 8 * layout.blocks() && size < std::min(most, 256u)) size *= 2;
  return {.kernel = PackedVariant::Kernel::group,
          .local_size = size,
          .tokens = tokens >= 4   ? 4u
                    : tokens >= 2 ? 2u
                                  : 1u,
          .tiles = layout.tiles() >= 2048 ? 2u : 1u};
}

Array packed_matmul_parts(const Array& x, const PackedMatrix& w, const std::optional<PackedVariant>& variant) {
  check(x, w);
  const auto how = variant.value_or(packed_variant(Device::current(), w.panels[0].layout, x.rows()));
  require(how.kernel != PackedVariant::Kernel::group || how.activations == Activations::f32,
          "[packed_matmul] one token in half precision is half_projection's");
  require(how.activations != Activations::int8 || is_q4_0(w),
          "[packed_matmul] int8 activations take q4_0 weights alone, received {}", name_of(w.format));
  const std::size_t parts = how.kernel == PackedVariant::Kernel::lanes ? LaneParts(w.panels[0].layout, how).count() : 1;
  return Array::make({parts, x.rows(), w.rows}, DType::f32, std::make_shared<PackedMatmul>(w, how), inputs_of(x, w));
}

Array packed_matmul(const Array& x, const PackedMatrix& w, const std::optional<PackedVariant>& variant) {
  return sum_parts(packed_matmul_parts(x, w, variant));
}

Array packed_projection(const Array& x, const PackedMatrix& w, const Around& around) {
  check(x, w);
  // Panels may differ in format; what int8 is rounded for meets all of them.
  const bool has_int8 = is_q4_0(w), has_half = x.rows() > 1;  // one token's is half_projection
  const auto activations =
      (around.activations == Activations::int8 && has_int8) || (around.activations == Activations::half && has_half)
          ? around.activations
          : Activations::f32;
  auto variant = around.variant.value_or(packed_variant(Device::current(), w.panels[0].layout, x.rows(), activations));
  if (around.fusion == Fusion::on && variant.kernel == PackedVariant::Kernel::group &&
      (!around.gated || !around.residual)) {
    auto inputs = inputs_of(x, w);
    if (around.norm) inputs.push_back(around.norm);
    if (around.residual) inputs.push_back(around.residual);
    if (around.gated) variant.tiles = std::max(2u, variant.tiles);
    return Array::make({1, x.rows(), around.gated ? around.gated : w.rows}, DType::f32,
                       std::make_shared<PackedMatmul>(w, variant, around), std::move(inputs));
  }
  const auto parts =
      packed_matmul_parts(around.norm ? rms_norm(x, around.norm, around.eps, around.fusion) : x, w, variant);
  const auto whole = [&](const Array& y) { return y.reshape({1, x.rows(), y.last()}); };
  if (around.gated) return whole(gated_silu(parts, around.gated));
  return around.residual ? whole(sum_parts(parts, around.residual)) : parts;
}

}  // namespace glassbox::gpu
