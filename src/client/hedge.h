/* SPDX-License-Identifier: MIT */
/* What an asynchronous call sends: its attempt, and perhaps a second one beside it. */
#ifndef MICRO_HEDGE_H
#define MICRO_HEDGE_H

#include "../net/engine.h"
#include "call.h"

/* ---- shot.c: one request and its reply, on a loop, in its seat --------------------------------*/

typedef struct micro__shot {
    micro__call *k;
    micro__exchange x;
    micro_buf *out; /* head and envelope */
    bool active;    /* the exchange runs */
    bool mute;      /* its end says nothing in ctx */
    /* The last; k has the outcome. */
    void (*done)(micro__loop *l, struct micro__shot *s, micro_err err);
} micro__shot;

/* Sends k's request to x.to. An error: it could not begin, and done is not called; else done may
 * have been called before this returns. */
MICRO_PRIVATE micro_err micro__shot_fire(micro__loop *l, micro__shot *s);
MICRO_PRIVATE void micro__shot_clear(micro__shot *s); /* gives back what it holds */

/* ---- hedge.c: the same request to another node if the answer takes long ------------------------
 * The other node is chosen with the first, while user code may run. Then all happens in the seat of
 * the call's loop, so that the two attempts can share ctx and reply. */

typedef struct micro__hedge {
    micro__call k; /* a copy of the call's, with an attempt of its own */
    micro__shot shot;
    micro__task due;
    bool chosen;
    void (*done)(void *arg, micro__loop *l, micro_err err); /* it was sent, and has ended */
    void *arg;
} micro__hedge;

/* Whether a call may be hedged. */
MICRO_PRIVATE bool micro__hedge_wanted(const micro__call *k);
/* All with h NULL: nothing. choose: another node than k's. arm: it is sent in k's hedge_ms. end: it
 * is not needed any more, nobody is told. */
MICRO_PRIVATE void micro__hedge_choose(micro__hedge *h, const micro__call *k);
MICRO_PRIVATE void micro__hedge_arm(micro__loop *l, micro__hedge *h);
MICRO_PRIVATE void micro__hedge_end(micro__loop *l, micro__hedge *h);
static inline bool micro__hedge_runs(const micro__hedge *h)
{
    return h && h->shot.active;
}

#endif
