#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "model/jinja_lexer.h"
#include "model/jinja_parser.h"

namespace glassbox::model::jinja {

/// The tokens of a template and the place the parsers have come to.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& peek(std::size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& take();
  bool at(TokenKind kind, std::string_view text) const { return peek().kind == kind && peek().text == text; }
  bool at_symbol(std::string_view text) const { return at(TokenKind::symbol, text); }
  bool at_word(std::string_view text) const { return at(TokenKind::name, text); }
  bool skip_symbol(std::string_view text);
  bool skip_word(std::string_view text);
  void expect_symbol(std::string_view text);
  void expect(TokenKind kind, std::string_view what);
  std::string expect_name();
  /// Throws Error: what was expected here and what was found.
  [[noreturn]] void unexpected(std::string_view expected) const;

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

/// Counts how deep the parser's own recursion is and throws Error before the stack can overflow.
class Nesting {
 public:
  Nesting(int& depth, int line);
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

  static constexpr int deepest = 200;

 private:
  int& depth_;
};

/// Recursive descent over Jinja's expressions; each function is one level of precedence, loosest first.
class ExpressionParser {
 public:
  ExpressionParser(TokenStream& tokens, int& nesting) : tokens_(tokens), nesting_(nesting) {}

  ExpressionPtr expression();  ///< with an inline if
  ExpressionPtr disjunction();

 private:
  using Kind = Expression::Kind;
  using Level = ExpressionPtr (ExpressionParser::*)();

  template <class... Operands>
  ExpressionPtr make(Kind kind, std::string name, Operands... operands);
  void add(Expression& parent, ExpressionPtr operand);
  ExpressionPtr left_associative(TokenKind kind, std::initializer_list<std::string_view> operators, Level operand);

  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  std::string_view take_comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr unary_with_filters() { return unary(true); }
  ExpressionPtr primary();
  ExpressionPtr parenthesised();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr postfix(ExpressionPtr object);
  ExpressionPtr subscript(ExpressionPtr object);
  ExpressionPtr filters_and_tests(ExpressionPtr input);
  ExpressionPtr test(ExpressionPtr input);
  void arguments(Expression& call);
  bool at_slice_end() const { return tokens_.at_symbol(":") || tokens_.at_symbol("]"); }

  TokenStream& tokens_;
  int& nesting_;
};

}  // namespace glassbox::model::jinja
