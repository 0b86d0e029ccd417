// y = x gathered through x's strides, four elements an invocation.
if (flat_id * 4u >= count) return;
x_vec4 v;
for (uint e = 0u; e < 4u; ++e) {
    uint i = min(flat_id * 4u + e, count - 1u);
    uint at = first;
    at += (i % length5) * stride5; i /= length5;
    at += (i % length4) * stride4; i /= length4;
    at += (i % length3) * stride3; i /= length3;
    at += (i % length2) * stride2; i /= length2;
    at += (i % length1) * stride1; i /= length1;
    at += i * stride0;
    v[e] = x[at];
}
y_store4(flat_id, v);
