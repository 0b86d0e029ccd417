#include "include/exp_weight.glsl"
// What the parts of a context came to, put together: part p of a row has the sums of its values and, as its state,
// their reference and total: y = sum_p exp(reference_p - top) sums_p / sum_p exp(reference_p - top) total_p.
uint row = flat_group;
if (row >= rows) return;
uint seen = min(first + row / heads + 1u, capacity), live = (seen + span - 1u) / span * slots, base = row * parts * slots;
float top = -3e38, total = 0.0;
for (uint p = 0u; p < live; ++p) top = max(top, state_load4(base + p).x);
vec4 sum[CHUNKS];
for (int c = 0; c < CHUNKS; ++c) sum[c] = vec4(0.0);
// Sums of 32 at a time: a long context has a thousand of them, of which one float32 sum would lose 2e-6.
for (uint block = 0u; block < live; block += 32u) {
    vec4 block_sum[CHUNKS];
    for (int c = 0; c < CHUNKS; ++c) block_sum[c] = vec4(0.0);
    float block_total = 0.0;
    for (uint p = block; p < min(block + 32u, live); ++p) {
        vec4 of = state_load4(base + p);
        float weight = exp_weight(of.x - top);
        block_total += weight * of.y;
        for (int c = 0; c < CHUNKS; ++c) {
            uint column = min(uint(c) * LOCAL_SIZE + local_id, uint(COLUMNS - 1));
            block_sum[c] += weight * part_load4((base + p) * uint(COLUMNS) + column);
        }
    }
    total += block_total;
    for (int c = 0; c < CHUNKS; ++c) sum[c] += block_sum[c];
}
for (int c = 0; c < CHUNKS; ++c)
    if (uint(c) * LOCAL_SIZE + local_id < uint(COLUMNS))
        y_store4(row * uint(COLUMNS) + uint(c) * LOCAL_SIZE + local_id, sum[c] / total);
