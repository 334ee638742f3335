/* SPDX-License-Identifier: MIT */
/* What was started on a ctx and goes on beside it: children, their completions one at a time, and
 * the wait for all of them. */
#include "net.h"

#define CHILD_STEP_MS 10  /* of an engine that this thread drives while it waits */
#define CHILD_LOOK_MS 100 /* between two looks whether ctx was cancelled */

struct micro__family {
    micro__mutex lock;
    micro__cond ended;
    micro__engine *engine;    /* the children run on it */
    micro__thread *waiter;    /* who waits, if it is a thread that drives loops meanwhile */
    micro_ctx *running;       /* all that have not ended, by sibling */
    micro_ctx *ready, **last; /* ended, waiting for their completion, oldest first */
    int pending;              /* those whose completion has not returned */
    bool completing;          /* a thread works off ready */
};

static micro__family *child_family(micro_ctx *parent, micro__engine *e)
{
    micro__family *f = atomic_load_explicit(&parent->family, memory_order_relaxed);

    if (f)
        return f;
    f = micro__alloc_zero(sizeof *f);
    if (!f)
        return NULL;
    micro__mutex_init(&f->lock);
    micro__cond_init(&f->ended);
    f->engine = e;
    f->last = &f->ready;
    atomic_store_explicit(&parent->family, f, memory_order_release);
    return f;
}

static bool child_inherit(micro_ctx *to, const micro_ctx *from)
{
    to->deadline = from->deadline;
    to->hops = from->hops;
    to->own_trace = from->own_trace;
    if (from->metadata.len && !micro__pairs_copy(&to->arena, &to->metadata, &from->metadata))
        return false;
    for (const micro__ctx_value *v = from->values; v; v = v->next)
        micro_ctx_set_value(to, v->key, v->value);
    return to->sticky == MICRO_OK && !to->arena.failed;
}

MICRO_PRIVATE micro_ctx *micro__child_new(micro_ctx *parent, micro__engine *e)
{
    micro__family *f = child_family(parent, e);
    micro_ctx *child = f ? micro_ctx_new(parent->svc) : NULL;

    if (!child || !child_inherit(child, parent)) {
        micro_ctx_free(child);
        return NULL;
    }
    child->parent = f;
    micro__lock(&f->lock);
    f->pending++;
    child->next = f->running;
    child->back = &f->running;
    if (child->next)
        child->next->back = &child->next;
    f->running = child;
    micro__unlock(&f->lock);
    if (atomic_load_explicit(&parent->canceled, memory_order_acquire))
        micro_ctx_cancel(child);
    return child;
}

static void child_unlink(micro_ctx *child)
{
    *child->back = child->next;
    if (child->next)
        child->next->back = child->back;
}

/* With the lock held. */
static void child_tell(micro__family *f)
{
#if !MICRO_OMIT_THREADS
    if (f->waiter)
        micro__rest_rouse(f->waiter);
#endif
    micro__cond_broadcast(&f->ended);
}

MICRO_PRIVATE void micro__child_abandon(micro_ctx *child)
{
    micro__family *f = child->parent;

    micro__lock(&f->lock);
    child_unlink(child);
    f->pending--;
    micro__unlock(&f->lock);
    micro_ctx_free(child);
}

/* One completion of a family at a time: whoever finds none running works off all that are ready. */
MICRO_PRIVATE void micro__child_end(micro_ctx *child, void (*complete)(void *arg), void *arg)
{
    micro__family *f = child->parent;

    micro__lock(&f->lock);
    child_unlink(child);
    child->complete_arg = arg;
    child->complete = complete;
    child->next = NULL;
    *f->last = child;
    f->last = &child->next;
    if (f->completing) {
        micro__unlock(&f->lock);
        return;
    }
    f->completing = true;
    while ((child = f->ready) != NULL) {
        f->ready = child->next;
        if (!f->ready)
            f->last = &f->ready;
        micro__unlock(&f->lock);
        child->complete(child->complete_arg);
        micro_ctx_free(child);
        micro__lock(&f->lock);
        f->pending--;
    }
    f->completing = false;
    if (!f->pending) /* nobody waits for less; a wake-up for each would cost more than the call */
        child_tell(f);
    micro__unlock(&f->lock);
}

MICRO_PRIVATE void micro__family_cancel(micro__family *f)
{
    micro__lock(&f->lock);
    for (micro_ctx *c = f->running; c; c = c->next)
        micro_ctx_cancel(c);
    micro__unlock(&f->lock);
}

