#include "model/xdg.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>

#include "tests/support.h"

namespace glassbox::model {
namespace {

/// The variables are the test's own while it runs.
class Xdg : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}) {
      if (const char* value = std::getenv(name)) saved_[name] = value;
      unsetenv(name);
    }
  }
  void TearDown() override {
    for (const char* name : {"HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"})
      saved_.contains(name) ? setenv(name, saved_[name].c_str(), 1) : unsetenv(name);
  }
  void set(const char* name, const std::filesystem::path& value) { setenv(name, value.c_str(), 1); }

  testing::TempDir temp_;
  const std::filesystem::path root_ = temp_.path();

 private:
  std::map<std::string, std::string> saved_;
};

unsigned mode_of(const std::filesystem::path& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 ? status.st_mode & 0777u : 0u;
}

TEST_F(Xdg, FollowsTheVariables) {
  set("XDG_DATA_HOME", root_ / "d");
  set("XDG_CACHE_HOME", root_ / "c");
  set("XDG_CONFIG_HOME", root_ / "f");
  EXPECT_EQ(data_home(), root_ / "d/glassbox");
  EXPECT_EQ(cache_home(), root_ / "c/glassbox");
  EXPECT_EQ(config_home(), root_ / "f/glassbox");
}
TEST_F(Xdg, FallsBackBelowHome) {
  set("HOME", root_);
  EXPECT_EQ(data_home(), root_ / ".local/share/glassbox");
  EXPECT_EQ(cache_home(), root_ / ".cache/glassbox");
  EXPECT_EQ(config_home(), root_ / ".config/glassbox");
}
TEST_F(Xdg, IgnoresRelativeAndEmptyValues) {
  set("HOME", root_);
  set("XDG_DATA_HOME", "relative/path");
  set("XDG_CACHE_HOME", "");
  EXPECT_EQ(data_home(), root_ / ".local/share/glassbox");
  EXPECT_EQ(cache_home(), root_ / ".cache/glassbox");
}
TEST_F(Xdg, MakesPrivateDirectories) {
  set("XDG_DATA_HOME", root_ / "a/b/");
  const auto mask = umask(0);
  EXPECT_TRUE(std::filesystem::is_directory(data_home()));
  umask(mask);
  for (const char* made : {"a", "a/b", "a/b/glassbox"}) EXPECT_EQ(mode_of(root_ / made), 0700u) << made;
}
TEST_F(Xdg, LeavesDirectoriesThatExistAsTheyAre) {
  std::filesystem::create_directory(root_ / "a");
  chmod((root_ / "a").c_str(), 0755);
  set("XDG_DATA_HOME", root_ / "a");
  data_home();
  data_home();
  EXPECT_EQ(mode_of(root_ / "a"), 0755u);
}
TEST_F(Xdg, SaysWhatIsInTheWay) {
  std::ofstream(root_ / "file") << "x";
  set("XDG_DATA_HOME", root_ / "file");
  EXPECT_ERROR(data_home(), "cannot create the directory " + (root_ / "file").string());
}
TEST_F(Xdg, SaysThatNeitherVariableIsSet) {
  EXPECT_ERROR(cache_home(), "neither XDG_CACHE_HOME nor HOME is set to an absolute path");
}

}  // namespace
}  // namespace glassbox::model
