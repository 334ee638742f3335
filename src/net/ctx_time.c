/* SPDX-License-Identifier: MIT */
/* Contexts: new and free (a free list), deadline, cancellation. */
#include "engine.h"

#define CTX_HEAD ((sizeof(micro_ctx) + 15) & ~(size_t)15)
#define CTX_USUAL (CTX_HEAD + MICRO_ARENA_CHUNK)
#define CTX_SPARE_MAX 256

/* A ctx and its first chunk are one block; freed ones of the usual size are kept for the next
 * micro_ctx_new. A thread of an engine keeps one for itself, which needs no lock. */
static struct {
    micro__mutex lock;
    micro_ctx *free;
    int count;
} ctx_spare = { MICRO__MUTEX_INIT, NULL, 0 };

static micro_ctx *ctx_take(void)
{
    micro__thread *t = micro__thread_current();
    micro_ctx *own = t ? t->spare : NULL;

    if (own) {
        t->spare = NULL;
        return own;
    }
    micro__lock(&ctx_spare.lock);
    micro_ctx *ctx = ctx_spare.free;
    if (ctx) {
        ctx_spare.free = ctx->next;
        ctx_spare.count--;
    }
    micro__unlock(&ctx_spare.lock);
    return ctx ? ctx : (micro_ctx *)micro__alloc(CTX_USUAL);
}

static void ctx_start(micro_ctx *ctx, size_t size, micro_service *svc)
{
    micro__zero(ctx, offsetof(micro_ctx, error_detail));
    ctx->size = size;
    micro__arena_init(&ctx->arena, (char *)ctx + CTX_HEAD, size - CTX_HEAD);
    micro__ctx_init(ctx, svc);
}

MICRO_API micro_ctx *micro_ctx_new(micro_service *svc)
{
    micro_ctx *ctx = ctx_take();

    if (ctx)
        ctx_start(ctx, CTX_USUAL, svc);
    return ctx;
}

MICRO_PRIVATE micro_ctx *micro__ctx_new_small(micro_service *svc, size_t room)
{
    size_t size = CTX_HEAD + room;

    if (room >= MICRO_ARENA_CHUNK)
        return micro_ctx_new(svc);
    micro_ctx *ctx = micro__alloc(size);
    if (ctx)
        ctx_start(ctx, size, svc);
    return ctx;
}

MICRO_PRIVATE void micro__ctx_recycle(micro_ctx *ctx, micro_service *svc)
{
    micro__ctx_disarm(ctx);
    micro__family_free(ctx);
    micro__ctx_release(ctx);
    ctx_start(ctx, ctx->size, svc);
}

MICRO_API void micro_ctx_free(micro_ctx *ctx)
{
    if (!ctx)
        return;
    micro__ctx_end(ctx);
    micro__family_free(ctx);
    micro__ctx_release(ctx);
    micro__thread *t = micro__thread_current();
    if (t && !t->spare && ctx->size == CTX_USUAL) {
        t->spare = ctx;
        return;
    }
    micro__lock(&ctx_spare.lock);
    bool keep = ctx->size == CTX_USUAL && ctx_spare.count < CTX_SPARE_MAX;
    if (keep) {
        ctx->next = ctx_spare.free;
        ctx_spare.free = ctx;
        ctx_spare.count++;
    }
    micro__unlock(&ctx_spare.lock);
    if (!keep)
        micro__free(ctx, ctx->size);
}

MICRO_PRIVATE void micro__ctx_spare_free(void)
{
    micro__lock(&ctx_spare.lock);
    micro_ctx *ctx = ctx_spare.free;
    ctx_spare.free = NULL;
    ctx_spare.count = 0;
    micro__unlock(&ctx_spare.lock);
    while (ctx) {
        micro_ctx *next = ctx->next;
        micro__free(ctx, CTX_USUAL);
        ctx = next;
    }
}

MICRO_API void micro_ctx_set_timeout(micro_ctx *ctx, int ms)
{
    if (ctx)
        ctx->deadline = ms < 0 ? 0 : micro__now_ms() + (uint64_t)ms;
}

MICRO_API int micro_ctx_time_left(micro_ctx *ctx)
{
    if (!ctx || !ctx->deadline)
        return MICRO_OFF;
    uint64_t now = micro__now_ms();
    if (now >= ctx->deadline)
        return 0;
    uint64_t left = ctx->deadline - now;
    return left > INT32_MAX ? INT32_MAX : (int)left;
}

MICRO_PRIVATE uint64_t micro__ctx_until(micro_ctx *ctx, int ms)
{
    uint64_t limit = ms < 0 ? 0 : micro__now_ms() + (uint64_t)ms;

    if (!ctx || !ctx->deadline)
        return limit;
    return limit && limit < ctx->deadline ? limit : ctx->deadline;
}

MICRO_PRIVATE micro_err micro__ctx_check(micro_ctx *ctx, uint64_t deadline)
{
    if (ctx && atomic_load_explicit(&ctx->canceled, memory_order_acquire))
        return MICRO_ECANCELED;
    return deadline && micro__now_ms() >= deadline ? MICRO_ETIMEDOUT : MICRO_OK;
}

/* The lock is held for a few instructions only, and by two threads at most: a spin lock costs an
 * idle ctx one byte. */
