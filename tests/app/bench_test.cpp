#include <cmath>
#include <set>
#include <sstream>

#include "model/engine.h"
#include "tests/app/command_line.h"
#include "tests/model/tiny_llama.h"

namespace glassbox::app {
namespace {

using testing::Arguments;
using testing::expect_refused;
using testing::glassbox;
using ::testing::HasSubstr;
using testing::json_of;
using testing::output_of;

class BenchCommand : public ::testing::Test {
 protected:
  BenchCommand() { tiny.write(model, {{"max_position_embeddings", 96}}); }
  Arguments bench(const Arguments& more) const {
    Arguments all{"bench", "-m", model};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  testing::TempDir dir;
  testing::TinyLlama tiny;
  const std::string model = dir.path() / "tiny";
};

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST_F(BenchCommand, JsonHasARowForEachPromptAndEachDecode) {
  const auto rows = json_of(bench({"-p", "5,0,70", "-n", "3", "-r", "3", "-o", "json"}));
  ASSERT_EQ(rows.size(), 3U);
  std::size_t params = 0;
  for (const auto& [name, tensor] : tiny.tensors) params += tensor.values.size();
  const std::pair<std::size_t, std::size_t> sizes[] = {{5, 0}, {70, 0}, {0, 3}};
  const char* names[] = {"pp5", "pp70", "tg3"};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& row = rows[i];
    EXPECT_EQ(row["test"], names[i]);
    EXPECT_EQ(row["n_prompt"], sizes[i].first);
    EXPECT_EQ(row["n_gen"], sizes[i].second);
    EXPECT_EQ(row["n_depth"], 0);
    EXPECT_EQ(row["model"], "tiny");
    EXPECT_EQ(row["type"], "f32");
    EXPECT_EQ(row["params"], params);
    EXPECT_EQ(row["size"], 4 * params);
    EXPECT_EQ(row["device"], rows[0]["device"]);
    EXPECT_FALSE(row["device"].get<std::string>().empty());
    EXPECT_EQ(row.size(), 22U);

    const auto samples = row["samples_ts"].get<std::vector<double>>();
    ASSERT_EQ(samples.size(), 3U);
    for (const double sample : samples) EXPECT_GT(sample, 0);
    const double mean = (samples[0] + samples[1] + samples[2]) / 3;
    const double squares =
        samples[0] * samples[0] + samples[1] * samples[1] + samples[2] * samples[2] - 3 * mean * mean;
    EXPECT_NEAR(row["avg_ts"].get<double>(), mean, 1e-9 * mean);
    EXPECT_NEAR(row["stddev_ts"].get<double>(), std::sqrt(squares / 2), 1e-5 * mean);
    EXPECT_NEAR(row["bandwidth_fraction"].get<double>() * row["bandwidth"].get<double>(),
                row["bytes_per_token"].get<double>() * mean, 1e-6 * row["bytes_per_token"].get<double>() * mean);
    for (const char* key : {"dispatches", "barriers", "dispatches_per_layer", "issue_us"})
      EXPECT_EQ(row[key].is_null(), i < 2) << key;
    EXPECT_EQ(row["ttft_s"].is_null(), i == 2);
  }
  // Tokens over seconds, three times: the mean of seconds from the rates.
  const auto rates = rows[0]["samples_ts"].get<std::vector<double>>();
  EXPECT_NEAR(rows[0]["ttft_s"].get<double>() * 3, 5 / rates[0] + 5 / rates[1] + 5 / rates[2], 1e-9);
}
TEST_F(BenchCommand, CountsWhatTheEnginesPlansHold) {
  const auto decode = json_of(bench({"-p", "0", "-n", "4", "-d", "6", "-r", "1", "-o", "json"})).at(0);
  EXPECT_EQ(decode["test"], "tg4 @ d6");
  EXPECT_EQ(decode["n_depth"], 6);
  EXPECT_EQ(decode["stddev_ts"], 0);
  model::Engine engine({.model = model});
  std::size_t dispatches = 0, barriers = 0, in_layers = 0;
  double bytes = 0;
  engine.feed(std::vector<std::uint32_t>{1, 2, 3, 4, 5, 6});
  engine.on_step([&](const model::EngineStep& step) {
    dispatches += step.plan.dispatches().size();
    barriers += step.plan.barriers();
    for (const auto& each : step.plan.steps()) {
      bytes += each.primitive->cost(each.inputs, each.outputs).bytes;
      if (each.layer >= 0) in_layers += each.count;
    }
    step.plan.run();
  });
  for (std::uint32_t id = 7; id < 11; ++id) engine.feed(std::span(&id, 1));
  EXPECT_EQ(decode["dispatches"], double(dispatches) / 4);
  EXPECT_EQ(decode["barriers"], double(barriers) / 4);
  EXPECT_EQ(decode["dispatches_per_layer"], double(in_layers) / 4 / double(tiny.s.layers));
  EXPECT_EQ(decode["bytes_per_token"], bytes / 4);
  EXPECT_GT(decode["dispatches_per_layer"].get<double>(), 1);
  EXPECT_GT(decode["issue_us"].get<double>(), 0);
  // Every weight but the embedding's other rows is read for each token.
  std::size_t read = 0;
  for (const auto& [name, tensor] : tiny.tensors)
    if (name != "model.embed_tokens.weight") read += 4 * tensor.values.size();
  EXPECT_GT(bytes / 4, double(read));
}
TEST_F(BenchCommand, SaysWhichActivationsItMeasured) {
  for (const char* activations : {"float", "int8", "half"}) {
    const auto rows = json_of(bench({"-p", "0", "-n", "1", "-r", "1", "-o", "json", "--activations", activations}));
    EXPECT_EQ(rows.at(0)["activations"], activations);
  }
  EXPECT_THAT(output_of(bench({"-p", "0", "-n", "1", "-r", "1", "--activations", "half"})), HasSubstr(" x half |"));
}
TEST_F(BenchCommand, FusionOffTakesMoreDispatches) {
  const auto dispatches = [&](const char* fusion) {
    const auto rows = json_of(bench({"-p", "0", "-n", "2", "-r", "1", "-o", "json", "--fusion", fusion}));
    return rows.at(0)["dispatches"].get<double>();
  };
  EXPECT_GT(dispatches("off"), dispatches("on"));
}
TEST_F(BenchCommand, JsonLinesAreTheSameObjects) {
  const auto lines = lines_of(output_of(bench({"-p", "4", "-n", "2", "-r", "2", "-o", "jsonl"})));
  ASSERT_EQ(lines.size(), 2U);
  const auto prompt = nlohmann::json::parse(lines[0]), decode = nlohmann::json::parse(lines[1]);
  EXPECT_EQ(prompt["test"], "pp4");
  EXPECT_EQ(decode["test"], "tg2");
  EXPECT_EQ(prompt.size(), 22U);
  EXPECT_EQ(decode["samples_ts"].size(), 2U);
}
TEST_F(BenchCommand, CsvHasAFieldForEachColumn) {
  const auto lines = lines_of(output_of(bench({"-p", "4", "-n", "2", "-r", "1", "-o", "csv"})));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines[0],
              HasSubstr("model,size,params,type,activations,device,software,test,n_prompt,n_gen,n_depth,avg_ts,"));
  EXPECT_THAT(lines[1], HasSubstr(",pp4,4,0,0,"));
  EXPECT_THAT(lines[2], HasSubstr(",tg2,0,2,0,"));
  std::set<std::ptrdiff_t> fields;
  for (const auto& line : lines) {
    bool quoted = false;
    fields.insert(std::count_if(line.begin(), line.end(), [&](char c) {
      quoted ^= c == '"';
      return c == ',' && !quoted;
    }));
  }
  EXPECT_EQ(fields, std::set<std::ptrdiff_t>{20});
}
TEST_F(BenchCommand, MarkdownIsATable) {
  const auto lines = lines_of(output_of(bench({"-p", "4", "-n", "2", "-r", "2"})));
  ASSERT_GE(lines.size(), 6U);
  const auto cells = std::count(lines[0].begin(), lines[0].end(), '|');
  EXPECT_THAT(lines[0], HasSubstr("| model |"));
  EXPECT_THAT(lines[1], HasSubstr("--: |"));
  EXPECT_THAT(lines[2], HasSubstr(" pp4 "));
  EXPECT_THAT(lines[3], HasSubstr(" tg2 "));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(std::count(lines[i].begin(), lines[i].end(), '|'), cells) << lines[i];
  for (std::size_t i = 2; i < 4; ++i) EXPECT_THAT(lines[i], HasSubstr(" ± "));
  EXPECT_EQ(lines[4], "");
  EXPECT_THAT(lines[5], HasSubstr("GB/s that this run measured"));
}
TEST_F(BenchCommand, BadInputIsOneLine) {
  expect_refused(glassbox(bench({"-o", "xml"})), "xml");
  expect_refused(glassbox(bench({"-r", "0"})), "--repetitions");
  expect_refused(glassbox(bench({"-p", "-4"})), "--n-prompt: Value -4 not in range");
  expect_refused(glassbox(bench({"-n", "12,x"})), "--n-gen");
  expect_refused(glassbox(bench({"-p", "1", "2"})), "2");
  expect_refused(glassbox(bench({"-p", "97", "-n", "0"})), "-p 97 does not fit the context of 96");
  expect_refused(glassbox(bench({"-p", "4", "-n", "97"})), "-n 97 does not fit the context of 96");
  expect_refused(glassbox(bench({"-p", "4,18446744073709551615"})), "--n-prompt");
  expect_refused(glassbox(bench({"-p", "4", "-n", "8", "-c", "6"})), "-n 8 does not fit the context of 6");
  expect_refused(glassbox(bench({"-p", "0", "-n", "8", "-d", "90"})), "-n 8 after -d 90 does not fit the context");
  expect_refused(glassbox(bench({"-p", "0", "-n", "0"})), "nothing to measure");
  expect_refused(glassbox({"bench", "-m", "/no/such"}), "/no/such");
}

}  // namespace
}  // namespace glassbox::app
