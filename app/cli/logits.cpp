#include <cstdio>

#include "app/cli/command.h"
#include "app/cli/progress.h"
#include "model/safetensors.h"

namespace glassbox::app {
namespace {

struct LogitsOptions {
  ModelOptions model;
  std::string prompt, tokens, out;
  bool no_bos = false;
};

int run_logits(const LogitsOptions& options, bool prompt_given) {
  const auto engine = options.model.load();
  const auto ids = prompt_ids(*engine, options.prompt, prompt_given, options.tokens, !options.no_bos);
  ProgressBar bar;
  const auto logits = engine->feed_all(ids, bar.callback());
  const model::SafetensorsTensor tensor{.name = "logits",
                                        .dtype = "F32",
                                        .shape = {ids.size(), engine->config().vocab_size},
                                        .bytes = std::as_bytes(std::span(logits))};
  model::save_safetensors(options.out, std::span(&tensor, 1));
  bar.clear();
  fmt::print("{}: logits float32 [{}, {}]\n", options.out, tensor.shape[0], tensor.shape[1]);
  return 0;
}

Command add_logits(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<LogitsOptions>();
  self = program.add_subcommand("logits", "Write the logits of every position as safetensors");
  options->model.add_to(*self);
  auto* prompt = self->add_option("-p,--prompt", options->prompt, "Text");
  self->add_option("--tokens", options->tokens, "Token ids as 1,2,3, in place of a text");
  self->add_option("--out", options->out, "File to write: tensor `logits`, float32 [tokens, vocabulary]")->required();
  self->add_flag("--no-bos", options->no_bos, "Do not begin with the BOS token");
  return [options, prompt] { return run_logits(*options, prompt->count() > 0); };
}

const CommandRegistration logits_registered{30, add_logits};

}  // namespace
}  // namespace glassbox::app
