/* SPDX-License-Identifier: MIT */
/* Debug.Health and Debug.Stats, which every go-micro server of 2018 has; Debug.Describe, which is
 * ours. */
#include "server.h"

typedef struct debug_health {
    micro_str status;
} debug_health;

/* Of an endpoint; times in nanoseconds: of all requests together, and within which so many per cent
 * of them ended. */
typedef struct debug_endpoint {
    micro_str name;
    uint64_t requests, errors, running, client_errors, server_errors;
    uint64_t time, p50, p90, p99;
} debug_endpoint;

/* The first five are those of 2018, the next two have their names from later servers. */
typedef struct debug_stats {
    uint64_t started, uptime, memory, threads, gc;
    uint64_t requests, errors, running, rejected;
    MICRO_LIST(debug_endpoint) endpoints;
} debug_stats;

/* What MICRO_TYPE and MICRO_METHOD give a program, without names that others could see. */
#define DEBUG_TYPE(T, wire_name) \
    static const micro_type T##_type = { sizeof(micro_type), \
                                         sizeof(micro_field), \
                                         MICRO_COUNTOF(T##_rows), \
                                         wire_name, \
                                         sizeof(T), \
                                         T##_rows, \
                                         0 }
#define DEBUG_METHOD(id, wire_name, rsp) \
    static const micro_method id##_method = { \
        sizeof(micro_method), MICRO_INTERNAL, wire_name, &micro_type_empty, &(rsp), NULL, NULL \
    }

static const micro_field debug_health_rows[] = { MICRO_FIELD(string, debug_health, status, 1) };
DEBUG_TYPE(debug_health, "HealthResponse");

static const micro_field debug_endpoint_rows[] = {
    MICRO_FIELD(string, debug_endpoint, name, 1),
    MICRO_FIELD(uint64, debug_endpoint, requests, 2),
    MICRO_FIELD(uint64, debug_endpoint, errors, 3),
    MICRO_FIELD(uint64, debug_endpoint, running, 4),
    MICRO_FIELD(uint64, debug_endpoint, client_errors, 5),
    MICRO_FIELD(uint64, debug_endpoint, server_errors, 6),
    MICRO_FIELD(uint64, debug_endpoint, time, 7),
    MICRO_FIELD(uint64, debug_endpoint, p50, 8),
    MICRO_FIELD(uint64, debug_endpoint, p90, 9),
    MICRO_FIELD(uint64, debug_endpoint, p99, 10),
};
DEBUG_TYPE(debug_endpoint, "EndpointStats");

static const micro_field debug_stats_rows[] = {
    MICRO_FIELD(uint64, debug_stats, started, 1),
    MICRO_FIELD(uint64, debug_stats, uptime, 2),
    MICRO_FIELD(uint64, debug_stats, memory, 3),
    MICRO_FIELD(uint64, debug_stats, threads, 4),
    MICRO_FIELD(uint64, debug_stats, gc, 5),
    MICRO_FIELD(uint64, debug_stats, requests, 6),
    MICRO_FIELD(uint64, debug_stats, errors, 7),
    MICRO_FIELD(uint64, debug_stats, running, 8),
    MICRO_FIELD(uint64, debug_stats, rejected, 9),
    MICRO_REPEATED(message(debug_endpoint), debug_stats, endpoints, 10),
};
DEBUG_TYPE(debug_stats, "StatsResponse");

DEBUG_METHOD(debug_health, "Debug.Health", debug_health_type);
DEBUG_METHOD(debug_describe, "Debug.Describe", micro_type_entry);
DEBUG_METHOD(debug_stats, "Debug.Stats", debug_stats_type);

static micro_err debug_health_invoke(micro_ctx *ctx, micro_fn *fn, const void *req, void *rsp)
{
    debug_health *out = rsp;

    (void)ctx;
    (void)fn;
    (void)req;
    out->status = micro_s("ok");
    return MICRO_OK;
}

typedef struct debug_counted {
    micro_ctx *ctx;
    debug_stats *out;
} debug_counted;

/* Out of memory makes the answer an error. */
static void debug_endpoint_stats(void *arg, const char *name, const micro__stats_sum *sum)
{
    const debug_counted *c = arg;
    debug_endpoint *e = micro_append(c->ctx, &c->out->endpoints);

    if (!e)
        return;
    e->name = micro_s(name);
    e->requests = sum->requests;
    e->errors = sum->requests - sum->outcomes[MICRO__DONE_OK];
    e->running = sum->running;
    e->client_errors = sum->outcomes[MICRO__DONE_CLIENT_ERROR];
    e->server_errors = sum->outcomes[MICRO__DONE_SERVER_ERROR];
    e->time = sum->time_ns;
    e->p50 = micro__stats_quantile(sum, 500);
    e->p90 = micro__stats_quantile(sum, 900);
    e->p99 = micro__stats_quantile(sum, 990);
    c->out->requests += e->requests;
    c->out->errors += e->errors;
    c->out->running += e->running;
}

/* Nothing is collected here, so gc stays zero. */
static micro_err debug_stats_invoke(micro_ctx *ctx, micro_fn *fn, const void *req, void *rsp)
{
    micro__server *s = micro_ctx_state(ctx);
    debug_stats *out = rsp;

    (void)fn;
    (void)req;
    int64_t up = micro__wall_seconds() - s->started;
    out->started = (uint64_t)s->started;
    out->uptime = up > 0 ? (uint64_t)up : 0;
    micro__process_usage(&out->memory, &out->threads);
    out->rejected = atomic_load_explicit(&s->rejected, memory_order_relaxed);
    debug_counted c = { ctx, out };
    micro__server_counted(s, debug_endpoint_stats, &c);
    return MICRO_OK;
}

/* What the registry has of the service, with the whole of its types and without nodes: a registry's
 * entry must fit a packet. */
static micro_err debug_describe_invoke(micro_ctx *ctx, micro_fn *fn, const void *req, void *rsp)
{
    const micro__server *s = micro_ctx_state(ctx);
    micro_entry *out = rsp;

    (void)fn;
    (void)req;
    out->name = micro_s(s->name);
    out->version = micro_s(s->version);
    return micro__server_endpoints(s, &ctx->arena, true, &out->endpoints) ? MICRO_OK : MICRO_ENOMEM;
}

/* The routes have no function of a user's; the place must not be empty. */
static void debug_nothing(void) {}

static micro__route debug_route(micro__server *s, const micro_method *method,
                                micro_invoke_fn *invoke)
{
    const micro__route r = {
        .method = method, .invoke = invoke, .fn = debug_nothing, .state = s, .internal = true
    };

    return r;
}

MICRO_PRIVATE micro_err micro__server_add_debug(micro__server *s)
{
    const micro__route routes[] = {
        debug_route(s, &debug_health_method, debug_health_invoke),
        debug_route(s, &debug_stats_method, debug_stats_invoke),
        debug_route(s, &debug_describe_method, debug_describe_invoke),
    };
    micro_err err = MICRO_OK;

    for (size_t i = 0; i < MICRO_COUNTOF(routes) && err == MICRO_OK; i++)
        err = micro__server_add(s, &routes[i]);
    return err;
}
