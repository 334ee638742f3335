/* SPDX-License-Identifier: MIT */
/* host:port, as addresses and Host headers have it; queries. */
#include "base.h"

static bool url_port(micro_str s, uint16_t *port)
{
    uint64_t v;

    if (s.len > 5 || !micro__parse_u64(s, &v) || v > 65535)
        return false;
    *port = (uint16_t)v;
    return true;
}

/* Names, v4 addresses; no more than that nothing in them ends a host or a header. */
static bool url_name(micro_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (micro__is_control(s.ptr[i]) || strchr(" \"#%/:;<>?@[\\]^`{|}", s.ptr[i]))
            return false;
    return true;
}

/* A v6 address, perhaps with a zone behind a '%'. */
static bool url_v6(micro_str s)
{
    micro_str zone, address = micro__str_cut(s, '%', &zone);
    bool colon = false;

    for (size_t i = 0; i < address.len; i++) {
        char c = address.ptr[i], low = micro__lower(c);
        if (!micro__is_digit(c) && !(low >= 'a' && low <= 'f') && c != ':' && c != '.')
            return false;
        colon = colon || c == ':';
    }
    return colon && url_name(zone) && (address.len == s.len || zone.len);
}

MICRO_PRIVATE bool micro__hostport_parse(micro_str s, micro_str *host, uint16_t *port)
{
    micro_str rest;

    *port = 0;
    *host = micro__str("", 0);
    if (!s.len)
        return false;
    if (s.ptr[0] == '[') {
        micro_str inner = micro__str_cut(micro__str(s.ptr + 1, s.len - 1), ']', &rest);
        if (inner.len + 1 == s.len || !url_v6(inner))
            return false;
        *host = inner;
        if (!rest.len)
            return true;
        return rest.ptr[0] == ':' && url_port(micro__str(rest.ptr + 1, rest.len - 1), port);
    }
    micro_str name = micro__str_cut(s, ':', &rest);
    if (!url_name(name))
        return false;
    *host = name;
    return name.len == s.len || url_port(rest, port);
}

MICRO_PRIVATE size_t micro__hostport_format(char *out, size_t size, micro_str host, uint16_t port)
{
    bool v6 = host.len && memchr(host.ptr, ':', host.len);
    char digits[20];
    size_t n = micro__format_u64(digits, port);
    char *p = out;

    size_t more = n + 2 + (v6 ? 2 : 0); /* colon, NUL, brackets */
    if (size < more || host.len > size - more)
        return 0;
    if (v6)
        *p++ = '[';
    if (host.len)
        memcpy(p, host.ptr, host.len);
    p += host.len;
    if (v6)
        *p++ = ']';
    *p++ = ':';
    memcpy(p, digits, n);
    p += n;
    *p = 0;
    return (size_t)(p - out);
}

/* ---- queries ------------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__query_quote(micro_buf *out, micro_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i], low = micro__lower(c);
        if ((low >= 'a' && low <= 'z') || micro__is_digit(c) || (c && strchr("-_.~", c)))
            micro__buf_byte(out, c);
        else
            micro__buf_format(out, "%%%02X", (unsigned char)c);
    }
}

/* What percent signs and pluses stand for. False: malformed, or too long. */
static bool url_unquote(micro_str text, char *out, size_t size)
{
    size_t n = 0;

    if (text.len >= size)
        return false;
    if (text.len && !memchr(text.ptr, '%', text.len) && !memchr(text.ptr, '+', text.len)) {
        memcpy(out, text.ptr, text.len); /* as mostly */
        out[text.len] = 0;
        return true;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            if (i + 2 >= text.len || !micro__hex_decode((uint8_t *)&c, text.ptr + i + 1, 2))
                return false;
            i += 2;
        }
        out[n++] = c;
    }
    out[n] = 0;
    return true;
}

MICRO_PRIVATE void micro__query_get(micro_str query, const char *name, char *out, size_t size)
{
    out[0] = 0;
    while (query.len) {
        micro_str value, pair = micro__str_cut(query, '&', &query);
        micro_str key = micro__str_cut(pair, '=', &value);
        if (!micro__str_is(key, name))
            continue;
        if (!url_unquote(value, out, size))
            out[0] = 0;
        return;
    }
}
