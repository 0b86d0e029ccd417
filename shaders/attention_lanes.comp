#include "include/exp_weight.glsl"
#include "include/kv_values.glsl"
// Causal attention for devices whose lanes are a CPU's: an invocation has everything of ROWS query rows of one KV head
// in registers, and takes one of SLOTS shares of a part of the context. Nothing is shared and nothing waits; lanes read
// any keys they like at the price of one. The softmax is online (Milakov & Gimelshein 2018), KEYS keys at a time. What
// is left to add up (PARTIAL) is added by attention_combine.
const uint slots = uint(SLOTS), wide = uint(COLUMNS);
uint lane = group_id.x * (LOCAL_SIZE / slots) + local_id / slots, slot = local_id % slots;
uint bands = (rows + uint(ROWS) - 1u) / uint(ROWS), kv_head = lane / bands, row = lane % bands * uint(ROWS);
if (kv_head >= kv_heads) return;
uint query[ROWS], limit[ROWS];
for (int i = 0; i < ROWS; ++i) {
    uint r = min(row + uint(i), rows - 1u), t = r / group;
    query[i] = t * heads + kv_head * group + r % group;
    limit[i] = min(first + t + 1u, capacity);
}
uint begin = group_id.y * span, stop = min(limit[ROWS - 1], begin + span);
if (begin >= stop) return;
// Neighbouring keys to one invocation: as many streams as the CPU's prefetcher follows.
uint share = (stop - begin + slots * uint(KEYS) - 1u) / (slots * uint(KEYS)) * uint(KEYS), last = stop - 1u;
begin += slot * share;
stop = min(stop, begin + share);
// Arrays that loops index by their own variables alone are registers to compilers: no other index may be computed.
vec4 q_of[K_TEXELS][K_WIDE][ROWS], sum[V_TEXELS][V_WIDE][ROWS];
float top[ROWS], total[ROWS];
for (int c = 0; c < K_TEXELS; ++c)
    for (int u = 0; u < K_WIDE; ++u)
        for (int i = 0; i < ROWS; ++i) q_of[c][u][i] = q_load4(query[i] * wide + uint(c * K_WIDE + u)) * scale;
for (int c = 0; c < V_TEXELS; ++c)
    for (int u = 0; u < V_WIDE; ++u)
        for (int i = 0; i < ROWS; ++i) sum[c][u][i] = vec4(0.0);
for (int i = 0; i < ROWS; ++i) {
    top[i] = -3e38;
    total[i] = 0.0;
}
for (uint key = begin; key < stop; key += uint(KEYS)) {
    uint at[KEYS];
    for (int j = 0; j < KEYS; ++j) at[j] = kv_head * capacity + min(key + uint(j), last);
    vec4 products[KEYS][ROWS];
    for (int j = 0; j < KEYS; ++j)
        for (int i = 0; i < ROWS; ++i) products[j][i] = vec4(0.0);
    vec4 scales[KEYS], x[4];
    for (int j = 0; j < KEYS; ++j) scales[j] = vec4(0.0);
    for (int c = 0; c < K_TEXELS; ++c)
        for (int j = 0; j < KEYS; ++j) {
#if K_TYPE == 3
            if (c % 8 == 0) scales[j] = uintBitsToFloat(k_load4(at[j] * uint(K_ROW) + uint(K_TEXELS + c / 8)));
#endif
            kv_values(K_TYPE, k_load4(at[j] * uint(K_ROW) + uint(c)), scales[j][c / 2 % 4], x);
            for (int u = 0; u < K_WIDE; ++u)
                for (int i = 0; i < ROWS; ++i) products[j][i] += q_of[c][u][i] * x[u];
        }
    float weight[KEYS][ROWS], keep[ROWS];
    for (int i = 0; i < ROWS; ++i) {
        float highest = top[i];
        for (int j = 0; j < KEYS; ++j) {
            weight[j][i] = key + uint(j) < limit[i] ? dot(products[j][i], vec4(1.0)) : -3e38;
            highest = max(highest, weight[j][i]);
        }
        keep[i] = exp_weight(top[i] - highest);
        total[i] *= keep[i];
        top[i] = highest;
        for (int j = 0; j < KEYS; ++j) {
            weight[j][i] = key + uint(j) < limit[i] ? exp_weight(weight[j][i] - highest) : 0.0;
            total[i] += weight[j][i];
        }
    }
    vec4 v_of[KEYS][4];
    for (int c = 0; c < V_TEXELS; ++c) {
        for (int j = 0; j < KEYS; ++j) {
#if V_TYPE == 3
            if (c % 8 == 0) scales[j] = uintBitsToFloat(v_load4(at[j] * uint(V_ROW) + uint(V_TEXELS + c / 8)));
#endif
            kv_values(V_TYPE, v_load4(at[j] * uint(V_ROW) + uint(c)), scales[j][c / 2 % 4], v_of[j]);
        }
        for (int u = 0; u < V_WIDE; ++u)
            for (int i = 0; i < ROWS; ++i) {
                vec4 added = weight[0][i] * v_of[0][u];
                for (int j = 1; j < KEYS; ++j) added += weight[j][i] * v_of[j][u];
                sum[c][u][i] = sum[c][u][i] * keep[i] + added;
            }
    }
}
for (int i = 0; i < ROWS; ++i) {
    if (row + uint(i) >= rows) continue;
    float factor = 1.0;
#if PARTIAL
    uint at = (query[i] * parts + group_id.y) * slots + slot;
    state[at * 4u] = top[i];
    state[at * 4u + 1u] = total[i];
#else
    uint at = query[i];
    factor = 1.0 / total[i];
#endif
    for (int c = 0; c < V_TEXELS; ++c)
        for (int u = 0; u < V_WIDE; ++u) y_store4(at * wide + uint(c * V_WIDE + u), sum[c][u][i] * factor);
}
