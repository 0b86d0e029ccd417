#include "app/ui/text_edit.h"

#include <gtest/gtest.h>

namespace glassbox::app::ui {
namespace {

using enum TextEdit::Reach;

TextEdit with(std::string_view text) {
  TextEdit edit;
  edit.reset(text);
  return edit;
}

TEST(TextEdit, InsertsAtTheCaret) {
  auto edit = with("ac");
  edit.move_to(1, false);
  edit.insert("b");
  EXPECT_EQ(edit.text(), "abc");
  EXPECT_EQ(edit.caret(), 2u);
}
TEST(TextEdit, InsertsInPlaceOfTheSelection) {
  auto edit = with("one two");
  edit.select({0, 3});
  edit.insert("1");
  EXPECT_EQ(edit.text(), "1 two");
}
TEST(TextEdit, PastedLineBreaksBecomeOne) {
  auto edit = with("");
  edit.insert("a\r\nb\rc\nd");
  EXPECT_EQ(edit.text(), "a\nb\nc\nd");
}
TEST(TextEdit, PastedBytesBecomeUtf8) {
  auto edit = with("");
  edit.insert(std::string_view("a\xff\0z\xc3", 5));
  EXPECT_EQ(edit.text(), "a\uFFFD\uFFFDz\uFFFD");
}
TEST(TextEdit, ErasesWholeCharacters) {
  auto edit = with("aä中");
  edit.erase_before(character);
  EXPECT_EQ(edit.text(), "aä");
  edit.erase_before(character);
  EXPECT_EQ(edit.text(), "a");
}
TEST(TextEdit, ErasesWords) {
  auto edit = with("one two  ");
  edit.erase_before(word);
  EXPECT_EQ(edit.text(), "one ");
  edit.move_to(0, false);
  edit.erase_after(word);
  EXPECT_EQ(edit.text(), " ");
}
TEST(TextEdit, ErasesNothingAtTheEnds) {
  auto edit = with("");
  edit.erase_before(word);
  edit.erase_after(character);
  EXPECT_EQ(edit.text(), "");
}
TEST(TextEdit, SelectionRunsBothWays) {
  auto edit = with("abcd");
  edit.move_to(3, false);
  edit.move_to(1, true);
  EXPECT_EQ(edit.selected(), "bc");
  EXPECT_EQ(edit.caret(), 1u);
}
TEST(TextEdit, UndoesWhatWasTypedWordByWord) {
  auto edit = with("");
  for (const char* c : {"h", "i", " ", "y", "o", "u"}) edit.insert(c);
  edit.undo();
  EXPECT_EQ(edit.text(), "hi ");
  edit.undo();
  EXPECT_EQ(edit.text(), "");
}
TEST(TextEdit, RedoesWhatWasUndone) {
  auto edit = with("");
  edit.insert("some words");
  edit.select_all();
  edit.erase_before(character);
  edit.undo();
  EXPECT_EQ(edit.text(), "some words");
  edit.redo();
  EXPECT_EQ(edit.text(), "");
  edit.undo();
  edit.undo();
  EXPECT_EQ(edit.text(), "");
  edit.redo();
  EXPECT_EQ(edit.text(), "some words");
}
TEST(TextEdit, TypingEndsWhatCouldBeRedone) {
  auto edit = with("");
  edit.insert("abc");
  edit.undo();
  edit.insert("x");
  edit.redo();
  EXPECT_EQ(edit.text(), "x");
}
TEST(TextEdit, UndoOfNothingIsNothing) {
  auto edit = with("a");
  edit.undo();
  edit.redo();
  EXPECT_EQ(edit.text(), "a");
}

}  // namespace
}  // namespace glassbox::app::ui
