// y = x in rows of another length: what does not fit is dropped, what is missing is zero.
uint steps = (min(x_row, y_row) + 3u) / 4u;
if (flat_id >= rows * steps) return;
y_store4(flat_id / steps, flat_id % steps, x_load4(flat_id / steps, flat_id % steps));
