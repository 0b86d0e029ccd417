#include "model/jinja_eval.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "gpu/error.h"
#include "model/jinja_builtins.h"
#include "model/utf8.h"

namespace glassbox::model::jinja {
namespace {

std::int64_t checked(std::int64_t result, bool overflow) {
  require(!overflow, "an integer does not fit 64 bits");
  return result;
}

// Python's arithmetic: / is real, // and % round towards minus infinity.
Value integer_arithmetic(std::string_view name, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (name == "+") return checked(result, __builtin_add_overflow(a, b, &result));
  if (name == "-") return checked(result, __builtin_sub_overflow(a, b, &result));
  if (name == "*") return checked(result, __builtin_mul_overflow(a, b, &result));
  require(b != 0, "division by zero");
  if (name == "/") return static_cast<double>(a) / static_cast<double>(b);
  if (b == -1)
    return name == "%" ? std::int64_t{0} : checked(result, __builtin_sub_overflow(std::int64_t{0}, a, &result));
  const std::int64_t remainder = a % b;
  const bool down = remainder != 0 && (remainder < 0) != (b < 0);
  return name == "%" ? remainder + (down ? b : 0) : a / b - down;
}

Value real_arithmetic(std::string_view name, double a, double b) {
  if (name == "+") return a + b;
  if (name == "-") return a - b;
  if (name == "*") return a * b;
  require(b != 0, "division by zero");
  if (name == "/") return a / b;
  const double quotient = std::floor(a / b);
  return name == "%" ? a - quotient * b : quotient;
}

Value arithmetic(Heap& heap, const std::string& name, const Value& a, const Value& b) {
  if (name == "~") return to_text(a) + to_text(b);
  const auto *text_a = std::get_if<std::string>(&a), *text_b = std::get_if<std::string>(&b);
  if (name == "+" && text_a && text_b) return *text_a + *text_b;
  if (auto* const* x = std::get_if<List*>(&a), * const* y = std::get_if<List*>(&b); name == "+" && x && y) {
    List* sum = heap.list((*x)->items);
    heap.charge((*y)->items.size());
    sum->items.insert(sum->items.end(), (*y)->items.begin(), (*y)->items.end());
    return sum;
  }
  if (const auto* count = std::get_if<std::int64_t>(&b); name == "*" && text_a && count) {
    std::string repeated;
    for (std::int64_t i = 0; i < *count; ++i) {
      heap.charge_bytes(text_a->size());
      repeated += *text_a;
    }
    return repeated;
  }
  for (const Value* value : {&a, &b})
    if (const auto* undefined = std::get_if<Undefined>(value)) fail("{:?} is undefined", undefined->name);
  require(is_number(a) && is_number(b), "cannot compute {} {} {}", type_name(a), name, type_name(b));
  if (name == "**") return std::pow(number_of(a), number_of(b));
  if (std::holds_alternative<double>(a) || std::holds_alternative<double>(b))
    return real_arithmetic(name, number_of(a), number_of(b));
  const auto integer = [](const Value& value) {
    const auto* whole = std::get_if<std::int64_t>(&value);
    return whole ? *whole : static_cast<std::int64_t>(truthy(value));
  };
  return integer_arithmetic(name, integer(a), integer(b));
}

bool compare(std::string_view name, const Value& a, const Value& b) {
  if (name == "==") return equal(a, b);
  if (name == "!=") return !equal(a, b);
  if (name == "in") return contains(b, a);
  if (name == "not in") return !contains(b, a);
  if (name == "<") return less(a, b);
  if (name == ">") return less(b, a);
  return name == "<=" ? !less(b, a) : !less(a, b);
}

class Evaluator {
 public:
  Evaluator(Heap& heap, std::vector<std::pair<std::string, Value>> variables) : heap_(heap) {
    scopes_.push_back({std::move(variables)});
  }

  std::string run(const Block& program) {
    try {
      execute(program);
    } catch (const Error& error) {
      fail("chat template line {}: {}", line_, error.what());
    }
    return std::move(output_);
  }

 private:
  using Kind = Expression::Kind;
  enum class Flow { next, leave_loop, next_item };

  Flow execute(const Block& block) {
    for (const Statement& statement : block)
      if (const Flow flow = execute(statement); flow != Flow::next) return flow;
    return Flow::next;
  }

