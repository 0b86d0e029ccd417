#include "gpu/kernel_body.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <optional>
#include <set>

#include "gpu/error.h"

namespace glassbox::gpu {
namespace {

constexpr std::string_view spaces = " \t\r\n";

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

/// Comments become spaces, because what they name is not used; line breaks stay, so that line numbers do.
std::string without_comments(const Kernel& kernel, std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto opening = text.substr(at, 2);
    if (opening == "//") {
      at = std::min(text.find('\n', at), text.size());
    } else if (opening == "/*") {
      const auto end = text.find("*/", at + 2);
      require(end != std::string_view::npos, "[{}] a comment does not end", kernel.name);
      out += ' ';
      out.append(static_cast<std::size_t>(std::count(text.begin() + at, text.begin() + end, '\n')), '\n');
      at = end + 2;
    } else {
      out += text[at++];
    }
  }
  return out;
}

/// Walks a body without comments: accesses of arrays become calls, and everything is noted that the signature needs.
class Rewriter {
 public:
  Rewriter(const Kernel& kernel, KernelBody& body) : kernel_(kernel), body_(body) {}

  std::string rewrite(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      if (!is_word(text[at])) {
        out += text[at++];
        continue;
      }
      std::size_t end = at;
      while (end < text.size() && is_word(text[end])) ++end;
      const auto written = out.size(), next = identifier(out, text, text.substr(at, end - at), end);
      // Line breaks within what was taken apart are put back: the lines that follow keep their numbers.
      const auto breaks = std::count(text.begin() + at, text.begin() + next, '\n');
      const auto kept = std::count(out.begin() + static_cast<std::ptrdiff_t>(written), out.end(), '\n');
      out.append(static_cast<std::size_t>(breaks - kept), '\n');
      at = next;
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
      const auto open = text.find_first_not_of(spaces, end);
      if (open != std::string_view::npos && text[open] == '[') return element(out, text, word, *index, open);
    }
    note_suffix(word);
    if (word.ends_with("_shape") && array(word.substr(0, word.size() - 6))) {
      const auto digit = end + 1;
      require(digit + 1 < text.size() && text[end] == '[' && std::isdigit(static_cast<unsigned char>(text[digit])) &&
                  text[digit + 1] == ']',
              "[{}] {} takes a literal axis, as {}[0]", kernel_.name, word, word);
      body_.uses[*array(word.substr(0, word.size() - 6))].shape |= 1u << (text[digit] - '0');
      out += fmt::format("{}_{}", word, text[digit]);
      return digit + 2;
    }
    out += word;
    return end;
  }

  /// The assignment operator at `at`, without its '='; nothing where there is another thing.
  static std::optional<std::string_view> assignment(std::string_view text, std::size_t at) {
    for (const std::string_view op : {"<<", ">>", "+", "-", "*", "/", "%", "&", "|", "^", ""})
      if (text.substr(at).starts_with(op) && text.substr(at + op.size()).starts_with('='))
        return op.empty() && text.substr(at + 1).starts_with('=') ? std::nullopt : std::optional(op);
    return std::nullopt;
  }

  /// Where the expression ends that begins at `at`: before the ';', ',' or bracket that does not belong to it.
  static std::size_t expression_end(std::string_view text, std::size_t at) {
    int depth = 0;
    for (; at < text.size(); ++at) {
      const char c = text[at];
      if (c == '(' || c == '[' || c == '{') ++depth;
      if (c == ')' || c == ']' || c == '}') --depth;
      if (depth < 0 || (depth == 0 && (c == ';' || c == ','))) break;
    }
    return at;
  }

  /// x[i] and y[i] = v, y[i] += v, ...
  std::size_t element(std::string& out, std::string_view text, std::string_view name, std::size_t index,
                      std::size_t open) {
    const auto close = expression_end(text, open + 1);
    require(close < text.size() && text[close] == ']', "[{}] the access to {} has no closing ]", kernel_.name, name);
    const auto inside = rewrite(text.substr(open + 1, close - open - 1));
    body_.uses[index].scalar = true;
    const auto at = std::min(text.find_first_not_of(spaces, close + 1), text.size());
    const auto op = assignment(text, at);
    const bool steps = text.substr(at).starts_with("++") || text.substr(at).starts_with("--");
    if (!op && !steps) {
      out += fmt::format("{}_at(uint({}))", name, inside);
      return close + 1;
    }
    require(index >= kernel_.inputs.size(), "[{}] writes to {}, which is an input", kernel_.name, name);
    require(!steps, "[{0}] {1}[...]{2}{2} is not to be had, write {1}[...] {2}= 1", kernel_.name, name,
            text.substr(at, 1));
    const auto value = at + op->size() + 1, end = expression_end(text, value);
    require(end < text.size(), "[{}] the store to {} does not end with ';'", kernel_.name, name);
    const auto stored = rewrite(text.substr(value, end - value));
    if (op->empty()) {
      out += fmt::format("{}_put(uint({}), {})", name, inside, stored);
      return end;
    }
    require(assigns_nothing(inside), "[{}] the index of {}[...] {}= changes something, and is needed twice",
            kernel_.name, name, *op);
    auto again = inside;
    std::replace(again.begin(), again.end(), '\n', ' ');
    out += fmt::format("{0}_put(uint({1}), {0}_at(uint({2})) {3} ({4}))", name, inside, again, *op, stored);
    return end;
  }

