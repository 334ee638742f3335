/* SPDX-License-Identifier: MIT */
/* What the files of this folder share among themselves. */
#ifndef MICRO_CODEC_INNER_H
#define MICRO_CODEC_INNER_H

#include "codec.h"

/* ---- type.c --------------------------------------------------------------------------------- */

/* Length of a member's name on the wire: without one trailing underscore. */
static inline size_t micro__field_name_len(const micro_field *f)
{
    size_t len = strlen(f->name);
    return len > 1 && f->name[len - 1] == '_' ? len - 1 : len;
}

/* The row that a member name means: the table's name, or else it or its camelCase form in any
 * letter case; nfields if there is none. */
MICRO_PRIVATE uint32_t micro__type_find(const micro_type *type, micro_str name);
/* The row with a tag, NULL: none. */
MICRO_PRIVATE const micro_field *micro__type_tagged(const micro_type *type, uint32_t tag);
/* Makes a member what it is in a zeroed message. */
MICRO_PRIVATE void micro__field_zero(const micro_field *f, void *obj);
/* What zero memory needs to be a zero value of the field's kind: "" in strings. */
MICRO_PRIVATE void micro__field_fill(const micro_field *f, void *slot);
/* Whether a member is to be written. A message by value says yes: its writer finds out. */
MICRO_PRIVATE bool micro__field_set(const micro_field *f, const char *obj);
/* Whether nothing would be written of a message. */
MICRO_PRIVATE bool micro__type_nothing(const micro_type *type, const char *obj);
/* Points slot at the member's first value and tells how many there are. False: the object is not
 * sound (a length without a pointer, more than fit). Oneof and has_ are not looked at. */
MICRO_PRIVATE bool micro__field_values(const micro_field *f, const char *obj, const char **slot,
                                       size_t *n);
/* False: which_ names no member of the oneof that row i begins; of its other rows always true. */
MICRO_PRIVATE bool micro__type_which_ok(const micro_type *type, uint32_t i, const char *obj);
/* Enum members have the size that the compiler gave them. store: false if v does not fit. */
MICRO_PRIVATE int32_t micro__enum_load(const micro_field *f, const void *slot);
MICRO_PRIVATE bool micro__enum_store(const micro_field *f, void *slot, int64_t v);
MICRO_PRIVATE const char *micro__enum_name(const micro_enum *e, int32_t number); /* NULL: none */

/* What a kind of integer holds at most, below and above zero; of other kinds nothing. */
typedef struct micro__int_range {
    uint64_t below, above;
} micro__int_range;
MICRO_PRIVATE const micro__int_range micro__int_ranges[MICRO_KIND_chars + 1];

/* A member as a number: kinds without sign have neg false. Not for floats, texts and messages. */
MICRO_PRIVATE uint64_t micro__int_load(const micro_field *f, const void *slot, bool *neg);
MICRO_PRIVATE bool micro__int_store(const micro_field *f, void *slot, uint64_t mag, bool neg);

/* A list while it is being filled, in place of the list in the object. */
typedef struct micro__fill {
    char *ptr;
    size_t len, cap;
} micro__fill;

MICRO_PRIVATE micro__fill micro__list_load(const void *list);
MICRO_PRIVATE void micro__list_store(void *list, const micro__fill *l);
/* Room for more elements in the arena; false: out of memory. */
MICRO_PRIVATE bool micro__list_room(micro__arena *a, micro__fill *l, size_t more, size_t size);

static inline void *micro__pointer_load(const void *slot)
{
    void *p;
    memcpy(&p, slot, sizeof p);
    return p;
}
static inline void micro__pointer_store(void *slot, const void *p)
{
    memcpy(slot, &p, sizeof p);
}

static inline bool micro__little_endian(void) /* known to the compiler */
{
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 1;
}

/* ---- where.c: what went wrong and where, for the text of an error ------------------------------
 * Whoever fails says what; on the way out every level puts its step in front. While all is well
 * this costs nothing. */

typedef struct micro__where {
    micro_err err;    /* of the first failure; OK: none */
    const char *what; /* NULL: malformed JSON at byte */
    size_t byte;
    size_t at; /* the path is text[at...], filled from its end */
    char text[160];
} micro__where;

