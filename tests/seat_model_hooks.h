/* SPDX-License-Identifier: MIT */
/* For seat_model.c only: what belongs to a state, and the operations of the engine's source as
 * steps of the checker. Included between the engine's headers and its source.
 *
 * A step is an atomic operation, a lock, a wait, a system call; what a thread does up to its next
 * one is one with it. A release needs no step of its own: nothing is lost if it happens at once. */
#ifndef SEAT_MODEL_HOOKS_H
#define SEAT_MODEL_HOOKS_H

enum {
    MODEL_CONNS = 3,
    MODEL_CALLS = 2,
    MODEL_LOOPS = 2,
    MODEL_BLOCKS = 5, /* threads that have memory */
    MODEL_TASKS = 2
};
enum { MODEL_MAIN, MODEL_POSTER, MODEL_MONITOR, MODEL_WORKER }; /* coroutines */
enum { MODEL_PEERS = MODEL_THREADS, MODEL_MEMORY };             /* environment */
enum {
    MODEL_GO,
    MODEL_LOAD,
    MODEL_STORE,
    MODEL_SWAP,
    MODEL_LOCK,
    MODEL_WAIT,
    MODEL_TIMED,
    MODEL_START,
    MODEL_STARTED,
    MODEL_JOIN,
    MODEL_SLEEP,
    MODEL_WAKE,
    MODEL_POLL,
    MODEL_RECV,
    MODEL_NEED,
    MODEL_CHOOSE
};

/* What a handler does. */
#define MODEL_PLAIN 'P'    /* takes any time and says nothing: the order of steps decides */
#define MODEL_EITHER 'E'   /* may say that it blocks */
#define MODEL_NEEDS 'N'    /* ends when connection 1 has had an answer, and does not say so */
#define MODEL_DECLARED 'D' /* the same, and says so */
#define MODEL_CALLING 'C'  /* the same, as a client call does it: first a brief wait in the seat */
#define MODEL_HABITUAL 'H' /* the same, on a route that is known to block */
#define MODEL_POSTS 'T'    /* gives its loop a task */
#define MODEL_AWAITS 'A'   /* the same, and ends when all tasks have run; does not say so */
#define MODEL_AWAITS_SAID 'W' /* the same, and says so */
#define MODEL_RESTS 'R'       /* rests until connection 1 has had an answer */
#define MODEL_RESTS_TASK 'K'  /* rests until a task of the library's has run on its loop */

typedef struct model_scenario {
    int loops, threads, conns, calls;
    char handlers[MODEL_CONNS * MODEL_CALLS + 1]; /* of connection 0, then of the others */
    int fails;                                    /* so many times a thread cannot be created */
    int fails_early;                              /* at the start too */
    int idle_exit;                                /* spares may end at any time */
    int monitor_off;                              /* it never looks */
    int from_start; /* the start is part of it; else it begins when all that has been started */
    int stop;       /* peers close after their last call, the engine is stopped at any time */
    int posts;      /* a foreign thread posts a task */
    int sticks;     /* too few threads: it must be able to get stuck, and say so */
    int accepts;    /* connections come in while all runs, on loop 0; else they are there */
    int writable;   /* a new connection is reported as writable */
    int fine;       /* there is a step behind every change as well */
    int spurious;   /* conditions wake up without a signal */
} model_scenario;

typedef struct model_conn {
    micro__conn c;
    int sent, data, answered, unflushed, served;
    unsigned events; /* the poller will report */
    int serving;     /* actor + 1 that has it */
    bool arrived, added, ended, closed;
} model_conn;

/* A thread's plain store that others do not see yet. */
typedef struct model_late {
    void *at;
    size_t size;
    uint64_t value;
} model_late;

static const model_scenario *model_s;
static micro__engine *model_e;
static _Alignas(64) struct {
    model_conn conn[MODEL_CONNS];
    micro__task task[MODEL_TASKS], own_task[MODEL_CONNS];
    micro__thread *rests[MODEL_CONNS]; /* until connection 1 has had an answer */
    bool task_used[MODEL_TASKS], block_used[MODEL_BLOCKS], engine_freed, finished, started,
        reported;
    bool woken[MODEL_LOOPS];
    int driver[MODEL_LOOPS];      /* actor + 1 in the seat */
    uint64_t inside[MODEL_LOOPS]; /* the word of the handler that has begun last */
    int locked;                   /* actor + 1 */
    int fails, calls, posted, tasks_run;
    model_late late[MODEL_THREADS];
    micro__habit habit;
} model_w;
static _Alignas(64) char model_blocks[MODEL_BLOCKS][8192];
static _Alignas(
    64) char model_engine_block[sizeof(micro__engine) + 128 + MODEL_LOOPS * sizeof(micro__loop)];

static void model_must(bool what, const char *problem)
{
    if (!what)
        model_fail(problem);
}

static void model_must_drive(const micro__loop *l)
{
    model_must(model_w.driver[l - model_e->loops] == model_current + 1,
               "the work of a driver without the seat");
}

/* ---- steps --------------------------------------------------------------------------------- */

