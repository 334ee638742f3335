/* SPDX-License-Identifier: MIT */
/* What every part of the library stands on: memory, strings, buffers, header maps, encodings,
 * errors, log. No operating system call is made here. */
#ifndef MICRO_BASE_H
#define MICRO_BASE_H

#include "../../micro.h"
#include "config.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- compiler block: the only place with extensions ---------------------------------------- */

#if defined(MICRO_AMALGAMATION)
#define MICRO_PRIVATE static     /* declarations and definitions of functions shared by files */
#define MICRO_PRIVATE_DEF static /* definitions of data declared MICRO_PRIVATE */
#elif defined(__GNUC__)
#define MICRO_PRIVATE extern __attribute__((visibility("hidden")))
#define MICRO_PRIVATE_DEF
#else
#define MICRO_PRIVATE extern
#define MICRO_PRIVATE_DEF
#endif

#if defined(__GNUC__)
#define MICRO__RARE(x) __builtin_expect(!!(x), 0)
#define MICRO__UNUSED __attribute__((unused))
#define MICRO__NOINLINE __attribute__((noinline))
#else
#define MICRO__RARE(x) (x)
#define MICRO__UNUSED
#define MICRO__NOINLINE
#endif

#if defined(__SSE2__)
#include <emmintrin.h>
#define MICRO__SSE2 1
#else
#define MICRO__SSE2 0
#endif

/* The high half of a * b; the low half goes to *low. */
#if defined(__SIZEOF_INT128__)
__extension__ typedef unsigned __int128 micro__u128;
static inline uint64_t micro__mul64(uint64_t a, uint64_t b, uint64_t *low)
{
    micro__u128 product = (micro__u128)a * b;
    *low = (uint64_t)product;
    return (uint64_t)(product >> 64);
}
#else
static inline uint64_t micro__mul64(uint64_t a, uint64_t b, uint64_t *low)
{
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t mid = a1 * b0 + (a0 * b0 >> 32);
    uint64_t mid2 = a0 * b1 + (uint32_t)mid;
    *low = a * b;
    return a1 * b1 + (mid >> 32) + (mid2 >> 32);
}
#endif

/* Zero bits above the highest one; v is not 0. */
static inline int micro__clz64(uint64_t v)
{
#if defined(__GNUC__)
    return __builtin_clzll(v);
#else
    int n = 0;
    for (; !(v >> 56); v <<= 8)
        n += 8;
    for (; !(v >> 63); v <<= 1)
        n++;
    return n;
#endif
}

/* Zero bits below the lowest one; v is not 0. */
static inline int micro__ctz64(uint64_t v)
{
#if defined(__GNUC__)
    return __builtin_ctzll(v);
#else
    return 63 - micro__clz64(v & (0 - v));
#endif
}

/* ---- alloc.c ------------------------------------------------------------------------------- */

/* The one way to get heap memory. old_size is what was asked for; new_size 0 frees and gives NULL.
 * NULL otherwise: out of memory, old is untouched. */
MICRO_PRIVATE void *micro__realloc(void *old, size_t old_size, size_t new_size);
MICRO_PRIVATE void *micro__alloc(size_t size); /* not zeroed */
MICRO_PRIVATE void *micro__alloc_zero(size_t size);
MICRO_PRIVATE void micro__free(void *old, size_t size); /* NULL is fine */
MICRO_PRIVATE char *micro__strdup(const char *text);    /* NULL gives NULL; free with strfree */
MICRO_PRIVATE void micro__strfree(char *text);

/* ---- arena.c ----------------------------------------------------------------------------------
 * Memory that is freed all at once. The first chunk may be lent; others come from the heap. */

typedef struct micro__chunk { /* in front of the memory of a chunk */
    struct micro__chunk *prev;
    size_t size; /* of the whole block; lowest bit set: lent, not freed */
} micro__chunk;

