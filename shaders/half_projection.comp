#include "include/exp.glsl"
#include "include/half.glsl"
#include "include/packed_half.glsl"
// One token's y[n] = sum_k x[k] w[n][k] in half precision: TILES tiles of eight rows a workgroup, an invocation a row
// of the tiles and every SLOTS-th block of their columns. HALF_X: x is float16, else float32 that is rounded here.
// NORM: divided by the root mean square of the row that x was made of. RESIDUAL: what is added. GATED: odd tiles are
// the gate's partners, y = silu(even) * odd. KEEP: y is wanted. NEXT: y (times the norm of what comes next: NEXT_NORM,
// then with the sums of its squares before that, by eights) as float16 for the next projection, at most 65504.
uint lane = local_id & 7u, slot = local_id >> 3, tile0 = group_id.x * uint(TILES);
float sums[TILES];
for (int i = 0; i < TILES; ++i) sums[i] = 0.0;
const uint own_tiles = uint(TILES / (1 + GATED));
uint n = group_id.x * own_tiles * 8u + local_id, at = first + n;
bool owner = local_id < 8u * own_tiles && n < rows;
// What comes at the end is asked for at the beginning.
float square = 0.0, more = 0.0, factor = 1.0;
#if RESIDUAL
if (owner) more = residual[at];
#endif
#if NEXT_NORM
if (owner) factor = next_norm[at];
#endif
for (uint block = slot; block < uint(BLOCKS); block += uint(SLOTS)) {
    uint chunk = block >> 3, tile_texels = chunk == uint(BLOCKS) >> 3 ? uint(LAST_TEXELS) : uint(TEXELS);
    uint base = chunk * uint(ALL_TILES) * uint(TEXELS) + lane;
    uvec4 raw[TILES][RAW];
    float scales[TILES];
    for (int i = 0; i < TILES; ++i)
        packed_half_load(base + min(tile0 + uint(i), uint(ALL_TILES) - 1u) * tile_texels, block & 7u, raw[i], scales[i]);
#if NORM
    square += dot(squares_load4(block), vec4(1.0));
#endif
    f16vec2 neighbours[16], pairs[16];
#if HALF_X
    for (int j = 0; j < 4; ++j) {
        uvec4 words = x_load4(block * 4u + uint(j));
        neighbours[4 * j] = unpackFloat2x16(words.x);
        neighbours[4 * j + 1] = unpackFloat2x16(words.y);
        neighbours[4 * j + 2] = unpackFloat2x16(words.z);
        neighbours[4 * j + 3] = unpackFloat2x16(words.w);
    }
#else
    for (int j = 0; j < 8; ++j) {
        vec4 v = clamp(x_load4(block * 8u + uint(j)), -65504.0, 65504.0);
        neighbours[2 * j] = f16vec2(v.xy);
        neighbours[2 * j + 1] = f16vec2(v.zw);
    }
#endif
    HALF_PAIRS(neighbours, pairs)
    for (int i = 0; i < TILES; ++i) sums[i] += scales[i] * half_dot(raw[i], pairs);
}
for (int i = 0; i < TILES; ++i) partial[uint(i) * LOCAL_SIZE + local_id] = sums[i];
#if NORM
partial[uint(TILES) * LOCAL_SIZE + local_id] = square;
#endif
barrier();
// As in packed_matmul_group: eight slots take the sums of the others, and eight lanes a tile what these have.
const uint left = min(uint(SLOTS), 8u);
if (left < uint(SLOTS)) {
    for (uint o = local_id; o < 64u * uint(TILES + NORM); o += LOCAL_SIZE) {
        uint at = (o >> 6) * LOCAL_SIZE + (o & 63u);
        float total = partial[at];
        for (uint k = left; k < uint(SLOTS); k += left) total += partial[at + k * 8u];
        partial[at] = total;
    }
    barrier();
}
float total = 0.0, scale = 1.0;
if (owner) {
    uint which = slot * uint(1 + GATED) * LOCAL_SIZE + lane;
    for (uint k = 0u; k < left; ++k) total += partial[which + k * 8u];
#if NORM
    float all = 0.0;
    for (uint k = 0u; k < left; ++k) all += partial[uint(TILES) * LOCAL_SIZE + k * 8u];
    scale = 1.0 / sqrt(all / float(BLOCKS * 32) + eps);
#endif
    total *= scale;
#if GATED
    float up = 0.0;
    for (uint k = 0u; k < left; ++k) up += partial[which + LOCAL_SIZE + k * 8u];
    total = total / (1.0 + exp_accurate(-total)) * up * scale;
#endif
    total += more;
#if KEEP
    y[at] = total;
#endif
}
#if NEXT_NORM
float eight = total * total;
eight += group_xor(eight, 1u);
eight += group_xor(eight, 2u);
eight += group_xor(eight, 4u);
if (owner) {
    if (lane == 0u) next_squares[at >> 3] = eight;
    total *= factor;
}
#endif
#if NEXT
total = clamp(total, -65504.0, 65504.0);
float other = group_xor(total, 1u);
if (owner && (lane & 1u) == 0u) next[at >> 1] = half_word(total, other);
#endif
