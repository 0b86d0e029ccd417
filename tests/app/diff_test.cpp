#include <fstream>

#include "tests/app/command_line.h"
#include "tests/model/tiny_llama.h"

namespace glassbox::app {
namespace {

using testing::Arguments;
using testing::Environment;
using testing::expect_refused;
using testing::glassbox;
using testing::json_of;
using testing::TempDir;
using testing::TinyLlama;

std::string shader(const std::string& name) {
  std::ifstream file(std::filesystem::path(GLASSBOX_SOURCE_DIR) / "shaders" / name);
  return {std::istreambuf_iterator<char>(file), {}};
}

class DiffCommand : public ::testing::Test {
 protected:
  Arguments diff(const Arguments& more = {}) const {
    Arguments all{"diff", "-m", model, "--tokens", "1,260,262,9,100", "-o", "json"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  /// The environment in which the shader says `wrong` where it says `right`.
  Environment broken(const std::string& name, const std::string& right, const std::string& wrong) const {
    auto text = shader(name);
    const auto at = text.find(right);
    EXPECT_NE(at, std::string::npos) << name << " no longer says " << right;
    if (at != std::string::npos) text.replace(at, right.size(), wrong);
    const auto file = dir.path() / "shaders" / name;
    std::filesystem::create_directories(file.parent_path());
    testing::write_file(file, text);
    return {{"GLASSBOX_SHADERS", dir.path() / "shaders"}};
  }
  void expect_divergent(const std::string& kernel, int layer, const Environment& environment,
                        const Arguments& more = {}) const {
    const auto result = glassbox(diff(more), environment);
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_EQ(result.err, "");
    const auto report = nlohmann::json::parse(result.out);
    EXPECT_EQ(report["ok"], false);
    EXPECT_EQ(report["first_divergent"]["name"], kernel);
    EXPECT_EQ(report["first_divergent"]["layer"], layer);
    EXPECT_EQ(report["first_divergent"]["ok"], false);
    // All those before it are right, and so is every other kernel: each is judged on the inputs it read itself.
    for (const auto& each : report["kernels"])
      if (each["name"] != kernel || each["index"] < report["first_divergent"]["index"])
        EXPECT_EQ(each["ok"], true) << each["name"] << " #" << each["index"];
  }

  TempDir dir;
  TinyLlama tiny{{.hidden = 30, .intermediate = 41}};  // no multiple of four or eight: every kernel has a tail
  const std::string model = tiny.write(dir.path() / "tiny");
};

TEST_F(DiffCommand, JsonSaysOfEachKernelHowFarItIsFromFloat64) {
  const auto report = json_of(diff({"-n", "2"}));
  EXPECT_EQ(report["ok"], true);
  EXPECT_EQ(report["first_divergent"], nullptr);
  EXPECT_LE(report["kl_divergence"].get<double>(), 1e-9);
  EXPECT_LE(report["logits_nmse"].get<double>(), 1e-10);
  ASSERT_GT(report["kernels"].size(), 30U);
  for (std::size_t i = 0; i < report["kernels"].size(); ++i) {
    const auto& kernel = report["kernels"][i];
    EXPECT_EQ(kernel["index"], i);
    EXPECT_TRUE(kernel["name"].is_string());
    EXPECT_TRUE(kernel["layer"].is_number_integer());
    EXPECT_EQ(kernel["ok"], true);
    EXPECT_LE(kernel["nmse"].get<double>(), kernel["tolerance"].get<double>());
    EXPECT_GE(kernel["max_abs"].get<double>(), 0);
    EXPECT_GE(kernel["max_ulp"].get<double>(), 0);
    EXPECT_NEAR(kernel["cosine"].get<double>(), 1, 1e-6);
  }
}
TEST_F(DiffCommand, ComposedKernelsAreWithinToleranceToo) {
  const auto fused = json_of(diff()), composed = json_of(diff({"--fusion", "off"}));
  EXPECT_EQ(composed["ok"], true);
  EXPECT_GT(composed["kernels"].size(), fused["kernels"].size());
}
TEST_F(DiffCommand, TheTableNamesTheKernelsAndTheVerdict) {
  auto arguments = diff();
  arguments.back() = "table";
  const auto table = testing::output_of(arguments);
  for (const char* part : {"packed_embedding", "rms_norm", "rope_kv", "attention", "gated_silu", "packed_matmul",
                           "NMSE", "KL", "every kernel is within tolerance"})
    EXPECT_THAT(table, ::testing::HasSubstr(part));
  const auto result =
      glassbox(arguments, broken("include/rope_kv.glsl", "(upper ? other : -other)", "(upper ? -other : other)"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, ::testing::HasSubstr("first divergent kernel: rope_kv (#"));
  EXPECT_THAT(result.out, ::testing::HasSubstr("layer 0), worst at element"));
}

TEST_F(DiffCommand, NamesANormThatIsAThousandthOff) {
  expect_divergent("rms_norm", 0, broken("rms_norm.comp", "y_store4(row, i, ", "y_store4(row, i, 1.001 * "));
}
TEST_F(DiffCommand, NamesARotationTheWrongWay) {
  expect_divergent("rope_kv", 0,
                   broken("include/rope_kv.glsl", "(upper ? other : -other)", "(upper ? -other : other)"));
}
TEST_F(DiffCommand, NamesAnAttentionThatSeesTheFuture) {
  expect_divergent("attention", 0, broken("attention_lanes.comp", "first + t + 1u", "first + t + 2u"));
}
TEST_F(DiffCommand, NamesAMatmulThatErrsInOneRowOfEight) {
  expect_divergent("packed_matmul", 0,
                   broken("packed_matmul_tokens.comp", "= totals[r][v];", "= totals[r][v] * (r == 5 ? 1.001 : 1.0);"));
}
TEST_F(DiffCommand, NamesTheLayer) {
  // Wrong only where the norm's first weight is this one, which layer 1 alone has.
  tiny.tensors.at("model.layers.1.post_attention_layernorm.weight").values[0] = 3.25F;
  tiny.write(dir.path() / "tiny");
  expect_divergent("rms_norm", 1,
                   broken("rms_norm.comp", "y_store4(row, i, ",
                          "y_store4(row, i, (weight_load4(0u, 0u).x == 3.25 ? 1.001 : 1.0) * "));
}
TEST_F(DiffCommand, NamesAnOutputThatIsNotWritten) {
  // The last kernel's: no other then reads what is missing.
  expect_divergent("packed_matmul", -1,
                   broken("packed_matmul_lanes.comp", "if (row < count", "if (row > 0u && row < count"));
}

TEST_F(DiffCommand, AgainstItselfNothingDiffers) {
  const std::string saved = dir.path() / "saved.safetensors";
  json_of(diff({"-n", "2", "--save", saved}));
  const auto report = json_of(diff({"-n", "2", "--against", saved}));
  EXPECT_EQ(report["ok"], true);
  for (const auto& kernel : report["kernels"]) {
    EXPECT_EQ(kernel["nmse"], 0.0);
    EXPECT_EQ(kernel["max_abs"], 0.0);
    EXPECT_EQ(kernel["max_ulp"], 0.0);
    EXPECT_EQ(kernel["ok"], true);
  }
}
TEST_F(DiffCommand, AgainstABrokenBuildTheKernelIsNamed) {
  const std::string saved = dir.path() / "saved.safetensors";
  json_of(diff({"--save", saved}));
  const auto result = glassbox(diff({"--against", saved}),
                               broken("include/rope_kv.glsl", "(upper ? other : -other)", "(upper ? -other : other)"));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(nlohmann::json::parse(result.out)["first_divergent"]["name"], "rope_kv");
}
TEST_F(DiffCommand, OnlyLikeIsComparedWithLike) {
  const std::string saved = dir.path() / "saved.safetensors";
  json_of(diff({"--save", saved}));
  auto other = diff({"--against", saved});
  other[4] = "1,260,262,9,101";
  expect_refused(glassbox(other), "saved.safetensors: was saved for another prompt");
  expect_refused(glassbox(diff({"-n", "1", "--against", saved})), "saved.safetensors: was saved for another prompt");
  expect_refused(glassbox(diff({"--fusion", "off", "--against", saved})), "saved.safetensors: holds");
  expect_refused(glassbox(diff({"--against", dir.path() / "absent"})), "absent: cannot be opened");
  expect_refused(glassbox(diff({"--against", model + "/model.safetensors"})),
                 "was not written by glassbox diff --save");
}

}  // namespace
}  // namespace glassbox::app
