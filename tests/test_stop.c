/* SPDX-License-Identifier: MIT */
/* A stop that no caller feels: who has heard goes elsewhere, who has not is served. */
#include "hello.h"
#include "raw.h"

#include <pthread.h>

/* A registry at which callers that have not heard yet come when it forgets the node. */
typedef struct stop_registry {
    micro_registry base;
    micro_registry *inner;
    micro_service *svc;
    pthread_t late;
    int kept, fresh; /* connections: one that was used before, a new one */
    char out[2][1024];
    bool told;
} stop_registry;

static const char *stop_ask(stop_registry *r, int fd, int which)
{
    raw_post(fd, "Micro-Method: Say.Hello\r\n", "{\"name\":\"p\"}");
    return raw_reply(fd, r->out[which], sizeof r->out[which], 30000);
}

static void *stop_late(void *arg)
{
    stop_registry *r = arg;

    raw_sleep(5); /* by now the stop goes on */
    stop_ask(r, r->kept, 0);
    stop_ask(r, r->fresh, 1);
    return NULL;
}

static micro_err stop_put(micro_registry *self, micro_ctx *ctx, const micro_entry *e, int ttl_ms)
{
    return micro_registry_put(((stop_registry *)self)->inner, ctx, e, ttl_ms);
}

/* The node says goodbye: callers that have not heard yet are still coming. */
static micro_err stop_del(micro_registry *self, micro_ctx *ctx, const micro_entry *e)
{
    stop_registry *r = (stop_registry *)self;
    micro_err err = micro_registry_del(r->inner, ctx, e);

    r->told = true;
    r->fresh = raw_connect(micro_service_address(r->svc));
    pthread_create(&r->late, NULL, stop_late, r);
    return err;
}

static micro_err stop_get(micro_registry *self, micro_ctx *ctx, const char *name,
                          micro_entries *out)
{
    return micro_registry_get(((stop_registry *)self)->inner, ctx, name, out);
}

static const micro_registry_ops stop_ops = {
    .size_ = sizeof stop_ops, .name = "stop", .put = stop_put, .del = stop_del, .get = stop_get
};

/* True: both were served. */
static bool stop_once(void)
{
    stop_registry r = { .base = { &stop_ops }, .inner = micro_registry_memory_new() };
    char address[128], out[1024];
    int served = 0;
    bool closed;

    r.svc = hello_start(
        MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = &r.base, .loops = 2));
    if (!r.svc)
        return false;
    snprintf(address, sizeof address, "%s", micro_service_address(r.svc));
    r.kept = raw_connect(address);
    CHECK(strstr(stop_ask(&r, r.kept, 0), "Hello p") != NULL);
    CHECK(strstr(r.out[0], "Connection: close") == NULL);
    micro_service_stop(r.svc);
    pthread_join(r.late, NULL);
    CHECK(r.told);
    for (int i = 0; i < 2; i++)
        served += strstr(r.out[i], "Hello p") && strstr(r.out[i], "\r\nConnection: close\r\n");
    raw_read(r.kept, out, 1, 30000, &closed);
    CHECK(closed);
    CHECK_EQ_INT(raw_connect(address), -1);
    close(r.kept);
    close(r.fresh);
    micro_service_free(r.svc);
    micro_registry_free(r.inner);
    return served == 2;
}

/* It waits so long for those who have not heard, and no longer: a machine that does something else
 * meanwhile gets another try. */
TEST_OF_THREADS(own, stop_serves_who_has_not_heard)
{
    bool served = false;

    for (int i = 0; i < 10 && !served; i++)
        served = stop_once();
    CHECK(served);
}

/* Calls that must not run twice, on kept connections, while one of two nodes stops. */
typedef struct stop_load {
    micro_service *client;
    atomic_bool over;
    atomic_int ok, served;
    atomic_int failed;
    char why[256];
} stop_load;

static micro_err stop_count(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    stop_load *l = micro_ctx_state(ctx);

    (void)req;
    (void)rsp;
    usleep(2000);
    atomic_fetch_add(&l->served, 1);
    return MICRO_OK;
}

static void *stop_caller(void *arg)
{
    stop_load *l = arg;
    micro_ctx *ctx = micro_ctx_new(l->client);
    const hello_msg req = { micro_s("x") };
    hello_answer rsp;

    while (!atomic_load(&l->over)) {
        micro_err err = hello_say(ctx, "go.micro.srv.greeter", &req, &rsp);
        if (err == MICRO_OK)
            atomic_fetch_add(&l->ok, 1);
        else if (!atomic_fetch_add(&l->failed, 1))
            snprintf(l->why, sizeof l->why, "%s", micro_ctx_strerror(ctx));
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    return NULL;
}

static micro_service *stop_node(micro_registry *reg, stop_load *l)
{
    micro_service *svc = micro_service_new(.name = "go.micro.srv.greeter", .address = "127.0.0.1:0",
                                           .registry = reg, .loops = 2);

    hello_say_handle(svc, stop_count, l);
    CHECK_EQ_INT(micro_service_start(svc), MICRO_OK);
    return svc;
}

/* The number of calls that failed. */
static int stop_rounds(void)
{
    enum { CALLERS = 6 };
    micro_registry *reg = micro_registry_memory_new();
    stop_load l = { .client = micro_service_new(.name = "caller", .registry = reg) };
    pthread_t threads[CALLERS];
    micro_service *stays = stop_node(reg, &l);

    for (int i = 0; i < CALLERS; i++)
        pthread_create(&threads[i], NULL, stop_caller, &l);
    for (int round = 0; round < 10; round++) {
        micro_service *goes = stop_node(reg, &l);
        usleep(30000);
        micro_service_stop(goes);
        micro_service_free(goes);
    }
    atomic_store(&l.over, true);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    NOTE("%s", l.why);
    CHECK(atomic_load(&l.ok) > 0);
    if (!atomic_load(&l.failed))
        CHECK_EQ_INT(atomic_load(&l.served), atomic_load(&l.ok));
    micro_service_free(l.client);
    micro_service_free(stays);
    micro_registry_free(reg);
    return atomic_load(&l.failed);
}

TEST_OF_THREADS(own, stop_under_load_fails_no_call)
{
    int failed = 1;

    for (int i = 0; i < 3 && failed; i++)
        failed = stop_rounds();
    CHECK_EQ_INT(failed, 0);
}
