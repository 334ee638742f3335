/* SPDX-License-Identifier: MIT */
/* A service that the program's own thread drives, and its calls to itself. Where the library has
 * threads, .loops = MICRO_OFF makes such a service. */
#include "hello.h"
#include "raw.h"

#include "os/os.h"

MICRO_METHOD(alone_nest, "Alone.Nest", hello_msg, hello_answer);
MICRO_METHOD(alone_wait, "Alone.Wait", hello_msg, hello_answer);
MICRO_METHOD(alone_stop, "Alone.Stop", hello_msg, hello_answer);

typedef struct alone_fixture {
    micro_registry *reg;
    micro_service *svc;
    micro_ctx *ctx;
} alone_fixture;

/* Calls itself name times; at the bottom tells hops and metadata. */
static micro_err alone_on_nest(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    int depth = atoi(req->name.ptr);
    hello_msg next = { micro_format(ctx, "%d", depth - 1) };

    if (depth > 0)
        return alone_nest(ctx, "alone", &next, rsp);
    rsp->msg = micro_concat(ctx, micro_s("bottom "), micro_metadata_get(ctx, "Trace"));
    return MICRO_OK;
}

static void alone_ignore(micro_ctx *ctx, micro_err err, const hello_answer *rsp, void *arg)
{
    (void)ctx, (void)err, (void)rsp;
    ++*(int *)arg;
}

/* Waits for a call that only this thread could answer. */
static micro_err alone_on_wait(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    static int ended; /* it ends when this has returned */

    hello_say_start(ctx, "alone", req, alone_ignore, &ended);
    micro_err err = micro_ctx_wait(ctx);
    rsp->msg = micro_s("waited");
    return err == MICRO_EBUSY ? micro_fail(ctx, 409, "busy") : err;
}

static micro_err alone_on_stop(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    (void)req;
    rsp->msg = micro_s("asked");
    micro_service_stop(micro_ctx_service(ctx));
    return MICRO_OK;
}

static bool alone_begin(alone_fixture *f, const char *address, const char *advertise)
{
    f->reg = micro_registry_memory_new();
    f->svc = micro_service_new(.name = "alone", .registry = f->reg, .address = address,
                               .advertise = advertise, .loops = MICRO_OFF, .max_body = 100000,
                               .drain_ms = 500);
    hello_say_handle(f->svc, hello_on_say, NULL);
    hello_fail_handle(f->svc, hello_on_fail, NULL);
    hello_plain_handle(f->svc, hello_on_plain, NULL);
    hello_slow_handle(f->svc, hello_on_slow, NULL);
    hello_big_handle(f->svc, hello_on_big, NULL);
    alone_nest_handle(f->svc, alone_on_nest, NULL);
    alone_wait_handle(f->svc, alone_on_wait, NULL);
    alone_stop_handle(f->svc, alone_on_stop, NULL);
    f->ctx = micro_ctx_new(f->svc);
    return CHECK_EQ_INT(micro_service_start(f->svc), MICRO_OK);
}

static void alone_end(alone_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->svc);
    micro_registry_free(f->reg);
}

TEST(alone_calls_itself)
{
    char path[64];
    const char *addresses[] = { "127.0.0.1:0", ":0", "0.0.0.0:0", "[::1]:0", "localhost:0", path };
    const char *types[] = { "application/json", "application/protobuf", "application/json-rpc",
                            "application/proto-rpc" };
    const hello_msg req = { micro_s("John") };
    hello_answer rsp;

    snprintf(path, sizeof path, "unix:/tmp/micro-test-alone-%d.sock", (int)getpid());
    for (size_t i = 0; i < MICRO_COUNTOF(addresses); i++) {
        alone_fixture f;
        REQUIRE(alone_begin(&f, addresses[i], NULL));
        for (size_t k = 0; k < MICRO_COUNTOF(types); k++) {
            NOTE("%s, %s", addresses[i], types[k]);
            CHECK_EQ_INT(hello_say_with(f.ctx, "alone", &req, &rsp,
                                        MICRO_OPTS(micro_call_opts, .content_type = types[k],
                                                   .timeout_ms = 2000)),
                         MICRO_OK);
            CHECK_EQ_STR(rsp.msg, "Hello John");
        }
        alone_end(&f);
    }
}

static micro_err alone_on_event(void *arg, micro_ctx *ctx, const char *topic, const micro_msg *msg)
{
    (void)arg, (void)ctx, (void)topic, (void)msg;
    return MICRO_OK;
}

