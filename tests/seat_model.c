/* SPDX-License-Identifier: MIT */
/* The engine's own source under the checker of seat_model.h: seat.c, monitor.c, loop.c, engine.c and
 * timer.c are compiled as they are, with atomic operations, mutexes, conditions, threads, sleeping and
 * the poller in the checker's hands. What is made up here: the poller, connections (instead of
 * conn.c) and their peers.
 *
 *   seat_model [--limit STATES] [--trail] SCENARIO
 *   seat_model --list
 *
 * Any order of atomic steps is tried. A store that is not seq_cst may also become visible to others
 * later, up to its thread's next locked operation: what x86 does. Loads are never reordered. */
#define MICRO_MAX_HEADERS 1
#define MICRO_MAX_HEADER 16
#define MICRO_CONN_BUF 16

#include "net/engine.h"

#include "seat_model.h"

#include <stdio.h>
#include <stdlib.h>

enum { MODEL_CONNS = 3, MODEL_LOOPS = 2, MODEL_BLOCKS = 5, MODEL_TASKS = 2, MODEL_CALLS = 2 };
enum { MODEL_MAIN, MODEL_POSTER, MODEL_MONITOR, MODEL_WORKER };           /* coroutines */
enum { MODEL_CLIENTS = MODEL_THREADS, MODEL_MEMORY };                     /* environment */
enum {
    MODEL_BEGIN, MODEL_LOAD, MODEL_STORE, MODEL_RMW, MODEL_LOCK, MODEL_WAIT, MODEL_TIMED, MODEL_START,
    MODEL_STARTED, MODEL_JOIN, MODEL_SLEEP, MODEL_WAKE, MODEL_POLL, MODEL_RECV, MODEL_NEED, MODEL_CHOOSE
};

/* ---- scenarios ----------------------------------------------------------------------------- */

enum {
    MODEL_PLAIN,    /* takes any time and says nothing: the order of steps decides */
    MODEL_EITHER,   /* may declare that it blocks */
    MODEL_NEEDS,    /* ends when connection 1 has had an answer, and does not say so */
    MODEL_DECLARED, /* the same, and says so */
    MODEL_CALLS_IT, /* the same as a client call does it: a brief wait in the seat first */
    MODEL_HABITUAL, /* the same, on a route that is known to block */
    MODEL_POSTS,    /* gives its loop a task */
    MODEL_AWAITS    /* the same, and ends when that has run */
};

typedef struct model_scenario {
    const char *name;
    int loops, threads, conns, calls;
    int handlers[MODEL_CONNS][MODEL_CALLS];
    int create_fails; /* so many times a thread cannot be created */
    bool fails_early; /* at the start too */
    bool idle_exit;   /* spares may end at any time */
    bool monitor_off; /* never looks */
    bool from_start;  /* the start is part of it; else it begins when all that has been started */
    bool stop;        /* peers close after their last call, the engine is stopped at any time */
    bool posts;       /* a foreign thread posts a task */
    bool sticks;      /* too few threads: it must get stuck, and say so */
    bool accepts;     /* connections come in on loop 0 while all runs; else they are there */
    bool writable;    /* a new connection is reported as writable */
    bool fine;        /* steps after what is visible to others too: what comes with it is no longer one with it */
} model_scenario;