static inline void micro__where_init(micro__where *w)
{
    w->err = MICRO_OK;
    w->at = sizeof w->text;
}
/* These return false. */
MICRO_PRIVATE bool micro__where_fail(micro__where *w, micro_err err, const char *what);
MICRO_PRIVATE bool micro__where_field(micro__where *w, const micro_field *f);
MICRO_PRIVATE bool micro__where_index(micro__where *w, size_t index);
MICRO_PRIVATE bool micro__where_key(micro__where *w, micro_str key);
/* Leaves "path: what" in ctx and returns err. */
MICRO_PRIVATE micro_err micro__where_report(const micro__where *w, micro_ctx *ctx);
/* Takes back what was appended behind len, a failure of the buffer too. err is in ctx already; OK:
 * it was the buffer that failed, and ctx is told. */
MICRO_PRIVATE micro_err micro__undo(micro_ctx *ctx, micro_buf *out, size_t len, micro_err err);

/* ---- map.c ---------------------------------------------------------------------------------- */

/* Indices of n elements of a map in the order of their keys; *order is NULL if they stand so
 * already. by_text: numbers as text. False: out of memory. */
MICRO_PRIVATE bool micro__map_order(micro__arena *a, const void *base, size_t n, size_t stride,
                                    const micro_field *key, bool by_text, uint32_t **order);
/* Drops elements whose key comes again later; false: out of memory. */
MICRO_PRIVATE bool micro__map_dedupe(micro__arena *a, void *base, size_t *n, size_t stride,
                                     const micro_field *key);

/* ---- json_text.c: tokens -------------------------------------------------------------------- */

enum micro__json_classes {
    MICRO__JSON_STOP = 1, /* quote, backslash, control */
    MICRO__JSON_HIGH = 2, /* not ASCII */
    MICRO__JSON_HTML = 4  /* < > & */
};
MICRO_PRIVATE const uint8_t micro__json_class[256];

/* Not 0 if one of the eight bytes at p is of one of the classes; STOP is always looked for. The
 * lowest bit is in the first such byte of a little-endian machine; others may be set above it. */
static inline uint64_t micro__json_special(const char *p, unsigned classes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones * 0x80;
    uint64_t w, back, quote, angle = tops;

    memcpy(&w, p, sizeof w);
    back = w ^ ones * '\\';
    if (classes & MICRO__JSON_HTML) { /* & differs from a quote, < from >, in one bit */
        quote = (w | ones * 4) ^ ones * '&';
        angle = (w | ones * 2) ^ ones * '>';
    } else {
        quote = w ^ ones * '"';
    }
    if (classes & MICRO__JSON_HIGH) /* what these would find beside it is of that class anyway */
        return ((w - ones * 0x20) | (back - ones) | (quote - ones) | (angle - ones) | w) & tops;
    uint64_t found = ((w - ones * 0x20) & ~w) | ((back - ones) & ~back) | ((quote - ones) & ~quote);
    if (classes & MICRO__JSON_HTML)
        found |= (angle - ones) & ~angle;
    return found & tops;
}

#if MICRO__SSE2

/* The same for sixteen bytes: a bit for each that is of one of the classes, the first one's lowest.
 */
static inline unsigned micro__json_special16(const char *p, unsigned classes)
{
    __m128i w = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i found =
        _mm_or_si128(_mm_cmpeq_epi8(w, _mm_set1_epi8('"')), _mm_cmpeq_epi8(w, _mm_set1_epi8('\\')));

    found = _mm_or_si128(found, _mm_cmpeq_epi8(_mm_min_epu8(w, _mm_set1_epi8(0x1f)), w));
    if (classes & MICRO__JSON_HTML) { /* < differs from > in one bit */
        __m128i angle = _mm_or_si128(w, _mm_set1_epi8(2));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(angle, _mm_set1_epi8('>')));
        found = _mm_or_si128(found, _mm_cmpeq_epi8(w, _mm_set1_epi8('&')));
    }
    if (classes & MICRO__JSON_HIGH)
        found = _mm_or_si128(found, w); /* of a byte its highest bit is looked at */
    return (unsigned)_mm_movemask_epi8(found);
}

