// The k largest of a row, largest first, the lower index first where equal: each pass finds the successor of the
// (value, index) before it. One row a workgroup; passes begin..end.
if (flat_group >= rows) return;
float last = uintBitsToFloat(0x7f800000u), last_at = -1.0;
if (begin > 0u) {
    last = values[flat_group * k + begin - 1u];
    last_at = float(indices[flat_group * k + begin - 1u]);
}
for (uint n = begin; n < end; ++n) {
    float best = uintBitsToFloat(0xff800000u), at = 3.0e38;
    for (uint i = local_id; i < (x_row + 3u) / 4u; i += LOCAL_SIZE) {
        vec4 v = x_load4(flat_group, i);
        for (uint e = 0u; e < 4u; ++e) {
            float f = float(i * 4u + e);
            bool after = v[e] < last || (v[e] == last && f > last_at);
            if (i * 4u + e < x_row && after && (v[e] > best || at > 2.0e38)) { best = v[e]; at = f; }
        }
    }
    last = group_max(best);
    last_at = -group_max(best == last ? -at : -3.0e38);
    if (local_id == 0u) {
        values[flat_group * k + n] = last;
        indices[flat_group * k + n] = uint(last_at);
    }
}
