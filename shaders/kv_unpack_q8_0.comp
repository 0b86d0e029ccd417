#include "include/kv_values.glsl"
// y = cache in float32 up to `length` tokens; zero behind them. An invocation has sixteen values of a row.
uint texels = y_row / 16u;
if (flat_id >= rows * texels) return;
uint row = flat_id / texels, c = flat_id % texels;
vec4 x[4];
uint scale = cache[row * cache_row + texels * 4u + c / 2u];
kv_values(KV_Q8_0, cache_load4(row, c), uintBitsToFloat(scale), x);
for (int i = 0; i < 4; ++i)
    y_store4(row, c * 4u + uint(i), row % capacity < length + extra ? x[i] : vec4(0.0));
