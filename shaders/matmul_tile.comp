// y[t][n] = sum_k x[t][k] w[n][k] for many tokens: a workgroup of SIDE x SIDE invocations has a tile of 4 SIDE tokens and
// 4 SIDE rows, an invocation 4 x 4 of it; 16 columns at a time pass through shared memory. Blocks of 256 products are summed
// apart, which keeps the rounding of long rows small.
uint across = local_id % uint(SIDE), down = local_id / uint(SIDE), batch = group_id.z;
uint n0 = group_id.x * uint(4 * SIDE), t0 = group_id.y * uint(4 * SIDE), steps = (x_row + 3u) / 4u;
vec4 totals[4], sums[4];
for (int i = 0; i < 4; ++i) totals[i] = sums[i] = vec4(0.0);
for (uint k = 0u; k < steps; k += 4u) {
    for (uint i = local_id; i < uint(16 * SIDE); i += LOCAL_SIZE) {
        uint line = i / 4u, column = k + i % 4u;
        x_tile[i] = column < steps && t0 + line < tokens ? x_load4(batch * tokens + t0 + line, column) : vec4(0.0);
        w_tile[i] = column < steps && n0 + line < rows ? w_load4(batch * w_stride + n0 + line, column) : vec4(0.0);
    }
    barrier();
    for (uint c = 0u; c < 4u; ++c) {
        vec4 wv[4];
        for (uint j = 0u; j < 4u; ++j) wv[j] = w_tile[(across + j * uint(SIDE)) * 4u + c];
        for (uint i = 0u; i < 4u; ++i) {
            vec4 xv = x_tile[(down + i * uint(SIDE)) * 4u + c];
            sums[i] += vec4(dot(xv, wv[0]), dot(xv, wv[1]), dot(xv, wv[2]), dot(xv, wv[3]));
        }
    }
    barrier();
    if ((k & 63u) == 60u) {
        for (int i = 0; i < 4; ++i) {
            totals[i] += sums[i];
            sums[i] = vec4(0.0);
        }
    }
}
for (uint i = 0u; i < 4u; ++i) {
    uint t = t0 + down + i * uint(SIDE);
    vec4 total = totals[i] + sums[i];
    for (uint j = 0u; j < 4u; ++j) {
        uint n = n0 + across + j * uint(SIDE);
        if (t < tokens && n < rows) y[(batch * tokens + t) * y_row + first + n] = total[j];
    }
}
