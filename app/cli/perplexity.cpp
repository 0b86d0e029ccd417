#include "model/perplexity.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "app/cli/command.h"
#include "app/cli/progress.h"
#include "gpu/error.h"
#include "model/utf8.h"

namespace glassbox::app {
namespace {

constexpr std::size_t default_context = 512;  // llama.cpp's

struct PerplexityOptions {
  ModelOptions model;
  std::string file, base, output = "table";
  bool special = false;
};

using Chunks = std::vector<std::vector<std::uint32_t>>;
/// The logits before each token that counts, and that token.
using Score = std::function<void(std::span<const float> logits, std::uint32_t next)>;

/// Rows of floats that wait on disk, exactly, until they are read again in the same order: those of a long text would
/// not fit in memory beside a model.
class Spool {
 public:
  Spool() : file_(std::tmpfile(), std::fclose) { check(file_ != nullptr); }
  void write(std::span<const float> row) {
    check(std::fwrite(row.data(), sizeof(float), row.size(), file_.get()) == row.size());
  }
  void rewind() { check(std::fflush(file_.get()) == 0 && std::fseek(file_.get(), 0, SEEK_SET) == 0); }
  void read(std::span<float> row) {
    check(std::fread(row.data(), sizeof(float), row.size(), file_.get()) == row.size());
  }

