// sin and cos of an angle given in turns as a 32-bit binary fraction (2^32 is a full turn), which wraps by itself:
// the caller multiplies positions and frequencies in integers, exactly, where float32 would lose the angle of a far
// position. Quadrant by the top two bits, then Taylor on [-pi/4, pi/4] to x^9 and x^10 (errors below 4e-9; with the
// rounding of float32, sine and cosine are within 1.5e-7).
vec2 sincos_turns(uint turns) {
    uint quadrant = (turns + 0x20000000u) >> 30;
    int rest = int(turns - (quadrant << 30));
    float x = float(rest) * 1.46291807926715968e-9;   // 2 pi / 2^32
    float s = x * x;
    float sine = x + x * s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0 + s * (1.0 / 362880.0))));
    float cosine = 1.0 + s * (-0.5 + s * (1.0 / 24.0 + s * (-1.0 / 720.0 + s * (1.0 / 40320.0 - s * (1.0 / 3628800.0)))));
    vec2 turned = (quadrant & 1u) == 0u ? vec2(sine, cosine) : vec2(cosine, -sine);
    return quadrant >= 2u ? -turned : turned;
}
