/* SPDX-License-Identifier: MIT */
/* Engines: the process's own, with its loops and threads, and those that micro_poll drives. */
#include "engine.h"

#define ENGINE_MAX_LOOPS 64
#define ENGINE_MAX_THREADS 256

static struct {
    micro__mutex lock;
    micro__engine *engine;
    int users;
#if MICRO_OMIT_THREADS
    int loops, max_threads; /* as the first asked for them */
#endif
} engine_shared = { .lock = MICRO__MUTEX_INIT };

static void engine_free(micro__engine *e)
{
    for (int i = 0; i < e->nloops; i++) {
        micro__loop_clear(&e->loops[i]);
        micro__line_clear(&e->loops[i]);
        micro__poller_close(&e->loops[i].poller);
    }
    if (e->poll_thread)
        micro__thread_free(e->poll_thread);
    micro__fd_close(e->reserve_fd);
    micro__cond_destroy(&e->changed);
    micro__mutex_destroy(&e->lock);
    micro__free(e->block, e->block_size);
}

/* The loops want a cache line of their own each, and the allocator promises 16 bytes only. */
static micro__engine *engine_alloc(int nloops)
{
    size_t head = (sizeof(micro__engine) + 63) & ~(size_t)63;
    size_t size = head + sizeof(micro__loop) * (size_t)nloops + 64;
    char *block = micro__alloc_zero(size);

    if (!block)
        return NULL;
    char *at = block + (64 - ((uintptr_t)block & 63)) % 64;
    micro__engine *e = (micro__engine *)(void *)at;
    e->block = block;
    e->block_size = size;
    e->loops = (micro__loop *)(void *)(at + head);
    e->nloops = nloops;
    return e;
}

static micro__engine *engine_new(bool threaded, int nloops, int max_threads)
{
    micro__engine *e = engine_alloc(nloops);

    if (!e)
        return NULL;
    e->threaded = threaded;
    e->max_threads = max_threads;
    e->reserve_fd = micro__fd_reserve();
    micro__mutex_init(&e->lock);
    micro__cond_init(&e->changed);
    for (int i = 0; i < nloops; i++) {
        micro__loop *l = &e->loops[i];
        l->e = e;
        l->now = micro__now_ms();
        micro__queue_take(&l->later);
        micro__queue_take(&l->held);
        /* With nothing current: the first driver takes it as a spare would, and is on its way. */
        atomic_init(&l->seat, MICRO__IN_HANDLER);
        l->asked = MICRO__IN_HANDLER;
        if (micro__poller_open(&l->poller) != MICRO_OK) {
            e->nloops = i;
            engine_free(e);
            return NULL;
        }
    }
    return e;
}

/* One that somebody drives by steps. */
static micro__engine *engine_polled(void)
{
    micro__engine *e = engine_new(false, 1, 1);

    if (!e)
        return NULL;
    e->poll_thread = micro__thread_new(e);
    atomic_init(&e->driver, micro__thread_mark());
    if (e->poll_thread)
        return e;
    engine_free(e);
    return NULL;
}

#if !MICRO_OMIT_THREADS

static void engine_wait_ended(micro__engine *e)
{
    micro__lock(&e->lock);
    while (e->open_loops || e->total)
        micro__cond_wait(&e->changed, &e->lock, 0);
    micro__unlock(&e->lock);
    if (e->have_last)
        micro__thread_join(e->last);
}

static void engine_stop(micro__engine *e)
{
    atomic_store_explicit(&e->stopping, true, memory_order_release);
    for (int i = 0; i < e->nloops; i++)
        micro__poller_wake(&e->loops[i].poller);
    if (e->threaded) {
        engine_wait_ended(e);
        micro__monitor_stop(e);
    }
    engine_free(e);
}

static bool engine_start(micro__engine *e)
{
    e->open_loops = e->nloops;
    e->total = e->nloops;
    for (int i = 0; i < e->nloops; i++)
        if (!micro__pool_start(e, &e->loops[i], MICRO__IN_HANDLER)) {
            micro__lock(&e->lock);
            e->total -= e->nloops - i - 1; /* those never started */
            e->open_loops -= e->nloops - i;
            e->loops[i].hungry = 0;
            micro__unlock(&e->lock);
            return false;
        }
    return micro__monitor_start(e);
}

static micro_err engine_share(int loops, int max_threads)
{
    int n = loops > 0 ? loops : micro__cpu_count();
    int most = max_threads > 0 ? max_threads : ENGINE_MAX_THREADS;
    const micro__engine *now = engine_shared.engine;

    if (n > ENGINE_MAX_LOOPS)
        n = ENGINE_MAX_LOOPS;
    if (most < n)
        most = n;
    if (now)
        return (loops > 0 && n != now->nloops) || (max_threads > 0 && most != now->max_threads)
                   ? MICRO_EINVAL
                   : MICRO_OK;
    micro__engine *e = engine_new(true, n, most);
    if (!e)
        return MICRO_ENOMEM;
    if (!engine_start(e)) {
        engine_stop(e);
        return MICRO_ENOMEM;
    }
    engine_shared.engine = e;
    return MICRO_OK;
}

