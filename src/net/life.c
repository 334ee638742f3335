/* SPDX-License-Identifier: MIT */
/* What lives as long as a part of a service: tasks that end with it, and waiting for loops. */
#include "engine.h"

#define LIFE_STEP_MS 10
#define LIFE_LOOK_MS 20 /* of a wait that looks for itself now and then */

/* ---- waiting for what loops do ------------------------------------------------------------- */

MICRO_PRIVATE void micro__engine_drive(micro__engine *e, int timeout_ms)
{
    if (micro__engine_step(e, timeout_ms) == MICRO_EBUSY)
        micro__sleep_us(1000);
}

static bool life_wait(micro__mutex *lock, micro__cond *changed)
{
    micro__unlock(lock);
    micro__user_begin(NULL); /* or the seat would not be passed on */
    micro_block_begin();
    micro__lock(lock);
    micro__cond_wait(changed, lock, micro__now_ms() + LIFE_LOOK_MS);
    micro__unlock(lock);
    micro_block_end();
    micro__user_end(NULL);
    micro__lock(lock);
    return true;
}

MICRO_PRIVATE bool micro__engine_pause(micro__engine *e, micro__mutex *lock, micro__cond *changed)
{
    if (e->threaded)
        return life_wait(lock, changed);
    bool inside = micro__engine_inside();
    micro__unlock(lock);
    if (!inside)
        micro__engine_drive(e, LIFE_STEP_MS);
    micro__lock(lock);
    return !inside;
}

MICRO_PRIVATE bool micro__engine_await(micro__engine *e, micro__mutex *lock, micro__cond *changed)
{
    return micro__engine_is_mine(e) ? micro__engine_pause(e, lock, changed)
                                    : life_wait(lock, changed);
}

/* ---- tasks that end with somebody ----------------------------------------------------------- */

MICRO_PRIVATE micro__life *micro__life_new(void)
{
    micro__life *life = micro__alloc_zero(sizeof *life);

    if (life)
        atomic_init(&life->refs, 1);
    return life;
}

MICRO_PRIVATE void micro__life_drop(void *arg)
{
    micro__life *life = arg;

    if (atomic_fetch_sub(&life->refs, 1) == 1)
        micro__free(life, sizeof *life);
}

MICRO_PRIVATE micro_err micro__life_post(micro__life *life, micro__engine *e, int delay_ms,
                                         void (*fn)(void *arg), void *arg)
{
    atomic_fetch_add(&life->refs, 1);
    micro_err err = micro__engine_post(e, delay_ms, fn, arg, &life->gate, micro__life_drop, life);
    if (err != MICRO_OK)
        atomic_fetch_sub(&life->refs, 1);
    return err;
}

MICRO_PRIVATE void micro__life_open(micro__life *life)
{
    atomic_store(&life->gate, MICRO__GATE_OPEN);
}

MICRO_PRIVATE void micro__life_shut(micro__life *life, uint64_t deadline)
{
    atomic_fetch_and(&life->gate, ~(unsigned)MICRO__GATE_OPEN);
    while (atomic_load(&life->gate) && (!deadline || micro__now_ms() < deadline))
        micro__sleep_us(1000);
}
