/* SPDX-License-Identifier: MIT */
/* How a subscription of a built-in broker handles its events: at once or as tasks, so many at a
 * time, and to an end. */
#include "broker.h"

#define SUB_WAITING_MAX 4096u            /* events */
#define SUB_BYTES_MAX ((size_t)16 << 20) /* of their bodies */
#define SUB_TRIAL 16u                    /* events before a handler counts as quick */
#define SUB_AWAKE_MS 1000u               /* without progress for so long there is no waiting */
#define SUB_LAST_MS 200                  /* for handlers that heed their canceled ctx */

/* ---- making and freeing -------------------------------------------------------------------- */

MICRO_PRIVATE micro_err micro__sub_init(micro_sub *s, micro_service *svc, micro__engine *e,
                                        const char *topic, const micro_subscribe_opts *opts,
                                        micro_event_fn *fn, void *arg)
{
    micro_subscribe_opts o = { 0 };

    micro__mutex_init(&s->lock);
    micro__cond_init(&s->changed);
    atomic_init(&s->refs, 1);
    s->last = &s->first;
    s->svc = svc;
    s->engine = e;
    s->fn = fn;
    s->arg = arg;
    if (opts && micro__opts_read(&o, sizeof o, opts, opts->size_) != MICRO_OK)
        return MICRO_EVERSION;
    if (o.max_running < 0 && o.max_running != MICRO_OFF)
        return MICRO_EINVAL;
    int preset = e->max_threads / 4;
    s->max_running = o.max_running > 0            ? o.max_running
                     : o.max_running == MICRO_OFF ? INT32_MAX
                     : preset > 0                 ? preset
                                                  : 1;
    s->topic = micro__strdup(topic);
    s->queue = o.queue && *o.queue ? micro__strdup(o.queue) : NULL;
    return s->topic && (s->queue || !o.queue || !*o.queue) ? MICRO_OK : MICRO_ENOMEM;
}

MICRO_PRIVATE void micro__sub_release(micro_sub *s)
{
    micro__strfree(s->topic);
    micro__strfree(s->queue);
    micro__cond_destroy(&s->changed);
    micro__mutex_destroy(&s->lock);
}

MICRO_PRIVATE void micro__sub_unlink(micro_sub **list, const micro_sub *s)
{
    while (*list && *list != s)
        list = &(*list)->next;
    if (*list)
        *list = s->next;
}

MICRO_PRIVATE void micro__sub_hold(micro_sub *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

MICRO_PRIVATE void micro__sub_drop(micro_sub *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        s->free(s);
}

MICRO_PRIVATE micro__delivery *micro__delivery_new(micro_str topic)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro__delivery *d = ctx ? micro__arena_zero(&ctx->arena, sizeof *d) : NULL;

    if (d)
        d->topic = micro__arena_text(&ctx->arena, topic.ptr, topic.len);
    if (!d || !d->topic) {
        micro_ctx_free(ctx);
        return NULL;
    }
    d->ctx = ctx;
    return d;
}

/* ---- handling ------------------------------------------------------------------------------ */

static void sub_handle(micro__delivery *d);

static void sub_task(micro__loop *l, void *arg)
{
    l->current = NULL;
    sub_handle(arg);
}

static void sub_push(micro__delivery *d)
{
    d->task.item.kind = MICRO__ITEM_TASK;
    d->task.run = sub_task;
    d->task.handles = true;
    d->task.arg = d;
    micro__loop_push(micro__engine_loop(d->sub->engine), &d->task.item);
}

/* With the lock. */
static void sub_activate(micro_sub *s, micro__delivery *d)
{
    d->next = s->active;
    s->active = d;
    s->running++;
}

static micro__delivery *sub_next(micro_sub *s)
{
    micro__delivery *d = s->first;

    if (!d)
        return NULL;
    s->first = d->next;
    if (!s->first)
        s->last = &s->first;
    s->nwaiting--;
    s->bytes -= d->msg.body.len;
    return d;
}

/* The next one takes its place. */
MICRO_PRIVATE void micro__sub_done(micro__delivery *d)
{
    micro_sub *s = d->sub;
    micro__delivery **at = &s->active;

    micro__lock(&s->lock);
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    s->running--;
    s->handled++;
    if (s->first)
        s->moved = micro__now_ms();
    micro__delivery *next = sub_next(s);
    if (next)
        sub_activate(s, next);
    micro__cond_broadcast(&s->changed);
    micro__unlock(&s->lock);
    if (next)
        sub_push(next);
    if (d->lent) {
        micro__ctx_end(d->ctx);
        return;
    }
    micro_ctx_free(d->ctx); /* and d with it */
    micro__sub_drop(s);
}

