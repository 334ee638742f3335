/* SPDX-License-Identifier: MIT */
/* The driver seat of a loop, and the spare threads that take it over when a handler blocks. */
#include "engine.h"

#define SEAT_STACK (256u * 1024u)
#define SEAT_IDLE_MS 10000u  /* a spare thread with nothing to do ends after this */
#define SEAT_HABIT 16        /* of a score: from here on a route counts as one that blocks */
#define SEAT_BLOCKED_US 200u /* a handler that took longer might as well have blocked */
#define SEAT_BRIEF_US \
    100 /* a client call waits so long in the seat: a hand-over costs 15 us twice */

static MICRO__THREAD_LOCAL micro__thread *seat_self;

/* Handlers that wait for calls to this very process could take all threads, and leave none for
 * those calls. So some are kept: half of them for requests that have come one hop at least, half of
 * these for two and more, and so on. Then what has come furthest can be served, and all ends. In
 * how many seats a handler sits is not known; hence each step leaves as many threads as there are
 * seats. */
MICRO_PRIVATE int micro__pool_least_hops(const micro__engine *e)
{
    int most = atomic_load_explicit(&e->total, memory_order_seq_cst) -
               atomic_load_explicit(&e->parked, memory_order_seq_cst);
    int keep = e->max_threads / 2, hops = 0;

    if (most <= e->nloops) /* nobody's return would tell that it may go on */
        return 0;
    for (; keep && most > e->max_threads - keep; hops++)
        keep = keep >= 2 * e->nloops ? keep / 2 : 0;
    return hops;
}

/* ---- the word ------------------------------------------------------------------------------ */

#if !MICRO_OMIT_THREADS

/* Release: whoever takes over must see the loop as this thread leaves it. seq_cst, because a
 * watcher that is about to sleep must either see this word or be seen by its owner. */
MICRO_PRIVATE void micro__seat_leave(micro__thread *t)
{
    if (!t->loop || !t->e->threaded)
        return;
    t->word = (t->word + MICRO__SEAT_STEP) | MICRO__IN_HANDLER;
    atomic_store_explicit(&t->loop->seat, t->word, memory_order_seq_cst);
    if (MICRO__RARE(atomic_load_explicit(&t->e->monitor.asleep, memory_order_seq_cst)))
        micro__monitor_wake(t->e);
}

/* After a push: either the word is still this thread's, then it or its successor looks at the inbox
 * after this; or the successor may have looked already. */
MICRO_PRIVATE bool micro__seat_held(const micro__loop *l)
{
    const micro__thread *t = seat_self;

    return t && t->loop == l && t->e->threaded &&
           atomic_load_explicit(&l->seat, memory_order_seq_cst) == t->word;
}

MICRO_PRIVATE void micro__seat_retake(micro__thread *t)
{
    if (!t->loop || !t->e->threaded)
        return;
    uint64_t word = t->word;
    t->word &= ~(uint64_t)MICRO__IN_HANDLER;
    if (MICRO__RARE(!atomic_compare_exchange_strong_explicit(
            &t->loop->seat, &word, t->word, memory_order_acquire, memory_order_relaxed)))
        t->loop = NULL;
}

/* A spare takes the seat it was sent for, unless the handler has returned meanwhile. */
static bool seat_take(micro__thread *t)
{
    micro__loop *l = atomic_exchange_explicit(&t->target, NULL, memory_order_acquire);
    uint64_t word = t->word;

    t->word &= ~(uint64_t)MICRO__IN_HANDLER;
    if (!atomic_compare_exchange_strong_explicit(&l->seat, &word, t->word, memory_order_seq_cst,
                                                 memory_order_relaxed))
        return false;
    t->loop = l;
    if (l->current)
        l->current->busy = true;
    l->current = NULL; /* its thread gives it back; nobody else may find it here */
    return true;
}

#else

/* Within a step the inbox is looked at again before anybody waits. */
MICRO_PRIVATE bool micro__seat_held(const micro__loop *l)
{
    return seat_self && seat_self->loop == l;
}

#endif

/* ---- threads ------------------------------------------------------------------------------- */

/* All of a thread's buffers are one block behind it: they are used from the first request to the
 * last. */