#define MODEL_ALL(kind) { { kind, kind }, { kind, kind }, { kind, kind } }
static const model_scenario model_scenarios[] = {
    { "start", .loops = 2, .threads = 2, .from_start = true },
    { "start-fails", .loops = 2, .threads = 3, .from_start = true, .create_fails = 1, .fails_early = true },
    { "start-serve", .loops = 1, .threads = 2, .conns = 1, .calls = 1, .from_start = true, .accepts = true },
    { "alone", .loops = 1, .threads = 1, .conns = 2, .calls = 2 },
    { "alone-sticks", .loops = 1, .threads = 1, .conns = 2, .calls = 1, .sticks = true, .handlers = { { MODEL_NEEDS } } },
    { "plain", .loops = 1, .threads = 2, .conns = 2, .calls = 1 },
    { "plain-fine", .loops = 1, .threads = 2, .conns = 2, .calls = 1, .fine = true },
    { "plain-writable", .loops = 1, .threads = 2, .conns = 2, .calls = 1, .writable = true },
    { "either", .loops = 1, .threads = 2, .conns = 2, .calls = 1, .handlers = MODEL_ALL(MODEL_EITHER) },
    { "needs", .loops = 1, .threads = 2, .conns = 2, .calls = 1, .handlers = { { MODEL_NEEDS } } },
    { "needs-fails", .loops = 1, .threads = 2, .conns = 2, .calls = 1, .create_fails = 1, .handlers = { { MODEL_NEEDS } } },
    { "needs-idle", .loops = 1, .threads = 2, .conns = 2, .calls = 1, .idle_exit = true, .handlers = { { MODEL_NEEDS } } },
    { "declared", .loops = 1, .threads = 2, .conns = 2, .calls = 2, .monitor_off = true, .handlers = MODEL_ALL(MODEL_EITHER) },
    { "declared-needs", .loops = 1, .threads = 2, .conns = 2, .calls = 2, .monitor_off = true, .handlers = { { MODEL_DECLARED } } },
    { "declared-fails", .loops = 1, .threads = 2, .conns = 2, .calls = 1, .create_fails = 1, .handlers = { { MODEL_DECLARED } } },
    { "call", .loops = 1, .threads = 2, .conns = 2, .calls = 2, .monitor_off = true, .handlers = { { MODEL_CALLS_IT, MODEL_CALLS_IT } } },
    { "habit", .loops = 1, .threads = 2, .conns = 2, .calls = 2, .monitor_off = true, .handlers = { { MODEL_HABITUAL, MODEL_HABITUAL } } },
    { "posts", .loops = 1, .threads = 2, .conns = 1, .calls = 1, .handlers = { { MODEL_POSTS } } },
    { "posts-foreign", .loops = 1, .threads = 2, .conns = 1, .calls = 1, .posts = true },
    { "posts-await", .loops = 1, .threads = 2, .conns = 1, .calls = 1, .handlers = { { MODEL_AWAITS } } },
    { "stop", .loops = 1, .threads = 2, .conns = 1, .calls = 1, .stop = true },
    { "stop-start", .loops = 1, .threads = 2, .stop = true, .from_start = true },
    { "stop-idle", .loops = 1, .threads = 2, .conns = 1, .calls = 1, .stop = true, .idle_exit = true },
    { "stop-fails", .loops = 1, .threads = 2, .conns = 1, .calls = 1, .stop = true, .create_fails = 1 },
    { "loops", .loops = 2, .threads = 2, .conns = 2, .calls = 1 },
    { "loops-accept", .loops = 2, .threads = 2, .conns = 2, .calls = 1, .accepts = true },
    { "loops-needs", .loops = 2, .threads = 3, .conns = 2, .calls = 1, .handlers = { { MODEL_NEEDS } } },
    { "loops-declared", .loops = 2, .threads = 3, .conns = 2, .calls = 1, .monitor_off = true, .handlers = MODEL_ALL(MODEL_EITHER) },
    { "three", .loops = 1, .threads = 3, .conns = 2, .calls = 1 },
    { "three-needs", .loops = 1, .threads = 3, .conns = 2, .calls = 1, .handlers = { { MODEL_NEEDS } } },
    { "three-needs-fails", .loops = 1, .threads = 3, .conns = 2, .calls = 1, .create_fails = 1, .handlers = { { MODEL_NEEDS } } },
    { "three-declared", .loops = 1, .threads = 3, .conns = 2, .calls = 2, .monitor_off = true, .handlers = MODEL_ALL(MODEL_EITHER) },
    { "three-conns", .loops = 1, .threads = 3, .conns = 3, .calls = 1, .monitor_off = true, .handlers = MODEL_ALL(MODEL_EITHER) },
    { "three-idle", .loops = 1, .threads = 3, .conns = 2, .calls = 1, .idle_exit = true },
    { "three-either", .loops = 1, .threads = 3, .conns = 2, .calls = 1, .handlers = MODEL_ALL(MODEL_EITHER) },
    { "plain-more", .loops = 1, .threads = 2, .conns = 2, .calls = 2 },
    { "loops-three", .loops = 2, .threads = 3, .conns = 2, .calls = 1 },
    { "loops-stop", .loops = 2, .threads = 3, .conns = 2, .calls = 1, .stop = true },
    { "stop-more", .loops = 1, .threads = 2, .conns = 2, .calls = 1, .stop = true },
    { "posts-both", .loops = 1, .threads = 2, .conns = 1, .calls = 1, .posts = true, .handlers = { { MODEL_POSTS } } },
};

static const model_scenario *model_s;

/* ---- the world ----------------------------------------------------------------------------- */

typedef struct model_conn {
    micro__conn c;
    int sent, data, answered, unflushed, served;
    unsigned events; /* the poller will report */
    int serving;     /* actor + 1 that has it; ghost */
    bool arrived, added, ended, closed;
} model_conn;

/* A thread's plain store that others do not see yet. */
typedef struct model_late {
    void *at;
    size_t size;
    uint64_t value;
} model_late;

static _Alignas(64) struct {
    model_conn conn[MODEL_CONNS];
    micro__task task[MODEL_TASKS];
    bool task_used[MODEL_TASKS], block_used[MODEL_BLOCKS], engine_freed, finished, started;
    bool woken[MODEL_LOOPS];
    int driver[MODEL_LOOPS];       /* actor + 1 in the seat; ghost */
    uint64_t inside[MODEL_LOOPS];  /* the word of a handler that has begun; ghost */
    int locked, create_fails, posted, tasks_run;
    int calls;
    bool capped;
    model_late late[MODEL_THREADS];
    micro__habit habit;
} model_w;

static _Alignas(64) char model_blocks[MODEL_BLOCKS][8192];
static _Alignas(64) char model_engine_block[sizeof(micro__engine) + 64 + MODEL_LOOPS * sizeof(micro__loop) + 64];
static micro__engine *model_e;
static micro__port model_port = { .kind = MICRO__SRC_PORT, .o = { .idle_ms = -1 } };
static micro_ctx *const model_ctx = (micro_ctx *)(void *)&model_port; /* never looked at */

#define MODEL_MUST(what, problem) ((what) ? (void)0 : model_fail(problem))

static int model_loop_index(const micro__loop *l)
{
    return (int)(l - model_e->loops);
}

