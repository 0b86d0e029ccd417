#include "include/exp.glsl"
// y = sum over parts of x[part], and what is done with it at once. RESIDUAL: the residual is added. GATED: of each 16
// columns the first eight are the gate's and the others its partners, y = silu(gate) * partner (SwiGLU's middle).
if (flat_id >= steps) return;
#if ONE_ROW  // without divisions, which vector units lack
uint row = 0u, i = flat_id, lines = 1u;
#else
uint row_steps = (y_row + 3u) / 4u, row = flat_id / row_steps, i = flat_id % row_steps, lines = steps / row_steps;
#endif
#if GATED
uint at = (i >> 1) * 4u + (i & 1u);
vec4 sum = x_load4(row, at), partner = x_load4(row, at + 2u);
for (uint part = 1u; part < parts; ++part) {
    sum += x_load4(part * lines + row, at);
    partner += x_load4(part * lines + row, at + 2u);
}
sum = sum / (1.0 + exp_accurate(-sum)) * partner;
#else
vec4 sum = x_load4(row, i);
for (uint part = 1u; part < parts; ++part) sum += x_load4(part * lines + row, i);
#if RESIDUAL
sum += residual_load4(row, i);
#endif
#endif
y_store4(row, i, sum);