#else

static void engine_stop(micro__engine *e)
{
    engine_free(e);
}

static bool engine_differs(int asked, int first)
{
    return asked > 0 && first > 0 && asked != first;
}

/* One loop and no thread, whatever was asked for; but all must have asked for the same. */
static micro_err engine_share(int loops, int max_threads)
{
    if (engine_shared.engine)
        return engine_differs(loops, engine_shared.loops) ||
                       engine_differs(max_threads, engine_shared.max_threads)
                   ? MICRO_EINVAL
                   : MICRO_OK;
    engine_shared.engine = engine_polled();
    engine_shared.loops = loops;
    engine_shared.max_threads = max_threads;
    return engine_shared.engine ? MICRO_OK : MICRO_ENOMEM;
}

#endif

/* Without threads nobody but the program's own one could drive a second engine. */
static bool engine_is_shared(bool threaded)
{
    return threaded || MICRO_OMIT_THREADS;
}

MICRO_PRIVATE micro_err micro__engine_open(bool threaded, int loops, int max_threads,
                                           micro__engine **out)
{
    if (!engine_is_shared(threaded)) {
        *out = engine_polled();
        return *out ? MICRO_OK : MICRO_ENOMEM;
    }
    micro__lock(&engine_shared.lock);
    micro_err err = engine_share(loops, max_threads);
    if (err == MICRO_OK) {
        engine_shared.users++;
        *out = engine_shared.engine;
    }
    micro__unlock(&engine_shared.lock);
    return err;
}

MICRO_PRIVATE void micro__engine_close(micro__engine *e)
{
    if (engine_is_shared(e->threaded)) {
        micro__lock(&engine_shared.lock);
        bool last = --engine_shared.users == 0;
        if (last)
            engine_shared.engine = NULL;
        micro__unlock(&engine_shared.lock);
        if (!last)
            return;
    }
    engine_stop(e);
}

/* ---- without threads ----------------------------------------------------------------------- */

MICRO_PRIVATE micro_err micro__engine_step(micro__engine *e, int timeout_ms)
{
    micro__thread *t = e->poll_thread;

    if (atomic_exchange(&e->stepping, true))
        return MICRO_EBUSY;
    atomic_store_explicit(&e->driver, micro__thread_mark(), memory_order_relaxed);
    t->loop = &e->loops[0];
    micro__thread *before = micro__thread_enter(t);
    bool work = micro__loop_step(t, t->loop, timeout_ms);
    micro__thread_enter(before);
    atomic_store(&e->stepping, false);
    return work ? MICRO_OK : MICRO_EAGAIN;
}

MICRO_PRIVATE void micro__engine_tasks(micro__engine *e)
{
    micro__loop_tasks(&e->loops[0]);
}

MICRO_PRIVATE int micro__engine_fd(micro__engine *e)
{
    return e->loops[0].poller.fd;
}

MICRO_PRIVATE int micro__engine_timeout(micro__engine *e)
{
    return micro__loop_due(&e->loops[0]);
}

MICRO_PRIVATE bool micro__engine_threaded(const micro__engine *e)
{
    return e->threaded;
}

/* ---- tasks --------------------------------------------------------------------------------- */

MICRO_PRIVATE micro_err micro__engine_post(micro__engine *e, int delay_ms, void (*fn)(void *arg),
                                           void *arg, atomic_uint *gate, void (*done)(void *arg),
                                           void *done_arg)
{
    micro__task *k = micro__alloc_zero(sizeof *k);

    if (!k)
        return MICRO_ENOMEM;
    k->item.kind = MICRO__ITEM_TASK;
    k->at = delay_ms > 0 ? micro__now_ms() + (uint64_t)delay_ms : 0;
    k->user = fn;
    k->arg = arg;
    k->gate = gate;
    k->done = done;
    k->done_arg = done_arg;
    micro__loop_push(micro__engine_loop(e), &k->item);
    return MICRO_OK;
}

/* A loop for new work: this thread's own, else one after the other. */
MICRO_PRIVATE micro__loop *micro__engine_loop(micro__engine *e)
{
    micro__loop *own = micro__seat_loop(e);

    if (own)
        return own;
    unsigned turn = atomic_fetch_add_explicit(&e->turn, 1, memory_order_relaxed);
    return &e->loops[turn % (unsigned)e->nloops];
}
