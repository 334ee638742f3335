/* SPDX-License-Identifier: MIT */
/* The tokens of JSON: strings un-escaped in place, numbers, and values skipped over. */
#include "inner.h"

#define JSON_TEXT_4(x) x, x, x, x
#define JSON_TEXT_16(x) JSON_TEXT_4(x), JSON_TEXT_4(x), JSON_TEXT_4(x), JSON_TEXT_4(x)
#define JSON_TEXT_64(x) JSON_TEXT_16(x), JSON_TEXT_16(x), JSON_TEXT_16(x), JSON_TEXT_16(x)

MICRO_PRIVATE_DEF const uint8_t micro__json_class[256] = {
    JSON_TEXT_16(MICRO__JSON_STOP), JSON_TEXT_16(MICRO__JSON_STOP),
    ['"'] = MICRO__JSON_STOP,       ['\\'] = MICRO__JSON_STOP,
    ['<'] = MICRO__JSON_HTML,       ['>'] = MICRO__JSON_HTML,
    ['&'] = MICRO__JSON_HTML,       [0x80] = JSON_TEXT_64(MICRO__JSON_HIGH),
    JSON_TEXT_64(MICRO__JSON_HIGH)
};

/* ---- failures ------------------------------------------------------------------------------- */

MICRO_PRIVATE char *micro__json_fail(micro__json_in *in, micro_err err, const char *what)
{
    micro__where_fail(&in->where, err, what);
    return NULL;
}

MICRO_PRIVATE char *micro__json_syntax(micro__json_in *in, const char *p)
{
    in->where.byte = (size_t)(p - in->start);
    return micro__json_fail(in, MICRO_EFORMAT, p < in->end ? NULL : "JSON ends too soon");
}

MICRO_PRIVATE char *micro__json_enter(micro__json_in *in, char *p)
{
    if (in->depth >= MICRO_MAX_DEPTH)
        return micro__json_fail(in, MICRO_ETOOBIG, "nested too deeply");
    in->depth++;
    return micro__json_next(p);
}

/* ---- strings -------------------------------------------------------------------------------- */

static unsigned json_text_hex(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    c = micro__lower(c);
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* Four hex digits; false: they are not. */
static bool json_text_code(const char *p, const char *end, uint32_t *code)
{
    if (end - p < 4)
        return false;
    *code = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = json_text_hex(p[i]);
        if (digit > 15)
            return false;
        *code = *code << 4 | digit;
    }
    return true;
}

static char *json_text_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (char)(0xe0 | c >> 12);
        } else {
            *out++ = (char)(0xf0 | c >> 18);
            *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *out++ = (char)(0x80 | (c & 0x3f));
    return out;
}

/* p is behind \u. A surrogate without its other half becomes U+FFFD, as in Go. */
static const char *json_text_unicode(const char *p, const char *end, char **out)
{
    uint32_t c, low;

    if (!json_text_code(p, end, &c))
        return NULL;
    p += 4;
    if (c >= 0xd800 && c < 0xe000) {
        if (c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' &&
            json_text_code(p + 2, end, &low) && low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            p += 6;
        } else {
            c = 0xfffd;
        }
    }
    *out = json_text_utf8(*out, c);
    return p;
}

/* p is behind a backslash; NULL: no such escape. */
static const char *json_text_escape(const char *p, const char *end, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

    if (p == end)
        return NULL;
    if (*p == 'u')
        return json_text_unicode(p + 1, end, out);
    const char *at = *p ? strchr(from, *p) : NULL;
    if (!at)
        return NULL;
    *(*out)++ = to[at - from];
    return p + 1;
}

MICRO_PRIVATE char *micro__json_unescape(const char *in, size_t len, char *out)
{
    const char *end = in + len;
    char *start = out;

    while (in < end) {
        const char *run = micro__json_run(in, end, MICRO__JSON_STOP);
        memmove(out, in, (size_t)(run - in));
        out += run - in;
        in = run;
        if (in < end && !(in = json_text_escape(in + 1, end, &out)))
            return NULL;
    }
    return micro__utf8_valid(start, (size_t)(out - start)) ? out : NULL;
}

MICRO_PRIVATE const char *micro__json_string_end(const char *p, const char *end, bool *escaped)
{
    char scratch[4], *out;

    *escaped = false;
    for (;;) {
        p = micro__json_run(p, end, MICRO__JSON_STOP);
        if (p == end || (unsigned char)*p < 0x20)
            return NULL;
        if (*p == '"')
            return p;
        *escaped = true;
        out = scratch;
        p = json_text_escape(p + 1, end, &out);
        if (!p)
            return NULL;
    }
}

