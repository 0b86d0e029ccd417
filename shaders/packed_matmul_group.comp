#include "include/exp.glsl"
#include "include/packed.glsl"
// y[t][n] = sum_k x[t][k] w[n][k] of a packed w: TILES tiles of eight rows and TOKENS tokens a workgroup. An invocation
// is a row of the tiles and every SLOTS-th block of their columns: lanes of neighbouring rows read neighbouring texels.
// NORM: x is normalised on the way, x / sqrt(mean(x^2) + eps) * norm: the sum of squares comes out beside the products.
// RESIDUAL: what is added to y. GATED: odd tiles are the gate's partners, y = silu(even) * odd (SwiGLU).
uint lane = local_id & 7u, slot = local_id >> 3, tile0 = group_id.x * uint(TILES), t0 = group_id.y * uint(TOKENS);
float sums[TILES * TOKENS], squares[TOKENS];
for (int i = 0; i < TILES * TOKENS; ++i) sums[i] = 0.0;
for (int t = 0; t < TOKENS; ++t) squares[t] = 0.0;
for (uint block = slot; block < blocks; block += uint(SLOTS)) {
    uint chunk = block >> 3, tile_texels = chunk == blocks >> 3 ? last_texels : texels;
    uint base = chunk * tiles * texels + lane;
    vec4 xs[TOKENS * 8];
    for (int t = 0; t < TOKENS; ++t) {
        uint row = min(t0 + uint(t), tokens - 1u);
        for (int j = 0; j < 8; ++j) {
#if WHOLE_BLOCKS
            xs[t * 8 + j] = x_load4(row, block * 8u + uint(j));
#else
            xs[t * 8 + j] = block * 32u + uint(j) * 4u < x_row ? x_load4(row, block * 8u + uint(j)) : vec4(0.0);
#endif
        }
    }
#if NORM
    for (int j = 0; j < 8; ++j) {
#if WHOLE_BLOCKS
        vec4 weight = norm_load4(0u, block * 8u + uint(j));
#else
        vec4 weight = block * 32u + uint(j) * 4u < x_row ? norm_load4(0u, block * 8u + uint(j)) : vec4(0.0);
#endif
        for (int t = 0; t < TOKENS; ++t) {
            squares[t] += dot(xs[t * 8 + j], xs[t * 8 + j]);
            xs[t * 8 + j] *= weight;
        }
    }
#endif
#if HAS_MINIMUM
    float x_sum[TOKENS];
    for (int t = 0; t < TOKENS; ++t) {
        vec4 both = vec4(0.0);
        for (int j = 0; j < 8; ++j) both += xs[t * 8 + j];
        x_sum[t] = dot(both, vec4(1.0));
    }
#endif
    // All tiles are asked for before the first is needed.
    uvec4 raw[TILES][RAW], extra[TILES];
    for (int i = 0; i < TILES; ++i)
        packed_load(base + min(tile0 + uint(i), tiles - 1u) * tile_texels, block & 7u, raw[i], extra[i]);
    for (int i = 0; i < TILES; ++i) {
        vec4 v[8];
        vec3 s;
        packed_numbers(raw[i], extra[i], block & 7u, v, s);
        for (int t = 0; t < TOKENS; ++t) {
            vec4 a = v[0] * xs[t * 8], b = v[4] * xs[t * 8 + 4];
            for (int j = 1; j < 4; ++j) a += v[j] * xs[t * 8 + j];
            for (int j = 5; j < 8; ++j) b += v[j] * xs[t * 8 + j];
#if SCALES == 2
            float sum = s.x * dot(a, vec4(1.0)) + s.y * dot(b, vec4(1.0));
#else
            a += b;
            float sum = s.x * ((a.x + a.y) + (a.z + a.w));
#endif
#if HAS_MINIMUM
            sum -= s.z * x_sum[t];
#endif
            sums[i * TOKENS + t] += sum;
        }
    }
}
for (int i = 0; i < TILES * TOKENS; ++i) partial[uint(i) * LOCAL_SIZE + local_id] = sums[i];
#if NORM
for (int t = 0; t < TOKENS; ++t) partial[uint(TILES * TOKENS + t) * LOCAL_SIZE + local_id] = squares[t];
#endif
barrier();
// Eight slots take the sums of the others: eight lanes that sum them all one by one would be waited for.
const uint left = min(uint(SLOTS), 8u);
if (left < uint(SLOTS)) {
    for (uint o = local_id; o < 64u * uint((TILES + NORM) * TOKENS); o += LOCAL_SIZE) {
        uint at = (o >> 6) * LOCAL_SIZE + (o & 63u);
        float total = partial[at];
        for (uint k = left; k < uint(SLOTS); k += left) total += partial[at + k * 8u];
        partial[at] = total;
    }
    barrier();
}
for (uint o = local_id; o < 8u * uint(TILES * TOKENS) / uint(1 + GATED); o += LOCAL_SIZE) {
#if GATED
    uint pair = (o >> 3) / uint(TOKENS), which = 2u * pair * uint(TOKENS) + (o >> 3) % uint(TOKENS);
    uint n = (tile0 / 2u + pair) * 8u + (o & 7u);
#else
    uint which = o >> 3, n = (tile0 + which / uint(TOKENS)) * 8u + (o & 7u);
#endif
    uint t = which % uint(TOKENS);
    float total = 0.0, scale = 1.0;
    for (uint k = 0u; k < left; ++k) total += partial[which * LOCAL_SIZE + k * 8u + (o & 7u)];
#if NORM
    float square = 0.0;
    for (uint k = 0u; k < left; ++k) square += partial[(uint(TILES * TOKENS) + t) * LOCAL_SIZE + k * 8u];
    scale = 1.0 / sqrt(square / float(x_row) + eps);
#endif
    total *= scale;
#if GATED
    float up = 0.0;
    for (uint k = 0u; k < left; ++k) up += partial[(which + uint(TOKENS)) * LOCAL_SIZE + k * 8u + (o & 7u)];
    total = total / (1.0 + exp_accurate(-total)) * up * scale;
#endif
    t += t0;
    if (n < rows && t < tokens) {
#if RESIDUAL
        total += residual[t * y_row + first + n];
#endif
        y[t * y_row + first + n] = total;
    }
}
