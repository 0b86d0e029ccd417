#include "model/utf8.h"

#include "tests/support.h"

namespace glassbox::model {
namespace {

Utf8State state_of(std::string_view text) { return decode_utf8(text).state; }

TEST(Utf8, EveryCodePointSurvivesTheRoundTrip) {
  for (char32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point < 0xE000) continue;
    std::string bytes;
    append_utf8(bytes, code_point);
    const Utf8Head head = decode_utf8(bytes);
    ASSERT_EQ(head.state, Utf8State::valid) << static_cast<std::uint32_t>(code_point);
    ASSERT_EQ(head.code_point, code_point);
    ASSERT_EQ(head.length, bytes.size());
  }
}

TEST(Utf8, EncodesAsTheCompilerDoes) { EXPECT_EQ(to_utf8(U"aé€🦙\U0010FFFF"), "aé€🦙\U0010FFFF"); }
TEST(Utf8, DecodesAsTheCompilerDoes) { EXPECT_EQ(to_utf32("aé€🦙\U0010FFFF"), U"aé€🦙\U0010FFFF"); }

TEST(Utf8, RefusesOverlongForms) {
  for (const std::string_view text : {"\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF"})
    EXPECT_EQ(state_of(text), Utf8State::invalid);
}
TEST(Utf8, RefusesSurrogates) { EXPECT_EQ(state_of("\xED\xA0\x80"), Utf8State::invalid); }
TEST(Utf8, RefusesWhatLiesPastTheLastCodePoint) {
  EXPECT_EQ(state_of("\xF4\x90\x80\x80"), Utf8State::invalid);
  EXPECT_EQ(state_of("\xF5"), Utf8State::invalid);
}
TEST(Utf8, RefusesALoneContinuationByte) { EXPECT_EQ(state_of("\x80"), Utf8State::invalid); }

TEST(Utf8, ProperPrefixesAreIncomplete) {
  for (const std::string_view whole : {"é", "€", "🦙"})
    for (std::size_t length = 0; length < whole.size(); ++length)
      EXPECT_EQ(state_of(whole.substr(0, length)), Utf8State::incomplete) << whole << " " << length;
}
TEST(Utf8, ABrokenPrefixIsInvalidAtOnce) { EXPECT_EQ(state_of("\xE2\x28"), Utf8State::invalid); }

TEST(Utf8, NamesTheFirstInvalidByte) {
  EXPECT_EQ(find_invalid_utf8("héllo 🦙"), std::nullopt);
  EXPECT_EQ(find_invalid_utf8("h\xC3\xA9\xFFllo"), 3u);
  EXPECT_EQ(find_invalid_utf8("ab\xE2\x82"), 2u);
}

TEST(Utf8, EachInvalidByteBecomesOneReplacementCharacter) { EXPECT_EQ(to_utf32("a\xE2\x82z"), U"a\uFFFD\uFFFDz"); }

}  // namespace
}  // namespace glassbox::model
