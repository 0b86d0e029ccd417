#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/jinja_value.h"

namespace glassbox::model::jinja {

struct Expression;
struct Statement;
using ExpressionPtr = std::unique_ptr<Expression>;
using Block = std::vector<Statement>;

/// A node of an expression. `operands` and `name` by kind:
struct Expression {
  enum class Kind {
    literal,      ///< `value`
    name,         ///< `name`
    list,         ///< the items
    dict,         ///< key, value, key, value ...
    attribute,    ///< object; `name`
    index,        ///< object, index
    slice,        ///< object, start, stop, step (null where left out)
    call,         ///< callee, positional arguments; `named`
    filter,       ///< input, positional arguments; `name`, `named`
    test,         ///< input, positional arguments; `name`
    unary,        ///< operand; `name` is "-", "+" or "not"
    binary,       ///< left, right; `name` is an arithmetic operator, "~", "and" or "or"
    comparison,   ///< a, b, c ...: a chain; `operators` between them
    conditional,  ///< value if true, condition, value if false (null where left out)
  };
  Kind kind = Kind::literal;
  int line = 0;
  int depth = 1;  ///< of the tree below; bounded, for evaluation is recursive
  std::string name;
  Value value;
  std::vector<ExpressionPtr> operands;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> operators;
};

/// What a set or for assigns to: a variable, or an attribute of a namespace.
struct Target {
  std::string name, attribute;
};

struct Branch {
  ExpressionPtr condition;
  Block body;
};

struct Statement {
  enum class Kind {
    text,       ///< `text`
    output,     ///< `expression`
    for_loop,   ///< `targets` in `expression`, where `condition`; branches[0] the body, otherwise
    if_chain,   ///< branches, otherwise
    set,        ///< `targets` = `expression`
    set_block,  ///< `targets` = what `otherwise` prints
    group,      ///< `otherwise`, as it is ({% generation %})
    break_loop,
    continue_loop
  };
  Kind kind = Kind::text;
  int line = 0;
  std::string text;
  ExpressionPtr expression, condition;
  std::vector<Target> targets;
  std::vector<Branch> branches;
  Block otherwise;
};

/// Parses a template. Throws Error naming the line where it is not the Jinja that chat templates are written in.
Block parse(std::string_view source);

}  // namespace glassbox::model::jinja