typedef struct micro__arena {
    char *pos, *end;     /* free part of the newest chunk */
    micro__chunk *chunk; /* newest */
    bool failed;         /* sticky: something did not get its memory */
} micro__arena;

typedef struct micro__mark {
    micro__chunk *chunk;
    char *pos;
} micro__mark;

/* lent may be NULL, and stays the caller's. */
MICRO_PRIVATE void micro__arena_init(micro__arena *a, void *lent, size_t size);
MICRO_PRIVATE void *micro__arena_grow(micro__arena *a, size_t size); /* slow path of _take */
/* zeroed, 16-aligned; NULL: failed is set */
MICRO_PRIVATE void *micro__arena_zero(micro__arena *a, size_t size);
/* A terminated copy; text may be NULL if len is 0. */
MICRO_PRIVATE char *micro__arena_text(micro__arena *a, const char *text, size_t len);
/* Extends the newest allocation in place if it ends at pos and fits; else moves it. Contents are
 * kept, and old is as it was if NULL is returned. */
MICRO_PRIVATE void *micro__arena_extend(micro__arena *a, void *old, size_t old_size,
                                        size_t new_size);
MICRO_PRIVATE micro__mark micro__arena_mark(const micro__arena *a);
MICRO_PRIVATE void micro__arena_rewind(micro__arena *a, micro__mark to); /* also clears failed */
/* Puts behind a all that from holds, which is empty afterwards; from has no lent chunk. */
MICRO_PRIVATE void micro__arena_adopt(micro__arena *a, micro__arena *from);
MICRO_PRIVATE void micro__arena_free(micro__arena *a); /* to what it was after init */

/* For some hundred bytes: of a size that they know compilers make a string instruction, which takes
 * twice as long as the function. */
static inline void micro__zero(void *p, size_t size)
{
    volatile size_t unknown = size;
    memset(p, 0, unknown);
}

/* size bytes, 16-aligned, not zeroed. */
static inline void *micro__arena_take(micro__arena *a, size_t size)
{
    size_t need = (size + 15u) & ~(size_t)15u;
    if (MICRO__RARE(need - 1 >= (size_t)(a->end - a->pos))) /* also if need has wrapped to 0 */
        return micro__arena_grow(a, size);
    void *p = a->pos;
    a->pos += need;
    return p;
}

/* ---- buf.c ------------------------------------------------------------------------------------
 * A growing run of bytes on the heap. Failure sticks: append freely, look at failed once. */

struct micro_buf {
    char *ptr;
    size_t len, cap;
    size_t max;   /* more than this fails; 0: no limit */
    bool failed;  /* nothing is appended any more; what came before is still there */
    bool toobig;  /* failed because of max */
    size_t spare; /* bytes behind cap that a failed buffer still owns */
};

/* Slow path: room for more bytes behind len. */
MICRO_PRIVATE bool micro__buf_grow(micro_buf *b, size_t more);
MICRO_PRIVATE void micro__buf_free(micro_buf *b); /* also resets it, but for max */
MICRO_PRIVATE void
micro__buf_mend(micro_buf *b); /* fails no more: what it owns is its room again */
MICRO_PRIVATE void micro__buf_text(micro_buf *b, const char *text);
MICRO_PRIVATE void micro__buf_str(micro_buf *b, micro_str s);
MICRO_PRIVATE void micro__buf_u64(micro_buf *b, uint64_t v); /* decimal */
MICRO_PRIVATE void micro__buf_i64(micro_buf *b, int64_t v);
MICRO_PRIVATE void micro__buf_format(micro_buf *b, const char *fmt, ...) MICRO_PRINTF_(2, 3);

/* Room for n > 0 more bytes at the returned place, or NULL; the caller adds to len. */
static inline char *micro__buf_room(micro_buf *b, size_t n)
{
    if (MICRO__RARE(b->cap - b->len < n) && !micro__buf_grow(b, n))
        return NULL;
    return b->ptr + b->len;
}

