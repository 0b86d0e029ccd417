// Eight independent chains of multiply-adds an invocation, 16 links a step: enough to hide the latency of each. The
// factors come from memory, so that no compiler can fold them; a < 1 keeps the values bounded.
if (flat_id >= invocations) return;
vec4 a = x_load4(0u), b = x_load4(1u);
vec4 u = x_load4(2u) * float(flat_id), v = x_load4(3u) * float(flat_id);
for (uint s = 0u; s < steps; ++s) {
    u = u * a + b; v = v * a + b; u = u * a + b; v = v * a + b;
    u = u * a + b; v = v * a + b; u = u * a + b; v = v * a + b;
    u = u * a + b; v = v * a + b; u = u * a + b; v = v * a + b;
    u = u * a + b; v = v * a + b; u = u * a + b; v = v * a + b;
    u = u * a + b; v = v * a + b; u = u * a + b; v = v * a + b;
    u = u * a + b; v = v * a + b; u = u * a + b; v = v * a + b;
    u = u * a + b; v = v * a + b; u = u * a + b; v = v * a + b;
    u = u * a + b; v = v * a + b; u = u * a + b; v = v * a + b;
}
y_store4(flat_id, u + v);