typedef struct seat_block {
    micro__thread t;
    micro_pair headers[MICRO_MAX_HEADERS];
    micro__http_reader reader;
    char in[MICRO_CONN_BUF + 1];
    char head[MICRO_MAX_HEADER + 1];
} seat_block;

MICRO_PRIVATE micro__thread *micro__thread_new(micro__engine *e)
{
    seat_block *b = micro__alloc(sizeof *b);

    if (!b)
        return NULL;
    micro__thread *t = &b->t;
    memset(t, 0, sizeof *t);
    t->e = e;
    t->in = b->in;
    t->head = b->head;
    t->headers = b->headers;
    t->reader = &b->reader;
    t->ctx = micro_ctx_new(NULL);
    if (!t->ctx) {
        micro__free(b, sizeof *b);
        return NULL;
    }
    micro__cond_init(&t->wake);
    return t;
}

MICRO_PRIVATE void micro__thread_free(micro__thread *t)
{
    micro__cond_destroy(&t->wake);
    micro__buf_free(&t->out);
    micro__buf_free(&t->line);
    micro_ctx_free(t->ctx);
    if (t->spare)
        micro__free(t->spare, t->spare->size);
    micro__free(t, sizeof(seat_block));
}

#if !MICRO_OMIT_THREADS

static void *seat_thread_main(void *arg);

static void seat_send(micro__thread *t, micro__loop *l, uint64_t word)
{
    t->word = word;
    atomic_store_explicit(&t->target, l, memory_order_release);
}

/* With the pool's lock held, and no thread for it: a resting one drives the loop; or the next that
 * parks will. */
static bool seat_last_resort(micro__engine *e, micro__loop *l, uint64_t word)
{
    micro__thread *t = e->resting;

    if (!t) {
        l->hungry = word;
        return false;
    }
    e->resting = t->parked;
    l->asked = word;
    seat_send(t, l, word);
    micro__cond_signal(&t->wake);
    return true;
}

/* The caller has counted the thread in total. */
MICRO_PRIVATE bool micro__pool_start(micro__engine *e, micro__loop *l, uint64_t word)
{
    micro__thread *t = micro__thread_new(e);

    if (t) {
        seat_send(t, l, word);
        micro__thread_id id; /* not in t: it may have ended and gone before this is written */
        if (micro__thread_start(&id, SEAT_STACK, seat_thread_main, t))
            return true;
        micro__thread_free(t);
    }
    micro__lock(&e->lock);
    e->total--;
    if (l->asked == word)
        l->asked = 0; /* somebody may try again */
    bool sent = seat_last_resort(e, l, word);
    micro__cond_broadcast(&e->changed);
    micro__unlock(&e->lock);
    return sent;
}

MICRO_PRIVATE void micro__pool_full(micro__engine *e)
{
    if (!atomic_exchange(&e->capped, true))
        MICRO_LOG(MICRO_LOG_ERROR,
                  "no thread of %d is left: requests wait for handlers that block (.max_threads)",
                  e->max_threads);
}

/* Sends a spare thread for this word: true if one is on its way. Asking twice for a word is free;
 * the one that was sent takes the seat for certain if the handler stays in. */
MICRO_PRIVATE bool micro__pool_ask(micro__engine *e, micro__loop *l, uint64_t word)
{
    bool create = false, sent = true, full = false;

    micro__lock(&e->lock);
    micro__thread *t = e->spare;
    if (l->asked == word) {
        /* on its way */
    } else if (t) {
        e->spare = t->parked;
        e->parked--;
        l->asked = word;
        seat_send(t, l, word);
        micro__cond_signal(&t->wake);
    } else if (!e->open_loops) {
        sent = false; /* the engine ends: who waits for its threads must not miss one */
    } else if (e->total < e->max_threads) {
        create = true;
        e->total++;
        l->asked = word;
    } else {
        full = l->hungry == word; /* for a while now: by no thread that was just on its way */
        sent = seat_last_resort(e, l, word);
    }
    micro__unlock(&e->lock);
    if (full)
        micro__pool_full(e);
    return create ? micro__pool_start(e, l, word) : sent;
}

