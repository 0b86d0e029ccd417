// Integers in the order of floats: -0 is 0.
ivec4 ordered(vec4 x) {
    ivec4 bits = floatBitsToInt(x);
    return mix(bits ^ ((bits >> 31) & 0x7fffffff), ivec4(0), equal(x, vec4(0.0)));
}

// Which of four from 4 * at on are below `blocks`.
bvec4 there(uint at) { return lessThan(at * 4u + uvec4(0u, 1u, 2u, 3u), uvec4(blocks)); }
