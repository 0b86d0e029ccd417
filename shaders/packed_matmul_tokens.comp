#include "include/packed.glsl"
// y[t][n] = sum_k x[t][k] w[n][k] of a packed w, many tokens: for processors whose eight lanes are a vector unit's. A lane
// is a token, an invocation has VECTORS of them and ROWS rows; a number of w is decoded once for all its tokens, four
// numbers of x are read once for all its rows. Blocks of 256 columns are summed apart, which keeps the rounding of long
// rows small.
uint n0 = group_id.x * uint(ROWS), t0 = group_id.y * 8u * uint(VECTORS) + local_id;
float totals[ROWS][VECTORS];  // indexed by loop variables alone: so Mesa unrolls the loops and the arrays are registers
for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < VECTORS; ++v) totals[r][v] = 0.0;
uint tile = n0 >> 3, lane = n0 & 7u, last = xs_size / (4u * tokens) - 1u;
uint rows_of[VECTORS];
for (int v = 0; v < VECTORS; ++v) rows_of[v] = min(t0 + 8u * uint(v), tokens - 1u);
for (uint chunk = 0u; chunk < chunks; ++chunk) {
    uint in_chunk = min(8u, blocks - chunk * 8u), tile_texels = in_chunk < 8u ? last_texels : texels;
    uint base = chunk * tiles * texels + lane;
    float sums[ROWS][VECTORS];
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < VECTORS; ++v) sums[r][v] = 0.0;
    uint at[ROWS];
    for (int r = 0; r < ROWS; ++r) at[r] = base + (tile + uint(r) / 8u) * tile_texels + uint(r) % 8u;
#if FORMAT >= 3
    uvec4 headers[ROWS];
    for (int r = 0; r < ROWS; ++r) headers[r] = w_load4(at[r]);
#endif
#if FORMAT == 7
    float unit[ROWS];
    for (int r = 0; r < ROWS; ++r) unit[r] = half_float(w_load4(at[r] + 8u).x);
#endif
    for (uint b = 0u; b < in_chunk; ++b) {
        // A number is field * scale + offset.
        float scale[ROWS], offset[ROWS];
        for (int r = 0; r < ROWS; ++r) {
#if FORMAT < 3
            scale[r] = FORMAT == 1 ? 5.192296858534828e33 : 1.0;
            offset[r] = 0.0;
#elif FORMAT == 3 || FORMAT == 4
            uint pair = b < 4u ? (b < 2u ? headers[r].x : headers[r].y) : (b < 6u ? headers[r].z : headers[r].w);
            scale[r] = half_float(pair >> (16u * (b & 1u)));
            offset[r] = scale[r] * (FORMAT == 3 ? -128.0 : -8.0);
#elif FORMAT == 5 || FORMAT == 6
            uint shift = 8u * (b & 3u), low = headers[r].y >> shift, min_low = headers[r].z >> shift, high = headers[r].w >> shift;
            uvec2 six = b < 4u ? uvec2(low, min_low) & 63u : uvec2((high & 15u) | (low >> 2 & 48u), (high >> 4 & 15u) | (min_low >> 2 & 48u));
            vec2 d = unpackHalf2x16(headers[r].x) * vec2(six);
            scale[r] = d.x;
            offset[r] = -d.y;
#endif
        }
        for (uint i = 0u; i < uint(PER_BLOCK); ++i) {
            uvec4 q[ROWS];
            for (int r = 0; r < ROWS; ++r) {
                q[r] = w_load4(at[r] + 8u * (uint(HEADER) + b * uint(PER_BLOCK) + i));
#if FORMAT == 3 || FORMAT == 4
                q[r] ^= 0x80000000u;
#endif
            }
#if FORMAT == 6 || FORMAT == 7
            uvec2 more[ROWS];
            for (int r = 0; r < ROWS; ++r) {
#if FORMAT == 6
                uvec4 high = w_load4(at[r] + 8u * (1u + b / 4u));
                uint c = b & 3u;
                more[r] = uvec2(c < 2u ? (c == 0u ? high.x : high.y) : (c == 2u ? high.z : high.w));
#else
                uvec4 high = w_load4(at[r] + 8u * (10u + b / 2u));
                more[r] = (b & 1u) == 0u ? high.xy : high.zw;
#endif
            }
#endif
            for (uint f = 0u; f < uint(FIELDS); ++f) {
                uint column = (chunk * 8u + b) * 8u + i * uint(FIELDS) + f;
                vec4 x[VECTORS];
                for (int v = 0; v < VECTORS; ++v)
                    x[v] = xs_load4(min(column, last) * tokens + rows_of[v]);
                for (int r = 0; r < ROWS; ++r) {
#if FORMAT == 0
                    vec4 number = uintBitsToFloat(q[r]);
#elif FORMAT == 1
                    vec4 number = uintBitsToFloat(uvec4(ivec4(q[r] << (16u * (1u - f))) >> 3) & 0x8fffe000u) * scale[r];
#elif FORMAT == 2
                    vec4 number = uintBitsToFloat((q[r] << (16u * (1u - f))) & 0xffff0000u);
#elif FORMAT == 3
                    vec4 number = vec4((q[r] >> (8u * f)) & 255u) * scale[r] + offset[r];
#elif FORMAT == 4 || FORMAT == 5
                    vec4 number = vec4((q[r] >> (4u * f)) & 15u) * scale[r] + offset[r];
#elif FORMAT == 6
                    uvec4 fifth = (uvec4(more[r].x) >> (4u * f + uvec4(0u, 1u, 2u, 3u))) & 1u;
                    vec4 number = vec4(((q[r] >> (4u * f)) & 15u) | (fifth << 4)) * scale[r] + offset[r];
#elif FORMAT == 7
                    uvec4 two = (uvec4(f < 4u ? more[r].x : more[r].y) >> (8u * (f & 3u) + uvec4(0u, 2u, 4u, 6u))) & 3u;
                    uint s = 2u * b + f / 4u, scales = s < 8u ? (s < 4u ? headers[r].x : headers[r].y) : (s < 12u ? headers[r].z : headers[r].w);
                    float d = unit[r] * float(int(scales << (24u - 8u * (s & 3u))) >> 24);
                    vec4 number = (vec4(((q[r] >> (4u * f)) & 15u) | (two << 4)) - 32.0) * d;
#endif
                    for (int v = 0; v < VECTORS; ++v) {
                        vec4 products = number * x[v];
                        sums[r][v] += (products.x + products.y) + (products.z + products.w);
                    }
                }
            }
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < VECTORS; ++v) totals[r][v] += sums[r][v];
}
for (int v = 0; v < VECTORS; ++v)
    if (t0 + 8u * uint(v) < tokens)
        for (int r = 0; r < ROWS; ++r)
            if (n0 + uint(r) < rows) y[(t0 + 8u * uint(v)) * y_row + first + n0 + uint(r)] = totals[r][v];
