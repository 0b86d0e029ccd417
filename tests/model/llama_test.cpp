#include "model/llama.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numbers>
#include <thread>

#include "model/engine.h"
#include "model/generate.h"
#include "model/safetensors.h"
#include "tests/model/tiny_llama.h"

// Whole models against the logits that transformers computes for them in float64.
namespace glassbox::model {
namespace {

using glassbox::testing::argmax;
using glassbox::testing::data_dir;
using glassbox::testing::nmse;
using glassbox::testing::shared_dir;
using glassbox::testing::TempDir;
using glassbox::testing::write_file;
using Ids = std::vector<std::uint32_t>;

struct Reference {
  explicit Reference(const std::filesystem::path& directory) {
    const auto expected = nlohmann::json::parse(std::ifstream(directory / "expected.json"));
    ids = expected["ids"].get<Ids>();
    prompt = expected["prompt_ids"].get<Ids>();
    greedy = expected["greedy"].get<Ids>();
    logits = Safetensors::open(directory / "expected.safetensors").values("logits");
  }
  Ids ids, prompt, greedy;
  std::vector<double> logits;
};

/// How an engine is set up, and the NMSE of its logits that the number formats justify.
struct Case {
  std::string name;
  double bound = 1e-10;  // the contract is 1e-9; float32 kernels reach 1e-12
  gpu::Fusion fusion = gpu::Fusion::on;
  std::size_t chunk = 0;
  gpu::Device::Options device = {};
  gpu::CacheType cache = gpu::CacheType::f32;
};
void PrintTo(const Case& of, std::ostream* out) { *out << of.name; }

EngineOptions options(const std::filesystem::path& model, const Case& of = {}) {
  return {.model = model,
          .device = of.device,
          .fusion = of.fusion,
          .chunk = of.chunk,
          .key_cache = of.cache,
          .value_cache = of.cache};
}

const std::vector<Case> ways_to_run = {
    {.name = "default"},
    {.name = "composed", .fusion = gpu::Fusion::off},
    {.name = "ssbo", .device = {.load_path = gpu::LoadPath::ssbo}},
    {.name = "image", .device = {.load_path = gpu::LoadPath::image}},
    {.name = "texel", .device = {.load_path = gpu::LoadPath::texel}},
    {.name = "chunks_of_1", .chunk = 1},
    {.name = "chunks_of_5", .chunk = 5},
    {.name = "chunks_of_64", .chunk = 64},
    {.name = "composed_chunks_of_5", .fusion = gpu::Fusion::off, .chunk = 5},
    {.name = "es31", .device = {.limits = "es31"}},
    {.name = "es31_composed", .fusion = gpu::Fusion::off, .device = {.limits = "es31"}},
    // Keys and values are rounded to 11 bits: an error of (2^-11)^2/12 = 2e-8 of their power each, which these random
    // models amplify; 1e-6 measured.
    {.name = "f16_cache", .bound = 5e-6, .cache = gpu::CacheType::f16},
};

class WholeModel : public ::testing::TestWithParam<std::tuple<const char*, Case>> {
 protected:
  void SetUp() override {
    if (std::string(name()).starts_with("data/")) {
      directory = data_dir() / std::filesystem::path(name()).filename();
      if (!std::filesystem::exists(directory)) GTEST_SKIP() << "needs " << directory;
    } else {
      REQUIRE_SHARED(std::string("models/") + name());
      directory = shared_dir() / "models" / name();
    }
  }
  static const char* name() { return std::get<0>(GetParam()); }
  static const Case& of() { return std::get<1>(GetParam()); }
  std::filesystem::path directory;
};

TEST_P(WholeModel, MatchesFloat64AndItsGreedyTokens) {
  const Reference reference(directory);
  Engine engine(options(directory, of()));
  const auto logits = engine.feed_all(reference.ids);
  EXPECT_LE(nmse(logits, reference.logits), of().bound);
  if (of().cache != gpu::CacheType::f32) return;  // near ties may fall either way
  engine.rewind(0);
  auto next = engine.feed(reference.prompt);
  Ids greedy;
  for (std::size_t i = 0; i < reference.greedy.size(); ++i) {
    greedy.push_back(argmax(*next));
    next = engine.feed(std::span(&greedy.back(), 1));
  }
  EXPECT_EQ(greedy, reference.greedy);
}

INSTANTIATE_TEST_SUITE_P(Models, WholeModel,
                         ::testing::Combine(::testing::Values("llama_gqa", "llama_tied_rope3", "data/gqa_f16",
                                                              "data/tied_rope3_bias_bf16", "data/odd_sharded_f32"),
                                            ::testing::ValuesIn(ways_to_run)),
                         [](const auto& test) {
                           const auto path = std::filesystem::path(std::get<0>(test.param));
                           return path.filename().string() + "_" + std::get<1>(test.param).name;
                         });

TEST(Llama, DecodingTokenByTokenGivesTheLogitsOfThePrefill) {
  REQUIRE_SHARED("models/llama_tied_rope3");
  const Reference reference(shared_dir() / "models/llama_tied_rope3");
  Engine engine(options(shared_dir() / "models/llama_tied_rope3"));
  std::vector<float> rows;
  for (const auto id : reference.ids) {
    const auto row = engine.feed(std::span(&id, 1));
    rows.insert(rows.end(), row->begin(), row->end());
  }
  EXPECT_LE(nmse(rows, reference.logits), 1e-10);
}

// The text every implementation of this model gives, ../shared/README.md.
constexpr std::string_view once_upon =
    ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. "
    "She wanted to play with it, but it was too high.";

const std::filesystem::path stories = "models/stories260K";

std::string continued(Engine& engine, std::size_t tokens) {
  const auto prompt = engine.tokenizer().encode("Once upon a time", true);
  return generate(engine, {.prompt = prompt, .max_tokens = tokens, .sampling = {.temperature = 0}}, nullptr).text;
}

class Stories : public ::testing::TestWithParam<const char*> {};
TEST_P(Stories, TellsTheReferenceText) {
  REQUIRE_SHARED(stories);
  Engine engine(options(shared_dir() / stories / GetParam()));
  EXPECT_EQ(continued(engine, 80).substr(0, once_upon.size()), once_upon);
}
INSTANTIATE_TEST_SUITE_P(Files, Stories, ::testing::Values("", "stories260K-f32.gguf", "stories260K-f16.gguf"),
                         [](const auto& test) {
                           return *test.param ? std::string(test.param).substr(12, 3) + "_gguf"
                                              : std::string("safetensors");
                         });

std::vector<float> story_logits(const char* file) {
  Engine engine(options(shared_dir() / stories / file));
  return engine.feed_all(engine.tokenizer().encode("Once upon a time, there was a little girl named Lily.", true));
}

TEST(Llama, QuantisedWeightsGiveLogitsNearFloat32s) {
  REQUIRE_SHARED(stories);
  const auto f32 = story_logits("stories260K-f32.gguf");
  EXPECT_LE(nmse(story_logits(""), f32), 1e-10) << "safetensors and GGUF hold the same weights";
  // Rounding to a step of 1/127 (q8_0) and 1/8 (q4_0) of a block's largest of 32 weights, about 2 deviations: an error
  // of (2/127)^2/12 = 2e-5 and (2/8)^2/12 = 5e-3 of a weight's power. Seven matrices in each of five layers add up.
  const double q8 = nmse(story_logits("stories260K-q8_0.gguf"), f32),
               q4 = nmse(story_logits("stories260K-q4_0.gguf"), f32);
  EXPECT_LE(q8, 1e-3);
  EXPECT_LE(q4, 0.1);
  EXPECT_GT(q8, 1e-8) << "these are other weights";
  EXPECT_GT(q4, q8);
}

TEST(Llama, GivesTheSameBitsInEveryRunAndEveryEngine) {
  REQUIRE_SHARED("models/llama_gqa");
  const auto model = shared_dir() / "models/llama_gqa";
  const Ids ids = Reference(model).ids;
  const auto run = [&](std::vector<std::vector<float>>& all) {
    Engine engine(options(model));
    for (int i = 0; i < 2; ++i) {
      engine.rewind(0);
      all.push_back(engine.feed_all(ids));
    }
    engine.rewind(0);
    all.push_back(*engine.feed(ids));
  };
  // Two engines at the same time, each on its own thread, then a third.
  std::vector<std::vector<float>> first, second, third;
  std::thread beside([&] { run(first); });
  run(second);
  beside.join();
  run(third);
  EXPECT_EQ(second[0], second[1]);
  EXPECT_EQ(first, second);
  EXPECT_EQ(first, third);
}

TEST(Llama, BothStylesOfConfigAreTheSameModel) {
  REQUIRE_SHARED("models/llama_tied_rope3");
  const auto today = shared_dir() / "models/llama_tied_rope3";
  const TempDir dir;
  for (const auto& entry : std::filesystem::directory_iterator(today))
    if (entry.path().filename() != "config.json")
      std::filesystem::create_symlink(entry.path(), dir.path() / entry.path().filename());
  auto config = nlohmann::json::parse(std::ifstream(today / "config.json"));
  config["rope_scaling"] = config["rope_parameters"];
  config["rope_theta"] = config["rope_scaling"]["rope_theta"];
  config["rope_scaling"].erase("rope_theta");
  config["torch_dtype"] = config["dtype"];
  config.erase("rope_parameters");
  config.erase("dtype");
  write_file(dir.path() / "config.json", config.dump());
  const auto logits = [ids = Reference(today).ids](const std::filesystem::path& model) {
    return Engine(options(model)).feed_all(ids);
  };
  EXPECT_EQ(logits(today), logits(dir.path()));
}

ModelConfig rope_config(RopeScaling scaling = {}) {
  ModelConfig config;
  config.head_dim = 64;
  config.rope_theta = 500000;
  config.rope_scaling = scaling;
  return config;
}
double unscaled(std::size_t i) { return std::exp(-std::log(500000.0) * static_cast<double>(i) / 32); }

TEST(RopeRadians, AreInversePowersOfTheta) {
  const auto radians = rope_radians(rope_config(), {});
  ASSERT_EQ(radians.size(), 32U);
  EXPECT_DOUBLE_EQ(radians[0], 1.0);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_NEAR(radians[i] / unscaled(i), 1, 1e-14);
}
TEST(RopeRadians, LinearScalingSlowsEveryPair) {
  const auto radians = rope_radians(rope_config({.type = RopeScaling::Type::linear, .factor = 4}), {});
  for (std::size_t i = 0; i < 32; ++i) EXPECT_NEAR(radians[i] * 4 / unscaled(i), 1, 1e-14);
}
TEST(RopeRadians, Llama3ScalingGoesByWavelength) {
  // As Meta's and Hugging Face's code words it: three cases of the wavelength 2 pi / frequency.
  constexpr double factor = 8, low = 1, high = 4, original = 8192;
  const auto radians = rope_radians(rope_config({RopeScaling::Type::llama3, factor, low, high, 8192}), {});
  int kept = 0, stretched = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    const double wavelength = 2 * std::numbers::pi / unscaled(i);
    double expected = unscaled(i);
    if (wavelength > original / low) {
      expected = unscaled(i) / factor;
      ++stretched;
    } else if (wavelength >= original / high) {
      const double smooth = (original / wavelength - low) / (high - low);
      expected = (1 - smooth) * unscaled(i) / factor + smooth * unscaled(i);
    } else {
      ++kept;
    }
    EXPECT_NEAR(radians[i] / expected, 1, 1e-14) << i;
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(stretched, 0);
  EXPECT_LT(kept + stretched, 32) << "no pair between the two";
}
TEST(RopeRadians, DivisorsComeOnTop) {
  std::vector<double> divisors(32, 1.0);
  divisors[5] = 8;
  const auto radians = rope_radians(rope_config({.type = RopeScaling::Type::linear, .factor = 2}), divisors);
  EXPECT_NEAR(radians[5] * 16 / unscaled(5), 1, 1e-14);
  EXPECT_NEAR(radians[6] * 2 / unscaled(6), 1, 1e-14);
}

}  // namespace
}  // namespace glassbox::model
