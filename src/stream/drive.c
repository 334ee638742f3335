/* SPDX-License-Identifier: MIT */
/* Streams with callbacks, which no thread waits for: the loop of the connection calls them. */
#include "stream.h"

#define DRIVE_TURN 64 /* messages before other connections have their turn */

/* ---- callbacks ------------------------------------------------------------------------------ */

static bool drive_closed(micro_stream *st)
{
    micro__lock(&st->pipe.lock);
    bool closed = st->closed;
    micro__unlock(&st->pipe.lock);
    return closed;
}

/* An error that the callback left there goes out with the end. */
static void drive_returned(micro_stream *st)
{
    if (!drive_closed(st))
        micro_ctx_reset(st->ctx);
}

static bool drive_room(micro_stream *st)
{
    micro__lock(&st->pipe.lock);
    bool refused = st->refused;
    st->refused = false;
    micro__unlock(&st->pipe.lock);
    if (!refused || !st->room)
        return false;
    st->room(st->ctx, st, st->arg);
    drive_returned(st);
    return true;
}

/* ---- the end -------------------------------------------------------------------------------- */

static void drive_free(micro__pipe *p)
{
    micro_stream *st = (micro_stream *)(void *)p;

    micro__pipe_free(p);
    st->side->free(st);
}

/* Of a caller's stream: its ctx is a child, and ends with this. */
static void drive_complete(void *arg)
{
    micro_stream *st = arg;

    st->end(st->ctx, st, st->over, st->arg);
    micro__stream_end(st);
    if (micro__pipe_retire(&st->pipe, drive_free))
        drive_free(&st->pipe);
}

/* Off its connection; the last touch. */
static void drive_done(micro__pipe *p)
{
    micro_stream *st = (micro_stream *)(void *)p;

    if (!st->side->serving) {
        micro__user_begin(NULL);
        micro__child_end(st->ctx, drive_complete, st);
        micro__user_end(NULL);
        return;
    }
    micro__stream_end(st);
    micro_ctx_free(st->ctx);
    if (micro__pipe_retire(p, drive_free))
        drive_free(p);
}

/* How it ended, as both are told: EOS is a good end. After the peer's good end a handler may still
 * say something. */
static bool drive_over(micro_stream *st, micro_err err, bool ours)
{
    bool served = st->side->serving;

    if (err != MICRO_EOS && (served || ours))
        micro__stream_last(st, err);
    atomic_store(&st->over, err);
    if (served) {
        st->end(st->ctx, st, err, st->arg);
        micro__ctx_end(st->ctx);
    }
    if (served || ours)
        micro__stream_last(st, MICRO_OK);
    st->pipe.over = true;
    return false;
}

/* ---- one step ------------------------------------------------------------------------------- */

static bool drive_message(micro_stream *st)
{
    micro__piece m;
    micro_err err = micro__pipe_take(&st->pipe, &m);

    if (err == MICRO_EAGAIN)
        return false;
    void *msg = micro__arena_zero(&st->ctx->arena, st->in->size);
    if (!msg)
        return drive_over(st, MICRO_ENOMEM, false);
    err = micro__stream_message(st, st->ctx, err, &m, msg);
    if (err != MICRO_OK)
        return drive_over(st, err, false);
    st->message(st->ctx, st, st->fn, msg, st->arg);
    drive_returned(st);
    return true;
}

static size_t drive_left(micro_stream *st)
{
    micro__lock(&st->pipe.lock);
    size_t left = st->pipe.out.len - st->pipe.sent;
    micro__unlock(&st->pipe.lock);
    return left;
}

/* False: nothing more can be done now. */
static bool drive_step(micro_stream *st)
{
    micro__pipe *p = &st->pipe;

    if (drive_closed(st))
        return drive_over(st, st->why == MICRO_OK ? MICRO_EOS : st->why, true);
    if (micro__ctx_check(st->ctx, 0) != MICRO_OK) {
        micro__ctx_local(st->ctx, MICRO_ECANCELED, "stream: context canceled");
        return drive_over(st, MICRO_ECANCELED, false);
    }
    if (st->twice) {
        micro__ctx_local(st->ctx, MICRO_EINVAL, "callbacks were given to the stream twice");
        return drive_over(st, MICRO_EINVAL, true);
    }
    p->full = drive_left(st) >= MICRO_STREAM_BUF && micro__pipe_flush(p) >= MICRO_STREAM_BUF;
    if (p->full)
        return false;
    return drive_room(st) || drive_message(st);
}