MICRO_PRIVATE char *micro__json_string_slow(micro__json_in *in, char *start, const char *run,
                                            micro_str *out)
{
    bool escaped;
    const char *close = micro__json_string_end(run, in->end, &escaped);

    if (!close)
        return micro__json_fail(in, MICRO_EFORMAT, "malformed string");
    char *stop = start + (close - start);
    if (escaped)
        stop = micro__json_unescape(start, (size_t)(close - start), start);
    if (!stop || (!escaped && !micro__utf8_valid(start, (size_t)(stop - start))))
        return micro__json_fail(in, MICRO_EFORMAT, "invalid UTF-8");
    *stop = 0;
    *out = micro__str(start, (size_t)(stop - start));
    return start + (close - start) + 1;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static const char *json_text_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

MICRO_PRIVATE const char *micro__json_number_end(const char *p, const char *end)
{
    if (p < end && *p == '-')
        p++;
    const char *from = p;
    p = json_text_digits(p, end);
    if (p == from || (*from == '0' && p - from > 1))
        return NULL;
    if (p < end && *p == '.') {
        from = ++p;
        p = json_text_digits(p, end);
        if (p == from)
            return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        from = p;
        p = json_text_digits(p, end);
        if (p == from)
            return NULL;
    }
    return p;
}

/* The exponent behind an e, cut off where it makes no difference any more. */
static int64_t json_text_exponent(const char *p, const char *end)
{
    const int64_t most = INT64_C(1) << 40;
    bool neg = p < end && *p == '-';
    int64_t v = 0;

    if (p < end && (*p == '-' || *p == '+'))
        p++;
    for (; p < end && v < most; p++)
        v = v * 10 + (*p - '0');
    return neg ? -v : v;
}

static bool json_text_times10(uint64_t *v, unsigned digit)
{
    if (*v > (UINT64_MAX - digit) / 10)
        return false;
    *v = *v * 10 + digit;
    return true;
}

MICRO_PRIVATE bool micro__json_integer(const char *p, const char *end, uint64_t *mag, bool *neg)
{
    if (micro__json_number_end(p, end) != end)
        return false;
    *mag = 0;
    *neg = *p == '-';
    p += *neg;
    const char *stop = json_text_digits(p, end);
    int64_t whole = stop - p; /* digits that stand before the point */
    if (stop < end && *stop == '.')
        stop = json_text_digits(stop + 1, end);
    if (stop < end)
        whole += json_text_exponent(stop + 1, end);
    for (; p < stop; p++) {
        if (*p == '.')
            continue;
        unsigned digit = (unsigned)(*p - '0');
        if (whole > 0 ? !json_text_times10(mag, digit) : digit != 0)
            return false;
        whole--;
    }
    for (; whole > 0 && *mag; whole--)
        if (!json_text_times10(mag, 0))
            return false;
    return true;
}

/* ---- skipping ------------------------------------------------------------------------------- */

static const char *json_text_word(const char *p, const char *end, const char *word, size_t len)
{
    return (size_t)(end - p) >= len && memcmp(p, word, len) == 0 ? p + len : NULL;
}

/* A value that is no array and no object; p < end. */
static const char *json_text_scalar(const char *p, const char *end)
{
    bool escaped;

    switch (*p) {
    case '"':
        p = micro__json_close(p + 1, end, &escaped);
        return p ? p + 1 : NULL;
    case 't':
        return json_text_word(p, end, "true", 4);
    case 'f':
        return json_text_word(p, end, "false", 5);
    case 'n':
        return json_text_word(p, end, "null", 4);
    default:
        return micro__json_number_end(p, end);
    }
}

static inline const char *json_text_blank(const char *p, const char *end)
{
    return MICRO__RARE(p < end && (unsigned char)*p <= ' ') ? micro__json_blank(p, end) : p;
}

/* "name": and the white space around. */
static const char *json_text_name(const char *p, const char *end)
{
    bool escaped;

    p = json_text_blank(p, end);
    if (p == end || *p != '"' || !(p = micro__json_close(p + 1, end, &escaped)))
        return NULL;
    p = json_text_blank(p + 1, end);
    return p < end && *p == ':' ? p + 1 : NULL;
}

/* Behind a value in brackets: closes those that end here. Returns the place where the next value
 * is to come, or if there is no bracket left, the end. */
static const char *json_text_after(const char *p, const char *end, const char *close,
                                   unsigned *open)
{
    for (;;) {
        p = json_text_blank(p, end);
        if (p == end)
            return NULL;
        char c = *p++;
        if (c == ',')
            return close[*open - 1] == '}' ? json_text_name(p, end) : p;
        if (c != close[*open - 1])
            return NULL;
        if (--*open == 0)
            return p;
    }
}

MICRO_PRIVATE const char *micro__json_skip_at(const char *p, const char *end, unsigned depth,
                                              bool *deep)
{
    char close[MICRO_MAX_DEPTH + 1]; /* what ends the brackets that are open */
    unsigned open = 0;

    *deep = false;
    for (;;) {
        p = json_text_blank(p, end);
        if (p == end)
            return NULL;
        if (*p != '{' && *p != '[') {
            p = json_text_scalar(p, end);
        } else {
            if (depth + open >= MICRO_MAX_DEPTH) {
                *deep = true;
                return NULL;
            }
            close[open++] = *p == '{' ? '}' : ']';
            p = json_text_blank(p + 1, end);
            if (p == end)
                return NULL;
            if (*p != close[open - 1]) { /* it is not empty */
                p = close[open - 1] == '}' ? json_text_name(p, end) : p;
                if (!p)
                    return NULL;
                continue;
            }
        }
        if (p && open)
            p = json_text_after(p, end, close, &open);
        if (!p || !open)
            return p;
    }
}

MICRO_PRIVATE const char *micro__json_skip(const char *p, const char *end)
{
    bool deep;

    return micro__json_skip_at(p, end, 0, &deep);
}