static inline void micro__buf_byte(micro_buf *b, char c)
{
    char *p = micro__buf_room(b, 1);
    if (p) {
        *p = c;
        b->len++;
    }
}

static inline void micro__buf_add(micro_buf *b, const void *data, size_t n)
{
    char *p = n ? micro__buf_room(b, n) : NULL;
    if (p) {
        memcpy(p, data, n);
        b->len += n;
    }
}

/* ---- str.c --------------------------------------------------------------------------------- */

static inline micro_str micro__str(const char *ptr, size_t len)
{
    micro_str s = { ptr, len };
    return s;
}
static inline char micro__lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}
static inline bool micro__is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool micro__is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}
MICRO_PRIVATE bool micro__str_is(micro_str s, const char *text);        /* exact */
MICRO_PRIVATE bool micro__str_is_nocase(micro_str s, const char *text); /* ASCII */
MICRO_PRIVATE bool micro__str_starts(micro_str s, const char *prefix);
MICRO_PRIVATE bool micro__str_ends(micro_str s, const char *suffix);
MICRO_PRIVATE int micro__str_cmp(micro_str a, micro_str b); /* byte order */
MICRO_PRIVATE micro_str micro__str_trim(micro_str s);       /* spaces and tabs */
/* Cuts s at the first c: returns what stands before it, *rest what follows; without c all of s and
 * "". rest may be &s. */
MICRO_PRIVATE micro_str micro__str_cut(micro_str s, char c, micro_str *rest);
MICRO_PRIVATE uint64_t micro__str_hash(micro_str s); /* stable within a process */
MICRO_PRIVATE bool micro__utf8_valid(const char *p, size_t len);

/* ---- num.c --------------------------------------------------------------------------------- */

/* Whole text, decimal digits only (i64: with an optional '-'). False: malformed or out of range. */
MICRO_PRIVATE bool micro__parse_u64(micro_str s, uint64_t *out);
MICRO_PRIVATE bool micro__parse_i64(micro_str s, int64_t *out);
MICRO_PRIVATE size_t micro__format_u64(char out[20], uint64_t v); /* not terminated */
/* Go's duration text ("1h30m", "250ms", "1.5s") to milliseconds, rounded up. False: malformed,
 * negative, out of Go's range (292 years). */
MICRO_PRIVATE bool micro__parse_duration(micro_str s, int64_t *ms);

/* ---- float.c ----------------------------------------------------------------------------------
 * No locale, no libc: the same text everywhere. */

/* Shortest text that reads back as v, in Go's encoding/json form (exponent below 1e-6 and from
 * 1e21); not terminated. 0 for infinities and NaN, which JSON cannot say. */
MICRO_PRIVATE size_t micro__format_double(char out[32], double v);
MICRO_PRIVATE size_t micro__format_float(char out[32], float v);
/* JSON number grammar, rounded correctly; overflow is false. */
MICRO_PRIVATE bool micro__parse_double(micro_str s, double *out);

/* ---- pairs.c ----------------------------------------------------------------------------------
 * micro_pairs as an ordered map whose keys compare without case. */

MICRO_PRIVATE const micro_pair *micro__pairs_find(const micro_pairs *m, micro_str key);
MICRO_PRIVATE micro_str micro__pairs_get(const micro_pairs *m, const char *key); /* or "" */
/* Appends without looking and without copying; false: out of memory. Storage comes from a. */
MICRO_PRIVATE bool micro__pairs_add(micro__arena *a, micro_pairs *m, micro_str key,
                                    micro_str value);
/* Replaces or appends; copies both. Of several with that key one is left. */
MICRO_PRIVATE bool micro__pairs_set(micro__arena *a, micro_pairs *m, micro_str key,
                                    micro_str value);
MICRO_PRIVATE void micro__pairs_del(micro_pairs *m, micro_str key); /* all of them; keeps order */
MICRO_PRIVATE void micro__pairs_sort(micro_pairs *m); /* by key, byte order, stable, no memory */
/* Deep; false: out of memory, to is empty. */
MICRO_PRIVATE bool micro__pairs_copy(micro__arena *a, micro_pairs *to, const micro_pairs *from);

