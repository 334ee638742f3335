/* SPDX-License-Identifier: MIT */
/* A service that subscribes over the http broker, for tests that are its publishers. */
#ifndef HTTP_BROKER_H
#define HTTP_BROKER_H

#include "events.h"

typedef struct httpb_fixture {
    micro_registry *reg;
    micro_service *sub;
    micro_ctx *ctx;
    events_seen seen;
    char id[128], old_id[128], address[64];
} httpb_fixture;

/* The one node of a name, of the version given; its metadata as text. */
__attribute__((unused)) static bool httpb_node(httpb_fixture *f, const char *name,
                                               const char *version, micro_node *out,
                                               char metadata[128])
{
    micro_entries list = { NULL, 0, 0 };
    size_t n = 0;

    if (!CHECK_EQ_INT(micro_registry_get(f->reg, f->ctx, name, &list), MICRO_OK) ||
        !CHECK_EQ_UINT(list.len, 1) || !CHECK_EQ_UINT(list.ptr[0].nodes.len, 1))
        return false;
    CHECK_EQ_STR(list.ptr[0].version, version);
    CHECK_EQ_UINT(list.ptr[0].endpoints.len, 0);
    *out = list.ptr[0].nodes.ptr[0];
    metadata[0] = 0;
    for (size_t i = 0; i < out->metadata.len; i++)
        n += (size_t)snprintf(metadata + n, 128 - n, "%s=%s;", out->metadata.ptr[i].key.ptr,
                              out->metadata.ptr[i].value.ptr);
    return true;
}

__attribute__((unused)) static bool httpb_setup(httpb_fixture *f, const char *queue)
{
    micro_node node;
    char metadata[128];

    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->seen.lock, NULL);
    f->reg = micro_registry_memory_new();
    f->sub = micro_service_new(.name = "go.micro.srv.pubsub", .registry = f->reg,
                               .address = "127.0.0.1:0", .loops = 2);
    f->ctx = micro_ctx_new(f->sub);
    events_one_subscribe_with(f->sub, events_on, &f->seen,
                              MICRO_OPTS(micro_subscribe_opts, .queue = queue));
    if (!CHECK_EQ_INT(micro_service_start(f->sub), MICRO_OK) ||
        !httpb_node(f, "micro.http.broker", queue ? queue : "ff.http.broadcast", &node, metadata))
        return false;
    snprintf(f->id, sizeof f->id, "%s", node.id.ptr);
    const char *colon = strrchr(node.address.ptr, ':');
    snprintf(f->address, sizeof f->address, "127.0.0.1%s", colon ? colon : "");
    if (!httpb_node(f, "topic:example.topic.pubsub.1", queue ? queue : "ff.http.broadcast", &node,
                    metadata))
        return false;
    snprintf(f->old_id, sizeof f->old_id, "%s", node.id.ptr);
    return true;
}

__attribute__((unused)) static void httpb_teardown(httpb_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->sub);
    micro_registry_free(f->reg);
}

/* The request that posts an event; its length. */
__attribute__((unused)) static size_t httpb_request(char *to, size_t size, const char *id,
                                                    const char *body)
{
    return (size_t)snprintf(to, size,
                            "POST /?id=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", id,
                            strlen(body), body);
}

/* Events until the handler counts as quick: from then on they are handled where they come in. */
__attribute__((unused)) static void httpb_warm(httpb_fixture *f, int fd)
{
    static const char body[] =
        "{\"Header\":{\":topic\":\"example.topic.pubsub.1\",\"Content-Type\":"
        "\"application/json\"},\"Body\":\"e30=\"}";
    int had = events_count(&f->seen);
    char request[512], reply[2048];

    httpb_request(request, sizeof request, f->id, body);
    for (int i = 1; i <= 20; i++) {
        raw_send(fd, request);
        CHECK(!strncmp(raw_reply(fd, reply, sizeof reply, 30000), "HTTP/1.1 200 ", 13));
        CHECK_EQ_INT(events_wait(&f->seen, had + i), had + i);
    }
}

#endif
