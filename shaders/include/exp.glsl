// exp within 1 ulp, or 1.5 where `precise` is not to be had (drivers' own: up to 63 ulp on llvmpipe). x = n ln2 + r
// with ln2 in two parts, the first with trailing zeros so that n * LN2_HIGH is exact. The second product takes n by
// another way (3n), so that no compiler may add the two parts back together where it may reorder. Then Taylor to r^7
// (|r| <= 0.35: error 5e-9) and a shift by 2^n.
const float LOG2_E = 1.44269504;
const float LN2_HIGH = 0.693359375;              // 355/512
const float LN2_LOW_THIRD = -7.0731480e-05;      // (ln 2 - LN2_HIGH) / 3

float exp_accurate(float x) {
    if (x != x) return x;
    x = clamp(x, -104.0, 89.0);
    int n = int(floor(x * LOG2_E + 0.5));
    precise float high = x - float(n) * LN2_HIGH, low = float(n * 3) * LN2_LOW_THIRD;
    precise float r = high - low;
    precise float lost = high - r - low;         // what rounding took from r
    precise float p = 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    precise float tail = r + (r * r * p + lost); // small: rounded before the 1 is added
    p = 1.0 + tail;
    // Two shifts: 2^n alone leaves the normal range at both ends.
    int half_n = n / 2;
    return p * uintBitsToFloat(uint(half_n + 127) << 23) * uintBitsToFloat(uint(n - half_n + 127) << 23);
}

vec4 exp_accurate(vec4 x) { return vec4(exp_accurate(x.x), exp_accurate(x.y), exp_accurate(x.z), exp_accurate(x.w)); }
