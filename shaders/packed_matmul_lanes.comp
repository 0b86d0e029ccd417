#include "include/packed.glsl"
// y[part][n] = sum_k x[k] w[n][k] of a packed w and one token, where k runs over one chunk of its columns: for processors
// whose eight lanes are a vector unit's. A lane is a row. The chunk's part of x is read once and stands in registers, or
// on the stack, as broadcast vectors while the invocation walks over its tiles: a multiplication takes it from there at
// no cost. Fields are converted where they stand in their word; x is scaled instead (by powers of two, exactly), and what
// the format subtracts from each number is subtracted from the sum.
uint part = first_part + group_id.y, begin = group_id.x * tiles_each, end = min(begin + tiles_each, tiles);
vec4 x[BLOCKS * 8];
float bias[BLOCKS];
for (int b = 0; b < BLOCKS; ++b) {
    vec4 total = vec4(0.0);
    for (int j = 0; j < 8; ++j) {
        uint at = part * 64u + uint(b * 8 + j);
        vec4 v = at * 4u < xs_row ? xs_load4(0u, at) : vec4(0.0);
#if FORMAT == 1
        x[b * 8 + j] = v * 1.2676506002282294e30;
#elif FORMAT == 3
        const float unit[4] = float[](1.0, 0.00390625, 0.0000152587890625, 5.9604644775390625e-8);
        if (j % 4 < 3) total += v;
        x[b * 8 + j] = v * unit[j % 4];
#elif FORMAT == 4
        const float unit[8] = float[](1.0, 0.0625, 0.00390625, 0.000244140625, 0.0000152587890625, 9.5367431640625e-7,
                                      5.9604644775390625e-8, 3.7252902984619141e-9);
        if (j < 7) total += v;
        x[b * 8 + j] = v * unit[j];
#else
        total += v;
        x[b * 8 + j] = v;
#endif
    }
    bias[b] = dot(total, vec4(1.0)) * (FORMAT == 3 ? -128.0 : FORMAT == 4 ? -8.0 : 1.0);
}
uint texel = first_texel + group_id.y * chunk_texels + begin * tile_texels + local_id, row = begin * 8u + local_id;
float kept = 0.0;
for (uint tile = begin; tile < end; ++tile) {
    float sum = 0.0;
#define X(b, j) x[(b) * 8 + (j)]
#define ACROSS(a) ((a.x + a.y) + (a.z + a.w))
#if FORMAT == 0
#define BLOCK(b) for (int j = 0; j < 8; ++j) sum += dot(uintBitsToFloat(w_load4(texel + 8u * uint(8 * (b) + j))), X(b, j));
#elif FORMAT == 1 || FORMAT == 2
#if FORMAT == 1  // as floats these are 2^-112 times the numbers; x has 2^100 of it
#define LOW(q) uintBitsToFloat(uvec4(ivec4((q) << 16) >> 3) & 0x8fffe000u)
#define HIGH(q) uintBitsToFloat(uvec4(ivec4(q) >> 3) & 0x8fffe000u)
#else
#define LOW(q) uintBitsToFloat((q) << 16)
#define HIGH(q) uintBitsToFloat((q) & 0xffff0000u)
#endif
#define BLOCK(b) { vec4 a = vec4(0.0); \
        for (int j = 0; j < 4; ++j) { \
            uvec4 q = w_load4(texel + 8u * uint(4 * (b) + j)); \
            a += LOW(q) * X(b, 2 * j); \
            a += HIGH(q) * X(b, 2 * j + 1); \
        } \
        sum += ACROSS(a); }
#elif FORMAT == 3 || FORMAT == 4
    uvec4 header = w_load4(texel);
    // The float16 in the upper half, exact for all but infinities.
#define SCALE(b) (uintBitsToFloat(uint(int((b) % 2 == 0 ? header[(b) / 2] << 16 : header[(b) / 2]) >> 3) & 0x8fffe000u) * 5.192296858534828e33)
#if FORMAT == 3
#define BLOCK(b) { vec4 a = vec4(0.0); \
        for (int h = 0; h < 2; ++h) { \
            uvec4 q = w_load4(texel + 8u * uint(1 + 2 * (b) + h)); \
            a += vec4(q & 0xffu) * X(b, 4 * h); \
            a += vec4(q & 0xff00u) * X(b, 4 * h + 1); \
            a += vec4(q & 0xff0000u) * X(b, 4 * h + 2); \
            a += vec4(ivec4(q & 0xff000000u)) * X(b, 4 * h + 3); \
        } \
        sum += (ACROSS(a) + bias[b]) * SCALE(b); }
#else
#define BLOCK(b) { uvec4 q = w_load4(texel + 8u * uint(1 + (b))); \
        vec4 a = vec4(q & 0xfu) * X(b, 0); \
        a += vec4(q & 0xf0u) * X(b, 1); \
        a += vec4(q & 0xf00u) * X(b, 2); \
        a += vec4(q & 0xf000u) * X(b, 3); \
        a += vec4(q & 0xf0000u) * X(b, 4); \
        a += vec4(q & 0xf00000u) * X(b, 5); \
        a += vec4(ivec4(q & 0xf000000u)) * X(b, 6); \
        a += vec4(ivec4(q & 0xf0000000u)) * X(b, 7); \
        sum += (ACROSS(a) + bias[b]) * SCALE(b); }
#endif
#else
#define BLOCK(b) { vec4 v[8]; vec3 s; packed_block(texel, uint(b), v, s); \
        vec4 low = v[0] * X(b, 0) + v[1] * X(b, 1) + v[2] * X(b, 2) + v[3] * X(b, 3); \
        vec4 high = v[4] * X(b, 4) + v[5] * X(b, 5) + v[6] * X(b, 6) + v[7] * X(b, 7); \
        sum += s.x * ACROSS(low) + s.y * ACROSS(high) - s.z * bias[b]; }
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
#if FORMAT == 1
    sum *= 4096.0;
#endif
    // A second use: else the sum would be computed lane by lane in the loop that stores it.
    kept += sum;
    if (row < rows) y[part * y_row + first + row] = sum;
    texel += tile_texels;
    row += 8u;
}
if (kept == 1.0e38 && tiles == 0u) y[0] = kept;