  Flow execute(const Statement& node) {
    line_ = node.line;
    heap_.charge(1);
    switch (node.kind) {
      case Statement::Kind::text:
        print(node.text);
        break;
      case Statement::Kind::output:
        print(to_text(evaluate(*node.expression)));
        break;
      case Statement::Kind::for_loop:
        return loop(node);
      case Statement::Kind::if_chain:
        for (const Branch& branch : node.branches)
          if (truthy(evaluate(*branch.condition))) return execute(branch.body);
        return execute(node.otherwise);
      case Statement::Kind::set:
        assign(node.targets, evaluate(*node.expression));
        break;
      case Statement::Kind::set_block: {
        std::string outer = std::exchange(output_, {});
        const Flow flow = execute(node.otherwise);
        assign(node.targets, std::exchange(output_, std::move(outer)));
        return flow;
      }
      case Statement::Kind::group:
        return execute(node.otherwise);
      case Statement::Kind::break_loop:
        return Flow::leave_loop;
      case Statement::Kind::continue_loop:
        return Flow::next_item;
    }
    return Flow::next;
  }

  void print(std::string_view text) {
    heap_.charge_bytes(text.size());
    output_ += text;
  }

  Flow loop(const Statement& node) {
    std::vector<Value> items = items_of(heap_, evaluate(*node.expression));
    scopes_.emplace_back();
    if (node.condition)
      std::erase_if(items, [&](const Value& item) {
        scopes_.back().entries.clear();
        assign(node.targets, item);
        return !truthy(evaluate(*node.condition));
      });
    for (std::size_t i = 0; i < items.size(); ++i) {
      scopes_.back().entries.clear();  // what one turn sets, the next does not see
      scopes_.back().set("loop", loop_variable(items, i));
      assign(node.targets, items[i]);
      if (execute(node.branches[0].body) == Flow::leave_loop) break;
    }
    scopes_.pop_back();
    return items.empty() ? execute(node.otherwise) : Flow::next;
  }

  Value loop_variable(const std::vector<Value>& items, std::size_t i) {
    const auto count = static_cast<std::int64_t>(items.size()), index = static_cast<std::int64_t>(i);
    Dict* loop = heap_.dict({{"index", index + 1},
                             {"index0", index},
                             {"revindex", count - index},
                             {"revindex0", count - index - 1},
                             {"first", i == 0},
                             {"last", i + 1 == items.size()},
                             {"length", count}});
    if (i > 0) loop->set("previtem", items[i - 1]);
    if (i + 1 < items.size()) loop->set("nextitem", items[i + 1]);
    return loop;
  }

  void assign(const std::vector<Target>& targets, const Value& value) {
    if (targets.size() == 1) return assign(targets[0], value);
    const std::vector<Value> items = items_of(heap_, value);
    require(items.size() == targets.size(), "expected {} values to unpack, found {}", targets.size(), items.size());
    for (std::size_t i = 0; i < items.size(); ++i) assign(targets[i], items[i]);
  }

  void assign(const Target& target, const Value& value) {
    if (target.attribute.empty()) return scopes_.back().set(target.name, value);
    const Value object = lookup(target.name);
    const auto* dict = std::get_if<Dict*>(&object);
    require(dict && (*dict)->is_namespace, "{:?} is not a namespace, its {:?} cannot be set", target.name,
            target.attribute);
    (*dict)->set(target.attribute, value);
  }

  Value lookup(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      if (const Value* found = scope->find(name)) return *found;
    return global_function(name);
  }

  Value evaluate(const Expression& node) {
    line_ = node.line;
    Value value = compute(node);
    const auto* text = std::get_if<std::string>(&value);
    heap_.charge_bytes(text ? text->size() : 0);
    return value;
  }

  Value operand(const Expression& node, std::size_t i) { return evaluate(*node.operands[i]); }

  Value compute(const Expression& node) {
    switch (node.kind) {
      case Kind::literal:
        return node.value;
      case Kind::name:
        return lookup(node.name);
      case Kind::list: {
        std::vector<Value> items;
        for (const ExpressionPtr& item : node.operands) items.push_back(evaluate(*item));
        return heap_.list(std::move(items));
      }
      case Kind::dict:
        return dict(node);
      case Kind::attribute:
        return attribute_of(operand(node, 0), node.name);
      case Kind::index:
        return index(operand(node, 0), operand(node, 1));
      case Kind::slice:
        return slice(node);
      case Kind::call:
        return call(node);
      case Kind::filter: {
        const Value input = operand(node, 0);
        return apply_filter(heap_, node.name, input, arguments(node));
      }
      case Kind::test: {
        const Value input = operand(node, 0);
        return apply_test(node.name, input, arguments(node));
      }
      case Kind::unary:
        return unary(node.name, operand(node, 0));
      case Kind::binary:
        return binary(node);
      case Kind::comparison:
        return comparison(node);
      case Kind::conditional:
        if (truthy(operand(node, 1))) return operand(node, 0);
        return node.operands[2] ? operand(node, 2) : Undefined{"the value of an if without else"};
    }
    return Undefined{};
  }

  Value dict(const Expression& node) {
    Dict* result = heap_.dict();
    for (std::size_t i = 0; i < node.operands.size(); i += 2) {
      const Value key = operand(node, i);
      require(std::holds_alternative<std::string>(key), "expected a string as key, found {}", type_name(key));
      result->set(std::get<std::string>(key), operand(node, i + 1));
    }
    return result;
  }