/* The memory that an operation goes to must still be there. */
static void model_alive(const void *at)
{
    const char *p = at;

    if (p >= model_engine_block && p < model_engine_block + sizeof model_engine_block)
        MODEL_MUST(!model_w.engine_freed, "the engine is used after it was freed");
    for (int i = 0; i < MODEL_BLOCKS; i++)
        if (p >= model_blocks[i] && p < model_blocks[i] + sizeof model_blocks[i])
            MODEL_MUST(model_w.block_used[i], "a thread's memory is used after it was freed");
}

/* Operations whose order with others changes nothing need not be tried in every order: on what nobody
 * writes in this scenario, on what is guarded by the lock that is held, on flags for the log. */
static bool model_alone(const void *at)
{
    bool constant = !model_s->stop && (at == &model_e->stopping || at == &model_e->monitor.stop);
    bool guarded = false;

    for (int i = 0; i < MODEL_BLOCKS; i++)
        guarded |= at == &((micro__thread *)(void *)model_blocks[i])->target;
    return constant || (guarded && model_w.locked == model_current + 1) || at == &model_e->capped;
}

static int model_visible(int kind, const char *where, const void *at, uint64_t arg)
{
    int choice = model_alone(at) ? 0 : model_step(kind, where, at, arg);

    if (model_current >= 0)
        model_alive(at);
    return choice;
}

/* ---- atomic operations --------------------------------------------------------------------- */

/* The rules of the seat, seen from its word. */
static void model_seat_changes(const void *at, uint64_t old, uint64_t new, bool swap, int actor)
{
    for (int i = 0; model_e && i < model_e->nloops; i++) {
        if (at != &model_e->loops[i].seat)
            continue;
        if (swap) {
            MODEL_MUST(old & MICRO__IN_HANDLER && !(new & MICRO__IN_HANDLER), "a swap of a seat that is driven");
            MODEL_MUST(!model_w.driver[i], "two threads in one seat");
            model_w.driver[i] = actor + 1;
            model_w.inside[i] = 0;
        } else {
            MODEL_MUST(!(old & MICRO__IN_HANDLER) && new & MICRO__IN_HANDLER, "a store to a seat that is free");
            MODEL_MUST(model_w.driver[i] == actor + 1, "a store to a seat by a thread that is not in it");
            model_w.driver[i] = 0;
        }
    }
}

/* Handing a connection back: only by the thread that has it, once. */
static void model_item_pushed(const void *at, const void *item)
{
    for (int i = 0; i < MODEL_CONNS; i++) {
        model_conn *m = &model_w.conn[i];
        if (item != &m->c.link || at != &m->c.loop->inbox || !m->c.joined)
            continue;
        MODEL_MUST(m->serving == model_current + 1, "a connection is given back by a thread that does not have it");
        m->serving = 0;
    }
}

static void model_changes(const void *at, uint64_t old, uint64_t new, bool swap)
{
    model_seat_changes(at, old, new, swap, model_current);
    if (swap && new)
        model_item_pushed(at, (const void *)(uintptr_t)new);
}

static void model_changed(const char *where)
{
    if (model_s->fine)
        model_step(MODEL_BEGIN, where, NULL, 0);
}

static void model_drain(int actor)
{
    model_late *s = &model_w.late[actor];
    uint64_t old = 0;

    if (!s->at)
        return;
    model_late now = *s;
    memset(s, 0, sizeof *s);
    memcpy(&old, now.at, now.size);
    model_seat_changes(now.at, old, now.value, false, actor);
    memcpy(now.at, &now.value, now.size);
}

static void model_fence(void)
{
    if (model_current >= 0 && model_current < MODEL_THREADS)
        model_drain(model_current);
}

static void model_loads(const char *where, const void *at)
{
    model_visible(MODEL_LOAD, where, at, 0);
    if (model_current >= 0 && model_w.late[model_current].at == at)
        model_fence();
}

static void model_swaps(const char *where, const void *at)
{
    model_visible(MODEL_RMW, where, at, 0);
    model_fence();
}

/* True: the caller is to store; else it will happen later. */
static bool model_stores(const char *where, void *at, uint64_t old, uint64_t value, size_t size, int order)
{
    model_visible(MODEL_STORE, where, at, value);
    model_fence(); /* one at a time is held back, in order */
    if (order == memory_order_seq_cst || model_current < 0) {
        model_changes(at, old, value, false);
        return true;
    }
    model_w.late[model_current] = (model_late){ at, size, value };
    return false;
}

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_fetch_add_explicit
#define MODEL_WORD(v) ((uint64_t)(uintptr_t)(v))
#define MODEL_TYPE(p) __typeof__((void)0, *(p))
#define atomic_load_explicit(p, order) \
    __extension__({ \
        model_loads(__func__, (const void *)(p)); \
        MODEL_TYPE(p) now_ = *(p); \
        now_; \
    })
#define atomic_load(p) atomic_load_explicit(p, memory_order_seq_cst)
#define atomic_store_explicit(p, v, order) \
    __extension__({ \
        MODEL_TYPE(p) value_ = (v); \
        if (model_stores(__func__, (void *)(p), MODEL_WORD(*(p)), MODEL_WORD(value_), sizeof value_, order)) \
            *(p) = value_; \
        model_changed(__func__); \
    })
