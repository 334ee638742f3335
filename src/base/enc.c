/* SPDX-License-Identifier: MIT */
/* Base64, hexadecimal, UUIDs. */
#include "base.h"

/* ---- base64 ---------------------------------------------------------------------------------- */

static const char enc_base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void enc_quantum(char out[4], uint32_t bits)
{
    out[0] = enc_base64[bits >> 18 & 63];
    out[1] = enc_base64[bits >> 12 & 63];
    out[2] = enc_base64[bits >> 6 & 63];
    out[3] = enc_base64[bits & 63];
}

MICRO_PRIVATE void micro__base64_encode(micro_buf *out, const void *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data, *end = p ? p + len : p;

    if (!len)
        return;
    char *to = micro__buf_room(out, (len + 2) / 3 * 4);
    if (!to)
        return;
    out->len += (len + 2) / 3 * 4;
    for (; end - p >= 3; p += 3, to += 4)
        enc_quantum(to, (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]);
    if (p < end) {
        enc_quantum(to, (uint32_t)p[0] << 16 | (end - p > 1 ? (uint32_t)p[1] << 8 : 0));
        to[3] = '=';
        if (end - p == 1)
            to[2] = '=';
    }
}

#define ENC_NONE 64
#define ENC_NONE_16 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64

/* Six bits of a character of either alphabet. */
/* clang-format off */
static const uint8_t enc_values[256] = {
    ENC_NONE_16, ENC_NONE_16,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62, 64, 62, 64, 63, /* + - / */
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, /* 0 to 9 */
    64,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, /* A on */
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 63, /* Z _ */
    64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, /* a on */
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64, /* z */
    ENC_NONE_16, ENC_NONE_16, ENC_NONE_16, ENC_NONE_16,
    ENC_NONE_16, ENC_NONE_16, ENC_NONE_16, ENC_NONE_16
};
/* clang-format on */

static bool enc_line_end(char c)
{
    return c == '\r' || c == '\n';
}

static uint8_t enc_sextet(char c)
{
    return enc_values[(uint8_t)c];
}

/* A quantum of four characters of the alphabet. False: there are others. */
static bool enc_whole(const char *p, uint32_t *bits)
{
    uint32_t a = enc_sextet(p[0]), b = enc_sextet(p[1]), c = enc_sextet(p[2]), d = enc_sextet(p[3]);

    *bits = a << 18 | b << 12 | c << 6 | d;
    return !((a | b | c | d) & ENC_NONE);
}

/* Nothing but padding, as much as a quantum of four lacks. */
static bool enc_padding(const char *p, const char *end, size_t sextets)
{
    size_t n = 0;

    for (; p < end; p++) {
        if (*p == '=')
            n++;
        else if (!enc_line_end(*p))
            return false;
    }
    return n == 0 || (n < 4 && sextets % 4 + n == 4);
}

MICRO_PRIVATE bool micro__base64_decode(const char *in, size_t len, uint8_t *out, size_t *out_len)
{
    const char *p = in, *end = in ? in + len : in;
    uint8_t *to = out;
    uint32_t bits = 0;
    size_t n = 0;

    *out_len = 0;
    for (; end - p >= 4 && enc_whole(p, &bits); p += 4, n += 4, to += 3) {
        to[0] = (uint8_t)(bits >> 16);
        to[1] = (uint8_t)(bits >> 8);
        to[2] = (uint8_t)bits;
    }
    for (; p < end && *p != '='; p++) {
        uint8_t v = enc_sextet(*p);
        if (v == ENC_NONE) {
            if (!enc_line_end(*p))
                return false;
            continue;
        }
        bits = bits << 6 | v;
        if (++n % 4 == 0) {
            to[0] = (uint8_t)(bits >> 16);
            to[1] = (uint8_t)(bits >> 8);
            to[2] = (uint8_t)bits;
            to += 3;
        }
    }
    if (n % 4 == 1 || !enc_padding(p, end, n))
        return false;
    if (n % 4 == 2) {
        *to++ = (uint8_t)(bits >> 4);
    } else if (n % 4 == 3) {
        *to++ = (uint8_t)(bits >> 10);
        *to++ = (uint8_t)(bits >> 2);
    }
    *out_len = (size_t)(to - out);
    return true;
}

/* ---- hexadecimal ----------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__hex_encode(char *out, const void *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = "0123456789abcdef"[p[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[p[i] & 15];
    }
}

static int enc_nibble(char c)
{
    char l = micro__lower(c);

    if (micro__is_digit(c))
        return c - '0';
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

MICRO_PRIVATE bool micro__hex_decode(uint8_t *out, const char *in, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2) {
        int high = enc_nibble(in[i]), low = enc_nibble(in[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    return len % 2 == 0;
}

MICRO_PRIVATE void micro__uuid_format(char out[37], const uint8_t random[16])
{
    uint8_t b[16];

    memcpy(b, random, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    micro__hex_encode(out, b, 4);
    micro__hex_encode(out + 9, b + 4, 2);
    micro__hex_encode(out + 14, b + 6, 2);
    micro__hex_encode(out + 19, b + 8, 2);
    micro__hex_encode(out + 24, b + 10, 6);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[36] = 0;
}
