/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 heads and chunked bodies: parsed in place, without state elsewhere. */
#include "net.h"

/* ---- bytes and words ----------------------------------------------------------------------- */

enum { HTTP_PARSE_TOKEN = 1, HTTP_PARSE_HOST = 2 };

/* What a byte may stand in: a token, a host name. Those from 128 on stand in neither. */
static const uint8_t http_parse_class[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 3, 0, 1, 3, 3, 3, 3, 2, 2, 3, 3, 2, 3, 3, 0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 2, 0, 2, 0, 0,
    0, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 1, 3,
    1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 1, 0, 3, 0,
};

static inline bool http_parse_is(char c, unsigned what)
{
    return (http_parse_class[(unsigned char)c] & what) != 0;
}

#define HTTP_PARSE_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define HTTP_PARSE_WORD sizeof(uint64_t)

static inline uint64_t http_parse_load(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* Not 0 if a byte of word is less than limit (at most 128). */
static inline uint64_t http_parse_less(uint64_t word, unsigned limit)
{
    return (word - HTTP_PARSE_EACH(limit)) & ~word & HTTP_PARSE_EACH(0x80u);
}

/* Letters made small: 0x20 is set where 0x40 is, so that no control character becomes a '-'. */
static inline uint64_t http_parse_fold(uint64_t word)
{
    return word | (word & HTTP_PARSE_EACH(0x40u)) >> 1;
}

MICRO_PRIVATE bool micro__http_token(micro_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!http_parse_is(s.ptr[i], HTTP_PARSE_TOKEN))
            return false;
    }
    return s.len != 0;
}

/* ---- known headers ------------------------------------------------------------------------- */

/* Name, and its first and last letter. */
#define HTTP_PARSE_KNOWN(X) \
    X(CONTENT_LENGTH, "content-length", 'c', 'h') \
    X(TRANSFER_ENCODING, "transfer-encoding", 't', 'g') \
    X(CONNECTION, "connection", 'c', 'n') \
    X(HOST, "host", 'h', 't') \
    X(EXPECT, "expect", 'e', 't') \
    X(CONTENT_TYPE, "content-type", 'c', 'e') \
    X(TIMEOUT, "timeout", 't', 't') \
    X(ACCEPT, "accept", 'a', 't') \
    X(MICRO_SERVICE, "micro-service", 'm', 'e') \
    X(MICRO_METHOD, "micro-method", 'm', 'd') \
    X(MICRO_ENDPOINT, "micro-endpoint", 'm', 't') \
    X(MICRO_ID, "micro-id", 'm', 'd') \
    X(MICRO_ERROR, "micro-error", 'm', 'r') \
    X(MICRO_STREAM, "micro-stream", 'm', 'm') \
    X(MICRO_TOPIC, "micro-topic", 'm', 'c') \
    X(MICRO_TARGET, "micro-target", 'm', 't') \
    X(X_MICRO_SERVICE, "x-micro-service", 'x', 'e') \
    X(X_MICRO_METHOD, "x-micro-method", 'x', 'd') \
    X(X_MICRO_ENDPOINT, "x-micro-endpoint", 'x', 't') \
    X(X_MICRO_ID, "x-micro-id", 'x', 'd') \
    X(X_MICRO_ERROR, "x-micro-error", 'x', 'r') \
    X(X_MICRO_TARGET, "x-micro-target", 'x', 't') \
    X(HOP_COUNT, "x-hop-count", 'x', 't') \
    X(TRACEPARENT, "traceparent", 't', 't') \
    X(TRACESTATE, "tracestate", 't', 'e')

typedef struct http_parse_name {
    uint8_t len;
    char text[23];
} http_parse_name;

#define HTTP_PARSE_NAME(id, text, first, last) [MICRO__H_##id] = { sizeof text - 1, text },
static const http_parse_name http_parse_names[MICRO__H_COUNT] = { HTTP_PARSE_KNOWN(
    HTTP_PARSE_NAME) };
#undef HTTP_PARSE_NAME

