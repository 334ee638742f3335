/* SPDX-License-Identifier: MIT */
/* Requests that are turned away: over the limit, or after the one that a function serves. */
#include "hello.h"
#include "raw.h"

#include <pthread.h>

/* A handler that waits for the test, and what was seen of it. */
typedef struct admit_gate {
    atomic_int running, most, served;
    atomic_bool open;
} admit_gate;

static micro_err admit_wait(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    admit_gate *g = micro_ctx_state(ctx);
    int now = atomic_fetch_add(&g->running, 1) + 1, most = atomic_load(&g->most);

    while (now > most && !atomic_compare_exchange_weak(&g->most, &most, now))
        ;
    micro_block_begin();
    while (!atomic_load(&g->open) && !micro_ctx_canceled(ctx))
        usleep(1000);
    micro_block_end();
    atomic_fetch_sub(&g->running, 1);
    atomic_fetch_add(&g->served, 1);
    rsp->msg = micro_concat(ctx, micro_s("Hello "), req->name);
    return MICRO_OK;
}

static micro_service *admit_server(micro_registry *reg, micro_transport *t, admit_gate *g,
                                   int max_requests, bool function)
{
    micro_service *svc =
        micro_service_new(.name = "go.micro.srv.greeter", .address = t ? ":0" : "127.0.0.1:0",
                          .registry = reg, .transport = t, .max_requests = max_requests,
                          .function = function, .drain_ms = 5000);

    hello_say_handle(svc, admit_wait, g);
    return svc;
}

typedef struct admit_tally {
    int ok, shed, other;
} admit_tally;

static void admit_count(micro_ctx *ctx, micro_err err, const hello_answer *rsp, void *arg)
{
    admit_tally *t = arg;

    (void)rsp;
    t->ok += err == MICRO_OK;
    t->shed += err == 503;
    t->other += err != MICRO_OK && err != 503;
    if (err == 503)
        CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "too many requests at once");
}

/* ---- .max_requests --------------------------------------------------------------------------- */

TEST_OF_THREADS(overlap, admit_so_many_at_once)
{
    micro_registry *reg = micro_registry_memory_new();
    admit_gate g = { 0 };
    admit_tally t = { 0, 0, 0 };
    micro_service *svc = admit_server(reg, NULL, &g, 2, false);
    const hello_msg req = { micro_s("John") };
    char out[4096];

    REQUIRE(CHECK_EQ_INT(micro_service_start(svc), MICRO_OK));
    micro_ctx *ctx = micro_ctx_new(svc);
    const micro_call_opts *to =
        MICRO_OPTS(micro_call_opts, .address = micro_service_address(svc), .attempts = 1);
    for (int i = 0; i < 2; i++)
        hello_say_start_with(ctx, "x", &req, to, admit_count, &t);
    CHECK_EQ_INT(raw_until(&g.running, 2), 2);
    hello_answer rsp;
    micro_ctx *own = micro_ctx_new(svc);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ_INT(hello_say_with(own, "x", &req, &rsp, to), 503);
        CHECK_EQ_STR(micro_ctx_error(own)->id, "go.micro.srv.greeter");
        CHECK_EQ_STR(micro_ctx_error(own)->detail, "too many requests at once");
        CHECK_EQ_STR(micro_ctx_error(own)->status, "Service Unavailable");
    }
    int fd = raw_connect(micro_service_address(svc));
    raw_post(fd, "Micro-Method: Debug.Health\r\n", "{}");
    CHECK(strstr(raw_reply(fd, out, sizeof out, 30000), "\"ok\"") != NULL);
    raw_post(fd, "Micro-Method: Say.Hello\r\nMicro-Id: 7\r\n", "{}");
    raw_reply(fd, out, sizeof out, 30000);
    CHECK(strncmp(out, "HTTP/1.1 503 Service Unavailable\r\n", 34) == 0);
    CHECK(strstr(out, "\r\nMicro-Shed: true\r\n") != NULL);
    CHECK(strstr(out, "\r\nMicro-Error: {\"id\":\"go.micro.srv.greeter\",\"code\":503,"
                      "\"detail\":\"too many requests at once\","
                      "\"status\":\"Service Unavailable\"}\r\n") != NULL);
    CHECK(strstr(out, "\r\n\r\n{\"id\":\"go.micro.srv.greeter\",\"code\":503,") != NULL);
    atomic_store(&g.open, true);
    CHECK_EQ_INT(micro_ctx_wait(ctx), MICRO_OK);
    CHECK_EQ_INT(t.ok, 2);
    for (int i = 0; i < 5; i++)
        CHECK_EQ_INT(hello_say_with(own, "x", &req, &rsp, to), MICRO_OK);
    raw_post(fd, "Micro-Method: Say.Hello\r\n", "{}"); /* the connection is good for more */
    CHECK(strstr(raw_reply(fd, out, sizeof out, 30000), "{\"msg\":\"Hello \"}") != NULL);
    close(fd);
    CHECK_EQ_INT(atomic_load(&g.most), 2);
    micro_ctx_free(own);
    micro_ctx_free(ctx);
    micro_service_free(svc);
    micro_registry_free(reg);
}

