/* SPDX-License-Identifier: MIT */
/* The server half of a service: routes, dispatch of requests in every protocol, registration. */
#ifndef MICRO_SERVER_H
#define MICRO_SERVER_H

#include "../base/chain.h"
#include "../codec/codec.h"
#include "../net/net.h"

/* ---- stats.c: what an endpoint has done ---------------------------------------------------- */

/* How a request ended, by the code of its error: none, 400 to 499, 500 to 599, anything else. */
typedef enum micro__outcome {
    MICRO__DONE_OK,
    MICRO__DONE_CLIENT_ERROR,
    MICRO__DONE_SERVER_ERROR,
    MICRO__DONE_OTHER_ERROR,
    MICRO__DONE_COUNT
} micro__outcome;

/* Latencies are counted in buckets, four to each doubling of the microseconds: 0, 1, 2, 3, 4, 5, 6,
 * 7, 8-9, 10-11 ... and one for all from 2^MICRO__STATS_OCTAVES up, about two minutes. */
#define MICRO__STATS_OCTAVES 27
#define MICRO__STATS_BUCKETS ((MICRO__STATS_OCTAVES - 1) * 4 + 1)

typedef struct micro__stats micro__stats;
/* Of a handler's result, of a message that could not be read, or of a code that is sent. */
MICRO_PRIVATE micro__outcome micro__outcome_of(micro_err err);
MICRO_PRIVATE micro__stats *micro__stats_new(void);    /* NULL: out of memory */
MICRO_PRIVATE void micro__stats_free(micro__stats *s); /* NULL is fine */
/* Around a request: no lock, and no memory after a thread's first; ctx, which a thread keeps, tells
 * threads apart, and may be NULL. begin returns what end wants: when the request was there, if ctx
 * knows that, else now. end returns the time. s may be NULL. */
MICRO_PRIVATE uint64_t micro__stats_begin(micro__stats *s, const micro_ctx *ctx);
MICRO_PRIVATE uint64_t micro__stats_end(micro__stats *s, const micro_ctx *ctx, uint64_t begun,
                                        micro__outcome outcome);

typedef struct micro__stats_sum {
    uint64_t requests; /* that have ended, all outcomes */
    uint64_t running, time_ns, outcomes[MICRO__DONE_COUNT], buckets[MICRO__STATS_BUCKETS];
} micro__stats_sum;
/* All that was counted; what changes meanwhile may be in it or not. */
MICRO_PRIVATE void micro__stats_read(micro__stats *s, micro__stats_sum *out);
/* The time within which so many per mille of the requests ended, in ns: to a quarter of it. */
MICRO_PRIVATE uint64_t micro__stats_quantile(const micro__stats_sum *sum, unsigned per_mille);

/* ---- routes -------------------------------------------------------------------------------- */

typedef struct micro__route {
    const micro_method *method;
    micro_invoke_fn *invoke;
    micro_fn *fn;
    micro_stream_fn *stream; /* of a streaming method, instead of the two */
    void *state;
    bool internal; /* the library's own: not counted */
    micro__habit habit;
    micro__stats *stats; /* set when added */
} micro__route;

#define MICRO__SUBSCRIBER_NAME "Func" /* of the endpoint: a plain function's, as in Go */

typedef struct micro__server micro__server;

typedef struct micro__subscriber {
    struct micro__subscriber *next;
    micro__server *server;
    char *topic, *queue; /* queue: NULL for none */
    const micro_type *type;
    micro_receive_fn *receive;
    micro_fn *fn;
    void *state;
    bool internal;
    int max_running;
    micro_sub *sub;      /* while the service runs */
    micro__habit habit;  /* for events that come as requests */
    micro__stats *stats; /* of all subscribers of the topic; the first of them owns it */
    bool first;
} micro__subscriber;

struct micro__server {
    micro_service *svc;
    const char *name, *version, *id;  /* id: the node's is name-id */
    bool metrics;                     /* GET /metrics is answered */
    bool trace;                       /* a request without a trace begins one */
    const micro_codec *const *codecs; /* the program's own */
    size_t ncodecs;
    const micro__wraps *wraps;
    micro__route *routes; /* in the order of registration */
    size_t nroutes, cap;
    uint32_t *index; /* hash of the name to route + 1; power of two; rebuilt as it fills */
    size_t nindex;
    micro__subscriber *subscribers;               /* by topic, descending */
    int64_t started;                              /* unix seconds */
    _Alignas(8) MICRO__ATOMIC(uint64_t) rejected; /* requests that came to no endpoint */
    int max_requests;                             /* <= 0: no limit */
    atomic_int running;                           /* requests; counted where there is a limit */
    bool once;         /* a function: serves one request or event, and tells ended */
    atomic_bool taken; /* that one has come */
    void (*ended)(micro_service *svc); /* asks for the stop; does not wait */
};