/* A hash without collisions: two names in one slot would be a warning here. */
#define HTTP_PARSE_HASH(len, first, last) ((unsigned)((len) + 2u * (first) + 6u * (last)) % 64u)
#define HTTP_PARSE_SLOT(id, text, first, last) \
    [HTTP_PARSE_HASH(sizeof text - 1, first, last)] = MICRO__H_##id + 1,
static const uint8_t http_parse_slots[64] = { HTTP_PARSE_KNOWN(HTTP_PARSE_SLOT) };
#undef HTTP_PARSE_SLOT
#undef HTTP_PARSE_KNOWN

static bool http_parse_same(const char *name, const char *known, size_t len)
{
    if (len < HTTP_PARSE_WORD) { /* 4 to 7: two halves that overlap */
        uint32_t a[2], b[2];
        memcpy(&a[0], name, 4);
        memcpy(&a[1], name + len - 4, 4);
        memcpy(&b[0], known, 4);
        memcpy(&b[1], known + len - 4, 4);
        return http_parse_fold((uint64_t)a[0] << 32 | a[1]) == ((uint64_t)b[0] << 32 | b[1]);
    }
    for (size_t i = 0; i + HTTP_PARSE_WORD < len; i += HTTP_PARSE_WORD) {
        if (http_parse_fold(http_parse_load(name + i)) != http_parse_load(known + i))
            return false;
    }
    size_t last = len - HTTP_PARSE_WORD;
    return http_parse_fold(http_parse_load(name + last)) == http_parse_load(known + last);
}

/* The number of a known header, or -1. */
static inline int http_parse_find(const char *name, size_t len)
{
    if (len < 4 || len > 17)
        return -1;
    unsigned slot = HTTP_PARSE_HASH((unsigned)len, (unsigned char)name[0] | 0x20u,
                                    (unsigned char)name[len - 1] | 0x20u);
    int id = http_parse_slots[slot] - 1;
    if (id < 0 || http_parse_names[id].len != len ||
        !http_parse_same(name, http_parse_names[id].text, len))
        return -1;
    return id;
}

/* ---- head: what frames the message --------------------------------------------------------- */

/* "5", or "5, 5" as a proxy makes of two lines: every one a number, and all the same. */
static bool http_parse_length(micro__http_head *out, micro_str value)
{
    const char *p = value.ptr, *end = value.ptr + value.len;
    for (;;) {
        uint64_t n = 0;
        const char *first = p;
        for (; p < end && *p >= '0' && *p <= '9'; p++) {
            unsigned digit = (unsigned)(*p - '0');
            if (n > (UINT64_MAX - digit) / 10)
                return false;
            n = n * 10 + digit;
        }
        if (p == first || (out->has_length && out->length != n))
            return false;
        out->has_length = true;
        out->length = n;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
        if (p == end)
            return true;
        if (*p++ != ',')
            return false;
        while (p < end && (*p == ' ' || *p == '\t'))
            p++;
    }
}

/* What may stand in the brackets of an IP literal, a zone included. */
static bool http_parse_host_literal(micro_str s)
{
    micro_str zone, ip = micro__str_cut(s, '%', &zone);
    for (size_t i = 0; i < ip.len; i++) {
        char c = micro__lower(ip.ptr[i]);
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.'))
            return false;
    }
    for (size_t i = 0; i < zone.len; i++) {
        if (!http_parse_is(zone.ptr[i], HTTP_PARSE_HOST))
            return false;
    }
    return ip.len != 0;
}

/* host[:port]; an empty host is one, by the grammar. */
static bool http_parse_host(micro_str s)
{
    micro_str port = { "", 0 };
    if (s.len && s.ptr[0] == '[') {
        micro_str behind, inside = micro__str_cut(micro__str(s.ptr + 1, s.len - 1), ']', &behind);
        if (inside.len + 1 == s.len || !http_parse_host_literal(inside))
            return false; /* not closed, or no literal */
        if (behind.len && behind.ptr[0] != ':')
            return false;
        if (behind.len)
            port = micro__str(behind.ptr + 1, behind.len - 1);
    } else {
        micro_str host = micro__str_cut(s, ':', &port);
        for (size_t i = 0; i < host.len; i++) {
            if (!http_parse_is(host.ptr[i], HTTP_PARSE_HOST))
                return false;
        }
    }
    unsigned number = 0;
    for (size_t i = 0; i < port.len; i++) {
        if (port.ptr[i] < '0' || port.ptr[i] > '9')
            return false;
        number = number * 10 + (unsigned)(port.ptr[i] - '0');
        if (number > UINT16_MAX)
            return false;
    }
    return true;
}