/* ---- waiting ------------------------------------------------------------------------------- */

static bool child_all_ended(micro__family *f)
{
    micro__lock(&f->lock);
    bool ended = !f->pending && !f->completing;
    micro__unlock(&f->lock);
    return ended;
}

static void child_drive(micro_ctx *ctx, micro__family *f, uint64_t deadline)
{
    while (!child_all_ended(f) && micro__ctx_check(ctx, deadline) == MICRO_OK)
        micro__engine_drive(f->engine, CHILD_STEP_MS);
}

#if !MICRO_OMIT_THREADS

/* Of who waits: a lost wake-up is made up for by a look at the clock. */
static void child_wake(void *arg)
{
    micro__family *f = arg;

    if (f->waiter)
        micro__rest_rouse(f->waiter);
    else
        micro__cond_broadcast(&f->ended);
}

/* With the lock held. */
static void child_pause(micro__family *f, uint64_t until)
{
    if (!f->waiter) {
        micro__cond_wait(&f->ended, &f->lock, until);
        return;
    }
    micro__unlock(&f->lock);
    micro__rest(f->waiter, until);
    micro__lock(&f->lock);
}

/* ctx NULL: until all have ended, whatever happens to it. */
static void child_block(micro_ctx *ctx, micro__family *f, uint64_t deadline)
{
    micro_block_begin();
    micro__lock(&f->lock);
    f->waiter = micro__rest_who(f->engine);
    micro__unlock(&f->lock);
    micro__ctx_wait_begin(ctx, child_wake, f);
    micro__lock(&f->lock);
    while ((f->pending || f->completing) && micro__ctx_check(ctx, deadline) == MICRO_OK) {
        uint64_t look = micro__now_ms() + CHILD_LOOK_MS;
        child_pause(f, deadline && deadline < look ? deadline : look);
    }
    micro__unlock(&f->lock);
    micro__ctx_wait_end(ctx); /* child_wake looks at waiter */
    micro__lock(&f->lock);
    f->waiter = NULL;
    micro__unlock(&f->lock);
    micro_block_end();
}

#else

/* Whose engine nobody else drives steps it instead. */
static void child_block(micro_ctx *ctx, micro__family *f, uint64_t deadline)
{
    (void)ctx, (void)f, (void)deadline;
}

#endif

MICRO_PRIVATE micro_err micro__family_wait(micro_ctx *ctx, uint64_t deadline)
{
    micro__family *f = atomic_load_explicit(&ctx->family, memory_order_relaxed);

    if (!f || child_all_ended(f))
        return MICRO_OK;
    if (micro__engine_threaded(f->engine))
        child_block(ctx, f, deadline);
    else if (micro__engine_inside())
        return MICRO_EBUSY; /* the loop that the answers come through is this thread's own */
    else
        child_drive(ctx, f, deadline);
    return child_all_ended(f) ? MICRO_OK : micro__ctx_check(ctx, deadline);
}

/* Cancels what is left, and waits for it: its completions run before this returns. */
MICRO_PRIVATE void micro__family_end(micro_ctx *ctx)
{
    micro__family *f = atomic_load_explicit(&ctx->family, memory_order_relaxed);

    if (!f)
        return;
    if (!child_all_ended(f))
        micro_ctx_cancel(ctx);
    while (!child_all_ended(f)) {
        if (micro__engine_threaded(f->engine)) {
            child_block(NULL, f, 0);
        } else if (micro__engine_inside()) {
            micro__engine_tasks(f->engine);
        } else {
            micro__engine_drive(f->engine, CHILD_STEP_MS);
        }
    }
}

/* Apart from the end: a cancel by the connection's driver may look at the family until the
 * handler's connection has been told that nothing runs any more. */
MICRO_PRIVATE void micro__family_free(micro_ctx *ctx)
{
    micro__family *f = atomic_load_explicit(&ctx->family, memory_order_relaxed);

    if (!f)
        return;
    micro__cond_destroy(&f->ended);
    micro__mutex_destroy(&f->lock);
    micro__free(f, sizeof *f);
    atomic_store_explicit(&ctx->family, NULL, memory_order_relaxed);
}

MICRO_API micro_err micro_ctx_wait(micro_ctx *ctx)
{
    return ctx ? micro__family_wait(ctx, ctx->deadline) : MICRO_ENOMEM;
}
