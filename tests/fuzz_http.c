/* SPDX-License-Identifier: MIT */
/* Fuzzes the HTTP parsers. The first byte of an input says which: 'q' a request's head, 'r' a
 * reply's, 'c' a chunked body; the rest is the text. */
#include "net/net.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_HEADERS = 32 };

static void fuzz_require(bool fact)
{
    if (!fact)
        abort();
}

/* A copy that may be written to, and that ends where the sanitizer's red zone begins. */
static char *fuzz_copy(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    fuzz_require(copy != NULL);
    if (len)
        memcpy(copy, text, len);
    return copy;
}

static void fuzz_piece(const char *buf, size_t len, micro_str s)
{
    fuzz_require(s.ptr >= buf && s.ptr + s.len < buf + len && s.ptr[s.len] == '\0');
}

static void fuzz_pieces(const char *buf, size_t len, const micro__http_head *head)
{
    if (head->request) {
        fuzz_piece(buf, len, head->method);
        fuzz_piece(buf, len, head->target);
        fuzz_require(micro__http_token(head->method) && head->target.len != 0);
    } else {
        fuzz_piece(buf, len, head->reason);
        fuzz_require(head->status >= 100 && head->status <= 999);
    }
    for (size_t i = 0; i < head->nheaders; i++) {
        const micro_pair *pair = &head->headers[i];
        fuzz_piece(buf, len, pair->key);
        fuzz_piece(buf, len, pair->value);
        fuzz_require(micro__http_token(pair->key) && strlen(pair->value.ptr) == pair->value.len);
    }
    for (int i = 0; i < MICRO__H_COUNT; i++) {
        if (head->known[i].ptr)
            fuzz_piece(buf, len, head->known[i]);
    }
    fuzz_require(!(head->chunked && head->has_length));
    fuzz_require(head->has_length == (head->known[MICRO__H_CONTENT_LENGTH].ptr != NULL));
    fuzz_require(head->chunked == (head->known[MICRO__H_TRANSFER_ENCODING].ptr != NULL));
}

/* No control character, which would be written as a space. */
static bool fuzz_printable(micro_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    }
    return true;
}

/* Written again, a head says the same. */
static void fuzz_rewrite(const micro__http_head *head)
{
    micro_buf out = { 0 };
    if (head->request)
        micro__buf_format(&out, "%s %s HTTP/1.%d\r\n", head->method.ptr, head->target.ptr,
                          head->minor);
    else
        micro__buf_format(&out, "HTTP/1.%d %d %s\r\n", head->minor, head->status, head->reason.ptr);
    bool same = true;
    for (size_t i = 0; i < head->nheaders; i++) {
        micro__http_header(&out, head->headers[i].key, head->headers[i].value);
        same = same && fuzz_printable(head->headers[i].value);
    }
    micro__buf_text(&out, "\r\n");
    fuzz_require(!out.failed);

    micro_pair headers[FUZZ_HEADERS];
    micro__http_head again = { .request = head->request, .headers = headers };
    again.max_headers = FUZZ_HEADERS;
    size_t scanned = 0;
    fuzz_require(micro__http_head_end(out.ptr, out.len, &scanned) == out.len);
    fuzz_require(micro__http_parse(out.ptr, out.len, &again) == (long)out.len);
    fuzz_require(again.nheaders == head->nheaders && again.minor == head->minor);
    fuzz_require(again.status == head->status && again.length == head->length);
    fuzz_require(again.chunked == head->chunked);
    fuzz_require(!same || (again.close == head->close && again.keep_alive == head->keep_alive));
    micro__buf_free(&out);
}

/* The end of a head, found a byte at a time. */
static size_t fuzz_end_slowly(const char *text, size_t len)
{
    size_t scanned = 0;
    for (size_t n = 0; n <= len; n++) {
        size_t end = micro__http_head_end(text, n, &scanned);
        if (end)
            return end;
    }
    return 0;
}

static void fuzz_head(const char *text, size_t len, bool request)
{
    micro_pair headers[FUZZ_HEADERS];
    micro__http_head head = { .request = request, .headers = headers, .max_headers = FUZZ_HEADERS };
    char *copy = fuzz_copy(text, len);
    size_t scanned = 0, end = micro__http_head_end(copy, len, &scanned);
    fuzz_require(scanned <= len && end <= len);
    if (len <= 2048)
        fuzz_require(fuzz_end_slowly(copy, len) == end);

    long n = micro__http_parse(copy, len, &head);
    if (n > 0) {
        fuzz_require((size_t)n == end);
        fuzz_require(memcmp(copy + n, text + n, len - (size_t)n) == 0);
        fuzz_pieces(copy, (size_t)n, &head);
        fuzz_rewrite(&head);
    } else if (n == MICRO__HTTP_PARTIAL) {
        fuzz_require(end == 0 && memcmp(copy, text, len) == 0);
    } else {
        fuzz_require(head.problem != NULL && (n == MICRO__HTTP_BAD || n == MICRO__HTTP_TOO_LARGE));
    }
    free(copy);
}

/* Decodes in pieces of a size. The body is gathered in out; *taken says what was consumed. */
static int fuzz_decode(const char *text, size_t len, size_t piece, micro_buf *out, size_t *taken)
{
    micro__chunked c = { 0 };
    int result = 0;
    *taken = 0;
    while (*taken < len && result == 0) {
        size_t n = piece < len - *taken ? piece : len - *taken, used = n, body;
        char *copy = fuzz_copy(text + *taken, n);
        result = micro__chunked_feed(&c, copy, &used, &body);
        fuzz_require(body <= used && used <= n && (result || used == n));
        micro__buf_add(out, copy, body);
        *taken += used;
        free(copy);
    }
    return result;
}

static void fuzz_chunked(const char *text, size_t len)
{
    micro_buf whole = { 0 }, pieces = { 0 };
    size_t taken, taken_pieces;
    int result = fuzz_decode(text, len, len ? len : 1, &whole, &taken);
    size_t piece = len ? 1 + (unsigned char)text[len - 1] % 7u : 1;
    fuzz_require(fuzz_decode(text, len, piece, &pieces, &taken_pieces) == result);
    fuzz_require(taken == taken_pieces && whole.len == pieces.len);
    fuzz_require(!whole.len || memcmp(whole.ptr, pieces.ptr, whole.len) == 0);
    micro__buf_free(&whole);
    micro__buf_free(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    if (!size || size > 1u << 17)
        return 0;
    if (text[0] == 'q' || text[0] == 'r')
        fuzz_head(text + 1, size - 1, text[0] == 'q');
    else if (text[0] == 'c')
        fuzz_chunked(text + 1, size - 1);
    return 0;
}