/* A request that was turned away was not executed, so it goes elsewhere, idempotent or not, in
 * whatever protocol, however it is called. */
TEST_OF_THREADS(overlap, admit_elsewhere)
{
    micro_transport *memory = micro_transport_memory_new();

    for (int round = 0; round < 4; round++) {
        micro_registry *reg = micro_registry_memory_new();
        micro_transport *t = round == 3 ? memory : NULL;
        const char *type = round == 1   ? "application/protobuf"
                           : round == 2 ? "application/json-rpc"
                                        : NULL;
        admit_gate full = { 0 }, idle = { .open = true };
        micro_service *a = admit_server(reg, t, &full, 1, false);
        micro_service *b = admit_server(reg, t, &idle, 1, false);
        micro_service *client =
            micro_service_new(.name = "caller", .registry = reg, .transport = t);
        micro_ctx *ctx = micro_ctx_new(client), *busy = micro_ctx_new(client);
        const hello_msg req = { micro_s("John") };
        const micro_call_opts *o = MICRO_OPTS(micro_call_opts, .content_type = type);
        admit_tally held = { 0, 0, 0 }, tally = { 0, 0, 0 };
        hello_answer rsp;

        NOTE("round %d", round);
        CHECK_EQ_INT(micro_service_start(a), MICRO_OK);
        CHECK_EQ_INT(micro_service_start(b), MICRO_OK);
        hello_say_start_with(busy, "x", &req,
                             MICRO_OPTS(micro_call_opts, .address = micro_service_address(a),
                                        .timeout_ms = MICRO_OFF),
                             admit_count, &held);
        CHECK_EQ_INT(raw_until(&full.running, 1), 1);
        for (int i = 0; i < 20; i++) {
            CHECK_EQ_INT(hello_say_with(ctx, "go.micro.srv.greeter", &req, &rsp, o), MICRO_OK);
            CHECK_EQ_STR(rsp.msg, "Hello John");
        }
        for (int i = 0; i < 10; i++) { /* one after the other: b takes one at a time */
            hello_say_start_with(ctx, "go.micro.srv.greeter", &req, o, admit_count, &tally);
            CHECK_EQ_INT(micro_ctx_wait(ctx), MICRO_OK);
        }
        CHECK_EQ_INT(tally.ok, 10);
        CHECK_EQ_INT(atomic_load(&idle.served), 30);
        atomic_store(&full.open, true);
        CHECK_EQ_INT(micro_ctx_wait(busy), MICRO_OK);
        CHECK_EQ_INT(held.ok, 1);
        micro_ctx_free(busy);
        micro_ctx_free(ctx);
        micro_service_free(client);
        micro_service_free(b);
        micro_service_free(a);
        micro_registry_free(reg);
    }
    micro_transport_free(memory);
}

typedef struct admit_load {
    micro_service *svc;
    admit_gate g;
    atomic_int ok, shed, other;
} admit_load;

