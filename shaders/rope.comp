#include "include/sincos.glsl"
// Rotates the pairs of each head by position * frequency. Su et al. 2021, eq. 34. Frequencies are turns a position as
// 64-bit binary fractions in two words: the product modulo one turn is exact in integers.
uint half_dim = x_row / 2u;
if (flat_id >= rows * half_dim) return;
uint row = flat_id / half_dim, pair = flat_id % half_dim, position = first + row / heads;
uint carry, low;
umulExtended(position, frequencies[pair * 2u + 1u], carry, low);
vec2 sc = sincos_turns(position * frequencies[pair * 2u] + carry);
#if INTERLEAVED
uint even = row * x_row + pair * 2u, odd = even + 1u;
#else
uint even = row * x_row + pair, odd = even + half_dim;
#endif
float a = x[even], b = x[odd];
y[even] = a * sc.y - b * sc.x;
y[odd] = a * sc.x + b * sc.y;
