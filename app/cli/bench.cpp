#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "app/cli/command.h"
#include "app/cli/progress.h"
#include "app/cli/table.h"
#include "gpu/error.h"
#include "gpu/roofline.h"

namespace glassbox::app {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct BenchOptions {
  ModelOptions model;
  std::vector<std::size_t> prompts = {512}, generations = {128}, depths = {0};
  std::size_t repetitions = 5;
  std::uint64_t seed = 1;
  std::string output = "md";
};

/// A prompt read in one go, or tokens decoded one by one, after `depth` tokens that are not timed.
struct Test {
  std::size_t prompt = 0, generated = 0, depth = 0;

  std::size_t tokens() const { return prompt + generated; }
  std::string name() const {
    return fmt::format("{}{}{}", prompt > 0 ? "pp" : "tg", tokens(), depth > 0 ? fmt::format(" @ d{}", depth) : "");
  }
};

/// What one repetition asks of the device, counted while it warms up.
struct Work {
  double bytes = 0;  ///< sum of the primitives' Cost
  std::size_t dispatches = 0, layer_dispatches = 0, barriers = 0;

  void add(const gpu::Plan& plan) {
    for (const auto& step : plan.steps()) {
      bytes += step.primitive->cost(step.inputs, step.outputs).bytes;
      if (step.layer >= 0) layer_dispatches += step.count;
    }
    dispatches += plan.dispatches().size();
    barriers += plan.barriers();
  }
};

struct Result {
  Test test;
  Work work;
  std::vector<double> seconds;  ///< of each repetition
  double issue_seconds = 0;     ///< in plan.run(), of all repetitions

  double tokens() const { return static_cast<double>(test.tokens()); }
  std::vector<double> rates() const {
    std::vector<double> all;
    for (const double s : seconds) all.push_back(tokens() / s);
    return all;
  }
};

struct BenchReport {
  const model::Engine& engine;
  std::string activations, device;
  bool software;
  gpu::Roofline roofline;
  std::vector<Result> results;
};

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}
/// Of the sample; 0 of a single value.
double standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double centre = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - centre) * (value - centre);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

std::vector<Test> tests_of(const BenchOptions& options, std::size_t context) {
  std::vector<Test> tests;
  const auto add = [&](const Test& test, const char* flag) {
    if (test.tokens() == 0) return;
    require(test.depth <= context && test.tokens() <= context - test.depth,
            "{} {}{} does not fit the context of {} (-c takes another size)", flag, test.tokens(),
            test.depth > 0 ? fmt::format(" after -d {}", test.depth) : "", context);
    tests.push_back(test);
  };
  for (const auto depth : options.depths) {
    for (const auto count : options.prompts) add({.prompt = count, .depth = depth}, "-p");
    for (const auto count : options.generations) add({.generated = count, .depth = depth}, "-n");
  }
  require(!tests.empty(), "-p 0 and -n 0 leave nothing to measure");
  return tests;
}

