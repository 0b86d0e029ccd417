#include <map>
#include <tuple>

#include "app/cli/command.h"
#include "app/cli/interrupt.h"
#include "app/cli/progress.h"
#include "app/cli/table.h"
#include "gpu/error.h"
#include "model/quantize.h"
#include "model/quantize_model.h"

namespace glassbox::app {
namespace {

struct QuantizeOptions {
  std::string input, output, type;
  bool pure = false;
};

/// One line for each kind of matrix that did not get the type asked for.
void print_fallbacks(const model::ModelQuantizer& quantizer) {
  std::map<std::tuple<std::size_t, model::StorageType, model::StorageType>, std::size_t> kinds;
  for (const auto& tensor : quantizer.tensors())
    if (tensor.type != tensor.wanted) ++kinds[{tensor.shape.back(), tensor.wanted, tensor.type}];
  for (const auto& [kind, count] : kinds) {
    const auto& [row, wanted, type] = kind;
    fmt::print("{} {} rows of {}, no multiple of {}'s {}: stored as {}\n", count,
               count == 1 ? "matrix has" : "matrices have", row, model::name_of(wanted),
               model::elements_per_block(wanted), model::name_of(type));
  }
}

int run_quantize(const QuantizeOptions& options) {
  const auto type = model::find_storage_type(options.type).value();
  model::ModelQuantizer quantizer(options.input, type, options.pure);
  if (const auto from = quantizer.requantized())
    fmt::print(stderr, "glassbox: warning: {} is quantised already ({}): what both lose adds up\n", options.input,
               model::name_of(*from));
  const InterruptGuard interrupt;  // a partial file does not stay behind
  ProgressBar bar;
  const auto size = quantizer.write(options.output, [&](std::size_t done, std::size_t total) {
    require(!interrupt.token().stop_requested(), "stopped: {} was not written", options.output);
    bar.update("quantising", done, total);
  });
  bar.clear();
  print_fallbacks(quantizer);
  const auto bytes = static_cast<double>(quantizer.tensor_bytes());
  fmt::print("{}: {}, {}, {:.2f} bits a weight\n", options.output, options.type, byte_size(static_cast<double>(size)),
             8 * bytes / static_cast<double>(quantizer.elements()));
  return 0;
}

Command add_quantize(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<QuantizeOptions>();
  self = program.add_subcommand("quantize", "Write a model as a GGUF file of another type, for llama.cpp too");
  self->add_option("input", options->input, "Hugging Face directory or .gguf file")->required();
  self->add_option("output", options->output, ".gguf file to write")->required();
  std::vector<std::string> types;
  for (const auto type : model::quantizable_types()) types.emplace_back(model::name_of(type));
  self->add_option("--type", options->type, fmt::format("Type of the matrices: {}", fmt::join(types, ", ")))
      ->required()
      ->check(CLI::IsMember(types, CLI::ignore_case))
      ->type_name("TYPE");
  self->add_flag("--pure", options->pure,
                 "Embedding and output matrix too; without it they are q6_k where the type has fewer bits");
  return [options] { return run_quantize(*options); };
}

const CommandRegistration quantize_registered{70, add_quantize};

}  // namespace
}  // namespace glassbox::app
