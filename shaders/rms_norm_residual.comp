// h = x + residual; y = h / sqrt(mean(h^2) + eps) * weight, one row a workgroup, one pass over memory for both.
if (flat_group >= rows) return;
uint row = flat_group, steps = (x_row + 3u) / 4u;
float sum = 0.0;
for (uint i = local_id; i < steps; i += LOCAL_SIZE) {
    vec4 v = x_load4(row, i) + residual_load4(row, i);
    h_store4(row, i, v);
    sum += dot(v, v);
}
sum = group_sum(sum);
float down = 1.0;
if (!(sum < 3.0e38)) {  // squares beyond float32: the same once more, 2^70 lower
    down = 8.470329472543003e-22;
    sum = 0.0;
    for (uint i = local_id; i < steps; i += LOCAL_SIZE) {
        vec4 v = (x_load4(row, i) + residual_load4(row, i)) * down;
        sum += dot(v, v);
    }
    sum = group_sum(sum);
}
float scale = 1.0 / sqrt(sum / float(x_row) + eps * down * down);
for (uint i = local_id; i < steps; i += LOCAL_SIZE)
    y_store4(row, i, (x_load4(row, i) + residual_load4(row, i)) * down * scale * weight_load4(0u, i));
