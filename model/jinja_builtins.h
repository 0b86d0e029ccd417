#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/jinja_value.h"

namespace glassbox::model::jinja {

/// What a filter, test, method or function is called with.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  /// The argument at `index` or called `name`; null where it was not given.
  const Value* find(std::size_t index, std::string_view name) const;
  /// As find, with the type that is needed; throw Error where it is another, or missing without a default.
  std::string text(std::size_t index, std::string_view name) const;
  std::int64_t integer(std::size_t index, std::string_view name, std::int64_t otherwise) const;
  bool flag(std::size_t index, std::string_view name) const;
  /// All positional arguments from `count` on.
  Arguments from(std::size_t count) const;
};

// All throw Error, without the line, where the name is unknown or the arguments do not fit.
Value apply_filter(Heap& heap, std::string_view name, const Value& input, const Arguments& arguments);
bool apply_test(std::string_view name, const Value& input, const Arguments& arguments);
Value call_method(Heap& heap, const Value& object, std::string_view name, const Arguments& arguments);
Value call_function(Heap& heap, std::string_view name, const Arguments& arguments);
/// The global function of that name, or Undefined.
Value global_function(std::string_view name);

/// What a for loop visits: items, keys, characters; nothing for an undefined value.
std::vector<Value> items_of(Heap& heap, const Value& value);
/// object.name, or Undefined.
Value attribute_of(const Value& object, std::string_view name);
/// needle in haystack.
bool contains(const Value& haystack, const Value& needle);

/// Python's strip: `characters` (all whitespace where null) off the chosen ends.
std::string strip(std::string_view text, const Value* characters, bool left, bool right);
std::string replace_all(Heap& heap, std::string_view text, std::string_view old, std::string_view with,
                        std::int64_t most);
/// Case mapping of ASCII letters; others stay as they are.
std::string to_upper(std::string text);
std::string to_lower(std::string text);
std::string capitalize(std::string text);
std::string title_case(std::string text);
std::string join(Heap& heap, const std::vector<Value>& items, std::string_view separator);

}  // namespace glassbox::model::jinja
