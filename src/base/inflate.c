/* SPDX-License-Identifier: MIT */
/* Reads zlib streams (RFC 1950, 1951), within a limit. */
#include "base.h"

#if !MICRO_ENABLE_ZLIB

/* RFC 1950's checksum. 5552 is the longest run whose sums fit into 32 bits. */
MICRO_PRIVATE uint32_t micro__adler32(const uint8_t *data, size_t len)
{
    uint32_t a = 1, b = 0;

    while (len) {
        size_t n = len < 5552 ? len : 5552;
        len -= n;
        while (n--) {
            a += *data++;
            b += a;
        }
        a %= 65521;
        b %= 65521;
    }
    return b << 16 | a;
}

#define INFLATE_FAST 9 /* bits of a code that are looked up in one step */
#define INFLATE_MAX_BITS 15
#define INFLATE_LITERALS 288
#define INFLATE_DISTANCES 32

/* A Huffman code. Short ones are found at once; longer ones by counting up, length by length. */
typedef struct inflate_code {
    uint16_t fast[1 << INFLATE_FAST];     /* symbol << 4 | length; 0: longer, or none */
    uint16_t count[INFLATE_MAX_BITS + 1]; /* of the codes of a length */
    uint16_t symbol[INFLATE_LITERALS];    /* in the order of their codes */
} inflate_code;

typedef struct inflate_state {
    const uint8_t *in, *end;
    uint64_t bits;
    unsigned nbits;
    size_t start, max; /* of the output */
    micro_buf *out;
    inflate_code literal, distance;
    uint8_t lengths[INFLATE_LITERALS + INFLATE_DISTANCES];
} inflate_state;

/* ---- bits ------------------------------------------------------------------------------------ */

/* At least 56 bits, or all that is left: enough for a whole pair of length and distance. */
static void inflate_refill(inflate_state *s)
{
    while (s->nbits <= 56 && s->in < s->end) {
        s->bits |= (uint64_t)*s->in++ << s->nbits;
        s->nbits += 8;
    }
}

/* Takes n <= 16 bits that a refill has provided; false: the input ends before. */
static bool inflate_take(inflate_state *s, unsigned n, unsigned *value)
{
    *value = (unsigned)(s->bits & ((UINT64_C(1) << n) - 1));
    if (s->nbits < n)
        return false;
    s->bits >>= n;
    s->nbits -= n;
    return true;
}

/* ---- codes ----------------------------------------------------------------------------------- */

static unsigned inflate_reverse(unsigned code, unsigned len)
{
    unsigned out = 0;

    for (; len; len--, code >>= 1)
        out = out << 1 | (code & 1);
    return out;
}

/* Builds a code from the lengths of its n symbols. Refused, as zlib does: more codes than there is
 * room for, and fewer, unless sparse is set and there is none or but one, of one bit. */
static bool inflate_build(inflate_code *h, const uint8_t *lengths, size_t n, bool sparse)
{
    uint16_t offset[INFLATE_MAX_BITS + 2] = { 0 };
    unsigned next[INFLATE_MAX_BITS + 2] = { 0 };
    int room = 1;

    memset(h, 0, sizeof *h);
    for (size_t i = 0; i < n; i++)
        h->count[lengths[i]]++;
    size_t used = n - h->count[0];
    h->count[0] = 0;
    for (unsigned len = 1; len <= INFLATE_MAX_BITS; len++) {
        room = room * 2 - h->count[len];
        if (room < 0)
            return false;
        offset[len + 1] = (uint16_t)(offset[len] + h->count[len]);
        next[len + 1] = (next[len] + h->count[len]) << 1;
    }
    if (room > 0 && !(sparse && (used == 0 || (used == 1 && h->count[1]))))
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned len = lengths[i];
        if (!len)
            continue;
        h->symbol[offset[len]++] = (uint16_t)i;
        unsigned code = inflate_reverse(next[len]++, len);
        for (; len <= INFLATE_FAST && code < 1u << INFLATE_FAST; code += 1u << len)
            h->fast[code] = (uint16_t)(i << 4 | len);
    }
    return true;
}

