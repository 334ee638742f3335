/* SPDX-License-Identifier: MIT */
/* The mdns instance of a program without threads: the engine's steps keep it going, and whoever
 * waits for something of it does it himself. */
#include "../net/engine.h"
#include "mdns.h"

#if MICRO_OMIT_THREADS

struct micro__mdns_driver {
    micro__engine *engine;
    micro__mdns *st;
    micro__source sources[MICRO__MDNS_FDS];
    micro__timer timer;
};

/* Does what there is to be done; ready NULL: looks for it first. */
static void mdns_alone_step(micro__mdns *st, const bool *ready)
{
    struct micro__mdns_driver *d = st->driver;
    bool looked[MICRO__MDNS_FDS] = { false };

    if (!ready)
        micro__fds_wait(st->fds, MICRO__MDNS_FDS, looked, 1);
    st->due = micro__mdns_step(st, ready ? ready : looked);
    micro__timer_set(&d->engine->loops[0].timers, &d->timer, st->due);
}

MICRO_PRIVATE void micro__mdns_catch_up(micro__mdns *st)
{
    if (st->started)
        mdns_alone_step(st, NULL);
}

MICRO_PRIVATE void micro__mdns_deliver(micro__mdns *st)
{
    micro__notify_run(st->notifier);
    st->told = 0;
}

MICRO_PRIVATE void micro__mdns_wait(micro__mdns *st, uint64_t deadline)
{
    bool ready[MICRO__MDNS_FDS];

    micro__fds_wait(st->fds, MICRO__MDNS_FDS, ready, st->due < deadline ? st->due : deadline);
    mdns_alone_step(st, ready);
}

/* ---- in the engine's steps ------------------------------------------------------------------- */

static void mdns_alone_turn(micro__mdns *st)
{
    mdns_alone_step(st, NULL);
    micro__user_begin(NULL);
    micro__mdns_deliver(st);
    micro__user_end(NULL);
}

static void mdns_alone_ready(void *arg)
{
    mdns_alone_turn(arg);
}

static void mdns_alone_due(micro__loop *l, micro__timer *t)
{
    char *d = (char *)t - offsetof(struct micro__mdns_driver, timer);

    (void)l;
    mdns_alone_turn(((struct micro__mdns_driver *)(void *)d)->st);
}

MICRO_PRIVATE void micro__mdns_undrive(micro__mdns *st)
{
    struct micro__mdns_driver *d = st->driver;

    for (int i = 0; i < MICRO__MDNS_FDS; i++)
        micro__engine_unwatch(d->engine, &d->sources[i]);
    micro__timer_clear(&d->engine->loops[0].timers, &d->timer);
    micro__engine_close(d->engine);
    micro__free(d, sizeof *d);
    st->driver = NULL;
}

MICRO_PRIVATE bool micro__mdns_drive(micro__mdns *st)
{
    struct micro__mdns_driver *d = micro__alloc_zero(sizeof *d);

    if (!d || micro__engine_open(false, 0, 0, &d->engine) != MICRO_OK) {
        micro__free(d, sizeof *d);
        return false;
    }
    d->st = st;
    d->timer.fn = mdns_alone_due;
    st->driver = d;
    for (int i = 0; i < MICRO__MDNS_FDS; i++) {
        micro__source *s = &d->sources[i];
        s->fd = st->fds[i];
        s->ready = mdns_alone_ready;
        s->arg = st;
        if (s->fd >= 0 && micro__engine_watch(d->engine, s) != MICRO_OK) {
            micro__mdns_undrive(st);
            return false;
        }
    }
    st->due = micro__now_ms();
    micro__timer_set(&d->engine->loops[0].timers, &d->timer, st->due);
    return true;
}

#endif
