#include "app/ui/markdown_tail.h"

#include <algorithm>
#include <vector>

namespace glassbox::app::ui {
namespace {

constexpr std::string_view blanks = " \t\r";

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(blanks);
  return first == text.npos ? std::string_view{} : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// Whether `line` may be the beginning of a fence, a rule, a heading, a bullet, a row of a table.
bool may_become_marker(std::string_view line) {
  line = trim(line);
  return !line.empty() && line.find_first_not_of("-=*+#>`~|_:") == line.npos;
}

std::size_t run_length(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(text[at], at), text.size()) - at;
}

/// Byte where the last paragraph begins; npos where the source ends within a fence.
std::size_t last_paragraph(std::string_view source) {
  std::size_t paragraph = 0;
  std::string_view fence;
  for (std::size_t begin = 0; begin < source.size();) {
    const auto end = std::min(source.find('\n', begin), source.size());
    const auto line = trim(source.substr(begin, end - begin));
    const bool marks = !line.empty() && (line[0] == '`' || line[0] == '~') && run_length(line, 0) >= 3;
    if (!fence.empty()) {
      if (marks && line[0] == fence[0] && run_length(line, 0) == line.size() && line.size() >= fence.size()) {
        fence = {};
        paragraph = end + 1;
      }
    } else if (marks) {
      fence = line.substr(0, run_length(line, 0));
    } else if (line.empty()) {
      paragraph = end + 1;
    }
    begin = end + 1;
  }
  return fence.empty() ? std::min(paragraph, source.size()) : source.npos;
}

}  // namespace

OpenTail open_tail(std::string_view source) {
  OpenTail tail{source.size(), {}};
  const auto line = source.rfind('\n') + 1;  // npos + 1 is 0
  if (may_become_marker(source.substr(line))) {
    tail.end = line;
    source = source.substr(0, line);
  }
  const auto paragraph = last_paragraph(source);
  if (paragraph == source.npos) return tail;

  std::vector<std::string_view> open;
  for (auto at = paragraph; at < source.size();) {
    const char c = source[at];
    if (c == '\\') {
      at += 2;
      continue;
    }
    if (c != '`' && c != '*') {
      ++at;
      continue;
    }
    const auto run = source.substr(at, run_length(source, at));
    const auto after = at + run.size();
    if (c == '`') {
      // Code ends with as many backticks as it began with.
      auto end = after;
      while ((end = source.find('`', end)) != source.npos && run_length(source, end) != run.size())
        end += run_length(source, end);
      if (end == source.npos) {
        if (trim(source.substr(after)).empty())
          tail.end = at;
        else
          open.push_back(run);
        break;
      }
      at = end + run.size();
      continue;
    }
    if (after == source.size()) {  // more stars may come, and what they close is closed without them
      if (at > paragraph) tail.end = std::min(tail.end, at);
      break;
    }
    const bool opens = !is_space(source[after]);
    const bool closes = at > paragraph && !is_space(source[at - 1]);
    if (closes && !open.empty() && open.back().size() <= run.size())
      open.pop_back();
    else if (opens && run.size() <= 3)
      open.push_back(run);
    at = after;
  }
  // An emphasis may not end with a blank: the closers go before it.
  if (!open.empty())
    while (tail.end > paragraph && is_space(source[tail.end - 1])) --tail.end;
  for (auto marker = open.rbegin(); marker != open.rend(); ++marker)
    if (tail.closers.size() + marker->size() <= open_tail_limit) tail.closers += *marker;
  return tail;
}

}  // namespace glassbox::app::ui
