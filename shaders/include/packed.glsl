// Numbers of a packed matrix (gpu/packed.h). t: the row's first texel in a chunk; texel row i is 8 i texels on.
// A field at bits s.. of a word, put beneath the exponent of 2^23, is the float 2^23 + field 2^s: exact, and without a
// conversion, which GPUs do at a quarter of their speed. `less` is what the format subtracts from the field.
#define FIELD4(q, mask, unit, less) (uintBitsToFloat(((q) & (mask)) | 0x4b000000u) * (unit) - (8388608.0 * (unit) + (less)))
// Eights of nibbles: v[j] is nibble j of the four words.
#define NIBBLES(q, v, less) \
    v[0] = FIELD4(q, 0xfu, 1.0, less); \
    v[1] = FIELD4(q, 0xf0u, 0.0625, less); \
    v[2] = FIELD4(q, 0xf00u, 0.00390625, less); \
    v[3] = FIELD4(q, 0xf000u, 0.000244140625, less); \
    v[4] = FIELD4(q, 0xf0000u, 0.0000152587890625, less); \
    v[5] = FIELD4((q) >> 12, 0xf00u, 0.00390625, less); \
    v[6] = FIELD4((q) >> 12, 0xf000u, 0.000244140625, less); \
    v[7] = FIELD4((q) >> 12, 0xf0000u, 0.0000152587890625, less);

float half_float(uint low) { return unpackHalf2x16(low).x; }

// Scale and minimum of block b of q4_k and q5_k, six bits each, of a header.
uvec2 six_bits(uvec4 header, uint b) {
    uint shift = 8u * (b & 3u), low = header.y >> shift, min_low = header.z >> shift, high = header.w >> shift;
    if (b < 4u) return uvec2(low, min_low) & 63u;
    return uvec2((high & 15u) | (low >> 2 & 48u), (high >> 4 & 15u) | (min_low >> 2 & 48u));
}

// What a block is made of, as it stands in memory: to be asked for long before it is needed.
#if FORMAT == 0
#define RAW 8
#elif FORMAT == 1 || FORMAT == 2
#define RAW 4
#elif FORMAT == 3 || FORMAT == 6
#define RAW 2
#else
#define RAW 1
#endif

void packed_load(uint t, uint b, out uvec4 raw[RAW], out uvec4 extra) {
    extra = uvec4(0u);
#if FORMAT < 3
    for (int j = 0; j < RAW; ++j) raw[j] = w_load4(t + 8u * (uint(RAW) * b + uint(j)));
#elif FORMAT == 3 || FORMAT == 4
    extra.x = w[t * 4u + (b >> 1)] >> (16u * (b & 1u));
    for (int j = 0; j < RAW; ++j) raw[j] = w_load4(t + 8u * (1u + uint(RAW) * b + uint(j)));
#elif FORMAT == 5
    extra = w_load4(t);
    raw[0] = w_load4(t + 8u * (1u + b));
#elif FORMAT == 6
    extra = w_load4(t);
    raw[0] = w_load4(t + 8u * (3u + b));
    raw[1] = uvec4(w[(t + 8u * (1u + (b >> 2))) * 4u + (b & 3u)]);
#elif FORMAT == 7
    uint high = (t + 8u * (10u + (b >> 1))) * 4u + 2u * (b & 1u);
    extra = uvec4(w[t * 4u + (b >> 1)], w[(t + 8u) * 4u], w[high], w[high + 1u]);
    raw[0] = w_load4(t + 8u * (2u + b));
#endif
}

// The 32 numbers of block b: those of v[0..3] times s.x, of v[4..7] times s.y, less s.z.
void packed_numbers(uvec4 raw[RAW], uvec4 extra, uint b, out vec4 v[8], out vec3 s) {
    s = vec3(1.0, 1.0, 0.0);
#if FORMAT == 0
    for (int j = 0; j < 8; ++j) v[j] = uintBitsToFloat(raw[j]);
#elif FORMAT == 1
    for (int j = 0; j < 4; ++j) {
        vec2 x = unpackHalf2x16(raw[j].x), y = unpackHalf2x16(raw[j].y), z = unpackHalf2x16(raw[j].z), u = unpackHalf2x16(raw[j].w);
        v[2 * j] = vec4(x.x, y.x, z.x, u.x);
        v[2 * j + 1] = vec4(x.y, y.y, z.y, u.y);
    }
#elif FORMAT == 2
    for (int j = 0; j < 4; ++j) {
        v[2 * j] = uintBitsToFloat(raw[j] << 16);
        v[2 * j + 1] = uintBitsToFloat(raw[j] & 0xffff0000u);
    }
#elif FORMAT == 3
    for (int j = 0; j < 2; ++j) {
        uvec4 q = raw[j] ^ 0x80000000u, high = q >> 16;
        v[4 * j] = FIELD4(q, 0xffu, 1.0, 128.0);
        v[4 * j + 1] = FIELD4(q, 0xff00u, 0.00390625, 128.0);
        v[4 * j + 2] = FIELD4(high, 0xffu, 1.0, 128.0);
        v[4 * j + 3] = FIELD4(high, 0xff00u, 0.00390625, 128.0);
    }
    s.xy = vec2(half_float(extra.x));
#elif FORMAT == 4
    uvec4 q = raw[0] ^ 0x80000000u;
    NIBBLES(q, v, 8.0)
    s.xy = vec2(half_float(extra.x));
#elif FORMAT == 5 || FORMAT == 6
    NIBBLES(raw[0], v, 0.0)
#if FORMAT == 6
    for (int j = 0; j < 8; ++j) v[j] += vec4((raw[1] >> (4u * uint(j) + uvec4(0u, 1u, 2u, 3u))) & 1u) * 16.0;
#endif
    s = (unpackHalf2x16(extra.x) * vec2(six_bits(extra, b))).xxy;
#elif FORMAT == 7
    NIBBLES(raw[0], v, 32.0)
    for (int j = 0; j < 8; ++j)
        v[j] += vec4((uvec4(j < 4 ? extra.z : extra.w) >> (8u * (uint(j) & 3u) + uvec4(0u, 2u, 4u, 6u))) & 3u) * 16.0;
    int scales = int(extra.x) >> (16u * (b & 1u));
    s.xy = vec2((ivec2(scales << 24, scales << 16)) >> 24) * half_float(extra.y);
#endif
}

void packed_block(uint t, uint b, out vec4 v[8], out vec3 s) {
    uvec4 raw[RAW], extra;
    packed_load(t, b, raw, extra);
    packed_numbers(raw, extra, b, v, s);
}
