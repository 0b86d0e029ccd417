#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <Eigen/Core>
#include <cmath>
#include <numeric>

#include "gpu/device.h"
#include "gpu/ops/attention.h"
#include "gpu/ops/kv_cache.h"
#include "gpu/ops/rope_kv.h"
#include "gpu/plan.h"
#include "gpu/random.h"

// Attention and what comes before it at the shapes of models, against the same in Eigen on one core. Wall clock over
// whole plans: what a token waits for.
namespace glassbox::gpu {
namespace {

struct Heads {
  const char* model;
  std::size_t heads, kv_heads, d;
};
constexpr Heads models[] = {{"15M", 6, 6, 48}, {"135M", 9, 3, 64}, {"1.1B", 32, 4, 64}, {"7B", 32, 32, 128}};
constexpr std::size_t capacity = 4096;

void run(benchmark::State& state, const std::vector<Array>& results) {
  auto plan = Plan::record(results);
  Cost cost;
  for (const auto& step : plan.steps()) {
    const auto part = step.primitive->cost(step.inputs, step.outputs);
    cost.bytes += part.bytes;
    cost.flops += part.flops;
  }
  plan.run();
  auto& device = Device::current();
  device.finish();
  for ([[maybe_unused]] auto _ : state) {
    plan.run();
    device.finish();
  }
  const auto runs = static_cast<double>(state.iterations());
  using benchmark::Counter;
  state.counters["bytes/s"] = Counter(cost.bytes * runs, Counter::kIsRate, Counter::kIs1000);
  state.counters["flop/s"] = Counter(cost.flops * runs, Counter::kIsRate, Counter::kIs1000);
  state.counters["dispatches"] = static_cast<double>(plan.dispatches().size());
}

/// The plan that an engine would take: for contexts up to 256, 1024 or the capacity.
std::size_t longest(std::size_t seen) { return seen <= 256 ? 256 : seen <= 1024 ? 1024 : capacity; }

void on_device(benchmark::State& state, Heads of, CacheType type, std::size_t tokens, std::size_t first) {
  Random random(1);
  const auto q = random.normal({tokens, of.heads, of.d});
  const auto k = random_kv_cache(random, type, of.kv_heads, capacity, of.d),
             v = random_kv_cache(random, type, of.kv_heads, capacity, of.d);
  const float scale = 1 / std::sqrt(static_cast<float>(of.d));
  run(state,
      {attention(q, k, v, Dynamic(static_cast<std::uint32_t>(first)), scale, {.longest = longest(first + tokens)})});
}

void on_eigen(benchmark::State& state, Heads of, std::size_t tokens, std::size_t first) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto index = [](std::size_t n) { return static_cast<Eigen::Index>(n); };
  const Matrix q = Matrix::Random(index(of.heads * tokens), index(of.d));
  std::vector<Matrix> k, v;
  for (std::size_t head = 0; head < of.kv_heads; ++head) {
    k.push_back(Matrix::Random(index(capacity), index(of.d)));
    v.push_back(Matrix::Random(index(capacity), index(of.d)));
  }
  const float scale = 1 / std::sqrt(static_cast<float>(of.d));
  Matrix y(q.rows(), q.cols());
  for ([[maybe_unused]] auto _ : state) {
    for (std::size_t head = 0; head < of.heads; ++head) {
      const std::size_t kv = head / (of.heads / of.kv_heads);
      const auto all = index(first + tokens), from = index(head * tokens);
      Matrix scores = scale * q.middleRows(from, index(tokens)) * k[kv].topRows(all).transpose();
      for (Eigen::Index t = 0; t < scores.rows(); ++t) {
        const auto seen = index(first) + t + 1;
        scores.row(t).tail(all - seen).setZero();
        auto row = scores.row(t).head(seen).array();
        row = (row - row.maxCoeff()).exp();
        row /= row.sum();
      }
      y.middleRows(from, index(tokens)).noalias() = scores * v[kv].topRows(all);
    }
    benchmark::DoNotOptimize(y.data());
  }
}

void before(benchmark::State& state, Heads of, CacheType type, std::size_t tokens) {
  Random random(1);
  const std::vector<double> radians(of.d / 2, 0.1);
  const auto made =
      rope_kv(random.normal({tokens, (of.heads + 2 * of.kv_heads) * of.d}), {}, rope_frequencies(radians),
              random_kv_cache(random, type, of.kv_heads, capacity, of.d),
              random_kv_cache(random, type, of.kv_heads, capacity, of.d), Dynamic(31), RopePairing::half_split);
  run(state, {made.q, made.keys, made.values});
}

void register_all() {
  const auto add = [](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->UseRealTime()->Unit(benchmark::kMicrosecond);
  };
  struct Case {
    std::size_t tokens, first;
  };
  for (const auto& of : models) {
    for (const auto& c : {Case{1, 31}, Case{1, 511}, Case{1, 4095}, Case{64, 0}, Case{64, 1024}}) {
      const auto at = fmt::format("{}/{} at {}", of.model, c.tokens, c.first);
      for (const auto type : {CacheType::f32, CacheType::f16, CacheType::q8_0}) {
        if (type == CacheType::q8_0 && of.d % 32 != 0) continue;
        add(fmt::format("attention/{}/{}", name_of(type), at),
            [=](benchmark::State& state) { on_device(state, of, type, c.tokens, c.first); });
      }
      add("attention/eigen/" + at, [=](benchmark::State& state) { on_eigen(state, of, c.tokens, c.first); });
    }
    for (const std::size_t tokens : {1, 64})
      for (const auto type : {CacheType::f32, CacheType::f16})
        add(fmt::format("rope_kv/{}/{}/{} tokens", name_of(type), of.model, tokens),
            [=](benchmark::State& state) { before(state, of, type, tokens); });
  }
}

}  // namespace
}  // namespace glassbox::gpu

int main(int argc, char** argv) {
  const char* index = std::getenv("GLASSBOX_DEVICE");
  const auto device = glassbox::gpu::Device::open({.index = index ? std::atoi(index) : -1});
  benchmark::AddCustomContext("device", device->renderer());
  glassbox::gpu::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
