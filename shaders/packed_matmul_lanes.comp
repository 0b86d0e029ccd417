#include "include/packed.glsl"
#include "include/activations.glsl"
// y[part][n] = sum_k x[k] w[n][k] of a packed w and one token, where k runs over CHUNKS chunks of its columns and REST
// blocks after them: for processors whose eight lanes are a vector unit's. A lane is a row. This part of x is read once
// and stands in registers, or on the stack, as broadcast vectors while the invocation walks over its tiles: a
// multiplication takes it from there at no cost.
const int units = 8 * CHUNKS + REST;
uint begin = group_id.x * tiles_each, end = min(begin + tiles_each, tiles);
uint chunk = first_chunk + group_id.y * uint(CHUNKS), part = first_part + group_id.y;
#if INT8
ivec4 x[units * 4];
int start[units];
#else
vec4 x[units * 8];
#endif
float term[units];  // INT8: the unit of x; else what is subtracted
for (int u = 0; u < units; ++u) {
    vec4 v[8];
    for (int j = 0; j < 8; ++j) {
        uint at = chunk * 64u + uint(u * 8 + j);
        v[j] = at * 4u < xs_row ? xs_load4(0u, at) : vec4(0.0);
    }
#if INT8
    ivec4 pairs[4];
    activations(v, pairs, start[u], term[u]);
    for (int j = 0; j < 4; ++j) x[u * 4 + j] = pairs[j];
#else
    vec4 scaled[8];
    activations(v, scaled, term[u]);
    for (int j = 0; j < 8; ++j) x[u * 8 + j] = scaled[j];
#endif
}
uint texel = chunk * chunk_texels + begin * tile_texels + local_id, row = begin * 8u + local_id;
uint rest_texel = (chunk + uint(CHUNKS)) * chunk_texels + begin * rest_texels + local_id;
// What loops read of the parameters: a store might have changed those, for all that LLVM knows, and reading one is a
// gather.
uint count = rows, chunk_step = chunk_texels, tile_step = tile_texels, rest_step = rest_texels;
uint at = part * y_row + first + row;
float kept = 0.0;
// A load's 46 instructions wait for each other, as what computes with it does: so the next one is asked for before.
// A block: b in its chunk, whose first texel is t, u in this part of x.
#define X(u, j) x[(u) * 8 + (j)]
#define ACROSS(a) ((a.x + a.y) + (a.z + a.w))
// The float16 in the upper half, exact for all but infinities: as a float these bits are 2^-112 times its value.
#define HALF(bits) uintBitsToFloat(uint(int(bits) >> 3) & 0x8fffe000u)
#define SCALE(b) HALF((b) % 2 == 0 ? header[(b) / 2] << 16 : header[(b) / 2])
#define HEADER(t)
#if FORMAT == 0
#define BLOCK(t, b, u) for (int j = 0; j < 8; ++j) sum += dot(uintBitsToFloat(w_load4(t + 8u * uint(8 * (b) + j))), X(u, j));
#elif FORMAT == 1 || FORMAT == 2
#if FORMAT == 1  // 2^-112 times the numbers; x has 2^100 of it
#define LOW(q) uintBitsToFloat(uvec4(ivec4((q) << 16) >> 3) & 0x8fffe000u)
#define HIGH(q) uintBitsToFloat(uvec4(ivec4(q) >> 3) & 0x8fffe000u)
#else
#define LOW(q) uintBitsToFloat((q) << 16)
#define HIGH(q) uintBitsToFloat((q) & 0xffff0000u)
#endif
#define ADD(q, u, j) a += LOW(q) * X(u, 2 * (j)); a += HIGH(q) * X(u, 2 * (j) + 1);
#define BLOCK(t, b, u) { vec4 a = vec4(0.0); \
        uvec4 even = w_load4(t + 8u * uint(4 * (b))), odd = w_load4(t + 8u * uint(4 * (b) + 1)); \
        ADD(even, u, 0) \
        even = w_load4(t + 8u * uint(4 * (b) + 2)); \
        ADD(odd, u, 1) \
        odd = w_load4(t + 8u * uint(4 * (b) + 3)); \
        ADD(even, u, 2) \
        ADD(odd, u, 3) \
        sum += ACROSS(a); }
