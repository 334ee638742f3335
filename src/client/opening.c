/* SPDX-License-Identifier: MIT */
/* The caller's side of a stream: opened on a connection of its own, by a request whose message does
 * not count. */
#include "call.h"
#include "../stream/stream.h"

typedef struct opening {
    micro_stream st;  /* first */
    micro__call k;    /* as it was when it was opened: protocol, codec, method */
    micro_buf prefix; /* of every request: all of its head but the length */
    uint64_t seq;     /* of the envelope written last */
    bool open;
} opening;

/* ---- messages ------------------------------------------------------------------------------- */

static micro_err opening_encode(micro_stream *st, micro_ctx *ctx, const void *msg, micro_buf *head,
                                micro_buf *body)
{
    opening *o = (opening *)(void *)st;
    micro__call k = o->k;

    k.ctx = ctx;
    k.req = msg;
    k.seq = o->seq++;
    micro_err err = micro__call_encode(&k, body);
    if (err != MICRO_OK)
        return err;
    micro__buf_add(head, o->prefix.ptr, o->prefix.len);
    micro__buf_add(head, "Content-Length: ", 16);
    micro__buf_u64(head, body->len);
    micro__buf_add(head, "\r\n\r\n", 4);
    return MICRO_OK;
}

static bool opening_is_end(const micro_ctx *ctx, micro_err err)
{
    const micro_error *e = &ctx->error;

    return err == MICRO_EREMOTE && !e->code && !e->id.len &&
           micro__str_is(e->detail, MICRO__STREAM_EOS);
}

static micro_err opening_decode(micro_stream *st, micro_ctx *ctx, micro__piece *m, void *msg,
                                bool *over)
{
    micro__call k = ((opening *)(void *)st)->k;
    const micro_msg reply = { { m->headers, m->head.nheaders, 0 },
                              { (const uint8_t *)m->body, m->len } };

    *over = true;
    if (m->head.status != 200)
        return micro__ctx_local_id(ctx, "go.micro.client.transport", MICRO_EPROTO, "%d %s: %.*s",
                                   m->head.status, micro__status_text(m->head.status),
                                   (int)(m->len > 1024 ? 1024 : m->len), m->body);
    k.ctx = ctx;
    k.rsp = msg;
    micro_err err = micro__call_reply(&k, &reply);
    if (opening_is_end(ctx, err)) {
        micro__ctx_clear_error(ctx);
        return MICRO_EOS;
    }
    *over = err != MICRO_OK && err != MICRO_EFORMAT && err != MICRO_ETOOBIG;
    return err;
}