static void http_parse_connection(micro__http_head *out, micro_str value)
{
    while (value.len) {
        micro_str token = micro__str_trim(micro__str_cut(value, ',', &value));
        if (micro__str_is_nocase(token, "close"))
            out->close = true;
        else if (micro__str_is_nocase(token, "keep-alive"))
            out->keep_alive = true;
    }
}

/* Headers that say where the message ends or whom it is for. The first value is in known[]
 * already. */
static const char *http_parse_framing(micro__http_head *out, int id, micro_str value, bool again)
{
    switch (id) {
    case MICRO__H_CONTENT_LENGTH:
        return http_parse_length(out, value) ? NULL : "malformed or differing Content-Length";
    case MICRO__H_TRANSFER_ENCODING:
        out->chunked = true;
        return !again && micro__str_is_nocase(value, "chunked") ? NULL
                                                                : "unsupported Transfer-Encoding";
    case MICRO__H_CONNECTION:
        http_parse_connection(out, value);
        return NULL;
    default: /* MICRO__H_HOST */
        if (!out->request)
            return NULL;
        return again ? "more than one Host" : http_parse_host(value) ? NULL : "malformed Host";
    }
}

/* ---- head: lines --------------------------------------------------------------------------- */

/* What follows reads without writing: a head that is not whole yet is left as it was. A place that
 * is NULL with a problem means BAD, without one PARTIAL. */

/* The next control character, or end. Within the word that holds it, bytes are looked at one by
 * one: processors foresee where similar heads end, but must wait for a computed place. */
