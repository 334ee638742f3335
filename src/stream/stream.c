/* SPDX-License-Identifier: MIT */
/* Sending, receiving and ending, for whoever waits himself; and what both forms share. */
#include "stream.h"

#define STREAM_KEEP 16384 /* a bigger buffer for messages is not kept */

/* ---- life ----------------------------------------------------------------------------------- */

static micro_stream *stream_of(micro__owned *o)
{
    return (micro_stream *)(void *)((char *)o - offsetof(micro_stream, owned));
}

/* Whoever waits for the connection finds it broken, and then that ctx is canceled. */
static void stream_wake(micro__owned *o)
{
    micro_stream *st = stream_of(o);

    if (st->pipe.driven)
        micro__pipe_kick(&st->pipe);
    else
        micro__sock_shutdown(st->pipe.fd);
}

static void stream_owned_end(micro__owned *o)
{
    micro_stream *st = stream_of(o);

    micro_stream_close(st, micro__ctx_check(st->ctx, 0));
}

MICRO_PRIVATE void micro__stream_begin(micro_stream *st, micro_ctx *ctx,
                                       const micro__stream_side *side, const micro_type *in,
                                       const micro_type *out)
{
    st->side = side;
    st->ctx = ctx;
    st->in = in;
    st->out = out;
    st->owned.wake = stream_wake;
    st->owned.end = side->serving ? NULL : stream_owned_end;
    micro__ctx_own(ctx, &st->owned);
}

MICRO_PRIVATE void micro__stream_end(micro_stream *st)
{
    if (st->ctx)
        micro__ctx_disown(st->ctx, &st->owned);
    micro_ctx_free(st->last);
    st->last = NULL;
    micro__buf_free(&st->head);
    micro__buf_free(&st->body);
}

/* One of ours that waited itself: nobody is in it any more. */
static void stream_release(micro_stream *st)
{
    micro__stream_end(st);
    micro__fd_close(st->pipe.fd);
    micro__pipe_free(&st->pipe);
    st->side->free(st);
}

/* False: it is closed. */
static bool stream_enter(micro_stream *st, bool sending)
{
    micro__lock(&st->pipe.lock);
    bool open = !st->closed;
    st->users += open;
    st->sending |= open && sending;
    micro__unlock(&st->pipe.lock);
    return open;
}

static micro_err stream_leave(micro_stream *st, micro_err err)
{
    micro__lock(&st->pipe.lock);
    bool closed = st->closed, last = --st->users == 0 && !st->message;
    micro__unlock(&st->pipe.lock);
    if (closed && last && !st->side->serving)
        stream_release(st);
    return closed ? MICRO_ECLOSED : err;
}

static micro_err stream_sent(micro_stream *st, micro_err err)
{
    micro__lock(&st->pipe.lock);
    st->sending = false;
    micro__unlock(&st->pipe.lock);
    return stream_leave(st, err);
}

/* ---- receiving ------------------------------------------------------------------------------ */

static const char *stream_id(const micro_stream *st, const micro_ctx *ctx)
{
    return st->side->serving ? ctx->info.service : "go.micro.client.transport";
}

/* A handler whose caller is not there any more is canceled. */
static micro_err stream_gone(micro_stream *st, micro_ctx *ctx, const char *text)
{
    if (!st->side->serving)
        return micro__ctx_local_id(ctx, stream_id(st, ctx), MICRO_EIO, "%s", text);
    micro_ctx_cancel(st->ctx);
    return micro__ctx_local_id(ctx, stream_id(st, ctx), MICRO_ECANCELED, "%s",
                               st->pipe.problem ? st->pipe.problem : "the caller is gone");
}

/* The peer's connection has ended where a message might begin. For some that is how they end. */
static micro_err stream_fin(micro_stream *st, micro_ctx *ctx)
{
    return st->pipe.ends_by_fin || atomic_load_explicit(&st->pipe.ended, memory_order_relaxed)
               ? MICRO_EOS
               : stream_gone(st, ctx, "EOF");
}

MICRO_PRIVATE micro_err micro__stream_message(micro_stream *st, micro_ctx *ctx, micro_err err,
                                              micro__piece *m, void *msg)
{
    bool over = true;

    switch (err) {
    case MICRO_OK:
        over = false;
        err = st->side->decode(st, ctx, m, msg, &over);
        break;
    case MICRO_EOS:
        err = stream_fin(st, ctx);
        break;
    case MICRO_ETIMEDOUT:
        over = false;
        micro__ctx_local(ctx, err, "stream timeout: context deadline exceeded");
        break;
    case MICRO_ECANCELED:
        micro__ctx_local(ctx, err, "stream timeout: context canceled");
        break;
    case MICRO_EIO:
        err = stream_gone(st, ctx, "connection lost");
        break;
    default:
        micro__ctx_local_id(ctx, stream_id(st, ctx), err, "%s",
                            st->pipe.problem ? st->pipe.problem : micro_strerror(err));
    }
    if (over)
        atomic_store_explicit(&st->over, err, memory_order_release);
    return err;
}

/* Memory of the message before is given back here. */
static micro_ctx *stream_fresh(micro_stream *st)
{
    if (!st->last)
        st->last = micro_ctx_new(st->ctx->svc);
    else
        micro__ctx_recycle(st->last, st->ctx->svc);
    return st->last;
}

