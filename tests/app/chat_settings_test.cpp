#include "app/cli/chat_settings.h"

#include "app/cli/chat_terminal.h"
#include "tests/support.h"

namespace glassbox::app {
namespace {

struct Case {
  const char *name, *value, *shown;
};

TEST(ChatSettings, EverySettingIsSetByItsFlagsName) {
  for (const auto& [name, value, shown] :
       {Case{"temp", "0.5", "temp 0.5"}, Case{"top-k", "7", "top-k 7"}, Case{"top-p", "0.5", "top-p 0.5"},
        Case{"min-p", "0.1", "min-p 0.1"}, Case{"typical", "0.7", "typical 0.7"},
        Case{"repeat-last-n", "-1", "repeat-last-n -1"}, Case{"repeat-penalty", "1.1", "repeat-penalty 1.1"},
        Case{"presence-penalty", "0.2", "presence-penalty 0.2"},
        Case{"frequency-penalty", "-0.3", "frequency-penalty -0.3"}, Case{"seed", "42", "seed 42"},
        Case{"n-predict", "9", "n-predict 9"}}) {
    model::ChatSettings settings;
    EXPECT_EQ(describe(settings).find(shown), std::string::npos);
    set_by_name(settings, name, value);
    EXPECT_NE(describe(settings).find(shown), std::string::npos) << describe(settings);
  }
}

TEST(ChatSettings, BadValuesChangeNothing) {
  model::ChatSettings settings;
  const auto before = describe(settings);
  EXPECT_ERROR(set_by_name(settings, "top-p", "2"), "--top-p must be between 0 and 1, found 2");
  EXPECT_ERROR(set_by_name(settings, "top-k", "1.5"), "top-k expects a whole number, found '1.5'");
  EXPECT_ERROR(set_by_name(settings, "temp", ""), "temp expects a number");
  EXPECT_ERROR(set_by_name(settings, "temp", "nan"), "--temp must be a finite number");
  EXPECT_ERROR(set_by_name(settings, "n-predict", "0"), "n-predict expects a number of tokens");
  EXPECT_ERROR(set_by_name(settings, "seed", "99999999999999999999"), "seed expects a whole number");
  EXPECT_ERROR(set_by_name(settings, "warmth", "1"), "there is no setting 'warmth'");
  EXPECT_EQ(describe(settings), before);
}

TEST(ChatTerminal, ControlCharactersCannotMoveTheCursor) {
  EXPECT_EQ(without_controls("a\n\tb\u00FC\U0001F600"), "a\n\tb\u00FC\U0001F600");
  EXPECT_EQ(without_controls("\033[2J\r\a\x7F"), "\uFFFD[2J\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(without_controls("\u009B2J"), "\uFFFD2J");
}

}  // namespace
}  // namespace glassbox::app
