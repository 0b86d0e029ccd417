#include "include/packed.glsl"
// y[part][t][n] = sum_k x[t][k] w[n][k] of a packed w, where k runs over one chunk of its columns: for processors whose
// eight lanes are a vector unit's. A lane is a row. The chunk's part of x is read once and stands in registers, or on
// the stack, as broadcast vectors while the invocation walks over its tiles: a multiplication takes it from there at no
// cost. Fields are converted where they stand in their word; x is scaled instead (by powers of two, exactly), and what
// the format subtracts from each number is subtracted from the sum.
const uint block_texels = 8u * uint(PER_BLOCK);
uint part = first_part + group_id.y, t0 = group_id.z * uint(TOKENS);
uint begin = group_id.x * tiles_each, end = min(begin + tiles_each, tiles);
vec4 x[TOKENS * BLOCKS * 8];
float bias[TOKENS * BLOCKS];
for (int t = 0; t < TOKENS; ++t)
    for (int b = 0; b < BLOCKS; ++b) {
        vec4 total = vec4(0.0);
        for (int j = 0; j < 8; ++j) {
            uint at = part * uint(CHUNK_BLOCKS * 8) + uint(b * 8 + j);
            vec4 v = at * 4u < xs_row ? xs_load4(min(t0 + uint(t), tokens - 1u), at) : vec4(0.0);
#if FORMAT == 1
            x[(t * BLOCKS + b) * 8 + j] = v * 1.2676506002282294e30;
#elif FORMAT == 3
            if (j % 4 < 3) total += v;
            x[(t * BLOCKS + b) * 8 + j] = v * (j % 4 == 0 ? 1.0 : j % 4 == 1 ? 0.00390625 : j % 4 == 2 ? 0.0000152587890625 : 5.9604644775390625e-8);
#elif FORMAT == 4
            if (j < 7) total += v;
            const float unit[8] = float[](1.0, 0.0625, 0.00390625, 0.000244140625, 0.0000152587890625, 9.5367431640625e-7,
                                          5.9604644775390625e-8, 3.7252902984619141e-9);
            x[(t * BLOCKS + b) * 8 + j] = v * unit[j];
#else
            total += v;
            x[(t * BLOCKS + b) * 8 + j] = v;
#endif
        }
        bias[t * BLOCKS + b] = dot(total, vec4(1.0)) * (FORMAT == 3 ? -128.0 : FORMAT == 4 ? -8.0 : 1.0);
    }
uint texel = first_texel + group_id.y * chunk_texels + begin * tile_texels + local_id;
uint row = begin * 8u + local_id;
float kept = 0.0;
for (uint tile = begin; tile < end; ++tile) {
    float sums[TOKENS];
    for (int t = 0; t < TOKENS; ++t) sums[t] = 0.0;
#define X(t, b, j) x[((t) * BLOCKS + (b)) * 8 + (j)]
#define EACH_TOKEN(code) for (int t = 0; t < TOKENS; ++t) { code }
#if FORMAT == 0
#define BLOCK(b) for (int j = 0; j < 8; ++j) { vec4 v = uintBitsToFloat(w_load4(texel + 8u * uint(8 * (b) + j))); \
        EACH_TOKEN(sums[t] += dot(v, X(t, b, j));) }
#elif FORMAT == 1
#define BLOCK(b) { vec4 a[TOKENS]; EACH_TOKEN(a[t] = vec4(0.0);) \
        for (int j = 0; j < 4; ++j) { uvec4 q = w_load4(texel + 8u * uint(4 * (b) + j)); \
            vec4 low = uintBitsToFloat(uvec4(ivec4(q << 16) >> 3) & 0x8fffe000u), high = uintBitsToFloat(uvec4(ivec4(q) >> 3) & 0x8fffe000u); \
            EACH_TOKEN(a[t] += low * X(t, b, 2 * j); a[t] += high * X(t, b, 2 * j + 1);) } \
        EACH_TOKEN(sums[t] += (a[t].x + a[t].y) + (a[t].z + a[t].w);) }
#elif FORMAT == 2
#define BLOCK(b) { vec4 a[TOKENS]; EACH_TOKEN(a[t] = vec4(0.0);) \
        for (int j = 0; j < 4; ++j) { uvec4 q = w_load4(texel + 8u * uint(4 * (b) + j)); \
            vec4 low = uintBitsToFloat(q << 16), high = uintBitsToFloat(q & 0xffff0000u); \
            EACH_TOKEN(a[t] += low * X(t, b, 2 * j); a[t] += high * X(t, b, 2 * j + 1);) } \
        EACH_TOKEN(sums[t] += (a[t].x + a[t].y) + (a[t].z + a[t].w);) }
