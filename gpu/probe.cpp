#include "gpu/probe.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "gpu/array.h"
#include "gpu/cache_dir.h"
#include "gpu/error.h"
#include "gpu/plan.h"
#include "gpu/timer.h"

namespace glassbox::gpu {
namespace {

const Kernel read_kernel{
    .name = "probe_read",
    .inputs = {"x"},
    .outputs = {"y"},
    .params = {param<std::uint32_t>("steps"), param<std::uint32_t>("invocations"), param<std::uint32_t>("block")},
    .body = shader_source("probe_read.comp")};

struct ProbeRead final : Primitive {
  ProbeRead(std::size_t side_by_side, std::optional<LoadPath> load_path) : block(side_by_side), path(load_path) {}
  std::size_t block;
  std::optional<LoadPath> path;

  std::string_view name() const override { return read_kernel.name; }
  void eval_gpu(CommandEncoder& encoder, Inputs in, Outputs out) const override {
    const std::size_t invocations = out[0].size() / 4;
    const auto size = static_cast<unsigned>(std::min<std::size_t>(block, encoder.map_size()));
    encoder.dispatch(read_kernel, {in[0]}, {out[0]},
                     {u32(in[0].size() / 4 / invocations), u32(invocations), u32(block)},
                     encoder.flat_invocations(invocations, size), {.local_size = size, .load_path = path});
  }
  void eval_cpu(Reference in, ReferenceOut out) const override {
    out[0].flat() = 0;
    const std::size_t stretch = in[0].values.size() / out[0].values.size() * block;
    for (std::size_t i = 0; i < in[0].values.size(); ++i) {
      const std::size_t four = i / 4;
      out[0].values[(four / stretch * block + four % block) * 4 + i % 4] += in[0].values[i];
    }
  }
};

Plan read_plan(Device& device, LoadPath path, std::size_t bytes, Array& result) {
  std::mt19937 random(7);
  std::vector<std::uint32_t> words(bytes / 4);
  for (auto& word : words) word = 0x3f000000u | (random() >> 9);  // floats in [0.5, 1)
  const auto x = Array::from_bytes({words.size()}, DType::f32, std::as_bytes(std::span(words)));
  const std::size_t invocations = device.features().software ? 1024 : 65536;
  result = Array::make({invocations * 4}, DType::f32, read_probe(device, invocations, path), {x});
  return Plan::record({result});
}

std::uint64_t cpu_time(Device& device, Plan& plan) {
  device.finish();
  const auto begin = cpu_nanoseconds();
  plan.run();
  device.finish();
  return cpu_nanoseconds() - begin;
}

}  // namespace

std::shared_ptr<Primitive> read_probe(const Device& device, std::size_t invocations, std::optional<LoadPath> path) {
  constexpr std::size_t vector = 8;  // lanes of a CPU's
  return std::make_shared<ProbeRead>(device.features().software ? vector : invocations, path);
}

TimerProbe probe_timer(Device& device) {
  if (!device.features().timestamps)
    return {TimerSource::cpu_clock, "no EXT_disjoint_timer_query: glFinish and the CPU's clock"};
  if (const unsigned lanes = device.lane_count(); lanes > 1)
    return {TimerSource::cpu_clock,
            fmt::format("{} lanes run each dispatch to its end in the threads that call: the CPU's clock around all of "
                        "them; timestamps of one of them are not trusted",
                        lanes)};
  Array result;
  auto plan = read_plan(device, LoadPath::ssbo,
                        device.features().software ? std::size_t{1} << 20 : std::size_t{64} << 20, result);
  cpu_time(device, plan);  // compiles
  TimestampPool stamps(2);
  double stamped = 1e300, clocked = 1e300;
  for (int i = 0; i < 3; ++i) {
    device.finish();
    const auto begin = cpu_nanoseconds();
    stamps.stamp(0);
    plan.run();
    stamps.stamp(1);
    device.finish();
    clocked = std::min(clocked, static_cast<double>(cpu_nanoseconds() - begin) / 1000);
    const auto first = stamps.read(0), second = stamps.read(1);
    stamped = std::min(stamped, second > first ? static_cast<double>(second - first) / 1000 : 0.0);
  }
  const auto told =
      fmt::format("self-test dispatch: {:.1f} us by timestamps, {:.1f} us by the CPU's clock", stamped, clocked);
  if (stamped > 0.1 * clocked && stamped < 1.5 * clocked) return {TimerSource::gpu_timestamp, told};
  return {TimerSource::cpu_clock, told + ": timestamps are not trusted"};
}

LoadPathProbe probe_load_path(Device& device) {
  LoadPathProbe probe;
  if (!device.features().texel_buffers) return probe;
  const auto directory = cache_directory("devices");
  const auto file = directory ? *directory / (device.cache_key() + "-load-paths.json") : std::filesystem::path();
  if (directory) {
    std::ifstream cached(file);
    std::string text;
    std::getline(cached, text);
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (json.is_array() && json.size() == 3 &&
        std::all_of(json.begin(), json.end(), [](const auto& v) { return v.is_number() && v >= 0; })) {
      for (std::size_t i = 0; i < 3; ++i) probe.gigabytes_per_second[i] = json[i];
    }
  }
  if (probe.gigabytes_per_second[0] == 0) {
    const std::size_t bytes = device.features().software
                                  ? std::size_t{8} << 20
                                  : std::min<std::size_t>(std::size_t{256} << 20, device.limits().ssbo_block_bytes / 2);
    for (const auto path : {LoadPath::ssbo, LoadPath::image, LoadPath::texel}) {
      Array result;
      auto plan = read_plan(device, path, bytes, result);
      cpu_time(device, plan);  // compiles
      std::uint64_t best = ~std::uint64_t{0};
      for (int i = 0; i < 3; ++i) best = std::min(best, cpu_time(device, plan));
      const bool has_view =
          path == LoadPath::ssbo ||
          !(path == LoadPath::image ? plan.dispatches()[0].images : plan.dispatches()[0].texels).empty();
      probe.gigabytes_per_second[static_cast<std::size_t>(path)] =
          has_view ? static_cast<double>(bytes) / static_cast<double>(best) : 0;
    }
    if (directory) std::ofstream(file) << nlohmann::json(probe.gigabytes_per_second).dump() << '\n';
  }
  const auto best = std::max_element(probe.gigabytes_per_second.begin(), probe.gigabytes_per_second.end());
  // Another path than storage blocks must earn its place: they have no limits on size.
  if (*best > 1.1 * probe.gigabytes_per_second[0])
    probe.best = static_cast<LoadPath>(best - probe.gigabytes_per_second.begin());
  return probe;
}

}  // namespace glassbox::gpu