/* Of each endpoint that is counted, and of each topic with subscribers. */
typedef void micro__counted_fn(void *arg, const char *name, const micro__stats_sum *sum);
MICRO_PRIVATE void micro__server_counted(const micro__server *s, micro__counted_fn *fn, void *arg);

/* ---- router.c ------------------------------------------------------------------------------ */

#define MICRO__ENDPOINT_DEPTH 3 /* of the Value trees that go-micro publishes */

/* EEXIST, EINVAL (name is not Type.Method, no types), ENOMEM. */
MICRO_PRIVATE micro_err micro__server_add(micro__server *s, const micro__route *route);
MICRO_PRIVATE micro__route *micro__server_find(const micro__server *s, micro_str name);
/* Some route has this Type in front. */
MICRO_PRIVATE bool micro__server_has_type(const micro__server *s, micro_str type);
MICRO_PRIVATE void micro__server_free(micro__server *s); /* what it holds */
/* Endpoints as they are registered, sorted by name; whole: with all of their types. */
MICRO_PRIVATE bool micro__server_endpoints(const micro__server *s, micro__arena *a, bool whole,
                                           micro_endpoints *out);

/* ---- admit.c ------------------------------------------------------------------------------- */

/* Between enter and leave a request runs. False: there are too many. */
MICRO_PRIVATE bool micro__server_enter(micro__server *s);
MICRO_PRIVATE void micro__server_leave(micro__server *s);
/* The one request or event that a function serves: false to all that come later. Whoever was let
 * in says when it has ended. Where the service is no function: true, and nothing. */
MICRO_PRIVATE bool micro__server_take(micro__server *s);
MICRO_PRIVATE void micro__server_taken(micro__server *s);

/* ---- dispatch.c ---------------------------------------------------------------------------- */

/* A micro__serve_fn; arg is the micro__server. */
MICRO_PRIVATE void micro__server_serve(void *arg, micro__request *req, micro__reply *reply);
/* This thread is in micro__server_deliver: whoever called it is behind it on the stack. */
MICRO_PRIVATE bool micro__server_inside(void);
/* A micro_deliver_fn's work for other transports: serves msg and sends the answer. */
MICRO_PRIVATE void micro__server_deliver(micro__server *s, micro_transport *t, micro_sock *from,
                                         micro_msg *msg);

/* ---- metrics.c ----------------------------------------------------------------------------- */

/* True: the request was a GET /metrics, and is answered. */
MICRO_PRIVATE bool micro__server_metrics(micro__server *s, const micro__http_head *head,
                                         micro__reply *reply);

/* ---- subscriber.c -------------------------------------------------------------------------- */

/* as: all but its topic, which is copied, as is its queue. EINVAL, ENOMEM. */
MICRO_PRIVATE micro_err micro__server_subscribe(micro__server *s, const char *topic,
                                                const micro__subscriber *as);
MICRO_PRIVATE void micro__server_free_subscribers(micro__server *s);
/* Behind those of handlers. */
MICRO_PRIVATE bool micro__server_subscriber_endpoints(const micro__server *s, micro__arena *a,
                                                      micro_endpoints *out);
/* A micro_event_fn; arg is the micro__subscriber. */
MICRO_PRIVATE micro_err micro__subscriber_event(void *arg, micro_ctx *ctx, const char *topic,
                                                const micro_msg *msg);
/* An event that came as a request: to all subscribers of its topic, one after the other. */
MICRO_PRIVATE bool micro__server_subscribes(const micro__server *s, const char *topic);
MICRO_PRIVATE void micro__server_event(const micro__server *s, const char *topic,
                                       const micro_msg *msg);

/* ---- debug.c ------------------------------------------------------------------------------- */

/* Debug.Health, Debug.Stats and Debug.Describe: always served, never listed. */
MICRO_PRIVATE micro_err micro__server_add_debug(micro__server *s);

#endif