/* With the pool's lock held: a loop whose handler blocks and for which no thread was left; NULL:
 * none. The caller sends one. */
static micro__loop *seat_hungry(micro__engine *e)
{
    for (int i = 0; i < e->nloops; i++) {
        micro__loop *l = &e->loops[i];
        uint64_t word = l->hungry;

        l->hungry = 0;
        if (word && atomic_load_explicit(&l->seat, memory_order_relaxed) == word) {
            l->asked = word;
            return l;
        }
    }
    return NULL;
}

static micro__loop *seat_feed(micro__engine *e, micro__thread *t)
{
    micro__loop *l = seat_hungry(e);

    if (l)
        seat_send(t, l, l->asked);
    return l;
}

static bool seat_unlist(micro__thread **list, const micro__thread *t)
{
    for (micro__thread **p = list; *p; p = &(*p)->parked)
        if (*p == t) {
            *p = t->parked;
            return true;
        }
    return false;
}

/* With the pool's lock held: a thread has become free. Drivers that rest make way for it, and
 * requests that were held back may be served. */
static void seat_tell(micro__engine *e)
{
    for (int i = 0; i < e->nloops; i++) {
        micro__loop *l = &e->loops[i];
        if (l->helpers || atomic_load_explicit(&l->holds, memory_order_seq_cst))
            micro__poller_wake(&l->poller);
    }
}

/* Waits as a spare. False: the thread has to end. */
static bool seat_park(micro__thread *t)
{
    micro__engine *e = t->e;

    micro__buf_free(&t->out);
    micro__buf_free(&t->line);
    micro__lock(&e->lock);
    bool stay = seat_feed(e, t) != NULL;
    if (!stay) {
        t->parked = e->spare;
        e->spare = t;
        e->parked++;
        seat_tell(e);
        uint64_t until = micro__now_ms() + SEAT_IDLE_MS;
        while (!atomic_load_explicit(&t->target, memory_order_relaxed) && e->open_loops)
            if (!micro__cond_wait(&t->wake, &e->lock, until))
                break;
        stay = atomic_load_explicit(&t->target, memory_order_relaxed) != NULL;
        if (!stay) {
            seat_unlist(&e->spare, t);
            e->parked--;
        }
    }
    micro__unlock(&e->lock);
    return stay;
}

/* An ending thread joins the one that ended before it, and whoever stops the engine joins the last:
 * no handle is lost and none piles up. */
static void seat_end(micro__thread *t)
{
    micro__engine *e = t->e;

    micro__lock(&e->lock);
    bool join = e->have_last;
    micro__thread_id before = e->last;
    e->last = micro__thread_self();
    e->have_last = true;
    micro__unlock(&e->lock);
    if (join)
        micro__thread_join(before);
    micro__thread_free(t);
    micro__lock(&e->lock);
    micro__loop *hungry = seat_hungry(e); /* that one more thread can be is known by nobody else */
    uint64_t word = hungry ? hungry->asked : 0;
    e->total -= !hungry;
    micro__cond_broadcast(&e->changed);
    micro__unlock(&e->lock);
    if (hungry)
        micro__pool_start(e, hungry, word);
}

static void *seat_thread_main(void *arg)
{
    micro__thread *t = seat_self = arg;

    do
        if (seat_take(t))
            micro__loop_drive(t);
    while (seat_park(t));
    seat_self = NULL;
    seat_end(t);
    return NULL;
}

MICRO_PRIVATE void micro__pool_loop_closed(micro__engine *e)
{
    micro__lock(&e->lock);
    if (--e->open_loops == 0)
        for (micro__thread *t = e->spare; t; t = t->parked)
            micro__cond_signal(&t->wake);
    micro__cond_broadcast(&e->changed);
    micro__unlock(&e->lock);
}

#endif

/* ---- resting ------------------------------------------------------------------------------- */

#if !MICRO_OMIT_THREADS

MICRO_PRIVATE bool micro__rest_goes_on(const micro__thread *t, uint64_t until)
{
    return !atomic_load(&t->roused) && !atomic_load_explicit(&t->e->parked, memory_order_seq_cst) &&
           (!until || micro__now_ms() < until);
}

