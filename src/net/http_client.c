/* SPDX-License-Identifier: MIT */
/* Writes a request, and reads one reply, whatever the pieces it comes in; nothing waits here. */
#include "net.h"

#define CLIENT_BODY_START 65536u /* reserved for a length that is only claimed */

/* ---- request ----------------------------------------------------------------------------------
 */

#define CLIENT_LINE 4 /* ": " and CR LF of a header line */

MICRO_PRIVATE size_t micro__http_request_size(const char *host, const micro_pairs *header)
{
    size_t n = strlen(host) + 128;

    for (size_t i = 0; i < header->len; i++)
        n += header->ptr[i].key.len + header->ptr[i].value.len + CLIENT_LINE;
    return n;
}

/* Host first: old servers of the Go library want to see it early. */
static void client_begin(micro_buf *b, const char *host)
{
    micro__buf_text(b, "POST / HTTP/1.1\r\nHost: ");
    micro__buf_text(b, strncmp(host, "unix:", 5) ? host : "localhost");
    micro__buf_add(b, "\r\n", 2);
}

static void client_lines(micro_buf *b, const micro_pairs *header)
{
    for (size_t i = 0; i < header->len; i++)
        micro__http_header(b, header->ptr[i].key, header->ptr[i].value);
}

MICRO_PRIVATE void micro__http_request_prefix(micro_buf *b, const char *host,
                                              const micro_pairs *header)
{
    client_begin(b, host);
    client_lines(b, header);
}

MICRO_PRIVATE void micro__http_request(micro_buf *b, const char *host, const micro_pairs *header,
                                       size_t body_len)
{
    client_begin(b, host);
    micro__buf_text(b, "Content-Length: ");
    micro__buf_u64(b, body_len);
    micro__buf_add(b, "\r\n", 2);
    client_lines(b, header);
    micro__buf_add(b, "\r\n", 2);
}

/* ---- reply ------------------------------------------------------------------------------------
 */

MICRO_PRIVATE void micro__http_reader_init(micro__http_reader *r, micro_ctx *ctx, size_t max_body)
{
    memset(r, 0, offsetof(micro__http_reader, headers));
    r->ctx = ctx;
    r->max_body = max_body;
}

static char *client_body_grow(micro__http_reader *r, size_t want)
{
    char *p = micro__arena_extend(&r->ctx->arena, r->body, r->body ? r->body_cap + 1 : 0, want + 1);

    if (!p)
        return NULL;
    r->body = p;
    r->body_cap = want;
    return p;
}

MICRO_PRIVATE char *micro__http_reader_room(micro__http_reader *r, size_t *room)
{
    if (r->phase == MICRO__READ_HEAD) {
        *room = MICRO_CONN_BUF - r->have;
        return r->start + r->have;
    }
    if (r->body_len == r->body_cap) {
        size_t want = r->body_cap ? r->body_cap * 2 : 4096;
        if (r->phase == MICRO__READ_LENGTH && want > r->head.length)
            want = (size_t)r->head.length;
        if (!client_body_grow(r, want))
            return NULL;
    }
    *room = r->body_cap - r->body_len;
    return r->body + r->body_len;
}

static micro_err client_problem(micro__http_reader *r, micro_err err, const char *text)
{
    r->problem = text;
    return err;
}

static micro_err client_done(micro__http_reader *r, bool reusable)
{
    r->phase = MICRO__READ_DONE;
    r->reusable = reusable && !r->head.close && (r->head.minor > 0 || r->head.keep_alive);
    if (!r->body && !client_body_grow(r, 0))
        return MICRO_ENOMEM;
    r->body[r->body_len] = 0;
    return MICRO_OK;
}

/* n new bytes stand behind body_len. */
static micro_err client_body(micro__http_reader *r, size_t n)
{
    if (r->phase == MICRO__READ_CHUNKED) {
        size_t used = n, got = 0;
        int state = micro__chunked_feed(&r->chunk, r->body + r->body_len, &used, &got);
        r->body_len += got;
        if (state < 0)
            return client_problem(r, MICRO_EPROTO, "malformed chunked body");
        if (r->body_len > r->max_body)
            return client_problem(r, MICRO_ETOOBIG, "message over the size limit");
        return state ? client_done(r, used == n) : MICRO_EAGAIN;
    }
    r->body_len += n;
    if (r->body_len > r->max_body)
        return client_problem(r, MICRO_ETOOBIG, "message over the size limit");
    if (r->phase == MICRO__READ_LENGTH && r->body_len == r->head.length)
        return client_done(r, true);
    return MICRO_EAGAIN;
}

