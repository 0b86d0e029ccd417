#include "tests/app/command_line.h"

// What the program does without -m.
namespace glassbox::app {
namespace {

namespace fs = std::filesystem;
using testing::glassbox;
using testing::json_of;

const fs::path assets = fs::path(GLASSBOX_SOURCE_DIR) / "assets", bundled_model = assets / "llama-glassbox-21m.gguf";
const testing::Environment with_assets{{"GLASSBOX_ASSETS", assets.string()}};

TEST(Bundled, EveryCommandTakesTheBundledModelWithoutM) {
  const testing::Arguments text{"-p", "Once upon a time", "-n", "4", "--temp", "0", "--json"};
  testing::Arguments bundled{"generate"}, given{"generate", "-m", bundled_model};
  for (auto* arguments : {&bundled, &given}) arguments->insert(arguments->end(), text.begin(), text.end());
  EXPECT_EQ(json_of(bundled, with_assets)["tokens"], json_of(given)["tokens"]);
  for (const char* command : {"tokenize", "generate", "logits", "profile", "diff", "chat"})
    EXPECT_THAT(glassbox({command, "--help"}).out, ::testing::HasSubstr("default: the bundled model")) << command;
}

TEST(Bundled, GlassboxAssetsNamesTheFolderAndAnEmptyOneHasNoModel) {
  const testing::TempDir temp;
  testing::expect_refused(glassbox({"tokenize", "a"}, {{"GLASSBOX_ASSETS", temp.path()}}), "no model: point at one");
}

/// Where the program is, below a directory, and where the model is then found.
class BundledPlace : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(BundledPlace, IsFoundFromTheProgram) {
  const auto [program, place] = GetParam();
  const testing::TempDir temp;
  fs::create_directories((temp.path() / program).parent_path());
  fs::create_directories(temp.path() / place);
  fs::copy_file(GLASSBOX_BINARY, temp.path() / program);
  fs::create_symlink(bundled_model, temp.path() / place / "model.gguf");
  const auto result =
      testing::run_process({temp.path() / program, "tokenize", "--no-bos", "2026"}, "", {{"GLASSBOX_ASSETS", ""}});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 4) << result.out;  // the digits are split
}

INSTANTIATE_TEST_SUITE_P(Places, BundledPlace,
                         ::testing::Values(std::pair("build/release/glassbox", "assets"),
                                           std::pair("bin/glassbox", "share/glassbox"),
                                           std::pair("glassbox", "assets")),
                         [](const auto& test) {
                           std::string name = test.param.first;
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

}  // namespace
}  // namespace glassbox::app
