#include "model/generate.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/cli/command.h"
#include "app/cli/interrupt.h"
#include "app/cli/progress.h"
#include "gpu/error.h"

namespace glassbox::app {
namespace {

struct GenerateOptions {
  ModelOptions model;
  SamplingFlags sampling;
  std::string prompt, tokens;
  int count = -1;
  std::vector<std::string> stops;
  bool json = false, ignore_end = false, no_bos = false;
};

int run_generate(const GenerateOptions& options, bool prompt_given) {
  options.sampling.options.validate();
  require(options.count >= -1, "-n must be a number of tokens or -1, found {}", options.count);
  const auto engine = options.model.load();
  model::GenerateRequest request{
      .prompt = prompt_ids(*engine, options.prompt, prompt_given, options.tokens, !options.no_bos),
      .max_tokens = options.count > 0 ? static_cast<std::size_t>(options.count) : 0,
      .sampling = options.sampling.options,
      .seed = options.sampling.seed(),
      .stop_strings = options.stops,
      .ignore_end = options.ignore_end};
  const InterruptGuard interrupt;
  ProgressBar bar;
  const auto seen = [&](const model::GeneratedToken& token) {
    if (options.json) return;
    bar.clear();
    std::fwrite(token.text.data(), 1, token.text.size(), stdout);
    std::fflush(stdout);
  };
  model::Generation result;
  if (options.count != 0)
    result = model::generate(*engine, request, seen, interrupt.token(), bar.callback());
  else
    result.reason = model::StopReason::length;
  bar.clear();
  if (!options.json) {
    std::fputc('\n', stdout);
    return 0;
  }
  const nlohmann::ordered_json report = {{"prompt_tokens", request.prompt},
                                         {"tokens", result.tokens},
                                         {"text", result.text},
                                         {"stop_reason", model::name_of(result.reason)},
                                         {"timings",
                                          {{"load_s", engine->load_seconds()},
                                           {"prefill_tokens_per_s", result.prefill_tokens_per_second()},
                                           {"decode_tokens_per_s", result.decode_tokens_per_second()},
                                           {"ttft_s", result.first_token_seconds}}}};
  std::puts(report.dump().c_str());
  return 0;
}

Command add_generate(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<GenerateOptions>();
  self = program.add_subcommand("generate", "Continue a text or token ids, without a chat template");
  options->model.add_to(*self);
  auto* prompt = self->add_option("-p,--prompt", options->prompt, "Text to continue");
  self->add_option("--tokens", options->tokens, "Token ids to continue, as 1,2,3, in place of a text");
  self->add_option("-n,--n-predict", options->count,
                   "Tokens to generate; -1: until the model ends or the context is full")
      ->capture_default_str();
  self->add_option("--stop", options->stops, "End before this text; may be given several times");
  self->add_flag("--ignore-eos", options->ignore_end, "Go on past the model's end token");
  self->add_flag("--no-bos", options->no_bos, "Do not begin with the BOS token");
  self->add_flag("--json", options->json, "Print one JSON object: prompt_tokens, tokens, text, stop_reason, timings");
  options->sampling.add_to(*self);
  return [options, prompt] { return run_generate(*options, prompt->count() > 0); };
}

const CommandRegistration generate_registered{20, add_generate};

}  // namespace
}  // namespace glassbox::app
