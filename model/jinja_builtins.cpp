#include "model/jinja_builtins.h"

#include <algorithm>
#include <cmath>
#include <ctime>

#include "gpu/error.h"
#include "model/utf8.h"

namespace glassbox::model::jinja {
namespace {

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
char upper(char c) { return is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c; }
char lower(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

// str.isspace of Python, which str.strip goes by.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_odd(const Value& value) { return std::fmod(number_of(value), 2.0) != 0; }

template <class Type>
bool holds(const Value& value) {
  return std::holds_alternative<Type>(value);
}

using Test = bool (*)(const Value&);
constexpr std::pair<std::string_view, Test> plain_tests[] = {
    {"defined", [](const Value& v) { return !holds<Undefined>(v); }},
    {"undefined", holds<Undefined>},
    {"none", holds<None>},
    {"string", holds<std::string>},
    {"mapping", holds<Dict*>},
    {"boolean", holds<bool>},
    {"integer", holds<std::int64_t>},
    {"float", holds<double>},
    {"number", is_number},
    {"callable", holds<Function>},
    {"iterable",
     [](const Value& v) { return holds<std::string>(v) || holds<List*>(v) || holds<Dict*>(v) || holds<Undefined>(v); }},
    {"sequence",
     [](const Value& v) { return holds<std::string>(v) || holds<List*>(v) || holds<Dict*>(v) || holds<Undefined>(v); }},
    {"true", [](const Value& v) { return holds<bool>(v) && truthy(v); }},
    {"false", [](const Value& v) { return holds<bool>(v) && !truthy(v); }},
    {"odd", [](const Value& v) { return is_number(v) && is_odd(v); }},
    {"even", [](const Value& v) { return is_number(v) && !is_odd(v); }},
};

using Comparison = bool (*)(const Value&, const Value&);
constexpr std::pair<std::string_view, Comparison> comparing_tests[] = {
    {"equalto", equal},
    {"eq", equal},
    {"sameas", equal},
    {"ne", [](const Value& a, const Value& b) { return !equal(a, b); }},
    {"lt", less},
    {"le", [](const Value& a, const Value& b) { return !less(b, a); }},
    {"gt", [](const Value& a, const Value& b) { return less(b, a); }},
    {"ge", [](const Value& a, const Value& b) { return !less(a, b); }},
    {"in", [](const Value& a, const Value& b) { return contains(b, a); }},
    {"divisibleby", [](const Value& a, const Value& b) {
       require(is_number(a) && is_number(b) && truthy(b), "divisibleby expects numbers and not zero");
       return std::fmod(number_of(a), number_of(b)) == 0;
     }}};

Value range(Heap& heap, const Arguments& arguments) {
  const bool one = arguments.positional.size() < 2;
  const std::int64_t start = one ? 0 : arguments.integer(0, "start", 0),
                     stop = arguments.integer(one ? 0 : 1, "stop", 0);
  const std::int64_t step = arguments.integer(2, "step", 1);
  require(step != 0, "range: the step must not be zero");
  std::vector<Value> items;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    heap.charge(1);
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return heap.list(std::move(items));
}

Value strftime_now(const Arguments& arguments) {
  const std::string format = arguments.text(0, "format");
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[256];
  return std::string(text, std::strftime(text, sizeof text, format.c_str(), &local));
}

[[noreturn]] void raise_exception(const Arguments& arguments) {
  std::string message = arguments.text(0, "message");
  std::ranges::replace(message, '\n', ' ');  // an error is one line
  fail("{}", message);
}

constexpr std::string_view functions[] = {"range", "namespace", "dict", "raise_exception", "strftime_now"};

}  // namespace

const Value* Arguments::find(std::size_t index, std::string_view name) const {
  if (index < positional.size()) return &positional[index];
  const auto found = std::ranges::find(named, name, [](const auto& entry) -> std::string_view { return entry.first; });
  return found == named.end() ? nullptr : &found->second;
}

std::string Arguments::text(std::size_t index, std::string_view name) const {
  const Value* value = find(index, name);
  require(value && holds<std::string>(*value), "expected a string as {}, found {}", name,
          value ? type_name(*value) : "nothing");
  return std::get<std::string>(*value);
}

std::int64_t Arguments::integer(std::size_t index, std::string_view name, std::int64_t otherwise) const {
  const Value* value = find(index, name);
  if (!value || holds<None>(*value)) return otherwise;
  require(holds<std::int64_t>(*value), "expected an integer as {}, found {}", name, type_name(*value));
  return std::get<std::int64_t>(*value);
}

bool Arguments::flag(std::size_t index, std::string_view name) const {
  const Value* value = find(index, name);
  return value && truthy(*value);
}

Arguments Arguments::from(std::size_t count) const {
  Arguments rest = *this;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(std::min(count, positional.size())));
  return rest;
}

bool apply_test(std::string_view name, const Value& input, const Arguments& arguments) {
  for (const auto& [known, test] : plain_tests)
    if (known == name) return test(input);
  for (const auto& [known, test] : comparing_tests)
    if (known == name) {
      require(arguments.positional.size() == 1, "the test {:?} takes one argument, found {}", name,
              arguments.positional.size());
      return test(input, arguments.positional[0]);
    }
  fail("the test {:?} is not supported", name);
}

Value call_function(Heap& heap, std::string_view name, const Arguments& arguments) {
  if (name == "range") return range(heap, arguments);
  if (name == "strftime_now") return strftime_now(arguments);
  if (name == "raise_exception") raise_exception(arguments);
  Dict* dict = heap.dict(arguments.named);  // namespace(...) and dict(...)
  dict->is_namespace = name == "namespace";
  for (const Value& value : arguments.positional) {
    require(holds<Dict*>(value), "{} expects a dict, found {}", name, type_name(value));
    for (const auto& [key, item] : std::get<Dict*>(value)->entries)
      if (!dict->find(key)) dict->set(key, item);
  }
  return dict;
}

Value global_function(std::string_view name) {
  const auto found = std::ranges::find(functions, name);
  if (found == std::end(functions)) return Undefined{std::string(name)};
  return Function{*found};
}

std::vector<Value> items_of(Heap& heap, const Value& value) {
  std::vector<Value> items;
  if (holds<Undefined>(value)) return items;
  if (const auto* list = std::get_if<List*>(&value)) {
    items = (*list)->items;
  } else if (const auto* dict = std::get_if<Dict*>(&value)) {
    for (const auto& entry : (*dict)->entries) items.emplace_back(entry.first);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    heap.charge(text->size());
    for (const char32_t c : to_utf32(*text)) items.emplace_back(to_utf8({&c, 1}));
  } else {
    fail("cannot loop over {}", type_name(value));
  }
  heap.charge(items.size());
  return items;
}

Value attribute_of(const Value& object, std::string_view name) {
  if (const auto* undefined = std::get_if<Undefined>(&object))
    fail("{:?} is undefined and has no {:?}", undefined->name, name);
  if (const auto* dict = std::get_if<Dict*>(&object))
    if (const Value* found = (*dict)->find(name)) return *found;
  return Undefined{std::string(name)};
}

bool contains(const Value& haystack, const Value& needle) {
  if (holds<Undefined>(haystack)) return false;
  if (const auto* list = std::get_if<List*>(&haystack))
    return std::ranges::any_of((*list)->items, [&](const Value& item) { return equal(item, needle); });
  const auto* key = std::get_if<std::string>(&needle);
  if (const auto* dict = std::get_if<Dict*>(&haystack)) return key && (*dict)->find(*key);
  const auto* text = std::get_if<std::string>(&haystack);
  require(text && key, "cannot look for {} in {}", type_name(needle), type_name(haystack));
  return text->find(*key) != std::string::npos;
}

std::string strip(std::string_view text, const Value* characters, bool left, bool right) {
  std::u32string set;
  if (characters && !holds<None>(*characters)) {
    require(holds<std::string>(*characters), "expected a string of characters, found {}", type_name(*characters));
    set = to_utf32(std::get<std::string>(*characters));
  } else {
    characters = nullptr;
  }
  const auto strips = [&](char32_t c) { return characters ? set.find(c) != set.npos : is_space(c); };
  const std::u32string all = to_utf32(text);
  std::size_t begin = 0, end = all.size();
  while (left && begin < end && strips(all[begin])) ++begin;
  while (right && end > begin && strips(all[end - 1])) --end;
  return to_utf8(std::u32string_view(all).substr(begin, end - begin));
}

std::string replace_all(Heap& heap, std::string_view text, std::string_view old, std::string_view with,
                        std::int64_t most) {
  require(!old.empty(), "replace expects something to look for");
  std::string result;
  for (; most != 0; --most) {
    const std::size_t found = text.find(old);
    if (found == text.npos) break;
    heap.charge_bytes(found + with.size());
    result.append(text.substr(0, found)).append(with);
    text.remove_prefix(found + old.size());
  }
  return result.append(text);
}

std::string to_upper(std::string text) {
  std::ranges::transform(text, text.begin(), upper);
  return text;
}

std::string to_lower(std::string text) {
  std::ranges::transform(text, text.begin(), lower);
  return text;
}

std::string capitalize(std::string text) {
  text = to_lower(std::move(text));
  if (!text.empty()) text[0] = upper(text[0]);
  return text;
}

std::string title_case(std::string text) {
  bool in_word = false;
  for (char& c : text) {
    c = in_word ? lower(c) : upper(c);
    in_word = is_upper(c) || is_lower(c);
  }
  return text;
}

std::string join(Heap& heap, const std::vector<Value>& items, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += separator;
    const std::size_t before = text.size();
    text += to_text(items[i]);
    heap.charge_bytes(text.size() - before + separator.size());
  }
  return text;
}

}  // namespace glassbox::model::jinja
