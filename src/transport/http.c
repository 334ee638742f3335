/* SPDX-License-Identifier: MIT */
/* The http transport: one POST an exchange over a kept connection, blocking. */
#include "transport.h"

/* A micro_sock of ours. */
typedef struct http_sock {
    int fd;
    bool reusable;
    bool near; /* the peer is on this machine, and may share our processor */
    micro__yield_score yield;
    uint64_t local;  /* a port of this thread's own, without a connection; 0: none */
    micro_ctx *held; /* what it answered lives there until it is received */
    micro_msg answer;
    char host[128]; /* for the Host header */
} http_sock;

static const micro_transport_ops http_ops;

/* The connection breaks under whoever waits on it: recv returns at once. */
static void http_wake(void *arg)
{
    http_sock *s = arg;
    micro__sock_shutdown(s->fd);
}

static micro_err http_wait(micro_ctx *ctx, http_sock *s, int what)
{
    micro_err err = micro__seat_wait(s->fd, what, ctx->deadline);
    micro_err state = micro__ctx_check(ctx, ctx->deadline);

    return state != MICRO_OK ? state : err;
}

/* A failure of the exchange, in the words of go-micro's client. */
static micro_err http_fail(micro_ctx *ctx, micro_err err, const char *text)
{
    if (micro__ctx_check(ctx, 0) == MICRO_ECANCELED)
        return micro__ctx_local(ctx, MICRO_ECANCELED, "call timeout: context canceled");
    if (err == MICRO_ETIMEDOUT)
        return micro__ctx_local(ctx, err, "call timeout: context deadline exceeded");
    return micro__ctx_local_id(ctx, "go.micro.client.transport", err, "%s", text);
}

/* ---- dial ---------------------------------------------------------------------------------- */

static micro_err http_connect(micro_ctx *ctx, const micro__addr *to, http_sock *s, char why[128])
{
    micro_err err = micro__sock_connect_begin(to, &s->fd, why);

    if (err != MICRO_EAGAIN)
        return err;
    micro__ctx_wait_begin(ctx, http_wake, s);
    err = http_wait(ctx, s, MICRO__WRITE);
    micro__ctx_wait_end(ctx);
    if (err == MICRO_ETIMEDOUT || err == MICRO_ECANCELED)
        return err;
    return micro__sock_connect_end(&s->fd, why);
}

static micro_err http_resolve(micro_ctx *ctx, const char *address, micro__addr *to)
{
    micro_err err = micro__http_resolve(to, address);

    if (err == MICRO_EINVAL)
        return micro__ctx_local(ctx, MICRO_EINVAL, "malformed address %s", address);
    if (err != MICRO_OK)
        return micro__ctx_local(ctx, MICRO_ECONNECT,
                                "connection error: dial tcp: lookup %s: no such host", address);
    return MICRO_OK;
}

static micro_err http_refused(micro_ctx *ctx, const char *address, micro_err err, const char *why)
{
    if (err == MICRO_ECONNECT)
        return micro__ctx_local(ctx, err, "connection error: dial tcp %s: connect: %s", address,
                                why);
    return http_fail(ctx, err, why);
}

MICRO_PRIVATE micro_err micro__transport_http_open(micro_ctx *ctx, const char *address, int *fd)
{
    http_sock s = { .fd = -1 };
    micro__addr to;
    char why[128] = "";
    micro_err err = http_resolve(ctx, address, &to);

    if (err != MICRO_OK)
        return err;
    err = http_connect(ctx, &to, &s, why);
    *fd = s.fd;
    if (err == MICRO_OK)
        return MICRO_OK;
    micro__fd_close(s.fd);
    return http_refused(ctx, address, err, why);
}

