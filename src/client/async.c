/* SPDX-License-Identifier: MIT */
/* Calls that no thread waits for: the same choices and attempts as a blocking call, driven by a
 * loop. All of a call lives in the arena of its child ctx. */
#include "../net/engine.h"
#include "call.h"

/* Only where there is middleware. */
typedef struct async_wrapped {
    micro__chain call, attempt;
    micro_info call_info, attempt_info;
} async_wrapped;

typedef struct micro__async {
    micro__call k; /* on the child; its request is `message` */
    async_wrapped *w;
    micro__exchange x;
    micro__task run; /* start, next attempt, or return to the loop */
    micro__task cancel;
    micro__loop *loop;
    micro_buf *out; /* head and envelope of an attempt */
    micro_done_fn *done;
    micro_fn *fn;
    void *arg;
    micro_err err; /* result so far */
    bool ready;    /* to be started: the call; false: err is its result already */
    bool send;     /* to be sent: the attempt; the same */
    bool active;   /* the exchange runs */
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

/* ---- the end ----------------------------------------------------------------------------------
 */

static void async_user(void *arg)
{
    micro__async *a = arg;

    if (a->w)
        a->err = micro__chain_result(&a->w->call, a->err);
    a->done(a->k.ctx, a->err, a->fn, a->err == MICRO_OK ? a->k.rsp : NULL, a->arg);
}

/* The last touch of a: completion frees the child. The seat may be gone after it. */
static void async_complete(micro__async *a)
{
    if (a->k.message)
        micro__pool_buf_give(a->k.c->pool, a->k.message);
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

    if (a->out)
        micro__pool_buf_give(k->c->pool, a->out);
    a->out = NULL;
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
    } else if (a->active) {
        micro__exchange_cancel(l, &a->x, MICRO_ECANCELED);
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

static micro_err async_reply(micro__exchange *x, micro__http_reader *r)
{
    micro__async *a = (micro__async *)(void *)((char *)x - offsetof(micro__async, x));

    a->k.untouched = false;
    return micro__call_http_reply(&a->k, r);
}

/* The words of a blocking call for the same failures. */
static micro_err async_failure(micro__async *a, micro_err err)
{
    micro_ctx *ctx = a->k.ctx;
    micro__exchange *x = &a->x;

    a->k.untouched = x->untouched;
    switch (err) {
    case MICRO_ECONNECT:
        return micro__ctx_local(ctx, err, "connection error: dial tcp %s: connect: %s", x->address,
                                x->why);
    case MICRO_ETIMEDOUT:
        return micro__ctx_local(ctx, err, "call timeout: context deadline exceeded");
    case MICRO_ECANCELED:
        return micro__ctx_local(ctx, err, "call timeout: context canceled");
    case MICRO_ENOMEM:
        return micro__ctx_local(ctx, err, "out of memory");
    default:
        return micro__ctx_local_id(ctx, "go.micro.client.transport", err, "%s",
                                   x->problem ? x->problem
                                   : x->any   ? "unexpected EOF"
                                              : "EOF");
    }
}

static void async_done(micro__loop *l, micro__exchange *x, micro_err err)
{
    micro__async *a = (micro__async *)(void *)((char *)x - offsetof(micro__async, x));

    a->active = false;
    if (err != MICRO_OK && !x->replied)
        err = async_failure(a, err);
    a->k.outcome = a->err = err;
    async_ended(l, a);
}

static micro_err async_request(micro__async *a, uint64_t id)
{
    micro__call *k = &a->k;
    micro__exchange *x = &a->x;
    micro_pairs header;

    a->out = micro__pool_buf(k->c->pool);
    if (!a->out || !micro__call_headers(k, id, &header))
        return micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory");
    micro__call_wrap(k, k->message, a->out);
    x->body_len = a->out->len;
    micro__http_request(a->out, k->address, &header, x->body_len);
    if (a->out->failed)
        return micro__ctx_local(k->ctx, MICRO_ENOMEM, "out of memory");
    x->body = a->out->ptr;
    x->head = a->out->ptr + x->body_len;
    x->head_len = a->out->len - x->body_len;
    return MICRO_OK;
}

static void async_send(micro__loop *l, void *arg)
{
    micro__async *a = arg;
    micro__call *k = &a->k;
    micro__exchange *x = &a->x;

    if (a->err == MICRO_OK && a->send)
        a->err = async_request(a, ++l->lines.serial);
    if (a->err != MICRO_OK || !a->send) {
        async_ended(l, a);
        return;
    }
    x->ctx = k->ctx;
    x->address = k->address;
    x->until = k->deadline;
    x->dial_until = k->o.dial_timeout_ms < 0 ? 0 : l->now + (uint64_t)k->o.dial_timeout_ms;
    if (!x->dial_until || (k->deadline && k->deadline < x->dial_until))
        x->dial_until = k->deadline;
    x->pool_size = k->c->pool_opts.size;
    x->idle_ms = k->c->pool_opts.idle_ms;
    x->age_ms = k->c->pool_opts.age_ms;
    x->reply = async_reply;
    x->done = async_done;
    a->active = true;
    micro__ctx_wait_begin(k->ctx, async_wake, a);
    micro__exchange_start(l, x);
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
        k->outcome = err = micro__call_resolve(k, &a->x.to);
    }
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

/* So is the node. */
static micro_err async_only(micro__async *a, const micro_node *node)
{
    micro_ctx *ctx = a->k.ctx;
    micro_node *only = micro__arena_zero(&ctx->arena, sizeof *only);

    if (!only || !micro__node_copy(&ctx->arena, only, node))
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
                              const micro_call_opts *opts, const micro_node *only)
{
    const micro__wraps *wraps = a->k.c->wraps;
    micro_ctx *ctx = a->k.ctx;
    micro_err err = micro__call_options(&a->k, opts);

    if (err == MICRO_OK)
        err = async_own(a, service);
    if (err == MICRO_OK && only)
        err = async_only(a, only);
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
                                       const micro_node *only, micro_done_fn *done, micro_fn *fn,
                                       void *arg)
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
    a->err = async_decide(a, service, req, opts, only);
    async_push(a, async_begin, 0);
}
