#include "model/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "gpu/error.h"
#include "model/utf8.h"

namespace glassbox::model::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string with_unix_newlines(std::string_view source) {
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const bool carriage_return = source[i] == '\r';
    text += carriage_return ? '\n' : source[i];
    if (carriage_return && i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_unix_newlines(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const std::size_t tag = next_tag();
      text_before(tag);
      if (tag == std::string::npos) break;
      open_tag();
    }
    emit(TokenKind::end, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  void emit(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void advance(std::size_t count) {
    for (const char c : rest().substr(0, count)) line_ += c == '\n';
    at_ += count;
  }

  std::size_t next_tag() const {
    std::size_t found = source_.find('{', at_);
    while (found != std::string::npos &&
           (found + 1 == source_.size() || std::string_view("{%#").find(source_[found + 1]) == std::string::npos))
      found = source_.find('{', found + 1);
    return found;
  }

  // The plain text up to the tag, without the whitespace that the tag's form drops.
  void text_before(std::size_t tag) {
    const std::size_t length = tag == std::string::npos ? rest().size() : tag - at_;
    std::string_view text = rest().substr(0, length);
    if (tag != std::string::npos) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      if (sign == '-') {
        text = text.substr(0, text.find_last_not_of(whitespace) + 1);
      } else if (sign != '+' && source_[tag + 1] != '{') {
        const std::size_t line_start = text.rfind('\n') + 1;  // 0 where the text has no newline
        const bool begins_line = line_start > 0 || tokens_.empty() || after_newline_;
        if (begins_line && text.find_first_not_of(whitespace, line_start) == text.npos)
          text = text.substr(0, line_start);
      }
    }
    if (!text.empty()) emit(TokenKind::text, std::string(text));
    advance(length);
  }

  void open_tag() {
    const char kind = source_[at_ + 1];
    const int opened = line_;
    advance(2);
    if (!rest().empty() && (rest()[0] == '-' || rest()[0] == '+')) advance(1);
    if (kind == '#') {
      const std::size_t end = rest().find("#}");
      require(end != std::string_view::npos, "chat template line {}: the comment is never closed", opened);
      const char sign = end > 0 ? rest()[end - 1] : '\0';
      advance(end + 2);
      close_tag(sign, true);
      return;
    }
    const bool output = kind == '{';
    emit(output ? TokenKind::output_begin : TokenKind::block_begin, output ? "{{" : "{%");
    const std::string_view end = output ? "}}" : "%}";
    for (std::size_t open_brackets = 0;;) {
      advance(std::min(rest().find_first_not_of(whitespace), rest().size()));
      require(!rest().empty(), "chat template line {}: expected {}, found the end of the template", opened, end);
      if (open_brackets == 0) {
        const bool sign = rest()[0] == '-' || (rest()[0] == '+' && !output);
        if (rest().substr(sign).starts_with(end)) {
          const char mark = sign ? rest()[0] : '\0';
          advance(sign + 2u);
          emit(output ? TokenKind::output_end : TokenKind::block_end, std::string(end));
          close_tag(mark, !output);
          return;
        }
      }
      const Token& token = inner_token();
      if (token.kind != TokenKind::symbol) continue;
      if (token.text == "(" || token.text == "[" || token.text == "{") ++open_brackets;
      if ((token.text == ")" || token.text == "]" || token.text == "}") && open_brackets > 0) --open_brackets;
    }
  }

  void close_tag(char sign, bool trims_newline) {
    const std::size_t start = at_;
    if (sign == '-')
      advance(std::min(rest().find_first_not_of(whitespace), rest().size()));
    else if (sign != '+' && trims_newline && rest().starts_with('\n'))
      advance(1);
    after_newline_ = at_ > start && source_[at_ - 1] == '\n';
  }

  const Token& inner_token() {
    const std::string_view left = rest();
    const char first = left[0];
    if (first == '"' || first == '\'') return string_literal();
    if (is_digit(first)) return number();
    if (is_name_start(first)) {
      const auto end = std::find_if(left.begin(), left.end(), [](char c) { return !is_name_start(c) && !is_digit(c); });
      return inner(TokenKind::name, static_cast<std::size_t>(end - left.begin()));
    }
    for (const std::string_view symbol : {"//", "**", "==", "!=", "<=", ">="})
      if (left.starts_with(symbol)) return inner(TokenKind::symbol, 2);
    require(std::string_view("+-*/%~<>=()[]{},.:|").find(first) != std::string_view::npos,
            "chat template line {}: unexpected character {:?}", line_,
            left.substr(0, std::max<std::size_t>(1, decode_utf8(left).length)));
    return inner(TokenKind::symbol, 1);
  }

  const Token& inner(TokenKind kind, std::size_t length) {
    emit(kind, std::string(rest().substr(0, length)));
    advance(length);
    return tokens_.back();
  }

  const Token& number() {
    const std::string_view left = rest();
    const auto digits_from = [&](std::size_t i) {
      while (i < left.size() && is_digit(left[i])) ++i;
      return i;
    };
    std::size_t end = digits_from(0);
    bool real = false;
    if (end + 1 < left.size() && left[end] == '.' && is_digit(left[end + 1])) {
      end = digits_from(end + 1);
      real = true;
    }
    if (end < left.size() && (left[end] == 'e' || left[end] == 'E')) {
      const std::size_t sign = end + 1 < left.size() && (left[end + 1] == '-' || left[end + 1] == '+');
      if (const std::size_t exponent = digits_from(end + 1 + sign); exponent > end + 1 + sign) {
        end = exponent;
        real = true;
      }
    }
    return inner(real ? TokenKind::real : TokenKind::integer, end);
  }

  const Token& string_literal() {
    const std::string_view left = rest();
    std::string text;
    std::size_t i = 1;
    while (i < left.size() && left[i] != left[0]) {
      if (left[i] == '\\' && i + 1 < left.size())
        i += escape(left.substr(i), text);
      else
        text += left[i++];
    }
    require(i < left.size(), "chat template line {}: the string is never closed", line_);
    emit(TokenKind::string, std::move(text));
    advance(i + 1);
    return tokens_.back();
  }

  // Appends what an escape sequence of a Python string stands for; returns its length. An unknown one stays as it is.
  static std::size_t escape(std::string_view sequence, std::string& text) {
    constexpr std::string_view names = "nrtabfv0\\'\"", values("\n\r\t\a\b\f\v\0\\'\"", 11);
    const char name = sequence[1];
    if (const std::size_t found = names.find(name); found != names.npos) {
      text += values[found];
      return 2;
    }
    const std::size_t digits = name == 'x' ? 2 : name == 'u' ? 4 : name == 'U' ? 8 : 0;
    std::uint32_t code_point = 0;
    std::size_t read = 0;
    for (; read < digits && 2 + read < sequence.size(); ++read) {
      const char c = sequence[2 + read];
      const int digit = is_digit(c)            ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) break;
      code_point = code_point << 4 | static_cast<std::uint32_t>(digit);
    }
    const bool surrogate = code_point >= 0xD800 && code_point < 0xE000;
    if (digits > 0 && read == digits && code_point <= 0x10FFFF && !surrogate) {
      append_utf8(text, code_point);
      return 2 + digits;
    }
    if (name != '\n')
      text += '\\';  // a backslash before a newline joins the lines
    else
      return 2;
    return 1;
  }

  const std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool after_newline_ = false;  // the last tag ended with the newline it dropped
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> lex(std::string_view source) { return Lexer(source).run(); }

}  // namespace glassbox::model::jinja
