/* SPDX-License-Identifier: MIT */
/* Calls that no thread waits for: the same choices and attempts as a blocking call, driven by a
 * loop. All of a call lives in the arena of its child ctx. */
#include "hedge.h"

#define ASYNC_STEP_MS 10 /* of an engine that this thread drives while it waits */

/* Only where there is middleware. */
typedef struct async_wrapped {
    micro__chain call, attempt;
    micro_info call_info, attempt_info;
} async_wrapped;

/* A thread that waits for a call, whose ctx is the thread's own. */
typedef struct async_waiter {
    micro__mutex lock;
    micro__cond ended;
    micro__thread *thread; /* see micro__rest; NULL: it waits for ended */
    bool over;
} async_waiter;

typedef struct micro__async {
    micro__call k; /* on the child; its request is `message` */
    async_wrapped *w;
    micro__shot shot;
    micro__hedge *hedge;  /* NULL: it is not to be hedged */
    async_waiter *waiter; /* NULL: done is told */
    micro__task run;      /* start, next attempt, or return to the loop */
    micro__task cancel;
    micro__loop *loop;
    micro_done_fn *done;
    micro_fn *fn;
    void *arg;
    micro_err err; /* result so far */
    bool ready;    /* to be started: the call; false: err is its result already */
    bool send;     /* to be sent: the attempt; the same */
    bool waits;    /* the attempt has failed, but its hedge runs */
    bool settled;  /* by the hedge: err is the result */
    bool finished; /* only the cancel task is waited for */
    bool cancel_ran;
    atomic_bool cancel_sent;
} micro__async;

static void async_begin(micro__loop *l, void *arg);
static void async_send(micro__loop *l, void *arg);

