// y = cache in y's dtype up to `length` tokens; zero behind them.
uint steps = (cache_row + 3u) / 4u;
if (flat_id >= rows * steps) return;
uint row = flat_id / steps, i = flat_id % steps;
y_store4(row, i, row % capacity < length + extra ? cache_load4(row, i) : vec4(0.0));
