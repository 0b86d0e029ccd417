#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "app/cli/command.h"
#include "app/cli/kernels_tune.h"
#include "app/cli/progress.h"
#include "app/cli/table.h"
#include "gpu/differ.h"
#include "gpu/error.h"
#include "gpu/profile.h"
#include "gpu/program_cache.h"
#include "gpu/registry.h"

namespace glassbox::app {
namespace {

using gpu::Fusion;
using nlohmann::ordered_json;

struct KernelsOptions {
  DeviceOptions device;
  std::vector<std::string> names;
  std::string output = "table";
  std::int64_t seed = -1;
};

std::string on_device(const gpu::Device& device) {
  return fmt::format("{}{}", device.renderer(),
                     device.features().software ? " (software: kernels run on the CPU)" : "");
}

std::vector<gpu::RegisteredOp> chosen_ops(const std::vector<std::string>& names) {
  if (names.empty()) return gpu::registry();
  std::vector<gpu::RegisteredOp> ops;
  for (const auto& name : names) {
    const auto found =
        std::find_if(gpu::registry().begin(), gpu::registry().end(), [&](const auto& op) { return op.name == name; });
    require(found != gpu::registry().end(), "there is no kernel '{}'; `glassbox kernels list` names them", name);
    ops.push_back(*found);
  }
  return ops;
}

int list(const KernelsOptions& options) {
  const auto device = options.device.open();
  gpu::Random random(1);
  Table table({{"kernel", Table::Align::left},
               {"formula", Table::Align::left},
               {"samples"},
               {"composed", Table::Align::left},
               {"shaders", Table::Align::left}});
  ordered_json json = ordered_json::array();
  for (const auto& op : chosen_ops(options.names)) {
    const auto samples = op.samples(random, gpu::SampleSize::test);
    const bool composed = std::any_of(samples.begin(), samples.end(), [](const auto& s) { return s.has_composed; });
    std::set<std::string> shaders;  // what the fused form dispatches on this device
    for (const auto& sample : samples) {
      const auto plan = gpu::Plan::record({sample.build(Fusion::on)});
      for (const auto& dispatch : plan.dispatches()) shaders.insert(dispatch.kernel);
    }
    table.add({op.name, op.summary, std::to_string(samples.size()), composed ? "yes" : "",
               fmt::format("{}", fmt::join(shaders, ", "))});
    json.push_back({{"name", op.name},
                    {"formula", op.summary},
                    {"samples", samples.size()},
                    {"composed", composed},
                    {"shaders", shaders}});
  }
  std::fputs(options.output == "json" ? (json.dump(1) + "\n").c_str() : table.text().c_str(), stdout);
  return 0;
}

int test(const KernelsOptions& options) {
  const auto device = options.device.open();
  const std::uint64_t seed = options.seed >= 0 ? static_cast<std::uint64_t>(options.seed) : std::random_device{}();
  gpu::Random random(seed);
  Table table({{"kernel", Table::Align::left},
               {"samples"},
               {"worst NMSE"},
               {"allowed"},
               {"max abs"},
               {"max ulp"},
               {"", Table::Align::left}});
  ordered_json json = ordered_json::array();
  std::string failures;
  ProgressBar bar;
  const auto ops = chosen_ops(options.names);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    bar.update("testing kernels", i, ops.size());
    // The sample that comes nearest to its tolerance, or leaves it, stands for the op.
    gpu::KernelError worst;
    std::string worst_label;
    double worst_ratio = -1;
    const auto samples = ops[i].samples(random, gpu::SampleSize::test);
    for (const auto& sample : samples)
      for (const auto fusion : {Fusion::on, Fusion::off}) {
        if (fusion == Fusion::off && !sample.has_composed) continue;
        auto plan = gpu::Plan::record({sample.build(fusion)});
        for (const auto& error : gpu::Differ().run(plan)) {
          if (!error.ok)
            failures += fmt::format(
                "{} {}{}: step {} ({}) has NMSE {:.1e} of {:.0e} allowed, max abs {:.1e} of {:.0e}\n", ops[i].name,
                sample.label, fusion == Fusion::off ? ", composed" : "", error.index, error.name, error.isolated.nmse,
                error.tolerance.nmse, error.isolated.max_abs, error.tolerance.max_abs);
          const double ratio =
              error.ok ? error.tolerance.nmse > 0 ? error.isolated.nmse / error.tolerance.nmse : 0 : 1e300;
          if (ratio <= worst_ratio) continue;
          worst_ratio = ratio;
          worst = error;
          worst_label =
              fmt::format("{}{}", sample.label, fusion == Fusion::off ? fmt::format(", composed: {}", error.name) : "");
        }
      }
    table.add({ops[i].name, std::to_string(samples.size()), fmt::format("{:.1e}", worst.isolated.nmse),
               fmt::format("{:.0e}", worst.tolerance.nmse), fmt::format("{:.1e}", worst.isolated.max_abs),
               fmt::format("{:.1f}", worst.isolated.max_ulp), worst.ok ? "ok" : "OUT OF TOLERANCE"});
    json.push_back({{"name", ops[i].name},
                    {"samples", samples.size()},
                    {"worst_sample", worst_label},
                    {"nmse", worst.isolated.nmse},
                    {"max_abs", worst.isolated.max_abs},
                    {"max_ulp", worst.isolated.max_ulp},
                    {"tolerance", worst.tolerance.nmse},
                    {"ok", worst.ok}});
  }
  bar.clear();
  if (options.output == "json") {
    fmt::print("{}\n", ordered_json({{"device", device->renderer()},
                                     {"software", device->features().software},
                                     {"seed", seed},
                                     {"kernels", json},
                                     {"ok", failures.empty()}})
                           .dump(1));
  } else {
    fmt::print("{}, seed {}\n\n{}\n{}\n", on_device(*device), seed, table.text(),
               failures.empty() ? "every kernel is within tolerance of float64" : "out of tolerance:\n" + failures);
  }
  return failures.empty() ? 0 : 1;
}

/// Median microseconds of the runs of a plan, all dispatches together, by the device's timer.
double median_us(gpu::Plan& plan) {
  plan.run();
  std::vector<double> times;
  for (int i = 0; i < 9; ++i) {
    double total = 0;
    for (const auto& timing : plan.run_timed()) total += timing.duration_us;
    times.push_back(total);
  }
  std::nth_element(times.begin(), times.begin() + 4, times.end());
  return times[4];
}

int bench(const KernelsOptions& options) {
  const auto device = options.device.open();
  const auto roofline = gpu::measured_roofline(*device);
  gpu::Random random(options.seed >= 0 ? static_cast<std::uint64_t>(options.seed) : std::random_device{}());
  Table table({{"kernel", Table::Align::left},
               {"inputs", Table::Align::left},
               {"us"},
               {"GB/s"},
               {"GFLOP/s"},
               {"roofline"},
               {"composed us"},
               {"ratio"}});
  ordered_json json = ordered_json::array();
  ProgressBar bar;
  const auto ops = chosen_ops(options.names);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    bar.update("timing kernels", i, ops.size());
    for (const auto& sample : ops[i].samples(random, gpu::SampleSize::bench)) {
      auto plan = gpu::Plan::record({sample.build(Fusion::on)});
      gpu::Cost cost;
      for (const auto& step : plan.steps()) {
        const auto part = step.primitive->cost(step.inputs, step.outputs);
        cost.bytes += part.bytes;
        cost.flops += part.flops;
      }
      const double us = median_us(plan);
      double composed_us = 0;
      if (sample.has_composed) {
        auto composed = gpu::Plan::record({sample.build(Fusion::off)});
        composed_us = median_us(composed);
      }
      const double fraction = roofline.fraction(cost, us * 1e-6);
      table.add({ops[i].name, sample.label, short_number(us), short_number(cost.bytes / us / 1e3),
                 short_number(cost.flops / us / 1e3), percent(fraction),
                 composed_us > 0 ? short_number(composed_us) : "",
                 composed_us > 0 ? fmt::format("{:.1f}x", composed_us / us) : ""});
      ordered_json row = {{"name", ops[i].name},
                          {"inputs", sample.label},
                          {"us", us},
                          {"gb_per_s", cost.bytes / us / 1e3},
                          {"gflops", cost.flops / us / 1e3},
                          {"roofline", fraction}};
      if (composed_us > 0) row["composed_us"] = composed_us;
      json.push_back(row);
    }
  }
  bar.clear();
  if (options.output == "json") {
    fmt::print("{}\n", ordered_json({{"device", device->renderer()},
                                     {"software", device->features().software},
                                     {"timer", gpu::name_of(device->timer_source())},
                                     {"roofline",
                                      {{"gb_per_s", roofline.bytes_per_second / 1e9},
                                       {"gflop_per_s", roofline.flops_per_second / 1e9},
                                       {"date", roofline.date}}},
                                     {"kernels", json}})
                           .dump(1));
  } else {
    fmt::print(
        "{}\n{}\nceilings measured {}: {:.1f} GB/s read, {:.1f} GFLOP/s\nrandom data, median of 9 runs, time in "
        "kernels without the gaps between; ratio: composed over fused\n\n{}",
        device->renderer(), gpu::measured_by(*device), roofline.date, roofline.bytes_per_second / 1e9,
        roofline.flops_per_second / 1e9, table.text());
  }
  return 0;
}

