/* SPDX-License-Identifier: MIT */
/* The server half of a service: routes, dispatch of requests in every protocol, registration. */
#ifndef MICRO_SERVER_H
#define MICRO_SERVER_H

#include "../base/chain.h"
#include "../codec/codec.h"
#include "../net/net.h"

typedef struct micro__route {
    const micro_method *method;
    micro_invoke_fn *invoke;
    micro_fn *fn;
    void *state;
    bool internal;
    micro__habit habit;
} micro__route;

typedef struct micro__server {
    micro_service *svc;
    const char *name;
    const micro_codec *const *codecs; /* the program's own */
    size_t ncodecs;
    const micro__wraps *wraps;
    micro__route *routes; /* in the order of registration */
    size_t nroutes, cap;
    uint32_t *index; /* hash of the name to route + 1; power of two; rebuilt as it fills */
    size_t nindex;
    int64_t started; /* unix seconds */
} micro__server;

/* ---- router.c ------------------------------------------------------------------------------ */

/* EEXIST, EINVAL (name is not Type.Method, no types), ENOMEM. */
MICRO_PRIVATE micro_err micro__server_add(micro__server *s, const micro__route *route);
MICRO_PRIVATE micro__route *micro__server_find(const micro__server *s, micro_str name);
/* Some route has this Type in front. */
MICRO_PRIVATE bool micro__server_has_type(const micro__server *s, micro_str type);
MICRO_PRIVATE void micro__server_free(micro__server *s); /* what it holds */
/* Endpoints as they are registered, sorted by name. */
MICRO_PRIVATE bool micro__server_endpoints(const micro__server *s, micro__arena *a,
                                           micro_endpoints *out);

/* ---- dispatch.c ---------------------------------------------------------------------------- */

/* A micro__serve_fn; arg is the micro__server. */
MICRO_PRIVATE void micro__server_serve(void *arg, micro__request *req, micro__reply *reply);
/* A micro_deliver_fn's work for other transports: serves msg and sends the answer. */
MICRO_PRIVATE void micro__server_deliver(micro__server *s, micro_transport *t, micro_sock *from,
                                         micro_msg *msg);

/* ---- debug.c ------------------------------------------------------------------------------- */

/* Debug.Health and Debug.Stats: always served, never listed. */
MICRO_PRIVATE micro_err micro__server_add_debug(micro__server *s);

#endif
