#include "gpu/roofline.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "gpu/arena.h"
#include "gpu/cache_dir.h"
#include "gpu/error.h"
#include "gpu/plan.h"
#include "gpu/probe.h"
#include "gpu/timer.h"

namespace glassbox::gpu {
namespace {

const Kernel multiply_add_kernel{.name = "probe_multiply_add",
                                 .inputs = {"x"},
                                 .outputs = {"y"},
                                 .params = {param<std::uint32_t>("steps"), param<std::uint32_t>("invocations")},
                                 .body = shader_source("probe_multiply_add.comp")};

/// `steps` rounds in each of out.size() / 4 invocations.
struct MultiplyAdd final : Primitive {
  explicit MultiplyAdd(std::size_t rounds) : steps(rounds) {}
  std::size_t steps;

  std::string_view name() const override { return multiply_add_kernel.name; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const std::size_t invocations = out[0].size() / 4;
    const auto size = encoder.map_size();
    encoder.dispatch(multiply_add_kernel, {in[0]}, {out[0]}, {u32(steps), u32(invocations)},
                     encoder.flat_invocations(invocations, size), {.local_size = size});
  }
  void eval_cpu(Reference, ReferenceOut) const override { fail("[{}] only its time is of use", name()); }
};

/// The best of a second's runs, by the device's timer source: whatever else the machine does makes some of them slow,
/// and a GPU that idled raises its clocks over a part of a second.
double seconds(const std::shared_ptr<Primitive>& probe, const Array& x, std::size_t invocations,
               const std::shared_ptr<Arena>& arena) {
  const auto y = Array::make({4 * invocations}, DType::f32, probe, {x});
  auto plan = Plan::record({y}, arena);
  plan.run_timed();  // drivers finish compiling at the first dispatch
  double best = std::numeric_limits<double>::infinity();
  constexpr std::uint64_t limit_ns = 1'000'000'000;
  const int most = Device::current().features().software ? 100 : std::numeric_limits<int>::max();
  const auto begin = cpu_nanoseconds();
  for (int i = 0; i < 5 || (i < most && cpu_nanoseconds() - begin < limit_ns); ++i)
    if (const double us = plan.run_timed().at(0).duration_us; us > 0) best = std::min(best, us);
  require(std::isfinite(best), "the device's timer reads 0 for {}", probe->name());
  return best / 1e6;
}

double read_bandwidth(Device& device, const std::shared_ptr<Arena>& arena) {
  const bool software = device.features().software;
  // Beyond the last-level cache of CPUs and GPUs alike, within one binding.
  const std::size_t wanted = software ? std::size_t{128} << 20 : std::size_t{512} << 20;
  const std::size_t invocations = software ? 4096 : 262144;
  const std::size_t steps = std::min<std::size_t>(wanted, device.limits().ssbo_block_bytes) / (16 * invocations);
  std::vector<std::uint32_t> words(4 * invocations * steps);
  std::mt19937 random(7);
  for (auto& word : words) word = 0x3f000000u | (random() >> 9);  // floats in [0.5, 1)
  const auto x = Array::from_bytes({words.size()}, DType::f32, std::as_bytes(std::span(words)), arena.get());
  return static_cast<double>(x.nbytes()) / seconds(read_probe(device, invocations), x, invocations, arena);
}

double multiply_add_rate(Device& device, const std::shared_ptr<Arena>& arena) {
  const bool software = device.features().software;
  const std::size_t invocations = software ? 4096 : 262144, steps = software ? 512 : 256;
  constexpr double flops_a_step = 16 * 8 * 2;
  const std::vector<float> values = {0.75f, 0.5f,  0.25f, 0.625f, 0.1f,  0.2f,  0.3f,  0.4f,
                                     1e-3f, 2e-3f, 3e-3f, 4e-3f,  5e-3f, 6e-3f, 7e-3f, 8e-3f};
  const auto x = Array::from_bytes({values.size()}, DType::f32, std::as_bytes(std::span(values)), arena.get());
  return flops_a_step * static_cast<double>(invocations * steps) /
         seconds(std::make_shared<MultiplyAdd>(steps), x, invocations, arena);
}

std::optional<Roofline> read_cached(const std::filesystem::path& path) {
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file, nullptr, false);
  const auto positive = [&](const char* key) {
    return json.is_object() && json.contains(key) && json[key].is_number() && json[key].get<double>() > 0;
  };
  if (!positive("bytes_per_second") || !positive("flops_per_second") || !json.contains("date") ||
      !json["date"].is_string())
    return std::nullopt;
  return Roofline{json["bytes_per_second"], json["flops_per_second"], json["date"]};
}

}  // namespace

double Roofline::seconds(const Cost& cost) const {
  return std::max(bytes_per_second > 0 ? cost.bytes / bytes_per_second : 0,
                  flops_per_second > 0 ? cost.flops / flops_per_second : 0);
}

double Roofline::fraction(const Cost& cost, double seconds_taken) const {
  return seconds_taken > 0 ? seconds(cost) / seconds_taken : 0;
}

Roofline measured_roofline(Device& device, Measure measure) {
  const auto directory = cache_directory("devices");
  // By timer and load path too: a clock with another overhead, or another door, is another ceiling.
  const auto file =
      directory ? *directory / fmt::format("{}-ceilings-{}-{}.json", device.cache_key(), name_of(device.load_path()),
                                           device.timer_source() == TimerSource::gpu_timestamp ? "gpu" : "cpu")
                : std::filesystem::path();
  if (directory && measure == Measure::cached)
    if (const auto cached = read_cached(file)) return *cached;
  const auto arena = std::make_shared<Arena>(device);  // its large buffers go with it
  Roofline roofline{read_bandwidth(device, arena), multiply_add_rate(device, arena),
                    fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)))};
  if (directory) {
    const nlohmann::ordered_json json = {{"bytes_per_second", roofline.bytes_per_second},
                                         {"flops_per_second", roofline.flops_per_second},
                                         {"date", roofline.date}};
    std::ofstream(file) << json.dump() << '\n';
  }
  return roofline;
}

}  // namespace glassbox::gpu
