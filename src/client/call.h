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
    void *rsp;
    micro_call_opts o; /* the client's defaults and the call's own, 0 resolved */
    const micro_codec *codec;
    uint64_t deadline; /* of all attempts; 0: none */
    int attempt;       /* from 1 */
    size_t last;       /* index of the node before */
    /* one attempt */
    const micro_nodes *nodes; /* held; NULL for a direct address */
    const micro_node *node;   /* NULL for a direct address */
    char address[128];
    micro__wire wire;
    bool untouched; /* it is certain that the request was not executed */
} micro__call;

/* headers.c: the request's header in memory of the ctx. */
MICRO_PRIVATE bool micro__call_headers(micro__call *k, const micro__link *link, micro_pairs *out);
/* exchange.c: sends the request over link and reads the reply; *keep: the connection is good for
 * another. */
MICRO_PRIVATE micro_err micro__call_exchange(micro__call *k, micro__link *link, bool *keep);

#endif
