/* SPDX-License-Identifier: MIT */
/* One request, inside the server; a stream keeps one for all its messages. */
#ifndef MICRO_DISPATCH_H
#define MICRO_DISPATCH_H

#include "server.h"

typedef struct micro__dispatch {
    micro__server *s;
    micro_ctx *ctx;
    micro__http_head *head;
    micro__reply *reply;
    const micro_codec *codec;
    micro__wire wire;
    bool micro; /* it has Micro-* headers: errors go there, and the connection stays */
    micro_str method;
    micro_str id; /* of the envelope */
    char *body;
    size_t len;
    bool empty; /* no message: the zero one */
    micro__outcome outcome;
    uint64_t begun; /* of micro__stats_begin */
} micro__dispatch;

/* dispatch.c. surroundings: the ctx as a handler finds it. message: into the reply's body, in the
 * protocol of the request; errors are in ctx. last: the end of a stream, or what its handler
 * returned. fail: an error of ours; shed: a function has served already. */
MICRO_PRIVATE void micro__dispatch_surroundings(micro__dispatch *d, const micro__route *route,
                                                const char *peer);
MICRO_PRIVATE micro_err micro__dispatch_message(micro__dispatch *d, const micro_type *type,
                                                const void *msg);
MICRO_PRIVATE void micro__dispatch_last(micro__dispatch *d, micro_err err);
MICRO_PRIVATE void micro__dispatch_shed(micro__dispatch *d);
MICRO_PRIVATE void micro__dispatch_fail(micro__dispatch *d, int code, const char *detail);

/* streamed.c: a request that opens a stream. */
MICRO_PRIVATE void micro__streamed_serve(micro__dispatch *d, micro__route *route,
                                         micro__request *req);

#endif
