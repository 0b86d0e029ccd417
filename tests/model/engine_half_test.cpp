#include <gmock/gmock.h>

#include <set>

#include "gpu/differ.h"
#include "gpu/plan.h"
#include "model/engine.h"
#include "model/quantize_model.h"
#include "tests/model/tiny_engine.h"

namespace glassbox::model {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::IsSupersetOf;
using testing::nmse;
using ::testing::Not;
using testing::some_ids;
using testing::TinyLlama;
using testing::TinyShape;

class EngineHalf : public ::testing::Test {
 protected:
  std::filesystem::path written(const TinyShape& of, StorageType type, bool pure = true) {
    const auto model = TinyLlama(of).write(dir.path() / "tiny", nlohmann::json::object());
    ModelQuantizer(model, type, pure).write(dir.path() / "tiny.gguf");
    return dir.path() / "tiny.gguf";
  }
  /// Logits of each of four tokens, decoded one by one; the names of what ran; every kernel is within its tolerance.
  std::vector<float> decode(const std::filesystem::path& model, gpu::Activations activations,
                            gpu::Fusion fusion = gpu::Fusion::on) {
    Engine engine({.model = model, .fusion = fusion, .activations = activations});
    engine.on_step([&](const EngineStep& step) {
      for (const auto& error : gpu::Differ().run(step.plan)) {
        EXPECT_TRUE(error.ok) << error.name << ": NMSE " << error.isolated.nmse;
        ran.insert(error.name);
      }
    });
    ran.clear();
    std::vector<float> all;
    for (const auto id : some_ids(4)) {
      const auto logits = *engine.feed(std::vector{id});
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }
  static constexpr TinyShape shape{.hidden = 64, .intermediate = 96, .heads = 4, .kv_heads = 2, .head_dim = 16};
  testing::TempDir dir;
  std::set<std::string> ran;
};

TEST_F(EngineHalf, OneTokenIsNearWhatFloatsGive) {
  const auto model = written(shape, StorageType::q4_0);
  const auto expected = decode(model, gpu::Activations::f32);
  EXPECT_THAT(ran, Not(Contains("half_projection")));
  const auto got = decode(model, gpu::Activations::half);
  EXPECT_THAT(ran, IsSupersetOf({"half_row", "half_projection"}));
  EXPECT_THAT(ran, Not(AnyOf(Contains("packed_matmul"), Contains("rms_norm"))));
  EXPECT_LE(nmse(got, expected), 2e-5);
  EXPECT_NE(got, expected);
}

TEST_F(EngineHalf, HeadOfAnotherFormatKeepsFloats) {
  TinyShape wide = shape;
  wide.hidden = 256;
  const auto model = written(wide, StorageType::q4_0, false);  // the head is q6_k
  const auto expected = decode(model, gpu::Activations::f32);
  EXPECT_LE(nmse(decode(model, gpu::Activations::half), expected), 2e-5);
  EXPECT_THAT(ran, IsSupersetOf({"half_projection", "packed_matmul"}));
}

TEST_F(EngineHalf, BiasesOtherFormatsAndComposedKernelsKeepFloats) {
  const auto expect_floats = [&](const std::filesystem::path& model, gpu::Fusion fusion) {
    const auto expected = decode(model, gpu::Activations::f32, fusion);
    EXPECT_EQ(decode(model, gpu::Activations::half, fusion), expected);
    EXPECT_THAT(ran, Not(Contains("half_projection")));
  };
  TinyShape biased = shape;
  biased.attention_bias = true;
  expect_floats(written(biased, StorageType::q4_0), gpu::Fusion::on);
  expect_floats(written(shape, StorageType::f16), gpu::Fusion::on);
  expect_floats(written(shape, StorageType::q4_0), gpu::Fusion::off);
}

}  // namespace
}  // namespace glassbox::model
