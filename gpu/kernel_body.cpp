#include "gpu/kernel_body.h"

#include <cctype>
#include <functional>
#include <optional>
#include <set>

#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

/// Walks a body: identifiers are handed to the caller, comments and everything else are copied.
class Rewriter {
 public:
  Rewriter(const Kernel& kernel, std::vector<ArrayUse>& uses) : kernel_(kernel), uses_(uses) {}

  std::string rewrite(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      if (text.substr(at, 2) == "//" || text.substr(at, 2) == "/*") {
        const bool line = text[at + 1] == '/';
        auto end = text.find(line ? "\n" : "*/", at + 2);
        end = end == std::string_view::npos ? text.size() : end + (line ? 0 : 2);
        out += text.substr(at, end - at);
        at = end;
      } else if (is_word(text[at])) {
        std::size_t end = at;
        while (end < text.size() && is_word(text[end])) ++end;
        const auto word = text.substr(at, end - at);
        at = identifier(out, text, word, end);
      } else {
        out += text[at++];
      }
    }
    return out;
  }

 private:
  std::optional<std::size_t> array(std::string_view name) const {
    for (std::size_t i = 0; i < kernel_.inputs.size(); ++i)
      if (kernel_.inputs[i] == name) return i;
    for (std::size_t i = 0; i < kernel_.outputs.size(); ++i)
      if (kernel_.outputs[i] == name) return kernel_.inputs.size() + i;
    return std::nullopt;
  }

  /// Appends what `word`, which ends at `end`, becomes; returns where the walk goes on.
  std::size_t identifier(std::string& out, std::string_view text, std::string_view word, std::size_t end) {
    if (const auto index = array(word)) {
      const auto open = text.find_first_not_of(" \t\n", end);
      if (open != std::string_view::npos && text[open] == '[') return element(out, text, word, *index, open);
    }
    note_suffix(word);
    if (word.ends_with("_shape") && array(word.substr(0, word.size() - 6))) {
      const auto digit = end + 1;
      require(digit + 1 < text.size() && text[end] == '[' && std::isdigit(static_cast<unsigned char>(text[digit])) &&
                  text[digit + 1] == ']',
              "[{}] {} takes a literal axis, as {}[0]", kernel_.name, word, word);
      uses_[*array(word.substr(0, word.size() - 6))].shape |= 1u << (text[digit] - '0');
      out += fmt::format("{}_{}", word, text[digit]);
      return digit + 2;
    }
    out += word;
    return end;
  }

  std::size_t element(std::string& out, std::string_view text, std::string_view name, std::size_t index,
                      std::size_t open) {
    const auto close = matching(text, open, '[', ']', name);
    const auto inside = rewrite(text.substr(open + 1, close - open - 1));
    uses_[index].scalar = true;
    const auto op = text.find_first_not_of(" \t\n", close + 1);
    const bool assigns = index >= kernel_.inputs.size() && op != std::string_view::npos &&
                         ((text[op] == '=' && text.substr(op, 2) != "==") ||
                          (op + 1 < text.size() && text[op + 1] == '=' &&
                           std::string_view("+-*/").find(text[op]) != std::string_view::npos));
    if (!assigns) {
      out += fmt::format("{}_at(uint({}))", name, inside);
      return close + 1;
    }
    const bool compound = text[op] != '=';
    const auto value = op + (compound ? 2 : 1);
    const auto semicolon = text.find(';', value);
    require(semicolon != std::string_view::npos, "[{}] the store to {} does not end with ';'", kernel_.name, name);
    const auto stored = rewrite(text.substr(value, semicolon - value));
    if (compound)
      out += fmt::format("{0}_put(uint({1}), {0}_at(uint({1})) {2} ({3}))", name, inside, text[op], stored);
    else
      out += fmt::format("{}_put(uint({}), {})", name, inside, stored);
    return semicolon;
  }

  std::size_t matching(std::string_view text, std::size_t open, char left, char right, std::string_view name) const {
    int depth = 0;
    for (std::size_t i = open; i < text.size(); ++i) {
      if (text[i] == left) ++depth;
      if (text[i] == right && --depth == 0) return i;
    }
    fail("[{}] the access to {} has no closing {}", kernel_.name, name, right);
  }

  void note_suffix(std::string_view word) {
    const auto note = [&](std::string_view suffix, auto mark) {
      if (!word.ends_with(suffix)) return;
      if (const auto index = array(word.substr(0, word.size() - suffix.size()))) mark(uses_[*index]);
    };
    note("_load4", [](ArrayUse& use) { use.flat4 = true; });
    note("_load8", [](ArrayUse& use) { use.row4 = true; });
    note("_store4", [](ArrayUse& use) { use.flat4 = true; });
    note("_size", [](ArrayUse& use) { use.size = true; });
    note("_row", [](ArrayUse& use) { use.row = true; });
  }

  const Kernel& kernel_;
  std::vector<ArrayUse>& uses_;
};

