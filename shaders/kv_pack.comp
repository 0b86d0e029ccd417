// cache[head][first + t] = x[t][head]: the new tokens' keys or values into the cache, in its dtype.
uint steps = (x_row + 3u) / 4u, heads = x_shape[1];
if (flat_id >= tokens * heads * steps) return;
uint i = flat_id % steps, t = flat_id / steps / heads, head = flat_id / steps % heads;
if (first + t >= capacity) return;
cache_store4(head * capacity + first + t, i, x_load4(t * heads + head, i));
