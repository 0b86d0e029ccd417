// y[row] = index of the largest element, the lowest where several are; one row a workgroup. Indices below 2^24 are exact.
if (flat_group >= rows) return;
float best = uintBitsToFloat(0xff800000u);
uint at = 0xffffffffu;
for (uint i = local_id; i < x_row; i += LOCAL_SIZE) {
    float v = x[flat_group * x_row + i];
    if (v > best || at == 0xffffffffu) { best = v; at = i; }
}
float top = group_max(best);
float first = -group_max(best == top && at != 0xffffffffu ? -float(at) : -3.0e38);
if (local_id == 0u) y[flat_group] = uint(first);