static micro_err http_dial(micro_transport *self, micro_ctx *ctx, const char *address,
                           micro_sock **out)
{
    micro__addr to;
    char why[128] = "";

    (void)self;
    micro_err err = http_resolve(ctx, address, &to);
    if (err != MICRO_OK)
        return err;
    http_sock *s = micro__alloc_zero(sizeof *s);
    if (!s)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    snprintf(s->host, sizeof s->host, "%s", address);
    s->fd = -1;
    s->local = micro__local_find(&to);
    err = s->local ? MICRO_OK : http_connect(ctx, &to, s, why);
    if (err == MICRO_OK) {
        s->reusable = true;
        s->near = !s->local && micro__sock_is_near(s->fd);
        *out = (micro_sock *)(void *)s;
        return MICRO_OK;
    }
    micro__fd_close(s->fd);
    micro__free(s, sizeof *s);
    return http_refused(ctx, address, err, why);
}

/* ---- send ---------------------------------------------------------------------------------- */

static micro_err http_write(micro_ctx *ctx, http_sock *s, const char *a, size_t alen, const char *b,
                            size_t blen)
{
    for (;;) {
        long n =
            blen ? micro__sock_send2(s->fd, a, alen, b, blen) : micro__sock_send(s->fd, a, alen);
        if (n == MICRO_EAGAIN) {
            micro_err err = http_wait(ctx, s, MICRO__WRITE);
            if (err != MICRO_OK)
                return err;
            continue;
        }
        if (n < 0)
            return MICRO_EIO;
        if ((size_t)n >= alen) {
            b += (size_t)n - alen;
            blen -= (size_t)n - alen;
            if (!blen)
                return MICRO_OK;
            a = b;
            alen = blen;
            blen = 0;
        } else {
            a += n;
            alen -= (size_t)n;
        }
    }
}

static micro_err http_send_local(micro_ctx *ctx, http_sock *s, const micro_msg *msg)
{
    micro_ctx_free(s->held);
    s->held = micro_ctx_new(NULL);
    if (!s->held)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    micro_err err = micro__local_exchange(s->local, s->held, msg, &s->answer);
    const micro_error *e = &s->held->error;
    return err == MICRO_OK
               ? err
               : micro__ctx_local_id(ctx, e->id.ptr, err, MICRO_STR_FMT, MICRO_STR_ARG(e->detail));
}

static micro_err http_send(micro_transport *self, micro_ctx *ctx, micro_sock *sock,
                           const micro_msg *msg)
{
    (void)self;
    http_sock *s = (http_sock *)(void *)sock;
    if (s->local)
        return http_send_local(ctx, s, msg);
    micro__mark mark = micro__arena_mark(&ctx->arena);
    size_t size = micro__http_request_size(s->host, &msg->header);
    micro_buf head = { .ptr = micro__arena_take(&ctx->arena, size), .cap = size, .max = size };

    if (!head.ptr)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    micro__http_request(&head, s->host, &msg->header, msg->body.len);
    micro__ctx_wait_begin(ctx, http_wake, s);
    micro_err err = head.failed ? MICRO_EINVAL
                                : http_write(ctx, s, head.ptr, head.len,
                                             (const char *)msg->body.ptr, msg->body.len);
    micro__ctx_wait_end(ctx);
    micro__arena_rewind(&ctx->arena, mark);
    if (err == MICRO_OK)
        return MICRO_OK;
    s->reusable = false;
    return http_fail(ctx, err, "write: connection lost");
}

/* ---- recv ---------------------------------------------------------------------------------- */

/* A read before any wait: EAGAIN if nothing is there, or nothing was tried. */
static long http_recv_soon(http_sock *s, char *at, size_t room)
{
    if (!s->near || !micro__yield_due(&s->yield))
        return MICRO_EAGAIN;
    uint64_t us = micro__yield();
    long n = micro__sock_recv(s->fd, at, room);
    micro__yield_learn(&s->yield, us, n != MICRO_EAGAIN);
    return n;
}

/* >= 0 bytes; or EAGAIN after a wait that brought nothing, or an error. */
static long http_recv_some(micro_ctx *ctx, http_sock *s, char *at, size_t room)
{
    long n = http_recv_soon(s, at, room);
    bool wait = n == MICRO_EAGAIN;
    micro_err err = wait ? http_wait(ctx, s, MICRO__READ) : micro__ctx_check(ctx, ctx->deadline);

    if (err != MICRO_OK)
        return err;
    return wait ? micro__sock_recv(s->fd, at, room) : n;
}

