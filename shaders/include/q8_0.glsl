// ggml's q8_0: thirty-two numbers as a float16 scale, their largest magnitude / 127, and bytes x / scale rounded to
// nearest, halves away from zero. The bytes are stored with 128 added, the scale as a float32 of the half's value.

// a / b rounded to nearest, where a driver's division may be 2.5 ulp off (GLSL ES 3.20, 4.7.1): what the quotient
// leaves, exact by Dekker's product, is divided once more.
float q8_divide(float a, float b) {
    float q = a / b;
    if (!(abs(q) > 1e-30 && abs(q) < 1e30 && abs(a) > 1e-20)) return q;
    precise float q_split = 4097.0 * q, q_high = q_split - (q_split - q), q_low = q - q_high;
    precise float b_split = 4097.0 * b, b_high = b_split - (b_split - b), b_low = b - b_high;
    precise float product = q * b;
    precise float error = ((q_high * b_high - product) + q_high * b_low + q_low * b_high) + q_low * b_low;
    precise float rest = (a - product) - error;
    return q + rest / b;
}

// The number of a float16 nearest to x >= 0, halves to even, as float32.
float q8_to_half(float x) {
    uint bits = floatBitsToUint(x);
    if (bits >= 0x477ff000u) return uintBitsToFloat(0x7f800000u);
    if (bits < 0x38800000u) return roundEven(x * 16777216.0) * 5.9604644775390625e-08;
    return uintBitsToFloat((bits + 0xfffu + ((bits >> 13) & 1u)) & 0xffffe000u);
}

// {largest magnitude / 127, its inverse or 0}.
vec2 q8_scale(float largest) {
    float scale = q8_divide(largest, 127.0);
    return vec2(scale, scale > 0.0 ? q8_divide(1.0, scale) : 0.0);
}

uint q8_word(vec4 x, float inverse) {
    vec4 scaled = abs(x * inverse), whole = floor(scaled);
    whole += vec4(greaterThanEqual(scaled - whole, vec4(0.5)));
    uvec4 bytes = uvec4(sign(x) * whole + 128.0);
    return bytes.x | bytes.y << 8 | bytes.z << 16 | bytes.w << 24;
}

uvec4 q8_words(vec4 a, vec4 b, vec4 c, vec4 d, float inverse) {
    return uvec4(q8_word(a, inverse), q8_word(b, inverse), q8_word(c, inverse), q8_word(d, inverse));
}
