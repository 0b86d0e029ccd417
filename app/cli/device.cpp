#include <nlohmann/json.hpp>

#include "app/cli/command.h"
#include "app/cli/table.h"
#include "gpu/cache_dir.h"
#include "gpu/egl.h"
#include "gpu/error.h"
#include "gpu/profile.h"
#include "gpu/roofline.h"

namespace glassbox::app {
namespace {

using Json = nlohmann::ordered_json;

struct DeviceFlags {
  DeviceOptions device;
  std::string output = "table";
  bool measure = false;
};

constexpr gpu::LoadPath load_paths[] = {gpu::LoadPath::ssbo, gpu::LoadPath::image, gpu::LoadPath::texel};

double speed_of(const gpu::Device& device, gpu::LoadPath path) {
  return device.load_path_speed()[static_cast<std::size_t>(path)];
}

Json card(const gpu::Device& device, const gpu::Roofline& roofline) {
  Json devices = Json::array();
  const auto candidates = gpu::egl_candidates();
  for (std::size_t i = 0; i < candidates.size(); ++i)
    devices.push_back({{"number", i},
                       {"name", candidates[i].name},
                       {"software", candidates[i].software},
                       {"open", static_cast<int>(i) == device.index()}});
  Json speeds = Json::object();
  for (const auto path : load_paths) speeds[std::string(name_of(path))] = speed_of(device, path);
  const auto& limits = device.limits();
  const auto& features = device.features();
  const auto cache = gpu::cache_directory("programs");
  return {{"vendor", device.vendor()},
          {"renderer", device.renderer()},
          {"version", device.version()},
          {"software", features.software},
          {"lanes", device.lane_count()},
          {"devices", std::move(devices)},
          {"pretended_limits", device.pretended()},
          {"limits",
           {{"ssbo_bindings", limits.ssbo_bindings},
            {"ssbo_block_bytes", limits.ssbo_block_bytes},
            {"invocations", limits.invocations},
            {"shared_bytes", limits.shared_bytes},
            {"groups", limits.groups},
            {"images", limits.images},
            {"textures", limits.textures},
            {"texel_buffer_texels", limits.texel_buffer_texels},
            {"ssbo_alignment", limits.ssbo_alignment},
            {"ubo_alignment", limits.ubo_alignment}}},
          {"features",
           {{"es_version", features.es_version},
            {"precise", features.precise},
            {"texel_buffers", features.texel_buffers},
            {"buffer_storage", features.buffer_storage},
            {"timestamps", features.timestamps},
            {"subgroups", features.subgroups},
            {"shuffles", features.shuffles},
            {"half_floats", features.half_floats},
            {"program_binary", features.program_binary}}},
          {"timer", {{"source", name_of(device.timer_source())}, {"verdict", device.timer_verdict()}}},
          {"load_path", {{"chosen", name_of(device.load_path())}, {"gb_per_s", std::move(speeds)}}},
          {"roofline",
           {{"gb_per_s", roofline.bytes_per_second / 1e9},
            {"gflop_per_s", roofline.flops_per_second / 1e9},
            {"date", roofline.date}}},
          {"cache", cache ? Json(cache->parent_path().string()) : Json()}};
}

std::string table(const gpu::Device& device, const gpu::Roofline& roofline) {
  const auto& limits = device.limits();
  const auto& features = device.features();
  std::string out;
  const auto line = [&](std::string_view what, const std::string& text) {
    out += fmt::format("{:<12}{}\n", what, text);
  };
  line("renderer", device.renderer() + (features.software ? " (software: kernels run on the CPU)" : ""));
  if (features.software)
    line("lanes", device.lane_count() > 1
                      ? fmt::format("{} contexts on a thread each, which share every dispatch", device.lane_count())
                      : "none: the driver's own worker threads");
  line("vendor", device.vendor());
  line("version", device.version());
  if (!device.pretended().empty())
    line("limits", fmt::format("pretended: GLASSBOX_LIMITS={}, the driver has more", device.pretended()));
  const auto candidates = gpu::egl_candidates();
  for (std::size_t i = 0; i < candidates.size(); ++i)
    line(i == 0 ? "devices" : "",
         fmt::format("{} --device {}  {}", static_cast<int>(i) == device.index() ? '*' : ' ', i, candidates[i].name));
  line("storage", fmt::format("{} bindings of {} a kernel, aligned to {} bytes", limits.ssbo_bindings,
                              byte_size(static_cast<double>(limits.ssbo_block_bytes)), limits.ssbo_alignment));
  line("images", fmt::format("{} images, {} textures; buffer textures of {} texels", limits.images, limits.textures,
                             limits.texel_buffer_texels));
  line("workgroup", fmt::format("{} invocations, {} shared memory, grid {} x {} x {}", limits.invocations,
                                byte_size(limits.shared_bytes), limits.groups[0], limits.groups[1], limits.groups[2]));
  std::string has, lacks;
  const auto feature = [&](bool there, std::string_view name) {
    auto& list = there ? has : lacks;
    list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
  };
  feature(features.precise, "precise");
  feature(features.texel_buffers, "buffer textures");
  feature(features.buffer_storage, "persistent maps");
  feature(features.timestamps, "timestamps");
  feature(features.subgroups, "subgroups");
  feature(features.shuffles, "shuffles");
  feature(features.half_floats, "half-floats");
  feature(features.program_binary, "program binaries");
  line("shaders", fmt::format("GLSL ES {}", features.es_version));
  line("has", has.empty() ? "none of the optional features" : has);
  if (!lacks.empty()) line("lacks", lacks);
  line("timer", fmt::format("{} ({})", name_of(device.timer_source()), device.timer_verdict()));
  std::string speeds;
  for (const auto path : load_paths)
    speeds +=
        fmt::format("{}{} {}", speeds.empty() ? "" : ", ", name_of(path),
                    speed_of(device, path) > 0 ? fmt::format("{:.1f} GB/s", speed_of(device, path)) : "not measured");
  line("load path", fmt::format("{} ({})", name_of(device.load_path()), speeds));
  line("ceilings", fmt::format("{:.1f} GB/s read from memory, {:.1f} GFLOP/s float32 multiply-add, measured {}",
                               roofline.bytes_per_second / 1e9, roofline.flops_per_second / 1e9, roofline.date));
  const auto cache = gpu::cache_directory("programs");
  line("cache", cache ? cache->parent_path().string() : "none: no writable $XDG_CACHE_HOME or ~/.cache");
  return out;
}

int run_device(const DeviceFlags& options) {
  const auto device = options.device.open();
  const auto roofline = gpu::measured_roofline(*device, options.measure ? gpu::Measure::anew : gpu::Measure::cached);
  write_text("", options.output == "json" ? card(*device, roofline).dump(2) + '\n' : table(*device, roofline));
  return 0;
}

Command add_device(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<DeviceFlags>();
  self = program.add_subcommand("device", "The driver: its limits, its timer, how fast it is; which devices there are");
  options->device.add_to(*self);
  self->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  self->add_flag("--measure", options->measure, "Measure the ceilings again (else once per driver)");
  return [options] { return run_device(*options); };
}

const CommandRegistration device_registered{90, add_device};

}  // namespace
}  // namespace glassbox::app
