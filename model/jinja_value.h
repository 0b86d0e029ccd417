#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace glassbox::model::jinja {

struct List;
struct Dict;

struct Undefined {
  std::string name;  ///< what was looked up, for errors
};
struct None {};
/// A function of the global namespace, such as range.
struct Function {
  std::string_view name;
};

/// A value as Python would hold it: numbers and strings by value, lists and dicts by reference (owned by a Heap).
using Value = std::variant<Undefined, None, bool, std::int64_t, double, std::string, List*, Dict*, Function>;

struct List {
  std::vector<Value> items;
};

/// In order of insertion, with string keys; small, so that a linear search does.
struct Dict {
  std::vector<std::pair<std::string, Value>> entries;
  bool is_namespace = false;

  const Value* find(std::string_view key) const;
  void set(std::string_view key, Value value);
};

/// Owns the containers of one rendering, cyclic ones too, and bounds its work: a template is foreign code.
class Heap {
 public:
  List* list(std::vector<Value> items = {});
  Dict* dict(std::vector<std::pair<std::string, Value>> entries = {});

  /// Counts work, a unit for a node, an element or 64 bytes; throws Error past two million.
  void charge(std::size_t units);
  void charge_bytes(std::size_t bytes) { charge(bytes / 64 + 1); }

 private:
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::size_t spent_ = 0;
};

std::string_view type_name(const Value& value);
bool truthy(const Value& value);
bool is_number(const Value& value);    ///< int, float or bool
double number_of(const Value& value);  ///< of a number
bool equal(const Value& a, const Value& b);
/// Order of two numbers or two strings; throws Error for anything else.
bool less(const Value& a, const Value& b);

/// Python's str(): what {{ value }} prints. Undefined prints nothing.
std::string to_text(const Value& value);
/// json.dumps(value, ensure_ascii=False), indented where asked.
std::string to_json(const Value& value, std::optional<std::int64_t> indent = std::nullopt);

}  // namespace glassbox::model::jinja
