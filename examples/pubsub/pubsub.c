/* SPDX-License-Identifier: MIT */
/* Publishes an event a second and handles those of everybody, itself included; with --queue=NAME
 * the programs that share NAME share the events. */
#include "micro.h"

#include <stdio.h>

typedef struct tick {
    micro_str id;
    int64_t number;
} tick;

MICRO_TYPE(tick, "Tick", MICRO_FIELD(string, tick, id, 1), MICRO_FIELD(int64, tick, number, 2));
MICRO_TOPIC(ticks, "go.micro.topic.ticks", tick);

static micro_err on_tick(micro_ctx *ctx, const tick *msg)
{
    micro_str from = micro_metadata_get(ctx, "X-Micro-From-Service");

    printf("%s: %s %lld from %s\n", micro_ctx_info(ctx)->topic, msg->id.ptr, (long long)msg->number,
           from.ptr);
    fflush(stdout);
    return MICRO_OK; /* = ack */
}

static void publish(void *arg)
{
    static int64_t number;
    micro_service *svc = arg;
    micro_ctx *ctx = micro_ctx_new(svc);
    tick msg = { .id = micro_s("tick"), .number = ++number };

    if (ticks_publish(ctx, &msg) != MICRO_OK)
        fprintf(stderr, "pubsub: %s\n", micro_ctx_strerror(ctx));
    micro_ctx_free(ctx);
    micro_ignore(micro_post(svc, 1000, publish, svc)); /* fails only when the service stops */
}

static micro_err started(micro_service *svc, void *arg)
{
    (void)arg;
    return micro_post(svc, 1000, publish, svc);
}

int main(int argc, char **argv)
{
    const char *queue = NULL;
    const micro_flag flags[] = {
        { .name = "queue", .env = "PUBSUB_QUEUE", .help = "share events", .text = &queue },
    };
    micro_service *svc =
        micro_service_new(.name = "go.micro.srv.pubsub", .argc = argc, .argv = argv, .flags = flags,
                          .nflags = MICRO_COUNTOF(flags));

    ticks_subscribe_with(svc, on_tick, NULL, MICRO_OPTS(micro_subscribe_opts, .queue = queue));
    micro_service_on(svc, MICRO_AFTER_START, started, NULL);
    int status = micro_service_exit_code(svc, micro_service_run(svc));
    micro_service_free(svc);
    return status;
}
