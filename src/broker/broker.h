/* SPDX-License-Identifier: MIT */
/* What brokers share: their ops, checked, and how a subscription handles what it is given. */
#ifndef MICRO_BROKER_H
#define MICRO_BROKER_H

#include "../net/engine.h"
#include "../registry/registry.h"
#include "../selector/selector.h"

/* ---- broker.c: ops, checked ------------------------------------------------------------------ */

/* Errors leave a text in ctx. */
MICRO_PRIVATE micro_err micro__broker_connect(micro_broker *b, micro_ctx *ctx, micro_service *svc);
MICRO_PRIVATE void micro__broker_disconnect(micro_broker *b, int drain_ms);
MICRO_PRIVATE micro_err micro__broker_publish(micro_broker *b, micro_ctx *ctx, const char *topic,
                                              const micro_msg *msg, const micro_publish_opts *opts);
MICRO_PRIVATE micro_err micro__broker_subscribe(micro_broker *b, micro_ctx *ctx, const char *topic,
                                                const micro_subscribe_opts *opts,
                                                micro_event_fn *event, void *arg, micro_sub **out);
MICRO_PRIVATE micro_err micro__broker_unsubscribe(micro_broker *b, micro_sub *sub, int drain_ms);

/* One that an event may go to. */
typedef struct micro__receiver {
    micro_str queue; /* "": none */
    bool usable;     /* it can be reached, as far as is known */
    bool chosen;
    const void *of; /* the broker's own */
} micro__receiver;
/* Chooses those without a queue, and of each queue one at random, a usable one if there is any. */
MICRO_PRIVATE void micro__receivers_choose(micro__receiver *list, size_t n);

/* Of the service that a broker is connected with, which has these functions. */
MICRO_PRIVATE micro_err micro__service_broker_connect(micro_service *svc, micro_ctx *ctx);
MICRO_PRIVATE micro_err micro__service_engine_of(micro_service *svc, micro__engine **out);

/* ---- sub.c: events handled for one subscription ------------------------------------------------
 * Events that a handler is quick with are handled where they come in (begin, then run or done). For
 * one that blocks they are tasks of the loops (deliver): at most max_running at once, the rest
 * waits, and what does not fit is refused. */

/* One event. */
typedef struct micro__delivery {
    struct micro__delivery *next; /* waiting, or being handled */
    micro_sub *sub;               /* held, but by one that is lent */
    micro_ctx *ctx;               /* which all of it lives in */
    bool lent;                    /* the ctx, and this itself: by who handles it where it came in */
    const char *topic;
    micro_msg msg;
    micro__task task;
    const void *thread; /* micro__thread_mark of who handles it; NULL: nobody yet */
} micro__delivery;

struct micro_sub {
    struct micro_sub *next; /* the broker's */
    micro_service *svc;     /* of the events' ctx */
    micro__engine *engine;
    char *topic, *queue; /* queue: NULL for none */
    micro_event_fn *fn;
    void *arg;
    int max_running;
    void (*free)(micro_sub *sub);
    atomic_int refs;
    micro__habit habit;
    micro__mutex lock;
    micro__cond changed;
    unsigned handled;
    micro__delivery *first, **last; /* waiting */
    micro__delivery *active;
    size_t nwaiting, bytes;
    uint64_t moved; /* while events wait: when one had been handled, or the first of them came */
    int running;
    bool closed; /* takes nothing any more */
    bool deaf;   /* handles nothing any more */
};

/* s is zeroed; one reference is the caller's. EINVAL (opts), ENOMEM. Whatever is returned,
 * micro__sub_release gives back what it took. */
MICRO_PRIVATE micro_err micro__sub_init(micro_sub *s, micro_service *svc, micro__engine *e,
                                        const char *topic, const micro_subscribe_opts *opts,
                                        micro_event_fn *fn, void *arg);
MICRO_PRIVATE void micro__sub_release(micro_sub *s);
MICRO_PRIVATE void micro__sub_unlink(micro_sub **list, const micro_sub *s);
MICRO_PRIVATE void micro__sub_hold(micro_sub *s);
MICRO_PRIVATE void micro__sub_drop(micro_sub *s); /* the last one frees it */
/* A ctx with a delivery in it, its topic copied; NULL: out of memory. */
MICRO_PRIVATE micro__delivery *micro__delivery_new(micro_str topic);
/* True: d, a lent one that may be empty yet, counts as being handled; the caller, who goes on
 * holding s, is to run it, or to be done with it. False: it is to be delivered. */
MICRO_PRIVATE bool micro__sub_begin(micro_sub *s, micro__delivery *d);
MICRO_PRIVATE void micro__sub_run(micro__delivery *d);  /* the handler, then done */
MICRO_PRIVATE void micro__sub_done(micro__delivery *d); /* the last touch of d */
/* Takes d on success. While there is no room it waits for events to be handled, at most until wait
 * ends. EAGAIN: no room; ECLOSED. */
MICRO_PRIVATE micro_err micro__sub_deliver(micro_sub *s, micro__delivery *d, micro_ctx *wait);
/* As the op unsubscribe says; drops a reference. */
MICRO_PRIVATE micro_err micro__sub_end(micro_sub *s, int drain_ms);

#endif
