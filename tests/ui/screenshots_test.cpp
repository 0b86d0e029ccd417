#include "tests/ui/desktop.h"

// `make screenshots`: pictures of each panel as a person sees it, of the bundled model. Without it they are made as
// well, and thrown away.
namespace glassbox::app::ui {
namespace {

TEST(Screenshots, OfEachPanel) {
  const testing::TempDir unwanted;
  const char* wanted = std::getenv("GLASSBOX_SCREENSHOTS");
  const std::filesystem::path directory = wanted ? wanted : unwanted.path() / "pictures";
  std::filesystem::create_directories(directory);
  testing::Desktop desktop(1440, 900);
  desktop.start();
  desktop.until("the model", [](const auto& now) { return now.at("model") != "" && !now.at("busy"); });
  desktop.resize(1440, 900);
  desktop.click("composer");
  desktop.type("Write a bedtime story about a kite that got lost.\n");
  desktop.until("some words or a short story's end",
                [](const auto& now) { return now.at("tokens") >= 150 || (now.at("tokens") > 60 && !now.at("busy")); });
  desktop.key("Escape");
  desktop.until_idle();
  const auto save = [&](const std::string& name) {
    desktop.until_idle();
    const auto picture = desktop.picture();
    EXPECT_GT(picture.colours(), 200u) << name;
    picture.save_png(directory / (name + ".png"));
  };
  const auto answer = desktop.where("message 2");
  desktop.click(answer.x + 12, answer.y + 10);
  save("token");
  desktop.click("Diff");
  desktop.click("check token");
  desktop.until("the comparison", [](const auto& now) { return now.at("busy"); });
  for (const auto& [panel, file] : {std::pair{"Diff", "diff"},
                                    {"Timeline", "timeline"},
                                    {"Kernels", "kernels"},
                                    {"Roofline", "roofline"},
                                    {"Model", "model"},
                                    {"Device", "device"},
                                    {"Settings", "settings"}}) {
    desktop.click(panel);
    save(file);
  }
  desktop.key("F1");
  save("help");
  EXPECT_EQ(desktop.close(), 0);
}

}  // namespace
}  // namespace glassbox::app::ui
