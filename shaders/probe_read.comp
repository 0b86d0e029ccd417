// Sums x by invocation, four elements a load and four loads at a time. `block` invocations side by side walk over a stretch
// of their own: all of them on GPUs, where neighbours share what they read; those of one vector on CPUs, whose caches
// fetch ahead within a page.
if (flat_id >= invocations) return;
uint step = block, at = flat_id / step * (steps * step) + flat_id % step;
vec4 sum = vec4(0.0);
for (uint s = 0u; s < steps / 4u; ++s) {
    vec4 a = x_load4(at), b = x_load4(at + step), c = x_load4(at + 2u * step), d = x_load4(at + 3u * step);
    sum += (a + b) + (c + d);
    at += 4u * step;
}
for (uint s = 0u; s < steps % 4u; ++s) {
    sum += x_load4(at);
    at += step;
}
y_store4(flat_id, sum);
