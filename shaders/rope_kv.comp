#include "include/sincos.glsl"
#include "include/q8_0.glsl"
#include "include/rope_kv.glsl"
// The joint projection of queries, keys and values, summed, taken apart: queries and keys rotated, keys and values
// written into their caches at first + t. An invocation has four dimensions of a head, or a block of a q8_0 cache. What
// follows, for keys and for values, is rope_kv_cache.comp or rope_kv_cache_q8_0.comp.
const uint columns = uint(COLUMNS), keys_units = uint(K_UNITS), values_units = uint(V_UNITS);
uint keys_at = heads * columns, values_at = keys_at + kv_heads * keys_units, end = values_at + kv_heads * values_units;
if (flat_id >= tokens * end) return;
uint t = flat_id / end, n = flat_id % end, keys_head = heads, values_head = heads + kv_heads;
bool has_keys = n >= keys_at && n < values_at && first + t < capacity, has_values = n >= values_at && first + t < capacity;
// Loops of one round, since llvmpipe runs both sides of an if; and what is stored comes out of one of its own, since LLVM
// would compute an expression again for each lane that stores it.
bool has_q = n < keys_at;
vec4 q_own = vec4(0.0);
for (bool here = has_q; here; here = false) q_own = rotated(t, n / columns, n % columns);
for (; has_q; has_q = false) q_store4(t * keys_at + n, q_own);