static micro_err opening_last(micro_stream *st, micro_err err, micro_buf *head, micro_buf *body)
{
    const opening *o = (const opening *)(const void *)st;

    (void)body;
    if (o->k.wire != MICRO__WIRE_BARE || err != MICRO_OK)
        return MICRO_ENOSYS; /* 2018 peers know no end but that of the connection */
    micro__buf_add(head, o->prefix.ptr, o->prefix.len);
    micro__buf_text(head, "Micro-Error: " MICRO__STREAM_EOS
                          "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    return MICRO_OK;
}

static void opening_free(micro_stream *st)
{
    opening *o = (opening *)(void *)st;

    micro__buf_free(&o->prefix);
    micro__free(o, sizeof *o);
}

static const micro__stream_side opening_side = { false, opening_decode, opening_encode,
                                                 opening_last, opening_free };

/* ---- the opening ---------------------------------------------------------------------------- */

static micro_err opening_prefix(opening *o, micro__call *k)
{
    micro_ctx *ctx = k->ctx;
    micro__mark mark = micro__arena_mark(&ctx->arena);
    micro_pairs header;

    ctx->deadline = k->own;
    bool ok = micro__call_headers(k, 0, &header);
    ctx->deadline = k->deadline;
    o->prefix.len = 0;
    if (ok) {
        micro__http_request_prefix(&o->prefix, k->address, &header);
        if (k->wire == MICRO__WIRE_BARE)
            micro__http_header(&o->prefix, micro_s("Micro-Stream"), micro_s("0"));
    }
    micro__arena_rewind(&ctx->arena, mark);
    return ok && !o->prefix.failed ? MICRO_OK
                                   : micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
}

/* The message that nobody looks at. */
static const void *opening_message(micro__call *k)
{
    static const micro_value object = { .kind = MICRO_VALUE_OBJECT };
    static const micro_bytes braces = { (const uint8_t *)"{}", 2 };
    const micro_type *type = k->method->req;
    bool json = micro__codec_envelope(micro_s(k->codec->content_type)) == MICRO__WIRE_JSONRPC;

    if (type == &micro_type_value)
        return &object;
    if (type == &micro_type_bytes && json)
        return &braces;
    void *zero = micro__arena_zero(&k->ctx->arena, type->size);
    if (zero)
        micro__type_zero(type, zero);
    return zero;
}

static micro_err opening_send(opening *o, micro__call *k)
{
    micro__mark mark = micro__arena_mark(&k->ctx->arena);
    micro_buf head = { 0 }, body = { 0 };
    const void *msg = opening_message(k);
    micro_err err =
        msg ? opening_prefix(o, k) : micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory");

    o->k = *k;
    o->seq = 0;
    if (err == MICRO_OK)
        err = opening_encode(&o->st, k->ctx, msg, &head, &body);
    if (err == MICRO_OK) {
        k->untouched = false;
        err = micro__pipe_send(&o->st.pipe, k->ctx, &head, &body);
        if (err != MICRO_OK)
            micro__ctx_local_id(k->ctx, "go.micro.client.transport", err, "write: %s",
                                micro_strerror(err));
    }
    micro__buf_free(&head);
    micro__buf_free(&body);
    micro__arena_rewind(&k->ctx->arena, mark);
    return err;
}

static void opening_drop(opening *o)
{
    if (!o->open)
        return;
    micro__fd_close(o->st.pipe.fd);
    micro__pipe_free(&o->st.pipe);
    o->open = false;
}

/* One attempt, at k->address. */
static micro_err opening_attempt(micro__call *k)
{
    opening *o = k->opening;
    micro__addr to;
    int fd = -1;

    opening_drop(o); /* middleware runs the rest once more */
    micro_err err = micro__call_dial(k, &fd);
    if (err != MICRO_OK)
        return err;
    micro__pipe_init(&o->st.pipe, fd, false, MICRO_MAX_BODY);
    o->st.pipe.local = micro__sock_peer(fd, &to) ? micro__local_find(&to) : 0;
    o->open = true;
    err = opening_send(o, k);
    if (err != MICRO_OK)
        opening_drop(o);
    return err;
}

MICRO_PRIVATE micro_err micro__client_open(micro__client *c, micro_ctx *ctx, const char *service,
                                           const micro_method *method, const micro_call_opts *opts,
                                           micro_stream **out)
{
    opening *o = micro__alloc_zero(sizeof *o);
    micro__call k = { .c = c,
                      .ctx = ctx,
                      .service = service,
                      .method = method,
                      .last = SIZE_MAX,
                      .run = opening_attempt,
                      .opening = o };

    micro__ctx_clear_error(ctx);
    if (!o)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    micro_err err = micro__call_options(&k, opts);
    if (err == MICRO_OK)
        err = micro__call_run(&k);
    if (err == MICRO_OK && !o->open)
        err = micro__ctx_local(ctx, MICRO_EINVAL, "middleware did not open the stream");
    if (err != MICRO_OK) {
        opening_drop(o);
        opening_free(&o->st);
        return err;
    }
    micro__ctx_clear_error(ctx); /* of an attempt before */
    o->st.engine = c->engine;
    micro__stream_begin(&o->st, ctx, &opening_side, method->rsp, method->req);
    *out = &o->st;
    return MICRO_OK;
}