/* As if a handler blocked in it that will never come back for it. */
static void seat_pass(micro__thread *t)
{
    micro__loop *l = t->loop;

    l->current = NULL;
    micro__seat_leave(t);
    t->loop = NULL;
    micro__pool_ask(t->e, l, t->word);
}

/* With the pool's lock held, around the wait for somebody to send it or to rouse it. */
static void seat_rest_wait(micro__thread *t, uint64_t until)
{
    micro__engine *e = t->e;

    t->parked = e->resting;
    e->resting = t;
    while (!atomic_load_explicit(&t->target, memory_order_relaxed) && !atomic_load(&t->roused))
        if (!micro__cond_wait(&t->wake, &e->lock, until))
            break;
    seat_unlist(&e->resting, t);
}

/* With the pool's lock held: drives the loop that it was sent to. */
static void seat_help(micro__thread *t, uint64_t until)
{
    micro__engine *e = t->e;
    micro__loop *l = atomic_load_explicit(&t->target, memory_order_relaxed);

    t->helps = l;
    l->helpers++;
    micro__unlock(&e->lock);
    if (seat_take(t) && micro__loop_help(t, until))
        seat_pass(t);
    t->loop = NULL;
    micro__lock(&e->lock);
    l->helpers--;
    t->helps = NULL;
}

/* In the state of a spare; the handler's own comes back behind it. If it has driven the loop whose
 * seat the handler has left, the handler's word is old and it finds its seat gone (R4). */
MICRO_PRIVATE void micro__rest(micro__thread *t, uint64_t until)
{
    micro__engine *e = t->e;
    const struct {
        micro__loop *loop;
        uint64_t word, since;
        micro__habit *habit;
        int depth;
    } own = { t->loop, t->word, t->since, t->habit, t->depth };

    micro__user_waits();
    t->loop = NULL;
    t->depth = 0;
    t->rests = true;
    micro__lock(&e->lock);
    do {
        if (!seat_feed(e, t))
            seat_rest_wait(t, until);
        if (atomic_load_explicit(&t->target, memory_order_relaxed))
            seat_help(t, until);
    } while (!atomic_load(&t->roused) && (!until || micro__now_ms() < until));
    atomic_store(&t->roused, false);
    micro__unlock(&e->lock);
    t->rests = false;
    t->loop = own.loop;
    t->word = own.word;
    t->since = own.since;
    t->habit = own.habit;
    t->depth = own.depth;
}

MICRO_PRIVATE void micro__rest_rouse(micro__thread *t)
{
    micro__engine *e = t->e;

    micro__lock(&e->lock);
    atomic_store(&t->roused, true);
    micro__cond_signal(&t->wake);
    if (t->helps)
        micro__poller_wake(&t->helps->poller);
    micro__unlock(&e->lock);
}

MICRO_PRIVATE micro__thread *micro__rest_who(const micro__engine *e)
{
    micro__thread *t = seat_self;

    return t && t->e == e && e->threaded && t->depth && !t->rests ? t : NULL;
}

#endif

MICRO_PRIVATE bool micro__habit_blocked(const micro__habit *habit)
{
    return atomic_load_explicit(&habit->blocks, memory_order_relaxed) > 0;
}

/* ---- around user code ---------------------------------------------------------------------- */

MICRO_PRIVATE micro__thread *micro__thread_enter(micro__thread *t)
{
    micro__thread *before = seat_self;
    seat_self = t;
    return before;
}

MICRO_PRIVATE micro__thread *micro__thread_current(void)
{
    return seat_self;
}

MICRO_PRIVATE const void *micro__thread_mark(void)
{
    return &seat_self;
}

/* The loop whose thread this is, if it is of this engine and still has its seat. */
MICRO_PRIVATE micro__loop *micro__seat_loop(const micro__engine *e)
{
    return seat_self && seat_self->e == e ? seat_self->loop : NULL;
}

MICRO_PRIVATE void micro__user_waits(void)
{
    const micro__thread *t = seat_self;

    if (t && t->depth && t->habit && !atomic_load_explicit(&t->habit->waits, memory_order_relaxed))
        atomic_store_explicit(&t->habit->waits, true, memory_order_relaxed);
}

