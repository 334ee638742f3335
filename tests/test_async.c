/* SPDX-License-Identifier: MIT */
/* Calls that no thread waits for: completions, cancel, deadlines, attempts, fan-out, chains. */
#include "hello.h"
#include "raw.h"

#include <pthread.h>

typedef struct async_fixture {
    micro_registry *reg;
    micro_service *server, *client;
    micro_ctx *ctx;
    int ok, failed, code;
    micro_err last;
    char msg[128];
} async_fixture;

static bool async_setup(async_fixture *f, int loops)
{
    memset(f, 0, sizeof *f);
    f->reg = micro_registry_memory_new();
    f->server = hello_start(
        MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = f->reg, .loops = loops));
    f->client = micro_service_new(.name = "caller", .registry = f->reg);
    f->ctx = micro_ctx_new(f->client);
    return CHECK(f->server && f->client && f->ctx);
}

static void async_teardown(async_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->client);
    micro_service_free(f->server);
    micro_registry_free(f->reg);
}

/* Completions of one ctx share f without a lock. */
static void async_note(micro_ctx *ctx, micro_err err, const hello_answer *rsp, void *arg)
{
    async_fixture *f = arg;

    f->last = err;
    f->code = micro_ctx_error(ctx)->code;
    if (err == MICRO_OK) {
        f->ok++;
        snprintf(f->msg, sizeof f->msg, "%s", rsp->msg.ptr);
    } else {
        f->failed++;
        snprintf(f->msg, sizeof f->msg, "%s", micro_ctx_error(ctx)->detail.ptr);
        CHECK(rsp == NULL);
    }
}

TEST(async_completes)
{
    async_fixture f;
    hello_msg req = { micro_s("John") };
    const char *types[] = { NULL, "application/protobuf", "application/json-rpc" };

    REQUIRE(async_setup(&f, 1));
    for (size_t i = 0; i < MICRO_COUNTOF(types); i++) {
        char type[32] = "", *address = NULL;
        NOTE("%s", types[i] ? types[i] : "default");
        snprintf(type, sizeof type, "%s", types[i] ? types[i] : "application/json");
        hello_say_start_with(f.ctx, "go.micro.srv.greeter", &req,
                             MICRO_OPTS(micro_call_opts, .content_type = type, .address = address),
                             async_note, &f);
        memset(type, 'x', sizeof type); /* options are lent for the start only */
        CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
        CHECK_EQ_INT(f.ok, (int)i + 1);
        CHECK_EQ_TEXT(f.msg, "Hello John");
    }
    hello_say_start_with(f.ctx, "nobody", &req,
                         MICRO_OPTS(micro_call_opts, .address = micro_service_address(f.server)),
                         async_note, &f);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(f.ok, 4);
    async_teardown(&f);
}

TEST(async_errors_come_through_done)
{
    async_fixture f;
    hello_msg req = { micro_s("John") };

    REQUIRE(async_setup(&f, 1));
    hello_fail_start(f.ctx, "go.micro.srv.greeter", &req, async_note, &f);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(f.last, 400);
    CHECK_EQ_TEXT(f.msg, "bad name John");
    hello_say_start(f.ctx, "go.micro.srv.nobody", &req, async_note, &f);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK(f.last == MICRO_ENOTFOUND || f.last == MICRO_ENONODE);
    hello_say_start_with(f.ctx, "x", &req,
                         MICRO_OPTS(micro_call_opts, .address = "127.0.0.1:1", .attempts = 2),
                         async_note, &f);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(f.last, MICRO_ECONNECT);
    CHECK_EQ_TEXT(f.msg, "connection error: dial tcp 127.0.0.1:1: connect: connection refused");
    hello_say_start_with(f.ctx, "x", &req, MICRO_OPTS(micro_call_opts, .content_type = "text/html"),
                         async_note, &f);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(f.last, MICRO_ECODEC);
    hello_say_start_with(f.ctx, "x", &req, MICRO_OPTS(micro_call_opts, .address = "bad address"),
                         async_note, &f);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK(f.last < 0);
    CHECK_EQ_INT(f.ok, 0);
    CHECK_EQ_INT(f.failed, 5);
    micro_ctx *loose = micro_ctx_new(NULL);
    hello_say_start(loose, "x", &req, async_note, &f);
    CHECK_EQ_INT(f.last, MICRO_EINVAL);
    micro_ctx_free(loose);
    async_teardown(&f);
}

