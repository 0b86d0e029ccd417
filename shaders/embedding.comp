// y[row] = table[ids[row]]. The table may be bound in windows of `count` rows from `first`: rows elsewhere are left alone.
uint steps = (y_row + 3u) / 4u;
if (flat_id >= rows * steps) return;
uint row = flat_id / steps, i = flat_id % steps, id = ids[row];
if (id < first || id - first >= count) return;
y_store4(row, i, table_load4(id - first, i));
