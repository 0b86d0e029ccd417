#include "include/packed.glsl"
// y[t][n] = sum_k x[t][k] w[n][k] of a packed w, many tokens: for processors whose eight lanes are a vector unit's. A lane
// is a token, an invocation has VECTORS of them and ROWS rows. xs is what tokens_first leaves. A block of columns is
// straight-line code in float: what is assigned within a loop is blended with what was there before, lane by lane, which
// would cost as much as the multiplication. In int8 one sum a row and token is all that is.
uint n0 = group_id.x * uint(ROWS), t0 = group_id.y * 8u * uint(VECTORS) + local_id;
float totals[ROWS][VECTORS];  // indexed by loop variables alone: so Mesa unrolls the loops and the arrays are registers
for (int r = 0; r < ROWS; ++r)
    for (int v = 0; v < VECTORS; ++v) totals[r][v] = 0.0;
uint tile = n0 >> 3, lane = n0 & 7u;
uint token[VECTORS];
for (int v = 0; v < VECTORS; ++v) token[v] = min(t0 + 8u * uint(v), tokens - 1u);
#define ACROSS(a) ((a.x + a.y) + (a.z + a.w))
for (uint chunk = 0u; chunk < chunks; ++chunk) {
    uint in_chunk = min(8u, blocks - chunk * 8u), tile_texels = in_chunk < 8u ? last_texels : texels;
    uint at = chunk * tiles * texels + lane + tile * tile_texels;
    uint next = tile + 1u < tiles ? tile_texels : 0u;  // to rows from the ninth on, which need not be there
#if FORMAT == 3 || FORMAT == 4
    uvec4 headers[ROWS];
    for (int r = 0; r < ROWS; ++r) headers[r] = w_load4(at + uint(r) / 8u * next + uint(r) % 8u);
#endif
    for (uint b = 0u; b < in_chunk; ++b) {
        uint from = (chunk * 8u + b) * uint(STEPS) * tokens;
#if INT8
        uvec4 more[VECTORS], q[ROWS];
        int all[ROWS][VECTORS];
        for (int v = 0; v < VECTORS; ++v) more[v] = xs_load4(from + 4u * tokens + token[v]);
        for (int r = 0; r < ROWS; ++r) {
            q[r] = w_load4(at + uint(r) / 8u * next + uint(r) % 8u + 8u * (1u + b));
            for (int v = 0; v < VECTORS; ++v) all[r][v] = int(more[v].x);
        }
        // Four steps, which the compiler must not know: unrolled they are thousands of instructions, and slower.
        uint steps = min(4u, tokens + 3u);
        for (uint j = 0u; j < steps; ++j) {
            ivec4 x[VECTORS];
            for (int v = 0; v < VECTORS; ++v) x[v] = ivec4(xs_load4(from + j * tokens + token[v]));
            int mask = j == 3u ? int(0xffff000fu) : 0x000f000f, by = int(4u * j);
            for (int r = 0; r < ROWS; ++r) {
                ivec4 f = (ivec4(q[r]) >> by) & mask;
                for (int v = 0; v < VECTORS; ++v) {
                    ivec4 p = f * x[v];
                    all[r][v] += (p.x + p.y) + (p.z + p.w);
                }
            }
        }
#else
        vec4 x[VECTORS * 8];
        float less[VECTORS];
        for (int v = 0; v < VECTORS; ++v) {
            for (int j = 0; j < 8; ++j) x[v * 8 + j] = xs_load4(from + uint(j) * tokens + token[v]);
#if STEPS > 8
            less[v] = xs_load4(from + 8u * tokens + token[v]).x;
#else
            less[v] = 0.0;
#endif
        }
#endif
        for (int r = 0; r < ROWS; ++r) {
            uint row_at = at + uint(r) / 8u * next + uint(r) % 8u;
#if FORMAT == 3 || FORMAT == 4
            uint pair = b < 4u ? (b < 2u ? headers[r].x : headers[r].y) : (b < 6u ? headers[r].z : headers[r].w);
            // The float16 scale as a float times 2^-112, exact for all but infinities.
            float scale = uintBitsToFloat(uint(int((b & 1u) == 0u ? pair << 16 : pair) >> 3) & 0x8fffe000u);
#endif
#if INT8
            for (int v = 0; v < VECTORS; ++v) totals[r][v] += float(all[r][v] >> 16) * (scale * uintBitsToFloat(more[v].y));
#else
            vec4 a[VECTORS];
            for (int v = 0; v < VECTORS; ++v) a[v] = vec4(0.0);
            // A field meets all tokens at once: then it stays in its register.
#define STEP(j, four) { vec4 f = four; for (int v = 0; v < VECTORS; ++v) a[v] += f * x[v * 8 + j]; }
#if FORMAT == 1
            for (int j = 0; j < 4; ++j) {
                uvec4 q = w_load4(row_at + 8u * (4u * b + uint(j)));
                STEP(2 * j, uintBitsToFloat(uvec4(ivec4(q << 16) >> 3) & 0x8fffe000u))
                STEP(2 * j + 1, uintBitsToFloat(uvec4(ivec4(q) >> 3) & 0x8fffe000u))
            }
            for (int v = 0; v < VECTORS; ++v) totals[r][v] += ACROSS(a[v]);
#elif FORMAT == 3
            for (int h = 0; h < 2; ++h) {
                uvec4 q = w_load4(row_at + 8u * (1u + 2u * b + uint(h)));
                STEP(4 * h, vec4(q & 0xffu))
                STEP(4 * h + 1, vec4(q & 0xff00u))
                STEP(4 * h + 2, vec4(q & 0xff0000u))
                STEP(4 * h + 3, vec4(ivec4(q & 0xff000000u)))
            }
            for (int v = 0; v < VECTORS; ++v) totals[r][v] += (ACROSS(a[v]) - less[v]) * scale;
#elif FORMAT == 4
            uvec4 q = w_load4(row_at + 8u * (1u + b));
            STEP(0, vec4(q & 0xfu))
            STEP(1, vec4(q & 0xf0u))
            STEP(2, vec4(q & 0xf00u))
            STEP(3, vec4(q & 0xf000u))
            STEP(4, vec4(q & 0xf0000u))
            STEP(5, vec4(q & 0xf00000u))
            STEP(6, vec4(ivec4(q & 0xf000000u)))
            STEP(7, vec4(ivec4(q & 0xf0000000u)))
            for (int v = 0; v < VECTORS; ++v) totals[r][v] += (ACROSS(a[v]) - less[v]) * scale;
#else
            vec4 number[8];
            vec3 s = vec3(1.0, 1.0, 0.0);
            packed_block(row_at, b, number, s);
            for (int j = 0; j < 4; ++j) STEP(j, number[j] * s.x)
            for (int j = 4; j < 8; ++j) STEP(j, number[j] * s.y)
            for (int v = 0; v < VECTORS; ++v) totals[r][v] += ACROSS(a[v]) - s.z * less[v];
#endif
#endif
        }
    }
}
for (int v = 0; v < VECTORS; ++v)
    if (t0 + 8u * uint(v) < tokens)
        for (int r = 0; r < ROWS; ++r)
            if (n0 + uint(r) < rows)
#if FORMAT == 1 || FORMAT == 3 || FORMAT == 4
                y[(t0 + 8u * uint(v)) * y_row + first + n0 + uint(r)] = totals[r][v] * 4096.0;
#else
                y[(t0 + 8u * uint(v)) * y_row + first + n0 + uint(r)] = totals[r][v];
#endif
