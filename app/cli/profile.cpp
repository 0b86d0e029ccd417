#include "gpu/profile.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "app/cli/command.h"
#include "app/cli/progress.h"
#include "app/cli/table.h"
#include "gpu/error.h"
#include "gpu/trace.h"

namespace glassbox::app {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct ProfileOptions {
  ModelOptions model;
  std::string prompt, tokens, output = "table", out;
  std::size_t count = 32;
  bool no_bos = false, layers = false;
};

/// One part of the run, measured twice: as it runs for users, and with every dispatch timed.
struct Section {
  std::string name;
  std::size_t tokens = 0;
  double plain_seconds = 0, timed_seconds = 0;
};

struct ProfileReport {
  const gpu::Device& device;
  gpu::Roofline roofline;
  gpu::Profile profile;
  std::vector<Section> sections;
  gpu::Profile::By by;
};

double rate(std::size_t tokens, double seconds) { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }

/// Reads the prompt and decodes greedily, from an empty context; seconds of each part go to `seen`.
void run_once(model::Engine& engine, const std::vector<std::uint32_t>& prompt, std::size_t count, ProgressBar& bar,
              std::string_view what, std::string& section, const std::function<void(std::size_t, double)>& seen) {
  const auto seconds = [](Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
  };
  engine.rewind(0);
  section = "prompt";
  auto start = Clock::now();
  auto logits = *engine.feed(prompt);
  seen(0, seconds(start));
  section = "decode";
  start = Clock::now();
  for (std::size_t i = 0; i < count; ++i) {
    const auto id = static_cast<std::uint32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    logits = *engine.feed(std::span(&id, 1));
    bar.update(what, i + 1, count);
  }
  if (count > 0) seen(1, seconds(start));
}

ProfileReport measure(model::Engine& engine, const ProfileOptions& options, const std::vector<std::uint32_t>& prompt) {
  ProfileReport report{engine.device(),
                       gpu::measured_roofline(engine.device()),
                       gpu::Profile(engine.device().timer_source()),
                       {{"prompt", prompt.size()}},
                       options.layers ? gpu::Profile::By::kernel_and_layer : gpu::Profile::By::kernel};
  if (options.count > 0) report.sections.push_back({"decode", options.count});
  ProgressBar bar;
  std::string section;
  // A first pass compiles what this prompt's length needs; it is not counted.
  run_once(engine, prompt, std::min<std::size_t>(options.count, 1), bar, "warming up", section,
           [](std::size_t, double) {});
  run_once(engine, prompt, options.count, bar, "running untimed", section,
           [&](std::size_t i, double s) { report.sections[i].plain_seconds = s; });
  engine.on_step(
      [&](const model::EngineStep& step) { report.profile.run(step.plan, section, step.first, step.count); });
  run_once(engine, prompt, options.count, bar, "timing kernels", section,
           [&](std::size_t i, double s) { report.sections[i].timed_seconds = s; });
  engine.on_step(nullptr);
  return report;
}

std::string table(const ProfileReport& report) {
  const auto& roofline = report.roofline;
  std::string out = fmt::format("{}\n{}\nceilings measured {}: {:.1f} GB/s read, {:.1f} GFLOP/s float32 multiply-add\n",
                                report.device.renderer(), gpu::measured_by(report.device), roofline.date,
                                roofline.bytes_per_second / 1e9, roofline.flops_per_second / 1e9);
  const bool layers = report.by == gpu::Profile::By::kernel_and_layer;
  for (const auto& section : report.sections) {
    const auto totals = report.profile.totals(section.name);
    const auto per_step = [&](double value) { return value / static_cast<double>(totals.runs); };
    out +=
        fmt::format("\n{} of {} token{}: {} step{}, {:.0f} dispatches and {:.0f} barriers a step\n", section.name,
                    section.tokens, section.tokens == 1 ? "" : "s", totals.runs, totals.runs == 1 ? "" : "s",
                    per_step(static_cast<double>(totals.dispatches)), per_step(static_cast<double>(totals.barriers)));
    std::vector<Table::Column> columns = {{"kernel", Table::Align::left}};
    if (layers) columns.push_back({"layer"});
    for (const char* heading :
         {"calls", "total ms", "mean us", "p50 us", "p99 us", "GB/s", "GFLOP/s", "roofline", "share"})
      columns.push_back({heading});
    Table rows(std::move(columns));
    for (const auto& row : report.profile.rows(section.name, roofline, report.by)) {
      std::vector<std::string> cells = {row.kernel};
      if (layers) cells.push_back(row.layer < 0 ? "-" : std::to_string(row.layer));
      for (auto& cell :
           {std::to_string(row.calls), fmt::format("{:.3f}", row.total_us / 1e3), short_number(row.mean_us),
            short_number(row.p50_us), short_number(row.p99_us), short_number(row.gigabytes_per_second()),
            short_number(row.gigaflops()), percent(row.roofline), percent(row.share)})
        cells.push_back(cell);
      rows.add(std::move(cells));
    }
    out += rows.text();
    const double timed_us = section.timed_seconds * 1e6;
    out +=
        fmt::format("a step takes {} us: {} in kernels, {} in gaps between them, {} before, after and in the timer\n",
                    short_number(per_step(timed_us)), short_number(per_step(totals.busy_us)),
                    short_number(per_step(totals.gap_us())), short_number(per_step(timed_us - totals.span_us)));
    out += fmt::format("{:.1f} tokens/s; {:.1f} with every dispatch timed ({:+.0f}% time)\n",
                       rate(section.tokens, section.plain_seconds), rate(section.tokens, section.timed_seconds),
                       100 * (section.timed_seconds / section.plain_seconds - 1));
  }
  return out + "\nroofline: the time the ceilings allow over the time taken; above 100% caches beat memory.\n";
}

std::string csv(const ProfileReport& report) {
  std::string out =
      "section,kernel,layer,calls,total_us,mean_us,p50_us,p99_us,bytes,flops,gb_per_s,gflop_per_s,roofline,share,timer,"
      "device,software\n";
  for (const auto& section : report.sections)
    for (const auto& row : report.profile.rows(section.name, report.roofline, report.by))
      out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", section.name, csv_field(row.kernel),
                         row.layer < 0 ? "" : std::to_string(row.layer), row.calls, row.total_us, row.mean_us,
                         row.p50_us, row.p99_us, row.cost.bytes, row.cost.flops, row.gigabytes_per_second(),
                         row.gigaflops(), row.roofline, row.share, gpu::name_of(report.profile.timer_source()),
                         csv_field(report.device.renderer()), report.device.features().software);
  return out;
}

