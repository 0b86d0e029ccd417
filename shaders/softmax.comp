#include "include/exp.glsl"
// y = exp(x - max x) / sum exp(x - max x), one row a workgroup.
if (flat_group >= rows) return;
uint row = flat_group, steps = (x_row + 3u) / 4u;
float top = uintBitsToFloat(0xff800000u);
for (uint i = local_id; i < steps; i += LOCAL_SIZE) {
    vec4 v = x_load4(row, i);
    uint e = i * 4u;
    top = max(top, v.x);
    if (e + 1u < x_row) top = max(top, v.y);
    if (e + 2u < x_row) top = max(top, v.z);
    if (e + 3u < x_row) top = max(top, v.w);
}
top = group_max(top);
// Blocks are summed apart: beside one large value, thousands of small ones would each be rounded the same way.
float sum = 0.0, block = 0.0;
uint count = 0u;
for (uint i = local_id; i < steps; i += LOCAL_SIZE) {
    vec4 v = exp_accurate(x_load4(row, i) - top);
    uint e = i * 4u;
    block += v.x + (e + 1u < x_row ? v.y : 0.0) + (e + 2u < x_row ? v.z : 0.0) + (e + 3u < x_row ? v.w : 0.0);
    if ((++count & 63u) == 0u) {
        sum += block;
        block = 0.0;
    }
}
float scale = 1.0 / group_sum(sum + block);
for (uint i = local_id; i < steps; i += LOCAL_SIZE) y_store4(row, i, exp_accurate(x_load4(row, i) - top) * scale);
