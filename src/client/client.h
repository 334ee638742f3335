/* SPDX-License-Identifier: MIT */
/* The client half of a service: calls, attempts, the choice of protocol, the pool of connections.
 */
#ifndef MICRO_CLIENT_H
#define MICRO_CLIENT_H

#include "../base/chain.h"
#include "../codec/codec.h"
#include "../net/net.h"

/* ---- pool.c: idle connections by address --------------------------------------------------- */

typedef struct micro__pool micro__pool;

/* A connection that is in use: idle ones are kept in the pool. */
typedef struct micro__link {
    micro_sock *sock;
    uint64_t made, idle_since; /* micro__now_coarse_ms */
    uint64_t calls;            /* made on it: Micro-Id */
    struct micro__link *next;
} micro__link;

typedef struct micro__pool_opts {
    int size;            /* idle ones a node; 0: none are kept */
    int idle_ms, age_ms; /* < 0: no limit */
} micro__pool_opts;

MICRO_PRIVATE micro__pool *micro__pool_new(micro_transport *transport,
                                           const micro__pool_opts *opts);
MICRO_PRIVATE void micro__pool_free(micro__pool *p);
/* A live idle connection; NULL: none. */
MICRO_PRIVATE micro__link *micro__pool_take(micro__pool *p, const char *address);
/* A new one, dialled until ctx->deadline. Errors are in ctx. */
MICRO_PRIVATE micro_err micro__pool_dial(micro__pool *p, micro_ctx *ctx, const char *address,
                                         micro__link **out);
/* Gives it back for the next call, or, keep false, closes it. */
MICRO_PRIVATE void micro__pool_give(micro__pool *p, micro__link *k, const char *address, bool keep);
/* A buffer to encode in, kept from call to call; NULL: out of memory. */
MICRO_PRIVATE micro_buf *micro__pool_buf(micro__pool *p);
MICRO_PRIVATE void micro__pool_buf_give(micro__pool *p, micro_buf *b);

/* ---- budget.c: how many further attempts the calls of a service may cost ----------------------
 * Each call of a service earns a part of an attempt. A service's place is taken by its first
 * further attempt, so those that never fail have none. When places run out they are shared. */

#define MICRO__BUDGET_SERVICES 64

typedef struct micro__budget {
    _Alignas(8) MICRO__ATOMIC(uint64_t) service; /* its hash; 0: nobody's */
    _Alignas(8) MICRO__ATOMIC(uint64_t) next;    /* when one is allowed in spite of all */
    atomic_int spent;                            /* less what was earned: 100 an attempt */
} micro__budget;

typedef struct micro__budgets {
    atomic_bool used;
    micro__budget of[MICRO__BUDGET_SERVICES];
} micro__budgets;

/* A call begins. percent: of an attempt; < 0: no limit. */
MICRO_PRIVATE void micro__budget_earn(micro__budgets *b, const char *service, int percent);
/* Whether there may be a further attempt. */
MICRO_PRIVATE bool micro__budget_take(micro__budgets *b, const char *service, int percent);

/* ---- client.c ------------------------------------------------------------------------------ */

typedef struct micro__client {
    const char *name; /* X-Micro-From-Service */
    micro_selector *selector;
    micro_transport *transport;
    micro__pool *pool;
    micro__pool_opts pool_opts;
    const micro_codec *const *codecs; /* the program's own */
    size_t ncodecs;
    const micro__wraps *wraps;
    micro_call_opts defaults; /* 0 where nothing was said */
    bool trace;               /* a call without a trace begins one */
    micro__budgets budgets;
    /* Where hedged calls and the callbacks of streams run. */
    micro_err (*engine)(micro_service *svc, micro__engine **out);
} micro__client;

/* micro_call, with svc's own checks done. */
MICRO_PRIVATE micro_err micro__client_call(micro__client *c, micro_ctx *ctx, const char *service,
                                           const micro_method *method, const void *req, void *rsp,
                                           const micro_call_opts *opts);

#define MICRO__EVENT_TYPE "application/json" /* of a message that does not say */

/* A message to publish: encoded into body, its header in memory of ctx. */
MICRO_PRIVATE micro_err micro__client_message(micro__client *c, micro_ctx *ctx, const char *topic,
                                              const micro_type *type, const void *obj,
                                              const micro_publish_opts *opts, micro_buf *body,
                                              micro_msg *out);

/* micro_call_start: e is where it runs; nodes: number `only` of these is called, and lent for the
 * call of this; NULL: one is chosen. */
MICRO_PRIVATE void micro__client_start(micro__client *c, micro__engine *e, micro_ctx *ctx,
                                       const char *service, const micro_method *method,
                                       const void *req, const micro_call_opts *opts,
                                       const micro_nodes *nodes, size_t only, micro_done_fn *done,
                                       micro_fn *fn, void *arg);
/* micro_call_start_all. */
MICRO_PRIVATE size_t micro__client_start_all(micro__client *c, micro__engine *e, micro_ctx *ctx,
                                             const char *service, const micro_method *method,
                                             const void *req, const micro_call_opts *opts,
                                             micro_done_fn *done, micro_fn *fn, void *arg);

/* micro_stream_open. */
MICRO_PRIVATE micro_err micro__client_open(micro__client *c, micro_ctx *ctx, const char *service,
                                           const micro_method *method, const micro_call_opts *opts,
                                           micro_stream **out);

#endif
