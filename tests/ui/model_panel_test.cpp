#include "app/ui/model_panel.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/ui/stage.h"

namespace glassbox::app::ui {
namespace {

using testing::fake_snapshot;
using testing::Stage;

const std::vector<live::TensorInfo> tensors = {
    {"embed", "q4_0", {100, 8}, 450}, {"norm", "f32", {8}, 32}, {"head", "F16", {50, 8}, 800}};

TEST(OrderedTensors, StayInTheFilesOrderUnlessAsked) {
  EXPECT_EQ(ordered_tensors(tensors, {}, ""), (std::vector<std::size_t>{0, 1, 2}));
}
TEST(OrderedTensors, SortByEachColumn) {
  const auto by = [](TensorColumn column, bool ascending) {
    const TensorOrder key[] = {{column, ascending}};
    return ordered_tensors(tensors, key, "");
  };
  EXPECT_EQ(by(TensorColumn::bytes, false), (std::vector<std::size_t>{2, 0, 1}));
  EXPECT_EQ(by(TensorColumn::elements, false), (std::vector<std::size_t>{0, 2, 1}));
  EXPECT_EQ(by(TensorColumn::name, true), (std::vector<std::size_t>{0, 2, 1}));
}
TEST(OrderedTensors, FilterByNameOrType) {
  EXPECT_EQ(ordered_tensors(tensors, {}, "f16"), (std::vector<std::size_t>{2}));
  EXPECT_EQ(ordered_tensors(tensors, {}, "NORM"), (std::vector<std::size_t>{1}));
}
TEST(ParameterCount, IsShort) {
  EXPECT_EQ(parameter_count(950), "950");
  EXPECT_EQ(parameter_count(260'000), "260 k");
  EXPECT_EQ(parameter_count(24'500'000), "24.5 M");
  EXPECT_EQ(parameter_count(1'235'814'400), "1.24 B");
}
TEST(ModelPanel, ListsEveryTensor) {
  Stage stage(fake_snapshot());
  ModelPanel panel;
  stage.show(panel);
  EXPECT_EQ(panel.order().size(), stage.now.model->tensors.size());
  EXPECT_GT(stage.canvas.colours(stage.canvas.all()), 20u);
}
TEST(ModelPanel, ShowsAnotherModelAnew) {
  Stage stage(fake_snapshot());
  ModelPanel panel;
  stage.show(panel);
  stage.now = fake_snapshot({.layers = 2});
  stage.canvas.frames(1);
  EXPECT_EQ(panel.order().size(), 2u * 9 + 2);
}
TEST(ModelPanel, CountsTensorsEvenWhereTheyAreOutOfSight) {
  Stage stage(fake_snapshot(), 420, 160);
  ModelPanel panel;
  stage.show(panel);
  EXPECT_EQ(panel.order().size(), stage.now.model->tensors.size());
}
TEST(ModelPanel, SaysWhatIsMissing) {
  Stage stage;
  ModelPanel panel;
  stage.show(panel);
  EXPECT_GT(stage.canvas.count({0, 0, 900, 300}, stage.canvas.palette().muted, 0.1F), 100u);
}

}  // namespace
}  // namespace glassbox::app::ui