static micro_err stream_recv(micro_stream *st, void *msg)
{
    micro__piece m;
    micro_ctx *ctx = st->ctx, *last = stream_fresh(st);

    if (!last)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    last->info.service = ctx->info.service;
    micro_err err = micro__pipe_recv(&st->pipe, ctx, &m);
    if (err != MICRO_OK && micro__ctx_check(ctx, 0) == MICRO_ECANCELED)
        err = MICRO_ECANCELED; /* that is what broke it */
    err = micro__stream_message(st, last, err, &m, msg);
    if (err != MICRO_OK)
        micro__type_zero(st->in, msg);
    if (err != MICRO_OK && err != MICRO_EOS)
        micro__ctx_copy_error(ctx, last);
    return err;
}

MICRO_API micro_err micro_stream_recv(micro_stream *st, void *msg)
{
    if (!st)
        return MICRO_ENOMEM;
    if (!msg || st->message)
        return micro__ctx_local(st->ctx, MICRO_EINVAL,
                                msg ? "the stream has callbacks" : "no place for the message");
    micro__type_zero(st->in, msg);
    micro_err over = atomic_load_explicit(&st->over, memory_order_relaxed);
    if (over != MICRO_OK)
        return over;
    if (!stream_enter(st, false))
        return MICRO_ECLOSED;
    micro__ctx_clear_error(st->ctx);
    return stream_leave(st, stream_recv(st, msg));
}

/* ---- sending -------------------------------------------------------------------------------- */

static void stream_empty(micro_stream *st)
{
    if (st->head.failed || st->head.cap > STREAM_KEEP)
        micro__buf_free(&st->head);
    if (st->body.failed || st->body.cap > STREAM_KEEP)
        micro__buf_free(&st->body);
    st->head.len = st->body.len = 0;
}

/* Errors are only returned: another thread may be receiving on the same ctx. */
MICRO_PRIVATE micro_err micro__stream_encode(micro_stream *st, const void *msg)
{
    micro_ctx *own = micro_ctx_new(st->ctx->svc);

    if (!own)
        return MICRO_ENOMEM;
    stream_empty(st);
    micro_err err = st->side->encode(st, own, msg, &st->head, &st->body);
    if (err == MICRO_OK && (st->head.failed || st->body.failed))
        err = MICRO_ENOMEM;
    micro_ctx_free(own);
    return err;
}

/* A handler may, after its caller's good end. */
MICRO_PRIVATE bool micro__stream_may_send(const micro_stream *st)
{
    micro_err over = atomic_load_explicit(&st->over, memory_order_acquire);

    return !atomic_load_explicit(&st->ended, memory_order_acquire) &&
           (over == MICRO_OK || (over == MICRO_EOS && st->side->serving));
}

MICRO_API micro_err micro_stream_send(micro_stream *st, const void *msg)
{
    if (!st)
        return MICRO_ENOMEM;
    if (!msg)
        return MICRO_EINVAL;
    if (st->pipe.driven || st->message)
        return micro__drive_send(st, msg);
    if (!micro__stream_may_send(st) || !stream_enter(st, true))
        return MICRO_ECLOSED;
    micro_err err = micro__stream_encode(st, msg);
    if (err == MICRO_OK)
        err = micro__pipe_send(&st->pipe, st->ctx, &st->head, &st->body);
    return stream_sent(st, err);
}

/* ---- ending --------------------------------------------------------------------------------- */

/* What tells the peer, into head and body. */
static micro_err stream_last(micro_stream *st, micro_err err)
{
    stream_empty(st);
    micro_err told = st->side->last(st, err, &st->head, &st->body);
    return told == MICRO_OK && (st->head.failed || st->body.failed) ? MICRO_ENOMEM : told;
}

MICRO_PRIVATE void micro__stream_last(micro_stream *st, micro_err err)
{
    if (atomic_exchange(&st->ended, true))
        return;
    micro_err told = stream_last(st, err);
    if (told == MICRO_OK)
        told = micro__pipe_put(&st->pipe, &st->head, &st->body, 0);
    if (told != MICRO_OK && told != MICRO_ENOSYS) { /* then the connection's end has to tell it */
        micro__lock(&st->pipe.lock);
        st->pipe.lost = true;
        micro__unlock(&st->pipe.lock);
    }
    micro__pipe_flush(&st->pipe);
}

MICRO_API micro_err micro_stream_end(micro_stream *st)
{
    if (!st)
        return MICRO_ENOMEM;
    if (st->side->serving)
        return MICRO_EINVAL;
    if (!micro__stream_may_send(st) || !stream_enter(st, true))
        return MICRO_ECLOSED;
    micro_err err = stream_last(st, MICRO_OK);
    if (err == MICRO_OK) {
        atomic_store(&st->ended, true);
        err = st->pipe.driven ? micro__pipe_put(&st->pipe, &st->head, &st->body, 0)
                              : micro__pipe_send(&st->pipe, st->ctx, &st->head, &st->body);
    }
    if (st->pipe.driven)
        micro__pipe_kick(&st->pipe);
    return stream_sent(st, err);
}

MICRO_API void micro_stream_close(micro_stream *st, micro_err err)
{
    if (!st)
        return;
    micro__lock(&st->pipe.lock);
    bool before = st->closed, sending = st->sending, used = st->users++ > 0;
    st->closed = true;
    if (!before)
        st->why = err;
    if (st->message) { /* its loop does the rest, and frees it: nothing is touched after this */
        st->users--;
        micro__pipe_kick(&st->pipe);
        micro__unlock(&st->pipe.lock);
        return;
    }
    micro__unlock(&st->pipe.lock);
    if (!before) {
        if (!sending && (st->side->serving || st->over == MICRO_OK))
            micro__stream_last(st, err);
        if (used)
            micro__sock_shutdown(st->pipe.fd); /* whoever waits in it returns, and frees it */
    }
    stream_leave(st, MICRO_OK);
}
