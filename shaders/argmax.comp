// y[row] = index of the largest element, the lowest where several are; one row a workgroup. Indices below 2^24 are
// exact.
if (flat_group >= rows) return;
float best = uintBitsToFloat(0xff800000u);
uint at = 0xffffffffu;
for (uint i = local_id; i < (x_row + 3u) / 4u; i += LOCAL_SIZE) {
    vec4 v = x_load4(flat_group, i);
    for (uint e = 0u; e < 4u; ++e)
        if (i * 4u + e < x_row && (v[e] > best || at == 0xffffffffu)) { best = v[e]; at = i * 4u + e; }
}
float top = group_max(best);
float lowest = -group_max(best == top && at != 0xffffffffu ? -float(at) : -3.0e38);
if (local_id == 0u) y[flat_group] = uint(lowest);