/* What came with the head goes to where the body will be. */
static micro_err client_body_begin(micro__http_reader *r, size_t head)
{
    size_t n = r->have - head, cap = n;
    bool extra = false;

    if (r->phase == MICRO__READ_LENGTH) {
        if (r->head.length > r->max_body)
            return client_problem(r, MICRO_ETOOBIG, "message over the size limit");
        extra =
            n >
            r->head.length; /* bytes nobody asked for: the reply counts, the connection does not */
        n = extra ? (size_t)r->head.length : n;
        cap = r->head.length < CLIENT_BODY_START ? (size_t)r->head.length : CLIENT_BODY_START;
        cap = cap < n ? n : cap;
    }
    if (!client_body_grow(r, cap ? cap : 1))
        return MICRO_ENOMEM;
    memcpy(r->body, r->start + head, n);
    if (r->phase == MICRO__READ_LENGTH && r->head.length == 0)
        return client_done(r, !extra);
    micro_err err = n ? client_body(r, n) : MICRO_EAGAIN;
    if (extra)
        r->reusable = false;
    return err;
}

/* The head is copied into the ctx: its strings outlive the reader. */
static micro_err client_head(micro__http_reader *r, size_t len)
{
    micro__mark mark = micro__arena_mark(&r->ctx->arena);
    char *copy = micro__arena_text(&r->ctx->arena, r->start, len);
    micro__http_head *h = &r->head;

    if (!copy)
        return MICRO_ENOMEM;
    memset(h, 0, sizeof *h);
    h->headers = r->headers;
    h->max_headers = MICRO_MAX_HEADERS;
    long n = micro__http_parse(copy, len, h);
    if (n == MICRO__HTTP_TOO_LARGE)
        return client_problem(r, MICRO_ETOOBIG, "too many headers");
    if (n < 0)
        return client_problem(r, MICRO_EPROTO, h->problem ? h->problem : "malformed HTTP reply");
    if (h->status / 100 == 1) { /* 100 Continue and its like: the reply proper follows */
        memmove(r->start, r->start + len, r->have - len);
        r->have -= len;
        r->scanned = 0;
        micro__arena_rewind(&r->ctx->arena, mark);
        if (++r->interim > 16)
            return client_problem(r, MICRO_EPROTO, "too many interim replies");
        return MICRO_EAGAIN;
    }
    if (h->status == 204 || h->status == 304) {
        h->chunked = false;
        h->has_length = true;
        h->length = 0;
    }
    r->phase = h->chunked      ? MICRO__READ_CHUNKED
               : h->has_length ? MICRO__READ_LENGTH
                               : MICRO__READ_CLOSE;
    return client_body_begin(r, len);
}

static micro_err client_end(micro__http_reader *r)
{
    return r->phase == MICRO__READ_CLOSE ? client_done(r, false) : MICRO_EIO;
}

MICRO_PRIVATE micro_err micro__http_reader_feed(micro__http_reader *r, size_t n)
{
    if (!n)
        return client_end(r);
    r->any = true;
    if (r->phase != MICRO__READ_HEAD)
        return client_body(r, n);
    r->have += n;
    for (;;) {
        size_t len = micro__http_head_end(r->start, r->have, &r->scanned);
        if (!len)
            return r->have >= MICRO_CONN_BUF
                       ? client_problem(r, MICRO_ETOOBIG, "header over the size limit")
                       : MICRO_EAGAIN;
        micro_err err = client_head(r, len);
        if (err != MICRO_EAGAIN || r->phase != MICRO__READ_HEAD)
            return err;
    }
}

MICRO_PRIVATE bool micro__http_reply_counts(const micro__http_head *h)
{
    const micro_pairs lines = { h->headers, h->nheaders, 0 };

    return h->status == 200 || (h->status == 503 && micro__pairs_get(&lines, "Micro-Shed").len);
}

MICRO_PRIVATE micro_err micro__http_status_error(micro__http_reader *r)
{
    const micro__http_head *h = &r->head;
    const char *reason = h->reason.len ? h->reason.ptr : micro__status_text(h->status);

    return micro__ctx_local_id(r->ctx, "go.micro.client.transport", MICRO_EPROTO, "%d %s: %.*s",
                               h->status, reason, (int)(r->body_len > 1024 ? 1024 : r->body_len),
                               r->body);
}

MICRO_PRIVATE micro_err micro__http_resolve(micro__addr *to, const char *address)
{
    micro_str host;
    uint16_t port;

    if (micro__hostport_parse(micro_s(address), &host, &port) &&
        micro__addr_literal(to, host, port))
        return MICRO_OK;
    micro_block_begin();
    micro_err err = micro__addr_resolve(to, micro_s(address));
    micro_block_end();
    return err;
}
