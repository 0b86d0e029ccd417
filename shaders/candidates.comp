#include "include/exp_weight.glsl"
#include "include/ordered.glsl"
// Of all blocks' largest logits the k largest, of equal ones the first; and a copy of those blocks, in the order of the
// vocabulary, each behind {its number, 0, 0, 0}, the first behind {its number, largest of all, sum of exp(x - largest) of
// all, 0}. One workgroup, 4 * held blocks an invocation. The largest are read anew each time: held, even eight
// invocations' share of them takes LLVM seconds to compile.
uint begin = local_id * held, end = begin + held;
float top = -3.4028235e38, least = 3.4028235e38;
for (uint at = begin; at < end; ++at) {
    vec4 m = maxima_load4(at);
    for (uint e = 0u; e < 4u; ++e)
        if (at * 4u + e < blocks) {
            top = max(top, m[e]);
            least = min(least, m[e]);
        }
}
top = group_max(top);
least = -group_max(-least);
// Summed by eights: beside one large value many small ones would each be rounded the same way.
vec4 sum = vec4(0.0), part = vec4(0.0);
for (uint at = begin; at < end; ++at) {
    vec4 m = maxima_load4(at), s = sums_load4(at);
    for (uint e = 0u; e < 4u; ++e) part[e] += at * 4u + e < blocks ? s[e] * exp_weight(m[e] - top) : 0.0;
    if ((at & 7u) == 7u) {
        sum += part;
        part = vec4(0.0);
    }
}
sum += part;
float total = group_sum((sum.x + sum.y) + (sum.z + sum.w));

// k keys at least are `bound` or more, fewer are `beyond` or more: `many` and `few`. Half of the guesses between them
// take their number to fall exponentially, as it nearly does; the others halve what is left.
int bound = ordered(vec4(least)).x, beyond = ordered(vec4(top)).x + 1;
float many = float(blocks), few = 0.0, reached;
uint pass = 0u, between = uint(beyond) - uint(bound);
do {
    float guess = (pass++ & 1u) == 0u ? log2(many / float(k)) / log2(many / max(few, 0.5)) : 0.5;
    int middle = bound + int(clamp(uint(float(between) * guess), 1u, max(between, 2u) - 1u));
    ivec4 counts = ivec4(0);
    for (uint at = begin; at < end; ++at)
        counts += ivec4(greaterThanEqual(ordered(maxima_load4(at)), ivec4(middle))) * ivec4(there(at));
    reached = group_sum(float((counts.x + counts.y) + (counts.z + counts.w)));
    if (reached >= float(k)) {
        bound = middle;
        many = reached;
    } else {
        beyond = middle;
        few = reached;
    }
    between = uint(beyond) - uint(bound);
} while (reached != float(k) && between > 1u);

// Those above the bound, and of those at it the first that are wanted. Both counts in one word: there are 1024 at most.
uvec4 own = uvec4(0u);
for (uint at = begin; at < end; ++at) {
    ivec4 key = ordered(maxima_load4(at));
    own += (uvec4(greaterThan(key, ivec4(bound))) | uvec4(equal(key, ivec4(bound))) << 16) * uvec4(there(at));
}
uint both = (own.x + own.y) + (own.z + own.w);
scan[local_id] = both;
barrier();
for (uint d = 1u; d < LOCAL_SIZE; d <<= 1) {
    uint before = local_id >= d ? scan[local_id - d] : 0u;
    barrier();
    scan[local_id] += before;
    barrier();
}
uint wanted = k - (scan[LOCAL_SIZE - 1u] & 0xffffu), before = scan[local_id] - both;
uint ties = before >> 16, slot = (before & 0xffffu) + min(ties, wanted);
for (uint at = begin; at < end; ++at) {
    ivec4 key = ordered(maxima_load4(at));
    uint chosen = 0u;
    for (uint e = 0u; e < 4u; ++e) {
        bool tie = key[e] == bound;
        if (at * 4u + e < blocks && (key[e] > bound || (tie && ties < wanted))) chosen |= 1u << e;
        ties += uint(tie);
    }
    for (; chosen != 0u; chosen &= chosen - 1u) list[slot++] = at * 4u + uint(findLSB(chosen));
}
barrier();

for (uint i = local_id; i < k * uint(TEXELS + 1); i += LOCAL_SIZE) {
    uint t = i % uint(TEXELS + 1), block = list[i / uint(TEXELS + 1)], at = block * uint(TEXELS) + t - 1u;
    vec4 v = vec4(float(block), i == 0u ? vec2(top, total) : vec2(0.0), 0.0);
    if (t > 0u)
        v = mix(vec4(0.0), x_load4(min(at, (x_size - 1u) / 4u)), lessThan(at * 4u + uvec4(0u, 1u, 2u, 3u), uvec4(count)));
    y_store4(i, v);
}
