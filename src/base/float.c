/* SPDX-License-Identifier: MIT */
/* Floating point numbers as text, and back, both exact: the shortest text that reads back as the
 * number (Giulietti's Schubfach), and the number nearest to the text. */
#include "base.h"

#include <float.h>

/* ---- powers of ten ---------------------------------------------------------------------------
 * 128 leading bits of 10^e, rounded down, are a product of the two tables below. */

#define FLOAT_STEP 27
#define FLOAT_FIRST (-351) /* exponent of the first row */
#define FLOAT_E_MIN (-342) /* 20 digits times a smaller power of ten are 0 */
#define FLOAT_E_MAX 308

/* 192 leading bits of 10^(-351 + 27 * row), rounded down: enough for 128 right ones of every
 * product (all were compared). */
static const uint64_t float_coarse[26][3] = {
    { 0x8049a4ac0c5811ae, 0x205b896d777d6278, 0xac261e9f5141430b },
    { 0xcf42894a5dce35ea, 0x52064cac828675b9, 0x475f2b7d7df1ad7a },
    { 0xa76c582338ed2621, 0xaf2af2b80af6f24e, 0x657c8f4d43323a36 },
    { 0x873e4f75e2224e68, 0x5a7744a6e804a291, 0xcc35eddfcf0996d7 },
    { 0xda7f5bf590966848, 0xaf39a475506a899e, 0xa30294cc2934e662 },
    { 0xb080392cc4349dec, 0xbd8d794d96aacfb3, 0xfe13a5c86af64418 },
    { 0x8e938662882af53e, 0x547eb47b7282ee9c, 0x41b0230e1421487d },
    { 0xe65829b3046b0afa, 0x0cb4a5a3112a5112, 0xa3b561b1cb208396 },
    { 0xba121a4650e4ddeb, 0x92f34d62616ce413, 0x21a0183e10583cd3 },
    { 0x964e858c91ba2655, 0x3a6a07f8d510f86f, 0xe9082f25e9c5e9ec },
    { 0xf2d56790ab41c2a2, 0xfae27299423fb9c3, 0x3695dad7e8858901 },
    { 0xc428d05aa4751e4c, 0xaa97e14c3c26b886, 0x96842dc95323f5a8 },
    { 0x9e74d1b791e07e48, 0x775ea264cf55347d, 0xca49f1c05120c9c7 },
    { 0x8000000000000000, 0x0000000000000000, 0x0000000000000000 },
    { 0xcecb8f27f4200f3a, 0x0000000000000000, 0x0000000000000000 },
    { 0xa70c3c40a64e6c51, 0x999090b65f67d924, 0x0000000000000000 },
    { 0x86f0ac99b4e8dafd, 0x69a028bb3ded71a3, 0xdf9f915627c04e28 },
    { 0xda01ee641a708de9, 0xe80e6f4820cc9495, 0xd74baad03bc1d8d3 },
    { 0xb01ae745b101e9e4, 0x5ec05dcff72e7f8f, 0xc04c79ffe324301f },
    { 0x8e41ade9fbebc27d, 0x14588f13be847307, 0x23bd6a2059c002f5 },
    { 0xe5d3ef282a242e81, 0x8f1668c8a86da5fa, 0xf0b5ccf5176ecc7c },
    { 0xb9a74a0637ce2ee1, 0x6d953e2bd7173692, 0x88efb0037ac08bde },
    { 0x95f83d0a1fb69cd9, 0x4abdaf101564f98e, 0x0d5a4af7b3a98e47 },
    { 0xf24a01a73cf2dccf, 0xbc633b39673c8cec, 0x3d9c44cd2f36917c },
    { 0xc3b8358109e84f07, 0x0a862f80ec4700c8, 0x02606ea01029dc37 },
    { 0x9e19db92b4e31ba9, 0x6c07a2c26a8346d1, 0x4944d9f52cd0dec2 }
};