TEST_OF_THREADS(overlap, async_times_out_and_is_canceled)
{
    async_fixture f;
    hello_msg req = { micro_s("1000") };

    REQUIRE(async_setup(&f, 1));
    long long start = raw_ms();
    hello_slow_start_with(f.ctx, "go.micro.srv.greeter", &req,
                          MICRO_OPTS(micro_call_opts, .timeout_ms = 100), async_note, &f);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(f.last, MICRO_ETIMEDOUT);
    CHECK_EQ_INT(f.code, 408);
    CHECK(raw_ms() - start >= 95 && raw_ms() - start < 800);
    micro_ctx_set_timeout(f.ctx, 50);
    hello_slow_start(f.ctx, "go.micro.srv.greeter", &req, async_note, &f);
    micro_ctx_set_timeout(f.ctx, MICRO_OFF); /* a child has the deadline of its start */
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(f.last, MICRO_ETIMEDOUT);
    start = raw_ms();
    for (int i = 0; i < 10; i++)
        hello_slow_start(f.ctx, "go.micro.srv.greeter", &req, async_note, &f);
    micro_ctx_set_timeout(f.ctx, 50);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_ETIMEDOUT); /* some go on */
    micro_ctx_cancel(f.ctx);
    micro_ctx_free(f.ctx); /* waits for the completions */
    f.ctx = NULL;
    CHECK_EQ_INT(f.failed, 12);
    CHECK_EQ_INT(f.last, MICRO_ECANCELED);
    CHECK(raw_ms() - start < 800);
    async_teardown(&f);
}

TEST(async_cancel_between_attempts)
{
    async_fixture f;
    hello_msg req = { micro_s("x") };

    REQUIRE(async_setup(&f, 1));
    hello_say_start_with(f.ctx, "x", &req,
                         MICRO_OPTS(micro_call_opts, .address = "127.0.0.1:1", .attempts = 50),
                         async_note, &f);
    raw_sleep(300); /* in the pause before the fourth, about a second long */
    long long start = raw_ms();
    micro_ctx_free(f.ctx);
    f.ctx = NULL;
    CHECK(raw_ms() - start < 300);
    CHECK_EQ_INT(f.failed, 1);
    CHECK_EQ_INT(f.last, MICRO_ECANCELED);
    async_teardown(&f);
}

TEST(async_fan_out_of_a_thousand)
{
    async_fixture f;
    hello_msg req = { micro_s("1") };

    for (int loops = 1; loops <= 2; loops++) {
        NOTE("%d loops", loops);
        REQUIRE(async_setup(&f, loops));
        for (int i = 0; i < 1000; i++)
            hello_say_start(f.ctx, "go.micro.srv.greeter", &req, async_note, &f);
        CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
        CHECK_EQ_INT(f.ok, 1000);
        for (int i = 0; i < 1000; i++)
            hello_say_start(f.ctx, "go.micro.srv.greeter", &req, async_note, &f);
        CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
        CHECK_EQ_INT(f.ok, 2000);
        async_teardown(&f);
    }
}

/* Each completion starts the next call, on its own child's parent: the chain goes through done. */
typedef struct async_chain {
    micro_ctx *ctx;
    int left, ok;
} async_chain;

static void async_next(micro_ctx *ctx, micro_err err, const hello_answer *rsp, void *arg)
{
    async_chain *c = arg;
    const hello_msg req = { micro_s("n") };

    (void)ctx;
    (void)rsp;
    c->ok += err == MICRO_OK;
    if (--c->left > 0)
        hello_say_start(c->ctx, "go.micro.srv.greeter", &req, async_next, c);
}

TEST(async_done_starts_the_next)
{
    async_fixture f;

    REQUIRE(async_setup(&f, 2));
    async_chain c = { f.ctx, 500, 0 };
    const hello_msg req = { micro_s("n") };
    hello_say_start(f.ctx, "go.micro.srv.greeter", &req, async_next, &c);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(c.ok, 500);
    async_teardown(&f);
}

/* ---- from a handler ------------------------------------------------------------------------ */

static void async_join(micro_ctx *ctx, micro_err err, const hello_answer *rsp, void *arg)
{
    (void)ctx;
    if (err == MICRO_OK)
        *(int *)arg += (int)rsp->msg.len;
}

/* Asks three times at once and tells the sum of the lengths; "leave" does not wait. */
static micro_err async_on_spread(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    int sum = 0;

    for (int i = 0; i < 3; i++)
        if (micro_str_eq(req->name, micro_s("leave"))) {
            hello_msg slow = { micro_s("2000") };
            hello_slow_start(ctx, "go.micro.srv.greeter", &slow, async_join, &sum);
        } else {
            hello_say_start(ctx, "go.micro.srv.greeter", req, async_join, &sum);
        }
    if (micro_str_eq(req->name, micro_s("leave"))) {
        rsp->msg = micro_s("left");
        return MICRO_OK;
    }
    micro_err err = micro_ctx_wait(ctx);
    rsp->msg = micro_format(ctx, "%d", sum);
    return err;
}

