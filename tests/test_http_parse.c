/* SPDX-License-Identifier: MIT */
/* HTTP heads and chunked bodies: what is taken, what is refused, and that nothing is read too far.
 * */
#include "harness.h"
#include "net/net.h"

#include <sys/mman.h>

enum { HP_MAX = 40, HP_ROOM = 1 << 17, HP_FENCE = 1 << 16 };

#define HP_GET "GET / HTTP/1.1\r\n"
#define HP_OK "HTTP/1.1 200 OK\r\n"

/* ---- helpers -------------------------------------------------------------------------------- */

/* A copy that ends flush against memory that cannot be touched; one at a time. */
static char *hp_flush(const void *data, size_t len)
{
    static char *room;
    if (!room) {
        void *at = mmap(NULL, HP_ROOM + HP_FENCE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED || mprotect((char *)at + HP_ROOM, HP_FENCE, PROT_NONE) != 0)
            abort();
        room = at;
    }
    char *copy = room + HP_ROOM - len;
    if (len)
        memcpy(copy, data, len);
    return copy;
}

static long hp_parse(char *buf, size_t len, bool request, micro__http_head *head)
{
    static micro_pair headers[HP_MAX];
    memset(head, 0x5a, sizeof *head); /* what the parser does not set must not matter */
    head->request = request;
    head->headers = headers;
    head->max_headers = HP_MAX;
    return micro__http_parse(buf, len, head);
}

/* The text itself, from a copy at the fence. */
static long hp_parse_text(const char *text, bool request, micro__http_head *head)
{
    return hp_parse(hp_flush(text, strlen(text)), strlen(text), request, head);
}

static size_t hp_end(const char *text, size_t len)
{
    size_t scanned = 0;
    return micro__http_head_end(hp_flush(text, len), len, &scanned);
}

static bool hp_terminated(micro_str s)
{
    return s.ptr != NULL && s.ptr[s.len] == '\0';
}

/* ---- what is refused ------------------------------------------------------------------------ */

typedef struct hp_bad {
    const char *text;
    const char *problem; /* part of it */
} hp_bad;

