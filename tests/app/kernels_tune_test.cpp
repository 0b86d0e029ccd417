#include <filesystem>
#include <fstream>

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
using Json = nlohmann::json;

class KernelsTune : public ::testing::Test {
 protected:
  KernelsTune() { tiny.write(model, {{"max_position_embeddings", 96}}); }
  Arguments tune(const Arguments& more) const {
    Arguments all{"kernels", "tune"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Arguments of_model(Arguments more) const {
    more.insert(more.begin(), {"-m", model});
    return tune(more);
  }
  Arguments logits(const char* name, Arguments more = {}) const {
    more.insert(more.begin(), {"logits", "-m", model, "--tokens", "1,2,3", "--out", dir.path() / name});
    return more;
  }
  std::string bytes_of(const char* name) const {
    std::ifstream stream(dir.path() / name);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  Json json(const Arguments& arguments) const { return json_of(arguments, environment); }
  static Json contents(const std::filesystem::path& path) {
    std::ifstream stream(path);
    return Json::parse(stream);
  }

  testing::TempDir dir, caches;
  testing::TinyLlama tiny;
  const std::string model = dir.path() / "tiny";
  const testing::Environment environment{{"XDG_CACHE_HOME", caches.path()}};
};

TEST_F(KernelsTune, MeasuresAModelOnceKeepsItShowsItAndForgetsIt) {
  const auto measured = json(of_model({"-o", "json"}));
  const auto& rows = measured["packed_matmul"];
  ASSERT_GE(rows.size(), 9U);
  for (const auto& row : rows) {
    EXPECT_EQ(row["format"], "f32");
    EXPECT_GT(row["us"].get<double>(), 0);
    EXPECT_LE(row["us"].get<double>(), row["rule_us"].get<double>());
    EXPECT_FALSE(row["variant"].get<std::string>().empty());
  }
  const std::filesystem::path file = measured["file"].get<std::string>();
  EXPECT_TRUE(file.string().starts_with(caches.path().string()));
  auto kept = contents(file);
  EXPECT_EQ(kept["device"], measured["device"]);
  EXPECT_EQ(kept["packed_matmul"].size(), rows.size());

  // What stands in the file counts, a person's edits included, until it is measured anew.
  kept["packed_matmul"][0]["us"] = 31337;
  std::ofstream(file) << kept.dump();
  EXPECT_EQ(json(of_model({"-o", "json"}))["packed_matmul"][0]["us"], 31337);
  EXPECT_EQ(json(tune({"--show", "-o", "json"}))["packed_matmul"][0]["us"], 31337);
  const auto text = output_of(tune({"--show"}), environment);
  for (const char* part : {"format", "rows x columns", "tokens", "variant", "31337", "rule's us", "GB/s", "f32"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_NE(json(of_model({"--force", "-o", "json"}))["packed_matmul"][0]["us"], 31337);
  EXPECT_EQ(output_of(tune({"--clear"}), environment), "removed " + file.string() + "\n");
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_EQ(output_of(tune({"--clear"}), environment), "nothing is kept for this device\n");
  EXPECT_TRUE(json(tune({"--show", "-o", "json"}))["packed_matmul"].empty());
}

TEST_F(KernelsTune, LoadingAModelTunesWhereAskedTo) {
  const auto kept = [&] { return json(tune({"--show", "-o", "json"}))["packed_matmul"].size(); };
  const auto load_with = [&](const char* policy) { output_of(logits("x", {"--tune", policy}), environment); };
  load_with("off");
  load_with("cached");
  EXPECT_EQ(kept(), 0U);
  load_with("on");
  EXPECT_GE(kept(), 9U);
  load_with("cached");
}

TEST_F(KernelsTune, ABrokenTableIsOneWarningAndNoError) {
  const std::filesystem::path file = json(tune({"--show", "-o", "json"}))["file"].get<std::string>();
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << "{\"packed_matmul\": [";
  auto cached = environment;
  cached["GLASSBOX_TUNE"] = "cached";
  const auto result = glassbox(logits("warned"), cached);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.err.starts_with("glassbox: warning: " + file.string())) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  output_of(logits("off"), environment);
  EXPECT_EQ(bytes_of("warned"), bytes_of("off"));
  EXPECT_EQ(output_of(tune({"--clear"}), cached), "removed " + file.string() + "\n");
}

TEST_F(KernelsTune, BadInputIsOneLine) {
  expect_refused(glassbox(tune({"--force", "--show"})), "--show");
  expect_refused(glassbox(tune({"--clear", "--show"})), "--clear");
  expect_refused(glassbox(tune({"-o", "xml"})), "xml");
  expect_refused(glassbox(tune({"-m", "/no/such"})), "/no/such");
  expect_refused(glassbox(logits("x", {"--tune", "maybe"})), "--tune");
  expect_refused(glassbox(logits("x"), {{"GLASSBOX_TUNE", "maybe"}}), "GLASSBOX_TUNE must be off, cached or on");
}

}  // namespace
}  // namespace glassbox::app