/* 5^n, shifted so that the highest bit is set. */
static const uint64_t float_fine[FLOAT_STEP] = {
    0x8000000000000000, 0xa000000000000000, 0xc800000000000000, 0xfa00000000000000,
    0x9c40000000000000, 0xc350000000000000, 0xf424000000000000, 0x9896800000000000,
    0xbebc200000000000, 0xee6b280000000000, 0x9502f90000000000, 0xba43b74000000000,
    0xe8d4a51000000000, 0x9184e72a00000000, 0xb5e620f480000000, 0xe35fa931a0000000,
    0x8e1bc9bf04000000, 0xb1a2bc2ec5000000, 0xde0b6b3a76400000, 0x8ac7230489e80000,
    0xad78ebc5ac620000, 0xd8d726b7177a8000, 0x878678326eac9000, 0xa968163f0a57b400,
    0xd3c21bcecceda100, 0x84595161401484a0, 0xa56fa5b99019a5c8
};

typedef struct float_power {
    uint64_t high, low;
} float_power;

static float_power float_pow10(int e)
{
    const uint64_t *coarse = float_coarse[(e - FLOAT_FIRST) / FLOAT_STEP];
    uint64_t fine = float_fine[(e - FLOAT_FIRST) % FLOAT_STEP];
    uint64_t low0, low1, low2;
    uint64_t w1 = micro__mul64(coarse[2], fine, &low0);
    uint64_t w2 = micro__mul64(coarse[1], fine, &low1);
    uint64_t w3 = micro__mul64(coarse[0], fine, &low2);

    w1 += low1;
    w2 += low2 + (w1 < low1);
    w3 += w2 < low2 || (w2 == low2 && w1 < low1);
    if (w3 >> 63)
        return (float_power){ w3, w2 };
    return (float_power){ w3 << 1 | w2 >> 63, w2 << 1 | w1 >> 63 };
}

/* floor(log2(10^e)), floor(log10(2^e)), floor(log10(3/4 * 2^e)): exact for the exponents here, if
 * the compiler shifts the sign in, as all known ones do. */
static int float_log2_of_pow10(int e)
{
    return (e * 1741647) >> 19;
}

static int float_log10_of_pow2(int e)
{
    return (e * 1262611) >> 22;
}

static int float_log10_of_pow2_less(int e)
{
    return (e * 1262611 - 524031) >> 22;
}

/* ---- shortest text --------------------------------------------------------------------------- */

typedef struct float_decimal { /* digits * 10^exp */
    uint64_t digits;
    int exp;
} float_decimal;

/* The upper part of power * v, its lowest bit also set if anything below it is. */
static uint64_t float_round_to_odd(float_power power, uint64_t v)
{
    uint64_t low, below;
    uint64_t above = micro__mul64(power.low, v, &below);
    uint64_t high = micro__mul64(power.high, v, &low);

    low += above;
    high += low < above;
    return high | (low > 1);
}

/* Of the decimals that read back as c * 2^q one with the fewest digits, the nearest of these.
 * closer: c is the smallest of its exponent, so that the number below is only half as far away. */
static float_decimal float_shortest(uint64_t c, int q, bool closer)
{
    if (q <= 0 && q > -53 && (c & ((UINT64_C(1) << -q) - 1)) == 0)
        return (float_decimal){ c >> -q, 0 };
    int k = closer ? float_log10_of_pow2_less(q) : float_log10_of_pow2(q);
    int h = q + float_log2_of_pow10(-k) + 1;
    float_power power = float_pow10(-k);
    if (-k < 0 || -k > 55) /* not exact: from here on it is to be rounded up */
        power.high += ++power.low == 0;
    /* four times the number and both ends of what rounds to it, in units of 10^k */
    uint64_t low = float_round_to_odd(power, (4 * c - 2 + closer) << h);
    uint64_t mid = float_round_to_odd(power, (4 * c) << h);
    uint64_t high = float_round_to_odd(power, (4 * c + 2) << h);
    low += c & 1; /* the ends themselves round to even numbers only */
    high -= c & 1;
    uint64_t digits = mid / 4, ten = digits / 10;
    if (digits >= 10) { /* one digit less? */
        bool down = low <= 40 * ten, up = 40 * ten + 40 <= high;
        if (down != up)
            return (float_decimal){ ten + up, k + 1 };
    }
    bool down = low <= 4 * digits, up = 4 * digits + 4 <= high;
    if (down == up)
        up = mid > 4 * digits + 2 || (mid == 4 * digits + 2 && (digits & 1));
    return (float_decimal){ digits + up, k };
}

/* Prices, percentages and the like: three decimals and fifteen digits at most. No other text of so
 * few digits reads back as the same number, and the division says whether this one does. */