MICRO_PRIVATE bool micro__engine_inside(void)
{
    return seat_self != NULL;
}

#if !MICRO_OMIT_THREADS

/* Handlers that were found blocking are treated as if they said so; the clock is read for those
 * only. */
MICRO_PRIVATE void micro__user_begin(micro__habit *habit)
{
    micro__thread *t = seat_self;

    if (!t || t->depth++) /* within user code already: the seat is not ours to leave again */
        return;
    micro__seat_leave(t);
    t->since = 0;
    t->habit = habit;
    if (!habit || !t->loop || !t->e->threaded ||
        atomic_load_explicit(&habit->blocks, memory_order_relaxed) < SEAT_HABIT)
        return;
    micro__pool_ask(t->e, t->loop, t->word);
    t->since = micro__now_us();
}

static void seat_learn(micro__habit *habit, bool blocked)
{
    int n = atomic_load_explicit(&habit->blocks, memory_order_relaxed);

    if (!blocked && !n)
        return; /* the usual case writes nothing */
    n += blocked ? SEAT_HABIT / 2 : -1;
    n = n < 0 ? 0 : n > 4 * SEAT_HABIT ? 4 * SEAT_HABIT : n;
    atomic_store_explicit(&habit->blocks, n, memory_order_relaxed);
}

MICRO_PRIVATE bool micro__user_end(micro__habit *habit)
{
    micro__thread *t = seat_self;

    if (!t || --t->depth || !t->loop)
        return false;
    micro__seat_retake(t);
    if (habit && t->e->threaded)
        seat_learn(habit, t->since ? micro__now_us() - t->since > SEAT_BLOCKED_US : !t->loop);
    return t->loop != NULL;
}

/* The seat is still this thread's to pass on. */
static bool seat_mine(const micro__thread *t)
{
    return t->loop && t->e->threaded && t->word & MICRO__IN_HANDLER &&
           atomic_load_explicit(&t->loop->seat, memory_order_relaxed) == t->word;
}

/* Where waiting in the seat has missed again and again it is left out; every 16th time it is tried,
 * so that the judgement can change. */
static bool seat_wait_briefly(micro__thread *t, int fd, int what)
{
    micro__engine *e = t->e;
    int score = atomic_load_explicit(&e->brief_misses, memory_order_relaxed);

    if (score > SEAT_HABIT && ++t->brief_skipped % 16)
        return false;
    micro__conn_flush(t);
    bool hit = micro__fd_ready(fd, what, SEAT_BRIEF_US);
    score += hit ? -1 : 2;
    score = score < 0 ? 0 : score > 2 * SEAT_HABIT ? 2 * SEAT_HABIT : score;
    atomic_store_explicit(&e->brief_misses, score, memory_order_relaxed);
    return hit;
}

MICRO_PRIVATE micro_err micro__seat_wait(int fd, int what, uint64_t deadline)
{
    micro__thread *t = seat_self;

    if (t && seat_mine(t)) {
        if (seat_wait_briefly(t, fd, what))
            return MICRO_OK;
        micro_block_begin();
    }
    return micro__fd_wait(fd, what, deadline);
}

#else

MICRO_PRIVATE void micro__user_begin(micro__habit *habit)
{
    (void)habit;
    if (seat_self)
        seat_self->depth++;
}

MICRO_PRIVATE bool micro__user_end(micro__habit *habit)
{
    (void)habit;
    return seat_self && --seat_self->depth == 0;
}

MICRO_PRIVATE micro_err micro__seat_wait(int fd, int what, uint64_t deadline)
{
    micro_block_begin();
    return micro__fd_wait(fd, what, deadline);
}

#endif

/* Replies to pipelined requests before this one should not wait for it, so they go out first.
 * Whether the loop is still ours is asked when the handler returns: block_end has nothing to do. */
MICRO_API void micro_block_begin(void)
{
    micro__thread *t = seat_self;

    if (!t)
        return;
    micro__conn_flush(t);
#if !MICRO_OMIT_THREADS
    if (seat_mine(t))
        micro__pool_ask(t->e, t->loop, t->word);
#endif
}

MICRO_API void micro_block_end(void) {}
