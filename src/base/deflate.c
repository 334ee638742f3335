/* SPDX-License-Identifier: MIT */
/* Writes zlib streams: one block of fixed Huffman codes, matches found through hash chains. Made
 * for texts of some kilobytes; 12 KiB of memory while it runs. */
#include "base.h"

#if !MICRO_ENABLE_ZLIB

#define DEFLATE_HASH_BITS 11
#define DEFLATE_WINDOW 4096u /* how far back a match may lie; a power of two */
#define DEFLATE_MIN 3
#define DEFLATE_MAX 258
#define DEFLATE_TRIES 128 /* candidates looked at for each place */

/* Positions are kept modulo 2^16. A stale one does no harm: what it points at is compared. */
typedef struct deflate_state {
    const uint8_t *in;
    size_t len;
    micro_buf *out;
    uint32_t bits;
    unsigned nbits;
    uint16_t head[1 << DEFLATE_HASH_BITS]; /* newest position + 1 of a hash; 0: none */
    uint16_t prev[DEFLATE_WINDOW];         /* position + 1 of the one before with the same hash */
} deflate_state;

static void deflate_put(deflate_state *s, unsigned value, unsigned n)
{
    s->bits |= value << s->nbits;
    s->nbits += n;
    for (; s->nbits >= 8; s->nbits -= 8, s->bits >>= 8)
        micro__buf_byte(s->out, (char)(s->bits & 0xff));
}

/* Huffman codes go out highest bit first. */
static void deflate_put_code(deflate_state *s, unsigned code, unsigned n)
{
    unsigned turned = 0;

    for (unsigned i = 0; i < n; i++)
        turned |= (code >> i & 1) << (n - 1 - i);
    deflate_put(s, turned, n);
}

static void deflate_symbol(deflate_state *s, unsigned symbol)
{
    if (symbol < 144)
        deflate_put_code(s, 0x30 + symbol, 8);
    else if (symbol < 256)
        deflate_put_code(s, 0x190 + symbol - 144, 9);
    else if (symbol < 280)
        deflate_put_code(s, symbol - 256, 7);
    else
        deflate_put_code(s, 0xc0 + symbol - 280, 8);
}

/* Lengths and distances come in groups of 4 (2) of the same number of further bits, which grows by
 * one from group to group. value counts from 0. Returns the symbol. */
static unsigned deflate_group(unsigned value, unsigned group_bits, unsigned *extra)
{
    unsigned top = 0;

    while (value >> top > 1)
        top++;
    *extra = top > group_bits ? top - group_bits : 0;
    return (*extra << group_bits) + (value >> *extra);
}

static void deflate_match(deflate_state *s, unsigned len, unsigned distance)
{
    unsigned extra, symbol = 285;

    if (len < DEFLATE_MAX) {
        symbol = 257 + deflate_group(len - DEFLATE_MIN, 2, &extra);
        deflate_symbol(s, symbol);
        deflate_put(s, (len - DEFLATE_MIN) & ((1u << extra) - 1), extra);
    } else {
        deflate_symbol(s, symbol);
    }
    symbol = deflate_group(distance - 1, 1, &extra);
    deflate_put_code(s, symbol, 5);
    deflate_put(s, (distance - 1) & ((1u << extra) - 1), extra);
}

static unsigned deflate_hash(const uint8_t *p)
{
    uint32_t v = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;

    return v * UINT32_C(2654435761) >> (32 - DEFLATE_HASH_BITS);
}

static void deflate_insert(deflate_state *s, size_t at)
{
    if (s->len - at < DEFLATE_MIN)
        return;
    unsigned h = deflate_hash(s->in + at);
    s->prev[at % DEFLATE_WINDOW] = s->head[h];
    s->head[h] = (uint16_t)(at + 1);
}

static size_t deflate_same(const uint8_t *a, const uint8_t *b, size_t most)
{
    size_t n = 0;

    while (n < most && a[n] == b[n])
        n++;
    return n;
}

/* The longest match for what stands at `at` (not yet inserted); 0: none that is worth it. */
static size_t deflate_find(const deflate_state *s, size_t at, unsigned *distance)
{
    size_t most = s->len - at < DEFLATE_MAX ? s->len - at : DEFLATE_MAX, best = DEFLATE_MIN - 1;
    unsigned last = 0;

    if (most < DEFLATE_MIN)
        return 0;
    unsigned next = s->head[deflate_hash(s->in + at)];
    for (int tries = DEFLATE_TRIES; tries && next && best < most; tries--) {
        unsigned back = (unsigned)(at - (next - 1)) & 0xffff;
        if (back <= last || back > DEFLATE_WINDOW || back > at)
            break;
        size_t n = deflate_same(s->in + at, s->in + at - back, most);
        if (n > best && !(n == DEFLATE_MIN && back > 1024)) { /* three literals cost as much */
            best = n;
            *distance = back;
        }
        last = back;
        next = s->prev[(at - back) % DEFLATE_WINDOW];
    }
    return best < DEFLATE_MIN ? 0 : best;
}

/* A match is put off by one byte if the next place has a longer one. */
static void deflate_run(deflate_state *s)
{
    unsigned distance = 0, next_distance = 0;
    size_t at = 0, len = deflate_find(s, 0, &distance);

    while (at < s->len && !s->out->failed) {
        deflate_insert(s, at);
        size_t next = at + 1 < s->len ? deflate_find(s, at + 1, &next_distance) : 0;
        if (!len || next > len) {
            deflate_symbol(s, s->in[at++]);
            len = next;
            distance = next_distance;
            continue;
        }
        deflate_match(s, (unsigned)len, distance);
        for (size_t end = at + len; ++at < end;)
            deflate_insert(s, at);
        len = at < s->len ? deflate_find(s, at, &distance) : 0;
    }
}

MICRO_PRIVATE micro_err micro__zlib_deflate(const uint8_t *in, size_t len, micro_buf *out)
{
    deflate_state *s = (deflate_state *)micro__alloc_zero(sizeof *s);
    uint32_t sum = micro__adler32(in, len);

    if (!s)
        return MICRO_ENOMEM;
    s->in = in;
    s->len = len;
    s->out = out;
    micro__buf_add(out, "\x78\x9c", 2);
    deflate_put(s, 3, 3); /* last block, fixed codes */
    deflate_run(s);
    deflate_symbol(s, 256);
    deflate_put(s, 0, (8 - s->nbits) % 8);
    for (int shift = 24; shift >= 0; shift -= 8)
        micro__buf_byte(out, (char)(sum >> shift & 0xff));
    micro__free(s, sizeof *s);
    return !out->failed ? MICRO_OK : out->toobig ? MICRO_ETOOBIG : MICRO_ENOMEM;
}

#endif