/* The memory that an operation goes to must still be there. */
static void model_alive(const void *at)
{
    const char *p = at;

    if (p >= model_engine_block && p < model_engine_block + sizeof model_engine_block)
        model_must(!model_w.engine_freed, "the engine is used after it was freed");
    for (int i = 0; i < MODEL_BLOCKS; i++)
        if (p >= model_blocks[i] && p < model_blocks[i] + sizeof model_blocks[i])
            model_must(model_w.block_used[i], "a thread's memory is used after it was freed");
}

/* Operations whose order with others changes nothing need not be tried in every order: on what
 * nobody writes in this scenario, on what is guarded by the lock that is held, on a flag for the
 * log. */
static bool model_alone(const void *at)
{
    bool constant = !model_s->stop && (at == &model_e->stopping || at == &model_e->monitor.stop);
    bool guarded = false;

    for (int i = 0; i < MODEL_BLOCKS; i++)
        guarded |= at == &((micro__thread *)(void *)model_blocks[i])->target ||
                   at == &((micro__thread *)(void *)model_blocks[i])->roused;
    for (int i = 0; model_e && i < model_e->nloops; i++)
        constant |= at == &model_e->loops[i].holds;
    return constant || (guarded && model_w.locked == model_current + 1) || at == &model_e->capped;
}

static int model_visible(int kind, const char *where, const void *at, uint64_t arg)
{
    int choice = model_alone(at) ? 0 : model_step(kind, where, at, arg);

    if (model_current >= 0)
        model_alive(at);
    return choice;
}

/* ---- the rules, seen from the words that change -------------------------------------------- */

static void model_seat_changes(const void *at, uint64_t old, uint64_t new, bool swap, int actor)
{
    for (int i = 0; model_e && i < model_e->nloops; i++) {
        if (at != &model_e->loops[i].seat)
            continue;
        if (swap) {
            model_must(old & MICRO__IN_HANDLER && !(new &MICRO__IN_HANDLER),
                       "a seat is swapped that is driven");
            model_must(!model_w.driver[i], "two threads in one seat");
            model_w.driver[i] = actor + 1;
            model_w.inside[i] = 0;
        } else {
            model_must(!(old & MICRO__IN_HANDLER) &&
                           new &MICRO__IN_HANDLER &&model_w.driver[i] == actor + 1,
                       "a seat is stored to by a thread that is not in it");
            model_w.driver[i] = 0;
        }
    }
}

/* A connection is given back by the thread that has it, once. */
static void model_pushed(const void *at, const void *item)
{
    for (int i = 0; i < MODEL_CONNS; i++) {
        model_conn *m = &model_w.conn[i];
        if (item != &m->c.link || at != &m->c.loop->inbox || !m->c.joined)
            continue;
        model_must(m->serving == model_current + 1,
                   "a connection is given back by a thread that does not have it");
        m->serving = 0;
    }
}

static void model_changes(const void *at, uint64_t old, uint64_t new, bool swap)
{
    model_seat_changes(at, old, new, swap, model_current);
    if (swap && new)
        model_pushed(at, (const void *)(uintptr_t) new);
}

static void model_changed(const char *where)
{
    if (model_s->fine)
        model_step(MODEL_GO, where, NULL, 0);
}

/* ---- atomic operations --------------------------------------------------------------------- */

/* A store that was held back becomes visible. */
static void model_drain(int actor)
{
    model_late s = model_w.late[actor];
    uint64_t old = 0;

    if (!s.at)
        return;
    memset(&model_w.late[actor], 0, sizeof s);
    memcpy(&old, s.at, s.size);
    model_seat_changes(s.at, old, s.value, false, actor);
    memcpy(s.at, &s.value, s.size);
}

static void model_fence(void)
{
    if (model_current >= 0)
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
    model_visible(MODEL_SWAP, where, at, 0);
    model_fence();
}

/* True: the caller is to store; else it happens later. */
static bool model_stores(const char *where, void *at, uint64_t old, uint64_t value, size_t size,
                         memory_order order)
{
    model_visible(MODEL_STORE, where, at, 0);
    model_fence(); /* one is held back at a time, so they keep their order */
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
        model_loads(__func__, (const void *)(uintptr_t)(p)); \
        MODEL_TYPE(p) now_ = *(p); \
        now_; \
    })
#define atomic_load(p) atomic_load_explicit(p, memory_order_seq_cst)
#define atomic_store_explicit(p, v, order) \
    __extension__({ \
        MODEL_TYPE(p) value_ = (v); \
        if (model_stores(__func__, (void *)(uintptr_t)(p), MODEL_WORD(*(p)), MODEL_WORD(value_), \
                         sizeof value_, order)) \
            *(p) = value_; \
        model_changed(__func__); \
    })
#define atomic_store(p, v) atomic_store_explicit(p, v, memory_order_seq_cst)
#define atomic_exchange_explicit(p, v, order) \
    __extension__({ \
        model_swaps(__func__, (const void *)(uintptr_t)(p)); \
        MODEL_TYPE(p) old_ = *(p); \
        *(p) = (v); \
        model_changes((const void *)(uintptr_t)(p), MODEL_WORD(old_), MODEL_WORD(*(p)), true); \
        model_changed(__func__); \
        old_; \
    })
