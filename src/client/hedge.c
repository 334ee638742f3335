/* SPDX-License-Identifier: MIT */
/* Hedged requests: another node is asked too when one takes long, and the first answer counts. */
#include "hedge.h"

/* Middleware around attempts knows one at a time, and would have to run where this may not. */
MICRO_PRIVATE bool micro__hedge_wanted(const micro__call *k)
{
    return k->o.hedge_ms > 0 && k->o.idempotent && k->o.attempts > 1 && !k->o.address && !k->only &&
           micro__transport_is_http(k->c->transport) &&
           !micro__wrapped(k->c->wraps, MICRO_WRAP_CALL);
}

static void hedge_let_go(micro__hedge *h)
{
    h->chosen = false;
    micro__call_unchoose(&h->k);
}

MICRO_PRIVATE void micro__hedge_choose(micro__hedge *h, const micro__call *k)
{
    if (!h || k->attempt >= k->o.attempts)
        return;
    h->k = *k;
    h->k.attempt++;
    h->chosen = micro__call_choose(&h->k) == MICRO_OK && strcmp(h->k.address, k->address) != 0 &&
                micro__call_resolve(&h->k, &h->shot.x.to) == MICRO_OK;
    h->k.tried = false;
    if (!h->chosen)
        hedge_let_go(h);
}

static void hedge_done(micro__loop *l, micro__shot *s, micro_err err)
{
    micro__hedge *h = (micro__hedge *)(void *)((char *)s - offsetof(micro__hedge, shot));

    hedge_let_go(h);
    if (!s->mute)
        h->done(h->arg, l, err);
}

static void hedge_fire(micro__loop *l, void *arg)
{
    micro__hedge *h = arg;
    micro__call *k = &h->k;

    if (micro__call_over(k) != MICRO_OK ||
        !micro__budget_take(&k->c->budgets, k->service, k->o.retry_budget)) {
        hedge_let_go(h);
        return;
    }
    h->shot.k = k;
    h->shot.done = hedge_done;
    h->shot.mute = false;
    k->tried = true;
    if (micro__shot_fire(l, &h->shot) != MICRO_OK) {
        k->tried = false;
        hedge_let_go(h);
    }
}

MICRO_PRIVATE void micro__hedge_arm(micro__loop *l, micro__hedge *h)
{
    if (!h || !h->chosen)
        return;
    h->due.run = hedge_fire;
    h->due.arg = h;
    h->due.at = micro__now_ms() + (uint64_t)h->k.o.hedge_ms;
    micro__loop_delay(l, &h->due);
}

MICRO_PRIVATE void micro__hedge_end(micro__loop *l, micro__hedge *h)
{
    if (!h)
        return;
    h->shot.mute = true;
    if (h->due.timer.set)
        micro__timer_clear(&l->timers, &h->due.timer);
    if (h->shot.active)
        micro__exchange_cancel(l, &h->shot.x, MICRO_ECANCELED);
    else if (h->chosen)
        hedge_let_go(h);
}
