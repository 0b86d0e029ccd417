#include "model/diff.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/cli/command.h"
#include "app/cli/progress.h"
#include "gpu/error.h"
#include "model/safetensors.h"

namespace glassbox::app {
namespace {

struct DiffOptions {
  ModelOptions model;
  std::string prompt, tokens, save, against, output = "table";
  std::size_t count = 0;
  bool no_bos = false;
};

/// Between devices or builds differences add up from kernel to kernel: the whole model's contract bounds them.
constexpr double against_nmse = 1e-9;

/// What two runs must have in common to be compared.
std::string describe_run(std::span<const std::uint32_t> prompt, std::size_t count) {
  return fmt::format("--tokens {} -n {}", fmt::join(prompt, ","), count);
}

/// Outputs saved by a run over the same tokens.
model::Safetensors open_saved(const std::string& path, const std::string& run) {
  auto file = model::Safetensors::open(path);
  const auto saved = file.metadata().find("run");
  require(saved != file.metadata().end(), "{}: was not written by glassbox diff --save", path);
  require(saved->second == run, "{}: was saved for another prompt or -n ({}), this run is {}", path,
          model::in_quotes(saved->second), model::in_quotes(run));
  return file;
}

std::string tensor_name(const gpu::KernelError& error) { return fmt::format("{:05}.{}", error.index, error.name); }

/// Outputs of every kernel, to a file or against those of one.
class Recording {
 public:
  void add(const gpu::KernelError& error, std::span<const double> values) {
    Output output{tensor_name(error), error.shape, {values.begin(), values.end()}};
    outputs_.push_back(std::move(output));
  }

  void save(const std::string& path, const std::string& run) const {
    std::vector<model::SafetensorsTensor> tensors;
    for (const auto& output : outputs_)
      tensors.push_back({.name = output.name,
                         .dtype = "F32",
                         .shape = {output.values.size()},
                         .bytes = std::as_bytes(std::span(output.values))});
    model::save_safetensors(path, tensors, {{"format", "glassbox-diff"}, {"run", run}});
  }

  /// Replaces each kernel's errors by those against the file's outputs.
  void compare_with(const model::Safetensors& file, model::DiffReport& report) const {
    const auto& path = file.file()->name();
    require(file.tensors().size() == outputs_.size(),
            "{}: holds {} kernels, this run has {}; use the same model, prompt, -n and --fusion", path,
            file.tensors().size(), outputs_.size());
    report.first_divergent.reset();
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const auto* saved = file.find(outputs_[i].name);
      require(saved && gpu::element_count(saved->shape) == outputs_[i].values.size(),
              "{}: has no output of kernel {} with {} values; use the same model, prompt, -n and --fusion", path,
              outputs_[i].name, outputs_[i].values.size());
      auto& error = report.kernels[i];
      error.isolated = gpu::compare({std::vector<double>(outputs_[i].values.begin(), outputs_[i].values.end())},
                                    file.values(outputs_[i].name), gpu::DType::f32);
      error.tolerance = {.nmse = against_nmse};
      error.ok = error.isolated.nmse <= against_nmse;
      if (!error.ok && !report.first_divergent) report.first_divergent = i;
    }
  }

