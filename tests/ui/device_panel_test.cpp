#include "app/ui/device_panel.h"

#include <gtest/gtest.h>

#include "tests/ui/stage.h"

namespace glassbox::app::ui {
namespace {

using testing::fake_snapshot;
using testing::Stage;

TEST(DevicePanel, WarnsOfASoftwareDriver) {
  for (const bool software : {true, false}) {
    Stage stage(fake_snapshot({.software = software}), 900, 300);
    DevicePanel panel;
    stage.show(panel);
    const auto warned = stage.canvas.count({0, 30, 900, 30}, stage.canvas.palette().warning, 0.05F);
    EXPECT_EQ(warned > 50, software);
  }
}
TEST(DevicePanel, WarnsOfTheCpuClock) {
  for (const auto timer : {gpu::TimerSource::cpu_clock, gpu::TimerSource::gpu_timestamp}) {
    Stage stage(fake_snapshot({.software = false, .timer = timer}), 900, 300);
    DevicePanel panel;
    stage.show(panel);
    const auto warned = stage.canvas.count({0, 30, 900, 130}, stage.canvas.palette().warning, 0.1F);
    EXPECT_EQ(warned > 20, timer == gpu::TimerSource::cpu_clock);
  }
}
TEST(DevicePanel, MarksTheLoadPathInUse) {
  Stage stage(fake_snapshot(), 900, 400);
  DevicePanel panel;
  stage.show(panel);
  EXPECT_GT(stage.canvas.count(stage.canvas.all(), stage.canvas.palette().accent, 0.15F), 1000u);
}
TEST(DevicePanel, SaysWhatIsMissing) {
  Stage stage;
  DevicePanel panel;
  stage.show(panel);
  EXPECT_GT(stage.canvas.count({0, 0, 900, 300}, stage.canvas.palette().muted, 0.1F), 100u);
}

}  // namespace
}  // namespace glassbox::app::ui
