#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "model/engine.h"
#include "model/sampler.h"

namespace glassbox::app {

/// A subcommand adds itself and its options to the program and returns what runs when it is chosen: the exit code, or
/// an Error, which becomes one line on stderr and exit code 2.
using Command = std::function<int()>;
using AddCommand = Command (*)(CLI::App& program, CLI::App*& self);

/// `const CommandRegistration registered{order, add};` in a command's file. `order`: its place in --help.
struct CommandRegistration {
  CommandRegistration(int order, AddCommand add);
};

/// Parses and runs; without a command what is called "gui", where it was built, else the help. Returns the process's
/// exit code: 0 success, 1 a check failed, 2 bad input.
int run_program(int argc, const char* const* argv);

/// -m, --device, --fusion, --load-path, --activations, --ctx-size, --cache-type-k, --cache-type-v, --tune: for every
/// command that loads a model.
class ModelOptions {
 public:
  void add_to(CLI::App& command);
  /// Loads the model with progress on stderr.
  std::unique_ptr<model::Engine> load() const;
  model::EngineOptions engine_options() const;
  /// The same with an empty path where there is no model: for the window, which opens without one.
  model::EngineOptions engine_options_if_any() const;
  bool model_given() const { return !model_.empty(); }
  /// The path given with -m, or the bundled model; throws Error where there is neither, saying how to point at one.
  std::filesystem::path model_path() const;

 private:
  std::string model_;
  int device_ = -1;
  std::string fusion_ = "on", load_path_, activations_ = "float", key_cache_ = "f32", value_cache_ = "f32", tune_;
  std::size_t context_ = 0;
};

/// The device options alone, for commands without a model.
class DeviceOptions {
 public:
  void add_to(CLI::App& command);
  std::unique_ptr<gpu::Device> open() const;

 private:
  int device_ = -1;
  std::string load_path_;
};

/// The sampler chain's flags, named as llama.cpp names them, and --seed.
class SamplingFlags {
 public:
  void add_to(CLI::App& command);
  model::SamplingOptions options;
  /// The seed given, or a fresh one.
  std::uint64_t seed() const;

 private:
  std::int64_t seed_ = -1;
};

/// Token ids out of "1,2,3"; throws Error naming the flag for anything else.
std::vector<std::uint32_t> parse_ids(std::string_view flag, std::string_view text);

/// The prompt's ids: of --tokens where given, else of the text (BOS as the tokenizer says). Throws Error where both or
/// neither are given.
std::vector<std::uint32_t> prompt_ids(const model::Engine& engine, const std::string& text, bool text_given,
                                      const std::string& ids, bool add_bos);

}  // namespace glassbox::app
