#include "app/ui/markdown.h"

#include <fmt/format.h>
#include <md4c.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "app/ui/markdown_tail.h"
#include "model/utf8.h"

namespace glassbox::app::ui {
namespace {

/// Appends source bytes as runs: one for each stretch of valid UTF-8, one for each byte that is not.
void append_text(std::vector<Run>& runs, std::string_view text, std::size_t source, std::uint8_t style, int link) {
  const auto add = [&](std::string_view shown, std::size_t length) {
    auto* last = runs.empty() ? nullptr : &runs.back();
    if (last && last->style == style && last->link == link && last->length == last->text.size() &&
        shown.size() == length && last->source + last->length == source) {
      last->text += shown;
      last->length += length;
    } else {
      runs.push_back({std::string(shown), source, length, style, link});
    }
    source += length;
  };
  while (!text.empty()) {
    // A U+0000 would end the text for Dear ImGui.
    const auto valid = std::min({model::find_invalid_utf8(text).value_or(text.size()), text.find('\0'), text.size()});
    if (valid > 0) add(text.substr(0, valid), valid);
    if (valid < text.size()) add("\uFFFD", 1);
    text.remove_prefix(std::min(valid + 1, text.size()));
  }
}

/// What a character reference shows; itself where it is none we know.
std::string decode_entity(std::string_view entity) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 12> named{{{"&amp;", "&"},
                                                                                        {"&lt;", "<"},
                                                                                        {"&gt;", ">"},
                                                                                        {"&quot;", "\""},
                                                                                        {"&apos;", "'"},
                                                                                        {"&nbsp;", "\u00a0"},
                                                                                        {"&mdash;", "—"},
                                                                                        {"&ndash;", "–"},
                                                                                        {"&hellip;", "…"},
                                                                                        {"&times;", "×"},
                                                                                        {"&deg;", "°"},
                                                                                        {"&copy;", "©"}}};
  for (const auto& [name, text] : named)
    if (entity == name) return std::string(text);
  if (!entity.starts_with("&#")) return std::string(entity);
  const bool hex = entity.size() > 2 && (entity[2] == 'x' || entity[2] == 'X');
  const auto point = std::strtoul(std::string(entity.substr(hex ? 3 : 2)).c_str(), nullptr, hex ? 16 : 10);
  const bool character = point > 0 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
  std::string text;
  model::append_utf8(text, character ? static_cast<char32_t>(point) : U'\uFFFD');
  return text;
}

std::string to_text(const MD_ATTRIBUTE& attribute) {
  std::vector<Run> runs;
  append_text(runs, {attribute.text, attribute.size}, 0, plain, -1);
  std::string text;
  for (const auto& run : runs) text += run.text;
  return text;
}

/// Hears md4c's callbacks.
class Builder {
 public:
  /// `hidden`: bytes behind the source that are no part of it.
  Builder(std::string_view source, std::size_t hidden) : source_(source), hidden_(hidden) {}

  Document take() {
    close();
    return std::move(document_);
  }

  void enter_block(MD_BLOCKTYPE type, const void* detail) {
    switch (type) {
      case MD_BLOCK_QUOTE:
        close();
        ++quote_;
        break;
      case MD_BLOCK_UL:
        close();
        lists_.push_back({false, 0, static_cast<const MD_BLOCK_UL_DETAIL*>(detail)->is_tight != 0, true});
        break;
      case MD_BLOCK_OL: {
        close();
        const auto* list = static_cast<const MD_BLOCK_OL_DETAIL*>(detail);
        lists_.push_back({true, list->start, list->is_tight != 0, true});
        break;
      }
      case MD_BLOCK_LI:
        begin_item(*static_cast<const MD_BLOCK_LI_DETAIL*>(detail));
        break;
      case MD_BLOCK_HR:
        open(BlockKind::rule);
        close();
        break;
      case MD_BLOCK_H:
        open(BlockKind::heading).level = static_cast<int>(static_cast<const MD_BLOCK_H_DETAIL*>(detail)->level);
        break;
      case MD_BLOCK_CODE:
        open(BlockKind::code).language = to_text(static_cast<const MD_BLOCK_CODE_DETAIL*>(detail)->lang);
        break;
      case MD_BLOCK_TABLE:
        open(BlockKind::table).columns = static_cast<const MD_BLOCK_TABLE_DETAIL*>(detail)->col_count;
        break;
      case MD_BLOCK_TH:
      case MD_BLOCK_TD: {
        const auto align = static_cast<const MD_BLOCK_TD_DETAIL*>(detail)->align;
        block().cells.push_back({{},
                                 align == MD_ALIGN_CENTER  ? Align::centre
                                 : align == MD_ALIGN_RIGHT ? Align::right
                                                           : Align::left});
        in_head_ = type == MD_BLOCK_TH;
        break;
      }
      case MD_BLOCK_P:
        open(BlockKind::paragraph);
        break;
      default:
        break;
    }
  }