/* The broker listens too, and what it is asked there that is no event, it answers. */
TEST(alone_asks_its_own_broker)
{
    alone_fixture f;
    micro_entries found;
    micro_sub *sub;
    hello_msg req = { micro_s("John") };
    hello_answer rsp;

    REQUIRE(alone_begin(&f, "127.0.0.1:0", NULL));
    micro_broker *broker = micro_service_broker(f.svc);
    REQUIRE(micro_broker_subscribe(broker, f.ctx, "alone", NULL, alone_on_event, NULL, &sub) ==
            MICRO_OK);
    REQUIRE(micro_registry_get(f.reg, f.ctx, "topic:alone", &found) == MICRO_OK);
    REQUIRE(found.len == 1 && found.ptr[0].nodes.len == 1);
    const char *address = found.ptr[0].nodes.ptr[0].address.ptr;
    CHECK_EQ_INT(
        hello_say_with(f.ctx, "alone", &req, &rsp, MICRO_OPTS(micro_call_opts, .address = address)),
        MICRO_ECODEC);
    CHECK(strstr(micro_ctx_strerror(f.ctx), "404 page not found") != NULL);
    micro_broker_unsubscribe(broker, sub);
    alone_end(&f);
}

TEST(alone_errors_are_those_of_a_connection)
{
    alone_fixture f;
    hello_answer rsp;
    hello_msg req = { micro_s("John") };

    REQUIRE(alone_begin(&f, "127.0.0.1:0", NULL));
    CHECK_EQ_INT(hello_fail(f.ctx, "alone", &req, &rsp), 400);
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "bad name John");
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->id, "alone");
    CHECK_EQ_INT(hello_plain(f.ctx, "alone", &req, &rsp), MICRO_EREMOTE);
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "plain failure");
    CHECK(hello_meta(f.ctx, "alone", &req, &rsp) != MICRO_OK); /* no such method */
    CHECK(strstr(micro_ctx_strerror(f.ctx), "rpc: can't find") != NULL);
    req.name = micro_s("30");
    CHECK_EQ_INT(
        hello_slow_with(f.ctx, "alone", &req, &rsp, MICRO_OPTS(micro_call_opts, .timeout_ms = 10)),
        MICRO_ETIMEDOUT);
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "call timeout: context deadline exceeded");
    req.name = micro_s("90000");
    CHECK_EQ_INT(hello_big(f.ctx, "alone", &req, &rsp), MICRO_OK);
    CHECK_EQ_UINT(rsp.msg.len, 90000);
    req.name = micro_format(f.ctx, "%0100000d", 1);
    CHECK_EQ_INT(hello_say(f.ctx, "alone", &req, &rsp), MICRO_EPROTO);
    CHECK(strstr(micro_ctx_strerror(f.ctx), "413 ") != NULL);
    req.name = micro_s("x");
    micro_metadata_set(f.ctx, "Long", micro_format(f.ctx, "%020000d", 1).ptr);
    CHECK_EQ_INT(hello_say(f.ctx, "alone", &req, &rsp), MICRO_EPROTO);
    CHECK(strstr(micro_ctx_strerror(f.ctx), "431 ") != NULL);
    alone_end(&f);
}

