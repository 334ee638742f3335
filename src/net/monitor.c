/* SPDX-License-Identifier: MIT */
/* The safety net under the driver's seat: finds handlers that block without having said so, and
 * sends a spare thread. It sleeps while nothing moves. */
#include "engine.h"

#if !MICRO_OMIT_THREADS

#define MONITOR_STACK (64u * 1024u)
#define MONITOR_NAP_US 1000
#define MONITOR_NAP_MAX_US \
    8000 /* a look costs 15 us or more: under load naps grow while no handler blocks */
#define MONITOR_QUIET 3 /* looks without any movement before it sleeps */
#define MONITOR_LOOPS 64

enum { MONITOR_MOVING = 1, MONITOR_SUSPECT = 2, MONITOR_SENT = 4 };

/* Looks at every seat once: the same word twice means the same handler as at the last look. */
static int monitor_look(micro__engine *e, uint64_t *seen)
{
    int found = 0;

    for (int i = 0; i < e->nloops; i++) {
        micro__loop *l = &e->loops[i];
        uint64_t word = atomic_load_explicit(&l->seat, memory_order_seq_cst);
        if (word & MICRO__IN_HANDLER)
            found |=
                word == seen[i] && micro__pool_ask(e, l, word) ? MONITOR_SENT : MONITOR_SUSPECT;
        if (word != seen[i])
            found |= MONITOR_MOVING;
        seen[i] = word;
    }
    return found;
}

/* Announces the sleep, then looks once more: a driver that came too early to see the announcement
 * is seen here, and one that comes later sees it. */
static void monitor_sleep(micro__engine *e, uint64_t *seen)
{
    micro__monitor *m = &e->monitor;

    atomic_store_explicit(&m->asleep, true, memory_order_seq_cst);
    if (monitor_look(e, seen))
        atomic_store(&m->asleep, false);
    micro__lock(&e->lock);
    while (atomic_load(&m->asleep) && !atomic_load(&m->stop))
        micro__cond_wait(&m->wake, &e->lock, 0);
    micro__unlock(&e->lock);
}

MICRO_PRIVATE void micro__monitor_wake(micro__engine *e)
{
    if (!atomic_exchange(&e->monitor.asleep, false))
        return; /* another driver does it */
    micro__lock(&e->lock);
    micro__cond_signal(&e->monitor.wake);
    micro__unlock(&e->lock);
}

/* A handler found running is looked at again after one short nap; only one, for with long handlers
 * that go on there is always one to be found. */
static void *monitor_main(void *arg)
{
    micro__engine *e = arg;
    uint64_t seen[MONITOR_LOOPS] = { 0 };
    int nap = MONITOR_NAP_US, quiet = 0;
    bool again = false;

    while (!atomic_load(&e->monitor.stop)) {
        int found = monitor_look(e, seen);
        quiet = found ? 0 : quiet + 1;
        if (quiet > MONITOR_QUIET) {
            monitor_sleep(e, seen);
            quiet = 0;
            nap = MONITOR_NAP_US;
            again = false;
        } else if (found & MONITOR_SENT) {
            nap = MONITOR_NAP_US;
        } else if (nap < MONITOR_NAP_MAX_US) {
            nap *= 2;
        }
        again = found & MONITOR_SUSPECT && !again;
        micro__sleep_us(again ? MONITOR_NAP_US : nap);
    }
    return NULL;
}

MICRO_PRIVATE bool micro__monitor_start(micro__engine *e)
{
    micro__cond_init(&e->monitor.wake);
    e->monitor.running = micro__thread_start(&e->monitor.thread, MONITOR_STACK, monitor_main, e);
    return e->monitor.running;
}

MICRO_PRIVATE void micro__monitor_stop(micro__engine *e)
{
    micro__monitor *m = &e->monitor;

    if (!m->running)
        return;
    atomic_store(&m->stop, true);
    micro__monitor_wake(e);
    micro__lock(&e->lock);
    micro__cond_signal(&m->wake);
    micro__unlock(&e->lock);
    micro__thread_join(m->thread);
    micro__cond_destroy(&m->wake);
    m->running = false;
}

#endif