#define atomic_store(p, v) atomic_store_explicit(p, v, memory_order_seq_cst)
#define atomic_exchange_explicit(p, v, order) \
    __extension__({ \
        model_swaps(__func__, (const void *)(p)); \
        MODEL_TYPE(p) old_ = *(p); \
        *(p) = (v); \
        model_changes((const void *)(p), MODEL_WORD(old_), MODEL_WORD(*(p)), true); \
        model_changed(__func__); \
        old_; \
    })
#define atomic_exchange(p, v) atomic_exchange_explicit(p, v, memory_order_seq_cst)
#define atomic_compare_exchange_strong_explicit(p, want, v, order, order_failed) \
    __extension__({ \
        model_swaps(__func__, (const void *)(p)); \
        MODEL_TYPE(p) old_ = *(p); \
        bool same_ = old_ == *(want); \
        if (same_) { \
            *(p) = (v); \
            model_changes((const void *)(p), MODEL_WORD(old_), MODEL_WORD(*(p)), true); \
        } else { \
            *(want) = old_; \
        } \
        model_changed(__func__); \
        same_; \
    })
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit
#define atomic_fetch_add_explicit(p, v, order) \
    __extension__({ \
        model_swaps(__func__, (const void *)(p)); \
        MODEL_TYPE(p) old_ = *(p); \
        *(p) = old_ + (v); \
        old_; \
    })

/* ---- locks, threads, time ------------------------------------------------------------------ */

static void model_lock(const char *where, micro__mutex *m)
{
    model_visible(MODEL_LOCK, where, m, 0);
    model_fence();
    model_w.locked = model_current + 1;
}

static void model_unlock(micro__mutex *m)
{
    model_alive(m);
    MODEL_MUST(model_w.locked == model_current + 1, "unlocks what it has not locked");
    model_fence();
    model_w.locked = 0;
}

static bool model_cond_wait(const char *where, micro__cond *c, micro__mutex *m, uint64_t until)
{
    model_actor *a = &model_actors[model_current];

    model_unlock(m);
    a->cond = c;
    int late = model_visible(until ? MODEL_TIMED : MODEL_WAIT, where, c, 0);
    bool signalled = a->signalled && !late;
    a->cond = NULL;
    a->signalled = false;
    model_w.locked = model_current + 1;
    return signalled;
}

/* All of the engine signals with the lock held, so that nothing comes between it and what went before. */
static int model_cond_wake(micro__cond *c)
{
    int n = 0;

    model_alive(c);
    MODEL_MUST(model_w.locked == model_current + 1, "signals without the lock");
    for (int i = 0; i < MODEL_THREADS; i++)
        if (model_actors[i].cond == c) {
            model_actors[i].signalled = true;
            n++;
        }
    return n;
}

static void model_cond_signal(micro__cond *c)
{
    MODEL_MUST(model_cond_wake(c) <= 1, "signals one of several that wait");
}

static void *model_monitor_main(void *arg); /* monitor.c's */

static bool model_thread_start(const char *where, micro__thread_id *id, void *(*fn)(void *), void *arg)
{
    int i = MODEL_WORKER;

    if (model_visible(MODEL_START, where, arg, 0)) {
        model_w.create_fails--;
        return false;
    }
    model_fence();
    if (fn == model_monitor_main)
        i = MODEL_MONITOR;
    while (i < MODEL_THREADS && model_actors[i].state != MODEL_FREE)
        i++;
    MODEL_MUST(i < MODEL_THREADS, "more threads than the model has places for");
    model_spawn(i, fn, arg, MODEL_BEGIN);
    /* some systems store the handle when the thread runs already */
    model_visible(MODEL_STARTED, where, id, 0);
    *id = (micro__thread_id)i;
    return true;
}

static void model_thread_join(const char *where, micro__thread_id id)
{
    MODEL_MUST(id > MODEL_MAIN && id < MODEL_THREADS, "joins a thread that never was");
    MODEL_MUST(model_actors[id].state != MODEL_FREE, "joins a thread twice");
    model_step(MODEL_JOIN, where, &model_actors[id], 0);
    MODEL_MUST(model_actors[id].state == MODEL_ENDED, "joins a thread twice");
    model_actors[id].state = MODEL_FREE;
}

static micro__thread_id model_thread_self(void)
{
    return (micro__thread_id)model_current;
}

#define micro__lock(m) model_lock(__func__, m)
#define micro__unlock(m) model_unlock(m)
#define micro__cond_wait(c, m, until) model_cond_wait(__func__, c, m, until)
#define micro__cond_signal(c) model_cond_signal(c)
#define micro__cond_broadcast(c) ((void)model_cond_wake(c))
#define micro__thread_start(id, stack, fn, arg) model_thread_start(__func__, id, fn, arg)
#define micro__thread_join(id) model_thread_join(__func__, id)
#define micro__thread_self() model_thread_self()
/* How long a nap is means nothing here: any time may pass at any step. So that naps that differ in length
 * only make no states that differ, the monitor forgets it. */
#define micro__sleep_us(us) ((void)(us), (void)model_step(MODEL_SLEEP, __func__, NULL, 0), nap = MONITOR_NAP_US)
#undef _Thread_local
#define _Thread_local
#define monitor_main model_monitor_main

#include "net/engine.c"
#include "net/loop.c"
#include "net/monitor.c"
#include "net/seat.c"
#include "net/timer.c"

/* ---- what the engine stands on ------------------------------------------------------------- */