static micro_err http_read(micro_ctx *ctx, http_sock *s, micro__http_reader *r)
{
    micro_err err = MICRO_EAGAIN;

    while (err == MICRO_EAGAIN) {
        size_t room;
        char *at = micro__http_reader_room(r, &room);
        long n = at ? http_recv_some(ctx, s, at, room) : MICRO_ENOMEM;
        err = n < 0 ? (micro_err)n : micro__http_reader_feed(r, (size_t)n);
    }
    return err;
}

static micro_err http_reply(micro_ctx *ctx, const micro__http_reader *r, micro_msg *out)
{
    size_t n = r->head.nheaders;
    micro_pair *header = micro__arena_take(&ctx->arena, sizeof *header * (n ? n : 1));

    if (!header)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    memcpy(header, r->headers, sizeof *header * n);
    out->header.ptr = header;
    out->header.len = n;
    out->header.cap = 0;
    out->body.ptr = (const uint8_t *)r->body;
    out->body.len = r->body_len;
    return MICRO_OK;
}

/* What came too late does not count, as over a connection. */
static micro_err http_recv_local(micro_ctx *ctx, http_sock *s, micro_msg *out)
{
    micro_err err = micro__ctx_check(ctx, ctx->deadline);

    if (err == MICRO_OK && !s->held)
        err = MICRO_EIO;
    if (err != MICRO_OK)
        return http_fail(ctx, err, "EOF");
    out->body.len = s->answer.body.len;
    out->body.ptr = (const uint8_t *)micro__arena_text(
        &ctx->arena, (const char *)s->answer.body.ptr, s->answer.body.len);
    bool ok = out->body.ptr && micro__pairs_copy(&ctx->arena, &out->header, &s->answer.header);
    micro_ctx_free(s->held);
    s->held = NULL;
    return ok ? MICRO_OK : micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
}

static micro_err http_recv(micro_transport *self, micro_ctx *ctx, micro_sock *sock, micro_msg *out)
{
    http_sock *s = (http_sock *)(void *)sock;
    micro__http_reader r;

    (void)self;
    if (s->local)
        return http_recv_local(ctx, s, out);
    micro__http_reader_init(&r, ctx, MICRO_MAX_BODY);
    micro__ctx_wait_begin(ctx, http_wake, s);
    micro_err err = http_read(ctx, s, &r);
    micro__ctx_wait_end(ctx);
    s->reusable = err == MICRO_OK && r.reusable;
    if (err != MICRO_OK)
        return http_fail(ctx, err, r.problem ? r.problem : r.any ? "unexpected EOF" : "EOF");
    return micro__http_reply_counts(&r.head) ? http_reply(ctx, &r, out)
                                             : micro__http_status_error(&r);
}

/* ---- the rest ------------------------------------------------------------------------------ */

static bool http_alive(micro_transport *self, micro_sock *sock)
{
    http_sock *s = (http_sock *)(void *)sock;

    (void)self;
    if (s->local)
        return micro__local_alive(s->local);
    return s->reusable && micro__sock_quiet(s->fd);
}

static void http_hangup(micro_transport *self, micro_sock *sock)
{
    http_sock *s = (http_sock *)(void *)sock;

    (void)self;
    micro__fd_close(s->fd);
    micro_ctx_free(s->held);
    micro__free(s, sizeof *s);
}

static void http_free(micro_transport *self)
{
    micro__free(self, sizeof *self);
}

static const micro_transport_ops http_ops = {
    .size_ = sizeof(micro_transport_ops),
    .name = "http",
    .dial = http_dial,
    .send = http_send,
    .recv = http_recv,
    .alive = http_alive,
    .hangup = http_hangup,
    .free = http_free,
};

MICRO_API micro_transport *micro_transport_http_new(void)
{
    micro_transport *t = micro__alloc(sizeof *t);

    if (t)
        t->ops = &http_ops;
    return t;
}

MICRO_PRIVATE bool micro__transport_is_http(const micro_transport *t)
{
    return t->ops == &http_ops;
}