static void drive_serve(micro__pipe *p)
{
    micro_stream *st = (micro_stream *)(void *)p;
    int n = 0;

    micro__pipe_flush(p);
    while (n < DRIVE_TURN && drive_step(st))
        n++;
    if (n == DRIVE_TURN)
        micro__pipe_kick(p);
}

/* ---- sending -------------------------------------------------------------------------------- */

MICRO_PRIVATE micro_err micro__drive_send(micro_stream *st, const void *msg)
{
    micro__pipe *p = &st->pipe;

    if (!micro__stream_may_send(st))
        return MICRO_ECLOSED;
    micro__lock(&p->lock);
    bool closed = st->closed, full = p->out.len - p->sent >= MICRO_STREAM_BUF;
    st->refused |= full;
    micro__unlock(&p->lock);
    if (closed || full)
        return closed ? MICRO_ECLOSED : MICRO_EAGAIN;
    micro_err err = micro__stream_encode(st, msg);
    if (err == MICRO_OK)
        err = micro__pipe_put(p, &st->head, &st->body, 0);
    if (p->driven && atomic_load_explicit(&p->inside, memory_order_relaxed) != micro__thread_mark())
        micro__pipe_kick(p);
    return err;
}

/* ---- the beginning -------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__drive_begin(micro_stream *st)
{
    micro__ctx_keep(st->ctx); /* what callbacks put there behind this goes when they return */
    st->pipe.serve = drive_serve;
    st->pipe.done = drive_done;
    st->pipe.driven = true;
}

/* It cannot begin. */
static void drive_fail(micro_stream *st, micro_ctx *ctx, micro_err err)
{
    st->end(ctx, st, micro__ctx_local(ctx, err, "%s", micro_strerror(err)), st->arg);
    st->message = NULL;
    micro_stream_close(st, err);
}

/* What was opened on ctx goes on as a child of it, on a loop. */
static void drive_take(micro_stream *st)
{
    micro_ctx *ctx = st->ctx, *child = NULL;
    micro__engine *e;
    micro_err err = st->engine(ctx->svc, &e);

    if (err == MICRO_OK) {
        child = micro__child_new(ctx, e);
        err = child ? micro__carry_attach(&st->pipe, micro__engine_loop(e)) : MICRO_ENOMEM;
    }
    if (err != MICRO_OK) {
        if (child)
            micro__child_abandon(child);
        drive_fail(st, ctx, err);
        return;
    }
    micro__ctx_disown(ctx, &st->owned);
    micro_ctx_free(st->last);
    st->last = NULL;
    child->info = ctx->info;
    st->ctx = child;
    micro__drive_begin(st);
    micro__ctx_own(child, &st->owned);
    micro__carry_start(&st->pipe);
}

static void drive_unheard(micro_ctx *ctx, micro_stream *st, micro_fn *fn, const void *msg,
                          void *arg)
{
    (void)ctx, (void)st, (void)fn, (void)msg, (void)arg;
}

static void drive_unnoticed(micro_ctx *ctx, micro_stream *st, micro_err err, void *arg)
{
    (void)ctx, (void)st, (void)err, (void)arg;
}

MICRO_API void micro_stream_on(micro_stream *st, micro_message_fn *message, micro_fn *fn,
                               micro_end_fn *end, void *arg)
{
    if (!st)
        return;
    if (st->message) {
        st->twice = true;
        if (st->pipe.driven)
            micro__pipe_kick(&st->pipe);
        return;
    }
    st->message = message ? message : drive_unheard;
    st->fn = fn;
    st->end = end ? end : drive_unnoticed;
    st->arg = arg;
    if (!st->side->serving)
        drive_take(st);
}

MICRO_API void micro_stream_on_room(micro_stream *st, micro_room_fn *room)
{
    if (st)
        st->room = room;
}