int compile(const KernelsOptions& options) {
  const auto device = options.device.open();
  gpu::Random random(1);
  ProgressBar bar;
  const auto started = std::chrono::steady_clock::now();
  const auto ops = chosen_ops(options.names);
  for (std::size_t i = 0; i < ops.size(); ++i)
    for (const auto size : {gpu::SampleSize::test, gpu::SampleSize::bench})
      for (const auto& sample : ops[i].samples(random, size)) {
        bar.update("compiling shaders", i, ops.size());
        for (const auto fusion : {Fusion::on, Fusion::off})
          if (fusion == Fusion::on || sample.has_composed) gpu::Plan::record({sample.build(fusion)});
      }
  bar.clear();
  const auto& statistics = device->programs().statistics();
  fmt::print("{}: {} shaders of {} kernels compile ({} compiled, {} from the disk cache, {:.1f} s)\n",
             on_device(*device), statistics.compiled + statistics.from_disk, ops.size(), statistics.compiled,
             statistics.from_disk, std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  return 0;
}

Command add_kernels(CLI::App& program, CLI::App*& self) {
  self = program.add_subcommand("kernels", "List, test, time, compile or tune every kernel");
  self->require_subcommand(1);
  auto options = std::make_shared<KernelsOptions>();
  using Run = int (*)(const KernelsOptions&);
  struct Verb {
    const char *name, *help;
    Run run;
  };
  std::vector<std::pair<CLI::App*, Run>> verbs;
  for (const auto& verb :
       {Verb{"list", "Every kernel with its formula", list},
        Verb{"test", "Hold each against float64 on random inputs; exit 1 if one is out of tolerance", test},
        Verb{"bench", "Time each on a model's sizes, fused against composed", bench},
        Verb{"compile", "Compile every generated shader on this driver", compile}}) {
    auto* command = self->add_subcommand(verb.name, verb.help);
    options->device.add_to(*command);
    command->add_option("names,--op", options->names, "Only these kernels");
    command->add_option("-s,--seed", options->seed, "Seed of the inputs; -1 is a fresh one")->capture_default_str();
    command->add_option("-o,--output", options->output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    verbs.emplace_back(command, verb.run);
  }
  CLI::App* tune = nullptr;
  auto run_tune = add_kernels_tune(*self, tune);
  return [options, verbs, tune, run_tune] {
    if (tune->parsed()) return run_tune();
    for (const auto& [command, run] : verbs)
      if (command->parsed()) return run(*options);
    return 2;
  };
}

const CommandRegistration kernels_registered{60, add_kernels};

}  // namespace
}  // namespace glassbox::app