void micro__mutex_init(micro__mutex *m) { memset(m, 0, sizeof *m); }
void micro__mutex_destroy(micro__mutex *m) { MODEL_MUST(!model_w.locked, "destroys a lock that is held"), (void)m; }
void micro__cond_init(micro__cond *c) { memset(c, 0, sizeof *c); }
void micro__cond_destroy(micro__cond *c)
{
    for (int i = 0; i < MODEL_THREADS; i++)
        MODEL_MUST(model_actors[i].cond != c, "destroys a condition that is waited for");
}

void *micro__alloc(size_t size)
{
    for (int i = 0; size == sizeof(seat_block) && i < MODEL_BLOCKS; i++)
        if (!model_w.block_used[i]) {
            model_w.block_used[i] = true;
            return model_blocks[i];
        }
    for (int i = 0; size == sizeof(micro__task) && i < MODEL_TASKS; i++)
        if (!model_w.task_used[i]) {
            model_w.task_used[i] = true;
            return &model_w.task[i];
        }
    model_fail("more memory than the model has");
    return NULL;
}

void *micro__alloc_zero(size_t size)
{
    return size > sizeof(seat_block) ? model_engine_block : micro__alloc(size);
}

void micro__free(void *old, size_t size)
{
    if (old == model_engine_block) {
        MODEL_MUST(!model_w.engine_freed, "frees the engine twice");
        model_w.engine_freed = true;
        return;
    }
    for (int i = 0; i < MODEL_BLOCKS; i++)
        if (old == model_blocks[i]) {
            MODEL_MUST(model_w.block_used[i], "frees a thread twice");
            model_w.block_used[i] = false;
        }
    for (int i = 0; i < MODEL_TASKS; i++)
        if (old == &model_w.task[i]) {
            MODEL_MUST(model_w.task_used[i], "frees a task twice");
            model_w.task_used[i] = false;
        }
    memset(old, 0, size);
}

uint64_t micro__now_ms(void) { return 1; }
uint64_t micro__now_us(void) { return 1; }
int micro__cpu_count(void) { return 1; }
int micro__fd_reserve(void) { return -1; }
void micro__fd_close(int fd) { (void)fd; }
void micro__buf_free(micro_buf *b) { (void)b; }
micro_ctx *micro_ctx_new(micro_service *svc) { (void)svc; return model_ctx; }
void micro_ctx_free(micro_ctx *ctx) { (void)ctx; }
void micro__line_event(micro__thread *t, micro__loop *l, void *line, unsigned what) { (void)t, (void)l, (void)line, (void)what; }
void micro__line_bury(micro__loop *l) { (void)l; }
void micro__line_clear(micro__loop *l) { (void)l; }

void micro_log(int level, const char *file, int line, const char *fmt, ...)
{
    (void)level, (void)file, (void)line, (void)fmt;
    model_w.capped = true;
}

micro_err micro__poller_open(micro__poller *p)
{
    static int n;
    p->fd = n++;
    return MICRO_OK;
}

void micro__poller_close(micro__poller *p) { (void)p; }

void micro__poller_wake(micro__poller *p)
{
    model_visible(MODEL_WAKE, __func__, p, 0);
    model_fence();
    model_w.woken[p->fd] = true;
}

int micro__poller_wait(micro__poller *p, micro__event *out, int max, int timeout_ms)
{
    int n = 0;

    MODEL_MUST(model_w.driver[p->fd] == model_current + 1, "waits for a loop's events without its seat");
    memset(out, 0, (MODEL_CONNS + 1) * sizeof *out); /* old ones only make states that differ */
    model_visible(MODEL_POLL, __func__, p, (uint64_t)(int64_t)timeout_ms);
    model_fence();
    model_w.woken[p->fd] = false;
    for (int i = 0; i < MODEL_CONNS && n < max; i++) {
        model_conn *m = &model_w.conn[i];
        if (!m->added || m->closed || model_loop_index(m->c.loop) != p->fd || !m->events)
            continue;
        out[n++] = (micro__event){ &m->c, m->events };
        m->events = 0;
    }
    for (int i = 0; !p->fd && i < model_s->conns; i++)
        if (model_w.conn[i].arrived && !model_w.conn[i].c.fd) {
            out[n++] = (micro__event){ &model_port, MICRO__IN };
            break;
        }
    return n;
}

bool micro__fd_ready(int fd, int what, int us)
{
    (void)fd, (void)what, (void)us;
    return model_w.conn[1].answered && model_step(MODEL_CHOOSE, __func__, NULL, 2);
}

micro_err micro__fd_wait(int fd, int what, uint64_t deadline)
{
    (void)fd, (void)what, (void)deadline;
    model_step(MODEL_NEED, __func__, NULL, 0);
    return MICRO_OK;
}

/* ---- connections --------------------------------------------------------------------------- */

static model_conn *model_conn_of(micro__conn *c)
{
    return (model_conn *)(void *)c;
}

static void model_must_drive(const micro__loop *l)
{
    MODEL_MUST(model_w.driver[model_loop_index(l)] == model_current + 1, "the work of a driver without the seat");
}

static void model_open(model_conn *m)
{
    m->c.loop->nconns++;
    m->c.fd = 1; /* accepted */
}

void micro__conn_accept(micro__loop *l, micro__port *p)
{
    (void)p;
    model_must_drive(l);
    for (int i = 0; i < model_s->conns; i++) {
        model_conn *m = &model_w.conn[i];
        if (!m->arrived || m->c.fd)
            continue;
        model_open(m);
        if (m->c.loop == l)
            micro__conn_join(l, &m->c);
        else
            micro__loop_push(m->c.loop, &m->c.link);
    }
}