  void leave_block(MD_BLOCKTYPE type) {
    switch (type) {
      case MD_BLOCK_QUOTE:
        close();
        --quote_;
        break;
      case MD_BLOCK_UL:
      case MD_BLOCK_OL:
        close();
        lists_.pop_back();
        break;
      case MD_BLOCK_LI:
        if (!marker_.empty()) open(BlockKind::paragraph);
        close();
        break;
      case MD_BLOCK_H:
      case MD_BLOCK_CODE:
      case MD_BLOCK_TABLE:
      case MD_BLOCK_P:
        close();
        break;
      case MD_BLOCK_TH:
        in_head_ = false;
        break;
      default:
        break;
    }
  }

  void enter_span(MD_SPANTYPE type, const void* detail) {
    if (type == MD_SPAN_A) add_link(static_cast<const MD_SPAN_A_DETAIL*>(detail)->href);
    if (type == MD_SPAN_IMG) add_link(static_cast<const MD_SPAN_IMG_DETAIL*>(detail)->src);
    change_style(type, 1);
  }

  void leave_span(MD_SPANTYPE type) {
    if (type == MD_SPAN_A || type == MD_SPAN_IMG) link_ = -1;
    change_style(type, -1);
  }

  void text(MD_TEXTTYPE type, std::string_view text) {
    const auto* begin = source_.data();
    const bool own = text.data() >= begin && text.data() < begin + source_.size();
    if (text.data() >= begin + source_.size() && text.data() < begin + source_.size() + hidden_) return;
    if (own) text = text.substr(0, source_.size() - static_cast<std::size_t>(text.data() - begin));
    const auto at = own ? static_cast<std::size_t>(text.data() - begin) : end_;
    auto& to = runs();
    if (type == MD_TEXT_ENTITY && own)
      to.push_back({decode_entity(text), at, text.size(), style(), link_});
    else if (type == MD_TEXT_NULLCHAR)
      append_text(to, {"\0", 1}, at, style(), link_);
    else if (type == MD_TEXT_BR || type == MD_TEXT_SOFTBR)
      append_text(to, "\n", at, style(), link_);
    else
      append_text(to, text, at, style(), link_);
    end_ = std::min(at + std::max<std::size_t>(text.size(), own ? 0 : 1), source_.size());
  }

 private:
  struct List {
    bool ordered;
    unsigned number;
    bool tight, at_first;
  };

  void begin_item(const MD_BLOCK_LI_DETAIL& item) {
    close();
    auto& list = lists_.back();
    static constexpr std::array<const char*, 3> bullets{"•", "◦", "▪"};
    marker_ = list.ordered ? fmt::format("{}.", list.number++) : bullets[(lists_.size() - 1) % bullets.size()];
    if (item.is_task) marker_ = item.task_mark == ' ' ? "[ ]" : "[x]";
  }

  Block& open(BlockKind kind) {
    close();
    Block& opened = document_.emplace_back();
    open_ = true;
    opened.kind = kind;
    opened.indent = static_cast<int>(lists_.size());
    opened.quote = quote_;
    opened.marker = std::exchange(marker_, {});
    if (!lists_.empty()) {
      opened.tight = lists_.back().tight && !(lists_.size() == 1 && lists_.back().at_first);
      lists_.back().at_first = false;
    }
    return opened;
  }

