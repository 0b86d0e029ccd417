// y[head][t][j] = x[head][t][j] for j <= first + t, else -infinity.
uint steps = (x_row + 3u) / 4u;
if (flat_id >= rows * steps) return;
uint row = flat_id / steps, i = flat_id % steps, last = first + row % tokens;
vec4 v = x_load4(row, i);
uint e = i * 4u;
float no = uintBitsToFloat(0xff800000u);
y_store4(row, i, vec4(e <= last ? v.x : no, e + 1u <= last ? v.y : no, e + 2u <= last ? v.z : no, e + 3u <= last ? v.w : no));
