// Sixteen bytes of a KV cache as floats: x[0] of an f32 cache, x[0..1] of 16 bits, x[0..3] of q8_0, whose bytes are
// 128 more than what they stand for.
#define KV_F32 0
#define KV_F16 1
#define KV_BF16 2
#define KV_Q8_0 3

vec4 kv_half4(uvec2 w) {
#ifdef HALVES_BY_BITS
    // Right for all halves but infinities and NaN, in a fifth of the instructions that llvmpipe's unpackHalf2x16 takes:
    // the half's exponent and mantissa where a float's are, times 2^112.
    ivec4 bits = ivec4(uvec4(w.x << 16, w.x, w.y << 16, w.y));
    return uintBitsToFloat(uvec4(bits >> 3) & 0x8fffe000u) * 5.192296858534828e33;
#else
    return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
#endif
}

vec4 kv_brain4(uvec2 w) {
    return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
}

vec4 kv_bytes4(uint w, float scale) {
    return vec4(w & 255u, (w >> 8) & 255u, (w >> 16) & 255u, w >> 24) * scale - 128.0 * scale;
}

void kv_values(int type, uvec4 texel, float scale, out vec4 x[4]) {
    x[0] = x[1] = x[2] = x[3] = vec4(0.0);
    if (type == KV_F32) {
        x[0] = uintBitsToFloat(texel);
    } else if (type == KV_F16) {
        x[0] = kv_half4(texel.xy);
        x[1] = kv_half4(texel.zw);
    } else if (type == KV_BF16) {
        x[0] = kv_brain4(texel.xy);
        x[1] = kv_brain4(texel.zw);
    } else {
        x[0] = kv_bytes4(texel.x, scale);
        x[1] = kv_bytes4(texel.y, scale);
        x[2] = kv_bytes4(texel.z, scale);
        x[3] = kv_bytes4(texel.w, scale);
    }
}

// Part `part` of them: four values.
vec4 kv_values4(int type, uvec4 texel, uint part, float scale) {
    if (type == KV_F32) return uintBitsToFloat(texel);
    if (type == KV_F16) return kv_half4(part == 0u ? texel.xy : texel.zw);
    if (type == KV_BF16) return kv_brain4(part == 0u ? texel.xy : texel.zw);
    return kv_bytes4(texel[part], scale);
}