void micro__conn_gone(micro__conn *c) { (void)c; }

void micro__conn_join(micro__loop *l, micro__conn *c)
{
    model_conn *m = model_conn_of(c);

    model_must_drive(l);
    c->joined = m->added = true;
    micro__loop_touch(l, c);
    if (m->data)
        m->events |= MICRO__IN;
    if (m->ended)
        m->events |= MICRO__HUP;
    if (model_s->writable)
        m->events |= MICRO__OUT;
}

void micro__conn_close(micro__loop *l, micro__conn *c)
{
    model_conn *m = model_conn_of(c);

    model_must_drive(l);
    MODEL_MUST(!m->closed && !m->serving, "closes a connection that is served");
    micro__loop_forget(l, c);
    m->closed = true;
    m->events = 0;
    atomic_fetch_add_explicit(&l->nconns, -1, memory_order_relaxed);
}

void micro__conn_settle(micro__loop *l, micro__conn *c)
{
    model_must_drive(l);
    MODEL_MUST(!model_conn_of(c)->serving, "settles a connection that is served");
    if (c->dead)
        micro__conn_close(l, c);
}

/* The replies so far reach the peer. */
void micro__conn_flush(micro__thread *t)
{
    if (!t->conn)
        return;
    model_conn *m = model_conn_of(t->conn);
    m->answered += m->unflushed;
    m->unflushed = 0;
}

static void model_task(void *arg)
{
    (void)arg;
    model_w.tasks_run++;
}

static void model_post(void)
{
    model_w.posted++;
    micro__engine_post(model_e, 0, model_task, NULL, NULL, NULL, NULL);
}

static void model_handle(int kind)
{
    bool declare = kind == MODEL_DECLARED || (kind == MODEL_EITHER && model_step(MODEL_CHOOSE, __func__, NULL, 2));

    if (kind == MODEL_POSTS || kind == MODEL_AWAITS)
        model_post();
    if (declare)
        micro_block_begin();
    if (kind == MODEL_CALLS_IT)
        micro__seat_wait(0, MICRO__READ, 0);
    else if (kind == MODEL_NEEDS || kind == MODEL_DECLARED || kind == MODEL_HABITUAL)
        model_step(MODEL_NEED, __func__, NULL, 0);
    else if (kind == MODEL_AWAITS)
        model_step(MODEL_NEED, __func__, NULL, 1);
    if (declare)
        micro_block_end();
}

/* One request: as conn.c and the server do it. */
static void model_request(micro__thread *t, model_conn *m)
{
    int kind = model_s->handlers[m - model_w.conn][m->served++];
    micro__habit *habit = kind == MODEL_HABITUAL ? &model_w.habit : NULL;

    if (habit)
        habit->blocks = SEAT_HABIT;
    model_w.calls++;
    micro__user_begin(habit);
    if (t->loop)
        model_w.inside[model_loop_index(t->loop)] = t->word;
    model_handle(kind);
    if (t->loop && model_w.inside[model_loop_index(t->loop)] == t->word)
        model_w.inside[model_loop_index(t->loop)] = 0;
    micro__user_end(habit);
    if (habit)
        habit->blocks = 0;
    m->unflushed++;
}

void micro__conn_serve(micro__thread *t, micro__conn *c, unsigned what)
{
    model_conn *m = model_conn_of(c);

    (void)what;
    model_must_drive(c->loop);
    MODEL_MUST(!m->serving && !c->busy, "two threads serve a connection");
    m->serving = model_current + 1;
    t->conn = c;
    model_step(MODEL_RECV, __func__, c, 0);
    int n = m->data;
    m->data = 0;
    c->dead = m->ended; /* what was sent before has come with it */
    for (int i = 0; i < n; i++)
        model_request(t, m);
    micro__conn_flush(t);
    t->conn = NULL;
    MODEL_MUST(m->serving == model_current + 1, "two threads serve a connection");
    if (t->loop)
        m->serving = 0; /* else it is kept until it is given back */
}

/* ---- the actors ---------------------------------------------------------------------------- */

static void *model_main(void *arg)
{
    bool ok = engine_start(model_e);

    model_w.started = true;
    if (ok && !model_s->stop)
        return arg;
    if (ok)
        model_step(MODEL_BEGIN, "stop", NULL, 0);
    engine_stop(model_e);
    model_w.finished = true;
    return arg;
}

static void *model_poster(void *arg)
{
    model_post();
    return arg;
}

static bool model_may_fail(int actor)
{
    return model_w.create_fails > 0 && (actor != MODEL_MAIN || model_s->fails_early);
}

static bool model_poll_returns(const micro__poller *p, int64_t timeout)
{
    bool any = timeout >= 0 || model_w.woken[p->fd];

    for (int i = 0; i < MODEL_CONNS; i++) {
        const model_conn *m = &model_w.conn[i];
        any |= m->added && !m->closed && m->events && model_loop_index(m->c.loop) == p->fd;
        any |= m->arrived && !m->c.fd && !p->fd;
    }
    return any;
}

