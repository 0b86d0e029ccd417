#include "app/ui/rich_text.h"

#include <gtest/gtest.h>

#include <random>

#include "app/ui/text_wrap.h"
#include "tests/ui/canvas.h"

namespace glassbox::app::ui {
namespace {

constexpr std::string_view wrapping_text =
    "# Title\n\nSome **bold** and `code` in a paragraph that is long enough to wrap in any width that we try here.\n\n"
    "- one\n- two\n  - three\n\n```py\nprint('a')\n\n    b = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    "中文文本没有空格，所以可以在任何地方换行。 &amp; the end.";

/// Fonts come with a canvas; making one takes a while.
class RichTextTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { canvas_ = new glassbox::testing::Canvas(400, 300); }
  static void TearDownTestSuite() {
    delete canvas_;
    canvas_ = nullptr;
  }
  static const Fonts& fonts() { return canvas_->fonts(); }
  static RichText laid(std::string_view source, float width = 300) {
    RichText text;
    text.lay_out(parse_markdown(source), width, fonts(), 1);
    return text;
  }
  static WrappedText wrapped(std::string_view text, float width) {
    const FontRun run{text.size(), fonts().body};
    return wrap_text(text, {&run, 1}, width, 1.4F);
  }
  static std::vector<std::string> lines(std::string_view text, float width) {
    std::vector<std::string> result;
    for (const auto& line : wrapped(text, width).lines)
      result.emplace_back(text.substr(line.begin, line.end - line.begin));
    return result;
  }
  static float width_of(std::string_view text) { return text_width(*fonts().body, text); }
  static glassbox::testing::Canvas* canvas_;
};
glassbox::testing::Canvas* RichTextTest::canvas_ = nullptr;

using Lines = std::vector<std::string>;

TEST_F(RichTextTest, WrapsBetweenWords) {
  EXPECT_EQ(lines("one two three", width_of("one two") + 1), (Lines{"one two ", "three"}));
}
TEST_F(RichTextTest, BreaksAWordThatIsTooLong) {
  EXPECT_EQ(lines("aaaaaaaa", width_of("aaa") + 1), (Lines{"aaa", "aaa", "aa"}));
}
TEST_F(RichTextTest, BreaksAtLineBreaks) { EXPECT_EQ(lines("a\n\nb\n", 100), (Lines{"a\n", "\n", "b\n", ""})); }
TEST_F(RichTextTest, BreaksChineseAnywhere) {
  const float three = width_of("中") * 3 + 1;
  EXPECT_EQ(lines("中文文本没有", three), (Lines{"中文文", "本没有"}));
}
TEST_F(RichTextTest, ClosingSignsDoNotBeginALine) {
  const float three = width_of("中") * 3 + 1;
  EXPECT_EQ(lines("中文文。本", three).at(1), "文。本");
}
TEST_F(RichTextTest, BlanksHangOverTheEdge) {
  EXPECT_EQ(lines("ab    cd", width_of("ab") + 1), (Lines{"ab    ", "cd"}));
}
TEST_F(RichTextTest, MeasuresAsDearImGuiDraws) {
  for (const auto* text : {"Hello, world", "\ttab", "äöü 中 \xf0\x9f\x98\x80"})
    EXPECT_FLOAT_EQ(width_of(text), fonts().body->CalcTextSizeA(fonts().body->FontSize, 1e9F, 0, text).x) << text;
}
TEST_F(RichTextTest, NoLineIsWiderThanAsked) {
  std::mt19937 random(3);
  const std::string_view alphabet[] = {"a", "word", " ", "-", "中", "。", "\n", "ä", "long-word", "(", "\u0301"};
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (int i = 0; i < 60; ++i) text += alphabet[random() % std::size(alphabet)];
    const float width = 20 + static_cast<float>(random() % 200);
    std::size_t end = 0;
    for (const auto& line : wrapped(text, width).lines) {
      EXPECT_EQ(line.begin, end);
      end = line.end;
      auto shown = text.substr(line.begin, line.end - line.begin);
      while (!shown.empty() && (shown.back() == ' ' || shown.back() == '\n')) shown.pop_back();
      if (shown.find("\u0301") == std::string::npos)
        EXPECT_LE(width_of(shown), std::max(width, width_of("中"))) << shown;
    }
    EXPECT_EQ(end, text.size());
  }
}

