// Sums x by invocation, four elements a load, neighbours side by side.
if (flat_id >= stride) return;
vec4 sum = vec4(0.0);
for (uint s = 0u; s < steps; ++s) sum += x_load4(s * stride + flat_id);
y_store4(flat_id, sum);