 private:
  static void check(bool ok) {
    require(ok, "the temporary file of the base's logits failed: {}", std::strerror(errno));
  }
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

model::Tokenizer tokenizer_of(const model::ModelFiles& files) {
  if (files.tokenizer_path) return model::Tokenizer::from_sentencepiece(*files.tokenizer_path);
  require(files.vocabulary.has_value(), "{}: has no tokenizer", files.name);
  return model::Tokenizer::from_vocabulary(*files.vocabulary, files.weights.source());
}

std::vector<std::uint32_t> encode(const model::Tokenizer& tokenizer, std::string_view text, bool special) {
  return special ? tokenizer.encode_with_specials(text, tokenizer.add_bos())
                 : tokenizer.encode(text, tokenizer.add_bos());
}

void run_model(const model::EngineOptions& options, const Chunks& chunks, const Score& score) {
  ProgressBar bar;
  model::Engine engine(options, bar.callback());
  const std::size_t vocabulary = engine.config().vocab_size;
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    bar.update(options.model.filename().string(), c, chunks.size());
    const auto ids = std::span(chunks[c]);
    const std::size_t first = model::first_scored(ids.size());
    engine.rewind(0);
    engine.feed(ids.first(first));
    const auto logits = engine.feed_all(ids.subspan(first, ids.size() - 1 - first));
    for (std::size_t i = first; i + 1 < ids.size(); ++i)
      score(std::span(logits).subspan((i - first) * vocabulary, vocabulary), ids[i + 1]);
  }
}

struct PerplexityReport {
  std::string model, base;
  std::size_t context = 0, chunks = 0;
  model::Perplexity perplexity, base_perplexity;
  model::Divergence divergence;
};

nlohmann::ordered_json to_json(const PerplexityReport& report) {
  nlohmann::ordered_json json = {{"model", report.model},
                                 {"context", report.context},
                                 {"chunks", report.chunks},
                                 {"tokens", report.perplexity.tokens()},
                                 {"perplexity", report.perplexity.value()},
                                 {"perplexity_error", report.perplexity.standard_error()}};
  if (report.base.empty()) return json;
  const auto& d = report.divergence;
  json["base"] = report.base;
  json["base_perplexity"] = report.base_perplexity.value();
  json["base_perplexity_error"] = report.base_perplexity.standard_error();
  json["perplexity_ratio"] = d.perplexity_ratio();
  json["perplexity_ratio_error"] = d.perplexity_ratio_error();
  json["kl_divergence"] = d.kl().mean();
  json["kl_divergence_error"] = d.kl().standard_error();
  json["kl_divergence_max"] = d.kl().max();
  json["log_probability_change"] = d.log_probability_change().mean();
  json["log_probability_change_error"] = d.log_probability_change().standard_error();
  json["same_top"] = d.same_top().mean();
  json["same_top_error"] = d.same_top().standard_error();
  return json;
}

void print_table(const PerplexityReport& report) {
  fmt::print("{} tokens scored, the second half of {} {} of {}\n", report.perplexity.tokens(), report.chunks,
             report.chunks == 1 ? "chunk" : "chunks", report.context);
  const auto row = [](std::string_view what, double value, double error) {
    fmt::print("{:<34} {:>12.6f} ± {:.6f}\n", what, value, error);
  };
  row("perplexity", report.perplexity.value(), report.perplexity.standard_error());
  if (report.base.empty()) return;
  const auto& d = report.divergence;
  row("perplexity of the base", report.base_perplexity.value(), report.base_perplexity.standard_error());
  row("perplexity ratio", d.perplexity_ratio(), d.perplexity_ratio_error());
  row("KL(base || model), mean, nats", d.kl().mean(), d.kl().standard_error());
  fmt::print("{:<34} {:>12.6f}\n", "KL(base || model), max, nats", d.kl().max());
  row("change of ln p(next), mean", d.log_probability_change().mean(), d.log_probability_change().standard_error());
  row("same likeliest token, share", d.same_top().mean(), d.same_top().standard_error());
}

int run_perplexity(const PerplexityOptions& options) {
  const model::MappedFile file(options.file);
  if (const auto offset = model::find_invalid_utf8(file.text()))
    fail("{}: is not valid UTF-8 at byte {}", options.file, *offset);

  auto engine = options.model.engine_options();
  const auto files = model::open_model(engine.model);
  if (engine.context == 0) engine.context = std::min(files.config.max_position_embeddings, default_context);
  const auto tokenizer = tokenizer_of(files);
  const auto ids = encode(tokenizer, file.text(), options.special);
  const auto chunks =
      model::perplexity_chunks(ids, engine.context, tokenizer.add_bos() ? tokenizer.bos() : std::nullopt);
  require(!chunks.empty(), "{}: has {} tokens, expected at least the {} of one chunk (-c takes another size)",
          options.file, ids.size(), engine.context);

  PerplexityReport report{
      .model = engine.model.string(), .base = options.base, .context = engine.context, .chunks = chunks.size()};
  std::optional<Spool> spool;
  if (!options.base.empty()) {
    const auto base = model::open_model(options.base);
    require(base.config.vocab_size == files.config.vocab_size,
            "--kl-divergence-base {}: has a vocabulary of {}, the model of {}", options.base, base.config.vocab_size,
            files.config.vocab_size);
    require(encode(tokenizer_of(base), file.text(), options.special) == ids,
            "--kl-divergence-base {}: tokenizes {} in another way than the model", options.base, options.file);
    auto base_engine = engine;
    base_engine.model = options.base;
    spool.emplace();
    run_model(base_engine, chunks, [&](std::span<const float> logits, std::uint32_t next) {
      report.base_perplexity.add(logits, next);
      spool->write(logits);
    });
    spool->rewind();
  }
  std::vector<float> base_logits(files.config.vocab_size);
  run_model(engine, chunks, [&](std::span<const float> logits, std::uint32_t next) {
    report.perplexity.add(logits, next);
    if (!spool) return;
    spool->read(base_logits);
    report.divergence.add(base_logits, logits, next);
  });
  if (options.output == "json")
    fmt::print("{}\n", to_json(report).dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  else
    print_table(report);
  return 0;
}

Command add_perplexity(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<PerplexityOptions>();
  self = program.add_subcommand(
      "perplexity", "How well a model foretells a text, and how far its probabilities are from another model's");
  options->model.add_to(*self);
  self->get_option("--ctx-size")
      ->description(
          fmt::format("Tokens of a chunk, of which the second half is scored (default: {})", default_context));
  self->add_option("-f,--file", options->file, "Text, UTF-8")->required();
  self->add_option("--kl-divergence-base", options->base,
                   "Also compare the probabilities of all tokens with those of this model, the same before it was "
                   "quantised");
  self->add_flag("--special", options->special,
                 "The text is a rendered chat: <|user|> and the like in it are tokens of their own");
  self->add_option("-o,--output", options->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  return [options] { return run_perplexity(*options); };
}

const CommandRegistration perplexity_registered{75, add_perplexity};

}  // namespace
}  // namespace glassbox::app
