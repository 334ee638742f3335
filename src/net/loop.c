/* SPDX-License-Identifier: MIT */
/* One event loop: its inbox, timers and batch of events, and the thread that drives it. */
#include "engine.h"

#define LOOP_IDLE_STEP 1000u /* ms between two looks at connections that are nearly too old */

/* ---- inbox --------------------------------------------------------------------------------- */

MICRO_PRIVATE void micro__loop_push(micro__loop *l, micro__item *item)
{
    micro__item *head = atomic_load_explicit(&l->inbox, memory_order_relaxed);

    do
        item->next = head;
    while (!atomic_compare_exchange_weak_explicit(&l->inbox, &head, item, memory_order_seq_cst,
                                                  memory_order_relaxed));
    if (!head && !micro__seat_held(l)) /* not empty: whoever filled it has woken the loop */
        micro__poller_wake(&l->poller);
}

/* Everything in the inbox, oldest first. */
static micro__item *loop_collect(micro__loop *l)
{
    micro__item *in, *out = NULL;

    if (!atomic_load_explicit(&l->inbox, memory_order_relaxed))
        return NULL;
    in = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acq_rel);
    while (in) {
        micro__item *next = in->next;
        in->next = out;
        out = in;
        in = next;
    }
    return out;
}

/* What is new for handlers, found by a thread that may not begin them. */
static void loop_postpone(micro__loop *l, micro__item *item)
{
#if !MICRO_OMIT_THREADS
    micro__pool_full(l->e);
#endif
    micro__queue_put(&l->later, item);
}

static micro__conn *loop_conn_of(micro__item *item)
{
    return (micro__conn *)(void *)((char *)item - offsetof(micro__conn, link));
}

/* ---- idle connections ---------------------------------------------------------------------- */

static void loop_unlink(micro__loop *l, micro__conn *c)
{
    if (c->older)
        c->older->newer = c->newer;
    else
        l->oldest = c->newer;
    if (c->newer)
        c->newer->older = c->older;
    else
        l->newest = c->older;
}

static void loop_append(micro__loop *l, micro__conn *c)
{
    c->older = l->newest;
    c->newer = NULL;
    if (l->newest)
        l->newest->newer = c;
    else
        l->oldest = c;
    l->newest = c;
}

static void loop_idle(micro__loop *l, micro__timer *t)
{
    uint64_t next = 0;

    for (micro__conn *c = l->oldest, *newer; c; c = newer) {
        newer = c->newer;
        int limit = c->pipe ? -1 : c->port->o.idle_ms;
        if (limit < 0)
            continue;
        uint64_t due = c->seen + (uint64_t)limit;
        if (due > l->now) { /* younger ones are due later, unless their port is less patient */
            next = due;
            break;
        }
        if (!c->busy)
            micro__conn_close(l, c);
    }
    if (!next && l->oldest)
        next = l->now + LOOP_IDLE_STEP;
    if (next)
        micro__timer_set(&l->timers, t,
                         next > l->now + LOOP_IDLE_STEP ? next : l->now + LOOP_IDLE_STEP);
}

MICRO_PRIVATE void micro__loop_touch(micro__loop *l, micro__conn *c)
{
    c->seen = l->now;
    if (l->newest != c) {
        if (c->older || l->oldest == c)
            loop_unlink(l, c);
        loop_append(l, c);
    }
    if (MICRO__RARE(!l->idle.set) && c->port && c->port->o.idle_ms >= 0) {
        l->idle.fn = loop_idle;
        micro__timer_set(&l->timers, &l->idle, l->now + (uint64_t)c->port->o.idle_ms);
    }
}

MICRO_PRIVATE void micro__loop_forget(micro__loop *l, micro__conn *c)
{
    loop_unlink(l, c);
    if (!l->oldest)
        micro__timer_clear(&l->timers, &l->idle);
}

/* ---- tasks --------------------------------------------------------------------------------- */

static void loop_task_end(micro__task *k)
{
    bool own = k->run != NULL; /* part of something else, which may be gone by now */

    if (k->done)
        k->done(k->done_arg);
    if (!own)
        micro__free(k, sizeof *k);
}

