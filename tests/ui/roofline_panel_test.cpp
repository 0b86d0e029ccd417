#include "app/ui/roofline_panel.h"

#include <gtest/gtest.h>

#include "tests/ui/stage.h"

namespace glassbox::app::ui {
namespace {

using testing::fake_snapshot;
using testing::Stage;

TEST(RooflinePoints, LeaveOutWhatComputesNothing) {
  const std::vector<gpu::ProfileRow> rows = {
      {.kernel = "copy", .calls = 1, .total_us = 5, .cost = {1000, 0}},
      {.kernel = "matmul", .calls = 1, .total_us = 10, .cost = {1000, 4000}},
  };
  const auto points = roofline_points(rows);
  ASSERT_EQ(points.size(), 1u);
  EXPECT_DOUBLE_EQ(points[0].intensity, 4);
  EXPECT_DOUBLE_EQ(points[0].gigaflops, 0.4);
}
TEST(RidgeOf, IsWhereTheCeilingsMeet) {
  EXPECT_DOUBLE_EQ(ridge_of({10e9, 50e9, ""}), 5);
  EXPECT_EQ(ridge_of({}), 0);
}
TEST(RooflinePanel, SelectsThePointThatIsClicked) {
  Stage stage(fake_snapshot());
  RooflinePanel panel;
  stage.show(panel);
  const auto at = panel.pixel_of("matmul_row");
  ASSERT_TRUE(at && panel.plot().contains(*at));
  EXPECT_FALSE(panel.pixel_of("kv_pack")) << "it computes nothing";
  stage.canvas.click(*at);
  EXPECT_EQ(stage.view.kernel, "matmul_row");
  stage.canvas.click({panel.plot().min.x + 5, panel.plot().min.y + 5});
  EXPECT_FALSE(stage.view.kernel);
}
TEST(RooflinePanel, PaintsPointsInTheirColours) {
  for (const auto theme : {Theme::dark, Theme::light}) {
    Stage stage(fake_snapshot(), 900, 600, theme);
    RooflinePanel panel;
    stage.show(panel);
    const auto at = *panel.pixel_of("matmul_row");
    EXPECT_GT(stage.canvas.count({static_cast<int>(at.x) - 8, static_cast<int>(at.y) - 8, 16, 16},
                                 stage.frame().colour_of("matmul_row"), 0.2F),
              150u);
  }
}
TEST(RooflinePanel, ShowsPointsBeforeTheCeilingsAreMeasured) {
  Stage stage(fake_snapshot({.roofline = false}));
  RooflinePanel panel;
  stage.show(panel);
  EXPECT_TRUE(panel.pixel_of("attention"));
}
TEST(RooflinePanel, ShowsTheCeilingsBeforeThereAreKernels) {
  Stage stage(fake_snapshot({.timed = false}));
  RooflinePanel panel;
  stage.show(panel);
  EXPECT_GT(panel.plot().width(), 100);
}
TEST(RooflinePanel, SaysWhatIsMissing) {
  Stage stage;
  RooflinePanel panel;
  stage.show(panel);
  EXPECT_EQ(panel.plot().width(), 0);
  EXPECT_GT(stage.canvas.count({0, 40, 900, 300}, stage.canvas.palette().muted, 0.1F), 100u);
}

}  // namespace
}  // namespace glassbox::app::ui
