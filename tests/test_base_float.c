/* SPDX-License-Identifier: MIT */
/* Floating point numbers as text and back: as Go writes them, and against the C library. */
#include "harness.h"

#include "base/base.h"

#include <math.h>

static const char *float_of_double(double v)
{
    static char out[33];

    out[micro__format_double(out, v)] = 0;
    return out;
}

static const char *float_of_float(float v)
{
    static char out[33];

    out[micro__format_float(out, v)] = 0;
    return out;
}

/* As Go's encoding/json writes them. */
TEST(float_as_go_writes_it)
{
    static const struct {
        double v;
        const char *text;
    } doubles[] = {
        { 0, "0" },
        { -0.0, "-0" },
        { 1, "1" },
        { -1.5, "-1.5" },
        { 0.1, "0.1" },
        { 100, "100" },
        { 1e6, "1000000" },
        { 1.0 / 3, "0.3333333333333333" },
        { 2.0 / 3, "0.6666666666666666" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { 1e-6, "0.000001" },
        { 1.5e-6, "0.0000015" },
        { 9.999999999999997e-7, "9.999999999999997e-7" },
        { 1e-7, "1e-7" },
        { 1e-10, "1e-10" },
        { 1.25e-9, "1.25e-9" },
        { 1e20, "100000000000000000000" },
        { 1e21, "1e+21" },
        { 999999999999999900000.0, "999999999999999900000" },
        { 1.5e300, "1.5e+300" },
        { 123456789012345680.0, "123456789012345680" },
        { 9007199254740993.0, "9007199254740992" },
        { 4.35, "4.35" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
        { 5e-324, "5e-324" },
        { 2.2250738585072014e-308, "2.2250738585072014e-308" },
        { 2.225073858507201e-308, "2.225073858507201e-308" },
        { 9007199254740991.0, "9007199254740991" },
        { 4503599627370495.5, "4503599627370495.5" },
        { 2.98023223876953125e-8, "2.9802322387695312e-8" },
        { 1e23, "1e+23" },
        { 9.5367431640625e-7, "9.5367431640625e-7" },
        { 3.141592653589793, "3.141592653589793" },
        { 299792458, "299792458" },
    };
    static const struct {
        float v;
        const char *text;
    } floats[] = {
        { 0.0f, "0" },
        { -0.0f, "-0" },
        { 0.1f, "0.1" },
        { 3.4028235e38f, "3.4028235e+38" },
        { 1e-45f, "1e-45" },
        { 1.1754944e-38f, "1.1754944e-38" },
        { 16777216.0f, "16777216" },
        { 1e-6f, "0.000001" },
        { 9.999999e-7f, "9.999999e-7" },
        { 1e20f, "100000000000000000000" },
        { 1e21f, "1e+21" },
        { 2.5f, "2.5" },
        { 33554432.0f, "33554432" },
        { 0.3f, "0.3" },
        { 8388607.5f, "8388607.5" },
        { 1.0f / 3, "0.33333334" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(doubles); i++)
        CHECK_EQ_TEXT(float_of_double(doubles[i].v), doubles[i].text);
    for (size_t i = 0; i < MICRO_COUNTOF(floats); i++)
        CHECK_EQ_TEXT(float_of_float(floats[i].v), floats[i].text);
    CHECK_EQ_TEXT(float_of_double((double)INFINITY), "");
    CHECK_EQ_TEXT(float_of_double((double)-INFINITY), "");
    CHECK_EQ_TEXT(float_of_double((double)NAN), "");
    CHECK_EQ_TEXT(float_of_float(INFINITY), "");
    CHECK_EQ_TEXT(float_of_float(NAN), "");
}

static uint64_t float_seed = 88172645463325252u;

static uint64_t float_random(void)
{
    float_seed ^= float_seed << 13;
    float_seed ^= float_seed >> 7;
    float_seed ^= float_seed << 17;
    return float_seed * 0x2545f4914f6cdd1du;
}

/* Digits that count, from the first to the last that is not 0. */
static int float_digits(const char *p)
{
    int n = 0, zeros = 0;

    for (; *p && *p != 'e'; p++) {
        if (*p < '0' || *p > '9' || (*p == '0' && !n))
            continue;
        n++;
        zeros = *p == '0' ? zeros + 1 : 0;
    }
    return n - zeros;
}

/* Against the C library: reads back as the same, and no text with fewer digits does. */
static int float_check_double(uint64_t bits)
{
    double v, back = 0;
    char shorter[40];

    memcpy(&v, &bits, sizeof v);
    if (!isfinite(v))
        return 0;
    const char *text = float_of_double(v);
    int digits = float_digits(text), wrong = 0;
    wrong += !micro__parse_double(micro_s(text), &back) || memcmp(&back, &v, sizeof v) != 0;
    wrong += memcmp(&v, &(double){ strtod(text, NULL) }, sizeof v) != 0;
    if (digits > 1) {
        snprintf(shorter, sizeof shorter, "%.*e", digits - 2, v);
        wrong += strtod(shorter, NULL) == v;
    }
    if (digits) { /* of those with as many digits it is the nearest */
        snprintf(shorter, sizeof shorter, "%.*e", digits - 1, v);
        wrong += strtod(shorter, NULL) == v && strtod(shorter, NULL) != strtod(text, NULL);
    }
    return wrong;
}

TEST(float_shortest_of_random_doubles)
{
    int wrong = 0;

    for (int i = 0; i < 50000; i++) {
        uint64_t r = float_random();
        wrong += float_check_double(r);
        wrong += float_check_double(r & 0xfffff);            /* tiny */
        wrong += float_check_double((r % 2047) << 52);       /* powers of two */
        wrong += float_check_double(((r % 2047) << 52) - 1); /* and below */
        double price = (double)(r % 10000000) / 100;
        uint64_t bits;
        memcpy(&bits, &price, sizeof bits);
        wrong += float_check_double(bits);
        wrong += float_digits(float_of_double(price)) > 7;
    }
    CHECK_EQ_INT(wrong, 0);
}

TEST(float_shortest_of_random_floats)
{
    int wrong = 0;

    for (int i = 0; i < 300000; i++) {
        uint32_t bits = (uint32_t)float_random();
        float v;
        char shorter[40];
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v))
            continue;
        const char *text = float_of_float(v);
        int digits = float_digits(text);
        wrong += memcmp(&v, &(float){ strtof(text, NULL) }, sizeof v) != 0;
        snprintf(shorter, sizeof shorter, "%.*e", digits - 2, (double)v);
        wrong += digits > 1 && strtof(shorter, NULL) == v;
    }
    CHECK_EQ_INT(wrong, 0);
}

TEST(float_grammar)
{
    static const char *const good[] = { "0",
                                        "-0",
                                        "0.0",
                                        "1",
                                        "-1",
                                        "10",
                                        "1.5",
                                        "1e5",
                                        "1E5",
                                        "1e+5",
                                        "1e-5",
                                        "1.25e05",
                                        "0e0",
                                        "0.1e-0",
                                        "123456789",
                                        "1e-400",
                                        "1e-99999999999999999999",
                                        "0e99999999999999",
                                        "179769313486231580793728971405301e276" };
    static const char *const bad[] = { "",
                                       "-",
                                       "+1",
                                       "01",
                                       "00",
                                       "-01",
                                       ".5",
                                       "1.",
                                       "1.e5",
                                       "1e",
                                       "1e+",
                                       "1e-",
                                       "e5",
                                       "1f",
                                       "0x1",
                                       "NaN",
                                       "Infinity",
                                       "inf",
                                       " 1",
                                       "1 ",
                                       "1,5",
                                       "--1",
                                       "1-",
                                       "1e5.5",
                                       "1.5.5",
                                       "1e5e5",
                                       "1e400",
                                       "-1e309",
                                       "1e99999999999999999999",
                                       "179769313486231580793728971405304e276" };
    double v;

    for (size_t i = 0; i < MICRO_COUNTOF(good); i++) {
        NOTE("%s", good[i]);
        v = -7;
        CHECK(micro__parse_double(micro_s(good[i]), &v));
        CHECK_EQ_DOUBLE(v, strtod(good[i], NULL));
        CHECK_EQ_INT(!!signbit(v), good[i][0] == '-');
    }
    for (size_t i = 0; i < MICRO_COUNTOF(bad); i++) {
        NOTE("%s", bad[i]);
        CHECK(!micro__parse_double(micro_s(bad[i]), &v));
    }
    CHECK(!micro__parse_double(micro__str("1\0", 2), &v));
    CHECK(micro__parse_double(micro__str("12", 1), &v) && v > 0.9 && v < 1.1);
}

static int float_check_read(const char *text)
{
    double got = 0, want = strtod(text, NULL);
    bool ok = micro__parse_double(micro_s(text), &got);

    if (isinf(want))
        return ok;
    return !ok || memcmp(&got, &want, sizeof got) != 0;
}

/* The exact middle of two doubles, and what lies a trifle above and below it. */
static int float_check_middle(uint64_t bits)
{
    static char text[1400];
    double low, high;
    uint64_t next = bits + 1;
    int wrong = 0;

    memcpy(&low, &bits, sizeof low);
    memcpy(&high, &next, sizeof high);
    if (!isfinite(low) || !isfinite(high))
        return 0;
    /* low + high is exact in a long double where that has 64 bits, and so is its half */
    if (__LDBL_MANT_DIG__ < 64)
        return 0;
    snprintf(text, 1300, "%.1100Lf", ((long double)low + (long double)high) / 2);
    wrong += float_check_read(text);
    size_t n = strlen(text);
    memcpy(text + n, "1", 2);
    wrong += float_check_read(text);
    memcpy(text + n, "e0", 3);
    wrong += float_check_read(text);
    for (text[n] = 0; text[n - 1] == '0'; n--)
        ;
    if (text[n - 1] != '.') {
        text[n - 1]--;
        memcpy(text + n, "999", 4);
        wrong += float_check_read(text);
    }
    return wrong;
}

TEST(float_read_like_libc)
{
    int wrong = 0;

    for (int i = 0; i < 60000; i++) {
        uint64_t r = float_random(), digits = float_random() >> r % 64;
        char text[80];
        snprintf(text, sizeof text, "%llue%d", (unsigned long long)digits, (int)(r >> 32) % 360);
        wrong += float_check_read(text);
        snprintf(text, sizeof text, "-%llu.%llu", (unsigned long long)digits,
                 (unsigned long long)r);
        wrong += float_check_read(text);
        snprintf(text, sizeof text, "0.%020llu%llue%d", (unsigned long long)digits,
                 (unsigned long long)r, (int)(r >> 40) % 320);
        wrong += float_check_read(text);
    }
    for (int i = 0; i < 1500; i++) {
        uint64_t r = float_random() >> 1;
        wrong += float_check_middle(r);
        wrong += float_check_middle(r & 0xffffff);
        wrong += float_check_middle((r & 0x000fffffffffffff) | 0x43f0000000000000);
    }
    wrong += float_check_middle(0);
    wrong += float_check_middle(0x000fffffffffffff);
    wrong += float_check_middle(0x7feffffffffffffe);
    CHECK_EQ_INT(wrong, 0);
}

TEST(float_long_texts)
{
    size_t len = 100000;
    char *text = malloc(len + 20);
    double v = 0;

    memset(text, '0', len);
    text[0] = '1';
    memcpy(text + len, "e-99999", 8);
    CHECK(micro__parse_double(micro_s(text), &v));
    CHECK_EQ_DOUBLE(v, 1);
    memcpy(text + len, "e-99691", 8);
    CHECK(micro__parse_double(micro_s(text), &v));
    CHECK_EQ_DOUBLE(v, 1e308);
    text[len] = 0;
    CHECK(!micro__parse_double(micro_s(text), &v));
    memset(text, '0', len);
    text[1] = '.';
    memcpy(text + len, "1e99999", 8);
    CHECK(micro__parse_double(micro_s(text), &v));
    CHECK_EQ_DOUBLE(v, 1);
    memset(text, '9', len);
    text[1] = '.';
    text[len] = 0;
    CHECK(micro__parse_double(micro_s(text), &v));
    CHECK_EQ_DOUBLE(v, 10);
    free(text);
}