#endif

/* The first byte from p on that is of one of the classes, or end. */
static inline const char *micro__json_run(const char *p, const char *end, unsigned classes)
{
#if MICRO__SSE2
    for (; end - p >= 16; p += 16) {
        unsigned found = micro__json_special16(p, classes);
        if (found)
            return p + micro__ctz64(found);
    }
#endif
    while (end - p >= 8) {
        uint64_t found = micro__json_special(p, classes);
        if (found && micro__little_endian())
            return p + micro__ctz64(found) / 8;
        if (found)
            break;
        p += 8;
    }
    while (p < end && !(micro__json_class[(unsigned char)*p] & classes))
        p++;
    return p;
}

typedef struct micro__json_in {
    micro_ctx *ctx;
    char *start, *end; /* *end is NUL while reading: no scan needs a limit */
    unsigned depth;
    micro__where where;
} micro__json_in;

/* Notes a failure; returns NULL, as everything that reads does when it fails. */
MICRO_PRIVATE char *micro__json_fail(micro__json_in *in, micro_err err, const char *what);
MICRO_PRIVATE char *micro__json_syntax(micro__json_in *in, const char *p);
/* One level deeper; NULL: too deep. */
MICRO_PRIVATE char *micro__json_enter(micro__json_in *in, char *p);
/* Un-escapes from in to out, which may be the same; NULL: a bad escape or UTF-8. */
MICRO_PRIVATE char *micro__json_unescape(const char *in, size_t len, char *out);
/* The end of a string whose opening quote is before p; NULL: none. escaped: it holds escapes. */
MICRO_PRIVATE const char *micro__json_string_end(const char *p, const char *end, bool *escaped);
static inline const char *micro__json_close(const char *p, const char *end, bool *escaped)
{
    const char *close = micro__json_run(p, end, MICRO__JSON_STOP);
    if (MICRO__RARE(close == end || *close != '"'))
        return micro__json_string_end(p, end, escaped);
    *escaped = false;
    return close;
}
MICRO_PRIVATE const char *micro__json_number_end(const char *p, const char *end); /* NULL: none */
/* A number without a fraction, in any notation ("1e3", "5.0"); false: it has one, or no 64 bits. */
MICRO_PRIVATE bool micro__json_integer(const char *p, const char *end, uint64_t *mag, bool *neg);
/* As micro__json_skip, at a depth; *deep says that depth was the reason. */
MICRO_PRIVATE const char *micro__json_skip_at(const char *p, const char *end, unsigned depth,
                                              bool *deep);
/* A string with escapes, with other than ASCII, or wrong; run is the first such place. */
MICRO_PRIVATE char *micro__json_string_slow(micro__json_in *in, char *start, const char *run,
                                            micro_str *out);

/* The string whose opening quote is before p: un-escaped and terminated in place. Returns the place
 * behind the closing quote. */
static inline char *micro__json_string(micro__json_in *in, char *p, micro_str *out)
{
    const char *run = micro__json_run(p, in->end, MICRO__JSON_STOP | MICRO__JSON_HIGH);
    char *close = p + (run - p);

    if (MICRO__RARE(*close != '"'))
        return micro__json_string_slow(in, p, run, out);
    *close = 0;
    out->ptr = p;
    out->len = (size_t)(close - p);
    return close + 1;
}

