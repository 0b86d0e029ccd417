// Arithmetic on two half-floats at a time. Where the driver has none, HALF_FLOATS is 0 and vec2 stands in for f16vec2
// (gpu/signature.cpp).
#if HALF_FLOATS
#define HALF_FMA(a, b, c) fma(a, b, c)
uint half_word(float low, float high) { return packFloat2x16(f16vec2(low, high)); }
#else
#define HALF_FMA(a, b, c) ((a) * (b) + (c))
uint half_word(float low, float high) { return packHalf2x16(vec2(low, high)); }
#endif