  static bool assigns_nothing(std::string_view text) {
    if (text.find("++") != std::string_view::npos || text.find("--") != std::string_view::npos) return false;
    for (std::size_t i = 0; i < text.size(); ++i)
      if (text[i] == '=' && text.substr(i + 1, 1) != "=" &&
          (i == 0 || std::string_view("=!<>").find(text[i - 1]) == std::string_view::npos))
        return false;
    return true;
  }

  void note_suffix(std::string_view word) {
    const auto note = [&](std::string_view suffix, auto mark) {
      if (!word.ends_with(suffix)) return;
      if (const auto index = array(word.substr(0, word.size() - suffix.size()))) mark(body_.uses[*index]);
    };
    note("_load4", [](ArrayUse& use) { use.flat4 = true; });
    note("_load8", [](ArrayUse& use) { use.row4 = true; });
    note("_store4", [](ArrayUse& use) { use.flat4 = true; });
    note("_size", [](ArrayUse& use) { use.size = true; });
    note("_row", [](ArrayUse& use) { use.row = true; });
    body_.group_sum |= word == "group_sum";
    body_.group_max |= word == "group_max";
    body_.group_xor |= word == "group_xor";
  }

  const Kernel& kernel_;
  KernelBody& body_;
};

/// Calls with a row argument (two for a load, three for a store) tell row access from flat access.
void find_row_calls(const Kernel& kernel, std::string_view code, std::vector<ArrayUse>& uses) {
  const auto look = [&](const std::string& call, std::size_t row_arguments, ArrayUse& use) {
    use.flat4 = false;
    for (auto at = code.find(call); at != std::string_view::npos; at = code.find(call, at + 1)) {
      if (at > 0 && is_word(code[at - 1])) continue;
      const auto open = code.find_first_not_of(spaces, at + call.size());
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

/// Names become part of the generated text: a name that GLSL or the generator takes would fail far from its cause.
void check_names(const Kernel& kernel) {
  std::set<std::string_view> seen;
  const auto check = [&](const std::string& name) {
    require(!name.empty() && std::all_of(name.begin(), name.end(), is_word) &&
                !std::isdigit(static_cast<unsigned char>(name[0])),
            "[{}] '{}' is no name: letters, digits and _ are", kernel.name, name);
    require(!name.starts_with("gl_") && !name.starts_with("glassbox_") && name.find("__") == std::string::npos,
            "[{}] the name {} is reserved", kernel.name, name);
    require(seen.insert(name).second, "[{}] the name {} is given twice", kernel.name, name);
  };
  for (const auto* names : {&kernel.inputs, &kernel.outputs})
    for (const auto& name : *names) check(name);
  for (const auto& param : kernel.params) check(param.name);
  for (const auto& array : kernel.shared) check(array.name);
}

}  // namespace

KernelBody parse_body(const Kernel& kernel) {
  check_names(kernel);
  KernelBody parsed;
  parsed.uses.resize(kernel.inputs.size() + kernel.outputs.size());

  // Includes stand at the head; blank lines keep the numbering that compile errors use.
  std::string body;
  std::set<std::string> included;
  std::function<void(const std::string&)> include = [&](const std::string& name) {
    if (!included.insert(name).second) return;
    require(shader_table().contains(name), "[{}] includes \"{}\", and there is no shader of that name", kernel.name,
            name);
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
  Rewriter rewriter(kernel, parsed);
  parsed.header = rewriter.rewrite(without_comments(kernel, parsed.header));
  parsed.code = rewriter.rewrite(without_comments(kernel, body));
  const auto text = parsed.header + parsed.code;
  const auto names = [&](std::string_view name) { return text.find(name) != std::string::npos; };
  parsed.flat = names("flat_id") || names("flat_group");
  parsed.halves = names("f16vec2");
  parsed.gl_grid = names("gl_WorkGroupID") || names("gl_GlobalInvocationID") || names("gl_NumWorkGroups");
  find_row_calls(kernel, text, parsed.uses);
  return parsed;
}

}  // namespace glassbox::gpu
