#include "model/jinja_expression_parser.h"

#include <algorithm>
#include <charconv>

#include "gpu/error.h"

namespace glassbox::model::jinja {

const Token& TokenStream::take() {
  const Token& token = peek();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool TokenStream::skip_symbol(std::string_view text) {
  const bool found = at_symbol(text);
  if (found) take();
  return found;
}

bool TokenStream::skip_word(std::string_view text) {
  const bool found = at_word(text);
  if (found) take();
  return found;
}

void TokenStream::expect_symbol(std::string_view text) {
  if (!skip_symbol(text)) unexpected(fmt::format("\"{}\"", text));
}

void TokenStream::expect(TokenKind kind, std::string_view what) {
  if (peek().kind != kind) unexpected(what);
  take();
}

std::string TokenStream::expect_name() {
  if (peek().kind != TokenKind::name) unexpected("a name");
  return take().text;
}

void TokenStream::unexpected(std::string_view expected) const {
  const Token& token = peek();
  const bool end = token.kind == TokenKind::end;
  fail("chat template line {}: expected {}, found {}", token.line, expected,
       end ? "the end of the template" : fmt::format("{:?}", token.text));
}

Nesting::Nesting(int& depth, int line) : depth_(depth) {
  require(depth < deepest, "chat template line {}: nested deeper than {}", line, deepest);
  ++depth_;
}

template <class... Operands>
ExpressionPtr ExpressionParser::make(Kind kind, std::string name, Operands... operands) {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = tokens_.peek().line;
  node->name = std::move(name);
  (add(*node, std::move(operands)), ...);
  return node;
}

// A chain such as a + a + a ... needs no recursion to parse, but is as deep as it is long.
void ExpressionParser::add(Expression& parent, ExpressionPtr operand) {
  if (operand) parent.depth = std::max(parent.depth, operand->depth + 1);
  require(parent.depth <= Nesting::deepest, "chat template line {}: an expression is nested deeper than {}",
          parent.line, Nesting::deepest);
  parent.operands.push_back(std::move(operand));
}

ExpressionPtr ExpressionParser::left_associative(TokenKind kind, std::initializer_list<std::string_view> operators,
                                                 Level operand) {
  ExpressionPtr left = (this->*operand)();
  while (tokens_.peek().kind == kind && std::ranges::find(operators, tokens_.peek().text) != operators.end()) {
    std::string name = tokens_.take().text;
    ExpressionPtr right = (this->*operand)();
    left = make(Kind::binary, std::move(name), std::move(left), std::move(right));
  }
  return left;
}

ExpressionPtr ExpressionParser::expression() {
  const Nesting nesting(nesting_, tokens_.peek().line);
  ExpressionPtr value = disjunction();
  while (tokens_.skip_word("if")) {
    ExpressionPtr condition = disjunction();
    ExpressionPtr otherwise = tokens_.skip_word("else") ? expression() : nullptr;
    value = make(Kind::conditional, "", std::move(value), std::move(condition), std::move(otherwise));
  }
  return value;
}

ExpressionPtr ExpressionParser::disjunction() {
  return left_associative(TokenKind::name, {"or"}, &ExpressionParser::conjunction);
}
ExpressionPtr ExpressionParser::conjunction() {
  return left_associative(TokenKind::name, {"and"}, &ExpressionParser::negation);
}

ExpressionPtr ExpressionParser::negation() {
  if (!tokens_.at_word("not")) return comparison();
  const Nesting nesting(nesting_, tokens_.take().line);
  return make(Kind::unary, "not", negation());
}

// Takes the comparison operator that stands here; empty where there is none.
std::string_view ExpressionParser::take_comparison() {
  for (const std::string_view symbol : {"==", "!=", "<=", ">=", "<", ">"})
    if (tokens_.skip_symbol(symbol)) return symbol;
  if (tokens_.skip_word("in")) return "in";
  if (!tokens_.at_word("not") || tokens_.peek(1).text != "in") return {};
  tokens_.take();
  tokens_.take();
  return "not in";
}

ExpressionPtr ExpressionParser::comparison() {
  ExpressionPtr first = sum();
  std::string_view name = take_comparison();
  if (name.empty()) return first;
  ExpressionPtr chain = make(Kind::comparison, "", std::move(first));
  for (; !name.empty(); name = take_comparison()) {
    chain->operators.emplace_back(name);
    add(*chain, sum());
  }
  return chain;
}

ExpressionPtr ExpressionParser::sum() {
  return left_associative(TokenKind::symbol, {"+", "-"}, &ExpressionParser::concatenation);
}
ExpressionPtr ExpressionParser::concatenation() {
  return left_associative(TokenKind::symbol, {"~"}, &ExpressionParser::product);
}
ExpressionPtr ExpressionParser::product() {
  return left_associative(TokenKind::symbol, {"*", "/", "//", "%"}, &ExpressionParser::power);
}
ExpressionPtr ExpressionParser::power() {
  return left_associative(TokenKind::symbol, {"**"}, &ExpressionParser::unary_with_filters);
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  const Nesting nesting(nesting_, tokens_.peek().line);
  ExpressionPtr node;
  if (tokens_.at_symbol("-") || tokens_.at_symbol("+")) {
    std::string name = tokens_.take().text;
    node = make(Kind::unary, std::move(name), unary(false));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filters_and_tests(std::move(node)) : std::move(node);
}

ExpressionPtr ExpressionParser::primary() {
  const Token& token = tokens_.peek();
  if (tokens_.at_symbol("(")) return parenthesised();
  if (tokens_.at_symbol("[")) return list();
  if (tokens_.at_symbol("{")) return dict();
  auto literal = make(Kind::literal, "");
  const char* const end = token.text.data() + token.text.size();
  switch (token.kind) {
    case TokenKind::name: {
      std::string name = tokens_.take().text;
      if (name == "true" || name == "True")
        literal->value = true;
      else if (name == "false" || name == "False")
        literal->value = false;
      else if (name == "none" || name == "None")
        literal->value = None{};
      else
        return make(Kind::name, std::move(name));
      return literal;
    }
    case TokenKind::string: {
      std::string text;  // strings that follow one another are one
      while (tokens_.peek().kind == TokenKind::string) text += tokens_.take().text;
      literal->value = std::move(text);
      return literal;
    }
    case TokenKind::integer: {
      std::int64_t value = 0;
      const auto result = std::from_chars(token.text.data(), end, value);
      require(result.ec == std::errc(), "chat template line {}: {} does not fit 64 bits", token.line, token.text);
      literal->value = value;
      break;
    }
    case TokenKind::real: {
      double value = 0;
      const auto result = std::from_chars(token.text.data(), end, value);
      require(result.ec == std::errc(), "chat template line {}: {} does not fit float64", token.line, token.text);
      literal->value = value;
      break;
    }
    default:
      tokens_.unexpected("a value");
  }
  tokens_.take();
  return literal;
}

ExpressionPtr ExpressionParser::parenthesised() {
  tokens_.expect_symbol("(");
  if (tokens_.skip_symbol(")")) return make(Kind::list, "");
  ExpressionPtr first = expression();
  if (tokens_.skip_symbol(")")) return first;
  auto tuple = make(Kind::list, "", std::move(first));
  while (!tokens_.skip_symbol(")")) {
    tokens_.expect_symbol(",");
    if (!tokens_.at_symbol(")")) add(*tuple, expression());
  }
  return tuple;
}

ExpressionPtr ExpressionParser::list() {
  tokens_.expect_symbol("[");
  auto node = make(Kind::list, "");
  while (!tokens_.skip_symbol("]")) {
    if (!node->operands.empty()) tokens_.expect_symbol(",");
    if (!tokens_.at_symbol("]")) add(*node, expression());
  }
  return node;
}

ExpressionPtr ExpressionParser::dict() {
  tokens_.expect_symbol("{");
  auto node = make(Kind::dict, "");
  while (!tokens_.skip_symbol("}")) {
    if (!node->operands.empty()) tokens_.expect_symbol(",");
    if (tokens_.at_symbol("}")) continue;
    add(*node, expression());
    tokens_.expect_symbol(":");
    add(*node, expression());
  }
  return node;
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr object) {
  while (true) {
    if (tokens_.skip_symbol(".")) {
      if (tokens_.peek().kind == TokenKind::integer) {
        object = make(Kind::index, "", std::move(object), primary());
      } else {
        object = make(Kind::attribute, tokens_.expect_name(), std::move(object));
      }
    } else if (tokens_.skip_symbol("[")) {
      object = subscript(std::move(object));
    } else if (tokens_.at_symbol("(")) {
      object = make(Kind::call, "", std::move(object));
      arguments(*object);
    } else {
      return object;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr object) {
  ExpressionPtr start = at_slice_end() ? nullptr : expression();
  if (start && tokens_.skip_symbol("]")) return make(Kind::index, "", std::move(object), std::move(start));
  tokens_.expect_symbol(":");
  ExpressionPtr stop = at_slice_end() ? nullptr : expression();
  ExpressionPtr step = tokens_.skip_symbol(":") && !at_slice_end() ? expression() : nullptr;
  tokens_.expect_symbol("]");
  return make(Kind::slice, "", std::move(object), std::move(start), std::move(stop), std::move(step));
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr input) {
  while (true) {
    if (tokens_.skip_symbol("|")) {
      input = make(Kind::filter, tokens_.expect_name(), std::move(input));
      if (tokens_.at_symbol("(")) arguments(*input);
    } else if (tokens_.skip_word("is")) {
      const bool negated = tokens_.skip_word("not");
      input = test(std::move(input));
      if (negated) input = make(Kind::unary, "not", std::move(input));
    } else {
      return input;
    }
  }
}

ExpressionPtr ExpressionParser::test(ExpressionPtr input) {
  auto node = make(Kind::test, tokens_.expect_name(), std::move(input));
  if (tokens_.at_symbol("(")) {
    arguments(*node);
    return node;
  }
  // A test's single argument needs no parentheses: "is divisibleby 3".
  constexpr std::string_view after_test[] = {"else", "or", "and", "if", "is", "not", "in"};
  const Token& token = tokens_.peek();
  const bool word = token.kind == TokenKind::name && std::ranges::find(after_test, token.text) == std::end(after_test);
  if (word || token.kind == TokenKind::string || token.kind == TokenKind::integer || token.kind == TokenKind::real ||
      tokens_.at_symbol("[") || tokens_.at_symbol("{"))
    add(*node, postfix(primary()));
  return node;
}

void ExpressionParser::arguments(Expression& call) {
  tokens_.expect_symbol("(");
  constexpr std::size_t most = 64;
  for (bool first = true; !tokens_.skip_symbol(")"); first = false) {
    require(call.operands.size() + call.named.size() <= most, "chat template line {}: more than {} arguments",
            call.line, most);
    if (!first) tokens_.expect_symbol(",");
    if (tokens_.at_symbol(")")) continue;
    if (tokens_.peek().kind == TokenKind::name && tokens_.peek(1).kind == TokenKind::symbol &&
        tokens_.peek(1).text == "=") {
      std::string name = tokens_.take().text;
      tokens_.take();
      add(call, expression());  // for its depth
      call.named.emplace_back(std::move(name), std::move(call.operands.back()));
      call.operands.pop_back();
    } else {
      require(call.named.empty(), "chat template line {}: a positional argument follows a named one",
              tokens_.peek().line);
      add(call, expression());
    }
  }
}

}  // namespace glassbox::model::jinja
