#include "include/exp.glsl"
// y = f(a, b), four elements of a row an invocation. b is of a's shape (BROADCAST 0), one row for all (1), or one value a
// row (2). BINARY 0: a + b, 1: a * b, 2: silu(a) * b.
uint steps = (a_row + 3u) / 4u;
if (flat_id >= rows * steps) return;
uint row = flat_id / steps, i = flat_id % steps;
vec4 a4 = a_load4(row, i);
#if BROADCAST == 0
vec4 b4 = b_load4(row, i);
#elif BROADCAST == 1
vec4 b4 = b_load4(0u, i);
#else
vec4 b4 = vec4(b[row]);
#endif
#if BINARY == 0
y_store4(row, i, a4 + b4);
#elif BINARY == 1
y_store4(row, i, a4 * b4);
#else
y_store4(row, i, a4 / (1.0 + exp_accurate(-a4)) * b4);
#endif
