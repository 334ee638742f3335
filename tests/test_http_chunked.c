/* SPDX-License-Identifier: MIT */
/* Chunked bodies: the grammar, in pieces of every size, and what is limited. */
#include "harness.h"
#include "net/net.h"

#include <sys/mman.h>

enum { CHUNK_ROOM = 1 << 16, CHUNK_FENCE = 1 << 16 };

/* A copy that ends flush against memory that cannot be touched; one at a time. */
static char *chunk_flush(const void *data, size_t len)
{
    static char *room;
    if (!room) {
        void *at = mmap(NULL, CHUNK_ROOM + CHUNK_FENCE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED || mprotect((char *)at + CHUNK_ROOM, CHUNK_FENCE, PROT_NONE) != 0)
            abort();
        room = at;
    }
    char *copy = room + CHUNK_ROOM - len;
    if (len)
        memcpy(copy, data, len);
    return copy;
}

enum { CHUNK_MORE = 0, CHUNK_DONE = 1, CHUNK_BROKEN = MICRO__HTTP_BAD };

static const struct {
    const char *text;
    int result;
    const char *body; /* what came before the fault, too */
    size_t left;      /* bytes behind the end */
} chunk_rows[] = {
    { "0\r\n\r\n", CHUNK_DONE, "", 0 },
    { "5\r\nhello\r\n0\r\n\r\n", CHUNK_DONE, "hello", 0 },
    { "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET ", CHUNK_DONE, "hello world", 4 },
    { "0000000000000000000005\r\nhello\r\n000\r\n\r\n", CHUNK_DONE, "hello", 0 },
    { "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", CHUNK_DONE, "01234567890123456789", 0 },
    { "2\r\n\r\n\r\n0\r\n\r\n", CHUNK_DONE, "\r\n", 0 },
    { "5;a\r\nhello\r\n0;b=c\r\n\r\n", CHUNK_DONE, "hello", 0 },
    { "5 ; a = b ; c\t=\t\"d;\\\"\r\" \r\nhello", CHUNK_BROKEN, "", 0 },
    { "5 ; a = b ; c\t=\t\"d;\\\" e\"\r\nhello\r\n0\r\n\r\n", CHUNK_DONE, "hello", 0 },
    { "5;a=\"\"\r\nhello\r\n0\r\n\r\n", CHUNK_DONE, "hello", 0 },
    { "5;a=\"\xc3\xa4\t\"\r\nhello\r\n0\r\n\r\n", CHUNK_DONE, "hello", 0 },
    { "0\r\nA: b\r\nC:\r\n\r\nX", CHUNK_DONE, "", 1 },
    { "0\r\nContent-Length: 5\r\n\r\nhello", CHUNK_DONE, "", 5 },
    { "1\r\na\r\n", CHUNK_MORE, "a", 0 },
    { "5\r\nhel", CHUNK_MORE, "hel", 0 },
    { "0\r\n", CHUNK_MORE, "", 0 },
    { "0\r\n\r", CHUNK_MORE, "", 0 },
    { "fffffffffffffff\r\nab", CHUNK_MORE, "ab", 0 },
    { "10000000000000000\r\n", CHUNK_BROKEN, "", 0 },
    { "\r\n", CHUNK_BROKEN, "", 0 },
    { "g\r\n", CHUNK_BROKEN, "", 0 },
    { "-5\r\n", CHUNK_BROKEN, "", 0 },
    { "+5\r\n", CHUNK_BROKEN, "", 0 },
    { "0x5\r\n", CHUNK_BROKEN, "", 0 },
    { " 5\r\n", CHUNK_BROKEN, "", 0 },
    { "5 \r\nhello", CHUNK_BROKEN, "", 0 },
    { "5 5\r\nhello", CHUNK_BROKEN, "", 0 },
    { "5\nhello\r\n", CHUNK_BROKEN, "", 0 },
    { "5\rhello\r\n", CHUNK_BROKEN, "", 0 },
    { "5\r\nhello0\r\n\r\n", CHUNK_BROKEN, "hello", 0 },
    { "5\r\nhello\n0\r\n\r\n", CHUNK_BROKEN, "hello", 0 },
    { "5\r\nhello\r0\r\n\r\n", CHUNK_BROKEN, "hello", 0 },
    { "5\r\nhello\rX0\r\n\r\n", CHUNK_BROKEN, "hello", 0 },
    { "5\r\nhello\r\n\r\n", CHUNK_BROKEN, "hello", 0 },
    { "5;\r\nhello", CHUNK_BROKEN, "", 0 },
    { "5;a;\r\nhello", CHUNK_BROKEN, "", 0 },
    { "5;a=\r\nhello", CHUNK_BROKEN, "", 0 },
    { "5;a \r\nhello", CHUNK_BROKEN, "", 0 },
    { "5;a b\r\nhello", CHUNK_BROKEN, "", 0 },
    { "5;a=b=c\r\nhello", CHUNK_BROKEN, "", 0 },
    { "5;a=\"b\"c\r\nhello", CHUNK_BROKEN, "", 0 },
    { "5;a=\"b\r\n\"\r\nhello", CHUNK_BROKEN, "", 0 },
    { "5;a=\"b\\\n\"\r\nhello", CHUNK_BROKEN, "", 0 },
    { "5;a\nhello", CHUNK_BROKEN, "", 0 },
    { "5;a\r\r\nhello", CHUNK_BROKEN, "", 0 },
    { "0\r\n\n", CHUNK_BROKEN, "", 0 },
    { "0\r\nA\r\n\r\n", CHUNK_BROKEN, "", 0 },
    { "0\r\nA : b\r\n\r\n", CHUNK_BROKEN, "", 0 },
    { "0\r\n A: b\r\n\r\n", CHUNK_BROKEN, "", 0 },
    { "0\r\nA: b\r\n c\r\n\r\n", CHUNK_BROKEN, "", 0 },
    { "0\r\nA: b\n\r\n", CHUNK_BROKEN, "", 0 },
    { "0\r\nA: b\rc\r\n\r\n", CHUNK_BROKEN, "", 0 },
    { "0\r\n: b\r\n\r\n", CHUNK_BROKEN, "", 0 },
    { "0\r\n\r\r\n", CHUNK_BROKEN, "", 0 },
    { "0\r\n\rX", CHUNK_BROKEN, "", 0 },
};