static void loop_task_user(micro__loop *l, micro__task *k)
{
    if (k->gate && !(atomic_fetch_add(k->gate, MICRO__GATE_ONE) & MICRO__GATE_OPEN)) {
        atomic_fetch_sub(k->gate, MICRO__GATE_ONE);
        return;
    }
    l->current = NULL;
    micro__user_begin(NULL);
    k->user(k->arg);
    micro__user_end(NULL); /* the seat may be gone: nothing of l is touched after this */
    if (k->gate)
        atomic_fetch_sub(k->gate, MICRO__GATE_ONE);
}

static void loop_task_run(micro__thread *t, micro__loop *l, micro__task *k)
{
    if (t->rests && (!k->run || k->handles)) {
        loop_postpone(l, &k->item);
    } else if (k->run) {
        k->run(l, k->arg);
    } else {
        loop_task_user(l, k);
        loop_task_end(k);
    }
}

static void loop_task_due(micro__loop *l, micro__timer *t)
{
    (void)l;
    (void)t; /* recognised by this function; run where losing the seat can be dealt with */
}

static micro__task *loop_task_of(micro__timer *t)
{
    return (micro__task *)(void *)((char *)t - offsetof(micro__task, timer));
}

/* The first task or connection that asks for something; other timers and arrivals are worked off on
 * the way. */
static bool loop_timers(micro__thread *t, micro__loop *l)
{
    while (l->timers && l->timers->at <= l->now) {
        micro__timer *due = l->timers;
        micro__timer_clear(&l->timers, due);
        if (due->fn == loop_task_due)
            loop_task_run(t, l, loop_task_of(due));
        else
            due->fn(l, due);
        if (!t->loop)
            return false;
    }
    return true;
}

MICRO_PRIVATE void micro__loop_delay(micro__loop *l, micro__task *k)
{
    k->timer.fn = loop_task_due;
    micro__timer_set(&l->timers, &k->timer, k->at);
}

static bool loop_take_task(micro__thread *t, micro__loop *l, micro__task *k)
{
    if (k->at > l->now) {
        micro__loop_delay(l, k);
        return true;
    }
    loop_task_run(t, l, k);
    return t->loop != NULL;
}

/* ---- connections --------------------------------------------------------------------------- */

/* Whoever parks either sees holds, or has parked when the driver looks whether it may go on. */
static void loop_hold(micro__loop *l, micro__conn *c)
{
    c->busy = true;
    micro__queue_put(&l->held, &c->link);
    atomic_store(&l->holds, true);
}

/* The first of those held whose request may be served now; NULL: none. */
static micro__item **loop_admitted(micro__loop *l)
{
    micro__item **at = &l->held.first;

    if (!*at)
        return NULL;
    int least = micro__pool_least_hops(l->e);
    while (*at && loop_conn_of(*at)->hops < least)
        at = &(*at)->next;
    return *at ? at : NULL;
}

/* Its request is for a caller who has not gone meanwhile. */
static micro__conn *loop_unhold(micro__loop *l, micro__item **at)
{
    micro__conn *c = loop_conn_of(*at);

    *at = c->link.next;
    if (!*at)
        l->held.end = at;
    atomic_store(&l->holds, l->held.first != NULL);
    c->held = false;
    c->more = true;
    c->dead |= (c->pending & MICRO__HUP) != 0;
    return c;
}

/* Serves one event; false: the seat is gone, and with it everything of the loop. */
static bool loop_serve(micro__thread *t, micro__loop *l, micro__conn *c, unsigned what)
{
    l->current = c;
    micro__loop_touch(l, c);
    micro__conn_serve(t, c, what);
    if (MICRO__RARE(!t->loop)) {
        micro__loop_push(l, &c->link); /* R4 */
        return false;
    }
    l->current = NULL;
    if (MICRO__RARE(c->held)) {
        loop_hold(l, c);
    } else if (MICRO__RARE(micro__conn_goes_on(c))) {
        c->busy = true;
        micro__loop_push(l, &c->link); /* behind the others */
    } else {
        micro__conn_settle(l, c);
    }
    return true;
}

/* This thread only rests here: another one serves it. */
static void loop_later(micro__loop *l, micro__conn *c, unsigned what)
{
    c->busy = true;
    c->pending |= what;
    loop_postpone(l, &c->link);
}

MICRO_PRIVATE void micro__loop_poke(micro__loop *l, micro__conn *c)
{
    micro__thread *t = micro__thread_current();

    if (c->busy)
        c->pending |= MICRO__OUT;
    else if (t->rests)
        loop_later(l, c, MICRO__OUT);
    else
        loop_serve(t, l, c, MICRO__OUT);
}