/* The next symbol; -1: no such code, or the input ends. */
static int inflate_symbol(inflate_state *s, const inflate_code *h)
{
    unsigned found = h->fast[s->bits & ((1u << INFLATE_FAST) - 1)];
    unsigned code = 0, first = 0, index = 0, ignored;

    if (found)
        return inflate_take(s, found & 15, &ignored) ? (int)(found >> 4) : -1;
    for (unsigned len = 1; len <= INFLATE_MAX_BITS; len++) {
        code |= (unsigned)(s->bits >> (len - 1) & 1);
        if (code - first < h->count[len])
            return inflate_take(s, len, &ignored) ? h->symbol[index + code - first] : -1;
        index += h->count[len];
        first = (first + h->count[len]) << 1;
        code <<= 1;
    }
    return -1;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Room for n more bytes of output, within the limit. */
static char *inflate_room(inflate_state *s, size_t n, micro_err *err)
{
    bool fits = s->max - (s->out->len - s->start) >= n;
    char *p = fits ? micro__buf_room(s->out, n) : NULL;

    if (!p)
        *err = fits && !s->out->toobig ? MICRO_ENOMEM : MICRO_ETOOBIG;
    return p;
}

static micro_err inflate_stored(inflate_state *s)
{
    unsigned len, check;
    micro_err err = MICRO_OK;

    s->bits >>= s->nbits % 8;
    s->nbits -= s->nbits % 8;
    inflate_refill(s);
    if (!inflate_take(s, 16, &len) || !inflate_take(s, 16, &check) || (len ^ check) != 0xffff)
        return MICRO_EFORMAT;
    s->in -= s->nbits / 8; /* whole bytes go back */
    s->bits = 0;
    s->nbits = 0;
    if ((size_t)(s->end - s->in) < len)
        return MICRO_EFORMAT;
    char *to = len ? inflate_room(s, len, &err) : NULL;
    if (to) {
        memcpy(to, s->in, len);
        s->out->len += len;
        s->in += len;
    }
    return err;
}

/* Reads what follows a length symbol and copies from the output before. */
static micro_err inflate_match(inflate_state *s, int symbol)
{
    static const uint16_t length_base[] = { 3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                            15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                            67, 83, 99, 115, 131, 163, 195, 227, 258 };
    static const uint16_t distance_base[] = { 1,    2,    3,    4,     5,     7,    9,    13,
                                              17,   25,   33,   49,    65,    97,   129,  193,
                                              257,  385,  513,  769,   1025,  1537, 2049, 3073,
                                              4097, 6145, 8193, 12289, 16385, 24577 };
    int l = symbol - 257;
    unsigned more;
    micro_err err = MICRO_OK;

    if (l > 28 || !inflate_take(s, l < 8 || l == 28 ? 0 : (unsigned)l / 4 - 1, &more))
        return MICRO_EFORMAT;
    size_t len = length_base[l] + more;
    int d = inflate_symbol(s, &s->distance);
    if (d < 0 || d > 29 || !inflate_take(s, d < 4 ? 0 : (unsigned)d / 2 - 1, &more))
        return MICRO_EFORMAT;
    size_t distance = distance_base[d] + more;
    if (distance > s->out->len - s->start)
        return MICRO_EFORMAT;
    char *to = inflate_room(s, len, &err);
    if (!to)
        return err;
    s->out->len += len;
    if (distance >= len) {
        memcpy(to, to - distance, len);
    } else {
        for (; len; len--, to++) /* what is written is read again */
            *to = to[-(ptrdiff_t)distance];
    }
    return MICRO_OK;
}

static micro_err inflate_codes(inflate_state *s)
{
    micro_err err = MICRO_OK;

    while (!err) {
        inflate_refill(s);
        int symbol = inflate_symbol(s, &s->literal);
        if (symbol < 0)
            return MICRO_EFORMAT;
        if (symbol == 256)
            return MICRO_OK;
        if (symbol > 256) {
            err = inflate_match(s, symbol);
        } else {
            char *to = inflate_room(s, 1, &err);
            if (to) {
                *to = (char)symbol;
                s->out->len++;
            }
        }
    }
    return err;
}

static void inflate_fixed(inflate_state *s)
{
    memset(s->lengths, 8, 144);
    memset(s->lengths + 144, 9, 112);
    memset(s->lengths + 256, 7, 24);
    memset(s->lengths + 280, 8, 8);
    inflate_build(&s->literal, s->lengths, 288, false);
    memset(s->lengths, 5, 32);
    inflate_build(&s->distance, s->lengths, 32, false);
}

/* Reads n code lengths, which are themselves coded with s->literal. */
static bool inflate_lengths(inflate_state *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        unsigned times = 1;
        inflate_refill(s);
        int symbol = inflate_symbol(s, &s->literal);
        uint8_t value = symbol < 16 ? (uint8_t)symbol : 0;
        if (symbol < 0 || (symbol == 16 && i == 0))
            return false;
        if (symbol >= 16) {
            unsigned bits = symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
            if (!inflate_take(s, bits, &times))
                return false;
            times += symbol == 18 ? 11 : 3;
        }
        if (symbol == 16)
            value = s->lengths[i - 1];
        if (times > n - i)
            return false;
        memset(s->lengths + i, value, times);
        i += times;
    }
    return true;
}

