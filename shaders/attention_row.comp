#include "include/exp_weight.glsl"
#include "include/kv_values.glsl"
// Causal attention of one query row a workgroup, for GPUs and contexts whose latency is what counts. A team of eight
// invocations scores a key and sums its value, with an online softmax (Milakov & Gimelshein 2018) of its own: nobody waits
// for others but for the query and at the end. The teams' sums are put together in shared memory; a part's sums and state
// (PARTIAL) by attention_combine. ROPE: of one token's joint projection instead of queries; its key and value come from
// there too, and go into the caches.
#define K_PIECES ((K_TEXELS + 7) / 8)
#define V_PIECES ((V_TEXELS + 7) / 8)
#if K_TYPE == 3
#define KEY_SCALE(at, c) uintBitsToFloat(k_load4(at + uint(K_TEXELS) + (c) / 8u))[(c) / 2u % 4u]
#else
#define KEY_SCALE(at, c) 0.0
#endif
#if V_TYPE == 3
#define VALUE_SCALE(at, c) uintBitsToFloat(v_load4(at + uint(V_TEXELS) + (c) / 8u))[(c) / 2u % 4u]
#else
#define VALUE_SCALE(at, c) 0.0
#endif
const uint wide = uint(COLUMNS), d = 4u * wide, teams = LOCAL_SIZE / 8u;
uint query = group_id.x, head = query % heads, kv_head = head / group;
uint last = min(first + query / heads + 1u, capacity);
uint begin = group_id.y * span, stop = min(last, begin + span), base = kv_head * capacity;
if (begin >= stop) return;
uint lane = local_id & 7u, team = local_id >> 3;

vec4 asked[K_PIECES * K_WIDE], sum[V_PIECES * V_WIDE];
for (int i = 0; i < V_PIECES * V_WIDE; ++i) sum[i] = vec4(0.0);
float top = -3e38, total = 0.0;
for (uint start = begin; start < stop; start += teams) {
    uint j = start + team;
    bool here = j < stop;
    uvec4 key[K_PIECES], value[V_PIECES];
    float key_scales[K_PIECES], value_scales[V_PIECES];
    for (int p = 0; p < K_PIECES; ++p) {
        uint c = lane + 8u * uint(p), at = (base + j) * uint(K_ROW);
        key[p] = uvec4(0u);
        key_scales[p] = 0.0;
        if (here && c < uint(K_TEXELS)) {
            key[p] = k_load4(at + c);
            key_scales[p] = KEY_SCALE(at, c);
        }
    }
    for (int p = 0; p < V_PIECES; ++p) {
        uint c = lane + 8u * uint(p), at = (base + j) * uint(V_ROW);
        value[p] = uvec4(0u);
        value_scales[p] = 0.0;
        if (here && c < uint(V_TEXELS)) {
            value[p] = v_load4(at + c);
            value_scales[p] = VALUE_SCALE(at, c);
        }
    }
    if (start == begin) {
        // The query, while the first keys and values are on their way.
#if ROPE
        // Pairs of the query and of the new key, and the new value.
        for (uint n = local_id; n < 2u * d; n += LOCAL_SIZE) {
            bool keep = head % group == 0u && begin <= first && first < stop;
            if (n < d) {
                bool is_key = n >= d / 2u;
                uint pair = is_key ? n - d / 2u : n;
                uvec2 to = pair_places(pair);
                vec2 x = rotated_pair(is_key ? heads + kv_head : head, pair) * (is_key ? 1.0 : scale);
                turned[to.x + (is_key ? d : 0u)] = x.x;
                turned[to.y + (is_key ? d : 0u)] = x.y;
                if (is_key && keep) {
                    keys[(base + first) * d + to.x] = x.x;
                    keys[(base + first) * d + to.y] = x.y;
                }
            } else {
                float x = projected((heads + kv_heads + kv_head - 1u) * d + n);
                turned[d + n] = x;
                if (keep) values[(base + first - 1u) * d + n] = x;
            }
        }
#else
        for (uint n = local_id; n < wide; n += LOCAL_SIZE) {
            vec4 x = q_load4(query * wide + n) * scale;
            for (uint i = 0u; i < 4u; ++i) turned[4u * n + i] = x[i];
        }
#endif
        barrier();
        for (int p = 0; p < K_PIECES * K_WIDE; ++p) {
            uint c = ((lane + 8u * uint(p / K_WIDE)) * uint(K_WIDE) + uint(p % K_WIDE)) * 4u;
            asked[p] = c < d ? vec4(turned[c], turned[c + 1u], turned[c + 2u], turned[c + 3u]) : vec4(0.0);
        }
    }
    float score = 0.0;
    for (int p = 0; p < K_PIECES; ++p) {
        vec4 x[4];
        kv_values(K_TYPE, key[p], key_scales[p], x);
#if ROPE
        uint c = (lane + 8u * uint(p)) * 4u;
        if (j == first && c < d) x[0] = vec4(turned[d + c], turned[d + c + 1u], turned[d + c + 2u], turned[d + c + 3u]);
#endif
        for (int u = 0; u < K_WIDE; ++u) score += dot(asked[p * K_WIDE + u], x[u]);
    }
    score += group_xor(score, 1u);
    score += group_xor(score, 2u);
    score += group_xor(score, 4u);
    float highest = here ? max(top, score) : top;
    float kept = exp_weight(top - highest), weight = here ? exp_weight(score - highest) : 0.0;
    top = highest;
    total = total * kept + weight;
    for (int p = 0; p < V_PIECES; ++p) {
        vec4 x[4];
        kv_values(V_TYPE, value[p], value_scales[p], x);
#if ROPE
        uint c = (lane + 8u * uint(p)) * 4u + 2u * d;
        if (j == first && c < 3u * d) x[0] = vec4(turned[c], turned[c + 1u], turned[c + 2u], turned[c + 3u]);
#endif
        for (int u = 0; u < V_WIDE; ++u) sum[p * V_WIDE + u] = sum[p * V_WIDE + u] * kept + weight * x[u];
    }
}

float most = group_max(top), factor = exp_weight(top - most);
if (lane == 0u) totals[team] = total * factor;
for (int i = 0; i < V_PIECES * V_WIDE; ++i) sums[uint(i) * LOCAL_SIZE + local_id] = sum[i] * factor;
barrier();
// Every invocation a column of some teams, then a few the rest.
const uint parties = min(LOCAL_SIZE / wide, teams);
uint column = local_id % wide, party = local_id / wide, texel = column / uint(V_WIDE);
uint place = (texel / 8u * uint(V_WIDE) + column % uint(V_WIDE)) * LOCAL_SIZE + texel % 8u;
vec4 all = vec4(0.0);
float all_weights = 0.0;
for (uint t = party; party < parties && t < teams; t += parties) {
    all += sums[place + 8u * t];
    all_weights += totals[t];
}
rest[local_id] = all;
if (column == 0u && party < parties) rest_totals[party] = all_weights;
barrier();
if (local_id < wide) {
    all_weights = rest_totals[0];
    for (uint t = 1u; t < parties; ++t) {
        all += rest[t * wide + column];
        all_weights += rest_totals[t];
    }
#if PARTIAL
    uint part = query * parts + group_id.y;
    if (column == 0u) state_store4(part, vec4(most, all_weights, 0.0, 0.0));
    y_store4(part * wide + column, all);
#else
    y_store4(query * wide + column, all / all_weights);
#endif
}
