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
// Squares beyond float32's range, at either end: the same once more in another unit.
float unit = !(sum < 3.0e38) ? 8.470329472543003e-22 : sum / float(x_row) + eps < 7.9e-31 ? 1.152921504606847e18 : 1.0;
if (unit != 1.0) {
    sum = 0.0;
    for (uint i = local_id; i < steps; i += LOCAL_SIZE) {
        vec4 v = (x_load4(row, i) + residual_load4(row, i)) * unit;
        sum += dot(v, v);
    }
    sum = group_sum(sum);
}
float scale = 1.0 / sqrt(sum / float(x_row) + eps * unit * unit);
for (uint i = local_id; i < steps; i += LOCAL_SIZE)
    y_store4(row, i, (x_load4(row, i) + residual_load4(row, i)) * unit * scale * weight_load4(0u, i));