/* What the peers may do now: send, close. */
static int model_clients(int choice)
{
    int n = 0;

    for (int i = 0; i < model_s->conns; i++) {
        model_conn *m = &model_w.conn[i];
        if (!m->arrived) {
            if (n++ == choice)
                m->arrived = true;
        } else if (m->sent < model_s->calls) {
            if (n++ == choice) {
                m->sent++;
                m->data++;
                m->events |= m->added ? MICRO__IN : 0u;
            }
        } else if (model_s->stop && m->answered == model_s->calls && !m->ended) {
            if (n++ == choice) {
                m->ended = true;
                m->events |= m->added && !m->closed ? (unsigned)MICRO__IN | MICRO__HUP : 0u;
            }
        }
    }
    return n;
}

static int model_memory(int choice)
{
    int n = 0;

    for (int i = 0; i < MODEL_THREADS; i++)
        if (model_w.late[i].at && n++ == choice)
            model_drain(i);
    return n;
}

static int model_choices(int actor)
{
    const model_actor *a = &model_actors[actor];
    bool free = !model_w.locked;

    if (!model_s->from_start && !model_w.started && actor != MODEL_MAIN)
        return 0;
    if (actor == MODEL_MONITOR && model_s->monitor_off && !model_e->monitor.stop)
        return 0;
    if (actor >= MODEL_THREADS)
        return actor == MODEL_CLIENTS ? model_clients(-1) : model_memory(-1);
    switch (a->op.kind) {
    case MODEL_LOCK:
        return free;
    case MODEL_WAIT:
        return free && a->signalled;
    case MODEL_TIMED:
        return !free ? 0 : a->signalled ? 1 + model_s->idle_exit : model_s->idle_exit;
    case MODEL_START:
        return 1 + model_may_fail(actor);
    case MODEL_JOIN:
        return ((const model_actor *)a->op.at)->state != MODEL_READY;
    case MODEL_POLL:
        return model_poll_returns(a->op.at, (int64_t)a->op.arg);
    case MODEL_NEED:
        return a->op.arg ? model_w.tasks_run == model_w.posted : model_w.conn[1].answered > 0;
    case MODEL_CHOOSE:
        return (int)a->op.arg;
    default:
        return 1;
    }
}

static void model_environment(int actor, int choice)
{
    if (actor == MODEL_CLIENTS)
        model_clients(choice);
    else
        model_memory(choice);
}

/* ---- what must hold ------------------------------------------------------------------------ */

static const char *model_check(void)
{
    const model_actor *a = &model_actors[MODEL_MONITOR];

    if (model_w.engine_freed)
        return NULL;
    if (a->state == MODEL_READY && a->cond && !a->signalled && model_e->monitor.asleep)
        for (int i = 0; i < model_e->nloops; i++)
            if (model_w.inside[i] && model_w.inside[i] == model_e->loops[i].seat)
                return "the monitor sleeps while a handler runs";
    if (model_e->total > model_e->max_threads)
        return "more threads than allowed";
    if (model_w.capped && !model_w.calls)
        return "it says that all threads are in handlers before there was one";
    return NULL;
}

static bool model_all_ended(void)
{
    for (int i = MODEL_POSTER; i < MODEL_THREADS; i++)
        if (model_actors[i].state == MODEL_READY)
            return false;
    return model_w.finished && model_actors[MODEL_MAIN].state == MODEL_ENDED;
}

static bool model_loop_quiet(int i)
{
    const micro__loop *l = &model_e->loops[i];

    return !l->inbox && !l->ready && model_w.driver[i] && !(l->seat & MICRO__IN_HANDLER) &&
           model_actors[model_w.driver[i] - 1].op.kind == MODEL_POLL;
}

static bool model_good(void)
{
    for (int i = 0; i < model_s->conns; i++) {
        const model_conn *m = &model_w.conn[i];
        if (m->answered != model_s->calls || m->serving || (m->c.busy && !m->closed) ||
            (model_s->stop && !m->closed))
            return false;
    }
    if (model_w.engine_freed)
        return model_all_ended();
    if (model_s->stop || model_w.tasks_run != model_w.posted)
        return false;
    for (int i = 0; i < model_e->nloops; i++)
        if (!model_loop_quiet(i))
            return false;
    return true;
}

/* ---- printing ------------------------------------------------------------------------------ */

static const char *model_place(const void *at)
{
    static char text[64];
    const micro__monitor *m = &model_e->monitor;

    for (int i = 0; i < model_e->nloops; i++) {
        const micro__loop *l = &model_e->loops[i];
        const char *what = at == &l->seat ? "seat" : at == &l->inbox ? "inbox" : at == &l->nconns ? "nconns"
                           : at == &l->poller ? "poller" : NULL;
        snprintf(text, sizeof text, "%s of loop %d", what ? what : "", i);
        if (what)
            return text;
    }
    for (int i = 0; i < MODEL_BLOCKS; i++) {
        const micro__thread *t = (const void *)model_blocks[i];
        const char *what = at == &t->target ? "target" : at == &t->wake ? "wake" : at == &t->id ? "id"
                           : at == t ? "start" : NULL;
        snprintf(text, sizeof text, "%s of thread block %d", what ? what : "", i);
        if (what)
            return text;
    }
    for (int i = 0; i < MODEL_CONNS; i++)
        if (at == &model_w.conn[i].c) {
            snprintf(text, sizeof text, "connection %d", i);
            return text;
        }
    return at == &model_e->lock ? "lock" : at == &model_e->changed ? "changed" : at == &m->asleep ? "asleep"
           : at == &m->stop ? "monitor.stop" : at == &m->wake ? "monitor.wake" : at == &m->thread ? "monitor.thread"
           : at == &model_e->stopping ? "stopping" : at == &model_e->capped ? "capped" : "";
}

