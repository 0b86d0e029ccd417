#include "include/exp_weight.glsl"
#include "include/kv_values.glsl"
// Causal attention for devices with real workgroups: a workgroup has ROWS query rows of one KV head (its query heads,
// its tokens, or both) and a part of the context, which it reads once, in blocks of KEYS keys, with the online softmax
// of Milakov & Gimelshein 2018. A key is scored by SLOTS invocations for all rows; then TEAM invocations a row turn
// scores into weights; then every invocation sums four dimensions of the values over its share of the block's keys. A
// part's sums and state (PARTIAL) are put together by attention_combine. ROPE: of one token's joint projection instead of
// queries; its key and value come from there too, and go into the caches.
const uint block = uint(KEYS), split = uint(SLOTS), team = uint(TEAM), wide = uint(COLUMNS), shares = LOCAL_SIZE / wide;
uint bands = (rows + uint(ROWS) - 1u) / uint(ROWS), kv_head = group_id.x / bands, row = group_id.x % bands * uint(ROWS);
uint last = min(first + min(row + uint(ROWS) - 1u, rows - 1u) / group + 1u, capacity);
uint begin = group_id.y * span, stop = min(last, begin + span), base = kv_head * capacity;
if (begin >= stop) return;
for (uint n = local_id; n < uint(ROWS) * wide; n += LOCAL_SIZE) {
    uint r = min(row + n / wide, rows - 1u);
#if ROPE
    q_rows[n] = rotated(0u, kv_head * group + r, n % wide) * scale;
#else
    q_rows[n] = q_load4((r / group * heads + kv_head * group + r % group) * wide + n % wide) * scale;
#endif
}
#if ROPE
bool has_new = begin <= first && first < stop;
for (uint n = local_id; has_new && n < 2u * wide; n += LOCAL_SIZE) {
    bool is_key = n < wide;
    vec4 own = is_key ? rotated(0u, heads + kv_head, n) : projected(0u, heads + kv_heads + kv_head, n - wide);
    new_rows[n] = own;
    if (row == 0u && is_key) keys_store4(base + first, n, own);
    if (row == 0u && !is_key) values_store4(base + first, n - wide, own);
}
#endif
barrier();
uint column = local_id % wide, share = local_id / wide, my_row = local_id / team, member = local_id % team;
uint my_limit = min(first + min(row + my_row, rows - 1u) / group + 1u, capacity);
float top = -3e38, total = 0.0;
vec4 sum[ROWS];
for (int r = 0; r < ROWS; ++r) sum[r] = vec4(0.0);
for (uint start = begin; start < stop; start += block) {
    uint end = min(block, stop - start);
    for (uint n = local_id; n < end * split; n += LOCAL_SIZE) {
        uint j = n / split, key = (base + start + j) * uint(K_ROW);
        float products[ROWS];
        for (int r = 0; r < ROWS; ++r) products[r] = 0.0;
        for (uint c = n % split; c < uint(K_TEXELS); c += split) {
            float scale_of_block = 0.0;
#if K_TYPE == 3
            scale_of_block = uintBitsToFloat(k_load4(key + uint(K_TEXELS) + c / 8u))[c / 2u % 4u];
#endif
            vec4 x[4];
            kv_values(K_TYPE, k_load4(key + c), scale_of_block, x);
#if ROPE
            if (start + j == first) x[0] = new_rows[c];
#endif
            for (int r = 0; r < ROWS; ++r)
                for (int u = 0; u < K_WIDE; ++u)
                    products[r] += dot(q_rows[uint(r) * wide + c * uint(K_WIDE) + uint(u)], x[u]);
        }
        for (int r = 0; r < ROWS; ++r) scores[uint(r) * block * split + n] = products[r];
    }
    barrier();
    float highest = top;
    for (uint j = member; j < end; j += team) {
        float score = 0.0;
        for (uint s = 0u; s < split; ++s) score += scores[(my_row * block + j) * split + s];
        score = start + j < my_limit ? score : -3e38;
        weights[my_row * block + j] = score;
        highest = max(highest, score);
    }
#if ROWS == 1
    highest = group_max(highest);
#else
    peaks[local_id] = highest;
    barrier();
    for (uint m = 0u; m < team; ++m) highest = max(highest, peaks[my_row * team + m]);
#endif
    float kept = exp_weight(top - highest), added = 0.0;
    for (uint j = member; j < end; j += team) {
        float weight = start + j < my_limit ? exp_weight(weights[my_row * block + j] - highest) : 0.0;
        weights[my_row * block + j] = weight;
        added += weight;
    }
    total = total * kept + added;
    top = highest;
    if (member == 0u) keep[my_row] = kept;
    barrier();
    // A block is summed apart: over tens of thousands of keys one running sum would round too often.
    vec4 block_sum[ROWS];
    for (int r = 0; r < ROWS; ++r) block_sum[r] = vec4(0.0);
    for (uint j = share; j < end && share < shares; j += shares) {
        uint key = (base + start + j) * uint(V_ROW), c = column / uint(V_WIDE);
        float scale_of_block = 0.0;
#if V_TYPE == 3
        scale_of_block = uintBitsToFloat(v_load4(key + uint(V_TEXELS) + c / 8u))[c / 2u % 4u];
#endif
        vec4 x = kv_values4(V_TYPE, v_load4(key + c), column % uint(V_WIDE), scale_of_block);
#if ROPE
        if (start + j == first) x = new_rows[wide + column];
#endif
        for (int r = 0; r < ROWS; ++r) block_sum[r] += weights[uint(r) * block + j] * x;
    }
    for (int r = 0; r < ROWS; ++r) sum[r] = sum[r] * keep[r] + block_sum[r];
}
barrier();
#if ROWS == 1
peaks[0] = group_sum(total);
#else
peaks[local_id] = total;
#endif
if (member == 0u) keep[my_row] = top;
for (int i = 0; i < ROWS; ++i) {
    barrier();
    sums[local_id] = sum[i];
    barrier();
    uint r = row + uint(i);
    if (share == 0u && r < rows) {
        vec4 all = sums[column];
        for (uint s = 1u; s < shares; ++s) all += sums[s * wide + column];
        float all_weights = 0.0;
        for (uint m = 0u; m < (ROWS == 1 ? 1u : team); ++m) all_weights += peaks[uint(i) * team + m];
        uint query = r / group * heads + kv_head * group + r % group;
#if PARTIAL
        uint part = query * parts + group_id.y;
        if (column == 0u) state_store4(part, vec4(keep[i], all_weights, 0.0, 0.0));
        y_store4(part * wide + column, all);
#else
        y_store4(query * wide + column, all / all_weights);
#endif
    }
}