/// Calls with a row argument (two for a load, three for a store) tell row access from flat access.
void find_row_calls(const Kernel& kernel, std::string_view code, std::vector<ArrayUse>& uses) {
  const auto look = [&](const std::string& call, std::size_t row_arguments, ArrayUse& use) {
    use.flat4 = false;
    for (auto at = code.find(call); at != std::string_view::npos; at = code.find(call, at + 1)) {
      if (at > 0 && is_word(code[at - 1])) continue;
      const auto open = code.find_first_not_of(" \t\n", at + call.size());
      if (open == std::string_view::npos || code[open] != '(') continue;
      std::size_t arguments = 1;
      int depth = 0;
      for (std::size_t i = open; i < code.size(); ++i) {
        if (code[i] == '(' || code[i] == '[') ++depth;
        if ((code[i] == ')' || code[i] == ']') && --depth == 0) break;
        if (code[i] == ',' && depth == 1) ++arguments;
      }
      (arguments == row_arguments ? use.row4 : use.flat4) = true;
    }
  };
  for (std::size_t i = 0; i < kernel.inputs.size(); ++i) look(kernel.inputs[i] + "_load4", 2, uses[i]);
  for (std::size_t i = 0; i < kernel.outputs.size(); ++i)
    look(kernel.outputs[i] + "_store4", 3, uses[kernel.inputs.size() + i]);
  for (auto& use : uses) use.row = use.row || use.row4;
}

}  // namespace

KernelBody parse_body(const Kernel& kernel) {
  KernelBody parsed;
  parsed.uses.resize(kernel.inputs.size() + kernel.outputs.size());

  // Includes stand at the head; blank lines keep the numbering that compile errors use.
  std::string body;
  std::set<std::string> included;
  std::function<void(const std::string&)> include = [&](const std::string& name) {
    if (!included.insert(name).second) return;
    const std::string& text = shader_source(name);
    std::size_t at = 0;
    while (text.compare(at, 10, "#include \"") == 0) {
      const auto quote = text.find('"', at + 10);
      include(text.substr(at + 10, quote - at - 10));
      at = std::min(text.find('\n', quote), text.size() - 1) + 1;
    }
    parsed.header += text.substr(at);
  };
  std::size_t at = 0;
  while (at < kernel.body.size()) {
    const auto end = std::min(kernel.body.find('\n', at), kernel.body.size());
    const auto line = kernel.body.substr(at, end - at);
    if (line.starts_with("#include \"")) {
      const auto quote = line.find('"', 10);
      require(quote != std::string::npos, "[{}] {} does not close its quotes", kernel.name, line);
      include(line.substr(10, quote - 10));
    } else {
      body += line;
    }
    body += '\n';
    at = end + 1;
  }
  parsed.code = Rewriter(kernel, parsed.uses).rewrite(body);
  find_row_calls(kernel, parsed.code, parsed.uses);
  parsed.group_sum = parsed.code.find("group_sum(") != std::string::npos;
  parsed.group_max = parsed.code.find("group_max(") != std::string::npos;
  return parsed;
}

}  // namespace glassbox::gpu
