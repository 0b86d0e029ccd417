#include "gpu/ops/packed_tune.h"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "gpu/ops/half_projection.h"
#include "gpu/plan.h"
#include "tests/gpu/runtime_support.h"

namespace glassbox::testing {
namespace {

using gpu::Activations;
using gpu::PackedCase;
using gpu::PackedChoice;
using gpu::PackedFormat;
using gpu::PackedTable;
using gpu::PackedVariant;
using gpu::Tune;
using PackedKernel = PackedVariant::Kernel;
using Json = nlohmann::ordered_json;

constexpr PackedCase one_token{PackedFormat::q4_0, 48, 288, 1}, chunk{PackedFormat::q8_0, 48, 288, 64};

/// Tables of the test's own: an empty cache directory, and nothing picked on the device before and after.
class PackedTune : public GpuTest {
 protected:
  PackedTune() { table() = {}; }
  ~PackedTune() override { table() = {}; }

  static PackedTable& table() { return device().packed_table(); }
  static std::filesystem::path file() { return PackedTable::file(device()).value(); }
  static std::string text() {
    std::ifstream stream(file());
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  static void write(std::string_view contents) { std::ofstream(file()) << contents; }
  static PackedTable loaded() {
    PackedTable fresh;
    fresh.load(device());
    return fresh;
  }
  /// Something that no rule and no measurement would come up with.
  static PackedChoice planted() {
    return {.variant = {.kernel = PackedKernel::group, .local_size = 8, .tokens = 1, .tiles = 8},
            .us = 12.5,
            .rule_us = 99};
  }
  /// Cases that tuning measures.
  static std::size_t measured(Tune tune) {
    std::size_t cases = 0;
    gpu::tune_packed(device(), tune, [&](std::size_t, std::size_t total) { cases = total; });
    return cases;
  }
  gpu::PackedMatrix matrix(const PackedCase& of) {
    return gpu::packed_from_bytes(of.format, of.rows, of.columns,
                                  gpu::random_blocks(random, of.format, of.rows, of.columns));
  }

  TempDir directory;
  ScopedEnvironment cache{"XDG_CACHE_HOME", directory.path().c_str()};
};

TEST_F(PackedTune, TableComesBackFromItsFile) {
  PackedTable saved;
  saved.set(one_token, planted());
  saved.set(chunk, {.variant = {.kernel = PackedKernel::tokens, .local_size = 8, .rows = 4, .vectors = 2}, .us = 3});
  saved.save(device());
  const auto back = loaded();
  ASSERT_EQ(back.choices().size(), 2U);
  for (const auto& [of, choice] : saved.choices()) {
    ASSERT_TRUE(back.find(of));
    EXPECT_EQ(back.find(of)->variant, choice.variant);
    EXPECT_EQ(back.find(of)->us, choice.us);
    EXPECT_EQ(back.find(of)->rule_us, choice.rule_us);
  }
}

TEST_F(PackedTune, TableOfAnotherDriverOrOtherShadersIsNotUsedAndReplaced) {
  for (const char* key : {"device", "driver", "shaders"}) {
    PackedTable saved;
    saved.set(one_token, planted());
    saved.save(device());
    auto json = Json::parse(text());
    json[key] = json[key].get<std::string>() + " 2";
    write(json.dump());
    auto table = loaded();
    EXPECT_TRUE(table.choices().empty()) << key;
    table.set(chunk, {.variant = {.kernel = PackedKernel::tokens, .local_size = 8}});
    table.save(device());
    EXPECT_EQ(loaded().choices().size(), 1U) << key;
  }
}

TEST_F(PackedTune, TableOfAnotherDeviceIsAnotherFile) {
  if (!device().pretended().empty()) GTEST_SKIP() << "its limits are those of es31 already";
  const auto own = file();
  on_own_device({.index = device_index(), .limits = "es31"},
                [&](gpu::Device& other) { EXPECT_NE(PackedTable::file(other).value(), own); });
}

TEST_F(PackedTune, WhatIsNoTableIsNamedInOneLineAndLeftAlone) {
  const auto path = file().string();
  for (const char* broken : {"", "{", "[]", "7", R"({"packed_matmul": 7})", R"({"device": "x"})", "\xff\xfe{}"}) {
    write(broken);
    PackedTable table;
    table.set(one_token, planted());
    EXPECT_ERROR(table.load(device()), path + ": a JSON object with an array 'packed_matmul' was expected");
    EXPECT_TRUE(table.choices().empty()) << broken;
    table.save(device());
    EXPECT_EQ(text(), broken);

    ::testing::internal::CaptureStderr();
    gpu::load_packed_table(device(), Tune::on);
    const auto warning = ::testing::internal::GetCapturedStderr();
    EXPECT_THAT(warning, ::testing::StartsWith("glassbox: warning: " + path));
    EXPECT_EQ(std::count(warning.begin(), warning.end(), '\n'), 1) << warning;
  }
}

TEST_F(PackedTune, EntriesThatCannotBeAreNamed) {
  PackedTable saved;
  saved.set(one_token, planted());
  saved.save(device());
  const auto good = Json::parse(text());
  const auto expect_refused = [&](const char* at, const Json& value, const std::string& part) {
    auto json = good;
    json["packed_matmul"][0][Json::json_pointer(at)] = value;
    write(json.dump());
    EXPECT_ERROR(loaded(), file().string() + ": entry 0 of 'packed_matmul': " + part);
  };
  expect_refused("/format", "q3", "'format' is none");
  expect_refused("/format", 4, "'format' must be a name");
  expect_refused("/rows", 0, "'rows' must be a whole number");
  expect_refused("/rows", 1.5, "'rows' must be a whole number");
  expect_refused("/columns", "288", "'columns' must be a number");
  expect_refused("/columns", 1e300, "'columns' must be a number");
  expect_refused("/tokens", 3, "'tokens' must be a power of two");
  expect_refused("/activations", 1, "'activations' must be a name");
  expect_refused("/activations", "int8", "this device does not run group");
  expect_refused("/us", -1, "'us' must be a number");
  expect_refused("/variant", 7, "'kernel' must be a name");
  expect_refused("/variant/kernel", "warp", "'kernel' is none");
  expect_refused("/variant/local_size", 24, "this device does not run group, 24 invocations");
  expect_refused("/variant/local_size", 1 << 20, "this device does not run group");
  expect_refused("/variant/tiles", 3, "this device does not run group");
  expect_refused("/variant/kernel", "tile", "this device does not run tile");
  auto json = good;
  json["packed_matmul"][0]["tokens"] = 64;
  json["packed_matmul"][0]["variant"]["kernel"] = "lanes";
  write(json.dump());
  EXPECT_ERROR(loaded(), "this device does not run lanes, 256 columns on 64 tokens");
  json["packed_matmul"] = Json::array({7});
  write(json.dump());
  EXPECT_ERROR(loaded(), "entry 0 of 'packed_matmul': 'format' must be a name");
}

TEST_F(PackedTune, ChoiceServesTokensUpToItsPowerOfTwo) {
  const auto layout = chunk.layout();
  const PackedVariant picked{.kernel = PackedKernel::group, .local_size = 16, .tokens = 4, .tiles = 8};
  table().set(chunk, {.variant = picked});
  for (const std::size_t tokens : {33, 50, 64}) EXPECT_EQ(gpu::packed_variant(device(), layout, tokens), picked);
  for (const std::size_t tokens : {1, 32, 65})
    EXPECT_EQ(gpu::packed_variant(device(), layout, tokens), gpu::packed_rule(device(), layout, tokens));
  for (const gpu::PackedLayout other :
       {gpu::PackedLayout{chunk.format, 56, chunk.columns}, gpu::PackedLayout{chunk.format, chunk.rows, 320},
        gpu::PackedLayout{PackedFormat::q4_0, chunk.rows, chunk.columns}})
    EXPECT_EQ(gpu::packed_variant(device(), other, 64), gpu::packed_rule(device(), other, 64));
}

TEST_F(PackedTune, RoundedActivationsAreAnotherCase) {
  if (!device().features().software) GTEST_SKIP() << "GPUs round nothing";
  const auto layout = one_token.layout();
  const auto rounded = gpu::packed_variant(device(), layout, 1, gpu::Activations::int8);
  EXPECT_EQ(rounded.activations, gpu::Activations::int8);
  table().set(one_token, planted());
  EXPECT_EQ(gpu::packed_variant(device(), layout, 1), planted().variant);
  EXPECT_EQ(gpu::packed_variant(device(), layout, 1, gpu::Activations::int8), rounded);
  const PackedVariant wide{
      .kernel = PackedKernel::lanes, .local_size = 8, .chunks = 3, .activations = gpu::Activations::int8};
  table().set(gpu::packed_case(layout, 1, gpu::Activations::int8), {.variant = wide});
  EXPECT_EQ(gpu::packed_variant(device(), layout, 1, gpu::Activations::int8), wide);
}

TEST_F(PackedTune, ChoiceIsWhatRuns) {
  const auto w = matrix(one_token);
  const auto x = random.normal({1, one_token.columns}), norm = random.normal({one_token.columns});
  table().set(one_token, planted());
  for (const auto& y : {gpu::packed_matmul(x, w), gpu::packed_projection(x, w, {.norm = norm, .eps = 1e-5f}),
                        gpu::packed_projection(x, w, {.norm = norm, .eps = 1e-5f, .gated = 20})}) {
    expect_within_tolerance(y);
    const auto plan = gpu::Plan::record({gpu::packed_matmul(x, w)});
    EXPECT_EQ(plan.dispatches().at(0).kernel, "packed_matmul_group");
  }
}

TEST_F(PackedTune, EveryCandidateIsRight) {
  const auto& limits = device().limits();
  struct Kind {
    PackedFormat format;
    bool software;
    Activations activations = Activations::f32;
  };
  for (const auto& [format, software, activations] :
       {Kind{PackedFormat::f16, true}, Kind{PackedFormat::f16, false}, Kind{PackedFormat::q4_0, true},
        Kind{PackedFormat::q4_0, true, Activations::int8}, Kind{PackedFormat::q4_0, false},
        Kind{PackedFormat::q4_0, false, Activations::half}})
    for (const std::size_t tokens : {1, 64}) {
      const PackedCase of{format, random.integer(60, 90), 800, tokens, activations};
      auto candidates = gpu::packed_candidates(limits, software, of);
      // Of the kernels for many tokens the tile alone has half precision, and a workgroup of 256.
      const bool none = activations == Activations::half && tokens > 1 && limits.invocations < 256;
      ASSERT_EQ(candidates.empty(), none);
      if (none) continue;
      for (const auto& variant : candidates) EXPECT_TRUE(gpu::packed_fits(limits, variant, tokens));
      // Those of the other kind of device take long to compile: another one in each run.
      std::shuffle(candidates.begin(), candidates.end(), random.engine());
      if (software != device().features().software) candidates.resize(1);
      const auto w = matrix(of);
      for (const auto& variant : candidates) {
        SCOPED_TRACE(fmt::format("{} of {} rows x {} tokens", describe(variant), of.rows, tokens));
        const auto x = random.normal({tokens, of.columns});
        const bool half = variant.kernel == PackedKernel::group && activations == Activations::half;
        expect_within_tolerance(half ? gpu::half_projection({x, {}}, w, {.variant = variant}).y
                                     : gpu::packed_matmul_parts(x, w, variant));
      }
    }
}

TEST_F(PackedTune, CandidatesDifferAndHeedLimits) {
  for (const bool software : {true, false})
    for (const std::size_t tokens : {1, 2, 16, 512}) {
      gpu::Limits large{.invocations = 1024, .shared_bytes = 49152}, small{.invocations = 128, .shared_bytes = 16384};
      const PackedCase of{PackedFormat::q4_0, 4096, 4096, tokens};
      const auto all = gpu::packed_candidates(large, software, of), some = gpu::packed_candidates(small, software, of);
      std::set<std::string> names;
      for (const auto& variant : all) names.insert(describe(variant));
      EXPECT_EQ(names.size(), all.size());
      EXPECT_EQ(some.empty(), software && tokens == 2) << "where the rule's alone will do";
      for (const auto& variant : some) {
        EXPECT_LE(variant.local_size, 128U);
        EXPECT_THAT(all, ::testing::Contains(variant));
      }
      if (!software) EXPECT_LT(some.size(), all.size());
    }
}

TEST_F(PackedTune, MeasuresACandidate) {
  for (const auto& of : {one_token, chunk}) {
    const auto choice = gpu::measure_packed(device(), of, 3, random);
    EXPECT_GT(choice.us, 0);
    EXPECT_LE(choice.us, choice.rule_us);
    EXPECT_TRUE(gpu::packed_fits(device().limits(), choice.variant, of.tokens));
    if (choice.us == choice.rule_us) EXPECT_EQ(choice.variant, gpu::packed_rule(device(), of.layout(), of.tokens));
  }
}

TEST_F(PackedTune, OffKnowsNoTable) {
  PackedTable saved;
  saved.set(one_token, planted());
  saved.save(device());
  gpu::load_packed_table(device(), Tune::off);
  EXPECT_EQ(gpu::packed_variant(device(), one_token.layout(), 1), gpu::packed_rule(device(), one_token.layout(), 1));
  EXPECT_EQ(measured(Tune::off), 0U);
}

TEST_F(PackedTune, CachedMeasuresNothing) {
  PackedTable saved;
  saved.set(one_token, planted());
  saved.save(device());
  gpu::load_packed_table(device(), Tune::cached);
  EXPECT_EQ(gpu::packed_variant(device(), one_token.layout(), 1), planted().variant);
  EXPECT_EQ(gpu::packed_variant(device(), chunk.layout(), 64), gpu::packed_rule(device(), chunk.layout(), 64));
  EXPECT_EQ(measured(Tune::cached), 0U);
  EXPECT_EQ(loaded().choices().size(), 1U);
}

TEST_F(PackedTune, OnMeasuresAndKeepsWhatIsMissing) {
  PackedTable saved;
  saved.set(one_token, planted());
  saved.save(device());
  gpu::load_packed_table(device(), Tune::on);
  gpu::packed_variant(device(), one_token.layout(), 1);
  gpu::packed_variant(device(), chunk.layout(), 60);
  EXPECT_EQ(measured(Tune::on), 1U);
  EXPECT_EQ(loaded().choices().size(), 2U);
  EXPECT_EQ(loaded().find(one_token)->us, planted().us);
  EXPECT_EQ(loaded().find(chunk)->us, table().find(chunk)->us);
  EXPECT_EQ(measured(Tune::on), 0U) << "it has everything now";
  EXPECT_EQ(measured(Tune::anew), 2U);
  EXPECT_NE(loaded().find(one_token)->us, planted().us);
}

TEST_F(PackedTune, WithoutACacheDirectoryItIsKeptInMemory) {
  const ScopedEnvironment nowhere("XDG_CACHE_HOME", "/proc/self");
  gpu::load_packed_table(device(), Tune::on);
  gpu::packed_variant(device(), one_token.layout(), 1);
  EXPECT_EQ(measured(Tune::on), 1U);
  EXPECT_TRUE(table().find(one_token));
}

TEST_F(PackedTune, PolicyIsTheEnvironmentsOrTheDevices) {
  for (const auto& [text, tune] : {std::pair("off", Tune::off), {"cached", Tune::cached}, {"on", Tune::on}}) {
    const ScopedEnvironment given("GLASSBOX_TUNE", text);
    EXPECT_EQ(gpu::default_tune(device()), tune);
  }
  for (const char* wrong : {"anew", "ON", "1"}) {
    const ScopedEnvironment given("GLASSBOX_TUNE", wrong);
    EXPECT_ERROR(gpu::default_tune(device()), "GLASSBOX_TUNE must be off, cached or on");
  }
  for (const char* none : {"", static_cast<const char*>(nullptr)}) {
    const ScopedEnvironment given("GLASSBOX_TUNE", none);
    EXPECT_EQ(gpu::default_tune(device()), device().features().software ? Tune::cached : Tune::on);
  }
}

}  // namespace
}  // namespace glassbox::testing
