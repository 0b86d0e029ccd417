#include "include/half.glsl"
#include "include/packed.glsl"
// As packed_matmul_tile, two products at a time: two blocks of 32 columns are decoded into float16 in shared memory,
// where eight columns of a row are a uvec4 and the eight of a row are turned by its number, so that eight neighbours
// read different banks. Sums of 64 products are float16, of an eighth of them, so that they stay small beside 65504;
// sums of those are float32.
const uint own_rows = 64u * uint(ROWS4), lines = 64u * uint(ROWS4 + TOKENS4);
uint tx = local_id & 15u, ty = local_id >> 4, n0 = group_id.x * own_rows, t0 = group_id.y * 64u * uint(TOKENS4);
float totals[4 * ROWS4][4 * TOKENS4];
for (int r = 0; r < 4 * ROWS4; ++r)
    for (int t = 0; t < 4 * TOKENS4; ++t) totals[r][t] = 0.0;
for (uint two = 0u; two < blocks; two += 2u) {
    for (uint own = local_id; own < 2u * lines; own += LOCAL_SIZE) {
        uint line = own % lines, block = two + own / lines, chunk = block >> 3;
        vec4 numbers[8];
        if (block >= blocks) {
            for (int j = 0; j < 8; ++j) numbers[j] = vec4(0.0);
        } else if (line < own_rows) {
            uint n = min(n0 + line, tiles * 8u - 1u), tile_texels = chunk == blocks >> 3 ? last_texels : texels;
            vec3 s;
            packed_block(chunk * tiles * texels + (n >> 3) * tile_texels + (n & 7u), block & 7u, numbers, s);
            s *= 0.125;
            for (int j = 0; j < 8; ++j) numbers[j] = numbers[j] * (j < 4 ? s.x : s.y) - s.z;
        } else {
            uint t = min(t0 + line - own_rows, tokens - 1u);
            for (int j = 0; j < 8; ++j)
                numbers[j] = block * 32u + 4u * uint(j) < x_row
                                 ? clamp(x_load4(t, block * 8u + uint(j)), -65504.0, 65504.0)
                                 : vec4(0.0);
        }
        for (int j = 0; j < 4; ++j) {
            vec4 a = numbers[2 * j], b = numbers[2 * j + 1];
            parts[line * 8u + ((own / lines * 4u + uint(j)) ^ (line & 7u))] =
                uvec4(half_word(a.x, a.y), half_word(a.z, a.w), half_word(b.x, b.y), half_word(b.z, b.w));
        }
    }
    barrier();
    f16vec2 sums[4 * ROWS4][4 * TOKENS4];
    for (int r = 0; r < 4 * ROWS4; ++r)
        for (int t = 0; t < 4 * TOKENS4; ++t) sums[r][t] = f16vec2(float16_t(0.0));
    for (uint k = 0u; k < 8u; ++k) {
        uvec4 xv[4 * TOKENS4];
        for (int t = 0; t < 4 * TOKENS4; ++t) xv[t] = parts[(own_rows + uint(16 * t) + tx) * 8u + (k ^ (tx & 7u))];
        for (int r = 0; r < 4 * ROWS4; ++r) {
            uvec4 wv = parts[(uint(16 * r) + ty) * 8u + (k ^ (ty & 7u))];
            f16vec2 w0 = unpackFloat2x16(wv.x), w1 = unpackFloat2x16(wv.y), w2 = unpackFloat2x16(wv.z),
                    w3 = unpackFloat2x16(wv.w);
            for (int t = 0; t < 4 * TOKENS4; ++t) {
                f16vec2 sum = sums[r][t];
                sum = HALF_FMA(w0, unpackFloat2x16(xv[t].x), sum);
                sum = HALF_FMA(w1, unpackFloat2x16(xv[t].y), sum);
                sum = HALF_FMA(w2, unpackFloat2x16(xv[t].z), sum);
                sums[r][t] = HALF_FMA(w3, unpackFloat2x16(xv[t].w), sum);
            }
        }
    }
    for (int r = 0; r < 4 * ROWS4; ++r)
        for (int t = 0; t < 4 * TOKENS4; ++t) {
            vec2 both = vec2(sums[r][t]);
            totals[r][t] += both.x + both.y;
        }
    barrier();
}
for (int t = 0; t < 4 * TOKENS4; ++t)
    for (int r = 0; r < 4 * ROWS4; ++r) {
        uint n = n0 + uint(16 * r) + ty, token = t0 + uint(16 * t) + tx;
        if (n < rows && token < tokens) y[token * y_row + first + n] = totals[r][t] * 8.0;
    }
