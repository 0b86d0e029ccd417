#include "app/cli/command.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "app/assets.h"
#include "app/cli/progress.h"
#include "gpu/error.h"
#include "model/mapped_file.h"

namespace glassbox::app {
namespace {

std::vector<std::pair<int, AddCommand>>& commands() {
  static std::vector<std::pair<int, AddCommand>> list;
  return list;
}

CLI::Option* add_device(CLI::App& command, int& device) {
  return command
      .add_option("--device", device,
                  "Which EGL device, by the number `glassbox device` lists (default: the first that works)")
      ->check(CLI::Range(0, 255));
}

/// One line on stderr, whatever a file's name or an argument holds.
void complain(std::string_view message) {
  std::string line;
  for (const char c : message)
    if (std::iscntrl(static_cast<unsigned char>(c)))
      line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      line += c;
  std::fprintf(stderr, "glassbox: %s\n", line.c_str());
}

/// Output that does not reach its file is an error, not a success.
int flushed(int code) {
  require(std::fflush(stdout) == 0 && !std::ferror(stdout), "not all of the output could be written to stdout");
  return code;
}

CLI::Option* add_load_path(CLI::App& command, std::string& path) {
  return command
      .add_option("--load-path", path,
                  "How kernels read weights: ssbo, image or texel (default: the fastest measured here)")
      ->check(CLI::IsMember({"ssbo", "image", "texel"}));
}

std::filesystem::path bundled_model() {
  std::error_code error;
  if (const auto assets = assets_directory(); !assets.empty())
    for (const auto& entry : std::filesystem::directory_iterator(assets, error))
      if (entry.path().extension() == ".gguf") return entry.path();
  return {};
}

}  // namespace

CommandRegistration::CommandRegistration(int order, AddCommand add) { commands().emplace_back(order, add); }

int run_program(int argc, const char* const* argv) {
  // The driver loader's own warnings would stand beside the one line that says what is wrong.
  setenv("EGL_LOG_LEVEL", "fatal", 0);
  CLI::App program("Glassbox: chat with a language model that runs in OpenGL ES compute shaders, and see through it.",
                   "glassbox");
  program.set_version_flag("--version", GLASSBOX_VERSION);
  program.footer(
      "A model is a Hugging Face directory (config.json, safetensors, tokenizer.model) or a .gguf file.\n"
      "`glassbox COMMAND --help` explains each command. Exit codes: 0 success, 1 a check failed, 2 bad input.");
  program.require_subcommand(0, 1);
  auto ordered = commands();
  std::sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::pair<CLI::App*, Command>> runnable;
  for (const auto& [order, add] : ordered) {
    CLI::App* self = nullptr;
    auto run = add(program, self);
    runnable.emplace_back(self, std::move(run));
  }
  try {
    // Names of llama.cpp's with one dash: CLI11 reads -sys as -s ys.
    constexpr std::pair<std::string_view, const char*> one_dash[] = {
        {"-sys", "--system-prompt"}, {"-ctk", "--cache-type-k"}, {"-ctv", "--cache-type-v"}};
    std::vector<const char*> arguments(argv, argv + argc);
    const auto options_end =
        std::find_if(arguments.begin(), arguments.end(), [](std::string_view a) { return a == "--"; });
    for (const auto& [given, meant] : one_dash)
      std::replace_if(
          arguments.begin(), options_end, [&](std::string_view a) { return a == given; }, meant);
    program.parse(argc, arguments.data());
    const bool chosen = std::any_of(runnable.begin(), runnable.end(), [](const auto& c) { return c.first->parsed(); });
    for (const auto& [self, run] : runnable)
      if (chosen ? self->parsed() : self->get_name() == "gui") return flushed(run());
    std::fputs(program.help().c_str(), stdout);
    return flushed(0);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    complain(fmt::format("{} (see glassbox --help)", error.what()));
  } catch (const std::bad_alloc&) {
    complain("out of memory");
  } catch (const std::exception& error) {
    complain(error.what());
  }
  return 2;
}

void ModelOptions::add_to(CLI::App& command) {
  command.add_option("-m,--model", model_, "Hugging Face directory or .gguf file (default: the bundled model)");
  add_device(command, device_);
  command.add_option("--fusion", fusion_, "on: fused kernels; off: the same composed of small ones")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  add_load_path(command, load_path_);
  command
      .add_option("--activations", activations_,
                  "float; int8: what meets Q4_0 weights is rounded to 8 bits, for speed on software renderers; half: "
                  "float16, one token's where it meets Q4_0 or Q8_0, for speed on GPUs with half-floats")
      ->check(CLI::IsMember({"float", "int8", "half"}))
      ->capture_default_str();
  command
      .add_option(
          "-c,--ctx-size", context_,
          fmt::format("Context in tokens (default: the model's, at most {})", model::EngineOptions::default_context))
      ->check(CLI::Range(1, 1 << 30));
  const auto cache_type = [&](const char* names, std::string& type, const char* what) {
    command.add_option(names, type, fmt::format("Type of cached {}: f32, f16, bf16 or q8_0", what))
        ->check(CLI::IsMember({"f32", "f16", "bf16", "q8_0"}))
        ->capture_default_str();
  };
  cache_type("--cache-type-k", key_cache_, "keys (also -ctk)");
  cache_type("--cache-type-v", value_cache_, "values (also -ctv)");
  command
      .add_option("--tune", tune_,
                  "Variants of kernels: off, cached (those measured before) or on (measure what is missing; default on "
                  "GPUs; $GLASSBOX_TUNE)")
      ->check(CLI::IsMember({"off", "cached", "on"}));
}

std::filesystem::path ModelOptions::model_path() const {
  if (!model_.empty()) return model_;
  const auto bundled = bundled_model();
  require(!bundled.empty(),
          "no model: point at one with -m PATH, a Hugging Face directory (config.json, safetensors, tokenizer.model) "
          "or a .gguf file");
  return bundled;
}

model::EngineOptions ModelOptions::engine_options() const {
  model_path();  // throws where there is none
  return engine_options_if_any();
}

model::EngineOptions ModelOptions::engine_options_if_any() const {
  model::EngineOptions options{.model = model_.empty() ? bundled_model() : std::filesystem::path(model_),
                               .device = {.index = device_},
                               .fusion = fusion_ == "on" ? gpu::Fusion::on : gpu::Fusion::off,
                               .context = context_,
                               .activations = gpu::parse_activations(activations_, "--activations")};
  if (!load_path_.empty()) options.device.load_path = gpu::parse_load_path(load_path_);
  options.key_cache = gpu::parse_cache_type(key_cache_, "--cache-type-k");
  options.value_cache = gpu::parse_cache_type(value_cache_, "--cache-type-v");
  if (!tune_.empty()) options.tune = gpu::parse_tune(tune_, "--tune");
  return options;
}

std::unique_ptr<model::Engine> ModelOptions::load() const {
  ProgressBar bar;
  return std::make_unique<model::Engine>(engine_options(), bar.callback());
}

void DeviceOptions::add_to(CLI::App& command) {
  add_device(command, device_);
  add_load_path(command, load_path_);
}

std::unique_ptr<gpu::Device> DeviceOptions::open() const {
  gpu::Device::Options options{.index = device_};
  if (!load_path_.empty()) options.load_path = gpu::parse_load_path(load_path_);
  return gpu::Device::open(options);
}

void SamplingFlags::add_to(CLI::App& command) {
  auto* group =
      command.add_option_group("Sampling", "llama.cpp's chain: penalties, top-k, typical, top-p, min-p, temperature");
  group->add_option("--temp", options.temperature, "Temperature; 0 takes the likeliest token")->capture_default_str();
  group->add_option("--top-k", options.top_k, "Keep the k likeliest; 0 keeps all")->capture_default_str();
  group->add_option("--top-p", options.top_p, "Keep the likeliest that make up p; 1 keeps all")->capture_default_str();
  group->add_option("--min-p", options.min_p, "Keep those at least p times as likely as the likeliest; 0 keeps all")
      ->capture_default_str();
  group->add_option("--typical", options.typical_p, "Locally typical sampling; 1 keeps all")->capture_default_str();
  group->add_option("--repeat-last-n", options.repeat_last_n, "Tokens the penalties look back; 0 none, -1 all")
      ->capture_default_str();
  group->add_option("--repeat-penalty", options.repeat_penalty, "Divides the logits of repeated tokens; 1 is off")
      ->capture_default_str();
  group->add_option("--presence-penalty", options.presence_penalty, "Subtracted where a token occurred")
      ->capture_default_str();
  group->add_option("--frequency-penalty", options.frequency_penalty, "Subtracted for each time it occurred")
      ->capture_default_str();
  group->add_option("-s,--seed", seed_, "Seed of the draws; -1 is a fresh one")->capture_default_str();
}

std::uint64_t SamplingFlags::seed() const {
  return seed_ >= 0 ? static_cast<std::uint64_t>(seed_) : std::random_device{}();
}

std::vector<std::uint32_t> parse_ids(std::string_view flag, std::string_view text) {
  std::vector<std::uint32_t> ids;
  const char* at = text.data();
  const char* end = at + text.size();
  const auto rest_of = [&](const char* from) { return text.substr(static_cast<std::size_t>(from - text.data()), 20); };
  while (true) {
    while (at < end && *at == ' ') ++at;
    std::uint32_t id = 0;
    const auto [rest, error] = std::from_chars(at, end, id);
    require(error == std::errc(), "{} expects token ids as 1,2,3, found {}", flag, model::in_quotes(rest_of(at)));
    ids.push_back(id);
    at = rest;
    while (at < end && *at == ' ') ++at;
    if (at == end) return ids;
    require(*at == ',', "{} expects token ids as 1,2,3, found {}", flag, model::in_quotes(rest_of(at)));
    ++at;
  }
}

std::vector<std::uint32_t> prompt_ids(const model::Engine& engine, const std::string& text, bool text_given,
                                      const std::string& ids, bool add_bos) {
  require(!text_given || ids.empty(), "give -p or --tokens, not both");
  require(text_given || !ids.empty(), "give a prompt with -p TEXT or --tokens 1,2,3");
  if (!ids.empty()) return parse_ids("--tokens", ids);
  const auto& tokenizer = engine.tokenizer();
  const auto encoded = tokenizer.encode(text, add_bos && tokenizer.add_bos());
  require(!encoded.empty(), "the prompt is empty");
  return {encoded.begin(), encoded.end()};
}

}  // namespace glassbox::app