/* One row for every clause, and variations of it. */
static const hp_bad hp_bad_requests[] = {
    /* both framings */
    { HP_GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both" },
    { HP_GET "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", "both" },
    /* differing or malformed lengths, a sign, a list of differing lengths */
    { HP_GET "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: 5, 6\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: 5\r\nContent-Length: 5, 6\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: +5\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: -5\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: \r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length:\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: 5 6\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: 0x5\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: 5a\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: 5.0\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: 5,\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: ,5\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: 5,,5\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: 18446744073709551616\r\n\r\n", "Content-Length" },
    { HP_GET "Content-Length: 99999999999999999999999999\r\n\r\n", "Content-Length" },
    /* obs-fold */
    { HP_GET "Foo: a\r\n b\r\n\r\n", "folded" },
    { HP_GET "Foo: a\r\n\tb: c\r\n\r\n", "folded" },
    { HP_GET " Foo: a\r\n\r\n", "folded" },
    { HP_GET "Content-Length: 5\r\n 6\r\n\r\n", "folded" },
    /* space before the colon */
    { HP_GET "Foo : a\r\n\r\n", "colon" },
    { HP_GET "Foo\t: a\r\n\r\n", "colon" },
    { HP_GET "Content-Length : 5\r\n\r\n", "colon" },
    { HP_GET "Transfer-Encoding : chunked\r\n\r\n", "colon" },
    /* bare CR or LF */
    { HP_GET "Foo: a\rb\r\n\r\n", "CR, LF" },
    { HP_GET "Foo: a\nBar: b\r\n\r\n", "CR, LF" },
    { HP_GET "Foo: a\r\r\n\r\n", "CR, LF" },
    { HP_GET "Foo:\n\r\n", "CR, LF" },
    { HP_GET "Foo: a\r\n\rBar: b\r\n\r\n", "CR, LF" },
    { HP_GET "Foo: a\n\n", "CR, LF" },
    { "GET / HTTP/1.1\nFoo: a\r\n\r\n", "version" },
    { "GET / HTTP/1.1\n\n", "version" },
    { "GET / HTTP/1.1\r\r\n\r\n", "CR, LF" },
    { HP_GET "Foo\rLength: 5\r\n\r\n", "colon" },
    { HP_GET "Content\rLength: 5\r\n\r\n", "colon" }, /* CR is no '-', though a bit makes it one */
    { HP_GET "\n", "colon" },
    { "\nGET / HTTP/1.1\r\n\r\n", "method" },
    { "\rGET / HTTP/1.1\r\n\r\n", "method" },
    /* transfer codings other than exactly chunked */
    { HP_GET "Transfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding" },
    { HP_GET "Transfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding" },
    { HP_GET "Transfer-Encoding: chunked, chunked\r\n\r\n", "Transfer-Encoding" },
    { HP_GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
      "Transfer-Encoding" },
    { HP_GET "Transfer-Encoding: identity\r\n\r\n", "Transfer-Encoding" },
    { HP_GET "Transfer-Encoding:\r\n\r\n", "Transfer-Encoding" },
    { HP_GET "Transfer-Encoding: chunked;a=b\r\n\r\n", "Transfer-Encoding" },
    { HP_GET "Transfer-Encoding: \"chunked\"\r\n\r\n", "Transfer-Encoding" },
    { HP_GET "Transfer-Encoding: xchunked\r\n\r\n", "Transfer-Encoding" },
    { HP_GET "Transfer-Encoding: chunked\x0b\r\n\r\n", "Transfer-Encoding" },
    { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0" },
    /* Host */
    { HP_GET "Host: a\r\nHost: a\r\n\r\n", "more than one" },
    { HP_GET "Host: a\r\nhost: b\r\n\r\n", "more than one" },
    { HP_GET "Host: a b\r\n\r\n", "Host" },
    { HP_GET "Host: a/b\r\n\r\n", "Host" },
    { HP_GET "Host: user@a\r\n\r\n", "Host" },
    { HP_GET "Host: a:b\r\n\r\n", "Host" },
    { HP_GET "Host: a:80:80\r\n\r\n", "Host" },
    { HP_GET "Host: a:65536\r\n\r\n", "Host" },
    { HP_GET "Host: a:4294967376\r\n\r\n", "Host" }, /* 80, were it cut to 32 bits */
    { HP_GET "Host: a:-80\r\n\r\n", "Host" },
    { HP_GET "Host: ::1\r\n\r\n", "Host" },
    { HP_GET "Host: [::1\r\n\r\n", "Host" },
    { HP_GET "Host: [::1]80\r\n\r\n", "Host" },
    { HP_GET "Host: []\r\n\r\n", "Host" },
    { HP_GET "Host: [\r\n\r\n", "Host" },
    { HP_GET "Host: [a.example]:80\r\n\r\n", "Host" },
    { HP_GET "Host: \"a\"\r\n\r\n", "Host" },
    { HP_GET "Host: a\tb\r\n\r\n", "Host" },
    { HP_GET "Host: \xc3\xa4\r\n\r\n", "Host" },
    /* a version other than HTTP/1.x */
    { "GET / HTTP/2.0\r\n\r\n", "version" },
    { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version" },
    { "GET / HTTP/0.9\r\n\r\n", "version" },
    { "GET / HTTP/1\r\n\r\n", "version" },
    { "GET / HTTP/1.\r\n\r\n", "version" },
    { "GET / HTTP/1.x\r\n\r\n", "version" },
    { "GET / HTTP/1.10\r\n\r\n", "version" },
    { "GET / HTTP/11\r\n\r\n", "version" },
    { "GET / http/1.1\r\n\r\n", "version" },
    { "GET / HTTPS/1.1\r\n\r\n", "version" },
    { "GET / ICY/1.1\r\n\r\n", "version" },
    { "GET / \r\n\r\n", "version" },
    /* a method or header name that is not a token */
    { "G@T / HTTP/1.1\r\n\r\n", "method" },
    { "G\x01T / HTTP/1.1\r\n\r\n", "method" },
    { "\xc3\xa4 / HTTP/1.1\r\n\r\n", "method" },
    { "(GET) / HTTP/1.1\r\n\r\n", "method" },
    { "GET\t/ HTTP/1.1\r\n\r\n", "method" },
    { " / HTTP/1.1\r\n\r\n", "method" },
    { " GET / HTTP/1.1\r\n\r\n", "method" },
    { HP_GET "F@o: a\r\n\r\n", "name" },
    { HP_GET "F(o): a\r\n\r\n", "name" },
    { HP_GET "F\"o: a\r\n\r\n", "name" },
    { HP_GET "F\xc3\xa4: a\r\n\r\n", "name" },
    { HP_GET "F\x7f: a\r\n\r\n", "name" },
    { HP_GET "F o: a\r\n\r\n", "name" },
    { HP_GET ": a\r\n\r\n", "name" },
    { HP_GET "\x0bHost: a\r\n\r\n", "name" },
    /* a header line without a colon */
    { HP_GET "Foo\r\n\r\n", "without a colon" },
    { HP_GET "Foo\r\nBar: b\r\n\r\n", "without a colon" },
    { HP_GET "Content-Length\r\n\r\nFoo: b", "without a colon" },
    /* not three words */
    { "GET\r\n\r\n", "three words" },
    { "GET /\r\n\r\n", "three words" },
    { "GET  HTTP/1.1\r\n\r\n", "three words" },
    { "GET  / HTTP/1.1\r\n\r\n", "three words" },
    { "GET /  HTTP/1.1\r\n\r\n", "version" },
    { "GET / a HTTP/1.1\r\n\r\n", "version" },
    { "GET / HTTP/1.1 \r\n\r\n", "three words" },
    { "GET / HTTP/1.1 a\r\n\r\n", "three words" },
    /* a control character in the target */
    { "GET /\x01 HTTP/1.1\r\n\r\n", "control" },
    { "GET /\x7f HTTP/1.1\r\n\r\n", "control" },
    { "GET /\t HTTP/1.1\r\n\r\n", "control" },
    { "GET /\x1f HTTP/1.1\r\n\r\n", "control" },
    /* something else altogether */
    { "\x16\x03\x01\x02\r\n\r\n", "method" },
    { "{\"id\":1}\r\n\r\n", "method" },
};

static const hp_bad hp_bad_replies[] = {
    { "HTTP/2.0 200 OK\r\n\r\n", "version" },
    { "HTTP/1.1\r\n\r\n", "status" },
    { "HTTP/1.1 \r\n\r\n", "status" },
    { "HTTP/1.1  200 OK\r\n\r\n", "status" },
    { "HTTP/1.1 20 OK\r\n\r\n", "status" },
    { "HTTP/1.1 2000 OK\r\n\r\n", "status" },
    { "HTTP/1.1 099 OK\r\n\r\n", "status" },
    { "HTTP/1.1 +20 OK\r\n\r\n", "status" },
    { "HTTP/1.1 200OK\r\n\r\n", "status" },
    { "HTTP/1.12 200 OK\r\n\r\n", "status" },
    { "HTTP/1.1 200\n\n", "status" },
    { "HTTP/1.1 200 O\rK\r\n\r\n", "CR, LF" },
    { "HTTP/1.1 200 OK\n\n", "CR, LF" },
    { "\r\nHTTP/1.1 200 OK\r\n\r\n", "version" },
    { "GET / HTTP/1.1\r\n\r\n", "version" },
    { HP_OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "Content-Length" },
    { HP_OK "Content-Length: -1\r\n\r\n", "Content-Length" },
    { HP_OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "both" },
    { HP_OK "Transfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding" },
    { "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0" },
    { HP_OK "Foo: a\r\n b\r\n\r\n", "folded" },
    { HP_OK "Foo : a\r\n\r\n", "colon" },
    { HP_OK "Foo\r\n\r\n", "without a colon" },
};

/* Whole and in every beginning: BAD once the fault has been seen, and never anything but that. */
static void hp_check_bad(const hp_bad *row, bool request)
{
    micro__http_head head;
    size_t len = strlen(row->text);
    bool seen = false;
    NOTE("%.60s", row->text);
    CHECK_EQ_INT(hp_parse_text(row->text, request, &head), MICRO__HTTP_BAD);
    CHECK(head.problem && strstr(head.problem, row->problem));
    for (size_t cut = 0; cut <= len; cut++) {
        char *copy = hp_flush(row->text, cut);
        long got = hp_parse(copy, cut, request, &head);
        CHECK(got == MICRO__HTTP_BAD || (got == MICRO__HTTP_PARTIAL && !seen));
        CHECK(got != MICRO__HTTP_PARTIAL || hp_end(row->text, cut) == 0);
        seen = got == MICRO__HTTP_BAD;
    }
}

TEST(http_parse_refuses_requests)
{
    for (size_t i = 0; i < MICRO_COUNTOF(hp_bad_requests); i++)
        hp_check_bad(&hp_bad_requests[i], true);
}

TEST(http_parse_refuses_replies)
{
    for (size_t i = 0; i < MICRO_COUNTOF(hp_bad_replies); i++)
        hp_check_bad(&hp_bad_replies[i], false);
}

/* NUL stands in no C string of the tables above. */
TEST(http_parse_refuses_nul)
{
    static const char text[] = HP_GET "Foo: bar\r\nContent-Length: 5\r\n\r\n";
    const size_t len = sizeof text - 1;
    micro__http_head head;
    char changed[sizeof text];
    for (size_t at = 0; at < len - 1; at++) { /* without the last LF there is no end */
        memcpy(changed, text, sizeof text);
        changed[at] = '\0';
        NOTE("NUL at %zu", at);
        CHECK_EQ_INT(hp_parse(hp_flush(changed, len), len, true, &head), MICRO__HTTP_BAD);
    }
}

/* Every byte value at a place of each kind. */
TEST(http_parse_bytes)
{
    static const char target[] = "GET /?x HTTP/1.1\r\n\r\n",
                      far_in[] = "GET /bcdefghijkl?nopqrstuvwxyz HTTP/1.1\r\n\r\n",
                      name[] = HP_GET "F?o: a\r\n\r\n", value[] = HP_GET "Foo: a?b\r\n\r\n",
                      method[] = "G?T / HTTP/1.1\r\n\r\n";
    static const char symbols[] = "!#$%&'*+-.^_`|~";
    micro__http_head head;
    for (int c = 1; c < 256; c++) {
        bool token = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     strchr(symbols, c);
        const struct {
            const char *text;
            bool good;
        } places[] = {
            { method, token },
            { name, token || c == ':' },      /* then the name is "F" */
            { target, c > ' ' && c != 0x7f }, /* a space makes four words */
            { far_in, c > ' ' && c != 0x7f },
            { value, c != '\r' && c != '\n' },
        };
        for (size_t i = 0; i < MICRO_COUNTOF(places); i++) {
            char text[64];
            strcpy(text, places[i].text);
            *strchr(text, '?') = (char)c;
            NOTE("byte 0x%02x in place %zu", (unsigned)c, i);
            long want = places[i].good ? (long)strlen(text) : MICRO__HTTP_BAD;
            CHECK_EQ_INT(hp_parse_text(text, true, &head), want);
            CHECK_EQ_INT(micro__http_token(micro__str(&(const char){ (char)c }, 1)), token);
        }
    }
    CHECK(!micro__http_token(micro_s("")));
    CHECK(micro__http_token(micro_s("Micro-Id")));
    CHECK(!micro__http_token(micro_s("Micro Id")));
}

/* ---- what is taken -------------------------------------------------------------------------- */

typedef struct hp_good {
    const char *text;
    const char *method, *target; /* of a reply NULL and the reason */
    int number;                  /* minor version, or status */
    size_t nheaders;
    long long length;  /* -1: none, -2: chunked */
    const char *flags; /* c: close, k: keep-alive, 0: HTTP/1.0 */
} hp_good;

static const hp_good hp_goods[] = {
    { HP_GET "\r\n", "GET", "/", 1, 0, -1, "" },
    { "GET / HTTP/1.0\r\n\r\n", "GET", "/", 0, 0, -1, "" },
    { "GET / HTTP/1.9\r\n\r\n", "GET", "/", 9, 0, -1, "" },
    { "\r\n\r\n" HP_GET "\r\n", "GET", "/", 1, 0, -1, "" },
    { "x!#$%&'*+-.^_`|~9 * HTTP/1.1\r\n\r\n", "x!#$%&'*+-.^_`|~9", "*", 1, 0, -1, "" },
    { "DELETE http://a/b?c=d#e HTTP/1.1\r\n\r\n", "DELETE", "http://a/b?c=d#e", 1, 0, -1, "" },
    { "CONNECT a:80 HTTP/1.1\r\n\r\n", "CONNECT", "a:80", 1, 0, -1, "" },
    { "GET /\xc3\xa4\"<>\\^`{|} HTTP/1.1\r\n\r\n", "GET", "/\xc3\xa4\"<>\\^`{|}", 1, 0, -1, "" },
    { HP_GET "Content-Length: 5\r\n\r\n", "GET", "/", 1, 1, 5, "" },
    { HP_GET "Content-Length: 0\r\n\r\n", "GET", "/", 1, 1, 0, "" },
    { HP_GET "content-length:5\r\n\r\n", "GET", "/", 1, 1, 5, "" },
    { HP_GET "CONTENT-LENGTH: \t5 \t \r\n\r\n", "GET", "/", 1, 1, 5, "" },
    { HP_GET "Content-Length: 0005\r\n\r\n", "GET", "/", 1, 1, 5, "" },
    { HP_GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "GET", "/", 1, 2, 5, "" },
    { HP_GET "Content-Length: 5, 5 ,05\r\n\r\n", "GET", "/", 1, 1, 5, "" },
    { HP_GET "Content-Length: 9223372036854775807\r\n\r\n", "GET", "/", 1, 1, INT64_MAX, "" },
    { HP_GET "Transfer-Encoding: chunked\r\n\r\n", "GET", "/", 1, 1, -2, "" },
    { HP_GET "transfer-encoding:\tCHUNKED \r\n\r\n", "GET", "/", 1, 1, -2, "" },
    { HP_GET "Host: a.example-1_2:80\r\n\r\n", "GET", "/", 1, 1, -1, "" },
    { HP_GET "Host: [::1]:80\r\n\r\n", "GET", "/", 1, 1, -1, "" },
    { HP_GET "Host: [FE80::1%eth0]\r\n\r\n", "GET", "/", 1, 1, -1, "" },
    { HP_GET "Host: [::ffff:1.2.3.4]:\r\n\r\n", "GET", "/", 1, 1, -1, "" },
    { HP_GET "Host:\r\n\r\n", "GET", "/", 1, 1, -1, "" },
    { HP_GET "Host: 127.0.0.1:65535\r\n\r\n", "GET", "/", 1, 1, -1, "" },
    { HP_GET "Connection: close\r\n\r\n", "GET", "/", 1, 1, -1, "c" },
    { HP_GET "Connection: Close\r\n\r\n", "GET", "/", 1, 1, -1, "c" },
    { HP_GET "Connection: Keep-Alive\r\n\r\n", "GET", "/", 1, 1, -1, "k" },
    { HP_GET "Connection: foo, keep-alive,, close ,\r\n\r\n", "GET", "/", 1, 1, -1, "ck" },
    { HP_GET "Connection: foo\r\nConnection: close\r\n\r\n", "GET", "/", 1, 2, -1, "c" },
    { HP_GET "Connection: closed\r\n\r\n", "GET", "/", 1, 1, -1, "" },
    { HP_GET "Connection:\r\n\r\n", "GET", "/", 1, 1, -1, "" },
    { HP_GET "X: a\tb\x01\x7f\xff c\r\n\r\n", "GET", "/", 1, 1, -1, "" },
    { HP_GET "X:\r\nX:\r\nX: :::\r\n\r\n", "GET", "/", 1, 3, -1, "" },
    { HP_OK "\r\n", NULL, "OK", 200, 0, -1, "" },
    { "HTTP/1.1 200\r\n\r\n", NULL, "", 200, 0, -1, "" },
    { "HTTP/1.1 200 \r\n\r\n", NULL, "", 200, 0, -1, "" },
    { "HTTP/1.0 404 Not Found\r\n\r\n", NULL, "Not Found", 404, 0, -1, "0" },
    { "HTTP/1.1 999  \xc3\xa4\t x\r\n\r\n", NULL, " \xc3\xa4\t x", 999, 0, -1, "" },
    { "HTTP/1.1 100 Continue\r\n\r\n", NULL, "Continue", 100, 0, -1, "" },
    { HP_OK "Content-Length: 7\r\nContent-Length: 7\r\n\r\n", NULL, "OK", 200, 2, 7, "" },
    { HP_OK "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n", NULL, "OK", 200, 2, -2,
      "c" },
    { HP_OK "Host: a b\r\nHost: c/d\r\n\r\n", NULL, "OK", 200, 2, -1, "" }, /* 2018 peers echo */
};

static void hp_check_good(const hp_good *row, const micro__http_head *h)
{
    if (row->method) {
        CHECK_EQ_STR(h->method, row->method);
        CHECK_EQ_STR(h->target, row->target);
        CHECK(hp_terminated(h->method) && hp_terminated(h->target));
        CHECK_EQ_INT(h->minor, row->number);
    } else {
        CHECK_EQ_INT(h->status, row->number);
        CHECK_EQ_STR(h->reason, row->target);
        CHECK(hp_terminated(h->reason));
        CHECK_EQ_INT(h->minor, strchr(row->flags, '0') ? 0 : 1);
    }
    CHECK_EQ_UINT(h->nheaders, row->nheaders);
    CHECK_EQ_INT(h->has_length, row->length >= 0);
    CHECK_EQ_INT(h->chunked, row->length == -2);
    CHECK_EQ_UINT(h->length, row->length < 0 ? 0 : row->length);
    CHECK_EQ_INT(h->close, strchr(row->flags, 'c') != NULL);
    CHECK_EQ_INT(h->keep_alive, strchr(row->flags, 'k') != NULL);
    CHECK(h->problem == NULL);
    for (size_t i = 0; i < h->nheaders; i++)
        CHECK(hp_terminated(h->headers[i].key) && hp_terminated(h->headers[i].value));
}

/* Whole, whole with something behind it, and every beginning, which is left as it was. */
TEST(http_parse_takes)
{
    micro__http_head head;
    for (size_t i = 0; i < MICRO_COUNTOF(hp_goods); i++) {
        const hp_good *row = &hp_goods[i];
        bool request = row->method != NULL;
        size_t len = strlen(row->text);
        char longer[256];
        NOTE("%.60s", row->text);
        CHECK_EQ_INT(hp_parse_text(row->text, request, &head), len);
        hp_check_good(row, &head);

        int more = snprintf(longer, sizeof longer, "%s%s", row->text, "{\"a\":1}\r\n\r\nGET :");
        char *copy = hp_flush(longer, (size_t)more);
        CHECK_EQ_INT(hp_parse(copy, (size_t)more, request, &head), len);
        hp_check_good(row, &head);
        CHECK_EQ_MEM(copy + len, (size_t)more - len, longer + len, (size_t)more - len);

        for (size_t cut = 0; cut < len; cut++) {
            copy = hp_flush(row->text, cut);
            CHECK_EQ_INT(hp_parse(copy, cut, request, &head), MICRO__HTTP_PARTIAL);
            CHECK(memcmp(copy, row->text, cut) == 0);
        }
    }
}

TEST(http_parse_headers_in_place)
{
    micro__http_head head;
    const char *text = HP_GET "Foo:  a  b \t\r\nMICRO-id:7\r\nfoo: \t \r\nFoo: second\r\n\r\n";
    REQUIRE(hp_parse_text(text, true, &head) == (long)strlen(text));
    static const char *const want[][2] = {
        { "Foo", "a  b" },
        { "MICRO-id", "7" },
        { "foo", "" },
        { "Foo", "second" },
    };
    REQUIRE(head.nheaders == MICRO_COUNTOF(want));
    for (size_t i = 0; i < head.nheaders; i++) {
        CHECK_EQ_STR(head.headers[i].key, want[i][0]);
        CHECK_EQ_STR(head.headers[i].value, want[i][1]);
        CHECK_EQ_TEXT(head.headers[i].key.ptr, want[i][0]);
        CHECK_EQ_TEXT(head.headers[i].value.ptr, want[i][1]);
    }
    CHECK(head.known[MICRO__H_MICRO_ID].ptr == head.headers[1].value.ptr);
}

TEST(http_parse_line_limit)
{
    micro__http_head head;
    for (int lines = HP_MAX - 1; lines <= HP_MAX + 2; lines++) {
        char text[1024] = HP_GET;
        for (int i = 0; i < lines; i++)
            strcat(text, "A: b\r\n");
        strcat(text, "\r\n");
        NOTE("%d lines", lines);
        long want = lines > HP_MAX ? MICRO__HTTP_TOO_LARGE : (long)strlen(text);
        CHECK_EQ_INT(hp_parse_text(text, true, &head), want);
    }
}

static const struct {
    enum micro__http_known id;
    const char *name;
} hp_known[] = {
    { MICRO__H_CONTENT_LENGTH, "Content-Length" },
    { MICRO__H_TRANSFER_ENCODING, "Transfer-Encoding" },
    { MICRO__H_CONNECTION, "Connection" },
    { MICRO__H_HOST, "Host" },
    { MICRO__H_EXPECT, "Expect" },
    { MICRO__H_CONTENT_TYPE, "Content-Type" },
    { MICRO__H_TIMEOUT, "Timeout" },
    { MICRO__H_ACCEPT, "Accept" },
    { MICRO__H_MICRO_SERVICE, "Micro-Service" },
    { MICRO__H_MICRO_METHOD, "Micro-Method" },
    { MICRO__H_MICRO_ENDPOINT, "Micro-Endpoint" },
    { MICRO__H_MICRO_ID, "Micro-Id" },
    { MICRO__H_MICRO_ERROR, "Micro-Error" },
    { MICRO__H_MICRO_STREAM, "Micro-Stream" },
    { MICRO__H_MICRO_TOPIC, "Micro-Topic" },
    { MICRO__H_MICRO_TARGET, "Micro-Target" },
    { MICRO__H_X_MICRO_SERVICE, "X-Micro-Service" },
    { MICRO__H_X_MICRO_METHOD, "X-Micro-Method" },
    { MICRO__H_X_MICRO_ENDPOINT, "X-Micro-Endpoint" },
    { MICRO__H_X_MICRO_ID, "X-Micro-Id" },
    { MICRO__H_X_MICRO_ERROR, "X-Micro-Error" },
    { MICRO__H_X_MICRO_TARGET, "X-Micro-Target" },
    { MICRO__H_HOP_COUNT, "X-Hop-Count" },
    { MICRO__H_TRACEPARENT, "traceparent" },
    { MICRO__H_TRACESTATE, "tracestate" },
};

/* A value that every known header may have. */
static const char *hp_known_value(enum micro__http_known id)
{
    return id == MICRO__H_TRANSFER_ENCODING ? "chunked" : "12";
}

/* Written in every way, alone in the head: found there and nowhere else. */
TEST(http_parse_known)
{
    micro__http_head head;
    CHECK_EQ_INT(MICRO_COUNTOF(hp_known), MICRO__H_COUNT);
    for (size_t i = 0; i < MICRO_COUNTOF(hp_known); i++) {
        for (int way = 0; way < 3; way++) {
            char text[128], name[32] = "";
            for (size_t k = 0; k < strlen(hp_known[i].name); k++) {
                char c = hp_known[i].name[k];
                bool upper = c >= 'A' && c <= 'Z', lower = c >= 'a' && c <= 'z';
                name[k] = way == 1 && upper   ? (char)(c + 32)
                          : way == 2 && lower ? (char)(c - 32)
                                              : c;
            }
            NOTE("%s", name);
            snprintf(text, sizeof text, HP_OK "%s: %s\r\n%s: 12\r\n\r\n", name,
                     hp_known_value(hp_known[i].id),
                     hp_known[i].id == MICRO__H_TRANSFER_ENCODING ? "A" : name);
            REQUIRE(hp_parse_text(text, false, &head) == (long)strlen(text));
            for (int id = 0; id < MICRO__H_COUNT; id++)
                CHECK_EQ_INT(head.known[id].ptr != NULL, id == (int)hp_known[i].id);
            CHECK(head.known[hp_known[i].id].ptr == head.headers[0].value.ptr); /* the first one */
            CHECK_EQ_STR(head.known[hp_known[i].id], hp_known_value(hp_known[i].id));
        }
    }
}

/* Names that differ in one byte from a known one, or are longer or shorter, are not it. */
TEST(http_parse_nearly_known)
{
    micro__http_head head;
    for (size_t i = 0; i < MICRO_COUNTOF(hp_known); i++) {
        size_t len = strlen(hp_known[i].name);
        for (size_t at = 0; at < len + 2; at++) {
            char text[128], name[32];
            strcpy(name, hp_known[i].name);
            if (at < len)
                name[at] = name[at] == '-' ? '_' : '-';
            else if (at == len)
                name[len - 1] = '\0';
            else
                strcat(name, "s");
            NOTE("%s", name);
            snprintf(text, sizeof text, HP_GET "%s: 12\r\n\r\n", name);
            REQUIRE(hp_parse_text(text, true, &head) == (long)strlen(text));
            for (int id = 0; id < MICRO__H_COUNT; id++)
                CHECK(head.known[id].ptr == NULL);
        }
    }
}

/* Headers that came by another way are found alike. */
TEST(http_index_finds)
{
    micro_pair pairs[] = {
        { micro_s("micro-ID"), micro_s("7") }, { micro_s("Foo"), micro_s("x") },
        { micro_s("Micro-Id"), micro_s("8") }, { micro_s(""), micro_s("") },
        { micro_s("Timeout"), micro_s("5") },
    };
    micro__http_head head = { .headers = pairs, .nheaders = MICRO_COUNTOF(pairs) };
    micro__http_index(&head);
    for (int id = 0; id < MICRO__H_COUNT; id++) {
        bool there = id == MICRO__H_MICRO_ID || id == MICRO__H_TIMEOUT;
        CHECK_EQ_INT(head.known[id].ptr != NULL, there);
    }
    CHECK_EQ_STR(head.known[MICRO__H_MICRO_ID], "7");
    CHECK_EQ_STR(head.known[MICRO__H_TIMEOUT], "5");
}

TEST(http_parse_as_go_writes)
{
    micro__http_head head;
    const char *text = "POST / HTTP/1.1\r\nHost: 127.0.0.1:9601\r\n"
                       "User-Agent: Go-http-client/1.1\r\nContent-Length: 57\r\n"
                       "Accept: application/json\r\nContent-Type: application/json\r\n"
                       "Timeout: 5000000000\r\nX-Micro-From-Service: go.micro.cli.ref\r\n\r\n";
    REQUIRE(hp_parse_text(text, true, &head) == (long)strlen(text));
    CHECK_EQ_STR(head.known[MICRO__H_TIMEOUT], "5000000000");
    CHECK_EQ_STR(head.known[MICRO__H_CONTENT_TYPE], "application/json");
    CHECK_EQ_STR(head.known[MICRO__H_HOST], "127.0.0.1:9601");
    CHECK_EQ_UINT(head.length, 57);
    CHECK_EQ_UINT(head.nheaders, 7);
}

/* ---- the end of a head ---------------------------------------------------------------------- */

static const struct {
    const char *text;
    size_t end;
} hp_ends[] = {
    { "", 0 },
    { "\r\n\r\n\r\n", 0 },
    { "\n\n", 0 },
    { "\r\n\r\nA\r\n\r\n", 9 },
    { "A\r\n\r\n", 5 },
    { "A\r\n\r\n\r\n", 5 },
    { "A\n\n", 3 },
    { "A\n\r\n", 4 },
    { "A\r\n\n", 4 },
    { "A\r\r\n", 0 },
    { "A\r\n\r", 0 },
    { "A\r\n\r\r\n", 0 },
    { "A\r\n\r\r\n\n", 7 },
    { "A\r\n\rB\r\n\r\n", 9 },
    { "A: b\r\nC: d\r\n\r\nbody\r\n\r\n", 14 },
    { "A: b\r\nC: d\r\nE: f\r\n", 0 },
};

/* In one piece, a byte at a time, and in every three pieces. */
TEST(http_head_end_in_pieces)
{
    for (size_t i = 0; i < MICRO_COUNTOF(hp_ends); i++) {
        const char *text = hp_ends[i].text;
        size_t len = strlen(text), end = hp_ends[i].end, scanned = 0;
        NOTE("%s", text);
        CHECK_EQ_UINT(hp_end(text, len), end);
        for (size_t n = 0; n <= len; n++) {
            size_t before = scanned;
            size_t got = micro__http_head_end(hp_flush(text, n), n, &scanned);
            CHECK_EQ_UINT(got, end && n >= end ? end : 0);
            CHECK(scanned >= before && scanned <= n);
            if (got)
                break;
        }
        for (size_t a = 0; a <= len; a++) {
            for (size_t b = a; b <= len; b++) {
                size_t steps[] = { a, b, len }, got = 0;
                scanned = 0;
                for (int k = 0; k < 3 && !got; k++)
                    got = micro__http_head_end(hp_flush(text, steps[k]), steps[k], &scanned);
                CHECK_EQ_UINT(got, end);
            }
        }
    }
}

/* What has been scanned is not scanned again, but for the last few bytes. */
TEST(http_head_end_progress)
{
    static const char text[] = "GET / HTTP/1.1\r\nA: b\r\nCc: dddddddddddd\r";
    size_t scanned = 0, len = sizeof text - 1;
    for (size_t n = 1; n <= len; n++) {
        CHECK_EQ_UINT(micro__http_head_end(text, n, &scanned), 0);
        CHECK(n - scanned <= 2);
    }
}

/* ---- writing -------------------------------------------------------------------------------- */

TEST(http_header_writes)
{
    micro_buf out = { 0 };
    micro__http_header(&out, micro_s("Micro-Error"), micro_s("a\r\nSet-Cookie: b"));
    micro__http_header(&out, micro_s("A"), micro__str("\0\t\x01\x1f\x7f\xc3\xa4 z", 9));
    micro__http_header(&out, micro_s("B"), micro_s(""));
    CHECK_EQ_STR(micro__str(out.ptr, out.len),
                 "Micro-Error: a  Set-Cookie: b\r\nA:      \xc3\xa4 z\r\nB: \r\n");
    size_t before = out.len;
    static const char *const bad[] = { "", "a b", "a:", "a\r\nb", "\xc3\xa4" };
    for (size_t i = 0; i < MICRO_COUNTOF(bad); i++)
        micro__http_header(&out, micro_s(bad[i]), micro_s("x"));
    CHECK_EQ_UINT(out.len, before);
    micro__buf_free(&out);

    micro_buf small = { .max = 10 };
    micro__http_header(&small, micro_s("Name"), micro_s("value"));
    CHECK(small.failed && small.len == 0);
    micro__buf_free(&small);
}