/* A connection out of the inbox: new, or given back. */
static bool loop_take_conn(micro__thread *t, micro__loop *l, micro__conn *c)
{
    if (!c->joined) {
        bool carries = c->pipe != NULL;
        c->busy = false;
        micro__conn_join(l, c);
        if (carries && t->rests)
            loop_later(l, c, MICRO__IN);
        return !carries || t->rests || loop_serve(t, l, c, MICRO__IN);
    }
    unsigned what = c->pending;
    bool serve = (what && !c->dead) || micro__conn_goes_on(c);
    if (MICRO__RARE(c->held)) {
        loop_hold(l, c);
        return true;
    }
    if (MICRO__RARE(serve && t->rests)) {
        loop_postpone(l, &c->link);
        return true;
    }
    c->busy = false;
    c->pending = 0;
    if (serve)
        return loop_serve(t, l, c, what);
    micro__conn_settle(l, c);
    return true;
}

/* What was there when it began: what comes meanwhile has its turn after the next events, so that a
 * function that posts itself holds up nobody. Only between batches: inside one, an event for a
 * connection that was fetched while it was busy could still be ahead, and it may be closed here. */
static bool loop_inbox(micro__thread *t, micro__loop *l)
{
    micro__item **held = t->rests ? NULL : loop_admitted(l);

    if (MICRO__RARE(held != NULL) && !loop_take_conn(t, l, loop_unhold(l, held)))
        return false;
    if (!l->ready && !t->rests)
        l->ready = micro__queue_take(&l->later);
    if (!l->ready)
        l->ready = loop_collect(l);
    while (l->ready) {
        micro__item *item = l->ready;
        l->ready = item->next;
        bool mine = item->kind == MICRO__ITEM_CONN
                        ? loop_take_conn(t, l, loop_conn_of(item))
                        : loop_take_task(t, l, (micro__task *)(void *)item);
        if (!mine)
            return false;
    }
    return true;
}

static bool loop_batch(micro__thread *t, micro__loop *l)
{
    while (l->pos < l->n) {
        micro__event *ev = &l->events[l->pos++];
        int kind = *(int *)ev->data;
        if (kind != MICRO__SRC_CONN) {
            if (kind == MICRO__SRC_PORT)
                micro__conn_accept(l, ev->data);
            else if (kind == MICRO__SRC_LINE)
                micro__line_event(t, l, ev->data, ev->what);
            else if (kind == MICRO__SRC_PIPELINE)
                micro__pipeline_event(l, ev->data, ev->what);
            else if (kind == MICRO__SRC_SOURCE)
                ((micro__source *)ev->data)->ready(((micro__source *)ev->data)->arg);
            if (!t->loop)
                return false;
            continue;
        }
        micro__conn *c = ev->data;
        if (MICRO__RARE(c->busy)) { /* edge-triggered: it will not be told again */
            c->pending |= ev->what;
            if (ev->what & MICRO__HUP)
                micro__conn_hup(c);
        } else if (MICRO__RARE(t->rests)) {
            loop_later(l, c, ev->what);
        } else if (!loop_serve(t, l, c, ev->what)) {
            return false;
        }
    }
    return true;
}

/* ---- driving ------------------------------------------------------------------------------- */

/* Works off all that is there. False: the seat is gone. */
static bool loop_turn(micro__thread *t, micro__loop *l)
{
    return loop_batch(t, l) && loop_inbox(t, l) && loop_timers(t, l);
}

