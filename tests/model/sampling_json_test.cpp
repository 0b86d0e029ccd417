#include "model/sampling_json.h"

#include <gmock/gmock.h>

namespace glassbox::model {
namespace {

TEST(SamplingJson, ComesBackAsItWas) {
  const SamplingOptions options{
      .repeat_last_n = 7, .repeat_penalty = 1.25F, .top_k = 3, .min_p = 0.1F, .temperature = 0.7F};
  const auto back = sampling_from_json(nlohmann::json::parse(to_json(options).dump()));
  EXPECT_EQ(to_json(back), to_json(options));
  EXPECT_EQ(back.top_k, 3);
  EXPECT_EQ(back.temperature, 0.7F);
}
TEST(SamplingJson, WritesShortestDecimals) { EXPECT_EQ(to_json({})["temperature"].dump(), "0.8"); }
TEST(SamplingJson, KeepsDefaultsForWhatIsMissingOrWrong) {
  const auto options = sampling_from_json({{"top_k", "many"}, {"top_p", 0.5}});
  EXPECT_EQ(options.top_k, SamplingOptions().top_k);
  EXPECT_EQ(options.top_p, 0.5F);
  EXPECT_EQ(to_json(sampling_from_json({{"top_p", -3}, {"top_k", 5}})), to_json({}));
}

}  // namespace
}  // namespace glassbox::model