/// One repetition from a context of `depth` tokens; returns its seconds. As in llama-bench each token in decode is
/// waited for, and nothing is sampled: the logits stay on the device.
double run_once(model::Engine& engine, const Test& test, std::mt19937_64& random) {
  const auto draw = [&](std::size_t count) {
    std::uniform_int_distribution<std::uint32_t> any(0, static_cast<std::uint32_t>(engine.config().vocab_size - 1));
    std::vector<std::uint32_t> ids(count);
    for (auto& id : ids) id = any(random);
    return ids;
  };
  if (engine.tokens().size() < test.depth) {
    engine.rewind(0);
    engine.append(draw(test.depth));
  }
  engine.rewind(test.depth);
  const auto ids = draw(test.tokens());
  const auto start = Clock::now();
  for (std::size_t done = 0; done < ids.size();) {
    const std::size_t count = test.prompt > 0 ? ids.size() : 1;
    engine.append(std::span(ids).subspan(done, count));
    engine.device().finish();
    done += count;
  }
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Result measure(model::Engine& engine, const Test& test, const BenchOptions& options, std::mt19937_64& random,
               ProgressBar& bar) {
  Result result{.test = test, .work = {}, .seconds = {}};
  bar.update(test.name(), 0, options.repetitions + 1);
  engine.on_step([&](const model::EngineStep& step) {
    if (step.first >= test.depth) result.work.add(step.plan);
    step.plan.run();
  });
  run_once(engine, test, random);
  engine.on_step([&](const model::EngineStep& step) {
    const auto start = Clock::now();
    step.plan.run();
    result.issue_seconds += std::chrono::duration<double>(Clock::now() - start).count();
  });
  for (std::size_t i = 0; i < options.repetitions; ++i) {
    bar.update(test.name(), i + 1, options.repetitions + 1);
    result.seconds.push_back(run_once(engine, test, random));
  }
  engine.on_step(nullptr);
  return result;
}

Json to_json(const BenchReport& report, const Result& result) {
  const auto& [test, work, seconds, issue_seconds] = result;
  const auto& weights = report.engine.files().weights;
  std::size_t params = 0;
  for (const auto& tensor : weights.tensors()) params += gpu::element_count(tensor.shape);
  const auto rates = result.rates();
  const double bytes = work.bytes / result.tokens(), rate = mean(rates);
  const auto type = weights.main_type();
  Json row = {{"model", report.engine.files().name},
              {"size", weights.total_bytes()},
              {"params", params},
              {"type", type ? model::name_of(*type) : ""},
              {"activations", report.activations},
              {"device", report.device},
              {"software", report.software},
              {"test", test.name()},
              {"n_prompt", test.prompt},
              {"n_gen", test.generated},
              {"n_depth", test.depth},
              {"avg_ts", rate},
              {"stddev_ts", standard_deviation(rates)},
              {"samples_ts", rates},
              {"bytes_per_token", bytes},
              {"bandwidth", report.roofline.bytes_per_second},
              {"bandwidth_fraction", bytes * rate / report.roofline.bytes_per_second}};
  for (const char* key : {"dispatches", "barriers", "dispatches_per_layer", "issue_us", "ttft_s"}) row[key] = nullptr;
  if (test.prompt > 0) {
    row["ttft_s"] = mean(seconds);
  } else {
    const double layers = static_cast<double>(report.engine.config().num_hidden_layers);
    row["dispatches"] = static_cast<double>(work.dispatches) / result.tokens();
    row["barriers"] = static_cast<double>(work.barriers) / result.tokens();
    row["dispatches_per_layer"] = static_cast<double>(work.layer_dispatches) / result.tokens() / layers;
    row["issue_us"] = 1e6 * issue_seconds / (result.tokens() * static_cast<double>(seconds.size()));
  }
  return row;
}

std::string csv(const std::vector<Json>& rows) {
  std::string out;
  const auto line = [&](const auto& field_of) {
    std::string separator;
    for (const auto& [key, value] : rows[0].items()) {
      if (value.is_array()) continue;
      out += separator + csv_field(field_of(key));
      separator = ",";
    }
    out += '\n';
  };
  line([](const std::string& key) { return key; });
  for (const auto& row : rows)
    line([&](const std::string& key) {
      const auto& value = row[key];
      return value.is_null() ? "" : value.is_string() ? value.get<std::string>() : value.dump();
    });
  return out;
}

/// "1.10 B", "134.52 M".
std::string parameter_count(double count) {
  for (const auto& [unit, name] : {std::pair(1e9, "B"), {1e6, "M"}, {1e3, "K"}})
    if (count >= unit) return fmt::format("{:.2f} {}", count / unit, name);
  return fmt::format("{:.0f}", count);
}

/// Aligned as text, and a table wherever Markdown is shown.
std::string markdown(const BenchReport& report, const std::vector<Json>& rows) {
  std::vector<std::vector<std::string>> lines = {{"model", "size", "params", "type", "device", "test", "t/s",
                                                  "bandwidth", "ttft s", "dispatches", "a layer", "barriers",
                                                  "issue us"}};
  const auto cell = [](const std::string& text) {
    std::string out;
    for (const char c : text) out += c == '|' ? "\\|" : std::string(1, static_cast<unsigned char>(c) < ' ' ? ' ' : c);
    return out;
  };
  const auto number = [](const Json& value, const char* format) {
    return value.is_null() ? "" : fmt::format(fmt::runtime(format), value.get<double>());
  };
  const auto type = [&](const Json& row) {
    const auto weights = row["type"].get<std::string>();
    return report.activations == "float" ? weights : fmt::format("{} x {}", weights, report.activations);
  };
  for (const auto& row : rows)
    lines.push_back({cell(row["model"]), byte_size(row["size"]), parameter_count(row["params"]), type(row),
                     cell(row["device"]), row["test"],
                     fmt::format("{:.2f} ± {:.2f}", row["avg_ts"].get<double>(), row["stddev_ts"].get<double>()),
                     percent(row["bandwidth_fraction"]), number(row["ttft_s"], "{:.3f}"),
                     number(row["dispatches"], "{:.0f}"), number(row["dispatches_per_layer"], "{:.1f}"),
                     number(row["barriers"], "{:.0f}"), number(row["issue_us"], "{:.1f}")});
  const auto width = [](const std::string& text) {  // in characters of UTF-8
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
  };
  const std::vector<bool> text_column = {true, false, false, true, true};  // the others are numbers
  std::string out;
  for (std::size_t l = 0; l < lines.size(); ++l) {
    std::string rule = "|";
    out += '|';
    for (std::size_t i = 0; i < lines[l].size(); ++i) {
      std::size_t widest = 0;
      for (const auto& each : lines) widest = std::max(widest, width(each[i]));
      const bool left = i < text_column.size() && text_column[i];
      const std::string padding(widest - width(lines[l][i]), ' ');
      out += left ? ' ' + lines[l][i] + padding + " |" : ' ' + padding + lines[l][i] + " |";
      rule += ' ' + std::string(widest - 1, '-') + (left ? "- |" : ": |");
    }
    out += '\n' + (l == 0 ? rule + '\n' : "");
  }
  const auto repetitions = report.results[0].seconds.size();
  return out +
         fmt::format(
             "\nbandwidth: bytes that the kernels must move a second, over the {:.1f} GB/s that this run measured "
             "reading a buffer larger than the caches\nissue us: CPU time a token in the calls that issue its "
             "dispatches{}\nmean ± standard deviation of {} run{} after a warm-up, on random tokens\n",
             report.roofline.bytes_per_second / 1e9,
             report.software ? "; this driver is software and may run kernels within them" : "", repetitions,
             repetitions == 1 ? "" : "s");
}

int run_bench(const BenchOptions& options) {
  const auto engine = options.model.load();
  const auto tests = tests_of(options, engine->context());
  auto& device = engine->device();
  ProgressBar bar;
  bar.update("measuring the bandwidth", 0, tests.size());
  BenchReport report{*engine,
                     std::string(gpu::name_of(options.model.engine_options().activations)),
                     device.renderer(),
                     device.features().software,
                     gpu::measured_roofline(device, gpu::Measure::anew),
                     {}};
  std::mt19937_64 random(options.seed);
  std::vector<Json> rows;
  for (const auto& test : tests) {
    report.results.push_back(measure(*engine, test, options, random, bar));
    rows.push_back(to_json(report, report.results.back()));
  }
  bar.clear();
  const auto dump = [](const Json& json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace) + '\n';
  };
  std::string out;
  if (options.output == "json")
    out = dump(rows, 2);
  else if (options.output == "jsonl")
    for (const auto& row : rows) out += dump(row, -1);
  else
    out = options.output == "csv" ? csv(rows) : markdown(report, rows);
  write_text("", out);
  return 0;
}

