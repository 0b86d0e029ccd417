#include "include/exp.glsl"
// Causal attention of one query and head a workgroup: y = softmax(scale q k^T) v over keys 0..first + t, with the
// online softmax of Milakov & Gimelshein 2018 in blocks of BLOCK keys. First every invocation scores keys, then
// every one sums the values of four dimensions over its part of the block's keys. A dispatch takes keys from..to;
// where that is not all of them (RESUMES), `so_far` is y as the dispatch before it left it and `state` holds its
// maximum and total.
uint t = group_id.y, head = group_id.x, kv_head = head / (heads / kv_heads), length = min(first + t + 1u, k_shape[1]);
if (from >= length) return;
uint stop = min(length, to), query = t * heads + head, keys = kv_head * k_shape[1];
const uint block = uint(BLOCK), columns = uint(COLUMNS), parts = uint(PARTS);
uint column = local_id % columns, part = local_id / columns;
bool owns = part < parts;
float top = uintBitsToFloat(0xff800000u), total = 0.0;
vec4 sum = vec4(0.0);
#if RESUMES
float top_before = top, total_before = 0.0;
if (from > 0u) {
    top_before = state[query * 2u];
    total_before = state[query * 2u + 1u];
}
#endif
for (uint begin = from; begin < stop; begin += block) {
    uint end = min(block, stop - begin);
    float block_top = uintBitsToFloat(0xff800000u);
    for (uint j = local_id; j < end; j += LOCAL_SIZE) {
        vec4 products = vec4(0.0);
        for (uint c = 0u; c < columns; ++c) products += q_load4(query, c) * k_load4(keys + begin + j, c);
        float score = dot(products, vec4(1.0)) * scale;
        weights[j] = score;
        block_top = max(block_top, score);
    }
    float new_top = max(top, group_max(block_top));
    float keep = exp_accurate(top - new_top);
    float block_total = 0.0;
    for (uint j = local_id; j < end; j += LOCAL_SIZE) {
        float weight = exp_accurate(weights[j] - new_top);
        weights[j] = weight;
        block_total += weight;
    }
    total = total * keep + block_total;
    top = new_top;
    barrier();
    // A block is summed apart: over tens of thousands of keys one running sum would round too often.
    vec4 block_sum = vec4(0.0);
    if (owns)
        for (uint j = part; j < end; j += parts) block_sum += weights[j] * v_load4(keys + begin + j, column);
    sum = sum * keep + block_sum;
    barrier();
}
total = group_sum(total);
if (owns) sums[local_id] = sum;
barrier();
if (part == 0u) {
    for (uint p = 1u; p < parts; ++p) sum += sums[p * columns + column];
#if RESUMES
    float top_of_both = max(top, top_before), keep = exp_accurate(top - top_of_both);
    float keep_before = exp_accurate(top_before - top_of_both);
    total = total * keep + total_before * keep_before;
    sum *= keep;
    if (from > 0u) sum += so_far_load4(query, column) * keep_before;
    if (local_id == 0u) {
        state[query * 2u] = top_of_both;
        state[query * 2u + 1u] = total;
    }
#endif
    y_store4(query, column, stop == length ? sum / total : sum);
}
