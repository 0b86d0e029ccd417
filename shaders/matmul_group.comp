// y[t][n] = sum_k x[t][k] w[n][k]: ROWS rows of w and TOKENS tokens a workgroup, whose invocations read neighbouring parts
// of a row: coalesced, for one token and a few.
uint n0 = group_id.x * uint(ROWS), t0 = group_id.y * uint(TOKENS), batch = group_id.z;
uint steps = (x_row + 7u) / 8u;
uint w_at[ROWS], x_at[TOKENS];
for (int r = 0; r < ROWS; ++r) w_at[r] = batch * w_stride + min(n0 + uint(r), rows - 1u);
for (int t = 0; t < TOKENS; ++t) x_at[t] = batch * tokens + min(t0 + uint(t), tokens - 1u);
vec4 sums[ROWS * TOKENS];
for (int i = 0; i < ROWS * TOKENS; ++i) sums[i] = vec4(0.0);
for (uint k = local_id; k < steps; k += LOCAL_SIZE) {
    vec4 xa[TOKENS], xb[TOKENS];
    for (int t = 0; t < TOKENS; ++t) x_load8(x_at[t], k, xa[t], xb[t]);
    for (int r = 0; r < ROWS; ++r) {
        vec4 wa, wb;
        w_load8(w_at[r], k, wa, wb);
        for (int t = 0; t < TOKENS; ++t) {
            sums[r * TOKENS + t] += wa * xa[t];
            sums[r * TOKENS + t] += wb * xb[t];
        }
    }
}
for (int r = 0; r < ROWS; ++r)
    for (int t = 0; t < TOKENS; ++t) {
        float sum = group_sum(dot(sums[r * TOKENS + t], vec4(1.0)));
        if (local_id == 0u && n0 + uint(r) < rows && t0 + uint(t) < tokens)
            y[(batch * tokens + t0 + uint(t)) * y_row + first + n0 + uint(r)] = sum;
    }
