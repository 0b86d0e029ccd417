// y[k / 4][t] = the four numbers x[t][k ..]: what lanes that are tokens read side by side. Row-major, tokens would be a
// power of two apart, on the same lines of a cache.
if (flat_id >= tokens * steps) return;
uint t = flat_id % tokens, k = flat_id / tokens;
y_store4(flat_id, x_load4(t, k));
