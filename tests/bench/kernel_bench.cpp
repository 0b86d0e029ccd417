#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "gpu/buffer.h"
#include "gpu/compare.h"
#include "gpu/device.h"
#include "gpu/ops/copy.h"
#include "gpu/plan.h"
#include "gpu/registry.h"
#include "tests/bench/plain.h"

// Times by the device's own timer where it has one (UseManualTime); random data throughout.
namespace glassbox::gpu {
namespace {

Cost cost_of(const Plan& plan) {
  Cost cost;
  for (const auto& step : plan.steps()) {
    const auto part = step.primitive->cost(step.inputs, step.outputs);
    cost.bytes += part.bytes;
    cost.flops += part.flops;
  }
  return cost;
}

void count(benchmark::State& state, const Cost& cost) {
  const auto runs = static_cast<double>(state.iterations());
  using benchmark::Counter;
  state.counters["bytes/s"] = Counter(cost.bytes * runs, Counter::kIsRate, Counter::kIs1000);
  state.counters["flop/s"] = Counter(cost.flops * runs, Counter::kIsRate, Counter::kIs1000);
}

void time_plan(benchmark::State& state, const Array& result) {
  auto plan = Plan::record({result});
  plan.run();
  for ([[maybe_unused]] auto _ : state) {
    const auto timings = plan.run_timed();
    state.SetIterationTime(1e-6 * std::accumulate(timings.begin(), timings.end(), 0.0,
                                                  [](double sum, const Timing& t) { return sum + t.duration_us; }));
  }
  count(state, cost_of(plan));
}

/// Whether plain float32 numbers are what the kernels computed.
bool agree(const Array& result, const void* plain) {
  const auto expected = result.values();
  const auto* floats = static_cast<const float*>(plain);
  constexpr double float_angles = 1e-5;  // rope's, at large positions
  const std::vector<double> values(floats, floats + expected.size());
  return compare(values, expected, DType::f32).nmse < float_angles;
}

/// The rates are of the kernel's bytes and operations, so that they compare.
void time_plain(benchmark::State& state, const RegisteredOp& op, const Sample& sample, const bench::Prepare& prepare) {
  const auto result = sample.build(Fusion::on);
  const auto run = prepare(bench::sampled(sample.label, result));
  // Products of packed weights have blocks of their own, indices are integers.
  if (!op.name.starts_with("packed_") && result.dtype() == DType::f32 && !agree(result, run())) {
    state.SkipWithError("computes something else than the kernels");
    return;
  }
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(run());
    benchmark::ClobberMemory();
  }
  count(state, cost_of(Plan::record({sample.build(Fusion::on)})));
}

/// Every op on the sizes of a model: fused and composed where it has both forms, the same in Eigen or plain C++, and a
/// copy on the device that moves as many bytes.
void register_ops() {
  static Random random(1);
  const auto add = [](const std::string& name, auto body) {
    return benchmark::RegisterBenchmark(name.c_str(), body)->Unit(benchmark::kMicrosecond);
  };
  for (const auto& op : registry())
    for (const auto& sample : op.samples(random, SampleSize::bench)) {
      for (const auto fusion : {Fusion::on, Fusion::off}) {
        if (fusion == Fusion::off && !sample.has_composed) continue;
        const auto name =
            op.name + (sample.has_composed ? fusion == Fusion::on ? "/fused/" : "/composed/" : "/") + sample.label;
        add(name, [sample, fusion](benchmark::State& state) {
          time_plan(state, sample.build(fusion));
        })->UseManualTime();
      }
      const auto* plain = bench::plain_op(op.name, sample.label);
      if (!plain) continue;
      add(op.name + "/eigen/" + sample.label, [&op, sample, plain](benchmark::State& state) {
        time_plain(state, op, sample, *plain);
      })->UseRealTime();
      add(op.name + "/copy/" + sample.label, [sample](benchmark::State& state) {
        const auto floats = static_cast<std::size_t>(cost_of(Plan::record({sample.build(Fusion::on)})).bytes / 8);
        time_plan(state, copy(random.uniform({std::max<std::size_t>(floats, 1)}, -1, 1)));
      })->UseManualTime();
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
