/* SPDX-License-Identifier: MIT */
/* The serving side of a stream: opened by a request whose message does not count. Each further
 * request of the connection is a message, each reply one of ours, until the handler ends it. */
#include "dispatch.h"
#include "../stream/stream.h"

#define STREAMED_ID 64    /* bytes of an envelope's id, at most */
#define STREAMED_ROOM 512 /* of the ctx, for strings of the opening, and for a small message */

typedef struct streamed {
    micro_stream st;   /* first */
    micro__dispatch d; /* of the opening; its strings live in ctx */
    micro__reply reply;
    micro_str id; /* Micro-Stream of the opening */
    micro__route *route;
    char last[STREAMED_ID]; /* the envelope's id of the request received last */
    size_t last_len;        /* both under the pipe's lock */
} streamed;

/* ---- messages ------------------------------------------------------------------------------- */

static micro_err streamed_violation(streamed *s, micro_ctx *ctx, bool *over, const char *what)
{
    s->st.pipe.cut = true; /* the connection is of no use after this */
    s->st.pipe.problem = what;
    *over = true;
    return micro__ctx_local_id(ctx, ctx->info.service, MICRO_EPROTO, "%s", what);
}

static bool streamed_differs(const micro__http_head *h, enum micro__http_known which,
                             micro_str want)
{
    return h->known[which].ptr && !micro_str_eq(h->known[which], want);
}

static const char *streamed_stray(const streamed *s, const micro__http_head *h)
{
    if (streamed_differs(h, MICRO__H_CONTENT_TYPE, s->reply.content_type))
        return "another content type in the middle of a stream";
    if (!s->d.micro)
        return NULL;
    if (streamed_differs(h, MICRO__H_MICRO_STREAM, s->id) ||
        streamed_differs(h, MICRO__H_MICRO_ENDPOINT, s->d.method) ||
        streamed_differs(h, MICRO__H_MICRO_METHOD, s->d.method))
        return "another request in the middle of a stream";
    return NULL;
}

static void streamed_received(streamed *s, micro_str id)
{
    micro__lock(&s->st.pipe.lock);
    memcpy(s->last, id.ptr, id.len);
    s->last_len = id.len;
    micro__unlock(&s->st.pipe.lock);
}

/* *m becomes the message in it; without a body it is the empty one. */
static micro_err streamed_open(streamed *s, micro_ctx *ctx, micro__piece *m, bool *over)
{
    micro__envelope env;
    micro_err err = s->d.wire == MICRO__WIRE_JSONRPC
                        ? micro__jsonrpc_read_request(ctx, m->body, m->len, &env)
                        : micro__protorpc_read_request(ctx, m->body, m->len, &env);

    if (err != MICRO_OK)
        return err;
    if (!micro_str_eq(env.method, s->d.method))
        return streamed_violation(s, ctx, over, "another request in the middle of a stream");
    if (env.id.len > STREAMED_ID)
        return streamed_violation(s, ctx, over, "id of a message too long");
    streamed_received(s, env.id);
    if (env.problem)
        return micro__ctx_local_id(ctx, ctx->info.service, MICRO_EFORMAT, "%s", env.problem);
    m->body = env.body;
    m->len = env.body_len;
    return MICRO_OK;
}

static micro_err streamed_decode(micro_stream *st, micro_ctx *ctx, micro__piece *m, void *msg,
                                 bool *over)
{
    streamed *s = (streamed *)(void *)st;
    const char *stray = streamed_stray(s, &m->head);
    micro_err err = MICRO_OK;

    if (stray)
        return streamed_violation(s, ctx, over, stray);
    if (s->d.micro && m->head.known[MICRO__H_MICRO_ERROR].ptr &&
        micro__str_is(m->head.known[MICRO__H_MICRO_ERROR], MICRO__STREAM_EOS)) {
        atomic_store_explicit(&st->pipe.ended, true, memory_order_release);
        *over = true;
        return MICRO_EOS;
    }
    if (s->d.wire != MICRO__WIRE_BARE)
        err = streamed_open(s, ctx, m, over);
    else if (!m->len && st->in != &micro_type_bytes)
        m->body = NULL;
    if (err == MICRO_OK)
        err = micro__codec_decode(s->d.codec, ctx, st->in, m->body, m->len, msg);
    return err;
}

