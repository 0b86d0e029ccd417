#include "include/tanh.glsl"
// y = f(a), four elements an invocation. UNARY picks f; `c` is its constant.
if (flat_id * 4u >= count) return;
vec4 a4 = a_load4(flat_id);
#if UNARY == 0
y_store4(flat_id, a4 * a4);
#elif UNARY == 1
y_store4(flat_id, 1.0 / sqrt(a4 + c));
#elif UNARY == 2
y_store4(flat_id, a4 / (1.0 + exp_accurate(-a4)));
#elif UNARY == 3
y_store4(flat_id, c * tanh_accurate(a4 / c));
#elif UNARY == 4
y_store4(flat_id, a4 * c);
#endif
