#include "app/ui/kernels_panel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/ui/stage.h"

namespace glassbox::app::ui {
namespace {

using testing::fake_snapshot;
using testing::Stage;
using Scope = ProfileChoice::Scope;
using Section = ProfileChoice::Section;

gpu::ProfileRow row(const char* kernel, double mean, std::size_t calls = 10, int layer = -1) {
  return {
      .kernel = kernel, .layer = layer, .calls = calls, .total_us = mean * static_cast<double>(calls), .mean_us = mean};
}
const std::vector<gpu::ProfileRow> some = {row("matmul", 50, 7), row("Rope", 3, 9), row("attention", 20, 7)};

TEST(Ordered, SortsByEachKeyInTurn) {
  const SortKey by_calls[] = {{KernelColumn::calls, false}, {KernelColumn::mean, true}};
  EXPECT_EQ(ordered(some, by_calls, ""), (std::vector<std::size_t>{1, 2, 0}));
  const SortKey by_name[] = {{KernelColumn::kernel, true}};
  EXPECT_EQ(ordered(some, by_name, ""), (std::vector<std::size_t>{1, 2, 0}));
}
TEST(Ordered, FiltersInEitherCase) {
  EXPECT_EQ(ordered(some, {}, "ROPE"), (std::vector<std::size_t>{1}));
  EXPECT_TRUE(ordered(some, {}, "nothing").empty());
}
TEST(CompareRows, FindsTheSameKernelAndLayer) {
  const std::vector<gpu::ProfileRow> then = {row("a", 10, 1, 0), row("a", 20, 1, 1), row("gone", 5)};
  const std::vector<gpu::ProfileRow> now = {row("a", 30, 1, 1), row("new", 1)};
  const auto list = compare_rows(then, now);
  ASSERT_EQ(list.size(), 4u);
  EXPECT_EQ(list[0].then, &then[1]);
  EXPECT_EQ(list[1].then, nullptr);
  EXPECT_EQ(list[2].then, &then[0]);
  EXPECT_EQ(list[3].now, nullptr);
}
TEST(ChangeOf, KnowsWhichWayIsBetter) {
  const auto slow = row("a", 20), fast = row("a", 10);
  const auto change = change_of({&slow, &fast}, KernelColumn::mean);
  EXPECT_DOUBLE_EQ(change.ratio, 0.5);
  EXPECT_EQ(change.verdict, Change::Verdict::better);
  EXPECT_EQ(change_of({&fast, &slow}, KernelColumn::mean).verdict, Change::Verdict::worse);
  EXPECT_EQ(change_of({&fast, &fast}, KernelColumn::mean).verdict, Change::Verdict::none);
  EXPECT_EQ(change_of({nullptr, &fast}, KernelColumn::mean).ratio, 0);
  auto much = fast, little = fast;
  much.cost.bytes = 2e6;
  little.cost.bytes = 1e6;
  EXPECT_EQ(change_of({&little, &much}, KernelColumn::bandwidth).verdict, Change::Verdict::better);
}
TEST(RowsAsCsv, HasALineForEachRow) {
  const auto csv = rows_as_csv({row("a,b", 2, 3, 1)});
  EXPECT_NE(csv.find("\n\"a,b\",1,3,6,2,"), std::string::npos) << csv;
}

struct ProfileViewTest : ::testing::Test {
  Stage stage{fake_snapshot({.tokens = 6}), 200, 100};
  ProfileView view;
  const std::vector<gpu::ProfileRow>& rows(const ProfileChoice& choice, double seconds = 0) {
    const auto frame = stage.frame();
    view.update(frame, choice, seconds);
    return view.rows();
  }
  std::size_t calls(const ProfileChoice& choice) {
    std::size_t sum = 0;
    for (const auto& each : rows(choice)) sum += each.calls;
    return sum;
  }
};
TEST_F(ProfileViewTest, SumsTheChosenRuns) {
  const auto one = stage.now.runs->back()->dispatches.size();
  EXPECT_EQ(calls({.scope = Scope::token}), one);
  EXPECT_EQ(calls({.scope = Scope::answer, .section = Section::decode}), 5 * one);
  EXPECT_EQ(calls({.scope = Scope::answer, .section = Section::prompt}), one);
  EXPECT_EQ(calls({.scope = Scope::all}), 6 * one);
  EXPECT_EQ(calls({.scope = Scope::all, .per_layer = true}), 6 * one);
}
TEST_F(ProfileViewTest, SharesAddUpToOne) {
  double share = 0;
  for (const auto& each : rows({.scope = Scope::all})) share += each.share;
  EXPECT_NEAR(share, 1, 1e-9);
}
TEST_F(ProfileViewTest, IsMadeAnewOnlyWhenItsRunsChange) {
  rows({.scope = Scope::all});
  const auto version = view.version();
  rows({.scope = Scope::all}, 1);
  EXPECT_EQ(view.version(), version);
  auto runs = *stage.now.runs;
  runs.push_back(std::make_shared<gpu::ProfiledRun>(testing::fake_run({}, 99, 1, 5)));
  stage.now.runs = std::make_shared<ProfileView::Runs>(runs);
  rows({.scope = Scope::all}, 100);
  EXPECT_EQ(view.totals().runs, 7u);
  runs.erase(runs.begin(), runs.begin() + 4);
  stage.now.runs = std::make_shared<ProfileView::Runs>(runs);
  rows({.scope = Scope::all}, 200);
  EXPECT_EQ(view.totals().runs, 3u);
}
TEST_F(ProfileViewTest, PutsOffWorkWhileTokensStream) {
  rows({.scope = Scope::all}, 0);
  auto runs = *stage.now.runs;
  runs.push_back(runs.front());
  stage.now.runs = std::make_shared<ProfileView::Runs>(runs);
  rows({.scope = Scope::all}, 0);  // no time has passed
  EXPECT_EQ(view.totals().runs, 6u);
  rows({.scope = Scope::all}, 60);
  EXPECT_EQ(view.totals().runs, 7u);
}
TEST_F(ProfileViewTest, GivesTheTimesOfAKernel) {
  rows({.scope = Scope::all});
  std::vector<double> expected;
  for (const auto& run : *stage.now.runs)
    for (const auto& dispatch : run->dispatches)
      if (dispatch.kernel == "attention" && dispatch.layer == 3) expected.push_back(dispatch.duration_us);
  EXPECT_EQ(view.times("attention", 3), expected);
  EXPECT_EQ(view.times("attention", std::nullopt).size(), 7 * expected.size());
}

TEST(KernelsPanel, SortsByTheHeadingThatIsClicked) {
  Stage stage(fake_snapshot(), 1100, 600);
  KernelsPanel panel;
  stage.show(panel);
  const auto& rows = panel.view().rows();
  ASSERT_EQ(panel.order().size(), rows.size());
  EXPECT_EQ(rows[panel.order()[0]].kernel, "matmul_row");
  const auto& table = panel.table();
  stage.canvas.click({table.min.x + 30, table.min.y + 10});  // "kernel"
  std::vector<std::string> names;
  for (const auto index : panel.order()) names.push_back(rows[index].kernel);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end())) << names.front();
  stage.canvas.click({table.min.x + 30, table.min.y + 10});
  EXPECT_EQ(rows[panel.order().front()].kernel, *std::max_element(names.begin(), names.end()));
}
TEST(KernelsPanel, SelectsARowAndShowsItsTimes) {
  Stage stage(fake_snapshot(), 1100, 600);
  KernelsPanel panel;
  stage.show(panel);
  EXPECT_EQ(panel.histogram().width(), 0);
  const auto& table = panel.table();
  stage.canvas.click({table.min.x + 60, table.min.y + 36});
  EXPECT_EQ(stage.view.kernel, "matmul_row");
  stage.canvas.frames(1);
  const auto& h = panel.histogram();
  ASSERT_GT(h.width(), 100);
  EXPECT_GT(stage.canvas.count({static_cast<int>(h.min.x), static_cast<int>(h.min.y), static_cast<int>(h.width()),
                                static_cast<int>(h.height())},
                               stage.frame().colour_of("matmul_row")),
            500u);
  stage.canvas.click({table.min.x + 60, table.min.y + 36});
  EXPECT_FALSE(stage.view.kernel);
}
TEST(KernelsPanel, ComparesWithASnapshot) {
  Stage stage(fake_snapshot(), 1100, 600);
  KernelsPanel panel;
  panel.compare(true);
  EXPECT_FALSE(panel.comparing()) << "there is no snapshot yet";
  stage.show(panel);
  panel.take_snapshot();
  panel.compare(true);
  EXPECT_TRUE(panel.comparing());
  // Every kernel takes twice the time.
  auto runs = std::make_shared<ProfileView::Runs>();
  for (const auto& run : *stage.now.runs) {
    auto slow = *run;
    for (auto& dispatch : slow.dispatches) dispatch.duration_us *= 2;
    runs->push_back(std::make_shared<gpu::ProfiledRun>(std::move(slow)));
  }
  stage.now.runs = runs;
  panel.choice().scope = Scope::all;
  stage.canvas.frames(60);
  const auto& t = panel.table();
  const testing::Canvas::Rect area{static_cast<int>(t.min.x), static_cast<int>(t.min.y), static_cast<int>(t.width()),
                                   static_cast<int>(t.height())};
  EXPECT_GT(stage.canvas.count(area, stage.canvas.palette().bad, 0.05F), 30u);
  EXPECT_EQ(stage.canvas.count(area, stage.canvas.palette().good, 0.02F), 0u);
}
TEST(KernelsPanel, SaysWhatIsMissing) {
  for (const auto& snapshot : {live::Snapshot{}, fake_snapshot({.timed = false})}) {
    Stage stage(snapshot);
    KernelsPanel panel;
    stage.show(panel);
    EXPECT_GT(stage.canvas.count({0, 40, 900, 300}, stage.canvas.palette().muted, 0.1F), 100u);
  }
}
TEST(KernelsPanel, FitsANarrowWindow) {
  Stage stage(fake_snapshot(), 420, 300, Theme::light, 1);
  KernelsPanel panel;
  stage.view.kernel = "rope";
  stage.show(panel);
  EXPECT_GT(panel.table().height(), 60);
}

}  // namespace
}  // namespace glassbox::app::ui
