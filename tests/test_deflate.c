/* SPDX-License-Identifier: MIT */
/* zlib streams: recorded, random, damaged, bombs. deflate_zlib.py compares with zlib itself. */
#include "failing.h"

#include "base/base.h"

typedef struct deflate_pair { /* a line of a recording: the stream and its text */
    uint8_t *packed;
    char *text;
    size_t packed_len, text_len;
} deflate_pair;

typedef void deflate_pair_fn(const deflate_pair *p);

/* The recordings lie beside this file. */
static FILE *deflate_open(const char *name)
{
    char path[512];
    const char *slash = strrchr(__FILE__, '/');

    snprintf(path, sizeof path, "%.*sgolden/mdns/%s", slash ? (int)(slash + 1 - __FILE__) : 0,
             __FILE__, name);
    return fopen(path, "r");
}

static size_t deflate_each_in(const char *name, deflate_pair_fn *fn)
{
    static char line[65536];
    FILE *f = deflate_open(name);
    size_t n = 0;

    if (!CHECK(f != NULL))
        return 0;
    while (fgets(line, sizeof line, f)) {
        micro_str text, hex = micro__str_cut(micro_s(line), '\t', &text);
        deflate_pair p;
        p.packed_len = hex.len / 2;
        p.packed = malloc(p.packed_len);
        p.text_len = text.len - (text.ptr[text.len - 1] == '\n');
        p.text = malloc(p.text_len);
        memcpy(p.text, text.ptr, p.text_len);
        NOTE("%s:%zu", name, ++n);
        if (CHECK(micro__hex_decode(p.packed, hex.ptr, hex.len)))
            fn(&p);
        free(p.packed);
        free(p.text);
    }
    fclose(f);
    return n;
}

static void deflate_each(deflate_pair_fn *fn)
{
    CHECK_EQ_UINT(deflate_each_in("mdns-txt-pairs.tsv", fn), 11);
    CHECK_EQ_UINT(deflate_each_in("later-mdns-txt-pairs.tsv", fn), 12);
}

static micro_err deflate_read(const void *in, size_t len, size_t max, micro_buf *out)
{
    uint8_t *exact = malloc(len ? len : 1); /* so that a read beyond the end is seen */
    memcpy(exact, in, len);
    micro_err err = micro__zlib_inflate(exact, len, max, out);
    free(exact);
    return err;
}

static void deflate_check_pair(const deflate_pair *p)
{
    micro_buf out = { 0 }, packed = { 0 };

    micro__buf_text(&out, "before"); /* output is appended */
    CHECK_EQ_INT(deflate_read(p->packed, p->packed_len, p->text_len, &out), MICRO_OK);
    CHECK_EQ_MEM(out.ptr + 6, out.len - 6, p->text, p->text_len);
    out.len = 6;
    CHECK_EQ_INT(deflate_read(p->packed, p->packed_len, p->text_len - 1, &out), MICRO_ETOOBIG);
    CHECK_EQ_MEM(out.ptr, out.len, "before", 6);

    CHECK_EQ_INT(micro__zlib_deflate((const uint8_t *)p->text, p->text_len, &packed), MICRO_OK);
    /* fixed codes: at most a third more than what Go makes, which chooses its codes */
    CHECK(packed.len <= p->packed_len + p->packed_len / 3 + 16);
    out.len = 0;
    CHECK_EQ_INT(deflate_read(packed.ptr, packed.len, p->text_len, &out), MICRO_OK);
    CHECK_EQ_MEM(out.ptr, out.len, p->text, p->text_len);
    micro__buf_free(&out);
    micro__buf_free(&packed);
}

TEST(deflate_recorded_pairs)
{
    deflate_each(deflate_check_pair);
}

static void deflate_cut_pair(const deflate_pair *p)
{
    micro_buf out = { 0 };
    int accepted = 0;

    for (size_t n = 0; n < p->packed_len; n++) {
        accepted += deflate_read(p->packed, n, 65536, &out) != MICRO_EFORMAT;
        accepted += out.len != 0;
    }
    uint8_t *more = malloc(p->packed_len + 1);
    memcpy(more, p->packed, p->packed_len);
    more[p->packed_len] = 0;
    accepted += deflate_read(more, p->packed_len + 1, 65536, &out) != MICRO_EFORMAT;
    CHECK_EQ_INT(accepted, 0);
    free(more);
    micro__buf_free(&out);
}

TEST(deflate_cut_at_every_byte_or_followed_by_one)
{
    deflate_each(deflate_cut_pair);
}