#elif FORMAT == 3 || FORMAT == 4
#undef HEADER
#define HEADER(t) uvec4 header = w_load4(t);
#if FORMAT == 3
#define BLOCK(t, b, u) { vec4 a = vec4(0.0); \
        uvec4 q[2]; \
        for (int h = 0; h < 2; ++h) q[h] = w_load4(t + 8u * uint(1 + 2 * (b) + h)); \
        for (int h = 0; h < 2; ++h) { \
            a += vec4(q[h] & 0xffu) * X(u, 4 * h); \
            a += vec4(q[h] & 0xff00u) * X(u, 4 * h + 1); \
            a += vec4(q[h] & 0xff0000u) * X(u, 4 * h + 2); \
            a += vec4(ivec4(q[h] & 0xff000000u)) * X(u, 4 * h + 3); \
        } \
        sum += (ACROSS(a) - term[u]) * SCALE(b); }
#elif INT8
#define ADD(q, b, u) { \
        ivec4 a = ivec4(q & 0x000f000fu) * x[(u) * 4]; \
        a += ivec4((q >> 4) & 0x000f000fu) * x[(u) * 4 + 1]; \
        a += ivec4((q >> 8) & 0x000f000fu) * x[(u) * 4 + 2]; \
        a += (ivec4(q) >> 12 & int(0xffff000fu)) * x[(u) * 4 + 3]; \
        sum += float((start[u] + ((a.x + a.y) + (a.z + a.w))) >> 16) * (SCALE(b) * term[u]); }
#else
#define ADD(q, b, u) { \
        vec4 a = vec4(q & 0xfu) * X(u, 0); \
        a += vec4(q & 0xf0u) * X(u, 1); \
        a += vec4(q & 0xf00u) * X(u, 2); \
        a += vec4(q & 0xf000u) * X(u, 3); \
        a += vec4(q & 0xf0000u) * X(u, 4); \
        a += vec4(q & 0xf00000u) * X(u, 5); \
        a += vec4(ivec4(q & 0xf000000u)) * X(u, 6); \
        a += vec4(ivec4(q & 0xf0000000u)) * X(u, 7); \
        sum += (ACROSS(a) - term[u]) * SCALE(b); }
#endif
#if FORMAT == 4
#define BLOCK(t, b, u) { uvec4 q = w_load4(t + 8u * uint(1 + (b))); ADD(q, b, u) }
#define FOUR(t, b, u) { \
        uvec4 even = w_load4(t + 8u * uint(1 + (b))), odd = w_load4(t + 8u * uint(2 + (b))); \
        ADD(even, b, u) \
        even = w_load4(t + 8u * uint(3 + (b))); \
        ADD(odd, b + 1, u + 1) \
        odd = w_load4(t + 8u * uint(4 + (b))); \
        ADD(even, b + 2, u + 2) \
        ADD(odd, b + 3, u + 3) }
#endif
#else
#define BLOCK(t, b, u) { vec4 v[8]; vec3 s; packed_block(t, uint(b), v, s); \
        vec4 low = v[0] * X(u, 0) + v[1] * X(u, 1) + v[2] * X(u, 2) + v[3] * X(u, 3); \
        vec4 high = v[4] * X(u, 4) + v[5] * X(u, 5) + v[6] * X(u, 6) + v[7] * X(u, 7); \
        sum += s.x * ACROSS(low) + s.y * ACROSS(high) - s.z * term[u]; }
#endif
#ifndef FOUR
#define FOUR(t, b, u) BLOCK(t, b, u) BLOCK(t, b + 1, u + 1) BLOCK(t, b + 2, u + 2) BLOCK(t, b + 3, u + 3)
#endif
#define CHUNK(c) { uint t = texel + uint(c) * chunk_step; HEADER(t) FOUR(t, 0, 8 * c) FOUR(t, 4, 8 * c + 4) }
for (uint tile = begin; tile < end; ++tile) {
    float sum = 0.0;
#if CHUNKS > 0
    CHUNK(0)
#endif
#if CHUNKS > 1
    CHUNK(1)
#endif
#if CHUNKS > 2
    CHUNK(2)
#endif
#if REST > 0
    HEADER(rest_texel)
#if REST & 4
    FOUR(rest_texel, 0, 8 * CHUNKS)
#endif
#if REST & 2
    BLOCK(rest_texel, (REST & 4), 8 * CHUNKS + (REST & 4))
    BLOCK(rest_texel, (REST & 4) + 1, 8 * CHUNKS + (REST & 4) + 1)
#endif
#if REST & 1
    BLOCK(rest_texel, REST - 1, 8 * CHUNKS + REST - 1)
#endif
    rest_texel += rest_step;
#endif
#if FORMAT == 1 || FORMAT == 3 || FORMAT == 4
    sum *= 4096.0;
#endif
    // A second use: else the sum would be computed lane by lane in the loop that stores it.
    kept += sum;
    if (row < count) y[at] = sum;
    texel += tile_step;
    row += 8u;
    at += 8u;
}
if (kept == 1.0e38 && tiles == 0u) y[0] = kept;