TEST_F(RichTextTest, WordsAreFound) {
  EXPECT_EQ(word_at("one two_3 four", 5), (TextRange{4, 9}));
  EXPECT_EQ(word_at("one  two", 3), (TextRange{3, 5}));
  EXPECT_EQ(word_at("süß!", 1), (TextRange{0, 5}));
  EXPECT_EQ(word_at("a\n\nb", 2), (TextRange{2, 2}));
  EXPECT_EQ(word_at("", 0), (TextRange{0, 0}));
}
TEST_F(RichTextTest, ParagraphsAreFound) {
  EXPECT_EQ(paragraph_at("a\nbcd\ne", 3), (TextRange{2, 5}));
  EXPECT_EQ(paragraph_at("abc", 3), (TextRange{0, 3}));
}

TEST_F(RichTextTest, ClickFindsTheByteOfTheSource) {
  const auto text = laid("so **bold**");
  const float x = width_of("so ") + text_width(*fonts().bold, "b") / 2;
  const auto hit = text.hit({x, 8});
  ASSERT_TRUE(hit.character);
  EXPECT_EQ(text.source_of(*hit.character), std::string_view("so **bold**").find('b'));
}
TEST_F(RichTextTest, ClickBesideTheTextIsOnNoCharacter) {
  EXPECT_FALSE(laid("so").hit({200, 8}).character);
  EXPECT_EQ(laid("so").hit({200, 8}).position, 2u);
}
TEST_F(RichTextTest, EveryCharacterIsFoundWhereItStands) {
  for (const float width : {90.0F, 300.0F, 900.0F}) {
    const auto text = laid(wrapping_text, width);
    std::size_t found = 0;
    for (float y = 0; y < text.height(); y += 4)
      for (float x = 1; x < width; x += 3)
        if (const auto hit = text.hit({x, y}); hit.character) {
          const auto source = text.source_of(*hit.character);
          ASSERT_TRUE(source);
          const auto shown = text.text({*hit.character, *hit.character + 1});
          if (!shown.empty() && shown[0] != '\n' && shown != "&" && shown[0] != ' ')
            EXPECT_EQ(shown.back(), wrapping_text[*source]) << "at " << x << ", " << y;
          ++found;
        }
    EXPECT_GT(found, 200u);
  }
}
TEST_F(RichTextTest, LinkIsKnownUnderThePointer) {
  EXPECT_EQ(laid("[a link](https://a.b)").hit({8, 8}).link, "https://a.b");
  EXPECT_EQ(laid("no link").hit({8, 8}).link, "");
}

TEST_F(RichTextTest, CopiesAsRendered) {
  const auto text = laid("# T\n\n**a** b\n\n1. x\n2. y\n   - z\n\n> q");
  EXPECT_EQ(text.text({0, text.size()}), "T\n\na b\n\n1. x\n2. y\n  ◦ z\n\n> q");
}
TEST_F(RichTextTest, CopiesCodeByteByByte) {
  const auto text = laid("a\n\n```\n  x\t\n\n y \n```");
  ASSERT_EQ(text.code_areas().size(), 1u);
  EXPECT_EQ(text.code_text(text.code_areas()[0].range), "  x\t\n\n y ");
}
TEST_F(RichTextTest, CopiesTablesWithTabs) {
  const auto text = laid("|a|b|\n|---|---|\n|1|2|");
  EXPECT_EQ(text.text({0, text.size()}), "a\tb\n1\t2");
}
TEST_F(RichTextTest, CopiesAPartOfAParagraph) { EXPECT_EQ(laid("some **bold** words").text({5, 12}), "bold wo"); }
TEST_F(RichTextTest, DoubleClickTakesAWordAcrossStyles) {
  const auto text = laid("say un**believ**able!");
  EXPECT_EQ(text.text(text.word(7)), "unbelievable");
}