 private:
  struct Output {
    std::string name;
    gpu::Shape shape;
    std::vector<float> values;
  };
  std::vector<Output> outputs_;
};

nlohmann::ordered_json to_json(const gpu::KernelError& error) {
  return {{"name", error.name},
          {"index", error.index},
          {"layer", error.layer},
          {"shape", error.shape},
          {"nmse", error.isolated.nmse},
          {"max_abs", error.isolated.max_abs},
          {"max_ulp", error.isolated.max_ulp},
          {"cosine", error.isolated.cosine},
          {"worst_index", error.isolated.worst},
          {"accumulated_nmse", error.accumulated.nmse},
          {"tolerance", error.tolerance.nmse},
          {"ok", error.ok}};
}

void print_table(const model::DiffReport& report, const gpu::Device& device, bool against) {
  fmt::print("{} kernels on {}{}, against {}\n\n", report.kernels.size(), device.renderer(),
             device.features().software ? " (software driver)" : "",
             against ? "the saved outputs"
                     : "float64 on the kernel's own inputs; accumulated: against the whole model in float64");
  fmt::print("{:>5} {:>5}  {:<18} {:<18} {:>9} {:>9} {:>8} {:>11} {:>9}  {}\n", "#", "layer", "kernel", "shape", "NMSE",
             "max abs", "max ulp", "accumulated", "allowed", "");
  for (const auto& e : report.kernels)
    fmt::print("{:>5} {:>5}  {:<18} {:<18} {:>9.1e} {:>9.1e} {:>8.1f} {:>11.1e} {:>9.0e}  {}\n", e.index,
               e.layer < 0 ? "" : std::to_string(e.layer), e.name, fmt::format("{}", e.shape), e.isolated.nmse,
               e.isolated.max_abs, e.isolated.max_ulp, e.accumulated.nmse, e.tolerance.nmse,
               e.ok ? "ok" : "OUT OF TOLERANCE");
  fmt::print(
      "\nlogits of the last step against the float64 model: NMSE {:.1e}, max abs {:.1e}; KL(float64 || GPU) of the "
      "next token {:.1e} nats\n",
      report.logits.nmse, report.logits.max_abs, report.kl);
  if (report.first_divergent) {
    const auto& e = report.kernels[*report.first_divergent];
    fmt::print("first divergent kernel: {} (#{}, {}), worst at element {}: {} for {}\n", e.name, e.index,
               e.layer < 0 ? "outside the layers" : fmt::format("layer {}", e.layer), e.isolated.worst,
               e.isolated.worst_value, e.isolated.worst_reference);
  } else {
    fmt::print("every kernel is within tolerance\n");
  }
}

int run_diff(const DiffOptions& options, bool prompt_given) {
  const auto engine = options.model.load();
  const auto ids = prompt_ids(*engine, options.prompt, prompt_given, options.tokens, !options.no_bos);
  const auto this_run = describe_run(ids, options.count);
  std::optional<model::Safetensors> saved;  // read first: what is wrong with it need not wait for the run
  if (!options.against.empty()) saved = open_saved(options.against, this_run);
  ProgressBar bar;
  Recording recording;
  const bool record = saved || !options.save.empty();
  auto report = model::diff(
      *engine, ids, options.count,
      [&](const gpu::KernelError& error, std::span<const double> values, std::span<const double>) {
        if (record) recording.add(error, values);
      },
      bar.callback());
  bar.clear();
  if (!options.save.empty()) recording.save(options.save, this_run);
  if (saved) recording.compare_with(*saved, report);
  if (options.output == "json") {
    nlohmann::ordered_json kernels = nlohmann::ordered_json::array();
    for (const auto& error : report.kernels) kernels.push_back(to_json(error));
    const nlohmann::ordered_json json = {
        {"device", engine->device().renderer()},
        {"kernels", kernels},
        {"logits_nmse", report.logits.nmse},
        {"kl_divergence", report.kl},
        {"first_divergent",
         report.first_divergent ? to_json(report.kernels[*report.first_divergent]) : nlohmann::ordered_json()},
        {"ok", report.ok()}};
    std::puts(json.dump(1).c_str());
  } else {
    print_table(report, engine->device(), saved.has_value());
  }
  return report.ok() ? 0 : 1;
}

Command add_diff(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<DiffOptions>();
  self = program.add_subcommand("diff",
                                "Hold every kernel against its float64 reference; exit 1 if one is out of tolerance");
  options->model.add_to(*self);
  auto* prompt = self->add_option("-p,--prompt", options->prompt, "Text");
  self->add_option("--tokens", options->tokens, "Token ids as 1,2,3, in place of a text");
  self->add_option("-n,--n-predict", options->count, "Greedy tokens to go on for")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  self->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  self->add_option("--save", options->save, "Also write every kernel's output to this safetensors file");
  self->add_option("--against", options->against,
                   "Compare with the outputs another device or build saved, in place of float64");
  self->add_flag("--no-bos", options->no_bos, "Do not begin with the BOS token");
  return [options, prompt] { return run_diff(*options, prompt->count() > 0); };
}

const CommandRegistration diff_registered{50, add_diff};

}  // namespace
}  // namespace glassbox::app
