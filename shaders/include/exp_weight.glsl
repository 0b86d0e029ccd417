// exp for the weights of a softmax: arguments up to 80; what is below -87 counts as -87. Half the cost of exp_accurate,
// whose reduction this is: x = n ln2 + r with ln2 in two parts, Taylor to r^6 (|r| <= 0.35: relative error 1.3e-7), a
// shift by 2^n.
float exp_weight(float x) {
    x = max(x, -87.0);
    float n = floor(x * 1.44269504 + 0.5);
    precise float high = x - n * 0.693359375, low = (n * 3.0) * -7.0731480e-05;
    float r = high - low;
    float p = 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    return p * uintBitsToFloat(uint(int(n) + 127) << 23);
}
