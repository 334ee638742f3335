/* SPDX-License-Identifier: MIT */
/* Middleware: what a service was wrapped in, and one passage through it. Client and server use it;
 * where nothing is registered for a place nobody comes here. */
#ifndef MICRO_CHAIN_H
#define MICRO_CHAIN_H

#include "ctx.h"

typedef struct micro__wrap {
    struct micro__wrap *next; /* in the order of registration: outermost first */
    unsigned places;
    micro_middleware *fn;
    void *arg;
} micro__wrap;

typedef struct micro__wraps {
    micro__wrap *first;
    unsigned places; /* that have any */
} micro__wraps;

/* Middleware that wants to see a result which comes later. */
typedef struct micro__after {
    micro_after_fn *fn;
    void *arg;
} micro__after;

/* One passage. The owner fills in all down to afters, and keeps it until the result is known. */
typedef struct micro__chain {
    const micro__wraps *wraps;
    micro_ctx *ctx;
    const micro_info *info; /* its stage says which middleware */
    const void *req;
    void *rsp;
    micro_err (*end)(struct micro__chain *c); /* what is wrapped */
    void *arg;
    micro__after *afters; /* where end may set deferred: room for micro__wraps_count; else NULL */
    /* Set by end, which then returns OK: what it does has only begun, and micro__chain_result
     * follows. end is not called again after that. */
    bool deferred;
    size_t nafters; /* innermost first */
} micro__chain;

/* Adds middleware; memory is of a. False: there is none. */
MICRO_PRIVATE bool micro__wraps_add(micro__wraps *w, micro__arena *a, unsigned places,
                                    micro_middleware *fn, void *arg);
static inline bool micro__wrapped(const micro__wraps *w, unsigned place)
{
    return w && w->places & place;
}
/* Middleware at a place. */
MICRO_PRIVATE size_t micro__wraps_count(const micro__wraps *w, unsigned place);
/* Runs the middleware around end. The result; an error is in ctx. */
MICRO_PRIVATE micro_err micro__chain_run(micro__chain *c);
/* The result of what end had begun, or of a start that middleware took back: all that asked see it,
 * once. Returns what they made of it. */
MICRO_PRIVATE micro_err micro__chain_result(micro__chain *c, micro_err err);

#endif
