#include "app/ui/markdown.h"

#include <gtest/gtest.h>

#include <random>

#include "model/utf8.h"

namespace glassbox::app::ui {
namespace {

std::string text_of(const std::vector<Run>& runs) {
  std::string text;
  for (const auto& run : runs) text += run.text;
  return text;
}
std::string text_of(const Block& block) {
  auto text = text_of(block.runs);
  for (const auto& cell : block.cells) text += text_of(cell.runs) + "|";
  return text;
}
std::string text_of(const Document& document) {
  std::string text;
  for (const auto& block : document) text += text_of(block) + "\n";
  return text;
}
Block only(std::string_view source, bool streaming = false) {
  auto document = parse_markdown(source, streaming);
  EXPECT_EQ(document.size(), 1u) << source;
  return document.empty() ? Block{} : document[0];
}
/// The style of the run that shows `text`.
int style_of(const Block& block, std::string_view text) {
  for (const auto& run : block.runs)
    if (run.text == text) return run.style;
  ADD_FAILURE() << "no run \"" << text << "\" in \"" << text_of(block) << "\"";
  return -1;
}

/// What must be true of any document: text is UTF-8 without U+0000, and stands in the source where it says.
void expect_sound(const Document& document, std::string_view source) {
  const auto check = [&](const std::vector<Run>& runs) {
    for (const auto& run : runs) {
      ASSERT_FALSE(model::find_invalid_utf8(run.text)) << "of a source of " << source.size();
      ASSERT_EQ(run.text.find('\0'), std::string::npos);
      ASSERT_LE(run.source, source.size());
      ASSERT_LE(run.length, source.size() - run.source);
      if (run.length != run.text.size() || run.text.find("\uFFFD") != std::string::npos || run.text == "&") continue;
      // A line break within inline code is shown as a blank; white space around line breaks is dropped.
      for (std::size_t i = 0; i < run.length; ++i)
        if (run.text[i] != ' ' && run.text[i] != '\n') ASSERT_EQ(source[run.source + i], run.text[i]) << run.text;
    }
  };
  for (const auto& block : document) {
    check(block.runs);
    for (const auto& cell : block.cells) check(cell.runs);
  }
}

constexpr std::string_view every_block = R"(# Title

Some **bold**, *italic*, ***both***, `code` and [text](https://example.org "t").
Second line.

1. one
2. two
   - nested **deep**

     with a paragraph
3. three

> quoted
> more

```cpp
int x = 1;  // **not bold**

  return x;
```

    indented code

| a | b |
|:-:|--:|
| 1 | 2 |

---

äöü 中文 &amp; &lt;tag&gt; <b>html</b> \*escaped\*
)";

TEST(Markdown, HeadingHasItsLevel) { EXPECT_EQ(only("### Third").level, 3); }
TEST(Markdown, HeadingHasItsText) { EXPECT_EQ(text_of(only("### Third")), "Third"); }
TEST(Markdown, BoldIsBold) { EXPECT_EQ(style_of(only("a **b** c"), "b"), bold); }
TEST(Markdown, ItalicIsItalic) { EXPECT_EQ(style_of(only("a *b* c"), "b"), italic); }
TEST(Markdown, ThreeStarsAreBoth) { EXPECT_EQ(style_of(only("a ***b*** c"), "b"), bold | italic); }
TEST(Markdown, BackticksAreCode) { EXPECT_EQ(style_of(only("a `b*c*` d"), "b*c*"), code); }
TEST(Markdown, TildesStrike) { EXPECT_EQ(style_of(only("a ~~b~~ c"), "b"), struck); }
TEST(Markdown, StarsAmongBlanksAreText) { EXPECT_EQ(text_of(only("2 * 3 * 4")), "2 * 3 * 4"); }
TEST(Markdown, UnderscoresWithinAWordAreText) { EXPECT_EQ(text_of(only("rms_norm_eps")), "rms_norm_eps"); }
TEST(Markdown, LineBreaksStay) { EXPECT_EQ(text_of(only("one\ntwo")), "one\ntwo"); }
TEST(Markdown, HtmlIsText) { EXPECT_EQ(text_of(only("<b>x</b>")), "<b>x</b>"); }
TEST(Markdown, CharacterReferencesAreDecoded) { EXPECT_EQ(text_of(only("&lt;&#228;&#x4e2d;&gt;")), "<ä中>"); }
TEST(Markdown, UnknownReferencesAreText) { EXPECT_EQ(text_of(only("&bogus;")), "&bogus;"); }
TEST(Markdown, ReferencesToNoCharacterAreReplaced) { EXPECT_EQ(text_of(only("&#xd800;")), "\uFFFD"); }
TEST(Markdown, RuleIsARule) { EXPECT_EQ(only("---").kind, BlockKind::rule); }

TEST(Markdown, LinkShowsItsTextAndKeepsItsAddress) {
  const auto block = only("see [here](https://example.org/?a=1&b=2)");
  EXPECT_EQ(text_of(block), "see here");
  EXPECT_EQ(block.runs.back().link, 0);
  EXPECT_EQ(block.links, (std::vector<std::string>{"https://example.org/?a=1&b=2"}));
}
TEST(Markdown, BareAddressIsALink) { EXPECT_EQ(only("https://example.org/x").links.at(0), "https://example.org/x"); }
TEST(Markdown, ImageIsItsTextAsALink) {
  EXPECT_EQ(text_of(only("![a cat](cat.png)")), "a cat");
  EXPECT_EQ(only("![a cat](cat.png)").links.at(0), "cat.png");
}

TEST(Markdown, FencedCodeKeepsItsTextAndLanguage) {
  const auto block = only("```py\nif x:\n\n    y = \"**\"\n```");
  EXPECT_EQ(block.kind, BlockKind::code);
  EXPECT_EQ(block.language, "py");
  EXPECT_EQ(text_of(block), "if x:\n\n    y = \"**\"");
}
TEST(Markdown, IndentedCodeLosesItsIndentation) { EXPECT_EQ(text_of(only("    a\n      b")), "a\n  b"); }
TEST(Markdown, OpenFenceIsCodeToTheEnd) {
  EXPECT_EQ(text_of(only("```\na\nb", true)), "a\nb");
  EXPECT_EQ(only("```\na\nb", true).kind, BlockKind::code);
}

TEST(Markdown, ListItemsHaveMarkersAndDepth) {
  const auto document = parse_markdown("3. a\n4. b\n   - c\n\n   d");
  ASSERT_EQ(document.size(), 4u);
  EXPECT_EQ(document[0].marker, "3.");
  EXPECT_EQ(document[1].marker, "4.");
  EXPECT_EQ(document[2].marker, "◦");
  EXPECT_EQ(document[2].indent, 2);
  EXPECT_EQ(document[3].marker, "");
  EXPECT_EQ(document[3].indent, 1);
}
TEST(Markdown, EmptyItemKeepsItsMarker) { EXPECT_EQ(parse_markdown("- a\n-\n- c").at(1).marker, "•"); }
TEST(Markdown, TasksHaveBoxes) {
  const auto document = parse_markdown("- [x] a\n- [ ] b");
  EXPECT_EQ(document.at(0).marker + document.at(1).marker, "[x][ ]");
}
TEST(Markdown, QuotesCountTheirDepth) { EXPECT_EQ(only("> > deep").quote, 2); }

TEST(Markdown, TableHasItsCells) {
  const auto table = only("| a | b |\n|---|--:|\n| 1 | **2** |");
  EXPECT_EQ(table.kind, BlockKind::table);
  EXPECT_EQ(table.columns, 2u);
  EXPECT_EQ(text_of(table), "a|b|1|2|");
  EXPECT_EQ(table.cells[0].runs.at(0).style, bold);
  EXPECT_EQ(table.cells[2].runs.at(0).style, plain);
  EXPECT_EQ(table.cells[3].align, Align::right);
}

TEST(Markdown, RunsKnowTheirBytes) {
  const auto block = only("ab **cd** `e`");
  for (const auto& run : block.runs)
    EXPECT_EQ(std::string_view("ab **cd** `e`").substr(run.source, run.length), run.text);
  EXPECT_EQ(block.runs.at(1).source, 5u);
}
TEST(Markdown, BytesThatAreNotUtf8AreReplaced) {
  const auto block = only("a\xff\xc3 z");
  EXPECT_EQ(text_of(block), "a\uFFFD\uFFFD z");
  EXPECT_EQ(block.runs.back().source, 3u);
}
TEST(Markdown, NulIsReplaced) { EXPECT_EQ(text_of(only(std::string_view("a\0b", 3))), "a\uFFFDb"); }
TEST(Markdown, NothingIsNoBlock) {
  EXPECT_TRUE(parse_markdown("").empty());
  EXPECT_TRUE(parse_markdown("", true).empty());
}
TEST(Markdown, PlainTextIsLeftAlone) { EXPECT_EQ(text_of(plain_document("**a**\n# b")), "**a**\n# b\n"); }

TEST(MarkdownStream, OpenEmphasisIsShownClosed) { EXPECT_EQ(style_of(only("so **bol", true), "bol"), bold); }
TEST(MarkdownStream, OpenCodeIsShownClosed) { EXPECT_EQ(style_of(only("so `x = 1", true), "x = 1"), code); }
TEST(MarkdownStream, NestedEmphasisIsShownClosed) { EXPECT_EQ(style_of(only("**a *b", true), "b"), bold | italic); }
TEST(MarkdownStream, EmphasisBeforeABlankIsShownClosed) { EXPECT_EQ(style_of(only("so **bold ", true), "bold"), bold); }
TEST(MarkdownStream, MarkersAtTheEndAreHeldBack) {
  for (const auto* end : {"*", "**", "***", "`"}) EXPECT_EQ(text_of(only(std::string("so ") + end, true)), "so");
}
TEST(MarkdownStream, LineThatMayBecomeARuleMakesNoHeading) {
  EXPECT_EQ(only("Text:\n-", true).kind, BlockKind::paragraph);
  EXPECT_EQ(only("Text:\n-").kind, BlockKind::heading);
}
TEST(MarkdownStream, StarsInCodeCloseNothing) { EXPECT_EQ(text_of(only("```\na **b", true)), "a **b"); }
TEST(MarkdownStream, StarsInAnEarlierParagraphCloseNothing) {
  EXPECT_EQ(text_of(parse_markdown("a ** b\n\nc", true)), "a ** b\nc\n");
}
TEST(MarkdownStream, NoMarkerIsEverSeenWhileItStreams) {
  constexpr std::string_view source = "Some **bold text** and *more* and ***all*** of `it = 1` so **it *is* well**.";
  for (std::size_t end = 0; end <= source.size(); ++end) {
    const auto shown = text_of(parse_markdown(source.substr(0, end), true));
    EXPECT_EQ(shown.find_first_of("*`"), std::string::npos) << source.substr(0, end) << " -> " << shown;
  }
}
TEST(MarkdownStream, WholeTextIsAsParsedAtOnce) {
  std::string source(every_block);
  source += "end";
  EXPECT_EQ(parse_markdown(source, true), parse_markdown(source));
}

TEST(MarkdownFuzz, EveryPrefixOfASampleIsSound) {
  for (std::size_t end = 0; end <= every_block.size(); ++end)
    for (const bool streaming : {false, true})
      expect_sound(parse_markdown(every_block.substr(0, end), streaming), every_block.substr(0, end));
}
TEST(MarkdownFuzz, AnyMarkersAndBytesAreSound) {
  std::mt19937 random(7);
  const std::string_view alphabet[] = {"*", "**",   "`",  "```",  "\n", "\n\n", "- ", "1. ",       "> ", "#",
                                       "|", "|-|",  "[",  "](",   ")",  "<",    ">",  "&amp;",     "\\", "~~",
                                       " ", "    ", "\t", "word", "ä",  "\xff", "中", "http://x.y"};
  for (int round = 0; round < 3000; ++round) {
    std::string source;
    for (auto pieces = random() % 40; pieces > 0; --pieces) source += alphabet[random() % std::size(alphabet)];
    if (round % 3 == 0)
      for (auto& byte : source)
        if (random() % 8 == 0) byte = static_cast<char>(random());
    for (const bool streaming : {false, true}) expect_sound(parse_markdown(source, streaming), source);
    expect_sound(plain_document(source), source);
  }
}
TEST(MarkdownFuzz, DeepNestingIsSurvived) {
  for (const auto* piece : {"> ", "- ", "* ", "[", "**a ", "`", "|", "1. "}) {
    std::string source;
    for (int i = 0; i < 20000; ++i) source += piece;
    source += "x";
    expect_sound(parse_markdown(source, true), source);
    expect_sound(parse_markdown(source), source);
  }
}

}  // namespace
}  // namespace glassbox::app::ui