static void async_push(micro__async *a, void (*run)(micro__loop *l, void *arg), int delay_ms)
{
    a->run.item.kind = MICRO__ITEM_TASK;
    a->run.at = delay_ms > 0 ? micro__now_ms() + (uint64_t)delay_ms : 0;
    a->run.run = run;
    a->run.anytime = delay_ms <= 0;
    a->run.arg = a;
    micro__loop_push(a->loop, &a->run.item);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void async_user(void *arg)
{
    micro__async *a = arg;

    if (a->w)
        a->err = micro__chain_result(&a->w->call, a->err);
    a->done(a->k.ctx, a->err, a->fn, a->err == MICRO_OK ? a->k.rsp : NULL, a->arg);
}

static void async_tell(async_waiter *w)
{
    micro__lock(&w->lock);
    w->over = true;
#if !MICRO_OMIT_THREADS
    if (w->thread)
        micro__rest_rouse(w->thread);
#endif
    micro__cond_signal(&w->ended);
    micro__unlock(&w->lock);
}

/* The last touch of a: completion frees the child. The seat may be gone after it. */
static void async_complete(micro__async *a)
{
    if (a->k.message)
        micro__pool_buf_give(a->k.c->pool, a->k.message);
    if (a->k.only_of)
        micro__nodeset_drop(a->k.only_of);
    if (a->waiter) {
        async_tell(a->waiter);
        return;
    }
    micro__user_begin(NULL);
    micro__child_end(a->k.ctx, async_user, a);
    micro__user_end(NULL);
}

/* A cancel task that is on its way must find a alive. */
static void async_finish(micro__async *a, micro_err err)
{
    micro__ctx_wait_end(a->k.ctx);
    a->err = err;
    if (err == MICRO_OK)
        micro__ctx_clear_error(a->k.ctx); /* of an attempt before */
    if (atomic_load(&a->cancel_sent) && !a->cancel_ran)
        a->finished = true;
    else
        async_complete(a);
}

/* How an attempt ended, whatever middleware made of it: another, or the end. */
static void async_result(micro__async *a, micro_err err)
{
    micro__call *k = &a->k;

    micro__call_unchoose(k);
    if (err != MICRO_OK && micro__call_again(k, err)) {
        int ms = micro__call_backoff(k);
        if (ms >= 0) {
            k->attempt++;
            a->run.run = async_begin;
            a->run.anytime = false;
            a->run.at = micro__now_ms() + (uint64_t)ms;
            micro__loop_delay(a->loop, &a->run); /* where a cancel finds it */
            return;
        }
    }
    async_finish(a, err);
}

/* Middleware sees the result first, as user code; the seat may be gone after it. */
static void async_ended(micro__loop *l, void *arg)
{
    micro__async *a = arg;

    (void)l;
    if (a->w && a->w->attempt.nafters) {
        micro__user_begin(NULL);
        a->err = micro__chain_result(&a->w->attempt, a->err);
        if (!micro__user_end(NULL)) {
            async_push(a, async_ended, 0);
            return;
        }
    }
    async_result(a, a->err);
}

/* ---- cancel -------------------------------------------------------------------------------- */

static void async_canceled(micro__loop *l, void *arg)
{
    micro__async *a = arg;

    a->cancel_ran = true;
    if (a->finished) {
        async_complete(a);
    } else if (a->shot.active) {
        micro__exchange_cancel(l, &a->shot.x, MICRO_ECANCELED);
    } else if (a->waits) {
        micro__exchange_cancel(l, &a->hedge->shot.x, MICRO_ECANCELED);
    } else if (a->run.timer.set) { /* between two attempts */
        micro__timer_clear(&l->timers, &a->run.timer);
        async_finish(a, micro__call_over(&a->k));
    }
}

static void async_wake(void *arg)
{
    micro__async *a = arg;

    if (atomic_exchange(&a->cancel_sent, true))
        return;
    a->cancel.item.kind = MICRO__ITEM_TASK;
    a->cancel.run = async_canceled;
    a->cancel.anytime = true;
    a->cancel.arg = a;
    micro__loop_push(a->loop, &a->cancel.item);
}

/* ---- one attempt --------------------------------------------------------------------------- */

/* An error that another attempt may not meet is no answer while one runs. */
static bool async_is_answer(micro_err err)
{
    return err == MICRO_OK || !micro__call_passing(err);
}

static void async_done(micro__loop *l, micro__shot *s, micro_err err)
{
    micro__async *a = (micro__async *)(void *)((char *)s - offsetof(micro__async, shot));

    if (!a->settled) {
        a->err = err;
        a->waits = micro__hedge_runs(a->hedge) && !async_is_answer(err);
        if (a->waits)
            return;
        micro__hedge_end(l, a->hedge);
    }
    async_ended(l, a);
}

static void async_hedged(void *arg, micro__loop *l, micro_err err)
{
    micro__async *a = arg;

    a->k.attempt = a->hedge->k.attempt;
    if (a->shot.active && !async_is_answer(err))
        return; /* the first is still out */
    micro__call_info(&a->hedge->k);
    a->err = err;
    if (a->shot.active) {
        a->settled = a->shot.mute = true;
        micro__exchange_cancel(l, &a->shot.x, MICRO_ECANCELED);
        return;
    }
    a->waits = false;
    a->k.untouched = false;
    async_ended(l, a);
}

static void async_send(micro__loop *l, void *arg)
{
    micro__async *a = arg;

    if (a->err == MICRO_OK && a->cancel_ran) /* while the node was chosen */
        a->err = micro__call_over(&a->k);
    a->shot.k = &a->k;
    a->shot.done = async_done;
    if (a->err == MICRO_OK && a->send) {
        micro__ctx_wait_begin(a->k.ctx, async_wake, a);
        micro__hedge_arm(l, a->hedge);
        micro_err err = micro__shot_fire(l, &a->shot);
        if (err == MICRO_OK)
            return; /* it may have ended already, and a with it */
        a->err = err;
    }
    micro__hedge_end(l, a->hedge);
    async_ended(l, a);
}

/* It will be sent when the chain has returned. */
static micro_err async_attempt_end(micro__chain *chain)
{
    micro__async *a = chain->arg;
    micro_err err = micro__ctx_sticky(chain->ctx);

    chain->deferred = a->send = err == MICRO_OK;
    return err;
}

static micro_err async_attempt(micro__async *a)
{
    micro__chain *chain = &a->w->attempt;

    chain->deferred = a->send = false;
    micro__type_zero(a->k.method->rsp, a->k.rsp);
    micro__call_describe(&a->k, MICRO_WRAP_CALL, true, &a->w->attempt_info);
    micro_err err = micro__chain_run(chain);
    if (err != MICRO_OK)
        a->send = false; /* what ran the rest may have thought better of it */
    return err;
}

/* Choosing a node may wait for a name that is not known yet, and resolving one for the system's
 * resolver: as a user's code might. */
static micro_err async_choose(micro__async *a)
{
    micro__call *k = &a->k;
    micro_err err = micro__call_over(k);

    if (err == MICRO_OK)
        err = micro__call_choose(k);
    if (err != MICRO_OK)
        return err;
    micro__call_info(k);
    k->untouched = true;
    a->send = true;
    if (micro__wrapped(k->c->wraps, MICRO_WRAP_CALL))
        err = async_attempt(a);
    if (a->send) {
        k->tried = true;
        k->outcome = err = micro__call_resolve(k, &a->shot.x.to);
    }
    if (err == MICRO_OK)
        micro__hedge_choose(a->hedge, k);
    return err;
}

static void async_blocking_end(micro__loop *l, void *arg)
{
    micro__async *a = arg;

    (void)l;
    async_finish(a, a->err);
}

/* Transports other than http know only how to block: then a thread does wait. */
static bool async_blocking(micro__async *a)
{
    if (micro__transport_is_http(a->k.c->transport))
        return false;
    micro__user_begin(NULL);
    micro_block_begin();
    a->err = micro__call_attempts(&a->k);
    micro_block_end();
    if (micro__user_end(NULL))
        async_finish(a, a->err);
    else
        async_push(a, async_blocking_end, 0);
    return true;
}

static void async_begin(micro__loop *l, void *arg)
{
    micro__async *a = arg;

    if (!a->ready) {
        async_finish(a, a->err);
        return;
    }
    if (async_blocking(a))
        return;
    micro__user_begin(NULL);
    a->err = async_choose(a);
    if (micro__user_end(NULL))
        async_send(l, a);
    else
        async_push(a, async_send, 0);
}

/* ---- start --------------------------------------------------------------------------------- */

static const char *async_text(micro_ctx *ctx, const char *text)
{
    return text ? micro__arena_text(&ctx->arena, text, strlen(text)) : NULL;
}

/* Options are lent for the call of start only. */
static micro_err async_own(micro__async *a, const char *service)
{
    micro_call_opts *o = &a->k.o;
    micro_ctx *ctx = a->k.ctx;

    a->k.service = async_text(ctx, service);
    o->content_type = async_text(ctx, o->content_type);
    o->address = async_text(ctx, o->address);
    o->version = async_text(ctx, o->version);
    o->label = async_text(ctx, o->label);
    o->key = async_text(ctx, o->key);
    return ctx->arena.failed ? micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory") : MICRO_OK;
}

static micro_err async_encode(micro__async *a, const void *req)
{
    micro__call *k = &a->k;

    if (!k->message)
        k->message = micro__pool_buf(k->c->pool);
    if (!k->message)
        return micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory");
    k->message->len = 0; /* of a run of middleware that failed */
    return micro__codec_encode(k->codec, k->ctx, k->method->req, req, k->message);
}

static micro_err async_hedge(micro__async *a)
{
    micro_ctx *ctx = a->k.ctx;

    a->hedge = micro__arena_zero(&ctx->arena, sizeof *a->hedge);
    if (!a->hedge)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    a->hedge->done = async_hedged;
    a->hedge->arg = a;
    return MICRO_OK;
}

/* So is the node; a set of ours is held for the time of the call. */
static micro_err async_only(micro__async *a, const micro_nodes *nodes, size_t i)
{
    micro_ctx *ctx = a->k.ctx;
    micro__nodeset *set = micro__nodeset_of(nodes);

    a->k.last = i;
    if (set) {
        micro__nodeset_hold(set);
        a->k.only_of = set;
        a->k.only = nodes->ptr[i];
        return MICRO_OK;
    }
    micro_node *only = micro__arena_zero(&ctx->arena, sizeof *only);
    if (!only || !micro__node_copy(&ctx->arena, only, nodes->ptr[i]))
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    a->k.only = only;
    return MICRO_OK;
}

static micro_err async_prepare(micro__async *a, const void *req)
{
    micro__call *k = &a->k;
    micro_err err = async_encode(a, req);

    k->deadline = micro__ctx_until(k->ctx, k->o.timeout_ms);
    k->ctx->deadline = k->deadline;
    a->ready = err == MICRO_OK;
    return err;
}

static micro_err async_call_end(micro__chain *chain)
{
    micro__async *a = chain->arg;

    micro__ctx_clear_error(chain->ctx);
    micro__type_zero(a->k.method->rsp, chain->rsp);
    micro_err err = micro__ctx_sticky(chain->ctx);
    if (err == MICRO_OK)
        err = async_prepare(a, chain->req);
    chain->deferred = err == MICRO_OK;
    return err;
}

static void async_passage(micro__async *a, enum micro_wrap stage, micro__chain *chain)
{
    size_t n = micro__wraps_count(a->k.c->wraps, stage);

    chain->wraps = a->k.c->wraps;
    chain->ctx = a->k.ctx;
    chain->rsp = a->k.rsp;
    chain->arg = a;
    if (n)
        chain->afters = micro__arena_take(&a->k.ctx->arena, n * sizeof *chain->afters);
}

static micro_err async_wrap(micro__async *a)
{
    micro_ctx *ctx = a->k.ctx;
    async_wrapped *w = micro__arena_zero(&ctx->arena, sizeof *w);

    if (w) {
        async_passage(a, MICRO_WRAP_CLIENT, &w->call);
        async_passage(a, MICRO_WRAP_CALL, &w->attempt);
        w->call.info = &w->call_info;
        w->call.end = async_call_end;
        w->attempt.info = &w->attempt_info;
        w->attempt.end = async_attempt_end;
        a->w = w;
    }
    return ctx->arena.failed ? micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory") : MICRO_OK;
}

static micro_err async_decide(micro__async *a, const char *service, const void *req,
                              const micro_call_opts *opts, const micro_nodes *nodes,
                              size_t only)
{
    const micro__wraps *wraps = a->k.c->wraps;
    micro_ctx *ctx = a->k.ctx;
    micro_err err = micro__call_options(&a->k, opts);

    if (err == MICRO_OK)
        err = async_own(a, service);
    if (err == MICRO_OK && nodes)
        err = async_only(a, nodes, only);
    if (err == MICRO_OK && micro__hedge_wanted(&a->k))
        err = async_hedge(a);
    if (err == MICRO_OK && micro__wrapped(wraps, MICRO_WRAP_CLIENT | MICRO_WRAP_CALL))
        err = async_wrap(a);
    micro__ctx_keep(ctx);
    if (err != MICRO_OK || !micro__wrapped(wraps, MICRO_WRAP_CLIENT))
        return err == MICRO_OK ? async_prepare(a, req) : err;
    a->w->call.req = req;
    micro__call_describe(&a->k, MICRO_WRAP_CLIENT, true, &a->w->call_info);
    err = micro__chain_run(&a->w->call);
    a->ready = a->ready && err == MICRO_OK;
    return err;
}

MICRO_PRIVATE void micro__client_start(micro__client *c, micro__engine *e, micro_ctx *ctx,
                                       const char *service, const micro_method *method,
                                       const void *req, const micro_call_opts *opts,
                                       const micro_nodes *nodes, size_t only,
                                       micro_done_fn *done, micro_fn *fn, void *arg)
{
    micro_ctx *child = micro__child_new(ctx, e);
    micro__async *a = child ? micro__arena_zero(&child->arena, sizeof *a) : NULL;
    void *rsp = a ? micro__arena_zero(&child->arena, method->rsp->size) : NULL;

    if (!rsp) {
        if (child)
            micro__child_abandon(child);
        done(ctx, micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory"), fn, NULL, arg);
        return;
    }
    a->k.c = c;
    a->k.ctx = child;
    a->k.method = method;
    a->k.rsp = rsp;
    a->k.last = SIZE_MAX;
    a->k.attempt = 1;
    a->done = done;
    a->fn = fn;
    a->arg = arg;
    a->loop = micro__engine_loop(e);
    micro__type_zero(method->rsp, rsp);
    a->err = async_decide(a, service, req, opts, nodes, only);
    async_push(a, async_begin, 0);
}

/* ---- waiting for one ------------------------------------------------------------------------ */

static bool async_over(async_waiter *w)
{
    micro__lock(&w->lock);
    bool over = w->over;
    micro__unlock(&w->lock);
    return over;
}

/* Another thread may be at it: then its step does what is due. */
static void async_drive(async_waiter *w, micro__engine *e)
{
    while (!async_over(w))
        if (micro__engine_step(e, ASYNC_STEP_MS) == MICRO_EBUSY)
            micro__sleep_us(1000);
}

/* The call has a deadline of its own, and is canceled with its ctx. */
static void async_wait(async_waiter *w, micro__engine *e)
{
    if (!micro__engine_threaded(e)) {
        async_drive(w, e);
        return;
    }
#if !MICRO_OMIT_THREADS
    micro_block_begin();
    micro__lock(&w->lock);
    w->thread = micro__rest_who(e);
    while (!w->over) {
        if (!w->thread) {
            micro__cond_wait(&w->ended, &w->lock, 0);
            continue;
        }
        micro__unlock(&w->lock);
        micro__rest(w->thread, 0);
        micro__lock(&w->lock);
    }
    micro__unlock(&w->lock);
    micro_block_end();
#endif
}

MICRO_PRIVATE micro_err micro__call_hedged(micro__call *k)
{
    micro__engine *e;
    async_waiter w = { .over = false };

    if (k->c->engine(k->ctx->svc, &e) != MICRO_OK ||
        (!micro__engine_threaded(e) && micro__engine_inside()))
        return micro__call_attempts(k); /* nobody else would drive the loop */
    micro__async *a = micro__arena_zero(&k->ctx->arena, sizeof *a);
    if (!a)
        return micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory");
    a->k = *k;
    a->k.attempt = 1;
    a->waiter = &w;
    a->loop = micro__engine_loop(e);
    a->err = async_hedge(a);
    if (a->err == MICRO_OK)
        a->err = async_encode(a, k->req);
    a->ready = a->err == MICRO_OK;
    micro__mutex_init(&w.lock);
    micro__cond_init(&w.ended);
    async_push(a, async_begin, 0);
    async_wait(&w, e);
    micro__cond_destroy(&w.ended);
    micro__mutex_destroy(&w.lock);
    k->attempt = a->k.attempt;
    return a->err;
}
