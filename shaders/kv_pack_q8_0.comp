#include "include/q8_0.glsl"
// cache[head][first + t] = x[t][head] in blocks of 32, one an invocation. A row is its bytes, then its blocks' scales.
uint blocks = x_row / 32u, heads = x_shape[1];
if (flat_id >= tokens * heads * blocks) return;
uint block = flat_id % blocks, t = flat_id / blocks / heads, head = flat_id / blocks % heads;
if (first + t >= capacity) return;
uint row = head * capacity + first + t;
vec4 v[8], largest = vec4(0.0);
for (int i = 0; i < 8; ++i) {
    v[i] = x_load4(t * heads + head, block * 8u + uint(i));
    largest = max(largest, abs(v[i]));
}
vec2 scale = q8_scale(max(max(largest.x, largest.y), max(largest.z, largest.w)));
cache_store4(row, block * 2u, q8_words(v[0], v[1], v[2], v[3], scale.y));
cache_store4(row, block * 2u + 1u, q8_words(v[4], v[5], v[6], v[7], scale.y));
cache[row * cache_row + blocks * 8u + block] = floatBitsToUint(q8_to_half(scale.x));
