#include "app/cli/kernels_tune.h"

#include <nlohmann/json.hpp>

#include "app/cli/progress.h"
#include "app/cli/table.h"
#include "gpu/error.h"
#include "gpu/ops/packed_tune.h"

namespace glassbox::app {
namespace {

using gpu::PackedFormat;
using nlohmann::ordered_json;

struct TuneOptions {
  ModelOptions model;
  bool force = false, show = false, clear = false;
  std::string output = "table";
};

/// What a Llama's products are asked for, as the engine would: each layer's with one token and a chunk of them, the
/// head's with one.
void ask_for_usual_shapes(const gpu::Device& device, gpu::Activations activations) {
  struct Shape {
    std::size_t hidden, key_value, feed_forward, layers, vocabulary;
  };
  constexpr Shape shapes[] = {
      {288, 288, 768, 6, 32000}, {576, 192, 1536, 30, 49152}, {2048, 256, 5632, 22, 32000}};  // 15M, 135M, 1.1B
  for (const auto& s : shapes)
    for (const auto format : {PackedFormat::q4_0, PackedFormat::q8_0, PackedFormat::f16}) {
      const auto ask = [&](std::size_t rows, std::size_t columns, std::size_t tokens) {
        gpu::packed_variant(device, {format, rows, columns}, tokens, activations);
      };
      for (const std::size_t tokens : {std::size_t{1}, model::EngineOptions::default_chunk(device)})
        for (std::size_t layer = 0; layer < s.layers; ++layer) {
          ask(s.hidden + 2 * s.key_value, s.hidden, tokens);
          ask(s.hidden, s.hidden, tokens);
          ask(2 * s.feed_forward, s.hidden, tokens);
          ask(s.hidden, s.feed_forward, tokens);
        }
      ask(s.vocabulary, s.hidden, 1);
    }
}

std::string text(const gpu::Device& device, const std::vector<gpu::PackedCase>& cases) {
  Table table({{"format", Table::Align::left},
               {"rows x columns"},
               {"tokens"},
               {"x", Table::Align::left},
               {"variant", Table::Align::left},
               {"us"},
               {"rule's us"},
               {"GB/s"},
               {"GFLOP/s"}});
  for (const auto& of : cases) {
    const auto& choice = *device.packed_table().find(of);
    const auto rate = [&](double amount) { return choice.us > 0 ? short_number(amount / choice.us / 1e3) : ""; };
    table.add({std::string(name_of(of.format)), fmt::format("{} x {}", of.rows, of.columns), std::to_string(of.tokens),
               std::string(name_of(of.activations)), describe(choice.variant), short_number(choice.us),
               short_number(choice.rule_us), rate(16.0 * static_cast<double>(of.layout().texels())),
               rate(2.0 * static_cast<double>(of.rows * of.columns * of.tokens))});
  }
  const auto file = gpu::PackedTable::file(device);
  return fmt::format("{}\n{}\n\n{}\nrule's: the variant that is taken without measuring; GB/s: of the weights\n",
                     device.renderer(), file ? file->string() : "not kept: there is no cache directory", table.text());
}

ordered_json json(const gpu::Device& device, const std::vector<gpu::PackedCase>& cases) {
  ordered_json rows = ordered_json::array();
  for (const auto& of : cases) {
    const auto& choice = *device.packed_table().find(of);
    rows.push_back({{"format", name_of(of.format)},
                    {"rows", of.rows},
                    {"columns", of.columns},
                    {"tokens", of.tokens},
                    {"activations", name_of(of.activations)},
                    {"variant", describe(choice.variant)},
                    {"us", choice.us},
                    {"rule_us", choice.rule_us}});
  }
  const auto file = gpu::PackedTable::file(device);
  return {{"device", device.renderer()},
          {"software", device.features().software},
          {"file", file ? file->string() : ""},
          {"packed_matmul", rows}};
}

int run_kernels_tune(const TuneOptions& options) {
  auto engine_options = options.model.engine_options_if_any();
  const auto tune = options.force ? gpu::Tune::anew : gpu::Tune::on;
  ProgressBar bar;
  std::unique_ptr<model::Engine> engine;
  std::unique_ptr<gpu::Device> own;
  if (options.model.model_given() && !options.show && !options.clear) {
    engine_options.tune = tune;
    engine = std::make_unique<model::Engine>(engine_options, bar.callback());
  } else {
    own = gpu::Device::open(engine_options.device);
  }
  auto& device = own ? *own : engine->device();
  if (options.clear) {
    const auto file = gpu::PackedTable::file(device);
    std::error_code error;
    const bool removed = file && std::filesystem::remove(*file, error);
    require(!error, "{} cannot be removed: {}", file->string(), error.message());
    fmt::print("{}\n", removed ? "removed " + file->string() : "nothing is kept for this device");
    return 0;
  }
  if (own) {
    gpu::load_packed_table(device, tune);
    if (!options.show) ask_for_usual_shapes(device, engine_options.activations);
    gpu::tune_packed(device, tune,
                     [&](std::size_t done, std::size_t total) { bar.update("tuning kernels", done, total); });
  }
  bar.clear();
  std::vector<gpu::PackedCase> cases;  // those asked for, or all there are
  for (const auto& [of, choice] : device.packed_table().choices())
    if (options.show || device.packed_table().asked().contains(of)) cases.push_back(of);
  write_text("", options.output == "json" ? json(device, cases).dump(1) + '\n' : text(device, cases));
  return 0;
}

}  // namespace

Command add_kernels_tune(CLI::App& kernels, CLI::App*& self) {
  auto options = std::make_shared<TuneOptions>();
  self = kernels.add_subcommand(
      "tune", "Measure which variant of each quantised product is fastest here, and keep it for every later run");
  options->model.add_to(*self);
  self->remove_option(self->get_option("--tune"));
  self->get_option("--model")->description(
      "Tune for this model's shapes (default: those of 15M, 135M and 1.1B Llamas)");
  auto* force = self->add_flag("--force", options->force, "Measure again what was measured before");
  auto* show = self->add_flag("--show", options->show, "Only print what is kept for this device");
  auto* clear = self->add_flag("--clear", options->clear, "Only forget what is kept for this device");
  for (auto* flag : {force, show}) flag->excludes(clear);
  show->excludes(force);
  self->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  return [options] { return run_kernels_tune(*options); };
}

}  // namespace glassbox::app