static micro_err streamed_encode(micro_stream *st, micro_ctx *ctx, const void *msg, micro_buf *head,
                                 micro_buf *body)
{
    streamed *s = (streamed *)(void *)st;
    micro__dispatch d = s->d;
    micro__reply r = s->reply;
    char id[STREAMED_ID];

    r.body = body;
    d.reply = &r;
    d.ctx = ctx;
    micro__lock(&st->pipe.lock);
    if (s->last_len) {
        memcpy(id, s->last, s->last_len);
        d.id = micro__str(id, s->last_len);
    }
    micro__unlock(&st->pipe.lock);
    micro_err err = micro__dispatch_message(&d, st->out, msg);
    if (err == MICRO_OK)
        micro__http_reply(head, &r, body->len, false);
    return err;
}

static micro_err streamed_last(micro_stream *st, micro_err err, micro_buf *head, micro_buf *body)
{
    streamed *s = (streamed *)(void *)st;
    micro__dispatch d = s->d;
    micro__reply r = s->reply;

    r.body = body;
    d.reply = &r;
    micro__dispatch_last(&d, err);
    s->d.outcome = d.outcome;
    micro__http_reply(head, &r, body->len, st->pipe.cut);
    return MICRO_OK;
}

static void streamed_free(micro_stream *st)
{
    streamed *s = (streamed *)(void *)st;

    micro__stats_end(s->route->stats, NULL, s->d.begun, s->d.outcome);
    micro__server_taken(s->d.s);
    micro__free(s, sizeof *s);
}

static const micro__stream_side streamed_side = { true, streamed_decode, streamed_encode,
                                                  streamed_last, streamed_free };

/* ---- the opening ---------------------------------------------------------------------------- */

static micro_str streamed_copy(micro_ctx *ctx, micro_str text)
{
    return text.len ? micro_copy(ctx, text) : micro__str("", 0);
}

static size_t streamed_room(const micro_pairs *metadata)
{
    size_t room = STREAMED_ROOM;

    for (size_t i = 0; i < metadata->len; i++) {
        const micro_pair *p = &metadata->ptr[i];
        room += sizeof *p + ((p->key.len + 16) & ~(size_t)15) + ((p->value.len + 16) & ~(size_t)15);
    }
    return room;
}

/* A ctx for as long as the stream lives, with what the request's has. NULL: out of memory. */
static micro_ctx *streamed_ctx(const micro_ctx *from)
{
    micro_ctx *ctx = micro__ctx_new_small(from->svc, streamed_room(&from->metadata));

    if (!ctx)
        return NULL;
    ctx->state = from->state;
    ctx->hops = from->hops;
    ctx->own_trace = from->own_trace;
    ctx->info = from->info;
    if (micro__pairs_copy(&ctx->arena, &ctx->metadata, &from->metadata))
        return ctx;
    micro_ctx_free(ctx);
    return NULL;
}

/* What is the request's becomes the stream's own. */
static bool streamed_own(streamed *s, const micro__dispatch *d, micro__route *route,
                         const micro__request *req)
{
    const micro_str *id = &d->head->known[MICRO__H_MICRO_STREAM];

    s->d = *d;
    micro__dispatch_surroundings(&s->d, route, req->peer);
    micro_ctx *ctx = s->d.ctx = streamed_ctx(d->ctx);
    if (!ctx)
        return false;
    s->id = id->ptr ? streamed_copy(ctx, *id) : micro__str("", 0);
    s->reply = micro__reply_new(NULL, 200);
    s->reply.content_type = streamed_copy(ctx, d->reply->content_type);
    s->reply.id = streamed_copy(ctx, d->reply->id);
    s->reply.stream = s->id;
    ctx->info.content_type = s->reply.content_type.ptr;
    s->d.method = streamed_copy(ctx, d->method);
    s->d.id = streamed_copy(ctx, d->id);
    s->d.head = NULL;
    s->d.reply = NULL;
    s->d.body = NULL;
    return !ctx->arena.failed;
}

