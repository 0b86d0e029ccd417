// Four dimensions of a head of the joint projection: the sum of its parts, and the bias.
vec4 projected(uint t, uint head, uint c) {
    uint row = (heads + 2u * kv_heads) * uint(COLUMNS), at = head * uint(COLUMNS) + c;
    vec4 sum = qkv_load4(t * row + at);
    for (uint p = 1u; p < qkv_parts; ++p) sum += qkv_load4((p * tokens + t) * row + at);
#if BIAS
    sum += bias_load4(at);
#endif
    return sum;
}

vec2 turned(uvec2 turns, uint position) {
    uint carry, low;
    umulExtended(position, turns.y, carry, low);
    return sincos_turns(position * turns.x + carry);
}

// The same, rotated.
vec4 rotated(uint t, uint head, uint c) {
    uint position = first + t;
    vec4 own = projected(t, head, c);
#if INTERLEAVED
    uvec4 turns = frequencies_load4(c);
    vec2 a = turned(turns.xy, position), b = turned(turns.zw, position);
    return vec4(own.xy * a.y + vec2(-own.y, own.x) * a.x, own.zw * b.y + vec2(-own.w, own.z) * b.x);
#else
    const uint half_columns = uint(COLUMNS / 2);
    uint pair = c % half_columns;
    bool upper = c >= half_columns;
    vec4 other = projected(t, head, upper ? pair : pair + half_columns);
    uvec4 turns = frequencies_load4(pair * 2u), more = frequencies_load4(pair * 2u + 1u);
    vec2 a = turned(turns.xy, position), b = turned(turns.zw, position);
    vec2 e = turned(more.xy, position), g = turned(more.zw, position);
    return own * vec4(a.y, b.y, e.y, g.y) + (upper ? other : -other) * vec4(a.x, b.x, e.x, g.x);
#endif
}
