#include "app/ui/plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace glassbox::app::ui {
namespace {

TEST(Scale, GoesToPixelsAndBack) {
  for (const bool logarithmic : {false, true}) {
    const Scale scale{0.5, 2000, 40, 640, logarithmic};
    EXPECT_FLOAT_EQ(scale.at(0.5), 40);
    EXPECT_FLOAT_EQ(scale.at(2000), 640);
    for (const double value : {0.7, 3.0, 150.0, 1999.0})
      EXPECT_NEAR(scale.value(scale.at(value)) / value, 1, 1e-3) << logarithmic;
  }
}
TEST(Scale, PutsPowersOfTenAtEqualDistances) {
  const Scale scale{1, 1000, 0, 300, true};
  EXPECT_NEAR(scale.at(10), 100, 1e-3);
  EXPECT_NEAR(scale.at(100), 200, 1e-3);
}

TEST(Ticks, StandAtOneTwoFive) {
  const auto list = ticks({0, 7.1, 0, 700}, 80);
  ASSERT_EQ(list.size(), 8u);
  for (std::size_t i = 0; i < list.size(); ++i) EXPECT_DOUBLE_EQ(list[i].value, static_cast<double>(i));
  EXPECT_DOUBLE_EQ(ticks({0, 7.1, 0, 700}, 150)[1].value, 2);
}
TEST(Ticks, AreNeverCloserThanAsked) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-9, 9);
  for (int i = 0; i < 200; ++i) {
    const double low = std::pow(10, exponent(random)), span = std::pow(10, exponent(random));
    if (span < 1e-6 * low) continue;
    const Scale scale{low, low + span, 0, 500};
    const auto list = ticks(scale, 60);
    for (std::size_t j = 1; j < list.size(); ++j)
      EXPECT_GE((list[j].value - list[j - 1].value) / span * 500, 59.9) << low << " + " << span;
  }
}
TEST(Ticks, OfALogarithmicAxisArePowersOfTen) {
  std::vector<double> major;
  for (const auto& tick : ticks({1e-3, 1e3, 0, 360, true}, 50))
    if (tick.major) major.push_back(tick.value);
  ASSERT_EQ(major.size(), 7u);
  for (std::size_t i = 0; i < 7; ++i) EXPECT_NEAR(std::log10(major[i]), static_cast<double>(i) - 3, 1e-9);
}
TEST(Ticks, OfNothingAreNone) {
  EXPECT_TRUE(ticks({1e9, 1e9 + 1e-6, 0, 500}, 50).empty()) << "finer than a double can tell";
  EXPECT_TRUE(ticks({5, 5, 0, 100}, 50).empty());
  EXPECT_TRUE(ticks({0, 1, 0, 100, true}, 50).empty());
}
TEST(TickText, IsShort) {
  EXPECT_EQ(tick_text(0), "0");
  EXPECT_EQ(tick_text(0.05), "0.05");
  EXPECT_EQ(tick_text(200), "200");
  EXPECT_EQ(tick_text(1e-12), "1e-12");
  EXPECT_EQ(tick_text(2e7), "2e7");
}
TEST(DecadesAround, HoldAllPositiveValues) {
  const std::vector<double> values = {3e-15, 0, 2e-7, std::numeric_limits<double>::infinity(), -1};
  const auto [low, high] = decades_around(values);
  EXPECT_NEAR(low / 1e-15, 1, 1e-9);
  EXPECT_NEAR(high / 1e-6, 1, 1e-9);
  EXPECT_EQ(decades_around({}), (std::pair{1.0, 10.0}));
}
TEST(StepsAround, AreAsTightAsOneTwoFiveAllows) {
  const std::vector<double> values = {0.3, 31};
  const auto [low, high] = steps_around(values);
  EXPECT_DOUBLE_EQ(low, 0.2);
  EXPECT_DOUBLE_EQ(high, 50);
}

TEST(Histogram, CountsEveryValueOnceInItsBin) {
  std::mt19937_64 random(5);
  std::lognormal_distribution<double> times(3, 1);
  std::vector<double> values(5000);
  for (auto& value : values) value = times(random);
  for (const bool logarithmic : {false, true}) {
    const auto h = histogram(values, 37, logarithmic);
    EXPECT_EQ(std::accumulate(h.counts.begin(), h.counts.end(), std::size_t{0}), values.size());
    std::size_t tenth = 0;
    for (const double value : values) tenth += value >= h.edge(10) && value < h.edge(11);
    EXPECT_NEAR(static_cast<double>(h.counts[10]), static_cast<double>(tenth), 1) << logarithmic;
  }
}
TEST(Histogram, OfEqualValuesIsOneBar) {
  const std::vector<double> values(9, 4.0);
  const auto h = histogram(values, 10, true);
  EXPECT_EQ(h.most(), 9u);
  EXPECT_LT(h.low, 4);
  EXPECT_GT(h.high, 4);
}
TEST(Histogram, LeavesOutWhatHasNoPlace) {
  const std::vector<double> values = {0, -1, std::nan(""), 2, 8};
  const auto h = histogram(values, 4, true);
  EXPECT_EQ(std::accumulate(h.counts.begin(), h.counts.end(), std::size_t{0}), 2u);
}

TEST(HeatMap, KeepsEachValueWhereThereIsRoom) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const auto map = heat_map(values, 3, 10, 10);
  EXPECT_TRUE(map.exact());
  EXPECT_EQ(map.rows, 2u);
  EXPECT_EQ(map.values, values);
  EXPECT_EQ(map.where[4], 4u);
  EXPECT_FLOAT_EQ(map.most, 6);
}
TEST(HeatMap, ShowsTheLargestOfEachBlock) {
  std::mt19937_64 random(6);
  std::uniform_real_distribution<float> uniform;
  const std::size_t rows = 53, columns = 71;
  std::vector<float> values(rows * columns);
  for (auto& value : values) value = uniform(random);
  const auto map = heat_map(values, columns, 10, 20);
  ASSERT_LE(map.rows, 10u);
  ASSERT_LE(map.columns, 20u);
  for (std::size_t cell = 0; cell < map.values.size(); ++cell) {
    float most = 0;
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c)
        if (r / map.block_rows == cell / map.columns && c / map.block_columns == cell % map.columns)
          most = std::max(most, values[r * columns + c]);
    EXPECT_EQ(map.values[cell], most);
    EXPECT_EQ(values[map.where[cell]], most);
  }
}
TEST(HeatMap, TakesNanForTheWorst) {
  const std::vector<float> values = {1, std::nanf(""), 3, 4};
  const auto map = heat_map(values, 4, 1, 1);
  EXPECT_EQ(map.where[0], 1u);
  EXPECT_FLOAT_EQ(map.most, 4);
}
TEST(HeatMap, OfNothingIsEmpty) { EXPECT_EQ(heat_map({}, 4, 8, 8).rows, 0u); }

TEST(InkOn, ContrastsWithItsBackground) {
  EXPECT_EQ(ink_on({1, 1, 0.8F, 1}), IM_COL32(12, 14, 18, 255));
  EXPECT_EQ(ink_on({0, 0.1F, 0.4F, 1}), IM_COL32(255, 255, 255, 255));
}

}  // namespace
}  // namespace glassbox::app::ui
