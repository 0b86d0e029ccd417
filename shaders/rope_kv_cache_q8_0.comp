uint CACHE_unit = (n - CACHE_at) % CACHE_units, CACHE_of = (n - CACHE_at) / CACHE_units;
uvec4 CACHE_low = uvec4(0u), CACHE_high = uvec4(0u);
float CACHE_scale = 0.0;
for (bool here = has_CACHE; here; here = false) {
    vec4 x[8], largest = vec4(0.0);
    for (int i = 0; i < 8; ++i) {
        x[i] = NUMBERS(t, CACHE_head + CACHE_of, CACHE_unit * 8u + uint(i));
        largest = max(largest, abs(x[i]));
    }
    vec2 scale = q8_scale(max(max(largest.x, largest.y), max(largest.z, largest.w)));
    CACHE_low = q8_words(x[0], x[1], x[2], x[3], scale.y);
    CACHE_high = q8_words(x[4], x[5], x[6], x[7], scale.y);
    CACHE_scale = q8_to_half(scale.x);
}
for (; has_CACHE; has_CACHE = false) {
    uint row = CACHE_of * capacity + first + t;
    CACHE_store4(row, CACHE_unit * 2u, CACHE_low);
    CACHE_store4(row, CACHE_unit * 2u + 1u, CACHE_high);
    CACHE[row * CACHE_row + columns + CACHE_unit] = floatBitsToUint(CACHE_scale);
}
