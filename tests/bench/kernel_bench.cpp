#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <numeric>
#include <random>

#include "gpu/buffer.h"
#include "gpu/device.h"
#include "gpu/ops/copy.h"
#include "gpu/ops/matmul.h"
#include "gpu/plan.h"
#include "gpu/registry.h"

// Times by the device's own timer where it has one (UseManualTime); random data throughout.
namespace glassbox::gpu {
namespace {

void time_plan(benchmark::State& state, const Array& result) {
  auto plan = Plan::record({result});
  Cost cost;
  for (const auto& step : plan.steps()) {
    const auto part = step.primitive->cost(step.inputs, step.outputs);
    cost.bytes += part.bytes;
    cost.flops += part.flops;
  }
  plan.run();
  for ([[maybe_unused]] auto _ : state) {
    const auto timings = plan.run_timed();
    state.SetIterationTime(1e-6 * std::accumulate(timings.begin(), timings.end(), 0.0,
                                                  [](double sum, const Timing& t) { return sum + t.duration_us; }));
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["bytes/s"] =
      benchmark::Counter(cost.bytes * runs, benchmark::Counter::kIsRate, benchmark::Counter::kIs1000);
  state.counters["flop/s"] =
      benchmark::Counter(cost.flops * runs, benchmark::Counter::kIsRate, benchmark::Counter::kIs1000);
}

/// Every op on the sizes of a model; fused and composed where it has both forms.
void register_ops() {
  static Random random(1);
  for (const auto& op : registry())
    for (const auto& sample : op.samples(random, SampleSize::bench))
      for (const auto fusion : {Fusion::on, Fusion::off}) {
        if (fusion == Fusion::off && !sample.has_composed) continue;
        const auto name =
            op.name + (sample.has_composed ? fusion == Fusion::on ? "/fused/" : "/composed/" : "/") + sample.label;
        benchmark::RegisterBenchmark(
            name.c_str(), [sample, fusion](benchmark::State& state) { time_plan(state, sample.build(fusion)); })
            ->UseManualTime()
            ->Unit(benchmark::kMicrosecond);
      }
}

/// Upload, device idle, readback: through a persistent map, or by glBufferSubData and a map for each transfer.
void transfer(benchmark::State& state, Buffer::Access access) {
  const auto bytes = static_cast<std::size_t>(state.range(0)) << 20;
  if (access == Buffer::Access::mapped && !Device::current().features().buffer_storage) {
    state.SkipWithError("no EXT_buffer_storage");
    return;
  }
  Buffer buffer(Device::current(), bytes, access);
  std::mt19937 engine(1);
  std::vector<std::uint32_t> words(bytes / 4);
  for (auto& word : words) word = engine();
  const auto source = std::as_bytes(std::span(words));
  std::vector<std::byte> back(bytes);
  for ([[maybe_unused]] auto _ : state) {
    if (access == Buffer::Access::mapped) {
      std::copy(source.begin(), source.end(), buffer.mapped().begin());
      Device::current().finish();
      std::copy(buffer.mapped().begin(), buffer.mapped().end(), back.begin());
    } else {
      buffer.write(0, source);
      buffer.read(0, back);
    }
    benchmark::DoNotOptimize(back.data());
  }
  if (!std::equal(source.begin(), source.end(), back.begin())) state.SkipWithError("other bytes came back");
  state.SetBytesProcessed(static_cast<std::int64_t>(2 * bytes) * static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK_CAPTURE(transfer, mapped, Buffer::Access::mapped)->Arg(1)->Arg(16)->Arg(64)->UseRealTime();
BENCHMARK_CAPTURE(transfer, copied, Buffer::Access::copied)->Arg(1)->Arg(16)->Arg(64)->UseRealTime();

/// What a plain CPU library takes for the matmul samples.
void eigen_matmul(benchmark::State& state) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto tokens = state.range(0), rows = state.range(1), columns = state.range(2);
  const Matrix x = Matrix::Random(tokens, columns), w = Matrix::Random(rows, columns);
  Matrix y(tokens, rows);
  for ([[maybe_unused]] auto _ : state) {
    y.noalias() = x * w.transpose();
    benchmark::DoNotOptimize(y.data());
  }
  state.counters["flop/s"] = benchmark::Counter(2.0 * static_cast<double>(tokens * rows * columns * state.iterations()),
                                                benchmark::Counter::kIsRate, benchmark::Counter::kIs1000);
}
BENCHMARK(eigen_matmul)->Args({1, 2048, 2048})->Args({1, 5632, 2048})->Args({64, 2048, 2048})->UseRealTime();

/// A device copy: bytes read and written, the bandwidth a kernel could reach.
void device_copy(benchmark::State& state) {
  Random random(1);
  const auto elements = static_cast<std::size_t>(state.range(0)) << 18;
  time_plan(state, copy(random.uniform({elements}, -1, 1)));
}
BENCHMARK(device_copy)->Arg(16)->Arg(64)->UseManualTime();

}  // namespace
}  // namespace glassbox::gpu

int main(int argc, char** argv) {
  const char* index = std::getenv("GLASSBOX_DEVICE");
  const auto device = glassbox::gpu::Device::open({.index = index ? std::atoi(index) : -1});
  benchmark::AddCustomContext("device", device->renderer());
  benchmark::AddCustomContext("timer", std::string(name_of(device->timer_source())));
  glassbox::gpu::register_ops();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
