#include <algorithm>
#include <bit>

#include "gpu/ops/attention.h"

namespace glassbox::gpu {
namespace {

std::size_t group_shared_bytes(const AttentionVariant& how, std::size_t columns) {
  return how.rows * (columns * 16 + how.keys * (how.slots + 1) * 4 + 4) + how.local_size * 24 + 2 * columns * 16;
}

/// At most: sums of all teams, what is left of them, the query and the new rows, and scratch of group_sum and
/// group_max.
std::size_t row_shared_bytes(const AttentionVariant& how, std::size_t columns) {
  return how.local_size * (divide_up(columns, 32) * 4 + 1) * 16 + how.local_size * 9 + 3 * columns * 16;
}

/// For CPUs of a few cores whose vectors are workgroups of 8. Rows of an invocation share what it loads, but are
/// registers, and all of them unrolled code; slots share a row's keys, but leave sums to store and to combine.
AttentionVariant lanes_variant(std::size_t tokens, std::size_t kv_heads, std::size_t group, std::size_t head_dim,
                               std::size_t longest) {
  // One float32 sum should not have many more keys; all parts must find room.
  constexpr std::size_t short_context = 256, most_keys = 1024, most_parts = 64;
  const std::size_t rows = kv_heads * tokens * group, most_rows = head_dim <= 64 ? 4 : head_dim <= 128 ? 2 : 1;
  AttentionVariant how{.kernel = AttentionKernel::lanes, .local_size = 8, .keys = 4};
  how.span = std::min(longest, std::max(most_keys, divide_up(longest, most_parts * 4) * 4));
  if (tokens >= 8) {
    how.rows = static_cast<unsigned>(std::clamp<std::size_t>(rows / 16, 1, most_rows));
  } else if (longest <= short_context || (group == 1 && rows >= 16)) {
    how.slots = std::bit_floor(static_cast<unsigned>(std::clamp<std::size_t>(16 / rows, 1, 8)));
  } else {
    how.rows = static_cast<unsigned>(std::min(group, most_rows));
    how.slots = 8;
    if (kv_heads * divide_up(group, how.rows) < 6) how.span = std::min<std::size_t>(longest, 512);
  }
  while (how.keys > 1 && how.keys * how.rows * head_dim > 512) how.keys /= 2;  // as much code as compiles in a second
  return how;
}

/// For one token in a short context on GPUs: few workgroups, so each has as many teams as its sums find room for.
AttentionVariant row_variant(const Limits& limits, std::size_t columns, std::size_t longest) {
  constexpr unsigned widest = 512;
  AttentionVariant how{.kernel = AttentionKernel::row,
                       .local_size = std::min(widest, std::bit_floor(limits.invocations)),
                       .span = longest};
  while (how.local_size > 64 && how.local_size / 2 >= columns && row_shared_bytes(how, columns) > limits.shared_bytes)
    how.local_size /= 2;
  return how;
}

/// For GPUs, of the largest as well: workgroups of many rows read the cache once for them, parts bring more of them to
/// work. A short context takes one dispatch.
AttentionVariant group_variant(const Limits& limits, std::size_t tokens, std::size_t kv_heads, std::size_t group,
                               std::size_t head_dim, std::size_t longest) {
  constexpr std::size_t short_context = 256, enough_groups = 256, shortest_part = 64;
  const std::size_t rows = tokens * group, columns = divide_up(head_dim, 4);
  // One row of a short context has but as many workgroups as there are heads: large ones, for many keys at a time.
  const unsigned widest = longest <= short_context && tokens == 1 ? 512 : 128;
  AttentionVariant how{.local_size = std::max(std::min(widest, limits.invocations), std::bit_ceil(u32(columns)))};
  how.rows = std::bit_ceil(u32(std::min<std::size_t>(longest <= short_context ? tokens : rows, 16)));
  how.slots = how.rows <= 4 ? 4 : 2;
  how.keys = how.rows <= 4 ? how.local_size : 64;
  while (how.rows > 1 && group_shared_bytes(how, columns) > limits.shared_bytes) how.rows /= 2;
  while (how.keys > 32 && group_shared_bytes(how, columns) > limits.shared_bytes) how.keys /= 2;
  const std::size_t bands = kv_heads * divide_up(rows, how.rows);
  const std::size_t parts = longest <= short_context
                                ? 1
                                : std::clamp<std::size_t>(enough_groups / bands, 1, divide_up(longest, shortest_part));
  how.span = divide_up(divide_up(longest, parts), shortest_part) * shortest_part;
  while (how.span < longest && how.span % how.keys != 0) how.keys /= 2;
  return how;
}

}  // namespace

AttentionVariant attention_variant(const Features& features, const Limits& limits, std::size_t tokens,
                                   std::size_t kv_heads, std::size_t group, std::size_t head_dim, std::size_t longest) {
  // Heads of 128 take a team four texels at a time: on the H200 attention_group, which asks for one, is a tenth faster.
  constexpr std::size_t short_context = 256, most_columns = 16;
  const std::size_t columns = divide_up(head_dim, 4);
  if (features.software) return lanes_variant(tokens, kv_heads, group, head_dim, longest);
  if (tokens == 1 && longest <= short_context && columns <= most_columns && features.shuffles)
    if (const auto how = row_variant(limits, columns, longest); row_shared_bytes(how, columns) <= limits.shared_bytes)
      return how;
  return group_variant(limits, tokens, kv_heads, group, head_dim, longest);
}

}  // namespace glassbox::gpu
