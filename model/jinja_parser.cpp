#include "model/jinja_parser.h"

#include <algorithm>

#include "gpu/error.h"
#include "model/jinja_expression_parser.h"

namespace glassbox::model::jinja {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(lex(source)) {}

  Block run() {
    Block block = body({});
    if (tokens_.peek().kind != TokenKind::end) tokens_.unexpected("the end of the template");
    return block;
  }

 private:
  using Kind = Statement::Kind;

  // Statements up to a tag whose word is among `ends`, which is left to the caller, or to the end of the template.
  Block body(std::initializer_list<std::string_view> ends) {
    const Nesting nesting(nesting_, tokens_.peek().line);
    Block block;
    while (tokens_.peek().kind != TokenKind::end) {
      const Token& token = tokens_.peek();
      if (token.kind == TokenKind::block_begin && std::ranges::find(ends, tokens_.peek(1).text) != ends.end()) break;
      block.push_back(statement());
    }
    return block;
  }

  Statement statement() {
    Statement node{.line = tokens_.peek().line};
    const Token& token = tokens_.take();
    if (token.kind == TokenKind::text) {
      node.text = token.text;
      return node;
    }
    if (token.kind == TokenKind::output_begin) {
      node.kind = Kind::output;
      node.expression = expressions_.expression();
      tokens_.expect(TokenKind::output_end, "\"}}\"");
      return node;
    }
    const std::string word = tokens_.expect_name();
    if (word == "for") {
      for_loop(node);
    } else if (word == "if") {
      if_chain(node);
    } else if (word == "set") {
      set(node);
    } else if (word == "generation") {
      node.kind = Kind::group;
      tag_end();
      node.otherwise = body({"endgeneration"});
      end_tag("endgeneration");
    } else if ((word == "break" || word == "continue") && loops_ > 0) {
      node.kind = word == "break" ? Kind::break_loop : Kind::continue_loop;
      tag_end();
    } else {
      fail("chat template line {}: the tag {:?} is not supported here", node.line, word);
    }
    return node;
  }

  void tag_end() { tokens_.expect(TokenKind::block_end, "\"%}\""); }

  void end_tag(std::string_view word) {
    tokens_.expect(TokenKind::block_begin, fmt::format("{{% {} %}}", word));
    if (!tokens_.skip_word(word)) tokens_.unexpected(word);
    tag_end();
  }

  std::vector<Target> targets() {
    std::vector<Target> list;
    const bool parenthesised = tokens_.skip_symbol("(");
    do {
      Target target{.name = tokens_.expect_name()};
      if (tokens_.skip_symbol(".")) target.attribute = tokens_.expect_name();
      list.push_back(std::move(target));
    } while (tokens_.skip_symbol(","));
    if (parenthesised) tokens_.expect_symbol(")");
    return list;
  }

  void for_loop(Statement& node) {
    node.kind = Kind::for_loop;
    node.targets = targets();
    if (!tokens_.skip_word("in")) tokens_.unexpected("\"in\"");
    node.expression = expressions_.disjunction();
    if (tokens_.skip_word("if")) node.condition = expressions_.expression();
    tag_end();
    ++loops_;
    node.branches.push_back({.condition = nullptr, .body = body({"else", "endfor"})});
    --loops_;
    if (tokens_.peek(1).text == "else") {
      end_tag("else");
      node.otherwise = body({"endfor"});
    }
    end_tag("endfor");
  }

  void if_chain(Statement& node) {
    node.kind = Kind::if_chain;
    do {
      ExpressionPtr condition = expressions_.expression();
      tag_end();
      node.branches.push_back({std::move(condition), body({"elif", "else", "endif"})});
    } while (take_elif());
    if (tokens_.peek(1).text == "else") {
      end_tag("else");
      node.otherwise = body({"endif"});
    }
    end_tag("endif");
  }

  bool take_elif() {
    if (tokens_.peek().kind != TokenKind::block_begin || tokens_.peek(1).text != "elif") return false;
    tokens_.take();
    tokens_.take();
    return true;
  }

  void set(Statement& node) {
    node.targets = targets();
    if (tokens_.skip_symbol("=")) {
      node.kind = Kind::set;
      node.expression = expressions_.expression();
      tag_end();
      return;
    }
    node.kind = Kind::set_block;
    if (tokens_.peek().kind != TokenKind::block_end) tokens_.unexpected("\"=\" or \"%}\"");
    tag_end();
    node.otherwise = body({"endset"});
    end_tag("endset");
  }

  TokenStream tokens_;
  int nesting_ = 0;
  int loops_ = 0;
  ExpressionParser expressions_{tokens_, nesting_};
};

}  // namespace

Block parse(std::string_view source) { return Parser(source).run(); }

}  // namespace glassbox::model::jinja