#define atomic_exchange(p, v) atomic_exchange_explicit(p, v, memory_order_seq_cst)
#define atomic_compare_exchange_strong_explicit(p, want, v, order, order_failed) \
    __extension__({ \
        model_swaps(__func__, (const void *)(uintptr_t)(p)); \
        MODEL_TYPE(p) old_ = *(p); \
        bool same_ = old_ == *(want); \
        if (same_) { \
            *(p) = (v); \
            model_changes((const void *)(uintptr_t)(p), MODEL_WORD(old_), MODEL_WORD(*(p)), true); \
        } else { \
            *(want) = old_; \
        } \
        model_changed(__func__); \
        same_; \
    })
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit
#define atomic_fetch_add_explicit(p, v, order) \
    __extension__({ \
        model_swaps(__func__, (const void *)(uintptr_t)(p)); \
        MODEL_TYPE(p) old_ = *(p); \
        *(p) = old_ + (v); \
        old_; \
    })

/* ---- locks and conditions ------------------------------------------------------------------ */

static void model_lock(const char *where, const micro__mutex *m)
{
    model_visible(MODEL_LOCK, where, m, 0);
    model_fence();
    model_w.locked = model_current + 1;
}

static void model_unlock(const char *where, const micro__mutex *m)
{
    model_alive(m);
    model_must(model_w.locked == model_current + 1, "unlocks what it has not locked");
    model_fence();
    model_w.locked = 0;
    model_changed(where);
}

static bool model_cond_wait(const char *where, const micro__cond *c, const micro__mutex *m,
                            uint64_t until)
{
    model_actor *a = &model_actors[model_current];

    model_alive(m);
    model_must(model_w.locked == model_current + 1, "waits without the lock");
    model_fence();
    model_w.locked = 0;
    a->cond = c;
    int choice = model_visible(until ? MODEL_TIMED : MODEL_WAIT, where, c, 0);
    bool woken = (a->signalled || model_s->spurious) && !choice;
    a->cond = NULL;
    a->signalled = false;
    model_w.locked = model_current + 1;
    return woken;
}

/* The engine signals with the lock held, so that it is one with what went before. */
static void model_cond_wake(const micro__cond *c, bool all)
{
    int n = 0;

    model_alive(c);
    model_must(model_w.locked == model_current + 1, "signals without the lock");
    for (int i = 0; i < MODEL_THREADS; i++)
        if (model_actors[i].cond == c) {
            model_actors[i].signalled = true;
            n++;
        }
    model_must(all || n <= 1, "signals one of several that wait");
}

/* ---- threads ------------------------------------------------------------------------------- */

static void *model_monitor_main(void *arg); /* monitor.c's, by another name */

static bool model_thread_start(const char *where, micro__thread_id *id, void *(*fn)(void *arg),
                               void *arg)
{
    int i = fn == model_monitor_main ? MODEL_MONITOR : MODEL_WORKER;

    if (model_visible(MODEL_START, where, arg, 0)) {
        model_w.fails--;
        return false;
    }
    model_fence();
    while (i < MODEL_THREADS && model_actors[i].state != MODEL_FREE)
        i++;
    model_must(i < MODEL_THREADS, "more threads than the model has places for");
    model_spawn(i, fn, arg, MODEL_GO);
    model_visible(MODEL_STARTED, where, id, 0); /* some systems store it when the thread runs */
    *id = (micro__thread_id)i;
    return true;
}

static void model_thread_join(const char *where, micro__thread_id id)
{
    const char *twice = "joins a thread twice";

    model_must(id > MODEL_MAIN && id < MODEL_THREADS, "joins a thread that never was");
    model_must(model_actors[id].state != MODEL_FREE, twice);
    model_step(MODEL_JOIN, where, &model_actors[id], 0);
    model_must(model_actors[id].state == MODEL_ENDED, twice);
    model_actors[id].state = MODEL_FREE;
}

#define micro__lock(m) model_lock(__func__, m)
#define micro__unlock(m) model_unlock(__func__, m)
#define micro__cond_wait(c, m, until) model_cond_wait(__func__, c, m, until)
#define micro__cond_signal(c) model_cond_wake(c, false)
#define micro__cond_broadcast(c) model_cond_wake(c, true)
#define micro__thread_start(id, stack, fn, arg) model_thread_start(__func__, id, fn, arg)
#define micro__thread_join(id) model_thread_join(__func__, id)
#define micro__thread_self() ((micro__thread_id)model_current)
/* How long a nap is means nothing here: any time may pass at any step. The monitor forgets it, so
 * that there are no states that differ in nothing else. */
#define micro__sleep_us(us) \
    ((void)(us), model_step(MODEL_SLEEP, __func__, NULL, 0), nap = MONITOR_NAP_US)
#define monitor_main model_monitor_main
#undef _Thread_local
#define _Thread_local /* the checker keeps it for each coroutine */

#endif