static inline const char *micro__json_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* The same where a NUL ends the text. */
static inline char *micro__json_next(char *p)
{
    while (MICRO__RARE((unsigned char)*p <= ' ')) {
        if (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t')
            break;
        p++;
    }
    return p;
}

/* ---- proto_read.c, proto_write.c ------------------------------------------------------------ */

/* Wire types of protobuf, and the one that each kind has. */
enum micro__proto_wires {
    MICRO__PROTO_VARINT = 0,
    MICRO__PROTO_64 = 1,
    MICRO__PROTO_BYTES = 2,
    MICRO__PROTO_GROUP = 3,
    MICRO__PROTO_END = 4,
    MICRO__PROTO_32 = 5
};
MICRO_PRIVATE const uint8_t micro__proto_wire[MICRO_KIND_chars + 1];

typedef struct micro__proto_token {
    uint32_t key;       /* tag * 8 + wire type */
    uint64_t value;     /* of a varint */
    const uint8_t *ptr; /* what others hold, len bytes; of a group and a varint NULL */
    size_t len;
} micro__proto_token;

MICRO_PRIVATE const uint8_t *micro__proto_varint_slow(const uint8_t *p, const uint8_t *end,
                                                      uint64_t *v);
/* Skips to behind the end of a group; NULL: malformed, or *deep. */
MICRO_PRIVATE const uint8_t *micro__proto_group(const uint8_t *p, const uint8_t *end,
                                                unsigned depth, uint32_t tag, bool *deep);
MICRO_PRIVATE void micro__proto_put_varint(micro_buf *out, uint64_t v);

static inline const uint8_t *micro__proto_varint(const uint8_t *p, const uint8_t *end, uint64_t *v)
{
    if (MICRO__RARE(p >= end || *p >= 0x80))
        return micro__proto_varint_slow(p, end, v);
    *v = *p;
    return p + 1;
}

/* The field at p, a group as a whole; the place behind it. NULL: malformed, or *deep. */
static inline const uint8_t *micro__proto_next(const uint8_t *p, const uint8_t *end, unsigned depth,
                                               micro__proto_token *t, bool *deep)
{
    const uint8_t *start = p;
    uint64_t key, len;

    p = micro__proto_varint(p, end, &key);
    if (MICRO__RARE(!p || key < 8 || key > UINT32_MAX || p - start > 5))
        return NULL;
    t->key = (uint32_t)key;
    t->ptr = NULL;
    switch (key & 7) {
    case MICRO__PROTO_VARINT:
        return micro__proto_varint(p, end, &t->value);
    case MICRO__PROTO_BYTES:
        p = micro__proto_varint(p, end, &len);
        if (MICRO__RARE(!p))
            return NULL;
        break;
    case MICRO__PROTO_64:
        len = 8;
        break;
    case MICRO__PROTO_32:
        len = 4;
        break;
    case MICRO__PROTO_GROUP:
        return micro__proto_group(p, end, depth, t->key >> 3, deep);
    default:
        return NULL;
    }
    if (MICRO__RARE((size_t)(end - p) < len))
        return NULL;
    t->ptr = p;
    t->len = (size_t)len;
    return p + len;
}

/* Copies text. The result has a top bit of a byte set unless the text is short and ASCII. */
static inline uint64_t micro__text_copy(char *to, const char *from, size_t len)
{
    uint64_t a8, b8;
    uint32_t a4, b4;
    if (len > 16) {
        memcpy(to, from, len);
        return 0x80;
    }
    if (len >= 8) { /* in two pieces that may overlap */
        memcpy(&a8, from, 8);
        memcpy(&b8, from + len - 8, 8);
        memcpy(to, &a8, 8);
        memcpy(to + len - 8, &b8, 8);
        return a8 | b8;
    }
    if (len >= 4) {
        memcpy(&a4, from, 4);
        memcpy(&b4, from + len - 4, 4);
        memcpy(to, &a4, 4);
        memcpy(to + len - 4, &b4, 4);
        return a4 | b4;
    }
    uint64_t all = 0;
    for (size_t i = 0; i < len; i++)
        all |= (unsigned char)(to[i] = from[i]);
    return all;
}

#define MICRO__TEXT_HIGH UINT64_C(0x8080808080808080) /* of what text_copy returns */

/* ---- json_read.c, json_write.c, value.c ----------------------------------------------------- */

typedef struct micro__json_out {
    micro_ctx *ctx;
    micro_buf *buf;
    unsigned flags;
    unsigned depth;
    micro__where where; /* of a failure that is not the buffer's */
} micro__json_out;

MICRO_PRIVATE bool micro__json_deeper(micro__json_out *out); /* false: too deep */
MICRO_PRIVATE bool micro__json_write_double(micro__json_out *out, double v, bool single);
MICRO_PRIVATE char *micro__value_read(micro__json_in *in, char *p, micro_value *v);
MICRO_PRIVATE bool micro__value_write(micro__json_out *out, const micro_value *v);

#endif
