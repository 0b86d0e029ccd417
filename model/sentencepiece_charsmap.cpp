#include "model/sentencepiece_charsmap.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "gpu/error.h"

namespace glassbox::model {
namespace {

// One unit of darts-clone's double array: bit 31 marks a value, else bits 0-7 are the label, bit 8 says that a value
// hangs here, and bits 9-31 are the offset to the children.
struct Unit {
  std::uint32_t bits;
  std::uint32_t label() const { return bits & 0x800000FF; }
  bool has_value() const { return bits >> 8 & 1; }
  std::uint32_t value() const { return bits & 0x7FFFFFFF; }
  std::uint32_t offset() const { return (bits >> 10) << ((bits & 1u << 9) >> 6); }
};

}  // namespace

void check_charsmap(std::string_view charsmap, std::string_view source) {
  if (charsmap.empty()) return;
  std::uint32_t trie_bytes = 0;
  require(charsmap.size() > sizeof trie_bytes, "{}: the normaliser's charsmap has {} bytes, expected more than 4",
          source, charsmap.size());
  std::memcpy(&trie_bytes, charsmap.data(), sizeof trie_bytes);
  charsmap.remove_prefix(sizeof trie_bytes);
  require(trie_bytes > 0 && trie_bytes % sizeof(Unit) == 0 && trie_bytes < charsmap.size(),
          "{}: the normaliser's charsmap claims a trie of {} bytes, {} are left", source, trie_bytes, charsmap.size());
  std::vector<Unit> units(trie_bytes / sizeof(Unit));
  std::memcpy(units.data(), charsmap.data(), trie_bytes);
  const std::size_t replacements = charsmap.size() - trie_bytes;

  // A child lies where its label leads from its parent's base, so each unit tells the base it belongs to.
  constexpr std::uint32_t none = 0;  // unit 0 is the root, nobody's child
  std::vector<std::uint32_t> first_child(units.size() + 256, none), next_sibling(units.size(), none);
  for (std::uint32_t i = 1; i < units.size(); ++i) {
    if (units[i].label() > 0xFF) continue;
    const std::uint32_t base = i ^ units[i].label();
    next_sibling[i] = std::exchange(first_child[base], i);
  }

  // Nodes share their tails, so this is a graph without loops: depth first, each node once, counting the rules on the
  // longest way down from it.
  struct Visit {
    std::uint32_t node, next_child;
    int rules;
  };
  constexpr int most_rules = 32, unseen = -1, open = -2;
  std::vector<int> rules_below(units.size(), unseen);
  std::vector<Visit> path;
  const auto enter = [&](std::uint32_t node) {
    const std::uint32_t base = node ^ units[node].offset();
    require((base | 0xFF) < units.size(), "{}: the normaliser's trie points past its end", source);
    require(!units[node].has_value() || units[base].value() < replacements,
            "{}: a rule of the normaliser points past its replacements", source);
    rules_below[node] = open;
    path.push_back({node, first_child[base], 0});
  };
  enter(0);
  while (!path.empty()) {
    Visit& visit = path.back();
    if (const std::uint32_t child = visit.next_child; child != none) {
      visit.next_child = next_sibling[child];
      require(rules_below[child] != open, "{}: the normaliser's trie has a loop", source);
      if (rules_below[child] == unseen)
        enter(child);
      else
        visit.rules = std::max(visit.rules, rules_below[child]);
      continue;
    }
    const int rules = visit.rules + units[visit.node].has_value();
    require(rules <= most_rules, "{}: more than {} rules of the normaliser share a prefix", source, most_rules);
    rules_below[visit.node] = rules;
    path.pop_back();
    if (!path.empty()) path.back().rules = std::max(path.back().rules, rules);
  }
}

}  // namespace glassbox::model
