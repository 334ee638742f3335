/* SPDX-License-Identifier: MIT */
/* One call under way, inside the client. */
#ifndef MICRO_CALL_H
#define MICRO_CALL_H

#include "../selector/selector.h"
#include "../transport/transport.h"
#include "client.h"

typedef struct micro__call {
    micro__client *c;
    micro_ctx *ctx;
    const char *service;
    const micro_method *method;
    const void *req;
    micro_buf *message; /* the request, encoded already; NULL: encode req */
    void *rsp;
    micro_call_opts o; /* the client's defaults and the call's own, 0 resolved */
    micro__limits limits;
    const micro_codec *codec;
    uint64_t deadline;      /* of all attempts; 0: none */
    int attempt;            /* from 1 */
    size_t last;            /* index of the node before */
    const micro_node *only; /* the node for all attempts; NULL: chosen for each */
    micro__nodeset *only_of; /* held: the set that it is node `last` of; NULL: not one of ours */
    /* one attempt */
    const micro_nodes *nodes; /* held; NULL for a direct address */
    const micro_node *node;   /* NULL for a direct address */
    micro__nodeset *set;      /* that the node is number `last` of; NULL: not one of ours */
    micro__health *health;    /* of the node, counts this call; NULL: not kept */
    char address[128];
    micro__wire wire;
    bool untouched; /* it is certain that the request was not executed */
    bool tried;     /* the node was: outcome says how it did, whatever middleware made of it */
    micro_err outcome;
    uint64_t seq;   /* id of the envelope */
    uint64_t own;   /* deadline that ctx had before */
    /* What an attempt at address does, where it is no exchange: the opening of a stream. */
    micro_err (*run)(struct micro__call *k);
    void *opening;
} micro__call;

/* client.c. options: the client's defaults and the call's own into k->o, and the codec. select:
 * the service's nodes, to be released; filter: which of them the options let through. choose: a
 * node for this attempt, its address and protocol; unchoose marks how it did. passing: another
 * attempt may not meet such an error; again: whether the result allows one; backoff: ms before it,
 * < 0: no time. over: ECANCELED, ETIMEDOUT. info: what ctx's info says of this attempt; describe:
 * what middleware is told at this stage. attempts: all of them, blocking; run: the same as a whole
 * call, within middleware, until the call's deadline. dial_until: when connecting is given up;
 * dial: a connection of its own, for an attempt. */
MICRO_PRIVATE micro_err micro__call_options(micro__call *k, const micro_call_opts *opts);
MICRO_PRIVATE micro_err micro__call_select(micro__call *k, const micro_nodes **nodes);
MICRO_PRIVATE micro__filter micro__call_filter(const micro__call *k);
MICRO_PRIVATE micro_err micro__call_choose(micro__call *k);
MICRO_PRIVATE void micro__call_unchoose(micro__call *k);
MICRO_PRIVATE bool micro__call_passing(micro_err err);
MICRO_PRIVATE bool micro__call_again(micro__call *k, micro_err err);
MICRO_PRIVATE int micro__call_backoff(micro__call *k);
MICRO_PRIVATE micro_err micro__call_over(micro__call *k);
MICRO_PRIVATE void micro__call_info(micro__call *k);
MICRO_PRIVATE void micro__call_describe(const micro__call *k, enum micro_wrap stage, bool async,
                                        micro_info *out);
MICRO_PRIVATE micro_err micro__call_attempts(micro__call *k);
MICRO_PRIVATE micro_err micro__call_run(micro__call *k);
MICRO_PRIVATE uint64_t micro__call_dial_until(const micro__call *k);
MICRO_PRIVATE micro_err micro__call_dial(micro__call *k, int *fd);
/* k->address; a name, other than a literal address, keeps the system's resolver busy. */
MICRO_PRIVATE micro_err micro__call_resolve(micro__call *k, micro__addr *to);

/* async.c: all attempts, hedged, for which this thread waits. */
MICRO_PRIVATE micro_err micro__call_hedged(micro__call *k);

/* headers.c: the request's header in memory of the ctx; id is its Micro-Id. */
MICRO_PRIVATE bool micro__call_headers(micro__call *k, uint64_t id, micro_pairs *out);

/* The same of an event. */
MICRO_PRIVATE bool micro__event_headers(micro__client *c, micro_ctx *ctx, const char *topic,
                                        const char *content_type, micro_pairs *out);

/* exchange.c. wrap: the message (bare, encoded) in the node's envelope; encode: the request, so
 * wrapped. exchange: sends the request over link and reads the reply; *keep: the connection is good
 * for another. reply: what a whole reply says. */
MICRO_PRIVATE void micro__call_wrap(const micro__call *k, const micro_buf *message, micro_buf *out);
MICRO_PRIVATE micro_err micro__call_encode(micro__call *k, micro_buf *out);
MICRO_PRIVATE micro_err micro__call_exchange(micro__call *k, micro__link *link, bool *keep);
MICRO_PRIVATE micro_err micro__call_reply(micro__call *k, const micro_msg *msg);
MICRO_PRIVATE micro_err micro__call_http_reply(micro__call *k, micro__http_reader *r);

#endif
