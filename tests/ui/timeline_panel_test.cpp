#include "app/ui/timeline_panel.h"

#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/ui/stage.h"

namespace glassbox::app::ui {
namespace {

using testing::fake_run;
using testing::fake_snapshot;
using testing::Stage;

std::shared_ptr<const gpu::ProfiledRun> run_at(double start_us, std::uint64_t seed = 1) {
  auto run = fake_run({}, 60, 1, seed);
  run.start_us = start_us;
  return std::make_shared<gpu::ProfiledRun>(std::move(run));
}

TEST(TimelineLayout, ShowsEveryDispatchWhereItRan) {
  const auto run = run_at(0);
  const TimelineLayout layout({run});
  ASSERT_EQ(layout.events.size(), run->dispatches.size());
  for (std::size_t i = 0; i < layout.events.size(); ++i) {
    EXPECT_NEAR(layout.events[i].begin, run->dispatches[i].start_us, 1e-6);
    EXPECT_NEAR(layout.events[i].end - layout.events[i].begin, run->dispatches[i].duration_us, 1e-6);
  }
  EXPECT_NEAR(layout.busy, run->busy_us(), 1e-6);
  EXPECT_NEAR(layout.between, run->gap_us(), 1e-6);
  EXPECT_NEAR(layout.total, run->wall_us, 1e-6);
  EXPECT_NEAR(layout.busy + layout.between + layout.host, layout.total, 1e-6);
}
TEST(TimelineLayout, GroupsByLayerInOrder) {
  const TimelineLayout layout({run_at(0)});
  std::vector<std::string> names;
  for (const auto& group : layout.groups) names.push_back(group.name);
  EXPECT_EQ(names, (std::vector<std::string>{"before", "layer 0", "layer 1", "layer 2", "layer 3", "layer 4", "layer 5",
                                             "layer 6", "after"}));
}
TEST(TimelineLayout, HasALaneForEachKernelTheLongestFirst) {
  const TimelineLayout layout({run_at(0)});
  EXPECT_EQ(layout.lanes.front().kernel, "matmul_row");
  std::size_t events = 0;
  for (const auto& lane : layout.lanes) {
    events += lane.events.size();
    for (const auto event : lane.events) EXPECT_EQ(layout.events[event].dispatch->kernel, lane.kernel);
  }
  EXPECT_EQ(events, layout.events.size());
  EXPECT_TRUE(std::is_sorted(layout.lanes.begin(), layout.lanes.end(),
                             [](const auto& a, const auto& b) { return a.busy > b.busy; }));
}
TEST(TimelineLayout, NamesBarriersAmongTheGaps) {
  const auto run = run_at(0);
  const TimelineLayout layout({run});
  const auto barriers = std::count_if(layout.gaps.begin(), layout.gaps.end(),
                                      [](const auto& gap) { return gap.kind == TimelineGap::Kind::barrier; });
  const auto expected = std::count_if(run->dispatches.begin() + 1, run->dispatches.end(),
                                      [](const auto& dispatch) { return dispatch.barrier; });
  EXPECT_EQ(barriers, expected);
}
TEST(TimelineLayout, DrawsShortWaitsToScaleAndShortensPauses) {
  const auto first = run_at(1000);
  const double end = first->start_us + first->wall_us;
  const auto soon = TimelineLayout({first, run_at(end + 100)});
  EXPECT_NEAR(soon.runs[1].begin - soon.runs[0].end, 100, 1e-6);
  const auto later = TimelineLayout({first, run_at(end + 9e6)});
  EXPECT_LT(later.runs[1].begin - later.runs[0].end, first->wall_us);
  const auto pause = std::find_if(later.gaps.begin(), later.gaps.end(),
                                  [](const auto& gap) { return gap.kind == TimelineGap::Kind::pause; });
  ASSERT_NE(pause, later.gaps.end());
  EXPECT_NEAR(pause->length, 9e6, 1e-3);
  const auto unknown = TimelineLayout({first, run_at(0)});
  EXPECT_LT(unknown.gaps[unknown.gaps.size() / 2].begin, unknown.total);
  EXPECT_EQ(std::count_if(unknown.gaps.begin(), unknown.gaps.end(), [](const auto& gap) { return gap.length < 0; }), 1);
}
TEST(TimelineLayout, OfNothingIsEmpty) {
  EXPECT_EQ(TimelineLayout().total, 0);
  EXPECT_TRUE(TimelineLayout({nullptr, std::make_shared<gpu::ProfiledRun>()}).events.empty());
}

TEST(TimeWindow, KeepsTheTimeUnderThePointerWhereItIs) {
  TimeWindow window;
  window.set_total(10000);
  const double at = 4000, before = (at - window.begin()) / window.span();
  window.zoom(at, 0.3);
  EXPECT_FALSE(window.fitted());
  EXPECT_NEAR((at - window.begin()) / window.span(), before, 1e-9);
}
TEST(TimeWindow, StaysWithinTheWhole) {
  TimeWindow window;
  window.set_total(10000);
  window.zoom(5000, 0.1);
  window.pan(1e9);
  EXPECT_LE(window.end(), 10000 * 1.05);
  window.pan(-1e9);
  EXPECT_EQ(window.begin(), 0);
  for (int i = 0; i < 200; ++i) window.zoom(100, 0.5);
  EXPECT_GT(window.span(), 0.1);
  for (int i = 0; i < 200; ++i) window.zoom(100, 2);
  EXPECT_TRUE(window.fitted());
}
TEST(TimeWindow, DoesNotShakeWhileTokensStream) {
  TimeWindow window;
  window.set_total(7000);
  const double span = window.span();
  for (const double total : {6900.0, 7100.0, 6500.0, 7200.0}) {
    window.set_total(total);
    EXPECT_EQ(window.span(), span);
  }
  window.set_total(2000);
  EXPECT_LT(window.span(), span);
}
TEST(TimeWindow, StaysWhereItWasZoomedTo) {
  TimeWindow window;
  window.set_total(7000);
  window.zoom(3000, 0.2);
  const double begin = window.begin(), span = window.span();
  window.set_total(7100);
  EXPECT_EQ(window.begin(), begin);
  EXPECT_EQ(window.span(), span);
}

TEST(TimelineBars, AreNoMoreThanPixels) {
  Runs runs;
  for (int i = 0; i < 256; ++i) runs.push_back(run_at(9000.0 * i, static_cast<std::uint64_t>(i)));
  const TimelineLayout layout(runs);
  ASSERT_GT(layout.events.size(), 30000u);
  TimeWindow window;
  window.set_total(layout.total);
  std::vector<TimelineBar> bars;
  timeline_bars(layout, nullptr, window, 800, bars);
  EXPECT_LE(bars.size(), 1600u);
  std::size_t stood_for = 0;
  for (const auto& bar : bars) {
    stood_for += bar.count;
    EXPECT_GE(bar.to - bar.from, 0.99F);
  }
  EXPECT_EQ(stood_for, layout.events.size());
}
TEST(TimelineBars, AreThoseInView) {
  const TimelineLayout layout({run_at(0)});
  TimeWindow window;
  window.set_total(layout.total);
  const auto& middle = layout.events[60];
  window.zoom((middle.begin + middle.end) / 2, (middle.end - middle.begin) / window.span() / 2);
  std::vector<TimelineBar> bars;
  timeline_bars(layout, nullptr, window, 800, bars);
  ASSERT_EQ(bars.size(), 1u);
  EXPECT_EQ(bars[0].event, 60u);
}

TEST(TimelinePanel, ZoomsAtThePointerAndGoesHome) {
  Stage stage(fake_snapshot());
  TimelinePanel panel;
  stage.show(panel);
  ASSERT_TRUE(panel.window().fitted());
  const ImVec2 at = panel.strip().centre();
  const double under = panel.window().begin() + panel.window().span() / 2;
  stage.canvas.wheel(at, 4);
  EXPECT_LT(panel.window().span(), panel.layout().total / 2);
  EXPECT_NEAR(panel.pixel(under), at.x, 2);
  stage.canvas.click({at.x, panel.strip().min.y - 40});
  stage.canvas.key(GLFW_KEY_HOME);
  EXPECT_TRUE(panel.window().fitted());
}
TEST(TimelinePanel, PansByDraggingShiftWheelAndArrows) {
  Stage stage(fake_snapshot());
  TimelinePanel panel;
  stage.show(panel);
  const ImVec2 at = panel.strip().centre();
  stage.canvas.wheel(at, 6);
  const double first = panel.window().begin();
  stage.canvas.drag(at, {at.x - 100, at.y});
  const double dragged = panel.window().begin();
  EXPECT_NEAR(dragged - first, 100 * panel.window().span() / static_cast<double>(panel.strip().width()),
              panel.window().span() / 50);
  EXPECT_FALSE(stage.view.kernel) << "dragging is no click";
  stage.canvas.hold(GLFW_MOD_SHIFT);
  stage.canvas.wheel(at, 1);
  stage.canvas.hold(0);
  EXPECT_LT(panel.window().begin(), dragged);
  const double before = panel.window().begin();
  stage.canvas.key(GLFW_KEY_RIGHT);
  EXPECT_GT(panel.window().begin(), before);
}
TEST(TimelinePanel, NamesAndSelectsTheKernelUnderThePointer) {
  Stage stage(fake_snapshot());
  TimelinePanel panel;
  stage.show(panel);
  const auto longest =
      *std::max_element(panel.layout().events.begin(), panel.layout().events.end(),
                        [](const auto& a, const auto& b) { return a.end - a.begin < b.end - b.begin; });
  const ImVec2 at{panel.pixel((longest.begin + longest.end) / 2), panel.strip().centre().y};
  stage.canvas.move(at);
  EXPECT_EQ(panel.hovered(), longest.dispatch);
  stage.canvas.click(at);
  EXPECT_EQ(stage.view.kernel, longest.dispatch->kernel);
  stage.canvas.click(at);
  EXPECT_FALSE(stage.view.kernel);
}
TEST(TimelinePanel, PaintsKernelsInTheirColours) {
  for (const auto theme : {Theme::dark, Theme::light}) {
    Stage stage(fake_snapshot(), 900, 600, theme);
    TimelinePanel panel;
    stage.show(panel);
    const auto& strip = panel.strip();
    const testing::Canvas::Rect area{static_cast<int>(strip.min.x), static_cast<int>(strip.min.y),
                                     static_cast<int>(strip.width()), static_cast<int>(strip.height())};
    const auto painted = stage.canvas.count(area, stage.frame().colour_of("matmul_row"));
    EXPECT_GT(painted, static_cast<std::size_t>(area.width * area.height) / 2);
  }
}
TEST(TimelinePanel, CostsLittleForManyDispatches) {
  auto snapshot = fake_snapshot({.tokens = 300});
  Stage stage(snapshot);
  TimelinePanel panel;
  panel.show_last(256);
  stage.show(panel);
  EXPECT_GT(panel.layout().events.size(), 30000u);
  EXPECT_LT(stage.canvas.vertices(), 60000);
}
TEST(TimelinePanel, SaysWhatIsMissing) {
  for (const auto& snapshot : {live::Snapshot{}, fake_snapshot({.timed = false}), fake_snapshot({.tokens = 0})}) {
    Stage stage(snapshot);
    TimelinePanel panel;
    stage.show(panel);
    EXPECT_TRUE(panel.layout().events.empty());
    EXPECT_GT(stage.canvas.count({0, 40, 900, 200}, stage.canvas.palette().muted, 0.1F), 100u);
  }
}
TEST(TimelinePanel, ShowsTheTokenThatIsSelected) {
  Stage stage(fake_snapshot());
  TimelinePanel panel;
  stage.show(panel);
  stage.view.token = live::TokenPlace{2, 5};
  stage.canvas.frames(1);
  EXPECT_EQ(panel.layout().runs.at(0).run, stage.now.thread->messages[1]->tokens[5]->run);
}
TEST(TimelinePanel, SurvivesATinyWindow) {
  Stage stage(fake_snapshot(), 60, 40);
  TimelinePanel panel;
  stage.show(panel);
  stage.canvas.wheel({30, 20}, 1);
  SUCCEED();
}

}  // namespace
}  // namespace glassbox::app::ui