/* By the thread that d says. */
MICRO_PRIVATE void micro__sub_run(micro__delivery *d)
{
    micro_sub *s = d->sub;

    d->ctx->svc = s->svc;
    d->ctx->info.stage = MICRO_WRAP_SUBSCRIBER;
    d->ctx->info.endpoint = NULL;
    d->ctx->info.topic = d->topic;
    micro__user_begin(&s->habit);
    micro_err err = s->fn(s->arg, d->ctx, d->topic, &d->msg);
    micro__family_end(d->ctx); /* what it started and did not wait for */
    micro__user_end(&s->habit);
    if (err != MICRO_OK)
        MICRO_LOG(MICRO_LOG_WARN, "event of %s: %s", d->topic, micro_ctx_strerror(d->ctx));
    micro__sub_done(d);
}

static void sub_handle(micro__delivery *d)
{
    micro_sub *s = d->sub;

    micro__lock(&s->lock);
    bool deaf = s->deaf;
    d->thread = micro__thread_mark();
    micro__unlock(&s->lock);
    if (deaf)
        micro__sub_done(d);
    else
        micro__sub_run(d);
}

/* ---- taking -------------------------------------------------------------------------------- */

static bool sub_room(const micro_sub *s, const micro__delivery *d)
{
    return !s->first ||
           (s->nwaiting < SUB_WAITING_MAX && s->bytes + d->msg.body.len <= SUB_BYTES_MAX);
}

/* With the lock. */
static micro_err sub_wait_room(micro_sub *s, const micro__delivery *d, micro_ctx *wait)
{
    while (!s->closed && !sub_room(s, d))
        if (micro__now_ms() > s->moved + SUB_AWAKE_MS ||
            micro__ctx_check(wait, wait->deadline) != MICRO_OK ||
            !micro__engine_await(s->engine, &s->lock, &s->changed))
            return MICRO_EAGAIN;
    return s->closed ? MICRO_ECLOSED : MICRO_OK;
}

/* With the lock. Without threads nothing would run beside it. */
static bool sub_quick(const micro_sub *s)
{
    return !micro__engine_threaded(s->engine) ||
           (s->handled >= SUB_TRIAL && !micro__habit_blocked(&s->habit));
}

/* With the lock: another one may be handled now. */
static bool sub_idle(const micro_sub *s)
{
    return !s->first && s->running < s->max_running;
}

MICRO_PRIVATE bool micro__sub_begin(micro_sub *s, micro__delivery *d)
{
    micro__lock(&s->lock);
    bool here = !s->closed && sub_idle(s) && sub_quick(s);
    if (here) {
        d->sub = s;
        d->thread = micro__thread_mark();
        sub_activate(s, d);
    }
    micro__unlock(&s->lock);
    return here;
}

/* With the lock. */
static void sub_queue(micro_sub *s, micro__delivery *d)
{
    if (!s->first)
        s->moved = micro__now_ms();
    *s->last = d;
    s->last = &d->next;
    s->nwaiting++;
    s->bytes += d->msg.body.len;
}

MICRO_PRIVATE micro_err micro__sub_deliver(micro_sub *s, micro__delivery *d, micro_ctx *wait)
{
    d->sub = s;
    d->next = NULL;
    micro__lock(&s->lock);
    micro_err err = sub_wait_room(s, d, wait);
    bool now = err == MICRO_OK && sub_idle(s);
    if (err == MICRO_OK)
        micro__sub_hold(s);
    if (now)
        sub_activate(s, d);
    else if (err == MICRO_OK)
        sub_queue(s, d);
    micro__unlock(&s->lock);
    if (now)
        sub_push(d);
    return err;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* With the lock: this thread is in the callback of one of its events. */
static bool sub_inside(const micro_sub *s)
{
    for (const micro__delivery *d = s->active; d; d = d->next)
        if (d->thread == micro__thread_mark())
            return true;
    return false;
}

static void sub_drop_waiting(micro_sub *s)
{
    micro__delivery *d;

    while ((d = sub_next(s)) != NULL) {
        micro_ctx_free(d->ctx);
        micro__sub_drop(s); /* not the last one: the caller has one too */
    }
}

/* With the lock. True: nothing is left. */
static bool sub_wait(micro_sub *s, uint64_t deadline)
{
    while (s->running && (!deadline || micro__now_ms() < deadline) &&
           micro__engine_pause(s->engine, &s->lock, &s->changed))
        ;
    return !s->running;
}

MICRO_PRIVATE micro_err micro__sub_end(micro_sub *s, int drain_ms)
{
    uint64_t deadline = drain_ms < 0 ? 0 : micro__now_ms() + (uint64_t)drain_ms;

    micro__lock(&s->lock);
    s->closed = true;
    bool inside = sub_inside(s), ended = !inside && sub_wait(s, deadline);
    s->deaf = true;
    sub_drop_waiting(s);
    for (micro__delivery *d = s->active; d && !inside; d = d->next)
        micro_ctx_cancel(d->ctx);
    if (!ended && !inside)
        ended = sub_wait(s, micro__now_ms() + SUB_LAST_MS);
    micro__unlock(&s->lock);
    micro__sub_drop(s);
    return ended || inside ? MICRO_OK : MICRO_ETIMEDOUT;
}