#elif FORMAT == 3 || FORMAT == 4
    uvec4 header = w_load4(texel);
    // The float16 in the upper half, exact for all but infinities.
#define SCALE(b) (uintBitsToFloat(uint(int((b) % 2 == 0 ? header[(b) / 2] << 16 : header[(b) / 2]) >> 3) & 0x8fffe000u) * 5.192296858534828e33)
#if FORMAT == 3
#define BLOCK(b) { vec4 a[TOKENS]; EACH_TOKEN(a[t] = vec4(0.0);) \
        for (int h = 0; h < 2; ++h) { uvec4 q = w_load4(texel + 8u * uint(1 + 2 * (b) + h)); \
            vec4 v0 = vec4(q & 0xffu), v1 = vec4(q & 0xff00u), v2 = vec4(q & 0xff0000u), v3 = vec4(ivec4(q & 0xff000000u)); \
            EACH_TOKEN(a[t] += v0 * X(t, b, 4 * h); a[t] += v1 * X(t, b, 4 * h + 1); a[t] += v2 * X(t, b, 4 * h + 2); a[t] += v3 * X(t, b, 4 * h + 3);) } \
        EACH_TOKEN(sums[t] += (((a[t].x + a[t].y) + (a[t].z + a[t].w)) + bias[t * BLOCKS + (b)]) * SCALE(b);) }
#else
#define BLOCK(b) { uvec4 q = w_load4(texel + 8u * uint(1 + (b))); vec4 v, a[TOKENS]; \
        v = vec4(q & 0xfu); EACH_TOKEN(a[t] = v * X(t, b, 0);) \
        v = vec4(q & 0xf0u); EACH_TOKEN(a[t] += v * X(t, b, 1);) \
        v = vec4(q & 0xf00u); EACH_TOKEN(a[t] += v * X(t, b, 2);) \
        v = vec4(q & 0xf000u); EACH_TOKEN(a[t] += v * X(t, b, 3);) \
        v = vec4(q & 0xf0000u); EACH_TOKEN(a[t] += v * X(t, b, 4);) \
        v = vec4(q & 0xf00000u); EACH_TOKEN(a[t] += v * X(t, b, 5);) \
        v = vec4(ivec4(q & 0xf000000u)); EACH_TOKEN(a[t] += v * X(t, b, 6);) \
        v = vec4(ivec4(q & 0xf0000000u)); EACH_TOKEN(a[t] += v * X(t, b, 7);) \
        EACH_TOKEN(sums[t] += (((a[t].x + a[t].y) + (a[t].z + a[t].w)) + bias[t * BLOCKS + (b)]) * SCALE(b);) }
#endif
#else
#define BLOCK(b) { vec4 v[8]; vec3 s; packed_block(texel, uint(b), v, s); \
        EACH_TOKEN(vec4 low = v[0] * X(t, b, 0) + v[1] * X(t, b, 1) + v[2] * X(t, b, 2) + v[3] * X(t, b, 3); \
                   vec4 high = v[4] * X(t, b, 4) + v[5] * X(t, b, 5) + v[6] * X(t, b, 6) + v[7] * X(t, b, 7); \
                   sums[t] += s.x * dot(low, vec4(1.0)) + s.y * dot(high, vec4(1.0)) - s.z * bias[t * BLOCKS + (b)];) }
#endif
    BLOCK(0)
#if BLOCKS > 1
    BLOCK(1)
#endif
#if BLOCKS > 2
    BLOCK(2)
#endif
#if BLOCKS > 3
    BLOCK(3)
#endif
#if BLOCKS > 4
    BLOCK(4)
#endif
#if BLOCKS > 5
    BLOCK(5)
#endif
#if BLOCKS > 6
    BLOCK(6)
#endif
#if BLOCKS > 7
    BLOCK(7)
#endif
    for (int t = 0; t < TOKENS; ++t) {
        float sum = FORMAT == 1 ? sums[t] * 4096.0 : sums[t];
        // A second use: else the sums would be computed lane by lane in the loop that stores them.
        kept += sum;
        if (row < rows && t0 + uint(t) < tokens) y[(part * tokens + t0 + uint(t)) * y_row + first + row] = sum;
    }
    texel += tile_texels;
    row += 8u;
}
if (kept == 1.0e38 && tiles == 0u) y[0] = kept;
