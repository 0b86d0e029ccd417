#include "app/ui/format.h"

#include <gtest/gtest.h>

#include <limits>

namespace glassbox::app::ui {
namespace {

TEST(DurationText, HasThreeDigitsAndAUnit) {
  EXPECT_EQ(duration_text(0), "0 µs");
  EXPECT_EQ(duration_text(0.85), "850 ns");
  EXPECT_EQ(duration_text(1), "1.00 µs");
  EXPECT_EQ(duration_text(12.34), "12.3 µs");
  EXPECT_EQ(duration_text(123.4), "123 µs");
  EXPECT_EQ(duration_text(1234), "1.23 ms");
  EXPECT_EQ(duration_text(2.5e6), "2.50 s");
}
TEST(DurationText, RoundsBeforeItChoosesTheUnit) {
  EXPECT_EQ(duration_text(999.96), "1.00 ms");
  EXPECT_EQ(duration_text(9.999), "10.0 µs");
  EXPECT_EQ(duration_text(0.99996), "1.00 µs");
}
TEST(DurationText, KeepsTheSign) { EXPECT_EQ(duration_text(-1234), "-1.23 ms"); }

TEST(WithThousands, GroupsByThree) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(1234567), "1,234,567");
}
TEST(ShapeText, NamesAScalar) {
  EXPECT_EQ(shape_text({}), "scalar");
  EXPECT_EQ(shape_text({1, 8, 64}), "1 × 8 × 64");
}
TEST(ErrorText, WritesZeroPlainly) {
  EXPECT_EQ(error_text(0), "0");
  EXPECT_EQ(error_text(3.14e-15), "3.1e-15");
  EXPECT_EQ(error_text(std::numeric_limits<double>::infinity()), "inf");
}
TEST(TextInSteps, HasTheDecimalsOfTheStep) {
  EXPECT_EQ(text_in_steps(0.25, 0.05), "0.25");
  EXPECT_EQ(text_in_steps(2, 0.5), "2.0");
  EXPECT_EQ(text_in_steps(40, 20), "40");
  EXPECT_EQ(text_in_steps(-1e-20, 1), "0");
}
TEST(Counted, KnowsPlurals) {
  EXPECT_EQ(counted(1, "token"), "1 token");
  EXPECT_EQ(counted(1200, "token"), "1,200 tokens");
  EXPECT_EQ(counted(2, "dispatch"), "2 dispatches");
}

}  // namespace
}  // namespace glassbox::app::ui