static void ctx_wait_lock(micro_ctx *ctx)
{
    while (atomic_flag_test_and_set_explicit(&ctx->wait_lock, memory_order_acquire))
        ;
}

static void ctx_wait_unlock(micro_ctx *ctx)
{
    atomic_flag_clear_explicit(&ctx->wait_lock, memory_order_release);
}

MICRO_PRIVATE void micro__ctx_wait_begin(micro_ctx *ctx, void (*wake)(void *arg), void *arg)
{
    if (!ctx)
        return;
    ctx_wait_lock(ctx);
    ctx->wait_fn = wake;
    ctx->wait_arg = arg;
    if (atomic_load_explicit(&ctx->canceled, memory_order_acquire))
        wake(arg);
    ctx_wait_unlock(ctx);
}

MICRO_PRIVATE void micro__ctx_wait_end(micro_ctx *ctx)
{
    if (!ctx)
        return;
    ctx_wait_lock(ctx);
    ctx->wait_fn = NULL;
    ctx_wait_unlock(ctx);
}

MICRO_PRIVATE void micro__ctx_own(micro_ctx *ctx, micro__owned *o)
{
    ctx_wait_lock(ctx);
    o->next = ctx->owned;
    ctx->owned = o;
    if (atomic_load_explicit(&ctx->canceled, memory_order_acquire))
        o->wake(o);
    ctx_wait_unlock(ctx);
}

MICRO_PRIVATE void micro__ctx_disown(micro_ctx *ctx, micro__owned *o)
{
    ctx_wait_lock(ctx);
    for (micro__owned **at = &ctx->owned; *at; at = &(*at)->next)
        if (*at == o) {
            *at = o->next;
            break;
        }
    ctx_wait_unlock(ctx);
}

/* The newest that its maker does not end. */
static micro__owned *ctx_owned(micro_ctx *ctx)
{
    ctx_wait_lock(ctx);
    micro__owned *o = ctx->owned;
    while (o && !o->end)
        o = o->next;
    ctx_wait_unlock(ctx);
    return o;
}

MICRO_PRIVATE void micro__ctx_end(micro_ctx *ctx)
{
    micro__owned *o;

    micro__ctx_disarm(ctx);
    micro__family_end(ctx);
    while ((o = ctx_owned(ctx)) != NULL)
        o->end(o);
}

typedef struct ctx_sleeper {
    micro__mutex lock;
    micro__cond wake;
    bool woken;
} ctx_sleeper;

static void ctx_sleep_wake(void *arg)
{
    ctx_sleeper *s = arg;

    micro__lock(&s->lock);
    s->woken = true;
    micro__cond_signal(&s->wake);
    micro__unlock(&s->lock);
}

MICRO_PRIVATE void micro__ctx_sleep(micro_ctx *ctx, int ms)
{
    uint64_t until = micro__now_ms() + (uint64_t)(ms > 0 ? ms : 0);
    ctx_sleeper s = { .woken = false };

    micro__mutex_init(&s.lock);
    micro__cond_init(&s.wake);
    micro__ctx_wait_begin(ctx, ctx_sleep_wake, &s);
    micro__lock(&s.lock);
    while (!s.woken && micro__cond_wait(&s.wake, &s.lock, until))
        ;
    micro__unlock(&s.lock);
    micro__ctx_wait_end(ctx);
    micro__cond_destroy(&s.wake);
    micro__mutex_destroy(&s.lock);
}

MICRO_API void micro_ctx_cancel(micro_ctx *ctx)
{
    if (!ctx)
        return;
    ctx_wait_lock(ctx);
    bool first = !atomic_exchange_explicit(&ctx->canceled, true, memory_order_acq_rel);
    if (first && ctx->wait_fn)
        ctx->wait_fn(ctx->wait_arg);
    if (first && ctx->alarm)
        micro__alarm_cancel(ctx->alarm);
    for (micro__owned *o = first ? ctx->owned : NULL; o; o = o->next)
        o->wake(o);
    ctx_wait_unlock(ctx);
    micro__family *f = atomic_load_explicit(&ctx->family, memory_order_acquire);
    if (first && f)
        micro__family_cancel(f);
}

MICRO_PRIVATE micro_err micro__ctx_arm(micro_ctx *ctx, micro__engine *e, void (*fn)(void *arg),
                                       void *arg)
{
    struct micro__alarm *a = micro__alarm_new(e, ctx->deadline, fn, arg);

    if (!a)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    ctx_wait_lock(ctx);
    ctx->alarm = a;
    if (atomic_load_explicit(&ctx->canceled, memory_order_acquire))
        micro__alarm_cancel(a);
    ctx_wait_unlock(ctx);
    return MICRO_OK;
}

MICRO_PRIVATE void micro__ctx_disarm(micro_ctx *ctx)
{
    struct micro__alarm *a = ctx->alarm;

    if (!a)
        return;
    ctx_wait_lock(ctx);
    ctx->alarm = NULL; /* no cancel finds it any more */
    ctx_wait_unlock(ctx);
    micro__alarm_free(a);
}

MICRO_API bool micro_ctx_canceled(micro_ctx *ctx)
{
    return !ctx || micro__ctx_check(ctx, ctx->deadline) != MICRO_OK;
}
