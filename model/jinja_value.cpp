#include "model/jinja_value.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "gpu/error.h"

namespace glassbox::model::jinja {
namespace {

constexpr int deepest_nesting = 100;  // a list can hold itself

void check_nesting(int depth) { require(depth < deepest_nesting, "a value is nested deeper than {}", deepest_nesting); }

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == text.npos) text += ".0";
  return text;
}

std::string quoted(const std::string& text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  std::string result(1, quote);
  for (const char c : text) {
    if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (c == '\r') {
      result += "\\r";
    } else {
      if (c == quote || c == '\\') result += '\\';
      result += c;
    }
  }
  return result + quote;
}

std::string json_string(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// str() and json.dumps() write containers alike; they differ in strings and constants.
class Writer {
 public:
  Writer(bool json, std::optional<std::int64_t> indent) : json_(json), indent_(indent) {}

  void write(const Value& value, int depth) {
    if (const auto* list = std::get_if<List*>(&value))
      return items((*list)->items, "[]", depth, [&](const Value& item) { write(item, depth + 1); });
    if (const auto* dict = std::get_if<Dict*>(&value))
      return items((*dict)->entries, "{}", depth, [&](const auto& entry) {
        string(entry.first);
        text += ": ";
        write(entry.second, depth + 1);
      });
    if (const auto* characters = std::get_if<std::string>(&value)) return string(*characters);
    require(!json_ || value.index() == 1 || is_number(value), "{} cannot be written as JSON", type_name(value));
    if (const auto* flag = std::get_if<bool>(&value))
      text += json_ ? (*flag ? "true" : "false") : (*flag ? "True" : "False");
    else if (const auto* integer = std::get_if<std::int64_t>(&value))
      text += fmt::format("{}", *integer);
    else if (const auto* real = std::get_if<double>(&value))
      text += real_text(*real);
    else if (const auto* function = std::get_if<Function>(&value))
      text += fmt::format("<function {}>", function->name);
    else
      text += std::holds_alternative<Undefined>(value) ? "Undefined" : json_ ? "null" : "None";
  }

  std::string text;

 private:
  void string(const std::string& characters) { text += json_ ? json_string(characters) : quoted(characters); }

  void new_line(int depth) {
    if (indent_) text += "\n" + std::string(static_cast<std::size_t>(*indent_ * depth), ' ');
  }

  template <class Items, class WriteItem>
  void items(const Items& all, std::string_view brackets, int depth, WriteItem write_item) {
    constexpr std::size_t most_bytes = 4 << 20;  // lists that share their items can be short and yet print endlessly
    check_nesting(depth);
    text += brackets[0];
    for (bool first = true; const auto& item : all) {
      if (!first) text += indent_ ? "," : ", ";
      first = false;
      new_line(depth + 1);
      write_item(item);
      require(text.size() <= most_bytes, "a value prints to more than {} bytes", most_bytes);
    }
    if (!all.empty()) new_line(depth);
    text += brackets[1];
  }

  bool json_;
  std::optional<std::int64_t> indent_;
};

bool equal_at(const Value& a, const Value& b, int depth, int& budget) {
  check_nesting(depth);
  require(--budget > 0, "values too large to compare");
  if (is_number(a) && is_number(b)) {
    const auto *x = std::get_if<std::int64_t>(&a), *y = std::get_if<std::int64_t>(&b);
    return x && y ? *x == *y : number_of(a) == number_of(b);
  }
  if (a.index() != b.index()) return false;
  if (const auto* text = std::get_if<std::string>(&a)) return *text == std::get<std::string>(b);
  if (const auto* list = std::get_if<List*>(&a))
    return std::ranges::equal((*list)->items, std::get<List*>(b)->items,
                              [&](const Value& x, const Value& y) { return equal_at(x, y, depth + 1, budget); });
  if (const auto* dict = std::get_if<Dict*>(&a)) {
    const Dict& other = *std::get<Dict*>(b);
    return (*dict)->entries.size() == other.entries.size() && std::ranges::all_of((*dict)->entries, [&](const auto& e) {
             const Value* found = other.find(e.first);
             return found && equal_at(e.second, *found, depth + 1, budget);
           });
  }
  if (const auto* function = std::get_if<Function>(&a)) return function->name == std::get<Function>(b).name;
  return true;  // None, Undefined
}

}  // namespace

const Value* Dict::find(std::string_view key) const {
  const auto found = std::ranges::find(entries, key, [](const auto& entry) -> std::string_view { return entry.first; });
  return found == entries.end() ? nullptr : &found->second;
}

void Dict::set(std::string_view key, Value value) {
  for (auto& entry : entries)
    if (entry.first == key) {
      entry.second = std::move(value);
      return;
    }
  entries.emplace_back(key, std::move(value));
}

List* Heap::list(std::vector<Value> items) {
  charge(items.size() + 1);
  return &lists_.emplace_back(List{std::move(items)});
}

Dict* Heap::dict(std::vector<std::pair<std::string, Value>> entries) {
  charge(entries.size() + 1);
  return &dicts_.emplace_back(Dict{std::move(entries)});
}

void Heap::charge(std::size_t units) {
  constexpr std::size_t most_units = 2'000'000;
  require(units <= most_units - spent_, "the template does not come to an end within {} steps", most_units);
  spent_ += units;
}

std::string_view type_name(const Value& value) {
  constexpr std::string_view names[] = {"undefined", "None",   "a boolean", "an integer", "a float",
                                        "a string",  "a list", "a dict",    "a function"};
  return names[value.index()];
}

bool truthy(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return !text->empty();
  if (const auto* list = std::get_if<List*>(&value)) return !(*list)->items.empty();
  if (const auto* dict = std::get_if<Dict*>(&value)) return (*dict)->is_namespace || !(*dict)->entries.empty();
  if (is_number(value)) return number_of(value) != 0;
  return std::holds_alternative<Function>(value);
}

bool is_number(const Value& value) {
  return std::holds_alternative<bool>(value) || std::holds_alternative<std::int64_t>(value) ||
         std::holds_alternative<double>(value);
}

double number_of(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
  return std::get<double>(value);
}

bool equal(const Value& a, const Value& b) {
  int budget = 1'000'000;
  return equal_at(a, b, 0, budget);
}

bool less(const Value& a, const Value& b) {
  if (is_number(a) && is_number(b)) {
    const auto *x = std::get_if<std::int64_t>(&a), *y = std::get_if<std::int64_t>(&b);
    return x && y ? *x < *y : number_of(a) < number_of(b);
  }
  const auto *x = std::get_if<std::string>(&a), *y = std::get_if<std::string>(&b);
  require(x && y, "cannot order {} and {}", type_name(a), type_name(b));
  return *x < *y;
}

std::string to_text(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (std::holds_alternative<Undefined>(value)) return "";
  Writer writer(false, std::nullopt);
  writer.write(value, 0);
  return std::move(writer.text);
}

std::string to_json(const Value& value, std::optional<std::int64_t> indent) {
  require(!indent || (*indent >= 0 && *indent <= 16), "tojson: indent must be 0 to 16, found {}", indent.value_or(0));
  Writer writer(true, indent);
  writer.write(value, 0);
  return std::move(writer.text);
}

}  // namespace glassbox::model::jinja