static bool float_short(double v, float_decimal *d)
{
    if (FLT_EVAL_METHOD != 0 || !(v < 1e12))
        return false;
    d->digits = (uint64_t)(v * 1e3 + 0.5);
    d->exp = -3;
    return (double)d->digits / 1e3 == v;
}

static float_decimal float_strip(float_decimal d)
{
    for (; d.digits % 10000 == 0; d.exp += 4)
        d.digits /= 10000;
    for (; d.digits % 10 == 0; d.exp++)
        d.digits /= 10;
    return d;
}

/* The digits with a point behind the first `point` of them, zeros where it stands outside. */
static size_t float_write_plain(char *out, const char *digits, int n, int point)
{
    int whole = point < 0 ? 0 : point < n ? point : n;
    char *p = out;

    if (point <= 0) {
        memcpy(p, "0.00000", (size_t)(2 - point));
        p += 2 - point;
    }
    memcpy(p, digits, (size_t)whole);
    p += whole;
    if (point > n) {
        memset(p, '0', (size_t)(point - n));
        p += point - n;
    }
    if (point > 0 && point < n)
        *p++ = '.';
    memcpy(p, digits + whole, (size_t)(n - whole));
    return (size_t)(p + n - whole - out);
}

static size_t float_write_exp(char *out, const char *digits, int n, int exp)
{
    char *p = out;

    *p++ = digits[0];
    if (n > 1) {
        *p++ = '.';
        memcpy(p, digits + 1, (size_t)(n - 1));
        p += n - 1;
    }
    *p++ = 'e';
    *p++ = exp < 0 ? '-' : '+';
    p += micro__format_u64(p, (uint64_t)(exp < 0 ? -exp : exp));
    return (size_t)(p - out);
}

static size_t float_write(char *out, float_decimal d)
{
    char digits[20];

    d = float_strip(d);
    int n = (int)micro__format_u64(digits, d.digits);
    int point = n + d.exp;
    if (point > -6 && point <= 21)
        return float_write_plain(out, digits, n, point);
    return float_write_exp(out, digits, n, point - 1);
}

/* Takes mantissa and exponent as stored (not both 0), how many bits a mantissa has, and the
 * exponent of its lowest one. */
static float_decimal float_shortest_of(uint64_t mantissa, int exponent, int bits, int q)
{
    if (!exponent)
        return float_shortest(mantissa, q, false);
    return float_shortest(mantissa | UINT64_C(1) << bits, q + exponent - 1,
                          !mantissa && exponent > 1);
}

MICRO_PRIVATE size_t micro__format_double(char out[32], double v)
{
    uint64_t bits;
    float_decimal d;

    memcpy(&bits, &v, sizeof bits);
    int exponent = (int)(bits >> 52 & 0x7ff);
    size_t sign = (size_t)(bits >> 63);
    out[0] = '-';
    if (exponent == 0x7ff)
        return 0;
    bits &= UINT64_MAX >> 1;
    if (!bits) {
        out[sign] = '0';
        return sign + 1;
    }
    if (!float_short(sign ? -v : v, &d))
        d = float_shortest_of(bits & ((UINT64_C(1) << 52) - 1), exponent, 52, -1074);
    return sign + float_write(out + sign, d);
}

MICRO_PRIVATE size_t micro__format_float(char out[32], float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    int exponent = (int)(bits >> 23 & 0xff);
    size_t sign = bits >> 31;
    out[0] = '-';
    if (exponent == 0xff)
        return 0;
    bits &= UINT32_MAX >> 1;
    if (!bits) {
        out[sign] = '0';
        return sign + 1;
    }
    float_decimal d = float_shortest_of(bits & ((UINT32_C(1) << 23) - 1), exponent, 23, -149);
    return sign + float_write(out + sign, d);
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct float_number { /* digits * 10^exp, if not cut */
    uint64_t digits;          /* the first 19 that count */
    int64_t exp;
    int taken;              /* how many there are in `digits` */
    bool minus, cut;        /* cut: there are more */
    const char *text, *end; /* from the first digit that counts; a point may be amid */
} float_number;

static const char *float_scan_digits(float_number *n, const char *p, const char *end, bool behind)
{
    for (; p < end && micro__is_digit(*p); p++) {
        if (n->taken < 19) {
            n->digits = n->digits * 10 + (uint64_t)(*p - '0');
            if (n->digits && !n->taken++)
                n->text = p;
            n->exp -= behind;
        } else {
            n->cut = n->cut || *p != '0';
            n->exp += !behind;
        }
    }
    return p;
}

static const char *float_scan_exp(float_number *n, const char *p, const char *end)
{
    bool minus = p < end && *p == '-';
    int64_t exp = 0;

    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end || !micro__is_digit(*p))
        return NULL;
    for (; p < end && micro__is_digit(*p); p++)
        if (exp < INT64_C(1000000000000000)) /* more makes no difference to any text that fits */
            exp = exp * 10 + (*p - '0');
    n->exp += minus ? -exp : exp;
    return p;
}