static bool inflate_dynamic(inflate_state *s)
{
    static const uint8_t order[19] = { 16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                       11, 4,  12, 3, 13, 2, 14, 1, 15 };
    unsigned literals, distances, codes, len;

    inflate_refill(s);
    if (!inflate_take(s, 5, &literals) || !inflate_take(s, 5, &distances) ||
        !inflate_take(s, 4, &codes))
        return false;
    literals += 257;
    distances += 1;
    codes += 4;
    if (literals > 286 || distances > 30)
        return false;
    memset(s->lengths, 0, sizeof s->lengths);
    for (unsigned i = 0; i < codes; i++) {
        inflate_refill(s);
        if (!inflate_take(s, 3, &len))
            return false;
        s->lengths[order[i]] = (uint8_t)len;
    }
    if (!inflate_build(&s->literal, s->lengths, 19, false) ||
        !inflate_lengths(s, literals + distances))
        return false;
    return s->lengths[256] && inflate_build(&s->literal, s->lengths, literals, true) &&
           inflate_build(&s->distance, s->lengths + literals, distances, true);
}

static micro_err inflate_blocks(inflate_state *s)
{
    unsigned last = 0, type;

    while (!last) {
        inflate_refill(s);
        if (!inflate_take(s, 1, &last) || !inflate_take(s, 2, &type))
            return MICRO_EFORMAT;
        micro_err err = MICRO_OK;
        if (type == 0) {
            err = inflate_stored(s);
        } else {
            if (type == 1)
                inflate_fixed(s);
            else if (type == 3 || !inflate_dynamic(s))
                return MICRO_EFORMAT;
            err = inflate_codes(s);
        }
        if (err)
            return err;
    }
    return MICRO_OK;
}

static micro_err inflate_stream(inflate_state *s)
{
    unsigned head, high, low;

    if (s->end - s->in < 2)
        return MICRO_EFORMAT;
    head = (unsigned)s->in[0] << 8 | s->in[1];
    s->in += 2;
    if (head % 31 || (head >> 8 & 15) != 8 || head >> 12 > 7 || (head & 0x20)) /* dictionary */
        return MICRO_EFORMAT;
    micro_err err = inflate_blocks(s);
    if (err)
        return err;
    s->in -= s->nbits / 8;
    if (s->end - s->in != 4)
        return MICRO_EFORMAT;
    high = (unsigned)s->in[0] << 8 | s->in[1];
    low = (unsigned)s->in[2] << 8 | s->in[3];
    const uint8_t *made = s->out->ptr ? (const uint8_t *)s->out->ptr + s->start : NULL;
    uint32_t sum = micro__adler32(made, s->out->len - s->start);
    return sum == ((uint32_t)high << 16 | low) ? MICRO_OK : MICRO_EFORMAT;
}

MICRO_PRIVATE micro_err micro__zlib_inflate(const uint8_t *in, size_t len, size_t max,
                                            micro_buf *out)
{
    inflate_state s;

    memset(&s, 0, sizeof s - sizeof s.literal - sizeof s.distance - sizeof s.lengths);
    s.in = in;
    s.end = in ? in + len : in;
    s.start = out->len;
    s.max = max;
    s.out = out;
    if (out->failed)
        return out->toobig ? MICRO_ETOOBIG : MICRO_ENOMEM;
    micro_err err = inflate_stream(&s);
    if (err && !out->failed)
        out->len = s.start;
    return err;
}

#endif
