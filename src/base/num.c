/* SPDX-License-Identifier: MIT */
/* Whole numbers and durations as text. */
#include "base.h"

MICRO_PRIVATE bool micro__parse_u64(micro_str s, uint64_t *out)
{
    uint64_t v = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (!micro__is_digit(s.ptr[i]))
            return false;
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return s.len > 0;
}

MICRO_PRIVATE bool micro__parse_i64(micro_str s, int64_t *out)
{
    bool minus = s.len && s.ptr[0] == '-';
    uint64_t v;

    if (!micro__parse_u64(micro__str(s.ptr + minus, s.len - minus), &v))
        return false;
    if (v > (uint64_t)INT64_MAX + minus)
        return false;
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static int num_digits(uint64_t v)
{
    int n = 1;

    while (v >= 10000) {
        v /= 10000;
        n += 4;
    }
    return n + (v >= 10) + (v >= 100) + (v >= 1000);
}

/* Two digits a division. */
MICRO_PRIVATE size_t micro__format_u64(char out[20], uint64_t v)
{
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    int len = num_digits(v), at = len;

    while (v >= 100) {
        at -= 2;
        memcpy(out + at, pairs + v % 100 * 2, 2);
        v /= 100;
    }
    if (v >= 10)
        memcpy(out, pairs + v * 2, 2);
    else
        out[0] = (char)('0' + v);
    return (size_t)len;
}

/* ---- durations ------------------------------------------------------------------------------- */

/* Nanoseconds of the unit that s starts with, and its length; 0: none. */
static uint64_t num_unit(micro_str s, size_t *len)
{
    static const struct {
        char name[4];
        uint64_t ns;
    } units[] = { { "ns", 1 },
                  { "us", 1000 },
                  { "\xc2\xb5s", 1000 },
                  { "\xce\xbcs", 1000 },
                  { "ms", 1000000 },
                  { "s", 1000000000 },
                  { "m", UINT64_C(60000000000) },
                  { "h", UINT64_C(3600000000000) } };

    *len = 0;
    while (*len < s.len && s.ptr[*len] != '.' && !micro__is_digit(s.ptr[*len]))
        ++*len;
    for (size_t i = 0; i < MICRO_COUNTOF(units); i++)
        if (micro__str_is(micro__str(s.ptr, *len), units[i].name))
            return units[i].ns;
    return 0;
}

/* Reads "1.5h" off s and adds its nanoseconds to *sum. */
static bool num_duration_part(micro_str *s, uint64_t *sum)
{
    const uint64_t most = INT64_MAX;
    uint64_t whole = 0, fraction = 0, scale = 1;
    size_t i = 0, digits = 0, unit_len;

    for (; i < s->len && micro__is_digit(s->ptr[i]); i++, digits++) {
        uint64_t digit = (uint64_t)(s->ptr[i] - '0');
        if (whole > (most - digit) / 10)
            return false;
        whole = whole * 10 + digit;
    }
    if (i < s->len && s->ptr[i] == '.') {
        for (i++; i < s->len && micro__is_digit(s->ptr[i]); i++, digits++) {
            if (scale < UINT64_C(100000000000000000)) { /* further ones are less than a ns */
                fraction = fraction * 10 + (uint64_t)(s->ptr[i] - '0');
                scale *= 10;
            }
        }
    }
    uint64_t unit = num_unit(micro__str(s->ptr + i, s->len - i), &unit_len);
    if (!digits || !unit || whole > most / unit)
        return false;
    double part = (double)fraction * ((double)unit / (double)scale); /* as Go calculates it */
    uint64_t ns = whole * unit + (uint64_t)part;
    if (ns > most - *sum)
        return false;
    *sum += ns;
    *s = micro__str(s->ptr + i + unit_len, s->len - i - unit_len);
    return true;
}

MICRO_PRIVATE bool micro__parse_duration(micro_str s, int64_t *ms)
{
    uint64_t sum = 0;

    if (s.len && s.ptr[0] == '+')
        s = micro__str(s.ptr + 1, s.len - 1);
    if (micro__str_is(s, "0")) {
        *ms = 0;
        return true;
    }
    if (!s.len)
        return false;
    while (s.len)
        if (!num_duration_part(&s, &sum))
            return false;
    *ms = (int64_t)(sum / 1000000 + (sum % 1000000 != 0));
    return true;
}
