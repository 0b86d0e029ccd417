// 32 packed weights times x in half precision, two at a time. Fields of both halves of a word, put beneath the exponent
// of a half-float, are that power of two and the field in units of the last place: subtracting what the format does is
// exact. The units keep sums of eight products below the largest x, so none overflows; `unit` undoes them.
#define HALF_PAIR(q, mask, magic, less) (unpackFloat2x16(((q) & (mask)) ^ (magic)) - f16vec2(float16_t(less)))

#if FORMAT == 3
#define RAW 2
const float unit = 1024.0;
#else
#define RAW 1
const float unit = 64.0;
#endif

void packed_half_load(uint t, uint b, out uvec4 raw[RAW], out float scale) {
    scale = unpackHalf2x16(w[t * 4u + (b >> 1)] >> (16u * (b & 1u))).x * unit;
    for (int j = 0; j < RAW; ++j) raw[j] = w_load4(t + 8u * (1u + uint(RAW) * b + uint(j)));
}

// Neighbours (x[2i], x[2i + 1]) to the pairs whose weights share a word: 16 apart, or 8 where weights are bytes. By hand:
// drivers keep arrays in memory that loops index.
#define HALF_TWO(n, pairs, to, at, other) \
    pairs[to] = f16vec2(n[at].x, n[other].x); \
    pairs[to + 1] = f16vec2(n[at].y, n[other].y);
#if FORMAT == 3
#define HALF_PAIRS(n, pairs) \
    HALF_TWO(n, pairs, 0, 0, 4) HALF_TWO(n, pairs, 2, 1, 5) HALF_TWO(n, pairs, 4, 2, 6) HALF_TWO(n, pairs, 6, 3, 7) \
    HALF_TWO(n, pairs, 8, 8, 12) HALF_TWO(n, pairs, 10, 9, 13) HALF_TWO(n, pairs, 12, 10, 14) HALF_TWO(n, pairs, 14, 11, 15)
#else
#define HALF_PAIRS(n, pairs) \
    HALF_TWO(n, pairs, 0, 0, 8) HALF_TWO(n, pairs, 2, 1, 9) HALF_TWO(n, pairs, 4, 2, 10) HALF_TWO(n, pairs, 6, 3, 11) \
    HALF_TWO(n, pairs, 8, 4, 12) HALF_TWO(n, pairs, 10, 5, 13) HALF_TWO(n, pairs, 12, 6, 14) HALF_TWO(n, pairs, 14, 7, 15)
#endif

#define HALF_NIBBLES(q, x0, x1, x2, x3, a, b) \
    a = HALF_FMA(HALF_PAIR(q, 0x000f000fu, 0x4c004c00u, 16.125), x0, a); \
    b = HALF_FMA(HALF_PAIR(q, 0x00f000f0u, 0x3c003c00u, 1.125), x1, b); \
    a = HALF_FMA(HALF_PAIR((q) >> 8, 0x000f000fu, 0x4c004c00u, 16.125), x2, a); \
    b = HALF_FMA(HALF_PAIR((q) >> 8, 0x00f000f0u, 0x3c803c00u, 1.125), x3, b);
#define HALF_BYTES(q, x0, x1, a, b) \
    a = HALF_FMA(HALF_PAIR(q, 0x00ff00ffu, 0x3c003c00u, 1.125), x0, a); \
    b = HALF_FMA(HALF_PAIR((q) >> 8, 0x00ff00ffu, 0x3c803c00u, 1.125), x1, b);

float half_dot(uvec4 raw[RAW], f16vec2 p[16]) {
    f16vec2 a = f16vec2(float16_t(0.0)), b = a, c = a, d = a;
#if FORMAT == 3
    HALF_BYTES(raw[0].x, p[0], p[4], a, b)
    HALF_BYTES(raw[0].y, p[1], p[5], c, d)
    HALF_BYTES(raw[0].z, p[2], p[6], a, b)
    HALF_BYTES(raw[0].w, p[3], p[7], c, d)
    HALF_BYTES(raw[1].x, p[8], p[12], a, b)
    HALF_BYTES(raw[1].y, p[9], p[13], c, d)
    HALF_BYTES(raw[1].z, p[10], p[14], a, b)
    HALF_BYTES(raw[1].w, p[11], p[15], c, d)
#else
    HALF_NIBBLES(raw[0].x, p[0], p[4], p[8], p[12], a, b)
    HALF_NIBBLES(raw[0].y, p[1], p[5], p[9], p[13], c, d)
    HALF_NIBBLES(raw[0].z, p[2], p[6], p[10], p[14], a, b)
    HALF_NIBBLES(raw[0].w, p[3], p[7], p[11], p[15], c, d)
#endif
    vec2 both = vec2(a + b) + vec2(c + d);
    return both.x + both.y;
}
