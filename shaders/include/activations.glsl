// A block of x, 32 columns in fours, as the multiplication with a block of w wants it (FORMAT, INT8). Whatever depends on
// x alone is done here, once for all rows of w.
#if INT8
// x as int8 with a float scale, rounded as Q8_0 is. Two columns whose nibbles stand 16 bits apart in a word of w stand
// here in one word too, in turned order: one 32-bit product has the sum of both in its upper half. What is left of the
// lower half stays below 2^15 for a block's sixteen products (16 * 15 * 127), so that adding 2^15 makes the upper half
// exact, which the block's sum fits (32 * 8 * 127). `start` is that, and what q4_0 subtracts from each nibble; `unit` the
// scale times 2^100.
void activations(vec4 v[8], out ivec4 pairs[4], out int start, out float unit) {
    vec4 largest = vec4(0.0);
    for (int j = 0; j < 8; ++j) largest = max(largest, abs(v[j]));
    float most = max(max(largest.x, largest.y), max(largest.z, largest.w)), inverse = most > 0.0 ? 127.0 / most : 0.0;
    ivec4 total = ivec4(0);
    for (int j = 0; j < 4; ++j) {
        ivec4 low = ivec4(roundEven(v[j] * inverse)), high = ivec4(roundEven(v[j + 4] * inverse));
        total += low;
        if (j < 3) total += high;  // the uppermost nibble is two's complement
        pairs[j] = (low << 16) + high;
    }
    start = 32768 - ((total.x + total.y + total.z + total.w) << 19);
    unit = most * (1.2676506002282294e30 / 127.0);
}
#else
// Fields are converted where they stand in their word, so x is scaled by powers of two, exactly. The float16 scales of
// blocks are read as 2^-112 times their value: x has 2^100 of it, the sum gets the rest. `less` is what the format
// subtracts from each field (q8_0, q4_0, but for the uppermost field, which is two's complement) or the factor of a
// minimum (k-quants), summed over x.
void activations(vec4 v[8], out vec4 scaled[8], out float less) {
#if FORMAT == 3
    const float unit[8] = float[](1.0, 0.00390625, 0.0000152587890625, 5.9604644775390625e-8, 1.0, 0.00390625,
                                  0.0000152587890625, 5.9604644775390625e-8);
#elif FORMAT == 4
    const float unit[8] = float[](1.0, 0.0625, 0.00390625, 0.000244140625, 0.0000152587890625, 9.5367431640625e-7,
                                  5.9604644775390625e-8, 3.7252902984619141e-9);
#else
    const float unit[8] = float[](1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0);
#endif
    const float all = FORMAT == 1 || FORMAT == 3 || FORMAT == 4 ? 1.2676506002282294e30 : 1.0;
    vec4 total = vec4(0.0);
    for (int j = 0; j < 8; ++j) {
        scaled[j] = v[j] * (unit[j] * all);
        if (FORMAT == 3 ? j % 4 < 3 : FORMAT != 4 || j < 7) total += v[j];
    }
    less = dot(total, vec4(all * (FORMAT == 3 ? 128.0 : FORMAT == 4 ? 8.0 : 1.0)));
}
#endif