static uint32_t deflate_adler(const uint8_t *p, size_t len)
{
    uint32_t a = 1, b = 0;

    for (size_t i = 0; i < len; i++) {
        a = (a + p[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

/* Whatever a changed byte makes of it: nothing that the checksum, which is weak, does not hold for,
 * and nothing beyond the limit. */
static void deflate_mutate_pair(const deflate_pair *p)
{
    micro_buf out = { 0 };
    int other = 0;

    for (size_t i = 0; i < p->packed_len; i++) {
        for (int by = 1; by < 256; by += i < 64 ? 1 : 37) {
            p->packed[i] ^= (uint8_t)by;
            micro_err err = deflate_read(p->packed, p->packed_len, 8192, &out);
            const uint8_t *end = p->packed + p->packed_len;
            uint32_t sum = (uint32_t)end[-4] << 24 | (uint32_t)end[-3] << 16 |
                           (uint32_t)end[-2] << 8 | end[-1];
            other += err == MICRO_OK && deflate_adler((uint8_t *)out.ptr, out.len) != sum;
            other += err != MICRO_OK && err != MICRO_EFORMAT && err != MICRO_ETOOBIG;
            other += err != MICRO_OK && out.len != 0;
            other += out.cap > 16384;
            out.len = 0;
            p->packed[i] ^= (uint8_t)by;
        }
    }
    CHECK_EQ_INT(other, 0);
    micro__buf_free(&out);
}

TEST(deflate_every_byte_changed)
{
    deflate_each(deflate_mutate_pair);
}

static uint64_t deflate_seed = 88172645463325252u;

static unsigned deflate_random(unsigned below)
{
    deflate_seed ^= deflate_seed << 13;
    deflate_seed ^= deflate_seed >> 7;
    deflate_seed ^= deflate_seed << 17;
    return (unsigned)(deflate_seed >> 33) % below;
}

/* Noise of few or many letters with repetitions from near and far, short and long. */
static size_t deflate_make(uint8_t *data, size_t size)
{
    size_t len = deflate_random((unsigned)size + 1), at = 0;
    unsigned letters = 1 + deflate_random(deflate_random(4) ? 8 : 256);

    while (at < len) {
        size_t run = 1 + deflate_random(deflate_random(8) ? 12 : 600);
        size_t back = at ? 1 + deflate_random((unsigned)at) : 0;
        bool again = at && deflate_random(3);
        for (; run && at < len; run--, at++)
            data[at] = again ? data[at - back] : (uint8_t)(deflate_random(letters) + 60);
    }
    return len;
}

TEST(deflate_ten_thousand_round_trips)
{
    static uint8_t data[9000];
    micro_buf packed = { 0 }, out = { 0 };
    int bad = 0;

    for (int i = 0; i < 10000; i++) {
        size_t len = deflate_make(data, i % 10 ? 400 : sizeof data);
        packed.len = out.len = 0;
        bad += micro__zlib_deflate(data, len, &packed) != MICRO_OK;
        bad += deflate_read(packed.ptr, packed.len, len, &out) != MICRO_OK;
        bad += out.len != len || (len && memcmp(out.ptr, data, len) != 0);
        bad += packed.len > len + len / 8 + 16;
    }
    CHECK_EQ_INT(bad, 0);
    micro__buf_free(&packed);
    micro__buf_free(&out);
}

TEST(deflate_beyond_window_and_counter)
{
    size_t len = 300000; /* positions are kept in 16 bits, matches reach 4 KiB back */
    uint8_t *data = malloc(len);
    micro_buf packed = { 0 }, out = { 0 };

    for (size_t i = 0; i < len; i++)
        data[i] = i % 70000 < 5000 ? (uint8_t)(i % 4096 % 251) : (uint8_t)deflate_random(7);
    CHECK_EQ_INT(micro__zlib_deflate(data, len, &packed), MICRO_OK);
    CHECK(packed.len < len * 3 / 4);
    CHECK_EQ_INT(deflate_read(packed.ptr, packed.len, len, &out), MICRO_OK);
    CHECK_EQ_MEM(out.ptr, out.len, data, len);
    micro__buf_free(&packed);
    micro__buf_free(&out);
    free(data);
}

TEST(deflate_bomb_stops_at_the_limit)
{
    size_t len = 20 << 20;
    uint8_t *zeros = calloc(1, len);
    micro_buf packed = { 0 }, out = { 0 };

    CHECK_EQ_INT(micro__zlib_deflate(zeros, len, &packed), MICRO_OK);
    CHECK(packed.len < len / 150);
    failing_begin(0);
    CHECK_EQ_INT(micro__zlib_inflate((uint8_t *)packed.ptr, packed.len, 10000, &out),
                 MICRO_ETOOBIG);
    CHECK(failing.peak < (MICRO_ENABLE_ZLIB ? 131072 : 32768));
    micro__buf_free(&out);
    out.max = 5000; /* the buffer's own limit */
    CHECK_EQ_INT(micro__zlib_inflate((uint8_t *)packed.ptr, packed.len, 10000, &out),
                 MICRO_ETOOBIG);
    CHECK_EQ_INT(micro__zlib_inflate((uint8_t *)packed.ptr, packed.len, 10000, &out),
                 MICRO_ETOOBIG);
    CHECK(out.failed);
    micro__buf_free(&out);
    failing_end();
    micro__buf_free(&packed);
    free(zeros);
}

/* Bits of a hand-made stream, lowest first, Huffman codes as they are read. */
typedef struct deflate_row {
    const char *what, *bits; /* behind the two bytes of the head; blanks do not count */
    const char *text;        /* what the checksum is made of */
    bool good;
} deflate_row;

#define DEFLATE_FIXED "1 10 "

static const deflate_row deflate_rows[] = {
    { "empty, fixed", DEFLATE_FIXED "0000000", "", true },
    { "one letter", DEFLATE_FIXED "10010001 0000000", "a", true },
    { "letter of nine bits", DEFLATE_FIXED "110010000 0000000", "\x90", true },
    { "aaaa by distance 1", DEFLATE_FIXED "10010001 0000001 00000 0000000", "aaaa", true },
    { "distance before the start", DEFLATE_FIXED "10010001 0000001 00001 0000000", "a", false },
    { "match at once", DEFLATE_FIXED "0000001 00000 0000000", "a", false },
    { "length symbol 286", DEFLATE_FIXED "10010001 11000110 00000 0000000", "a", false },
    { "length symbol 287", DEFLATE_FIXED "10010001 11000111 00000 0000000", "a", false },
    { "distance symbol 30", DEFLATE_FIXED "10010001 0000001 11110 0000000", "a", false },
    { "block type 3", "1 11 0000000", "a", false },
    { "stored, empty", "1 00 00000 0000000000000000 1111111111111111", "", true },
    { "stored, wrong check", "1 00 00000 0000000000000000 0111111111111111", "", false },
    { "stored, cut", "1 00 00000 1100000000000000 0011111111111111 10000110", "a", false },
    { "stored, then fixed",
      "0 00 00000 1000000000000000 0111111111111111 10000110" DEFLATE_FIXED "10010001 0000000",
      "aa", true },
    { "two fixed", "0 10 10010001 0000000" DEFLATE_FIXED "10010010 0000000", "ab", true },
    { "no end of block", DEFLATE_FIXED "10010001", "a", false },
    /* code lengths: 18 and 1 are one bit each; 256 zeros, 256 has length 1, distance of length 1 */
    { "only the end, one distance",
      "1 01 00000 00000 0111"
      "000 000 100 000 000 000 000 000 000 000 000 000 000 000 000 000 000 100"
      "1 1111111 1 1101011 0 0 0",
      "", true },
    { "lengths: too many codes", "1 01 00000 00000 0000 100 100 100 000 0000000", "a", false },
    { "lengths: too few codes", "1 01 00000 00000 0000 100 000 000 000 0000000", "a", false },
    { "lengths: none", "1 01 00000 00000 0000 000 000 000 000 0000000", "a", false },
    { "repeats nothing", "1 01 00000 00000 0000 100 000 000 100 1 00 0000000", "a", false },
    { "287 literals", "1 01 01111 00000 0000 100 000 000 100 0000000", "a", false },
    { "31 distances", "1 01 00000 01111 0000 100 000 000 100 0000000", "a", false },
    { "lengths beyond the last",
      "1 01 00000 00000 0000 000 000 100 100"
      "1 1111111 1 1111111",
      "a", false },
    { "no code for the end",
      "1 01 00000 00000 0111"
      "000 000 100 000 000 000 000 000 000 000 000 000 000 000 000 000 000 100"
      "0 0 1 1111111 1 0010110 0 0000000",
      "a", false },
    { "lengths one beyond the last",
      "1 01 00000 10000 0111"
      "000 010 010 000 000 000 000 000 000 000 000 000 000 000 000 000 000 100"
      "11 1111111 11 1101011 0 10 000 0",
      "", false },
    { "the same, not beyond",
      "1 01 00000 01000 0111"
      "000 010 010 000 000 000 000 000 000 000 000 000 000 000 000 000 000 100"
      "11 1111111 11 1101011 0 10 000 0",
      "", true },
};

static size_t deflate_bits(uint8_t *out, const char *bits)
{
    size_t n = 0;

    for (; *bits; bits++) {
        if (*bits == ' ')
            continue;
        if (n % 8 == 0)
            out[n / 8] = 0;
        out[n / 8] |= (uint8_t)((*bits - '0') << n % 8);
        n++;
    }
    return (n + 7) / 8;
}

TEST(deflate_hand_made_streams)
{
    for (size_t i = 0; i < MICRO_COUNTOF(deflate_rows); i++) {
        const deflate_row *r = &deflate_rows[i];
        uint8_t in[256] = { 0x78, 0x9c };
        size_t len = 2 + deflate_bits(in + 2, r->bits);
        const char *text = r->text;
        uint32_t sum = deflate_adler((const uint8_t *)text, strlen(text));
        micro_buf out = { 0 };
        NOTE("%s", r->what);
        for (int shift = 24; shift >= 0; shift -= 8)
            in[len++] = (uint8_t)(sum >> shift);
        CHECK_EQ_INT(deflate_read(in, len, 100, &out), r->good ? MICRO_OK : MICRO_EFORMAT);
        CHECK_EQ_MEM(out.ptr ? out.ptr : "", out.len, text, r->good ? strlen(text) : 0);
        in[len - 1] ^= 1; /* the checksum counts */
        out.len = 0;
        CHECK_EQ_INT(deflate_read(in, len, 100, &out), MICRO_EFORMAT);
        micro__buf_free(&out);
    }
}

/* Dynamic blocks by their code lengths, each of which is written in two bits. A reader that is less
 * strict than zlib would find the text, and the checksum that belongs to it. */
typedef struct deflate_table {
    const char *what;
    const char *codes;                   /* lengths of the 18 length codes, in their odd order */
    unsigned literals, a, b, end, three; /* how many; lengths of 'a', 'b', 256, 257 */
    unsigned distances;                  /* how many */
    const char *distance;                /* lengths of the first ones */
    const char *bits, *text;
    bool good;
} deflate_table;

#define DEFLATE_CODES "000200000000020202" /* 0 to 3 have two bits each */

static const deflate_table deflate_tables[] = {
    { "two literals", DEFLATE_CODES, 257, 1, 0, 1, 0, 1, "0", "0001", "aaa", true },
    { "286 literals", DEFLATE_CODES, 286, 1, 0, 1, 0, 1, "0", "0001", "aaa", true },
    { "287 literals", DEFLATE_CODES, 287, 1, 0, 1, 0, 1, "0", "0001", "aaa", false },
    { "288 literals", DEFLATE_CODES, 288, 1, 0, 1, 0, 1, "0", "0001", "aaa", false },
    { "30 distances", DEFLATE_CODES, 257, 1, 0, 1, 0, 30, "0", "0001", "aaa", true },
    { "31 distances", DEFLATE_CODES, 257, 1, 0, 1, 0, 31, "0", "0001", "aaa", false },
    { "32 distances", DEFLATE_CODES, 257, 1, 0, 1, 0, 32, "0", "0001", "aaa", false },
    { "too many literal codes", DEFLATE_CODES, 258, 1, 2, 2, 2, 1, "0", "00011", "aaa", false },
    { "too few literal codes", DEFLATE_CODES, 257, 2, 0, 2, 0, 1, "0", "00000001", "aaa", false },
    { "too many length codes", "000200000002020202", 257, 1, 0, 1, 0, 1, "0", "0001", "aaa",
      false },
    { "too few length codes", "000200000000000202", 257, 1, 0, 1, 0, 1, "0", "0001", "aaa", false },
    { "too many distance codes", DEFLATE_CODES, 257, 1, 0, 1, 0, 3, "111", "0001", "aaa", false },
    { "two distance codes", DEFLATE_CODES, 258, 1, 0, 2, 2, 2, "11", "011010", "aaaa", true },
    { "one of one bit", DEFLATE_CODES, 258, 1, 0, 2, 2, 1, "1", "011010", "aaaa", true },
    { "the other bit of it", DEFLATE_CODES, 258, 1, 0, 2, 2, 1, "1", "011110", "aaaa", false },
    { "one of two bits", DEFLATE_CODES, 257, 1, 0, 1, 0, 1, "2", "0001", "aaa", false },
    { "too few distance codes", DEFLATE_CODES, 257, 1, 0, 1, 0, 2, "12", "0001", "aaa", false },
    { "no distance code, but used", DEFLATE_CODES, 258, 1, 0, 2, 2, 1, "0", "011010", "aaaa",
      false },
    { "distance 2 of 1", DEFLATE_CODES, 258, 1, 0, 2, 2, 2, "11", "011110", "aaaa", false },
    { "only the end", DEFLATE_CODES, 257, 0, 0, 1, 0, 1, "0", "0", "", true },
    { "no end", DEFLATE_CODES, 257, 1, 1, 0, 0, 1, "0", "0001", "aaa", false },
};

/* Numbers lowest bit first, codes highest first: as deflate_bits wants them. */
static char *deflate_number(char *to, unsigned v, unsigned bits)
{
    for (; bits; bits--, v >>= 1)
        *to++ = (char)('0' + (v & 1));
    return to;
}

static char *deflate_code(char *to, unsigned length)
{
    *to++ = (char)('0' + (length >> 1));
    *to++ = (char)('0' + (length & 1));
    return to;
}

static void deflate_write_table(char *to, const deflate_table *t)
{
    to = deflate_number(to, 1 | 2 << 1, 3); /* last block, dynamic */
    to = deflate_number(to, t->literals - 257, 5);
    to = deflate_number(to, t->distances - 1, 5);
    to = deflate_number(to, 18 - 4, 4);
    for (const char *c = t->codes; *c; c++)
        to = deflate_number(to, (unsigned)(*c - '0'), 3);
    for (unsigned i = 0; i < t->literals; i++)
        to = deflate_code(to, i == 'a'   ? t->a
                              : i == 'b' ? t->b
                              : i == 256 ? t->end
                              : i == 257 ? t->three
                                         : 0);
    for (unsigned i = 0; i < t->distances; i++)
        to = deflate_code(to, i < strlen(t->distance) ? (unsigned)(t->distance[i] - '0') : 0);
    strcpy(to, t->bits);
}

TEST(deflate_code_tables)
{
    for (size_t i = 0; i < MICRO_COUNTOF(deflate_tables); i++) {
        const deflate_table *t = &deflate_tables[i];
        static char bits[1024];
        NOTE("%s", t->what);
        deflate_write_table(bits, t);
        uint8_t in[256] = { 0x78, 0x9c };
        size_t len = 2 + deflate_bits(in + 2, bits);
        uint32_t sum = deflate_adler((const uint8_t *)t->text, strlen(t->text));
        micro_buf out = { 0 };
        for (int shift = 24; shift >= 0; shift -= 8)
            in[len++] = (uint8_t)(sum >> shift);
        micro__buf_text(&out, "aaa"); /* nothing that a match may reach */
        CHECK_EQ_INT(deflate_read(in, len, 100, &out), t->good ? MICRO_OK : MICRO_EFORMAT);
        CHECK_EQ_MEM(out.ptr + 3, out.len - 3, t->text, t->good ? strlen(t->text) : 0);
        micro__buf_free(&out);
    }
}

TEST(deflate_heads)
{
    int accepted = 0, wrong = 0;
    micro_buf out = { 0 };

    for (unsigned head = 0; head < 65536; head++) {
        uint8_t in[] = { (uint8_t)(head >> 8), (uint8_t)head, 3, 0, 0, 0, 0, 1 };
        bool good = head % 31 == 0 && (head >> 8 & 15) == 8 && head >> 12 <= 7 && !(head & 32);
        micro_err err = micro__zlib_inflate(in, sizeof in, 10, &out);
        accepted += err == MICRO_OK;
        wrong += err != (good ? MICRO_OK : MICRO_EFORMAT);
    }
    CHECK_EQ_INT(wrong, 0);
    CHECK_EQ_INT(accepted, 32); /* 8 windows, 4 levels */
    CHECK_EQ_INT(micro__zlib_inflate(NULL, 0, 10, &out), MICRO_EFORMAT);
    micro__buf_free(&out);
}

TEST(deflate_out_of_memory)
{
    static uint8_t data[5000];
    bool through = false;
    int failures = 0;

    deflate_make(data, sizeof data);
    for (size_t n = 1; !through && n < 100; n++) {
        micro_buf packed = { 0 }, out = { 0 };
        failing_begin(n);
        micro_err err = micro__zlib_deflate(data, sizeof data, &packed);
        if (!err)
            err = micro__zlib_inflate((uint8_t *)packed.ptr, packed.len, 5000, &out);
        if (!err)
            CHECK_EQ_MEM(out.ptr, out.len, data, sizeof data);
        else
            CHECK_EQ_INT(err, MICRO_ENOMEM);
        failures += err != MICRO_OK;
        micro__buf_free(&packed);
        micro__buf_free(&out);
        through = failing_end();
    }
    CHECK(through);
    CHECK(failures > 3);
}
