#include "include/activations.glsl"
// Of x [T, K] what packed_matmul_tokens reads: y[block][step][token], tokens side by side. (Row-major, tokens would be a
// power of two apart, on the same lines of a cache.) A token's block of 32 columns has STEPS texels: see activations().
if (flat_id >= count) return;
uint t = flat_id % tokens, block = flat_id / tokens, at = block * uint(STEPS) * tokens + t;
vec4 v[8];
for (int j = 0; j < 8; ++j) {
    uint four = block * 8u + uint(j);
    v[j] = four * 4u < x_row ? x_load4(t, four) : vec4(0.0);  // w has zeros there, which times no number may be NaN
}
#if INT8
ivec4 pairs[4];
int start;
float unit;
activations(v, pairs, start, unit);
for (int j = 0; j < 4; ++j) y_store4(at + uint(j) * tokens, uvec4(pairs[j]));
y_store4(at + 4u * tokens, uvec4(uint(start), floatBitsToUint(unit), 0u, 0u));
#else
vec4 scaled[8];
float less;
activations(v, scaled, less);
for (int j = 0; j < 8; ++j) y_store4(at + uint(j) * tokens, scaled[j]);
#if STEPS > 8
y_store4(at + 8u * tokens, vec4(less));
#endif
#endif
