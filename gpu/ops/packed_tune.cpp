#include "gpu/ops/packed_tune.h"

#include <algorithm>
#include <cstdio>
#include <random>

#include "gpu/compare.h"
#include "gpu/device.h"
#include "gpu/error.h"
#include "gpu/ops/half_projection.h"
#include "gpu/plan.h"
#include "gpu/timer.h"

namespace glassbox::gpu {
namespace {

using How = PackedVariant::Kernel;

/// Random numbers in the format: as many rows as make a difference to no cache, over and over.
PackedMatrix random_matrix(Random& random, const PackedLayout& layout, Arena& arena) {
  constexpr std::size_t rows = 64;
  const auto matrix = make_packed(layout.format, layout.rows, layout.columns, &arena);
  const auto blocks = random_blocks(random, layout.format, std::min(rows, layout.rows), layout.columns);
  for (std::size_t first = 0; first < layout.rows; first += rows)
    upload_rows(matrix, first, std::min(rows, layout.rows - first), blocks);
  return matrix;
}

/// A candidate that computes the products with all copies.
struct Runner {
  PackedVariant variant;
  Array y;
  Plan plan;
  std::vector<double> us;  ///< a product, of each round

  double median() {
    const auto middle = us.begin() + static_cast<std::ptrdiff_t>(us.size() / 2);
    std::nth_element(us.begin(), middle, us.end());
    return *middle;
  }
  double least() const { return *std::min_element(us.begin(), us.end()); }
};

/// Each product is added to the one before, as the residuals of a model's layers are: so none can begin early.
Runner record(const PackedVariant& variant, const Array& x, const std::vector<PackedMatrix>& copies,
              const std::shared_ptr<Arena>& arena) {
  Array y;
  for (const auto& w : copies)
    if (variant.kernel == How::group && variant.activations == Activations::half)
      y = half_projection({x, {}}, w, {.residual = y, .variant = variant}).y;
    else
      y = sum_parts(packed_projection(x, w, {.residual = y, .variant = variant}));
  return {.variant = variant, .y = y, .plan = Plan::record({y}, arena), .us = {}};
}

double run_us(Device& device, Plan& plan, std::size_t times) {
  const auto begin = cpu_nanoseconds();
  for (std::size_t i = 0; i < times; ++i) plan.run();
  device.finish();
  return static_cast<double>(cpu_nanoseconds() - begin) / 1000;
}

bool agree(const Runner& a, const Runner& b) {
  // Each is within 1e-12 of the exact product, or of what rounding activations costs, which it does alike.
  const double rounding = a.variant.activations == Activations::half ? 1e-5 : 1e-11;
  const auto last_row = [](const Array& y) { return y.slice(0, y.shape()[0] - 1, y.shape()[0]).values(); };
  return compare(last_row(a.y), last_row(b.y), DType::f32).nmse <= rounding;
}

}  // namespace

Tune parse_tune(std::string_view text, std::string_view flag) {
  if (text == "off") return Tune::off;
  if (text == "cached") return Tune::cached;
  require(text == "on", "{} must be off, cached or on", flag);
  return Tune::on;
}

Tune default_tune(const Device& device) {
  if (const char* given = std::getenv("GLASSBOX_TUNE"); given && *given) return parse_tune(given, "GLASSBOX_TUNE");
  return device.features().software ? Tune::cached : Tune::on;
}

std::vector<PackedVariant> packed_candidates(const Limits& limits, bool software, const PackedCase& of) {
  std::vector<PackedVariant> candidates;
  const auto add = [&](const PackedVariant& variant) {
    if (packed_fits(limits, variant, of.tokens)) candidates.push_back(variant);
  };
  if (software) {
    for (const unsigned chunks : {1u, 2u, 3u})
      add({.kernel = How::lanes, .local_size = 8, .chunks = chunks, .activations = of.activations});
    for (const unsigned rows : {4u, 8u, 16u})
      for (const unsigned vectors : {1u, 2u, 4u})  // longer code takes LLVM seconds to compile
        if (of.tokens > 1 && 4 * vectors <= of.tokens && rows * vectors >= 8 &&
            rows * vectors <= (of.activations == Activations::int8 ? 64 : 16))
          add({.kernel = How::tokens,
               .local_size = 8,
               .rows = rows,
               .vectors = vectors,
               .activations = of.activations});
    return candidates;
  }
  for (const unsigned tiles : {1u, 2u, 4u})
    for (const unsigned size : {64u, 128u, 256u, 512u})
      for (const unsigned tokens : {1u, 2u, 4u})
        if (tokens <= of.tokens && (of.tokens < 16 || tokens == 4))  // many tokens read w too often else
          add({.kernel = How::group,
               .local_size = size,
               .tokens = tokens,
               .tiles = tiles,
               .activations = of.activations});
  if (of.tokens >= 16)
    for (const unsigned tiles : {1u, 2u})
      for (const unsigned vectors : {1u, 2u})
        add({.kernel = How::tile,
             .local_size = 256,
             .tiles = tiles,
             .vectors = vectors,
             .activations = of.activations});
  return candidates;
}

PackedChoice measure_packed(Device& device, const PackedCase& of, std::size_t copies, Random& random) {
  // Enough that the last level of the caches does not hold them; many tokens wait for arithmetic anyway.
  const std::size_t most_bytes = of.tokens > 1                ? 1
                                 : device.features().software ? std::size_t{32} << 20
                                                              : std::size_t{128} << 20,
                    bytes = of.layout().texels() * 16;
  const auto arena = std::make_shared<Arena>(device);  // what was measured goes with it
  std::vector<PackedMatrix> matrices;
  for (std::size_t i = 0; i < copies && (i == 0 || i * bytes < most_bytes); ++i)
    matrices.push_back(random_matrix(random, of.layout(), *arena));
  const auto x = random.normal({of.tokens, of.columns});

  std::vector<Runner> runners;
  auto variants = packed_candidates(device.limits(), device.features().software, of);
  const auto rule = packed_rule(device, of.layout(), of.tokens, of.activations);
  std::erase(variants, rule);
  variants.insert(variants.begin(), rule);
  for (const auto& variant : variants) {
    try {
      auto runner = record(variant, x, matrices, arena);
      run_us(device, runner.plan, 1);  // drivers finish compiling at the first dispatch
      runners.push_back(std::move(runner));
    } catch (const Error&) {
      if (runners.empty()) throw;
      device.forget_errors();  // a driver may refuse what its limits allow: registers are none of them
    }
  }

  constexpr double round_us = 1000, candidate_us = 50'000;
  const double once = std::max(run_us(device, runners[0].plan, 1), 1.0);
  const auto times = static_cast<std::size_t>(std::clamp(round_us / once, 1.0, 100.0));
  const auto rounds = static_cast<int>(std::clamp(candidate_us / (once * static_cast<double>(times)), 3.0, 15.0));
  // GPUs that idled raise their clocks over a quarter of a second: before that is over nothing can be compared.
  if (!device.features().software)
    for (double busy_us = 0; busy_us < 400'000;) busy_us += run_us(device, runners[0].plan, times);
  for (int round = 0; round < rounds; ++round) {
    for (auto& runner : runners)
      runner.us.push_back(run_us(device, runner.plan, times) / static_cast<double>(times * matrices.size()));
    if (round > 0) continue;
    const double hopeless = 2 * runners[0].us[0];
    std::erase_if(runners, [&](const auto& each) { return each.us[0] > hopeless; });
  }
  // Neighbours on the machine only ever add time: who wins must win in its best round, too.
  constexpr double must_win = 0.95;
  auto& by_rule = runners[0];
  Runner* best = &by_rule;
  for (auto& each : runners)
    if (each.median() < best->median() && each.median() < must_win * by_rule.median() &&
        each.least() < must_win * by_rule.least())
      best = &each;
  if (best != &by_rule && !agree(*best, by_rule)) best = &by_rule;
  return {best->variant, best->median(), by_rule.median()};
}

void load_packed_table(Device& device, Tune tune) {
  if (tune == Tune::off) return;
  try {
    device.packed_table().load(device);
  } catch (const Error& error) {
    fmt::print(stderr, "glassbox: warning: {}; it is ignored (`glassbox kernels tune --clear` removes it)\n",
               error.what());
  }
}

void tune_packed(Device& device, Tune tune, const TuneProgress& progress) {
  if (tune == Tune::off || tune == Tune::cached) return;
  auto& table = device.packed_table();
  std::vector<std::pair<PackedCase, std::size_t>> wanted;
  for (const auto& [of, times] : table.asked())
    if (tune == Tune::anew || !table.find(of)) wanted.emplace_back(of, times);
  if (wanted.empty()) return;
  Random random(std::random_device{}());
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto& [of, times] = wanted[i];
    if (progress) progress(i, wanted.size());
    // A matrix that the model has once is read again when all others have been: as many bytes stand between here.
    std::size_t all_bytes = 0;
    for (const auto& [other, uses] : table.asked())
      if (other.tokens == of.tokens) all_bytes += other.layout().texels() * 16 * uses;
    table.set(of, measure_packed(device, of, std::max(times, all_bytes / (of.layout().texels() * 16)), random));
  }
  if (progress) progress(wanted.size(), wanted.size());
  table.save(device);
}

}  // namespace glassbox::gpu
