#include "tests/bench/plain.h"

#include <algorithm>

namespace glassbox::bench {
namespace {

void add_leaves(const gpu::Array& array, std::vector<gpu::Array>& leaves) {
  if (!array.evaluated()) {
    for (const auto& input : array.data()->operation->inputs) add_leaves(input, leaves);
  } else if (std::none_of(leaves.begin(), leaves.end(), [&](const auto& a) { return a.data() == array.data(); })) {
    leaves.push_back(array);
  }
}

}  // namespace

Sampled sampled(const std::string& label, const gpu::Array& result) {
  Sampled of{.label = label, .leaves = {}, .result = result.shape()};
  add_leaves(result, of.leaves);
  return of;
}

const Prepare* plain_op(const std::string& name, const std::string& label) {
  static const PlainOps all = [] {
    PlainOps ops = plain_rows();
    ops.merge(plain_products());
    ops.merge(plain_attention());
    return ops;
  }();
  const auto found = all.find(name);
  if (found == all.end()) return nullptr;
  const auto has = [&](std::string_view part) { return label.find(part) != std::string::npos; };
  const auto begins = [&](std::string_view part) { return label.starts_with(part); };
  const bool own = name.starts_with("packed_") ? begins("f16 ") || begins("q8_0 ") || begins("q4_0 ")
                                               : !has("f16") && !has("q8_0") && !has("interleaved");
  return own ? &found->second : nullptr;
}

}  // namespace glassbox::bench
