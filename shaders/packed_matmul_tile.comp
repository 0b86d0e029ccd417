#include "include/packed.glsl"
// y[t][n] = sum_k x[t][k] w[n][k] of a packed w, many tokens, for GPUs: 16 x 16 invocations have 64 ROWS4 rows and
// 64 TOKENS4 tokens, each of them every 16th of both; a block of 32 columns at a time is decoded into shared memory,
// where four columns of a row are a vec4 and the eight of a row are turned by its number, so that eight neighbours read
// different banks. Every 512 columns are summed apart, which keeps the rounding of long rows small.
uint tx = local_id & 15u, ty = local_id >> 4, n0 = group_id.x * 64u * uint(ROWS4), t0 = group_id.y * 64u * uint(TOKENS4);
float totals[4 * ROWS4][4 * TOKENS4], sums[4 * ROWS4][4 * TOKENS4];
for (int r = 0; r < 4 * ROWS4; ++r)
    for (int t = 0; t < 4 * TOKENS4; ++t) totals[r][t] = sums[r][t] = 0.0;
for (uint block = 0u; block < blocks; ++block) {
    uint chunk = block >> 3, tile_texels = chunk == blocks >> 3 ? last_texels : texels;
    for (uint own = local_id; own < 64u * uint(ROWS4 + TOKENS4); own += LOCAL_SIZE) {
        vec4 numbers[8];
        bool is_row = own < 64u * uint(ROWS4);
        if (is_row) {
            uint n = min(n0 + own, tiles * 8u - 1u);
            vec3 s;
            packed_block(chunk * tiles * texels + (n >> 3) * tile_texels + (n & 7u), block & 7u, numbers, s);
            for (int j = 0; j < 8; ++j) numbers[j] = numbers[j] * (j < 4 ? s.x : s.y) - s.z;
        } else {
            uint t = min(t0 + own - 64u * uint(ROWS4), tokens - 1u);
            for (int j = 0; j < 8; ++j)
                numbers[j] = block * 32u + 4u * uint(j) < x_row ? x_load4(t, block * 8u + uint(j)) : vec4(0.0);
        }
        for (int j = 0; j < 8; ++j) parts[own * 8u + (uint(j) ^ (own & 7u))] = numbers[j];
    }
    barrier();
    for (uint k = 0u; k < 8u; ++k) {
        vec4 xv[4 * TOKENS4];
        for (int t = 0; t < 4 * TOKENS4; ++t) xv[t] = parts[(uint(64 * ROWS4 + 16 * t) + tx) * 8u + (k ^ (tx & 7u))];
        for (int r = 0; r < 4 * ROWS4; ++r) {
            vec4 wv = parts[(uint(16 * r) + ty) * 8u + (k ^ (ty & 7u))];
            for (int t = 0; t < 4 * TOKENS4; ++t)
                sums[r][t] += wv.x * xv[t].x + wv.y * xv[t].y + wv.z * xv[t].z + wv.w * xv[t].w;
        }
    }
    barrier();
    if ((block & 15u) == 15u) {
        for (int r = 0; r < 4 * ROWS4; ++r)
            for (int t = 0; t < 4 * TOKENS4; ++t) {
                totals[r][t] += sums[r][t];
                sums[r][t] = 0.0;
            }
    }
}
for (int t = 0; t < 4 * TOKENS4; ++t)
    for (int r = 0; r < 4 * ROWS4; ++r) {
        uint n = n0 + uint(16 * r) + ty, token = t0 + uint(16 * t) + tx;
        if (n < rows && token < tokens) y[token * y_row + first + n] = totals[r][t] + sums[r][t];
    }
