#include "app/ui/diff_panel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/ui/stage.h"

namespace glassbox::app::ui {
namespace {

using testing::fake_snapshot;
using testing::Stage;

testing::Canvas::Rect rect(const Area& area) {
  return {static_cast<int>(area.min.x), static_cast<int>(area.min.y), static_cast<int>(area.width()),
          static_cast<int>(area.height())};
}

TEST(CheckedToken, IsTheOneSelected) {
  Stage stage(fake_snapshot({.check_every = 4}), 100, 100);
  stage.view.token = live::TokenPlace{2, 5};
  const auto checked = checked_token(stage.frame());
  EXPECT_EQ(checked->place.token, 5u);
  EXPECT_EQ(checked->check, nullptr);
}
TEST(CheckedToken, IsTheLastComparedWhileAnAnswerStreams) {
  Stage stage(fake_snapshot({.tokens = 24, .check_every = 9}), 100, 100);
  const auto checked = checked_token(stage.frame());
  EXPECT_EQ(checked->place.token, 18u);
  EXPECT_TRUE(checked->earlier);
  EXPECT_NE(checked->check, nullptr);
}
TEST(CheckedToken, IsNoneWhereThereIsNoToken) {
  Stage stage({}, 100, 100);
  EXPECT_FALSE(checked_token(stage.frame()));
}
TEST(Strain, IsTheErrorInTolerances) {
  gpu::KernelError error;
  error.isolated.nmse = 3e-12;
  error.tolerance = {.nmse = 1e-12, .max_abs = std::numeric_limits<double>::infinity()};
  EXPECT_NEAR(strain(error), 3, 1e-9);
  error.tolerance.nmse = 0;
  EXPECT_TRUE(std::isinf(strain(error)));
  error.isolated.nmse = 0;
  EXPECT_EQ(strain(error), 0);
}
TEST(WorstKernel, IsTheFirstDivergentElseTheNearestToItsTolerance) {
  EXPECT_FALSE(worst_kernel({}));
  EXPECT_EQ(worst_kernel(testing::fake_check({.divergent = 40}, 1)), 40u);
  auto check = testing::fake_check({}, 1);
  check.kernels[7].isolated.nmse = 0.9e-12;
  EXPECT_EQ(worst_kernel(check), 7u);
  for (auto& values : check.values) values.computed.clear();
  check.values[3].computed = {1};
  EXPECT_EQ(worst_kernel(check), 3u) << "there is something to look at";
}
TEST(KernelNames, AreThoseOfTimedRuns) {
  const auto check = testing::fake_check({}, 1);
  const auto run = testing::fake_run({}, 60, 1, 1);
  EXPECT_EQ(kernel_names(check, &run)[2], "matmul_row");
  EXPECT_EQ(kernel_names(check, nullptr)[2], "matmul");
}
TEST(ViewingColumns, FoldAVector) {
  EXPECT_EQ(viewing_columns({8, 64}), 64u);
  EXPECT_EQ(viewing_columns({1, 512}), 32u);
  EXPECT_EQ(viewing_columns({}), 1u);
  EXPECT_EQ(viewing_columns({0}), 1u);
}
TEST(IndexText, CountsTheLastAxisFastest) {
  EXPECT_EQ(index_text({2, 3, 4}, 0), "[0, 0, 0]");
  EXPECT_EQ(index_text({2, 3, 4}, 23), "[1, 2, 3]");
}
TEST(DefaultSavePath, IsAPlainFileName) {
  gpu::KernelError error{.name = "a/b c", .index = 17};
  EXPECT_EQ(default_save_path("/home/ada", error), "/home/ada/glassbox-00017-a_b_c.safetensors");
}
TEST(WithMode, SaysHowOften) {
  const live::Watching watching{.time_kernels = false, .check_every = 3};
  EXPECT_EQ(mode_of(watching), CheckMode::every_nth);
  EXPECT_EQ(with_mode(watching, CheckMode::on_demand, 8).check_every, 0u);
  EXPECT_EQ(with_mode(watching, CheckMode::every, 8).check_every, 1u);
  EXPECT_EQ(with_mode(watching, CheckMode::every_nth, 1).check_every, 2u);
  EXPECT_FALSE(with_mode(watching, CheckMode::every, 8).time_kernels);
}

TEST(DiffPanel, NamesTheFirstDivergenceInTheColourOfAlarm) {
  for (const auto theme : {Theme::dark, Theme::light}) {
    Stage good(fake_snapshot({.check_every = 1}), 1000, 640, theme);
    DiffPanel panel;
    good.show(panel);
    const testing::Canvas::Rect verdict{0, 38, 1000, 30};
    EXPECT_GT(good.canvas.count(verdict, good.canvas.palette().good, 0.05F), 50u);
    EXPECT_EQ(good.canvas.count(verdict, good.canvas.palette().bad, 0.05F), 0u);
    good.now = fake_snapshot({.check_every = 1, .divergent = 40});
    good.canvas.frames(2);
    EXPECT_EQ(panel.shown_kernel(), 40u);
    EXPECT_GT(good.canvas.count(verdict, good.canvas.palette().bad, 0.05F), 50u);
  }
}
TEST(DiffPanel, ShowsTheKernelThatIsClickedInThePlot) {
  Stage stage(fake_snapshot({.check_every = 1, .whole_model = true}), 1000, 640);
  DiffPanel panel;
  stage.show(panel);
  const auto& plot = panel.plot();
  ASSERT_GT(plot.width(), 100);
  const auto kernels = stage.now.thread->messages[1]->tokens.back()->check->kernels.size();
  stage.canvas.click({plot.min.x + plot.width() * 40.5F / static_cast<float>(kernels), plot.centre().y});
  EXPECT_EQ(panel.shown_kernel(), 40u);
  EXPECT_EQ(stage.view.kernel, "rope");
}
TEST(DiffPanel, FollowsTheKernelSelectedElsewhere) {
  Stage stage(fake_snapshot({.check_every = 1}), 1000, 640);
  DiffPanel panel;
  stage.show(panel);
  stage.view.kernel = "attention";
  stage.canvas.frames(2);
  const auto& check = *stage.now.thread->messages[1]->tokens.back()->check;
  EXPECT_EQ(check.kernels[*panel.shown_kernel()].name, "attention");
  stage.view.kernel.reset();
  stage.canvas.frames(2);
  EXPECT_EQ(panel.shown_kernel(), worst_kernel(check));
}
TEST(DiffPanel, MapsTheErrorsOfTheKernelShown) {
  Stage stage(fake_snapshot({.check_every = 1, .divergent = 40}), 1000, 640);
  DiffPanel panel;
  stage.show(panel);
  const auto& values = stage.now.thread->messages[1]->tokens.back()->check->values[40];
  float most = 0;
  for (std::size_t i = 0; i < values.computed.size(); ++i)
    most = std::max(most, std::abs(values.computed[i] - values.reference[i]));
  EXPECT_FLOAT_EQ(panel.map().most, most);
  ASSERT_GT(panel.heat().width(), 50);
  EXPECT_GT(stage.canvas.colours(rect(panel.heat())), 10u);
}
TEST(DiffPanel, SaysWhereNoValuesWereKept) {
  auto snapshot = fake_snapshot({.tokens = 1, .check_every = 1});
  auto message = *snapshot.thread->messages[1];
  auto token = *message.tokens[0];
  auto check = *token.check;
  for (auto& values : check.values) values = {};
  token.check = std::make_shared<live::TokenCheck>(check);
  message.tokens[0] = std::make_shared<live::TokenRecord>(token);
  auto thread = *snapshot.thread;
  thread.messages[1] = std::make_shared<live::Message>(message);
  snapshot.thread = std::make_shared<live::Thread>(thread);
  Stage stage(snapshot, 1000, 640);
  DiffPanel panel;
  stage.show(panel);
  EXPECT_TRUE(panel.shown_kernel());
  EXPECT_EQ(panel.heat().width(), 0);
}
TEST(DiffPanel, SaysWhatIsMissing) {
  for (const auto& snapshot : {live::Snapshot{}, fake_snapshot({.tokens = 0}), fake_snapshot()}) {
    Stage stage(snapshot);
    DiffPanel panel;
    stage.show(panel);
    EXPECT_FALSE(panel.shown_kernel());
    EXPECT_GT(stage.canvas.count({0, 40, 900, 300}, stage.canvas.palette().muted, 0.1F), 100u);
  }
}
TEST(DiffPanel, FitsASmallWindow) {
  Stage stage(fake_snapshot({.check_every = 1, .whole_model = true}), 360, 260);
  DiffPanel panel;
  stage.show(panel);
  EXPECT_GT(panel.table().height(), 40);
}

}  // namespace
}  // namespace glassbox::app::ui