Json json(const ProfileReport& report, const std::string& model) {
  Json sections = Json::array();
  for (const auto& section : report.sections) {
    const auto totals = report.profile.totals(section.name);
    Json kernels = Json::array();
    for (const auto& row : report.profile.rows(section.name, report.roofline, report.by)) {
      Json entry = {{"kernel", row.kernel}};
      if (report.by == gpu::Profile::By::kernel_and_layer) entry["layer"] = row.layer;
      entry.update({{"calls", row.calls},
                    {"total_us", row.total_us},
                    {"mean_us", row.mean_us},
                    {"p50_us", row.p50_us},
                    {"p99_us", row.p99_us},
                    {"bytes", row.cost.bytes},
                    {"flops", row.cost.flops},
                    {"gb_per_s", row.gigabytes_per_second()},
                    {"gflop_per_s", row.gigaflops()},
                    {"roofline", row.roofline},
                    {"share", row.share}});
      kernels.push_back(std::move(entry));
    }
    sections.push_back({{"section", section.name},
                        {"tokens", section.tokens},
                        {"steps", totals.runs},
                        {"dispatches", totals.dispatches},
                        {"barriers", totals.barriers},
                        {"tokens_per_s", rate(section.tokens, section.plain_seconds)},
                        {"tokens_per_s_timed", rate(section.tokens, section.timed_seconds)},
                        {"wall_us", section.timed_seconds * 1e6},
                        {"span_us", totals.span_us},
                        {"kernels_us", totals.busy_us},
                        {"gaps_us", totals.gap_us()},
                        {"kernels", std::move(kernels)}});
  }
  return {{"model", model},
          {"device", report.device.renderer()},
          {"software", report.device.features().software},
          {"timer", gpu::name_of(report.profile.timer_source())},
          {"timer_verdict", report.device.timer_verdict()},
          {"roofline",
           {{"gb_per_s", report.roofline.bytes_per_second / 1e9},
            {"gflop_per_s", report.roofline.flops_per_second / 1e9},
            {"date", report.roofline.date}}},
          {"sections", std::move(sections)}};
}

int run_profile(const ProfileOptions& options, bool prompt_given) {
  const auto engine = options.model.load();
  const auto prompt = prompt_ids(*engine, options.prompt, prompt_given, options.tokens, !options.no_bos);
  require(prompt.size() <= engine->context() && options.count <= engine->context() - prompt.size(),
          "-n {}: a prompt of {} tokens and as many more do not fit the context of {}", options.count, prompt.size(),
          engine->context());
  const auto report = measure(*engine, options, prompt);
  const auto device = fmt::format("{}; {}", report.device.renderer(), gpu::measured_by(report.device));
  write_text(options.out, options.output == "csv"     ? csv(report)
                          : options.output == "json"  ? json(report, engine->files().name).dump(2) + '\n'
                          : options.output == "trace" ? gpu::chrome_trace(report.profile, device).dump() + '\n'
                                                      : table(report));
  return 0;
}

Command add_profile(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<ProfileOptions>();
  self = program.add_subcommand("profile", "Time every kernel of a prompt and of the tokens that follow it");
  options->model.add_to(*self);
  auto* prompt = self->add_option("-p,--prompt", options->prompt, "Text to read");
  self->add_option("--tokens", options->tokens, "Token ids to read, as 1,2,3, in place of a text");
  self->add_option("-n,--n-predict", options->count, "Tokens to decode after it, the likeliest each time")
      ->capture_default_str();
  self->add_option("-o,--output", options->output,
                   "table, csv, json (full precision), or trace: open that file in ui.perfetto.dev")
      ->check(CLI::IsMember({"table", "csv", "json", "trace"}))
      ->capture_default_str();
  self->add_option("--out", options->out, "File to write (default: standard output)");
  self->add_flag("--layers", options->layers, "One row for each layer of the model");
  self->add_flag("--no-bos", options->no_bos, "Do not begin with the BOS token");
  return [options, prompt] { return run_profile(*options, prompt->count() > 0); };
}

const CommandRegistration profile_registered{55, add_profile};

}  // namespace
}  // namespace glassbox::app
