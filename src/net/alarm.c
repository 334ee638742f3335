/* SPDX-License-Identifier: MIT */
/* micro_ctx_on_cancel: a function that a loop calls when a ctx is cancelled or its time is over.
 *
 * All that happens to an alarm comes to one loop, in order: it is set, perhaps goes off, and is put
 * away. That is always the last: a cancel finds no alarm any more once its owner has begun to put
 * it away. */
#include "engine.h"

enum { ALARM_SET, ALARM_RINGING, ALARM_OVER };

typedef struct micro__alarm micro__alarm;

struct micro__alarm {
    micro__task deadline, cancel, away;
    micro__engine *e;
    micro__loop *loop;
    void (*fn)(void *arg);
    void *arg;
    atomic_int state;
    micro__thread_id ringer; /* valid while RINGING */
    bool orphan;             /* put away by the function that it calls */
};

static void alarm_free(void *arg)
{
    micro__alarm *a = arg;

    micro__timer_clear(&a->loop->timers, &a->deadline.timer);
    micro__free(a, sizeof *a);
}

static void alarm_put_away(micro__loop *l, void *arg)
{
    (void)l;
    alarm_free(arg);
}

static void alarm_push(micro__alarm *a, micro__task *k, void (*run)(micro__loop *l, void *arg),
                       uint64_t at)
{
    k->item.kind = MICRO__ITEM_TASK;
    k->run = run;
    k->at = at;
    k->arg = a;
    micro__loop_push(a->loop, &k->item);
}

static void alarm_bury(micro__alarm *a)
{
    a->away.done = alarm_free; /* where the loop has ended */
    a->away.done_arg = a;
    alarm_push(a, &a->away, alarm_put_away, 0);
}

static void alarm_ring(micro__loop *l, void *arg)
{
    micro__alarm *a = arg;
    micro__engine *e = a->e;
    int set = ALARM_SET;

    micro__timer_clear(&l->timers, &a->deadline.timer);
    if (atomic_load(&a->state) != ALARM_SET)
        return;
    a->ringer = micro__thread_self();
    if (!atomic_compare_exchange_strong(&a->state, &set, ALARM_RINGING))
        return;
    micro__user_begin(NULL);
    a->fn(a->arg);
    micro__user_end(NULL); /* the seat may be gone */
    if (a->orphan) {
        alarm_bury(a);
        return;
    }
    micro__lock(&e->lock);
    atomic_store(&a->state, ALARM_OVER); /* the last touch: its owner may put it away now */
    micro__cond_broadcast(&e->changed);
    micro__unlock(&e->lock);
}

MICRO_PRIVATE void micro__alarm_cancel(micro__alarm *a)
{
    alarm_push(a, &a->cancel, alarm_ring, 0);
}

MICRO_PRIVATE micro__alarm *micro__alarm_new(micro__engine *e, uint64_t deadline,
                                             void (*fn)(void *arg), void *arg)
{
    micro__alarm *a = micro__alloc_zero(sizeof *a);

    if (!a)
        return NULL;
    a->e = e;
    a->loop = micro__engine_loop(e);
    a->fn = fn;
    a->arg = arg;
    atomic_init(&a->state, ALARM_SET);
    if (deadline)
        alarm_push(a, &a->deadline, alarm_ring, deadline);
    return a;
}

static void alarm_wait(micro__alarm *a)
{
    micro_block_begin();
    micro__lock(&a->e->lock);
    while (atomic_load(&a->state) == ALARM_RINGING)
        micro__cond_wait(&a->e->changed, &a->e->lock, 0);
    micro__unlock(&a->e->lock);
    micro_block_end();
}

MICRO_PRIVATE void micro__alarm_free(micro__alarm *a)
{
    int set = ALARM_SET;
    bool off = atomic_compare_exchange_strong(&a->state, &set, ALARM_OVER);

    if (!off && set == ALARM_RINGING && micro__thread_is_self(a->ringer)) {
        a->orphan = true;
        return;
    }
    if (!off && set == ALARM_RINGING)
        alarm_wait(a);
    alarm_bury(a);
}