static micro_err streamed_begin(streamed *s, const micro__dispatch *d, micro__route *route,
                                const micro__request *req)
{
    const micro_method *m = route->method;

    micro__pipe_init(&s->st.pipe, -1, true, 0);
    s->st.pipe.ends_by_fin = !d->micro;
    if (!streamed_own(s, d, route, req))
        return MICRO_ENOMEM;
    micro_err err = micro__carry_begin(req, &s->st.pipe, s->d.ctx);
    if (err == MICRO_OK)
        micro__stream_begin(&s->st, s->d.ctx, &streamed_side, m->req, m->rsp);
    return err;
}

/* ---- the handler ---------------------------------------------------------------------------- */

static void streamed_done(micro__pipe *p)
{
    micro_stream *st = (micro_stream *)(void *)p;

    micro__stream_end(st);
    micro_ctx_free(st->ctx);
    micro__pipe_free(p);
    streamed_free(st);
}

/* The caller has gone without having ended it, whether or not the handler has found out. */
static bool streamed_deserted(micro_stream *st)
{
    micro_err over = atomic_load_explicit(&st->over, memory_order_relaxed);

    return (over != MICRO_OK && over != MICRO_EOS) || st->pipe.lost ||
           (micro__ctx_check(st->ctx, 0) != MICRO_OK && micro__pipe_deserted(&st->pipe));
}

/* With callbacks it goes on; else it is over. */
static void streamed_returned(micro_stream *st, micro_err err)
{
    if (err == MICRO_EOS)
        err = MICRO_OK; /* as its last receive returned it */
    if (err == MICRO_OK && !st->message && streamed_deserted(st))
        err = micro__ctx_local_id(st->ctx, st->ctx->info.service, MICRO_ECANCELED,
                                  "the caller is gone");
    if (err == MICRO_OK && st->ctx->arena.failed)
        err = MICRO_ENOMEM;
    if (st->message) {
        if (err != MICRO_OK)
            micro_stream_close(st, err);
        micro__drive_begin(st);
        return;
    }
    micro__ctx_end(st->ctx);
    micro__stream_last(st, err);
    st->pipe.done = streamed_done;
    st->pipe.over = true;
}

static micro_err streamed_inside(micro__chain *chain)
{
    streamed *s = chain->arg;

    micro__ctx_keep(chain->ctx);
    return s->route->stream(chain->ctx, &s->st);
}

static void streamed_run(streamed *s)
{
    micro_ctx *ctx = s->st.ctx;
    micro__chain chain = {
        .wraps = s->d.s->wraps, .ctx = ctx, .info = &ctx->info, .end = streamed_inside, .arg = s
    };

    micro__user_begin(&s->route->habit);
    streamed_returned(&s->st, micro__wrapped(chain.wraps, MICRO_WRAP_HANDLER)
                                  ? micro__chain_run(&chain)
                                  : streamed_inside(&chain));
    micro__user_end(&s->route->habit);
}

/* NULL: no memory, or the connection is gone; the error is the reply. */
static streamed *streamed_new(micro__dispatch *d, micro__route *route, const micro__request *req)
{
    streamed *s = micro__alloc_zero(sizeof *s);
    micro_err err = s ? streamed_begin(s, d, route, req) : MICRO_ENOMEM;

    if (err == MICRO_OK) {
        s->route = route;
        return s;
    }
    if (s) {
        micro_ctx_free(s->d.ctx);
        micro__pipe_free(&s->st.pipe);
        micro__free(s, sizeof *s);
    }
    micro__dispatch_fail(d, 500, micro_strerror(err));
    return NULL;
}

MICRO_PRIVATE void micro__streamed_serve(micro__dispatch *d, micro__route *route,
                                         micro__request *req)
{
    if (!req->thread) {
        micro__dispatch_fail(d, 501, "a stream needs a connection of its own");
        return;
    }
    if (!micro__server_take(d->s)) {
        micro__dispatch_shed(d);
        return;
    }
    streamed *s = streamed_new(d, route, req);
    if (!s) {
        micro__server_taken(d->s);
        return;
    }
    d->reply->none = true;
    d->reply->close = d->s->once;
    streamed_run(s);
}
