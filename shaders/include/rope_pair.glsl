// One token's joint projection of queries, keys and values by single numbers, a sine and cosine an invocation. `head` is
// of all of them, COLUMNS * 4 numbers each.
float projected(uint at) {
    uint row = (heads + 2u * kv_heads) * uint(COLUMNS) * 4u;
    float sum = qkv[at];
    for (uint p = 1u; p < qkv_parts; ++p) sum += qkv[p * tokens * row + at];
#if BIAS
    sum += bias[at];
#endif
    return sum;
}

// Where the two numbers of a pair stand in their head.
uvec2 pair_places(uint pair) {
#if INTERLEAVED
    return uvec2(2u * pair, 2u * pair + 1u);
#else
    return uvec2(pair, pair + uint(COLUMNS) * 2u);
#endif
}

// These two, rotated for the position `first`.
vec2 rotated_pair(uint head, uint pair) {
    uvec2 at = head * uint(COLUMNS) * 4u + pair_places(pair);
    float a = projected(at.x), b = projected(at.y);
    uint carry, low;
    umulExtended(first, frequencies[2u * pair + 1u], carry, low);
    vec2 turn = sincos_turns(first * frequencies[2u * pair] + carry);
    return vec2(a * turn.y - b * turn.x, b * turn.y + a * turn.x);
}