TEST_OF_THREADS(overlap, async_from_a_handler)
{
    async_fixture f;
    hello_answer rsp;
    hello_msg req = { micro_s("four") };

    REQUIRE(async_setup(&f, 1));
    micro_service *s =
        micro_service_new(.name = "spread", .registry = f.reg, .address = "127.0.0.1:0");
    hello_say_handle(s, async_on_spread, NULL);
    REQUIRE(micro_service_start(s) == MICRO_OK);
    CHECK_EQ_INT(hello_say(f.ctx, "spread", &req, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "30");
    long long start = raw_ms();
    req.name = micro_s("leave");
    CHECK_EQ_INT(hello_say(f.ctx, "spread", &req, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "left");
    CHECK(raw_ms() - start < 1000); /* what was not waited for is canceled */
    micro_service_free(s);
    async_teardown(&f);
}

TEST(async_where_the_program_polls)
{
    async_fixture f;
    hello_answer rsp;
    hello_msg req = { micro_s("p") };

    REQUIRE(async_setup(&f, 1));
    micro_service *own = micro_service_new(.name = "own", .registry = f.reg,
                                           .address = "127.0.0.1:0", .loops = MICRO_OFF);
    micro_ctx *ctx = micro_ctx_new(own);
    for (int i = 0; i < 50; i++)
        hello_say_start(ctx, "go.micro.srv.greeter", &req, async_note, &f);
    CHECK_EQ_INT(micro_ctx_wait(ctx), MICRO_OK);
    CHECK_EQ_INT(f.ok, 50);
    CHECK_EQ_INT(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK);
    hello_msg slow = { micro_s("2000") };
    hello_slow_start(ctx, "go.micro.srv.greeter", &slow, async_note, &f);
    CHECK(micro_poll(own, 10) == MICRO_OK);
    micro_ctx_free(ctx);
    CHECK_EQ_INT(f.failed, 1);
    micro_service_free(own);
    async_teardown(&f);
}

TEST(async_over_another_transport)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_transport *t = micro_transport_memory_new();
    micro_service *server = hello_start(MICRO_OPTS(
        micro_service_opts, .abi_ = MICRO_ABI, .registry = reg, .transport = t, .address = ":0"));
    micro_ctx *ctx = micro_ctx_new(server);
    const hello_msg req = { micro_s("mem") };
    async_fixture f = { 0 };

    for (int i = 0; i < 20; i++)
        hello_say_start(ctx, "go.micro.srv.greeter", &req, async_note, &f);
    CHECK_EQ_INT(micro_ctx_wait(ctx), MICRO_OK);
    CHECK_EQ_INT(f.ok, 20);
    CHECK_EQ_TEXT(f.msg, "Hello mem");
    micro_ctx_free(ctx);
    micro_service_free(server);
    micro_transport_free(t);
    micro_registry_free(reg);
}

/* ---- storms -------------------------------------------------------------------------------- */

static void *async_storm_main(void *arg)
{
    async_fixture *shared = arg;
    async_fixture own = { 0 };

    for (int round = 0; round < 20; round++) {
        micro_ctx *ctx = micro_ctx_new(shared->client);
        for (int i = 0; i < 20; i++) {
            hello_msg req = { micro_s(i % 3 ? "quick" : "20") };
            if (i % 3)
                hello_say_start(ctx, "go.micro.srv.greeter", &req, async_note, &own);
            else
                hello_slow_start_with(ctx, "go.micro.srv.greeter", &req,
                                      MICRO_OPTS(micro_call_opts, .timeout_ms = i % 2 ? 5 : 3000),
                                      async_note, &own);
        }
        if (round % 3 == 0)
            micro_ctx_cancel(ctx);
        else if (round % 3 == 1)
            micro_ignore(micro_ctx_wait(ctx));
        micro_ctx_free(ctx);
    }
    return (void *)(intptr_t)(own.ok + own.failed);
}

TEST_OF_THREADS(own, async_storm_every_call_completes_once)
{
    async_fixture f;
    pthread_t t[4];

    REQUIRE(async_setup(&f, 2));
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, async_storm_main, &f);
    for (int i = 0; i < 4; i++) {
        void *n;
        pthread_join(t[i], &n);
        CHECK_EQ_INT((intptr_t)n, 400);
    }
    async_teardown(&f);
}
