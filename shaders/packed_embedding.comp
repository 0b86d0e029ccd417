#include "include/packed.glsl"
// y[t] = row ids[t] of a packed table: a block an invocation. Rows of other panels are left alone.
if (flat_id >= tokens * blocks) return;
uint t = flat_id / blocks, block = flat_id % blocks, id = ids[t];
if (id < first || id - first >= rows) return;
id -= first;
uint chunk = block >> 3, tile_texels = chunk == blocks >> 3 ? last_texels : texels;
vec4 v[8];
vec3 s;
packed_block(chunk * tiles * texels + (id >> 3) * tile_texels + (id & 7u), block & 7u, v, s);
for (uint j = 0u; j < 8u; ++j)
    if (block * 32u + 4u * j < y_row) y_store4(t, block * 8u + j, v[j] * (j < 4u ? s.x : s.y) - s.z);