/* Splits a number by JSON's grammar; false: it is none. */
static bool float_scan(micro_str s, float_number *n)
{
    const char *p = s.ptr, *end = s.ptr + s.len;

    memset(n, 0, sizeof *n);
    if (p < end && *p == '-') {
        n->minus = true;
        p++;
    }
    if (p == end || !micro__is_digit(*p) || (*p == '0' && p + 1 < end && micro__is_digit(p[1])))
        return false;
    p = float_scan_digits(n, p, end, false);
    if (p < end && *p == '.') {
        if (++p == end || !micro__is_digit(*p))
            return false;
        p = float_scan_digits(n, p, end, true);
    }
    n->end = p;
    if (p < end && (*p == 'e' || *p == 'E'))
        p = float_scan_exp(n, p + 1, end);
    return p == end;
}

/* The bits of the double below or at high * 2^(exp - 63), whose highest bit is set and exp < 1024;
 * *rest is what was dropped of high, *half what would be halfway to the next double. */
static uint64_t float_pack(uint64_t high, int exp, uint64_t *rest, uint64_t *half)
{
    int shift = exp < -1022 ? 11 - 1022 - exp : 11;

    if (shift > 63) { /* all is dropped, and the halfway point may lie above 64 bits */
        *rest = shift < 128 ? high >> (shift - 64) : 0;
        *half = UINT64_C(1) << 63;
        return 0;
    }
    *rest = high & ((UINT64_C(1) << shift) - 1);
    *half = UINT64_C(1) << (shift - 1);
    uint64_t mantissa = high >> shift;
    if (exp < -1022)
        return mantissa;
    return ((uint64_t)(exp + 1022) << 52) + mantissa; /* its highest bit adds to the exponent */
}

/* Multiplies to 192 bits, which decides nearly always. True: *bits is right; false: it is near. */
static bool float_round(const float_number *n, uint64_t *bits)
{
    int shift = micro__clz64(n->digits), exp = (int)n->exp;
    uint64_t w = n->digits << shift, low, below, rest, half;
    float_power power = float_pow10(exp);
    uint64_t above = micro__mul64(power.low, w, &below);
    uint64_t high = micro__mul64(power.high, w, &low);

    low += above;
    high += low < above;
    int log2 = 64 - shift + float_log2_of_pow10(exp);
    if (!(high >> 63)) {
        high = high << 1 | low >> 63;
        low <<= 1;
        log2--;
    }
    if (log2 > 1023) {
        *bits = UINT64_C(0x7ff) << 52;
        return true;
    }
    *bits = float_pack(high, log2, &rest, &half);
    if (rest > half || (rest == half && low)) { /* the number is not below high:low */
        ++*bits;
        return true;
    }
    /* It is less than four units of low above, and if digits were cut a unit of digits more. */
    if (n->cut)
        return half - rest > (UINT64_C(2) << shift) + 1;
    return half - rest > 1 || (half - rest == 1 && low < UINT64_MAX - 4);
}

/* ---- reading: the rare cases that need all digits -------------------------------------------- */

#define FLOAT_LIMBS 96       /* 3072 bits: 768 digits, or a power of five as large, and more */
#define FLOAT_DIGITS_MAX 768 /* no double lies halfway between digits beyond these */

typedef struct float_big {
    uint32_t limb[FLOAT_LIMBS];
    int len;
} float_big;