/* Feeds text in pieces of a size, at the fence. The body is gathered, *used counts what was taken.
 * */
static int chunk_feed(const char *text, size_t len, size_t piece, char *body, size_t *used)
{
    micro__chunked c = { 0 };
    size_t got = 0, at = 0;
    int result = CHUNK_MORE;
    while (at < len && result == CHUNK_MORE) {
        size_t n = piece < len - at ? piece : len - at, taken = n, more;
        char *copy = chunk_flush(text + at, n);
        result = micro__chunked_feed(&c, copy, &taken, &more);
        if (result == CHUNK_MORE)
            CHECK_EQ_UINT(taken, n);
        CHECK(more <= taken && taken <= n);
        memcpy(body + got, copy, more);
        got += more;
        at += taken;
    }
    body[got] = '\0';
    *used = at;
    return result;
}

TEST(http_chunked_in_pieces)
{
    for (size_t i = 0; i < MICRO_COUNTOF(chunk_rows); i++) {
        size_t len = strlen(chunk_rows[i].text);
        for (size_t piece = 1; piece <= len; piece++) {
            char body[128];
            size_t used;
            NOTE("%s in pieces of %zu", chunk_rows[i].text, piece);
            int result = chunk_feed(chunk_rows[i].text, len, piece, body, &used);
            CHECK_EQ_INT(result, chunk_rows[i].result);
            CHECK_EQ_TEXT(body, chunk_rows[i].body);
            if (result == CHUNK_DONE)
                CHECK_EQ_UINT(len - used, chunk_rows[i].left);
        }
    }
}

/* A decoder that has ended or failed stays so and takes nothing. */
TEST(http_chunked_stays)
{
    static const struct {
        const char *text;
        int result;
    } rows[] = { { "0\r\n\r\n", CHUNK_DONE }, { "x", CHUNK_BROKEN } };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro__chunked c = { 0 };
        size_t len = strlen(rows[i].text), body = 7;
        CHECK_EQ_INT(micro__chunked_feed(&c, chunk_flush(rows[i].text, len), &len, &body),
                     rows[i].result);
        len = 3;
        CHECK_EQ_INT(micro__chunked_feed(&c, chunk_flush("0\r\n", len), &len, &body),
                     rows[i].result);
        CHECK_EQ_UINT(len, 0);
        CHECK_EQ_UINT(body, 0);
    }
    micro__chunked c = { 0 };
    size_t len = 0, body = 7;
    CHECK_EQ_INT(micro__chunked_feed(&c, chunk_flush("", 0), &len, &body), CHUNK_MORE);
    CHECK_EQ_UINT(body, 0);
}

/* Feeds the same text over and over: how often until it is refused, at most `most` times. */
static int chunk_repeat(const char *start, const char *text, int most)
{
    micro__chunked c = { 0 };
    size_t len = strlen(start), body;
    if (micro__chunked_feed(&c, chunk_flush(start, len), &len, &body) != CHUNK_MORE)
        return -1;
    for (int i = 0; i < most; i++) {
        len = strlen(text);
        int result = micro__chunked_feed(&c, chunk_flush(text, len), &len, &body);
        if (result != CHUNK_MORE)
            return result == CHUNK_BROKEN ? i : -1;
    }
    return most;
}

TEST(http_chunked_limits)
{
    /* without end: zeros, an extension's name, trailers, the name of one, blanks */
    static const char *const starts[] = { "0", "1;", "0\r\n", "0\r\nA", "1 " };
    static const char *const texts[] = { "0", "a", "A: b\r\n", "a", " " };
    for (size_t i = 0; i < MICRO_COUNTOF(texts); i++) {
        int n = chunk_repeat(starts[i], texts[i], 2 * MICRO_MAX_HEADER);
        NOTE("%s", texts[i]);
        CHECK(n > 0);
        CHECK((size_t)n * strlen(texts[i]) > MICRO_MAX_HEADER / 2);
        CHECK((size_t)n * strlen(texts[i]) <= MICRO_MAX_HEADER);
    }
    /* chunks as small as can be are no attack, long extensions of such chunks are */
    CHECK_EQ_INT(chunk_repeat("", "1\r\na\r\n", MICRO_MAX_HEADER), MICRO_MAX_HEADER);
    int n = chunk_repeat("", "1;abcdefghijklmnopqrstuvwxyz\r\na\r\n", MICRO_MAX_HEADER);
    CHECK(n > 100 && n < MICRO_MAX_HEADER / 4);
    /* data in bulk makes good for them */
    char text[1200];
    snprintf(text, sizeof text, "3e8;%050d\r\n%01000d\r\n", 7, 7);
    CHECK_EQ_INT(chunk_repeat("", text, 2000), 2000);
}
