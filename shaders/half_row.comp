// Eights of a row x times norm as float16, at most 65504, and the sums of the squares of x.
uint i = flat_id;
if (i >= eights) return;
vec4 a = x_load4(2u * i), b = x_load4(2u * i + 1u);
squares[i] = dot(a, a) + dot(b, b);
y_store4(2u * i, clamp(a * norm_load4(2u * i), -65504.0, 65504.0));
y_store4(2u * i + 1u, clamp(b * norm_load4(2u * i + 1u), -65504.0, 65504.0));