static void float_big_mul_add(float_big *b, uint32_t factor, uint32_t more)
{
    uint64_t carry = more;

    for (int i = 0; i < b->len; i++) {
        carry += (uint64_t)b->limb[i] * factor;
        b->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && b->len < FLOAT_LIMBS)
        b->limb[b->len++] = (uint32_t)carry;
}

static void float_big_mul_pow5(float_big *b, int64_t n)
{
    for (; n >= 13; n -= 13)
        float_big_mul_add(b, 1220703125, 0);
    for (; n > 0; n--)
        float_big_mul_add(b, 5, 0);
}

static void float_big_shift(float_big *b, int64_t n)
{
    int words = (int)(n / 32);

    float_big_mul_add(b, UINT32_C(1) << n % 32, 0);
    if (!words || !b->len || b->len + words > FLOAT_LIMBS)
        return;
    memmove(b->limb + words, b->limb, (size_t)b->len * sizeof b->limb[0]);
    memset(b->limb, 0, (size_t)words * sizeof b->limb[0]);
    b->len += words;
}

static int float_big_cmp(const float_big *a, const float_big *b)
{
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    for (int i = a->len - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

/* All digits as one whole number; if there are too many, a 1 stands for a rest that is not 0.
 * Returns the power of ten that belongs to it. */
static int64_t float_big_digits(const float_number *n, float_big *b)
{
    int64_t exp = n->exp;
    int count = 0;

    b->len = 0;
    for (const char *p = n->text; p < n->end; p++) {
        bool rest = count >= FLOAT_DIGITS_MAX;
        if (*p == '.' || (rest && *p == '0'))
            continue;
        float_big_mul_add(b, 10, rest ? 1 : (uint32_t)(*p - '0'));
        if (++count > n->taken)
            exp--;
        if (rest)
            break;
    }
    return exp;
}

/* Order of digits * 10^exp and the point halfway between the double of these bits and the next. */
static int float_cmp_half(const float_big *digits, int64_t exp, uint64_t bits)
{
    uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
    int64_t exponent = (int64_t)(bits >> 52);
    uint64_t twice = 2 * (exponent ? mantissa | UINT64_C(1) << 52 : mantissa) + 1;
    int64_t q = (exponent ? exponent : 1) - 1076;
    float_big left = *digits, right = { { (uint32_t)twice, (uint32_t)(twice >> 32) }, 2 };

    if (!right.limb[1])
        right.len = 1;
    if (exp > 0)
        float_big_mul_pow5(&left, exp);
    else
        float_big_mul_pow5(&right, -exp);
    if (exp > q)
        float_big_shift(&left, exp - q);
    else
        float_big_shift(&right, q - exp);
    return float_big_cmp(&left, &right);
}

static uint64_t float_round_exactly(const float_number *n, uint64_t bits)
{
    float_big digits;
    int64_t exp = float_big_digits(n, &digits);

    for (;; bits++) {
        int order = float_cmp_half(&digits, exp, bits);
        if (order < 0 || (order == 0 && !(bits & 1)))
            break;
    }
    for (; bits > 0; bits--) {
        int order = float_cmp_half(&digits, exp, bits - 1);
        if (order > 0 || (order == 0 && !(bits & 1)))
            break;
    }
    return bits;
}

/* Both are whole numbers or powers of ten that a double holds exactly: one operation rounds right,
 * if the machine does not calculate with more bits than it stores. */
static bool float_divide(const float_number *n, double *v)
{
    static const double tens[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };

    if (FLT_EVAL_METHOD != 0 || n->cut || n->digits >> 53 || n->exp < -22 || n->exp > 22)
        return false;
    *v = (double)n->digits;
    *v = n->exp < 0 ? *v / tens[-n->exp] : *v * tens[n->exp];
    return true;
}

MICRO_PRIVATE bool micro__parse_double(micro_str s, double *out)
{
    float_number n;
    uint64_t bits = 0;
    double v = 0;

    if (!float_scan(s, &n))
        return false;
    if (!float_divide(&n, &v)) {
        if (n.digits && n.exp > FLOAT_E_MAX)
            return false;
        if (n.digits && n.exp >= FLOAT_E_MIN && !float_round(&n, &bits))
            bits = float_round_exactly(&n, bits);
        if (bits >> 52 >= 0x7ff)
            return false;
        memcpy(&v, &bits, sizeof v);
    }
    *out = n.minus ? -v : v;
    return true;
}
