/* SPDX-License-Identifier: MIT */
/* Debug.Health and Debug.Stats, which every go-micro server of 2018 has. */
#include "server.h"

typedef struct debug_health {
    micro_str status;
} debug_health;

typedef struct debug_stats {
    uint64_t started, uptime, memory, threads, gc;
} debug_stats;

static const micro_field debug_health_rows[] = { MICRO_FIELD(string, debug_health, status, 1) };
static const micro_type debug_health_type = { sizeof(micro_type),
                                              sizeof(micro_field),
                                              MICRO_COUNTOF(debug_health_rows),
                                              "HealthResponse",
                                              sizeof(debug_health),
                                              debug_health_rows,
                                              0 };

static const micro_field debug_stats_rows[] = { MICRO_FIELD(uint64, debug_stats, started, 1),
                                                MICRO_FIELD(uint64, debug_stats, uptime, 2),
                                                MICRO_FIELD(uint64, debug_stats, memory, 3),
                                                MICRO_FIELD(uint64, debug_stats, threads, 4),
                                                MICRO_FIELD(uint64, debug_stats, gc, 5) };
static const micro_type debug_stats_type = { sizeof(micro_type),
                                             sizeof(micro_field),
                                             MICRO_COUNTOF(debug_stats_rows),
                                             "StatsResponse",
                                             sizeof(debug_stats),
                                             debug_stats_rows,
                                             0 };

static const micro_method debug_health_method = { sizeof(micro_method),
                                                  MICRO_INTERNAL,
                                                  "Debug.Health",
                                                  &micro_type_empty,
                                                  &debug_health_type,
                                                  NULL,
                                                  NULL };
static const micro_method debug_stats_method = {
    sizeof(micro_method), MICRO_INTERNAL, "Debug.Stats", &micro_type_empty,
    &debug_stats_type,    NULL,           NULL
};

static micro_err debug_health_invoke(micro_ctx *ctx, micro_fn *fn, const void *req, void *rsp)
{
    debug_health *out = rsp;

    (void)ctx;
    (void)fn;
    (void)req;
    out->status = micro_s("ok");
    return MICRO_OK;
}

/* Nothing is collected here, so gc stays zero. */
static micro_err debug_stats_invoke(micro_ctx *ctx, micro_fn *fn, const void *req, void *rsp)
{
    const micro__server *s = micro_ctx_state(ctx);
    debug_stats *out = rsp;

    (void)fn;
    (void)req;
    int64_t up = micro__wall_seconds() - s->started;
    out->started = (uint64_t)s->started;
    out->uptime = up > 0 ? (uint64_t)up : 0;
    micro__process_usage(&out->memory, &out->threads);
    return MICRO_OK;
}

/* The routes have no function of a user's; the place must not be empty. */
static void debug_nothing(void) {}

MICRO_PRIVATE micro_err micro__server_add_debug(micro__server *s)
{
    const micro__route routes[] = {
        { &debug_health_method, debug_health_invoke, debug_nothing, s, true, { 0 } },
        { &debug_stats_method, debug_stats_invoke, debug_nothing, s, true, { 0 } },
    };
    micro_err err = MICRO_OK;

    for (size_t i = 0; i < MICRO_COUNTOF(routes) && err == MICRO_OK; i++)
        err = micro__server_add(s, &routes[i]);
    return err;
}
