#include <algorithm>
#include <charconv>
#include <cmath>

#include "gpu/error.h"
#include "model/jinja_builtins.h"
#include "model/utf8.h"

namespace glassbox::model::jinja {
namespace {

std::int64_t length_of(const Value& value) {
  if (std::holds_alternative<Undefined>(value)) return 0;
  if (const auto* text = std::get_if<std::string>(&value)) return static_cast<std::int64_t>(to_utf32(*text).size());
  if (const auto* list = std::get_if<List*>(&value)) return static_cast<std::int64_t>((*list)->items.size());
  const auto* dict = std::get_if<Dict*>(&value);
  require(dict, "{} has no length", type_name(value));
  return static_cast<std::int64_t>((*dict)->entries.size());
}

// "a.b" of a message is its a's b.
Value attribute_path(Value value, std::string_view path) {
  while (true) {
    const std::size_t dot = path.find('.');
    value = attribute_of(value, path.substr(0, dot));
    if (dot == path.npos) return value;
    path.remove_prefix(dot + 1);
  }
}

Value number_filter(const Value& input, const Value& otherwise, bool integer) {
  double value = 0;
  if (const auto* whole = std::get_if<std::int64_t>(&input); whole && integer) return input;
  if (is_number(input)) {
    value = number_of(input);
  } else {
    const auto* text = std::get_if<std::string>(&input);
    if (!text) return otherwise;
    const std::string digits = strip(*text, nullptr, true, true);
    const char* const end = digits.data() + digits.size();
    std::int64_t whole = 0;
    const auto as_integer = std::from_chars(digits.data(), end, whole);
    if (integer && as_integer.ec == std::errc() && as_integer.ptr == end) return whole;
    const auto as_real = std::from_chars(digits.data(), end, value);
    if (as_real.ec != std::errc() || as_real.ptr != end) return otherwise;
  }
  if (!integer) return value;
  return std::abs(value) < 9e18 ? Value(static_cast<std::int64_t>(value)) : otherwise;  // false for NaN too
}

Value map(Heap& heap, const Value& input, const Arguments& arguments) {
  const bool by_attribute = arguments.positional.empty();
  std::vector<Value> results;
  for (const Value& item : items_of(heap, input)) {
    if (!by_attribute) {
      results.push_back(apply_filter(heap, arguments.text(0, "filter"), item, arguments.from(1)));
      continue;
    }
    Value value = attribute_path(item, arguments.text(0, "attribute"));
    const Value* otherwise = arguments.find(1, "default");
    results.push_back(otherwise && std::holds_alternative<Undefined>(value) ? *otherwise : std::move(value));
  }
  return heap.list(std::move(results));
}

// select, reject, selectattr, rejectattr: items (or an attribute of theirs) that pass a test, or are true.
Value select(Heap& heap, const Value& input, const Arguments& arguments, bool keep, bool by_attribute) {
  const std::size_t test = by_attribute ? 1 : 0;
  std::vector<Value> results;
  for (const Value& item : items_of(heap, input)) {
    const Value value = by_attribute ? attribute_path(item, arguments.text(0, "attribute")) : item;
    const bool passes = arguments.positional.size() > test
                            ? apply_test(arguments.text(test, "test"), value, arguments.from(test + 1))
                            : truthy(value);
    if (passes == keep) results.push_back(item);
  }
  return heap.list(std::move(results));
}

Value unique(Heap& heap, const Value& input) {
  std::vector<Value> results;
  const auto folded = [](const Value& value) {
    const auto* text = std::get_if<std::string>(&value);
    return text ? Value(to_lower(*text)) : value;
  };
  for (const Value& item : items_of(heap, input)) {
    heap.charge(results.size());
    const auto same = [&](const Value& other) { return equal(folded(other), folded(item)); };
    if (std::ranges::none_of(results, same)) results.push_back(item);
  }
  return heap.list(std::move(results));
}

Value indent(Heap& heap, const std::string& text, const Arguments& arguments) {
  const Value* width = arguments.find(0, "width");
  std::string margin(4, ' ');
  if (width && std::holds_alternative<std::string>(*width)) {
    margin = std::get<std::string>(*width);
  } else if (width) {
    const std::int64_t spaces = arguments.integer(0, "width", 4);
    require(spaces >= 0 && spaces <= 1000, "indent: the width must be 0 to 1000, found {}", spaces);
    margin.assign(static_cast<std::size_t>(spaces), ' ');
  }
  const bool blank = arguments.flag(2, "blank");
  std::string result = arguments.flag(1, "first") ? margin : "";
  for (std::size_t i = 0; i < text.size(); ++i) {
    result += text[i];
    if (text[i] != '\n' || (!blank && (i + 1 == text.size() || text[i + 1] == '\n'))) continue;
    heap.charge_bytes(margin.size());
    result += margin;
  }
  return result;
}

Value edge(Heap& heap, const Value& input, bool first) {
  const std::vector<Value> items = items_of(heap, input);
  if (items.empty()) return Undefined{first ? "the first item of nothing" : "the last item of nothing"};
  return first ? items.front() : items.back();
}

Value reverse(Heap& heap, const Value& input) {
  std::vector<Value> items = items_of(heap, input);
  std::ranges::reverse(items);
  if (std::holds_alternative<std::string>(input)) return join(heap, items, "");
  return heap.list(std::move(items));
}

Value join_filter(Heap& heap, const Value& input, const Arguments& arguments) {
  std::vector<Value> items = items_of(heap, input);
  if (const Value* attribute = arguments.find(1, "attribute"))
    for (Value& item : items) item = attribute_path(item, to_text(*attribute));
  const Value* separator = arguments.find(0, "d");
  return join(heap, items, separator ? to_text(*separator) : "");
}

Value tojson(const Value& input, const Arguments& arguments) {
  const Value* width = arguments.find(0, "indent");
  if (!width || std::holds_alternative<None>(*width)) return to_json(input);
  return to_json(input, arguments.integer(0, "indent", 0));
}

Value default_filter(const Value& input, const Arguments& arguments) {
  const bool missing = std::holds_alternative<Undefined>(input) || (arguments.flag(1, "boolean") && !truthy(input));
  const Value* otherwise = arguments.find(0, "default_value");
  return !missing ? input : otherwise ? *otherwise : Value("");
}

using Filter = Value (*)(Heap&, const Value&, const Arguments&);
constexpr std::pair<std::string_view, Filter> filters[] = {
    {"capitalize", [](Heap&, const Value& in, const Arguments&) -> Value { return capitalize(to_text(in)); }},
    {"count", [](Heap&, const Value& in, const Arguments&) -> Value { return length_of(in); }},
    {"d", [](Heap&, const Value& in, const Arguments& a) { return default_filter(in, a); }},
    {"default", [](Heap&, const Value& in, const Arguments& a) { return default_filter(in, a); }},
    {"first", [](Heap& heap, const Value& in, const Arguments&) { return edge(heap, in, true); }},
    {"float",
     [](Heap&, const Value& in, const Arguments& a) {
       const Value* otherwise = a.find(0, "default");
       return number_filter(in, otherwise ? *otherwise : Value(0.0), false);
     }},
    {"indent", [](Heap& heap, const Value& in, const Arguments& a) { return indent(heap, to_text(in), a); }},
    {"int",
     [](Heap&, const Value& in, const Arguments& a) {
       const Value* otherwise = a.find(0, "default");
       return number_filter(in, otherwise ? *otherwise : Value(std::int64_t{0}), true);
     }},
    {"items", [](Heap& heap, const Value& in, const Arguments& a) { return call_method(heap, in, "items", a); }},
    {"join", join_filter},
    {"last", [](Heap& heap, const Value& in, const Arguments&) { return edge(heap, in, false); }},
    {"length", [](Heap&, const Value& in, const Arguments&) -> Value { return length_of(in); }},
    {"list", [](Heap& heap, const Value& in, const Arguments&) -> Value { return heap.list(items_of(heap, in)); }},
    {"lower", [](Heap&, const Value& in, const Arguments&) -> Value { return to_lower(to_text(in)); }},
    {"map", map},
    {"reject", [](Heap& heap, const Value& in, const Arguments& a) { return select(heap, in, a, false, false); }},
    {"rejectattr", [](Heap& heap, const Value& in, const Arguments& a) { return select(heap, in, a, false, true); }},
    {"replace",
     [](Heap& heap, const Value& in, const Arguments& a) -> Value {
       return replace_all(heap, to_text(in), a.text(0, "old"), a.text(1, "new"), a.integer(2, "count", -1));
     }},
    {"reverse", [](Heap& heap, const Value& in, const Arguments&) { return reverse(heap, in); }},
    {"safe", [](Heap&, const Value& in, const Arguments&) -> Value { return in; }},
    {"select", [](Heap& heap, const Value& in, const Arguments& a) { return select(heap, in, a, true, false); }},
    {"selectattr", [](Heap& heap, const Value& in, const Arguments& a) { return select(heap, in, a, true, true); }},
    {"string", [](Heap&, const Value& in, const Arguments&) -> Value { return to_text(in); }},
    {"title", [](Heap&, const Value& in, const Arguments&) -> Value { return title_case(to_text(in)); }},
    {"tojson", [](Heap&, const Value& in, const Arguments& a) { return tojson(in, a); }},
    {"trim",
     [](Heap&, const Value& in, const Arguments& a) -> Value {
       return strip(to_text(in), a.find(0, "chars"), true, true);
     }},
    {"unique", [](Heap& heap, const Value& in, const Arguments&) { return unique(heap, in); }},
    {"upper", [](Heap&, const Value& in, const Arguments&) -> Value { return to_upper(to_text(in)); }},
};

}  // namespace

Value apply_filter(Heap& heap, std::string_view name, const Value& input, const Arguments& arguments) {
  for (const auto& [known, filter] : filters)
    if (known == name) return filter(heap, input, arguments);
  fail("the filter {:?} is not supported", name);
}

}  // namespace glassbox::model::jinja