static void *admit_storm(void *arg)
{
    admit_load *l = arg;
    micro_ctx *ctx = micro_ctx_new(l->svc);
    const hello_msg req = { micro_s("John") };
    hello_answer rsp;

    for (int i = 0; i < 100; i++) {
        micro_err err = hello_slow_with(
            ctx, "x", &req, &rsp,
            MICRO_OPTS(micro_call_opts, .address = micro_service_address(l->svc), .attempts = 1));
        atomic_fetch_add(err == MICRO_OK ? &l->ok : err == 503 ? &l->shed : &l->other, 1);
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    return NULL;
}

/* Until somebody was turned away it waits, so that there is somebody. */
static micro_err admit_slow(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    admit_load *l = micro_ctx_state(ctx);

    (void)req;
    (void)rsp;
    CHECK(atomic_fetch_add(&l->g.running, 1) < 4);
    micro_block_begin();
    do
        usleep(1000);
    while (!atomic_load(&l->shed) && !micro_ctx_canceled(ctx));
    micro_block_end();
    atomic_fetch_sub(&l->g.running, 1);
    atomic_fetch_add(&l->g.served, 1);
    return MICRO_OK;
}

TEST_OF_THREADS(own, admit_under_load)
{
    enum { CALLERS = 16 };
    micro_registry *reg = micro_registry_memory_new();
    admit_load l = { 0 };
    pthread_t threads[CALLERS];

    l.svc =
        micro_service_new(.address = "127.0.0.1:0", .registry = reg, .max_requests = 4, .loops = 2);
    hello_slow_handle(l.svc, admit_slow, &l);
    REQUIRE(CHECK_EQ_INT(micro_service_start(l.svc), MICRO_OK));
    for (int i = 0; i < CALLERS; i++)
        pthread_create(&threads[i], NULL, admit_storm, &l);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ_INT(atomic_load(&l.ok) + atomic_load(&l.shed), CALLERS * 100);
    CHECK_EQ_INT(atomic_load(&l.other), 0);
    CHECK(atomic_load(&l.ok) > 0 && atomic_load(&l.shed) > 0);
    CHECK_EQ_INT(atomic_load(&l.g.served), atomic_load(&l.ok));
    micro_service_free(l.svc);
    micro_registry_free(reg);
}

/* ---- .function ------------------------------------------------------------------------------- */

static void admit_found(micro_registry *reg, size_t n)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    size_t have = SIZE_MAX;

    for (int i = 0; i < 5000 && have != n; i++) {
        micro_entries found = { NULL, 0, 0 };
        have = 0;
        if (micro_registry_get(reg, ctx, "go.micro.srv.greeter", &found) == MICRO_OK)
            for (size_t k = 0; k < found.len; k++)
                have += found.ptr[k].nodes.len;
        micro_ctx_reset(ctx);
        usleep(1000);
    }
    CHECK_EQ_UINT(have, n);
    micro_ctx_free(ctx);
}

/* Neither Debug nor what reaches no handler counts as the one request. */
static void admit_what_does_not_count(const char *address)
{
    const char *const requests[][2] = {
        { "Micro-Method: Debug.Health\r\n", "{}" },
        { "Micro-Method: Say.Nothing\r\n", "{}" },
        { "Micro-Method: Say.Hello\r\n", "{\"name\":1}" },
    };
    char out[4096];
    int fd = raw_connect(address);

    for (size_t i = 0; i < MICRO_COUNTOF(requests); i++) {
        raw_post(fd, requests[i][0], requests[i][1]);
        CHECK(strncmp(raw_reply(fd, out, sizeof out, 30000), "HTTP/1.1 200 OK", 15) == 0);
    }
    close(fd);
}

TEST_OF_THREADS(own, function_ends_after_one_request)
{
    for (int round = 0; round < 4; round++) {
        micro_registry *reg = micro_registry_memory_new();
        admit_gate g = { .open = true };
        micro_service *svc = admit_server(reg, NULL, &g, 0, true);
        micro_service *client = micro_service_new(.name = "caller", .registry = reg);
        micro_ctx *ctx = micro_ctx_new(client);
        const hello_msg req = { micro_s("John") };
        hello_answer rsp;
        pthread_t t;
        void *end;

        NOTE("round %d", round);
        pthread_create(&t, NULL, hello_run, svc);
        admit_found(reg, 1);
        admit_what_does_not_count(micro_service_address(svc));
        CHECK_EQ_INT(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK);
        CHECK_EQ_STR(rsp.msg, "Hello John");
        pthread_join(t, &end);
        CHECK_EQ_INT((micro_err)(intptr_t)end, MICRO_OK);
        CHECK_EQ_INT(micro_service_exit_code(svc, MICRO_OK), 0);
        CHECK(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp) < 0);
        CHECK_EQ_INT(atomic_load(&g.served), 1);
        micro_ctx_free(ctx);
        micro_service_free(client);
        micro_service_free(svc);
        micro_registry_free(reg);
    }
}