TEST_F(RichTextTest, StreamingLaysOutTheLastBlockAlone) {
  const std::string before = "# A\n\nfirst paragraph\n\n- one\n- two\n\nlast";
  RichText text;
  text.lay_out(parse_markdown(before, true), 300, fonts(), 1);
  EXPECT_EQ(text.fresh(), 5u);
  text.lay_out(parse_markdown(before + " words", true), 300, fonts(), 1);
  EXPECT_EQ(text.fresh(), 1u);
  text.lay_out(parse_markdown(before + " words", true), 301, fonts(), 1);
  EXPECT_EQ(text.fresh(), 5u);
}
TEST_F(RichTextTest, StreamedIsAsLaidOutAtOnce) {
  RichText streamed;
  for (std::size_t end = 0; end <= wrapping_text.size(); ++end)
    streamed.lay_out(parse_markdown(wrapping_text.substr(0, end), true), 200, fonts(), 1);
  streamed.lay_out(parse_markdown(wrapping_text), 200, fonts(), 1);
  const auto once = laid(wrapping_text, 200);
  EXPECT_EQ(streamed.height(), once.height());
  EXPECT_EQ(streamed.text({0, streamed.size()}), once.text({0, once.size()}));
}
TEST_F(RichTextTest, NarrowIsHigherThanWide) {
  EXPECT_GT(laid(wrapping_text, 120).height(), laid(wrapping_text, 800).height());
}
TEST_F(RichTextTest, NothingHasNoHeight) {
  const auto text = laid("");
  EXPECT_EQ(text.height(), 0);
  EXPECT_EQ(text.text({0, 10}), "");
  EXPECT_EQ(text.hit({5, 5}).position, 0u);
  EXPECT_FALSE(text.source_of(0));
}

class RichTextDrawing : public RichTextTest {
 protected:
  static void draw(const RichText& text, TextPaint paint, float top = 0, float bottom = 300) {
    canvas_->frame([&] {
      paint.list = ImGui::GetWindowDrawList();
      paint.origin = {10, 10};
      paint.top = top;
      paint.bottom = bottom;
      text.draw(paint, fonts(), canvas_->palette());
    });
  }
};

TEST_F(RichTextDrawing, TintsTheBytesOfAToken) {
  const auto text = laid("one two");
  const TextMark marks[] = {{0, 3, 0}, {3, 7, IM_COL32(255, 0, 0, 255)}};
  draw(text, {.marks = marks});
  const int edge = 10 + static_cast<int>(width_of("one"));
  EXPECT_EQ(canvas_->count({0, 0, edge - 2, 60}, {1, 0, 0, 1}), 0u);
  EXPECT_GT(canvas_->count({edge + 1, 0, 100, 60}, {1, 0, 0, 1}), 100u);
}
TEST_F(RichTextDrawing, OutlinesTheSelectedToken) {
  const auto text = laid("one **two**");
  draw(text, {});
  const auto accent = canvas_->palette().accent;
  EXPECT_EQ(canvas_->count(canvas_->all(), accent), 0u);
  draw(text, {.outlined = TextRange{6, 9}});
  EXPECT_GT(canvas_->count(canvas_->all(), accent), 40u);
}
TEST_F(RichTextDrawing, DrawsOnlyWhatIsInView) {
  std::string source;
  for (int i = 0; i < 2000; ++i) source += "A paragraph of words.\n\n";
  const auto text = laid(source);
  draw(text, {});
  EXPECT_GT(canvas_->vertices(), 200);
  EXPECT_LT(canvas_->vertices(), 5000);
}

}  // namespace
}  // namespace glassbox::app::ui
