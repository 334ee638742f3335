/* SPDX-License-Identifier: MIT */
/* Registering again and again, against a registry that forgets what is not. */
#include "harness.h"
#include "raw.h"

typedef struct heartbeat_seen {
    char name[32];
    long long until; /* raw_ms clock */
    int puts, ttl_ms;
} heartbeat_seen;

typedef struct heartbeat_registry {
    micro_registry base;
    micro__mutex lock;
    heartbeat_seen seen[4];
    size_t len;
} heartbeat_registry;

static heartbeat_seen *heartbeat_find(heartbeat_registry *r, micro_str name)
{
    for (size_t i = 0; i < r->len; i++)
        if (micro_str_eq(micro_s(r->seen[i].name), name))
            return &r->seen[i];
    return NULL;
}

static micro_err heartbeat_put(micro_registry *reg, micro_ctx *ctx, const micro_entry *e, int ttl)
{
    heartbeat_registry *r = (heartbeat_registry *)reg;

    (void)ctx;
    micro__lock(&r->lock);
    heartbeat_seen *s = heartbeat_find(r, e->name);
    if (!s) {
        s = &r->seen[r->len++];
        snprintf(s->name, sizeof s->name, "%s", e->name.ptr);
    }
    s->puts++;
    s->ttl_ms = ttl;
    s->until = raw_ms() + ttl;
    micro__unlock(&r->lock);
    return MICRO_OK;
}

static micro_err heartbeat_del(micro_registry *reg, micro_ctx *ctx, const micro_entry *e)
{
    heartbeat_registry *r = (heartbeat_registry *)reg;

    (void)ctx;
    micro__lock(&r->lock);
    heartbeat_find(r, e->name)->until = 0;
    micro__unlock(&r->lock);
    return MICRO_OK;
}

static micro_err heartbeat_get(micro_registry *reg, micro_ctx *ctx, const char *name,
                               micro_entries *out)
{
    heartbeat_registry *r = (heartbeat_registry *)reg;

    micro__lock(&r->lock);
    const heartbeat_seen *s = heartbeat_find(r, micro_s(name));
    bool there = s && raw_ms() < s->until;
    micro__unlock(&r->lock);
    micro_entry *e = there ? micro_append(ctx, out) : NULL;
    if (!e)
        return MICRO_ENOTFOUND;
    e->name = micro_copy(ctx, micro_s(name));
    e->version = micro_s("1.0.0");
    return MICRO_OK;
}

static const micro_registry_ops heartbeat_ops = { .size_ = sizeof heartbeat_ops,
                                                  .name = "expiring",
                                                  .put = heartbeat_put,
                                                  .del = heartbeat_del,
                                                  .get = heartbeat_get };

static bool heartbeat_there(heartbeat_registry *r, const char *name)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entries out = { NULL, 0, 0 };
    micro_err err = micro_registry_get(&r->base, ctx, name, &out);

    micro_ctx_free(ctx);
    return err == MICRO_OK;
}

/* With an interval, or half of the TTL for want of one, a service stays; without, it is forgotten
 * while it still runs; and it is gone at once when it ends. */
TEST(heartbeat_keeps_a_service_registered)
{
    char program[] = "p", ttl[] = "--register_ttl=2", interval[] = "--register_interval=1";
    char *argv[] = { program, ttl, interval, NULL };
    heartbeat_registry r = { .base = { &heartbeat_ops } };

    micro__mutex_init(&r.lock);
    micro_service *svc[] = {
        micro_service_new(.name = "beats", .registry = &r.base, .address = "127.0.0.1:0", .argc = 3,
                          .argv = argv),
        micro_service_new(.name = "halves", .registry = &r.base, .address = "127.0.0.1:0",
                          .register_ttl_ms = 2000),
        micro_service_new(.name = "silent", .registry = &r.base, .address = "127.0.0.1:0",
                          .register_ttl_ms = 2000, .register_interval_ms = MICRO_OFF),
    };
    for (size_t i = 0; i < MICRO_COUNTOF(svc); i++)
        REQUIRE(micro_service_start(svc[i]) == MICRO_OK);
    CHECK(heartbeat_there(&r, "silent"));
    for (long long end = raw_ms() + 5000; raw_ms() < end; raw_sleep(100)) {
        CHECK(heartbeat_there(&r, "beats"));
        CHECK(heartbeat_there(&r, "halves"));
    }
    CHECK(!heartbeat_there(&r, "silent"));
    for (size_t i = 0; i < MICRO_COUNTOF(svc); i++) {
        NOTE("%s", r.seen[i].name);
        CHECK_EQ_INT(r.seen[i].ttl_ms, 2000);
        CHECK(i == 2 ? r.seen[i].puts == 1 : r.seen[i].puts >= 3);
        micro_service_free(svc[i]);
        CHECK(!heartbeat_there(&r, r.seen[i].name));
    }
    micro__mutex_destroy(&r.lock);
}