  Block& block() { return open_ ? document_.back() : open(BlockKind::paragraph); }

  /// Where text goes: a tight list's items have no paragraph of their own.
  std::vector<Run>& runs() {
    auto& to = block();
    return to.kind == BlockKind::table && !to.cells.empty() ? to.cells.back().runs : to.runs;
  }

  void close() {
    if (!std::exchange(open_, false)) return;
    auto& last = document_.back();
    if (last.kind != BlockKind::code || last.runs.empty() || !last.runs.back().text.ends_with('\n')) return;
    auto& run = last.runs.back();
    run.text.pop_back();
    if (run.length > 0) --run.length;
    if (run.text.empty()) last.runs.pop_back();
  }

  void add_link(const MD_ATTRIBUTE& address) {
    auto& links = block().links;
    link_ = static_cast<int>(links.size());
    links.push_back(to_text(address));
  }

  void change_style(MD_SPANTYPE type, int by) {
    if (type == MD_SPAN_STRONG) strong_ += by;
    if (type == MD_SPAN_EM) emphasised_ += by;
    if (type == MD_SPAN_CODE) code_ += by;
    if (type == MD_SPAN_DEL) struck_ += by;
  }

  std::uint8_t style() const {
    return static_cast<std::uint8_t>((strong_ > 0 || in_head_ ? bold : plain) | (emphasised_ > 0 ? italic : plain) |
                                     (code_ > 0 ? code : plain) | (struck_ > 0 ? struck : plain));
  }

  std::string_view source_;
  std::size_t hidden_;
  Document document_;
  bool open_ = false;
  std::vector<List> lists_;
  std::string marker_;  ///< of an item that has no block yet
  int quote_ = 0, strong_ = 0, emphasised_ = 0, code_ = 0, struck_ = 0, link_ = -1;
  bool in_head_ = false;
  std::size_t end_ = 0;  ///< of the source's text seen last
};

Builder& builder(void* data) { return *static_cast<Builder*>(data); }

}  // namespace

Document parse_markdown(std::string_view source, bool streaming) {
  const auto tail = streaming ? open_tail(source) : OpenTail{source.size(), {}};
  // A copy of its own: md4c 0.4.8 reads the byte behind an unfinished link's title, which must not be a ")".
  std::string text;
  text.reserve(tail.end + tail.closers.size());
  text.append(source.substr(0, tail.end)).append(tail.closers);
  Builder to(std::string_view(text).substr(0, tail.end), tail.closers.size());
  MD_PARSER parser{};
  parser.flags = MD_FLAG_NOHTML | MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS |
                 MD_FLAG_PERMISSIVEURLAUTOLINKS | MD_FLAG_PERMISSIVEWWWAUTOLINKS;
  parser.enter_block = [](MD_BLOCKTYPE type, void* detail, void* data) {
    return builder(data).enter_block(type, detail), 0;
  };
  parser.leave_block = [](MD_BLOCKTYPE type, void*, void* data) { return builder(data).leave_block(type), 0; };
  parser.enter_span = [](MD_SPANTYPE type, void* detail, void* data) {
    return builder(data).enter_span(type, detail), 0;
  };
  parser.leave_span = [](MD_SPANTYPE type, void*, void* data) { return builder(data).leave_span(type), 0; };
  parser.text = [](MD_TEXTTYPE type, const MD_CHAR* piece, MD_SIZE size, void* data) {
    return builder(data).text(type, {piece, size}), 0;
  };
  // It fails only where memory is out.
  if (md_parse(text.data(), static_cast<MD_SIZE>(text.size()), &parser, &to) != 0) return plain_document(source);
  return to.take();
}

Document plain_document(std::string_view source) {
  Block block;
  append_text(block.runs, source, 0, plain, -1);
  return {std::move(block)};
}

}  // namespace glassbox::app::ui
