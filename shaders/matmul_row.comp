// y[t][n] = sum_k x[t][k] w[n][k]: one row of w and TOKENS tokens an invocation. For devices whose lanes are a CPU's: no
// sharing, no barriers. Blocks of 256 products are summed apart, which keeps the rounding of long rows small.
uint n = group_id.x * LOCAL_SIZE + local_id, t0 = group_id.y * uint(TOKENS), batch = group_id.z;
if (n >= rows) return;
uint steps = (x_row + 7u) / 8u, w_at = batch * w_stride + n;
uint x_at[TOKENS];
vec4 totals[TOKENS];
for (int t = 0; t < TOKENS; ++t) {
    x_at[t] = batch * tokens + min(t0 + uint(t), tokens - 1u);
    totals[t] = vec4(0.0);
}
for (uint block = 0u; block < steps; block += 32u) {
    vec4 sums[TOKENS];
    for (int t = 0; t < TOKENS; ++t) sums[t] = vec4(0.0);
    uint end = min(block + 32u, steps);
    for (uint k = block; k < end; ++k) {
        vec4 wa, wb, xa, xb;
        w_load8(w_at, k, wa, wb);
        for (int t = 0; t < TOKENS; ++t) {
            x_load8(x_at[t], k, xa, xb);
            sums[t] += wa * xa;
            sums[t] += wb * xb;
        }
    }
    for (int t = 0; t < TOKENS; ++t) totals[t] += sums[t];
}
for (int t = 0; t < TOKENS; ++t)
    if (t0 + uint(t) < tokens) y[(batch * tokens + t0 + uint(t)) * y_row + first + n] = dot(totals[t], vec4(1.0));