static inline const char *http_parse_skip_text(const char *p, const char *end)
{
    for (; (size_t)(end - p) >= HTTP_PARSE_WORD; p += HTTP_PARSE_WORD) {
        if (http_parse_less(http_parse_load(p), 0x20)) {
            while ((unsigned char)*p >= 0x20)
                p++;
            return p;
        }
    }
    while (p < end && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

/* The next byte that cannot stand in a target: blank, control character, DEL; or end. */
static const char *http_parse_skip_target(const char *p, const char *end)
{
    for (; (size_t)(end - p) >= HTTP_PARSE_WORD; p += HTTP_PARSE_WORD) {
        uint64_t word = http_parse_load(p);
        if (http_parse_less(word, 0x21) | http_parse_less(word ^ HTTP_PARSE_EACH(0x7fu), 1))
            break;
    }
    while (p < end && (unsigned char)*p > ' ' && *p != 0x7f)
        p++;
    return p;
}

/* The next colon, or end. */
static inline const char *http_parse_skip_name(const char *p, const char *end)
{
    for (; (size_t)(end - p) >= HTTP_PARSE_WORD; p += HTTP_PARSE_WORD) {
        if (http_parse_less(http_parse_load(p) ^ HTTP_PARSE_EACH((unsigned)':'), 1)) {
            while (*p != ':')
                p++;
            return p;
        }
    }
    while (p < end && *p != ':')
        p++;
    return p;
}

/* Behind the line end at p; NULL: none, or not all of it. */
static const char *http_parse_line_end(const char *p, const char *end, micro__http_head *out)
{
    if (MICRO__RARE(end - p < 2) && (p == end || *p == '\r'))
        return NULL;
    if (*p == '\r' && p[1] == '\n')
        return p + 2;
    out->problem = "CR, LF or NUL in a header";
    return NULL;
}

/* The CR of the line end that follows a text from p on. */
static inline const char *http_parse_value(const char *p, const char *end, micro__http_head *out)
{
    for (;; p++) { /* a tab, or another control character that harms nobody */
        p = http_parse_skip_text(p, end);
        if (end - p >= 2 && *p == '\r' && p[1] == '\n')
            return p;
        if (p == end || *p == '\r' || *p == '\n' || *p == '\0') {
            http_parse_line_end(p, end, out);
            return NULL;
        }
    }
}

/* Why the text in front of a colon, or of the end of what is there, is no name. NULL: no reason. */
static const char *http_parse_name_problem(const char *name, size_t len, bool whole)
{
    size_t i = 0;
    while (i < len && http_parse_is(name[i], HTTP_PARSE_TOKEN))
        i++;
    if (i == len)
        return i || !whole ? NULL : "empty header name";
    if (name[i] == '\r' || name[i] == '\n')
        return "header line without a colon";
    if (name[i] == ' ' || name[i] == '\t')
        return i ? "blank in a header name, or before its colon" : "folded header line";
    return "malformed header name";
}

/* One header line; the place behind it. */
static inline const char *http_parse_line(const char *p, const char *end, micro__http_head *out)
{
    const char *name = p, *colon = http_parse_skip_name(p, end);
    size_t len = (size_t)(colon - name);
    int id = http_parse_find(name, len);
    if (MICRO__RARE(colon == end) || id < 0) {
        out->problem = http_parse_name_problem(name, len, colon != end);
        if (out->problem || colon == end)
            return NULL;
    }
    p = colon + 1;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    const char *value = p, *stop = http_parse_value(p, end, out);
    if (MICRO__RARE(!stop))
        return NULL;
    p = stop + 2;
    while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
        stop--;
    micro_pair *pair = &out->headers[out->nheaders++];
    pair->key = micro__str(name, len);
    pair->value = micro__str(value, (size_t)(stop - value));
    if (id < 0)
        return p;
    bool again = out->known[id].ptr != NULL;
    if (!again)
        out->known[id] = pair->value;
    if (id <= MICRO__H_HOST)
        out->problem = http_parse_framing(out, id, pair->value, again);
    return out->problem ? NULL : p;
}

MICRO_PRIVATE void micro__http_index(micro__http_head *h)
{
    for (size_t i = 0; i < h->nheaders; i++) {
        int id = http_parse_find(h->headers[i].key.ptr, h->headers[i].key.len);
        if (id >= 0 && !h->known[id].ptr)
            h->known[id] = h->headers[i].value;
    }
}

/* "HTTP/1.x"; the place behind it. */
static const char *http_parse_version(const char *p, const char *end, micro__http_head *out)
{
    static const char version[] = "HTTP/1.";
    size_t len = (size_t)(end - p), known = sizeof version - 1;
    if (memcmp(p, version, len < known ? len : known) != 0 ||
        (len > known && (p[known] < '0' || p[known] > '9'))) {
        out->problem = "unsupported protocol version";
        return NULL;
    }
    if (len <= known)
        return NULL;
    out->minor = p[known] - '0';
    return p + known + 1;
}

/* METHOD SP target SP HTTP/1.x CRLF; the place behind it. */
static const char *http_parse_request_line(const char *p, const char *end, micro__http_head *out)
{
    while (end - p >= 2 && p[0] == '\r' && p[1] == '\n') /* some clients send one behind a body */
        p += 2;
    if (p == end || (end - p == 1 && *p == '\r'))
        return NULL;
    const char *method = p;
    while (p < end && http_parse_is(*p, HTTP_PARSE_TOKEN))
        p++;
    if (p < end && (*p != ' ' || p == method))
        out->problem =
            p > method && *p == '\r' ? "request line is not three words" : "malformed method";
    if (p == end || out->problem)
        return NULL;
    out->method = micro__str(method, (size_t)(p - method));
    const char *target = ++p;
    p = http_parse_skip_target(p, end);
    if (p < end && (*p != ' ' || p == target))
        out->problem = *p == ' ' || *p == '\r' || *p == '\n' ? "request line is not three words"
                                                             : "control character in the target";
    if (p == end || out->problem)
        return NULL;
    out->target = micro__str(target, (size_t)(p - target));
    p = http_parse_version(p + 1, end, out);
    if (p && p < end && *p != '\r')
        out->problem =
            *p == ' ' ? "request line is not three words" : "unsupported protocol version";
    return p && !out->problem ? http_parse_line_end(p, end, out) : NULL;
}

/* HTTP/1.x SP 3DIGIT [SP reason] CRLF; the place behind it. */
static const char *http_parse_status_line(const char *p, const char *end, micro__http_head *out)
{
    p = http_parse_version(p, end, out);
    if (!p || p == end)
        return NULL;
    bool good = *p++ == ' ';
    for (int i = 0; i < 3 && p < end && good; i++, p++) {
        good = *p >= '0' && *p <= '9';
        out->status = out->status * 10 + (*p - '0');
    }
    if (p < end && good)
        good = out->status >= 100 && (*p == ' ' || *p == '\r');
    if (!good)
        out->problem = "malformed status line";
    if (p == end || !good)
        return NULL;
    const char *reason = *p == ' ' ? p + 1 : p, *stop = http_parse_value(reason, end, out);
    if (!stop)
        return NULL;
    out->reason = micro__str(reason, (size_t)(stop - reason));
    return stop + 2;
}

/* Puts the NUL behind every piece. */
static void http_parse_terminate(char *buf, const micro__http_head *head)
{
    if (head->request) {
        buf[head->method.ptr + head->method.len - buf] = '\0';
        buf[head->target.ptr + head->target.len - buf] = '\0';
    } else {
        buf[head->reason.ptr + head->reason.len - buf] = '\0';
    }
    for (size_t i = 0; i < head->nheaders; i++) {
        const micro_pair *pair = &head->headers[i];
        buf[pair->key.ptr + pair->key.len - buf] = '\0';
        buf[pair->value.ptr + pair->value.len - buf] = '\0';
    }
}

MICRO_PRIVATE long micro__http_parse(char *buf, size_t len, micro__http_head *out)
{
    const char *p = buf, *end = buf + len;
    out->minor = out->status = 0;
    out->method = out->target = out->reason = micro__str("", 0);
    out->nheaders = 0;
    micro__zero(out->known, sizeof out->known);
    out->has_length = out->chunked = out->close = out->keep_alive = false;
    out->length = 0;
    out->problem = NULL;
    p = out->request ? http_parse_request_line(p, end, out) : http_parse_status_line(p, end, out);
    while (p && p < end && *p != '\r') {
        if (MICRO__RARE(out->nheaders == out->max_headers)) {
            out->problem = "too many header lines";
            return MICRO__HTTP_TOO_LARGE;
        }
        p = http_parse_line(p, end, out);
    }
    if (p)
        p = http_parse_line_end(p, end, out);
    if (p && out->chunked && out->has_length)
        out->problem = "both Content-Length and Transfer-Encoding";
    else if (p && out->chunked && out->minor == 0)
        out->problem = "Transfer-Encoding in HTTP/1.0";
    if (MICRO__RARE(!p || out->problem))
        return out->problem ? MICRO__HTTP_BAD : MICRO__HTTP_PARTIAL;
    http_parse_terminate(buf, out);
    return (long)(p - buf);
}

MICRO_PRIVATE size_t micro__http_head_end(const char *buf, size_t len, size_t *scanned)
{
    const char *p = buf + *scanned, *end = buf + len;
    if (!*scanned) { /* it stays 0 until the head has begun: empty lines in front are no end */
        while (p < end && (*p == '\r' || *p == '\n'))
            p++;
        if (p == end)
            return 0;
    }
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        const char *next = p + 1;
        if (next < end && *next == '\r')
            next++;
        if (next == end) { /* this line may be the last one */
            *scanned = (size_t)(p - buf);
            return 0;
        }
        if (*next == '\n')
            return (size_t)(next + 1 - buf);
        p = next;
    }
    *scanned = len;
    return 0;
}

/* ---- chunked bodies ------------------------------------------------------------------------ */

#define HTTP_CHUNK_FREE 16u /* bytes of framing that every chunk may have */

/* What comes next; in braces what has been read. */
enum {
    HTTP_CHUNK_START,     /* the first digit of a size */
    HTTP_CHUNK_SIZE,      /* {digits} more digits, or the end of the size */
    HTTP_CHUNK_SIZE_LF,   /* {size line CR} */
    HTTP_CHUNK_BLANK,     /* {size blanks} or {extension blanks}: only a ';' */
    HTTP_CHUNK_EXT,       /* {';' blanks} a name */
    HTTP_CHUNK_EXT_NAME,  /* {name} */
    HTTP_CHUNK_EXT_EQUAL, /* {name blanks} '=' or ';' */
    HTTP_CHUNK_EXT_VALUE, /* {'=' blanks} a token or a quoted text */
    HTTP_CHUNK_EXT_TOKEN, /* {token} */
    HTTP_CHUNK_QUOTED,    /* {'"'} */
    HTTP_CHUNK_ESCAPED,   /* {'\\'} */
    HTTP_CHUNK_EXT_END,   /* {value} */
    HTTP_CHUNK_DATA,
    HTTP_CHUNK_DATA_CR, /* {data} */
    HTTP_CHUNK_DATA_LF,
    HTTP_CHUNK_TRAILER, /* {line} a name, or the CR of the last line */
    HTTP_CHUNK_NAME,    /* {part of a trailer's name} */
    HTTP_CHUNK_VALUE,   /* {':'} */
    HTTP_CHUNK_LINE_LF, /* {trailer CR} */
    HTTP_CHUNK_LAST_LF, /* {CR} */
    HTTP_CHUNK_DONE,
    HTTP_CHUNK_BAD,
};

static int http_chunk_digit(char c)
{
    char low = micro__lower(c);
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static inline bool http_chunk_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int http_chunk_size(micro__chunked *c, char byte)
{
    int digit = http_chunk_digit(byte);
    if (digit >= 0) {
        if (c->left >> 60)
            return HTTP_CHUNK_BAD;
        c->left = c->left << 4 | (uint64_t)digit;
        return HTTP_CHUNK_SIZE;
    }
    if (c->state == HTTP_CHUNK_START)
        return HTTP_CHUNK_BAD;
    if (byte == '\r')
        return HTTP_CHUNK_SIZE_LF;
    return byte == ';'              ? HTTP_CHUNK_EXT
           : http_chunk_blank(byte) ? HTTP_CHUNK_BLANK
                                    : HTTP_CHUNK_BAD;
}

/* Behind a whole extension, or where one may end. */
static int http_chunk_ext_end(char byte)
{
    return byte == '\r'  ? HTTP_CHUNK_SIZE_LF
           : byte == ';' ? HTTP_CHUNK_EXT
                         : (http_chunk_blank(byte) ? HTTP_CHUNK_BLANK : HTTP_CHUNK_BAD);
}

/* *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ) */
static int http_chunk_ext(int state, char byte)
{
    bool token = http_parse_is(byte, HTTP_PARSE_TOKEN), blank = http_chunk_blank(byte);
    switch (state) {
    case HTTP_CHUNK_BLANK:
        return blank ? state : byte == ';' ? HTTP_CHUNK_EXT : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_EXT:
        return blank ? state : token ? HTTP_CHUNK_EXT_NAME : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_EXT_NAME:
        if (token)
            return state;
        if (byte == '=')
            return HTTP_CHUNK_EXT_VALUE;
        return blank ? HTTP_CHUNK_EXT_EQUAL : http_chunk_ext_end(byte);
    case HTTP_CHUNK_EXT_EQUAL:
        if (blank)
            return state;
        return byte == '=' ? HTTP_CHUNK_EXT_VALUE : byte == ';' ? HTTP_CHUNK_EXT : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_EXT_VALUE:
        if (blank)
            return state;
        return byte == '"' ? HTTP_CHUNK_QUOTED : token ? HTTP_CHUNK_EXT_TOKEN : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_EXT_TOKEN:
        return token ? state : http_chunk_ext_end(byte);
    case HTTP_CHUNK_QUOTED:
        if (byte == '"')
            return HTTP_CHUNK_EXT_END;
        if (byte == '\\')
            return HTTP_CHUNK_ESCAPED;
        return (unsigned char)byte >= 0x20 || byte == '\t' ? state : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_ESCAPED:
        return (unsigned char)byte >= 0x20 || byte == '\t' ? HTTP_CHUNK_QUOTED : HTTP_CHUNK_BAD;
    default: /* HTTP_CHUNK_EXT_END */
        return http_chunk_ext_end(byte);
    }
}

static int http_chunk_trailer(int state, char byte)
{
    switch (state) {
    case HTTP_CHUNK_TRAILER:
        if (byte == '\r')
            return HTTP_CHUNK_LAST_LF;
        return http_parse_is(byte, HTTP_PARSE_TOKEN) ? HTTP_CHUNK_NAME : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_NAME:
        if (byte == ':')
            return HTTP_CHUNK_VALUE;
        return http_parse_is(byte, HTTP_PARSE_TOKEN) ? HTTP_CHUNK_NAME : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_VALUE:
        if (byte == '\r')
            return HTTP_CHUNK_LINE_LF;
        return byte == '\n' || byte == '\0' ? HTTP_CHUNK_BAD : HTTP_CHUNK_VALUE;
    case HTTP_CHUNK_LINE_LF:
        return byte == '\n' ? HTTP_CHUNK_TRAILER : HTTP_CHUNK_BAD;
    default: /* HTTP_CHUNK_LAST_LF */
        return byte == '\n' ? HTTP_CHUNK_DONE : HTTP_CHUNK_BAD;
    }
}

/* The state behind a byte that is not data. */
static int http_chunk_next(micro__chunked *c, char byte)
{
    switch (c->state) {
    case HTTP_CHUNK_START:
    case HTTP_CHUNK_SIZE:
        return http_chunk_size(c, byte);
    case HTTP_CHUNK_SIZE_LF:
        if (byte != '\n')
            return HTTP_CHUNK_BAD;
        return c->left ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;
    case HTTP_CHUNK_DATA_CR:
        return byte == '\r' ? HTTP_CHUNK_DATA_LF : HTTP_CHUNK_BAD;
    case HTTP_CHUNK_DATA_LF:
        return byte == '\n' ? HTTP_CHUNK_START : HTTP_CHUNK_BAD;
    default:
        return c->state < HTTP_CHUNK_DATA ? http_chunk_ext(c->state, byte)
                                          : http_chunk_trailer(c->state, byte);
    }
}

/* Moves as much of the chunk as there is. */
static size_t http_chunk_data(micro__chunked *c, char *to, const char *from, size_t len)
{
    size_t n = c->left < len ? (size_t)c->left : len;
    if (to != from)
        memmove(to, from, n);
    c->left -= n;
    /* Data excuses overhead: small chunks are no attack, long extensions of small chunks are. */
    size_t excused = n > SIZE_MAX / 2 ? SIZE_MAX : 2 * n;
    c->overhead -= excused < c->overhead ? excused : c->overhead;
    if (!c->left) {
        c->overhead -= c->overhead < HTTP_CHUNK_FREE ? c->overhead : HTTP_CHUNK_FREE;
        c->state = HTTP_CHUNK_DATA_CR;
    }
    return n;
}

MICRO_PRIVATE int micro__chunked_feed(micro__chunked *c, char *in, size_t *len, size_t *body)
{
    size_t pos = 0;
    *body = 0;
    while (pos < *len && c->state != HTTP_CHUNK_DONE && c->state != HTTP_CHUNK_BAD) {
        if (c->state == HTTP_CHUNK_DATA) {
            size_t n = http_chunk_data(c, in + *body, in + pos, *len - pos);
            *body += n;
            pos += n;
            continue;
        }
        c->state = ++c->overhead > MICRO_MAX_HEADER ? HTTP_CHUNK_BAD : http_chunk_next(c, in[pos]);
        pos++;
    }
    *len = pos;
    return c->state == HTTP_CHUNK_BAD ? MICRO__HTTP_BAD : c->state == HTTP_CHUNK_DONE;
}

#undef HTTP_CHUNK_FREE
#undef HTTP_PARSE_EACH
#undef HTTP_PARSE_WORD
#undef HTTP_PARSE_HASH
