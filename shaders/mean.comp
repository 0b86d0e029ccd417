// y[row] = mean of a row of x, one row a workgroup.
if (flat_group >= rows) return;
float sum = 0.0;
for (uint i = local_id; i < (x_row + 3u) / 4u; i += LOCAL_SIZE) sum += dot(x_load4(flat_group, i), vec4(1.0));
sum = group_sum(sum);
if (local_id == 0u) y[flat_group] = sum / float(x_row);