  Value unary(std::string_view name, const Value& value) {
    if (name == "not") return !truthy(value);
    require(is_number(value), "expected a number after {}, found {}", name, type_name(value));
    return name == "+" ? value : arithmetic(heap_, "-", std::int64_t{0}, value);
  }

  Value binary(const Expression& node) {
    Value left = operand(node, 0);
    if (node.name == "and") return truthy(left) ? operand(node, 1) : left;
    if (node.name == "or") return truthy(left) ? left : operand(node, 1);
    return arithmetic(heap_, node.name, left, operand(node, 1));
  }

  Value comparison(const Expression& node) {
    Value left = operand(node, 0);
    for (std::size_t i = 0; i < node.operators.size(); ++i) {
      Value right = operand(node, i + 1);
      if (!compare(node.operators[i], left, right)) return false;
      left = std::move(right);
    }
    return true;
  }

  Arguments arguments(const Expression& node) {
    Arguments result;
    for (std::size_t i = 1; i < node.operands.size(); ++i) result.positional.push_back(operand(node, i));
    for (const auto& [name, value] : node.named) result.named.emplace_back(name, evaluate(*value));
    return result;
  }

  Value call(const Expression& node) {
    const Expression& callee = *node.operands[0];
    if (callee.kind == Kind::attribute) {
      const Value object = operand(callee, 0);
      return call_method(heap_, object, callee.name, arguments(node));
    }
    const Value function = evaluate(callee);
    if (const auto* undefined = std::get_if<Undefined>(&function)) fail("{:?} is undefined", undefined->name);
    require(std::holds_alternative<Function>(function), "{} cannot be called", type_name(function));
    return call_function(heap_, std::get<Function>(function).name, arguments(node));
  }

  static bool is_sequence(const Value& value) {
    return std::holds_alternative<List*>(value) || std::holds_alternative<std::string>(value);
  }

  // What there is not is Undefined, whatever the object; only Undefined itself has no items.
  Value index(const Value& object, const Value& key) {
    if (const auto* name = std::get_if<std::string>(&key)) return attribute_of(object, *name);
    const auto* position = std::get_if<std::int64_t>(&key);
    if (!position || !is_sequence(object)) return attribute_of(object, to_text(key));
    const auto* list = std::get_if<List*>(&object);
    const std::vector<Value> characters = list ? std::vector<Value>() : items_of(heap_, object);
    const std::vector<Value>& items = list ? (*list)->items : characters;
    const auto size = static_cast<std::int64_t>(items.size());
    const std::int64_t at = *position < 0 ? *position + size : *position;
    if (at < 0 || at >= size) return Undefined{fmt::format("item {} of {}", *position, size)};
    return items[static_cast<std::size_t>(at)];
  }

  Value slice(const Expression& node) {
    const Value object = operand(node, 0);
    const auto part = [&](std::size_t i) -> std::optional<std::int64_t> {
      const Value value = node.operands[i] ? operand(node, i) : Value(None{});
      if (std::holds_alternative<None>(value)) return std::nullopt;
      require(std::holds_alternative<std::int64_t>(value), "a slice needs integers, found {}", type_name(value));
      return std::get<std::int64_t>(value);
    };
    if (!is_sequence(object)) return attribute_of(object, "slice");
    const std::vector<Value> items = items_of(heap_, object);
    const auto size = static_cast<std::int64_t>(items.size());
    const std::int64_t step = std::clamp(part(3).value_or(1), -size - 1, size + 1);
    require(step != 0, "the step of a slice must not be zero");
    // Python's slice.indices.
    const std::int64_t lowest = step < 0 ? -1 : 0, highest = step < 0 ? size - 1 : size;
    const auto bound = [&](std::size_t i, std::int64_t otherwise) {
      const auto given = part(i);
      return given ? std::clamp(*given < 0 ? *given + size : *given, lowest, highest) : otherwise;
    };
    const std::int64_t start = bound(1, step < 0 ? highest : lowest), stop = bound(2, step < 0 ? lowest : highest);
    std::vector<Value> chosen;
    for (std::int64_t i = start; step > 0 ? i < stop : i > stop; i += step)
      chosen.push_back(items[static_cast<std::size_t>(i)]);
    if (std::holds_alternative<std::string>(object)) return join(heap_, chosen, "");
    return heap_.list(std::move(chosen));
  }

  Heap& heap_;
  std::vector<Dict> scopes_;
  std::string output_;
  int line_ = 1;
};

}  // namespace

std::string render(const Block& program, Heap& heap, std::vector<std::pair<std::string, Value>> variables) {
  return Evaluator(heap, std::move(variables)).run(program);
}

}  // namespace glassbox::model::jinja
