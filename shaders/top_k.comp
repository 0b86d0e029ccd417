// The k largest of a row, largest first, the lower index first where equal: k passes, each for the successor of the last
// (value, index) found. One row a workgroup.
if (flat_group >= rows) return;
float last = uintBitsToFloat(0x7f800000u), last_at = -1.0;
for (uint n = 0u; n < k; ++n) {
    float best = uintBitsToFloat(0xff800000u), at = 3.0e38;
    for (uint i = local_id; i < x_row; i += LOCAL_SIZE) {
        float v = x[flat_group * x_row + i], f = float(i);
        bool after = v < last || (v == last && f > last_at);
        if (after && (v > best || at > 2.0e38)) { best = v; at = f; }
    }
    float top = group_max(best);
    last_at = -group_max(best == top ? -at : -3.0e38);
    last = top;
    if (local_id == 0u) {
        values[flat_group * k + n] = last;
        indices[flat_group * k + n] = uint(last_at);
    }
}
