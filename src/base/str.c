/* SPDX-License-Identifier: MIT */
/* Strings with a length: comparing, cutting, hashing, UTF-8. */
#include "base.h"

#define STR_BYTES(b) (UINT64_C(0x0101010101010101) * (b)) /* b in all eight bytes */

static uint64_t str_load(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* Of four to seven bytes: two halves that overlap. */
static uint64_t str_load_short(const char *p, size_t len)
{
    uint32_t first, last;
    memcpy(&first, p, sizeof first);
    memcpy(&last, p + len - sizeof last, sizeof last);
    return (uint64_t)first << 32 | last;
}

/* The upper case letters of eight bytes made lower case. */
static uint64_t str_lower8(uint64_t w)
{
    uint64_t low = w & STR_BYTES(0x7f);
    uint64_t from_a = low + STR_BYTES(0x80 - 'A');
    uint64_t past_z = low + STR_BYTES(0x7f - 'Z');

    return w | ((from_a ^ past_z) & ~w & STR_BYTES(0x80)) >> 2;
}

/* Mostly they are the same as they stand. */
static bool str_same8(uint64_t a, uint64_t b)
{
    return a == b || str_lower8(a) == str_lower8(b);
}

static bool str_same_nocase(const char *a, const char *b, size_t len)
{
    size_t i = 0;

    if (len >= 8) { /* the last word overlaps the one before */
        for (; i + 8 < len; i += 8)
            if (!str_same8(str_load(a + i), str_load(b + i)))
                return false;
        return str_same8(str_load(a + len - 8), str_load(b + len - 8));
    }
    if (len >= 4)
        return str_same8(str_load_short(a, len), str_load_short(b, len));
    for (; i < len; i++)
        if (micro__lower(a[i]) != micro__lower(b[i]))
            return false;
    return true;
}

MICRO_API bool micro_str_eq(micro_str a, micro_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

MICRO_API bool micro_str_eq_nocase(micro_str a, micro_str b)
{
    return a.len == b.len && str_same_nocase(a.ptr, b.ptr, a.len);
}

MICRO_PRIVATE bool micro__str_is(micro_str s, const char *text)
{
    return micro_str_eq(s, micro_s(text));
}

MICRO_PRIVATE bool micro__str_is_nocase(micro_str s, const char *text)
{
    return micro_str_eq_nocase(s, micro_s(text));
}

MICRO_PRIVATE bool micro__str_starts(micro_str s, const char *prefix)
{
    size_t len = strlen(prefix);

    return s.len >= len && (len == 0 || memcmp(s.ptr, prefix, len) == 0);
}

MICRO_PRIVATE bool micro__str_ends(micro_str s, const char *suffix)
{
    size_t len = strlen(suffix);

    return s.len >= len && (len == 0 || memcmp(s.ptr + s.len - len, suffix, len) == 0);
}

MICRO_PRIVATE int micro__str_cmp(micro_str a, micro_str b)
{
    size_t both = a.len < b.len ? a.len : b.len;
    int order = both ? memcmp(a.ptr, b.ptr, both) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static bool str_blank(char c)
{
    return c == ' ' || c == '\t';
}

MICRO_PRIVATE micro_str micro__str_trim(micro_str s)
{
    while (s.len && str_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && str_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

MICRO_PRIVATE micro_str micro__str_cut(micro_str s, char c, micro_str *rest)
{
    const char *at = s.len ? (const char *)memchr(s.ptr, c, s.len) : NULL;
    size_t len = at ? (size_t)(at - s.ptr) : s.len;

    *rest = at ? micro__str(at + 1, s.len - len - 1) : micro__str("", 0);
    return micro__str(s.ptr, len);
}

static uint64_t str_mix(uint64_t a, uint64_t b)
{
    uint64_t low, high = micro__mul64(a, b, &low);

    return low ^ high;
}

/* Eight bytes at a time, each multiplied into the whole; odd constants without structure. */
MICRO_PRIVATE uint64_t micro__str_hash(micro_str s)
{
    const uint64_t k1 = UINT64_C(0x9e3779b97f4a7c15), k2 = UINT64_C(0xd1342543de82ef95);
    uint64_t h = k1 ^ s.len;
    size_t i = 0;

    for (; i + 8 <= s.len; i += 8)
        h = str_mix(h ^ str_load(s.ptr + i), k2);
    uint64_t tail = 0;
    for (; i < s.len; i++)
        tail = tail << 8 | (uint8_t)s.ptr[i];
    return str_mix(h ^ tail, k1) ^ h;
}

/* Length of the sequence of two to four bytes at p, 0 if it is none: no surrogates, nothing longer
 * than it need be, nothing above U+10FFFF. */
static size_t str_sequence(const uint8_t *p, size_t left)
{
    uint8_t least = 0x80, most = 0xbf; /* of the second byte */
    size_t len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    if (p[0] < 0xc2 || p[0] > 0xf4 || left < len)
        return 0;
    if (p[0] == 0xe0)
        least = 0xa0;
    else if (p[0] == 0xed)
        most = 0x9f;
    else if (p[0] == 0xf0)
        least = 0x90;
    else if (p[0] == 0xf4)
        most = 0x8f;
    if (p[1] < least || p[1] > most || (len > 2 && (p[2] & 0xc0) != 0x80))
        return 0;
    return len > 3 && (p[3] & 0xc0) != 0x80 ? 0 : len;
}

MICRO_PRIVATE bool micro__utf8_valid(const char *p, size_t len)
{
    size_t i = 0;

    while (i < len) {
        while (i + 8 <= len && !(str_load(p + i) & STR_BYTES(0x80)))
            i += 8;
        for (; i < len && !((uint8_t)p[i] & 0x80); i++)
            ;
        while (i < len && (uint8_t)p[i] & 0x80) {
            size_t n = str_sequence((const uint8_t *)p + i, len - i);
            if (!n)
                return false;
            i += n;
        }
    }
    return true;
}
