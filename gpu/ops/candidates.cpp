#include "gpu/ops/candidates.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "gpu/device.h"
#include "gpu/encoder.h"
#include "gpu/error.h"
#include "gpu/primitive.h"
#include "gpu/registry.h"

namespace glassbox::gpu {
namespace {

constexpr std::size_t most_blocks = 1024, most_candidates = 256, most_held = 8;

const Kernel blocks_kernel{
    .name = "candidate_blocks",
    .inputs = {"x"},
    .outputs = {"maxima", "sums"},
    .params = {param<std::uint32_t>("count"), param<std::uint32_t>("blocks"), param<std::uint32_t>("chunks")},
    .body = shader_source("candidate_blocks.comp")};
const Kernel gather_kernel{.name = "candidates",
                           .inputs = {"x", "maxima", "sums"},
                           .outputs = {"y"},
                           .params = {param<std::uint32_t>("count"), param<std::uint32_t>("blocks"),
                                      param<std::uint32_t>("held"), param<std::uint32_t>("k")},
                           .shared = {{.name = "scan", .type = "uint", .per_invocation = 1},
                                      {.name = "list", .type = "uint", .fixed = most_candidates}},
                           .body = shader_source("candidates.comp")};

struct BestBlocks final : Primitive {
  BestBlocks(std::size_t elements, std::size_t wanted) : count(elements), k(wanted) {}
  std::size_t count, k;

  std::string_view name() const override { return "candidates"; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const CandidateBlocks cut(count);
    const std::size_t chunks = divide_up(cut.texels, most_held);
    const bool software = encoder.device().features().software;
    const unsigned widest = std::min(software ? 8u : 256u, encoder.device().limits().invocations);
    const auto size = std::min(widest, std::bit_ceil(u32(divide_up(cut.blocks, 4))));
    const std::size_t held = divide_up(cut.blocks, std::size_t{4} * size);
    const Array maxima = encoder.temporary({4 * held * size}, DType::f32);
    const Array sums = encoder.temporary({4 * held * size}, DType::f32);
    constexpr unsigned scan_size = 32;
    encoder.dispatch(blocks_kernel, {in[0]}, {maxima, sums}, {u32(count), u32(cut.blocks), u32(chunks)},
                     encoder.flat_invocations(cut.blocks, scan_size),
                     {.local_size = scan_size, .constants = {{"CHUNK", static_cast<int>(cut.texels / chunks)}}});
    encoder.dispatch(gather_kernel, {in[0], maxima, sums}, {out[0]}, {u32(count), u32(cut.blocks), u32(held), u32(k)},
                     {}, {.local_size = size, .constants = {{"TEXELS", static_cast<int>(cut.texels)}}});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    const CandidateBlocks cut(count);
    const auto x = in[0].flat().head(Eigen::Index(count));
    const auto block = [&](std::size_t b) {
      const std::size_t begin = b * cut.length();
      return x.segment(Eigen::Index(begin), Eigen::Index(std::min(cut.length(), count - begin)));
    };
    std::vector<std::size_t> order(cut.blocks);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return block(a).maxCoeff() > block(b).maxCoeff(); });
    order.resize(k);
    std::sort(order.begin(), order.end());
    auto y = out[0].matrix();
    y.setZero();
    for (std::size_t i = 0; i < k; ++i) {
      const auto row = Eigen::Index(i);
      y(row, 0) = static_cast<double>(order[i]);
      y.row(row).segment(4, block(order[i]).size()) = block(order[i]);
    }
    y(0, 1) = x.maxCoeff();
    y(0, 2) = (x - x.maxCoeff()).exp().sum();
  }
  Cost cost(Inputs in, Outputs out) const override {
    return {.bytes = static_cast<double>(in[0].nbytes() + out[0].nbytes()), .flops = 20.0 * static_cast<double>(count)};
  }
};

}  // namespace

CandidateBlocks::CandidateBlocks(std::size_t count) {
  const std::size_t least = divide_up(count, 4 * most_blocks), chunks = divide_up(least, most_held);
  texels = divide_up(least, chunks) * chunks;
  blocks = divide_up(count, length());
}

std::size_t CandidateBlocks::most() const { return std::min(blocks, most_candidates); }

Array candidates(const Array& x, std::size_t count, std::size_t k) {
  require(x.dtype() == DType::f32 && x.size() > 0 && x.rows() == 1 && x.size() < (1u << 24),
          "[candidates] takes one float32 row of 1 to 2^24 - 1 elements, received {} {}", name_of(x.dtype()),
          x.shape());
  require(count >= 1 && count <= x.size(), "[candidates] count must be 1 to {}, received {}", x.size(), count);
  const CandidateBlocks cut(count);
  require(k >= 1 && k <= cut.most(), "[candidates] k must be 1 to {} for {} elements, received {}", cut.most(), count,
          k);
  return Array::make({k, 4 + cut.length()}, DType::f32, std::make_shared<BestBlocks>(count, k), {x});
}

bool Candidates::read(std::span<const float> rows, std::size_t count, std::size_t k) {
  largest_.clear();
  const float top = rows[1];
  if (!std::isfinite(top)) return false;
  log_sum_ = top + std::log(double{rows[2]});
  const std::size_t width = rows.size() / k, length = width - 4;
  const auto row = [&](std::size_t i) {
    const auto first = static_cast<std::size_t>(rows[i * width]) * length;
    return std::pair(first, rows.subspan(i * width + 4, std::min(length, count - first)));
  };
  // Each row has one that is as large as the least of the rows' largest: k at least are.
  float bound = top;
  for (std::size_t i = 0; i < k; ++i) bound = std::min(bound, std::ranges::max(row(i).second));
  for (std::size_t i = 0; i < k; ++i) {
    const auto [first, values] = row(i);
    for (std::size_t j = 0; j < values.size(); ++j)
      if (values[j] >= bound) largest_.push_back({static_cast<std::uint32_t>(first + j), values[j]});
  }
  std::partial_sort(largest_.begin(), largest_.begin() + static_cast<std::ptrdiff_t>(k), largest_.end());
  largest_.resize(k);
  return true;
}

namespace {

const Registration candidates_registered{
    "candidates", "blocks that hold the k largest; max; sum exp(x - max)", [](Random& random, SampleSize size) {
      struct Case {
        std::size_t padded, count, k;
      };
      const auto cases =
          size == SampleSize::bench
              ? std::vector<Case>{{32000, 32000, 40}, {32000, 32000, 1}, {50304, 50257, 40}, {128256, 128256, 104}}
              : std::vector<Case>{{1, 1, 1},           {7, 5, 2},          {288, 280, 40},      {4100, 4097, 256},
                                  {32000, 32000, 104}, {50304, 50257, 40}, {152064, 151665, 40}};
      std::vector<Sample> samples;
      for (const auto& c : cases)
        samples.push_back(
            {fmt::format("f32 {} of {} k {}", c.count, c.padded, c.k),
             [=, x = random.normal({1, c.padded}, DType::f32, 4)](Fusion) { return candidates(x, c.count, c.k); }});
      return samples;
    }};

}  // namespace
}  // namespace glassbox::gpu
