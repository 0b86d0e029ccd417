#include "include/exp_weight.glsl"
// The largest logit of each block and the sum of exp(x - largest), one block of CHUNK * chunks * 4 an invocation; the
// largest is infinite where a logit is not finite. Those from `count` on do not exist.
uint block = flat_id;
if (block >= blocks) return;
const float LOWEST = -3.4028235e38;
float top = LOWEST, sum = 0.0;
uint magnitude = 0u;
uint c = 0u;
do {  // llvmpipe goes through the body of any other loop once more
    vec4 v[CHUNK];
    vec4 most = vec4(LOWEST);
    for (uint t = 0u; t < uint(CHUNK); ++t) {
        uint i = (block * chunks + c) * uint(CHUNK) + t;
        v[t] = mix(vec4(LOWEST), x_load4(min(i, (x_size - 1u) / 4u)), lessThan(i * 4u + uvec4(0u, 1u, 2u, 3u), uvec4(count)));
        uvec4 bits = floatBitsToUint(v[t]) & 0x7fffffffu;
        magnitude = max(magnitude, max(max(bits.x, bits.y), max(bits.z, bits.w)));
        most = max(most, v[t]);
    }
    float before = top;
    top = max(top, max(max(most.x, most.y), max(most.z, most.w)));
    vec4 part = vec4(0.0);
    for (uint t = 0u; t < uint(CHUNK); ++t)
        for (uint e = 0u; e < 4u; ++e) part[e] += exp_weight(v[t][e] - top);
    sum = sum * exp_weight(before - top) + (part.x + part.y) + (part.z + part.w);
} while (++c < chunks);
maxima[block] = magnitude < 0x7f800000u ? top : uintBitsToFloat(0x7f800000u);
sums[block] = sum;