TEST(alone_chains_are_bounded)
{
    alone_fixture f;
    hello_answer rsp;
    hello_msg req = { micro_s("8") };

    REQUIRE(alone_begin(&f, "127.0.0.1:0", NULL));
    micro_metadata_set(f.ctx, "Trace", "t1");
    CHECK_EQ_INT(alone_nest(f.ctx, "alone", &req, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "bottom t1");
    req.name = micro_s("1000");
    CHECK_EQ_INT(alone_nest(f.ctx, "alone", &req, &rsp), 500); /* of the handler that failed */
    CHECK(strstr(micro_ctx_strerror(f.ctx), "nested too deeply") != NULL);
    req.name = micro_s("8");
    CHECK_EQ_INT(alone_nest(f.ctx, "alone", &req, &rsp), MICRO_OK);
    alone_end(&f);
}

/* Reads a reply while it drives the service. */
static const char *alone_reply(alone_fixture *f, int fd, char *out, size_t size)
{
    size_t n = 0;

    for (int i = 0; i < 1000 && !memchr(out, '}', n); i++) {
        micro_ignore(micro_poll(f->svc, 2));
        ssize_t k = recv(fd, out + n, size - n - 1, MSG_DONTWAIT);
        n += k > 0 ? (size_t)k : 0;
    }
    out[n] = 0;
    return out;
}

/* A handler that a connection reached calls its own service; two requests come in one piece. */
TEST(alone_in_a_step)
{
    alone_fixture f;
    char out[4096] = "", one[512], two[512], both[1024];

    REQUIRE(alone_begin(&f, "127.0.0.1:0", NULL));
    int fd = raw_connect(micro_service_address(f.svc));
    snprintf(both, sizeof both, "%s%s",
             raw_post_text(one, sizeof one, "Micro-Method: Say.Hello\r\n", "{\"name\":\"first\"}"),
             raw_post_text(two, sizeof two, "Micro-Method: Alone.Nest\r\n", "{\"name\":\"3\"}"));
    raw_send(fd, both);
    alone_reply(&f, fd, out, sizeof out);
    CHECK(strstr(out, "Hello first") != NULL);
    if (!strstr(out, "bottom"))
        alone_reply(&f, fd, out, sizeof out);
    CHECK(strstr(out, "bottom ") != NULL);
    close(fd);
    alone_end(&f);
}

/* In a handler nobody can wait for what the same thread is to do, however it was called. */
TEST(alone_waiting_in_a_handler_is_busy)
{
    alone_fixture f;
    hello_answer rsp;
    hello_msg req = { micro_s("x") };
    char out[4096] = "";

    REQUIRE(alone_begin(&f, "127.0.0.1:0", NULL));
    CHECK_EQ_INT(alone_wait(f.ctx, "alone", &req, &rsp), 409);
    int fd = raw_connect(micro_service_address(f.svc));
    raw_post(fd, "Micro-Method: Alone.Wait\r\n", "{\"name\":\"x\"}");
    CHECK(strstr(alone_reply(&f, fd, out, sizeof out), "busy") != NULL);
    close(fd);
    alone_end(&f);
}

/* Outside of handlers it drives while it waits, and the calls go through its own port. */
TEST(alone_fans_out_to_itself)
{
    alone_fixture f;
    const hello_msg req = { micro_s("x") };
    int ended = 0;

    REQUIRE(alone_begin(&f, "127.0.0.1:0", NULL));
    for (int i = 0; i < 100; i++)
        hello_say_start(f.ctx, "alone", &req, alone_ignore, &ended);
    CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
    CHECK_EQ_INT(ended, 100);
    alone_end(&f);
}

TEST(alone_stops)
{
    alone_fixture f;
    hello_answer rsp;
    const hello_msg req = { micro_s("x") };
    char address[128];

    REQUIRE(alone_begin(&f, "127.0.0.1:0", NULL));
    snprintf(address, sizeof address, "%s", micro_service_address(f.svc));
    CHECK_EQ_INT(alone_stop(f.ctx, "alone", &req, &rsp), MICRO_OK); /* it only asks */
    CHECK_EQ_STR(rsp.msg, "asked");
    CHECK_EQ_INT(hello_say(f.ctx, "alone", &req, &rsp), MICRO_OK);
    CHECK_EQ_INT(micro_poll(f.svc, 0), MICRO_ECLOSED);
    CHECK_EQ_INT(hello_say_with(f.ctx, "x", &req, &rsp,
                                MICRO_OPTS(micro_call_opts, .address = address, .attempts = 1)),
                 MICRO_ECONNECT);
    alone_end(&f);
}

/* A client that serves nothing has a loop too. */
TEST(alone_client_is_driven)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_service *client = micro_service_new(.name = "c", .registry = reg, .loops = MICRO_OFF);

    CHECK_EQ_INT(micro_poll(client, 0), MICRO_EAGAIN);
    CHECK_EQ_INT(micro_poll_timeout(client), MICRO_OFF);
    CHECK_EQ_INT(micro_poll_fd(client) >= 0, MICRO__POLLER != MICRO__POLLER_POLL);
    micro_service_free(client);
    micro_registry_free(reg);
}

/* Two services of one thread call each other. */
TEST(alone_two_services)
{
    alone_fixture f;
    hello_answer rsp;
    const hello_msg req = { micro_s("John") };

    REQUIRE(alone_begin(&f, "127.0.0.1:0", NULL));
    micro_service *other = micro_service_new(.name = "other", .registry = f.reg,
                                             .address = "127.0.0.1:0", .loops = MICRO_OFF);
    hello_say_handle(other, hello_on_say, NULL);
    REQUIRE(micro_service_start(other) == MICRO_OK);
    micro_ctx *ctx = micro_ctx_new(other);
    CHECK_EQ_INT(hello_say(ctx, "alone", &req, &rsp), MICRO_OK);
    CHECK_EQ_INT(hello_say(f.ctx, "other", &req, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "Hello John");
    micro_ctx_free(ctx);
    micro_service_free(other);
    CHECK(hello_say(f.ctx, "other", &req, &rsp) != MICRO_OK);
    alone_end(&f);
}
