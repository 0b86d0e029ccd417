uint CACHE_unit = (n - CACHE_at) % CACHE_units, CACHE_of = (n - CACHE_at) / CACHE_units;
vec4 CACHE_own = vec4(0.0);
for (bool here = has_CACHE; here; here = false) CACHE_own = NUMBERS(t, CACHE_head + CACHE_of, CACHE_unit);
for (; has_CACHE; has_CACHE = false) CACHE_store4(CACHE_of * capacity + first + t, CACHE_unit, CACHE_own);