/* ms until then; -1: never. */
static int loop_ms(uint64_t at)
{
    if (!at)
        return -1;
    uint64_t now = micro__now_ms(), ms = at > now ? at - now : 0;
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static int loop_timeout(const micro__loop *l)
{
    return loop_ms(l->timers ? l->timers->at : 0);
}

/* Whoever is in the middle of a reply goes first: then the rest is there at once, and not a wake-up
 * for each piece. If nothing has come it is the next wait that waits, for a wake-up may have been
 * used up here. */
static int loop_look(micro__loop *l)
{
    uint64_t us = micro__yield();
    int n = micro__poller_wait(&l->poller, l->events, MICRO__BATCH, 0);

    micro__yield_learn(&l->lines.yield, us, n);
    return n;
}

static void loop_wait(micro__loop *l, int timeout_ms)
{
    bool look = l->lines.halves && timeout_ms && micro__yield_due(&l->lines.yield);

    if (MICRO__RARE(l->lines.dead != NULL))
        micro__line_bury(l); /* no event of a batch can name them any more */
    l->lines.halves = false;
    l->pos = 0;
    l->n = MICRO__RARE(look) ? loop_look(l)
                             : micro__poller_wait(&l->poller, l->events, MICRO__BATCH, timeout_ms);
    l->now = micro__now_ms();
}

#if !MICRO_OMIT_THREADS

static bool loop_ended(micro__loop *l)
{
    return atomic_load_explicit(&l->e->stopping, memory_order_acquire) &&
           !atomic_load_explicit(&l->nconns, memory_order_relaxed) &&
           !atomic_load_explicit(&l->inbox, memory_order_relaxed) && !l->later.first;
}

/* There is something to do that no event will tell of. The inbox in one order with the seat. */
static bool loop_goes_on(micro__loop *l)
{
    return atomic_load(&l->inbox) || l->later.first || loop_admitted(l);
}

MICRO_PRIVATE void micro__loop_drive(micro__thread *t)
{
    micro__loop *l = t->loop;

    for (;;) {
        if (!loop_turn(t, l))
            return;
        if (MICRO__RARE(loop_ended(l)))
            break;
        loop_wait(l, loop_goes_on(l) ? 0 : loop_timeout(l));
    }
    t->loop = NULL;
    micro__pool_loop_closed(l->e);
}

static int loop_sooner(int ms, uint64_t until)
{
    int other = loop_ms(until);

    return other < 0 || (ms >= 0 && ms < other) ? ms : other;
}

/* What is new for handlers waits for a driver that may begin them. */
MICRO_PRIVATE bool micro__loop_help(micro__thread *t, uint64_t until)
{
    micro__loop *l = t->loop;

    while (micro__rest_goes_on(t, until)) {
        if (!loop_turn(t, l))
            return false;
        if (!micro__rest_goes_on(t, until))
            break;
        loop_wait(l, atomic_load(&l->inbox) ? 0 : loop_sooner(loop_timeout(l), until));
    }
    return true;
}

#endif

/* Something came in that no event will tell of. */
static bool loop_posted(const micro__loop *l)
{
    return l->ready || atomic_load_explicit(&l->inbox, memory_order_relaxed);
}

MICRO_PRIVATE bool micro__loop_step(micro__thread *t, micro__loop *l, int timeout_ms)
{
    int due = loop_timeout(l);

    if (loop_posted(l))
        timeout_ms = 0;
    else if (due >= 0 && (timeout_ms < 0 || due < timeout_ms))
        timeout_ms = due;
    loop_wait(l, timeout_ms);
    bool work = l->n > 0 || loop_posted(l) || (l->timers && l->timers->at <= l->now);
    loop_turn(t, l);
    return work;
}

MICRO_PRIVATE int micro__loop_due(const micro__loop *l)
{
    return loop_posted(l) ? 0 : loop_timeout(l);
}

/* Runs the library's own tasks and leaves everything else for the next turn. */
MICRO_PRIVATE void micro__loop_tasks(micro__loop *l)
{
    micro__item **at = &l->ready;

    while (*at)
        at = &(*at)->next;
    *at = loop_collect(l);
    for (at = &l->ready; *at;) {
        micro__task *k = (micro__task *)(void *)*at;
        if ((*at)->kind == MICRO__ITEM_TASK && k->run && k->anytime) {
            *at = (*at)->next;
            k->run(l, k->arg);
        } else {
            at = &(*at)->next;
        }
    }
}

/* What is left when the last driver has gone. */
MICRO_PRIVATE void micro__loop_clear(micro__loop *l)
{
    micro__item *left = l->ready ? l->ready : loop_collect(l);

    while (left) {
        micro__item *next = left->next;
        if (left->kind == MICRO__ITEM_TASK)
            loop_task_end((micro__task *)(void *)left);
        left = next ? next : loop_collect(l);
    }
    while (l->timers) {
        micro__timer *t = l->timers;
        micro__timer_clear(&l->timers, t);
        if (t->fn == loop_task_due)
            loop_task_end(loop_task_of(t));
    }
}