static void model_print_op(int actor, const model_op *op, int choice)
{
    static const char *const actors[] = { "main", "poster", "monitor" };
    static const char *const kinds[] = { "begins", "load", "store", "swap", "lock", "wait", "timed wait", "start thread",
                                         "thread handle", "join", "sleep", "wake", "poll", "recv", "goes on", "chooses" };

    if (actor >= MODEL_THREADS) {
        printf("%-10s %d\n", actor == MODEL_CLIENTS ? "peer" : "memory", choice);
        return;
    }
    char name[16];
    snprintf(name, sizeof name, "thread %d", actor - MODEL_WORKER);
    printf("%-10s %s: %s %s", actor < MODEL_WORKER ? actors[actor] : name, op->where ? op->where : "", kinds[op->kind], model_place(op->at));
    printf(choice ? " [%d]\n" : "\n", choice);
}

static void model_print_state(void)
{
    if (model_w.engine_freed)
        return;
    printf("             ");
    for (int i = 0; i < model_e->nloops; i++) {
        const micro__loop *l = &model_e->loops[i];
        printf(" seat %llu%s driver %d asked %llu hungry %llu |", (unsigned long long)(l->seat / 2), l->seat & 1 ? "H" : "D",
               model_w.driver[i] ? model_w.driver[i] - 1 - MODEL_WORKER : -1, (unsigned long long)(l->asked), (unsigned long long)l->hungry);
    }
    printf(" total %d parked %d open %d asleep %d locked %d |", model_e->total, model_e->parked, model_e->open_loops,
           model_e->monitor.asleep, model_w.locked);
    for (int i = 0; i < model_s->conns; i++) {
        const model_conn *m = &model_w.conn[i];
        printf(" conn %d sent %d data %d answered %d busy %d |", i, m->sent, m->data, m->answered, m->c.busy);
    }
    printf("\n");
}

/* ---- running ------------------------------------------------------------------------------- */

static const model_world model_description_template = {
    .choices = model_choices, .environment = model_environment, .check = model_check, .good = model_good,
    .print_op = model_print_op, .print_state = model_print_state, .self = (void **)&seat_self,
};

/* Everything of a state but the stacks. The events behind those of a batch are left out. */
static void model_track_all(void)
{
    char *e = (char *)model_e, *from = e;

    model_track(&model_w, sizeof model_w);
    for (int i = 0; i < model_e->nloops; i++) {
        char *events = (char *)model_e->loops[i].events, *end = events + 4 * sizeof(micro__event);
        model_track(from, (size_t)(end - from));
        from = (char *)&model_e->loops[i].inbox;
    }
    model_track(from, (size_t)((char *)&model_e->loops[model_e->nloops] - from));
    for (int i = 0; i < MODEL_BLOCKS; i++)
        model_track(model_blocks[i], sizeof(micro__thread));
}

static void model_set_up(void)
{
    if (sizeof(seat_block) > sizeof model_blocks[0])
        abort();
    model_e = engine_new(true, model_s->loops, model_s->threads);
    model_w.create_fails = model_s->create_fails;
    for (int i = 0; i < model_s->conns; i++) {
        micro__conn *c = &model_w.conn[i].c;
        c->kind = MICRO__SRC_CONN;
        c->link.kind = MICRO__ITEM_CONN;
        c->port = &model_port;
        c->loop = &model_e->loops[i % model_s->loops];
        if (model_s->accepts)
            continue;
        model_w.conn[i].arrived = true;
        model_open(&model_w.conn[i]);
        micro__loop_push(c->loop, &c->link);
    }
    model_track_all();
    model_spawn(MODEL_MAIN, model_main, NULL, MODEL_BEGIN);
    if (model_s->posts)
        model_spawn(MODEL_POSTER, model_poster, NULL, MODEL_BEGIN);
}

static int model_report(model_result r)
{
    const char *problem = r.problem;

    if (!problem && model_s->sticks && r.complete && !r.bad_ends)
        problem = "it ought to get stuck";
    printf("%-16s %10llu states %11llu steps %6u deep %6llu ends%s\n", model_s->name, (unsigned long long)r.states,
           (unsigned long long)r.steps, r.depth, (unsigned long long)r.ends, r.complete || problem ? "" : "  (not all)");
    if (problem)
        printf("PROBLEM: %s\n", problem);
    return problem ? 1 : r.complete ? 0 : 2;
}

int main(int argc, char **argv)
{
    uint64_t limit = 0;
    bool trail = false;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--limit") && i + 1 < argc)
            limit = strtoull(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--trail"))
            trail = true;
        for (size_t k = 0; k < MICRO_COUNTOF(model_scenarios); k++)
            if (!strcmp(argv[i], model_scenarios[k].name))
                model_s = &model_scenarios[k];
    }
    if (!model_s) {
        for (size_t k = 0; k < MICRO_COUNTOF(model_scenarios); k++)
            puts(model_scenarios[k].name);
        return 2;
    }
    model_world world = model_description_template;
    world.good_or_stuck = model_s->sticks;
    model_set_up();
    return model_report(model_run(&world, limit, trail));
}
