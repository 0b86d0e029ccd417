#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace glassbox::model::jinja {

/// What separates words: of the template, and for str.split.
inline constexpr std::string_view whitespace = " \t\n\r\f\v";

enum class TokenKind {
  text,
  output_begin,
  output_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  symbol,
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;  ///< what it says; of strings with the escapes resolved
  int line = 0;      ///< from 1
};

/// Splits a template into tokens, the last of kind end. Whitespace is handled as chat templates expect it (Jinja with
/// trim_blocks and lstrip_blocks): spaces before a block tag that begins its line and the newline after a block tag are
/// dropped, "-" drops all whitespace on its side, "+" keeps it; one newline at the end of the source is dropped.
/// Throws Error naming the line.
std::vector<Token> lex(std::string_view source);

}  // namespace glassbox::model::jinja