/* While it is at its one request others are told to go elsewhere, and do. */
TEST_OF_THREADS(own, function_turns_others_away)
{
    micro_registry *reg = micro_registry_memory_new();
    admit_gate first = { 0 }, second = { .open = true };
    micro_service *a = admit_server(reg, NULL, &first, 0, true);
    micro_service *b = admit_server(reg, NULL, &second, 0, true);
    micro_service *client = micro_service_new(.name = "caller", .registry = reg);
    micro_ctx *ctx = micro_ctx_new(client), *held = micro_ctx_new(client);
    const hello_msg req = { micro_s("John") };
    hello_answer rsp;
    admit_tally tally = { 0, 0, 0 };
    pthread_t ta, tb;
    char out[4096];
    void *end;

    pthread_create(&ta, NULL, hello_run, a);
    pthread_create(&tb, NULL, hello_run, b);
    admit_found(reg, 2);
    const micro_call_opts *to =
        MICRO_OPTS(micro_call_opts, .address = micro_service_address(a), .timeout_ms = MICRO_OFF);
    hello_say_start_with(held, "x", &req, to, admit_count, &tally);
    CHECK_EQ_INT(raw_until(&first.running, 1), 1);
    int fd = raw_connect(micro_service_address(a));
    raw_post(fd, "Micro-Method: Say.Hello\r\n", "{}");
    bool closed = false;
    raw_read(fd, out, sizeof out - 1, 30000, &closed);
    CHECK(closed);
    CHECK(strncmp(out, "HTTP/1.1 503 ", 13) == 0 && strstr(out, "\r\nMicro-Shed: true\r\n"));
    CHECK(strstr(out, "this function has served its one request") != NULL);
    close(fd);
    CHECK_EQ_INT(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK); /* by b */
    CHECK_EQ_INT(atomic_load(&second.served), 1);
    pthread_join(tb, &end);
    CHECK_EQ_INT((micro_err)(intptr_t)end, MICRO_OK);
    CHECK_EQ_INT(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp), 503); /* a is busy, b gone */
    atomic_store(&first.open, true);
    CHECK_EQ_INT(micro_ctx_wait(held), MICRO_OK);
    CHECK_EQ_INT(tally.ok, 1);
    pthread_join(ta, &end);
    CHECK_EQ_INT((micro_err)(intptr_t)end, MICRO_OK);
    CHECK_EQ_INT(atomic_load(&first.served), 1);
    micro_ctx_free(held);
    micro_ctx_free(ctx);
    micro_service_free(client);
    micro_service_free(b);
    micro_service_free(a);
    micro_registry_free(reg);
}

/* Driven by the program: micro_poll says that it is over. */
TEST(function_driven_by_the_program)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc = micro_service_new(.name = "f", .address = "127.0.0.1:0", .registry = reg,
                                           .loops = MICRO_OFF, .function = true);
    char out[4096];
    micro_err err = MICRO_OK;
    bool closed;

    hello_say_handle(svc, hello_on_say, NULL);
    REQUIRE(CHECK_EQ_INT(micro_service_start(svc), MICRO_OK));
    int fd = raw_connect(micro_service_address(svc));
    raw_post(fd, "Micro-Method: Say.Hello\r\n", "{\"name\":\"p\"}");
    for (int i = 0; i < 500 && (err == MICRO_OK || err == MICRO_EAGAIN); i++)
        err = micro_poll(svc, 10);
    CHECK_EQ_INT(err, MICRO_ECLOSED);
    raw_read(fd, out, sizeof out - 1, 30000, &closed);
    CHECK(closed && strstr(out, "{\"msg\":\"Hello p\"}") != NULL);
    CHECK_EQ_INT(raw_connect(micro_service_address(svc)), -1);
    close(fd);
    micro_service_free(svc);
    micro_registry_free(reg);
}

TEST_OF_THREADS(own, function_over_another_transport)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_transport *t = micro_transport_memory_new();
    admit_gate g = { .open = true };
    micro_service *svc = admit_server(reg, t, &g, 0, true);
    micro_service *client = micro_service_new(.registry = reg, .transport = t);
    micro_ctx *ctx = micro_ctx_new(client);
    const hello_msg req = { micro_s("John") };
    hello_answer rsp;
    pthread_t thread;
    void *end;

    pthread_create(&thread, NULL, hello_run, svc);
    admit_found(reg, 1);
    CHECK_EQ_INT(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "Hello John");
    pthread_join(thread, &end);
    CHECK_EQ_INT((micro_err)(intptr_t)end, MICRO_OK);
    CHECK(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp) < 0);
    CHECK_EQ_INT(atomic_load(&g.served), 1);
    micro_ctx_free(ctx);
    micro_service_free(client);
    micro_service_free(svc);
    micro_transport_free(t);
    micro_registry_free(reg);
}
