#include "include/exp.glsl"
// tanh within 3 ulp (2 where division is correctly rounded). Near 0, where 1 - 2/(exp(2x)+1) cancels, the odd Taylor
// series to x^13 (|x| <= 0.35: error 3e-9).
float tanh_accurate(float x) {
    float a = abs(x);
    if (a > 0.35) return sign(x) * (1.0 - 2.0 / (exp_accurate(2.0 * a) + 1.0));
    float s = x * x;
    float p = 21844.0 / 6081075.0;
    p = p * s - 1382.0 / 155925.0;
    p = p * s + 62.0 / 2835.0;
    p = p * s - 17.0 / 315.0;
    p = p * s + 2.0 / 15.0;
    p = p * s - 1.0 / 3.0;
    return x + x * (s * p);
}

vec4 tanh_accurate(vec4 x) { return vec4(tanh_accurate(x.x), tanh_accurate(x.y), tanh_accurate(x.z), tanh_accurate(x.w)); }