Command add_bench(CLI::App& program, CLI::App*& self) {
  auto options = std::make_shared<BenchOptions>();
  self = program.add_subcommand("bench", "Tokens a second for prompts (pp) and for decode (tg), as llama-bench has it");
  options->model.add_to(*self);
  const auto list = [&](const char* names, std::vector<std::size_t>& values, const char* help) {
    self->add_option(names, values, help)
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(CLI::Range(0, 1 << 30))
        ->capture_default_str();
  };
  list("-p,--n-prompt", options->prompts, "Tokens of a prompt; several as 128,512; 0 leaves prompts out");
  list("-n,--n-gen", options->generations, "Tokens to decode one by one; several as 32,128; 0 leaves decode out");
  list("-d,--n-depth", options->depths, "Tokens in the context before each test, not timed; several as 0,1024");
  self->add_option("-r,--repetitions", options->repetitions, "Timed runs of each test, after one warm-up")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  self->add_option("-s,--seed", options->seed, "Seed of the random tokens")->capture_default_str();
  self->add_option("-o,--output", options->output, "md (to paste), csv, json or jsonl (full precision)")
      ->check(CLI::IsMember({"md", "csv", "json", "jsonl"}))
      ->capture_default_str();
  return [options] { return run_bench(*options); };
}

const CommandRegistration bench_registered{52, add_bench};

}  // namespace
}  // namespace glassbox::app