/* Grows a MICRO_LIST in an arena by one zeroed element; false: out of memory. What micro_append is.
 * cap 0 marks memory that is not the arena's: it is copied before it grows. */
MICRO_PRIVATE bool micro__list_grow(micro__arena *a, void *list, size_t element_size);

/* ---- enc.c --------------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__base64_encode(micro_buf *out, const void *data, size_t len); /* padded */
/* Standard or URL alphabet, with or without padding, line ends skipped (as Go does); out holds at
 * least len * 3 / 4 bytes and may be in. False: malformed. */
MICRO_PRIVATE bool micro__base64_decode(const char *in, size_t len, uint8_t *out, size_t *out_len);
MICRO_PRIVATE void micro__hex_encode(char *out, const void *data, size_t len); /* lower case */
/* any case; false: odd, or no hex */
MICRO_PRIVATE bool micro__hex_decode(uint8_t *out, const char *in, size_t len);
MICRO_PRIVATE void micro__uuid_format(char out[37], const uint8_t random[16]); /* version 4 */

/* ---- url.c --------------------------------------------------------------------------------- */

/* "host:port", "[v6]:port", ":port", "host", "[v6]" (port 0 = absent). The host has no brackets.
 * False: malformed; that includes "", "host:" and a v6 address without brackets. */
MICRO_PRIVATE bool micro__hostport_parse(micro_str s, micro_str *host, uint16_t *port);
/* Brackets the host if it holds a colon; the port is always written. Terminated. Returns the
 * length, or 0 if out is too small. */
MICRO_PRIVATE size_t micro__hostport_format(char *out, size_t size, micro_str host, uint16_t port);
/* Text as a value of a query. */
MICRO_PRIVATE void micro__query_quote(micro_buf *out, micro_str text);
/* The first value of a name in a query, unquoted and terminated; "" if there is none, or it is
 * malformed or has size characters or more as it stands there. */
MICRO_PRIVATE void micro__query_get(micro_str query, const char *name, char *out, size_t size);

/* ---- inflate.c and deflate.c, or zlib.c ---------------------------------------------------- */

/* zlib streams (RFC 1950). inflate: EFORMAT for a damaged stream or trailing garbage, ETOOBIG
 * beyond max bytes, ENOMEM. out is appended to; what a failed call has appended is taken back.
 * deflate: ENOMEM, ETOOBIG (out's max). */
MICRO_PRIVATE micro_err micro__zlib_inflate(const uint8_t *in, size_t len, size_t max,
                                            micro_buf *out);
MICRO_PRIVATE micro_err micro__zlib_deflate(const uint8_t *in, size_t len, micro_buf *out);
#if !MICRO_ENABLE_ZLIB
MICRO_PRIVATE uint32_t micro__adler32(const uint8_t *data, size_t len);
#endif

/* ---- opts.c -------------------------------------------------------------------------------- */

/* A user's structure with `size_` from_size (0: that of 1.0) into ours of size bytes; what it does
 * not have is zero. EVERSION: it sets something that this library does not know. */
MICRO_PRIVATE micro_err micro__opts_read(void *to, size_t size, const void *from,
                                         uint32_t from_size);

/* ---- error.c ------------------------------------------------------------------------------- */

/* HTTP reason phrase as Go has it, "" if unknown. */
MICRO_PRIVATE const char *micro__status_text(int code);

/* ---- log.c: public functions; micro__log_on says whether a level is wanted ----------------- */

MICRO_PRIVATE bool micro__log_on(int level);
MICRO_PRIVATE void micro__log_level(int level); /* keeps the sink */
/* From here on this thread's lines say which endpoint is served, and in which trace; NULL: none.
 * Returns what was there before. */
MICRO_PRIVATE const micro_ctx *micro__log_scope(const micro_ctx *ctx);

#endif
