#include <algorithm>

#include "gpu/error.h"
#include "model/jinja_builtins.h"
#include "model/jinja_lexer.h"

namespace glassbox::model::jinja {
namespace {

// str.split: at runs of whitespace where no separator is given.
Value split(Heap& heap, const std::string& text, const Arguments& arguments) {
  const Value* separator = arguments.find(0, "sep");
  const std::int64_t most = arguments.integer(1, "maxsplit", -1);
  std::vector<Value> parts;
  const auto add = [&](std::string_view part) {
    heap.charge_bytes(part.size());
    parts.emplace_back(std::string(part));
  };
  const auto full = [&] { return most >= 0 && static_cast<std::int64_t>(parts.size()) >= most; };
  std::string_view rest = text;
  if (separator && !std::holds_alternative<None>(*separator)) {
    const std::string by = arguments.text(0, "sep");
    require(!by.empty(), "split: the separator is empty");
    for (std::size_t at; !full() && (at = rest.find(by)) != rest.npos; rest.remove_prefix(at + by.size()))
      add(rest.substr(0, at));
    add(rest);
  } else {
    while (true) {
      rest.remove_prefix(std::min(rest.find_first_not_of(whitespace), rest.size()));
      if (rest.empty()) break;
      const std::size_t end = full() ? rest.size() : std::min(rest.find_first_of(whitespace), rest.size());
      add(rest.substr(0, end));
      rest.remove_prefix(end);
    }
  }
  return heap.list(std::move(parts));
}

// Whether the text has one of the affixes: str.startswith takes a string or a tuple of them.
template <class Has>
bool has_affix(const Arguments& arguments, Has has) {
  const Value* affix = arguments.find(0, "prefix");
  if (affix)
    if (const auto* list = std::get_if<List*>(affix))
      return std::ranges::any_of((*list)->items, [&](const Value& item) {
        const auto* text = std::get_if<std::string>(&item);
        return text && has(*text);
      });
  return has(arguments.text(0, "prefix"));
}

Value string_method(Heap& heap, const std::string& text, std::string_view name, const Arguments& arguments) {
  if (name == "strip") return strip(text, arguments.find(0, "chars"), true, true);
  if (name == "lstrip") return strip(text, arguments.find(0, "chars"), true, false);
  if (name == "rstrip") return strip(text, arguments.find(0, "chars"), false, true);
  if (name == "split") return split(heap, text, arguments);
  if (name == "startswith")
    return has_affix(arguments, [&](std::string_view affix) { return text.starts_with(affix); });
  if (name == "endswith") return has_affix(arguments, [&](std::string_view affix) { return text.ends_with(affix); });
  if (name == "upper") return to_upper(text);
  if (name == "lower") return to_lower(text);
  if (name == "capitalize") return capitalize(text);
  if (name == "title") return title_case(text);
  if (name == "replace")
    return replace_all(heap, text, arguments.text(0, "old"), arguments.text(1, "new"),
                       arguments.integer(2, "count", -1));
  if (name == "join") {
    require(arguments.positional.size() == 1, "join takes one argument, found {}", arguments.positional.size());
    return join(heap, items_of(heap, arguments.positional[0]), text);
  }
  fail("a string has no method {:?}", name);
}

Value list_method(Heap& heap, List& list, std::string_view name, const Arguments& arguments) {
  if (name == "append") {
    require(arguments.positional.size() == 1, "append takes one argument, found {}", arguments.positional.size());
    heap.charge(1);
    list.items.push_back(arguments.positional[0]);
    return None{};
  }
  fail("a list has no method {:?}", name);
}

Value dict_method(Heap& heap, const Dict& dict, std::string_view name, const Arguments& arguments) {
  if (name == "get") {
    const Value* found = dict.find(arguments.text(0, "key"));
    const Value* otherwise = arguments.find(1, "default");
    return found ? *found : otherwise ? *otherwise : Value(None{});
  }
  std::vector<Value> items;
  for (const auto& [key, value] : dict.entries) {
    if (name == "keys")
      items.emplace_back(key);
    else if (name == "values")
      items.push_back(value);
    else if (name == "items")
      items.emplace_back(heap.list({key, value}));
    else
      break;
  }
  require(name == "keys" || name == "values" || name == "items", "a dict has no method {:?}", name);
  return heap.list(std::move(items));
}

}  // namespace

Value call_method(Heap& heap, const Value& object, std::string_view name, const Arguments& arguments) {
  if (const auto* text = std::get_if<std::string>(&object)) return string_method(heap, *text, name, arguments);
  if (const auto* list = std::get_if<List*>(&object)) return list_method(heap, **list, name, arguments);
  if (const auto* dict = std::get_if<Dict*>(&object)) return dict_method(heap, **dict, name, arguments);
  if (const auto* undefined = std::get_if<Undefined>(&object))
    fail("{:?} is undefined and has no method {:?}", undefined->name, name);
  fail("{} has no method {:?}", type_name(object), name);
}

}  // namespace glassbox::model::jinja
