/* SPDX-License-Identifier: MIT */
/* Calls: by name and by address, both protocols, errors, attempts, time-outs, cancellation,
 * metadata. */
#include "hello.h"
#include "raw.h"

#include <pthread.h>

typedef struct call_fixture {
    micro_registry *reg;
    micro_service *server, *client;
    micro_ctx *ctx;
} call_fixture;

static bool call_begin(call_fixture *f)
{
    memset(f, 0, sizeof *f);
    f->reg = micro_registry_memory_new();
    f->server = hello_start(
        MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = f->reg, .drain_ms = 1000));
    f->client = micro_service_new(.name = "caller", .registry = f->reg);
    f->ctx = micro_ctx_new(f->client);
    return CHECK(f->server && f->client && f->ctx);
}

static void call_end(call_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->client);
    micro_service_free(f->server);
    micro_registry_free(f->reg);
}

static const char *call_name(const char *name)
{
    return name;
}

TEST(call_by_name_and_by_address)
{
    call_fixture f;
    hello_answer rsp;
    const hello_msg req = { micro_s("John") };
    const char *types[] = { NULL,
                            "application/json",
                            "application/protobuf",
                            "application/octet-stream",
                            "application/json-rpc",
                            "application/proto-rpc" };

    REQUIRE(call_begin(&f));
    for (size_t i = 0; i < MICRO_COUNTOF(types); i++) {
        NOTE("%s", types[i] ? types[i] : "default");
        CHECK_EQ_INT(hello_say_with(f.ctx, "go.micro.srv.greeter", &req, &rsp,
                                    MICRO_OPTS(micro_call_opts, .content_type = types[i])),
                     MICRO_OK);
        CHECK_EQ_STR(rsp.msg, "Hello John");
        CHECK_EQ_INT(hello_say_with(f.ctx, "nobody", &req, &rsp,
                                    MICRO_OPTS(micro_call_opts, .content_type = types[i],
                                               .address = micro_service_address(f.server))),
                     MICRO_OK);
        CHECK_EQ_STR(rsp.msg, "Hello John");
    }
    call_end(&f);
}

TEST(call_over_the_memory_transport)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_transport *t = micro_transport_memory_new();
    micro_service *server = hello_start(MICRO_OPTS(
        micro_service_opts, .abi_ = MICRO_ABI, .registry = reg, .transport = t, .address = ":0"));
    micro_service *client = micro_service_new(.registry = reg, .transport = t);
    micro_ctx *ctx = micro_ctx_new(client);
    const hello_msg req = { micro_s("John") };
    hello_answer rsp;

    CHECK_EQ_INT(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "Hello John");
    CHECK_EQ_INT(hello_fail(ctx, "go.micro.srv.greeter", &req, &rsp), 400);
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "bad name John");
    CHECK_EQ_INT(
        hello_say_with(ctx, "go.micro.srv.greeter", &req, &rsp,
                       MICRO_OPTS(micro_call_opts, .content_type = "application/protobuf")),
        MICRO_OK);
    micro_service_stop(server);
    CHECK(hello_say(ctx, "go.micro.srv.greeter", &req, &rsp) < 0);
    micro_ctx_free(ctx);
    micro_service_free(client);
    micro_service_free(server);
    micro_transport_free(t);
    micro_registry_free(reg);
}

TEST(call_survives_a_long_reply_of_the_memory_transport)
{
    micro_registry *reg = micro_registry_memory_new();
    micro_transport *t = micro_transport_memory_new();
    micro_service *server = hello_start(MICRO_OPTS(
        micro_service_opts, .abi_ = MICRO_ABI, .registry = reg, .transport = t, .address = ":0"));
    micro_ctx *ctx = micro_ctx_new(server);
    const hello_msg req = { micro_s("20000") };
    hello_answer rsp;

    CHECK_EQ_INT(hello_big(ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK);
    CHECK_EQ_UINT(rsp.msg.len, 20000);
    CHECK(rsp.msg.ptr && rsp.msg.ptr[0] == 'y' && rsp.msg.ptr[19999] == 'y');
    micro_ctx_free(ctx);
    micro_service_free(server);
    micro_transport_free(t);
    micro_registry_free(reg);
}

TEST(call_errors_of_the_service)
{
    call_fixture f;
    hello_answer rsp = { { "stale", 5 } };
    const hello_msg req = { micro_s("John") };
    const char *types[] = { "application/json", "application/protobuf" };

    REQUIRE(call_begin(&f));
    for (size_t i = 0; i < 4; i++) {
        const micro_call_opts *o =
            MICRO_OPTS(micro_call_opts, .content_type = types[i % 2],
                       .address = i < 2 ? NULL : micro_service_address(f.server));
        const char *to = "go.micro.srv.greeter";
        NOTE("case %zu", i);
        CHECK_EQ_INT(hello_fail_with(f.ctx, to, &req, &rsp, o), 400);
        CHECK_EQ_STR(rsp.msg, "");
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->id, "go.micro.srv.greeter");
        CHECK_EQ_INT(micro_ctx_error(f.ctx)->code, 400);
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "bad name John");
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->status, "Bad Request");
        CHECK_EQ_INT(hello_plain_with(f.ctx, to, &req, &rsp, o), MICRO_EREMOTE);
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "plain failure");
        CHECK_EQ_INT(micro_ctx_error(f.ctx)->code, 0);
        CHECK_EQ_INT(hello_say_with(f.ctx, to, &req, &rsp, o), MICRO_OK);
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "");
    }
    call_end(&f);
}

TEST(call_unknown_things)
{
    call_fixture f;
    hello_answer rsp;
    const hello_msg req = { micro_s("John") };
    micro_method nope = hello_say_method;

    REQUIRE(call_begin(&f));
    nope.name = call_name("Say.Nope");
    CHECK_EQ_INT(micro_call(f.ctx, "go.micro.srv.greeter", &nope, &req, &rsp, NULL), MICRO_EREMOTE);
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "rpc: can't find method Nope");
    micro_err err = hello_say(f.ctx, "go.micro.srv.nobody", &req, &rsp);
    CHECK(err == MICRO_ENOTFOUND || err == MICRO_ENONODE);
    CHECK(micro_ctx_strerror(f.ctx)[0] != 0);
    CHECK_EQ_INT(hello_say_with(f.ctx, "x", &req, &rsp,
                                MICRO_OPTS(micro_call_opts, .content_type = "text/html")),
                 MICRO_ECODEC);
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "Unsupported Content-Type: text/html");
    CHECK_EQ_INT(
        hello_say_with(f.ctx, "x", &req, &rsp,
                       MICRO_OPTS(micro_call_opts, .address = "127.0.0.1:1", .attempts = 1)),
        MICRO_ECONNECT);
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail,
                 "connection error: dial tcp 127.0.0.1:1: connect: connection refused");
    CHECK_EQ_INT(micro_ctx_error(f.ctx)->code, 500);
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->id, "go.micro.client");
    call_end(&f);
}

TEST(call_times_out)
{
    call_fixture f;
    hello_answer rsp;
    const hello_msg req = { micro_s("1000") };

    REQUIRE(call_begin(&f));
    long long start = raw_ms();
    CHECK_EQ_INT(hello_slow_with(f.ctx, "go.micro.srv.greeter", &req, &rsp,
                                 MICRO_OPTS(micro_call_opts, .timeout_ms = 100)),
                 MICRO_ETIMEDOUT);
    CHECK(raw_ms() - start >= 95);
    /* without threads the handler has this one until it returns */
    CHECK(raw_ms() - start < (MICRO_OMIT_THREADS ? 5000 : 900));
    CHECK_EQ_INT(micro_ctx_error(f.ctx)->code, 408);
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "call timeout: context deadline exceeded");
    micro_ctx_set_timeout(f.ctx, 50); /* the earlier of the two counts */
    CHECK_EQ_INT(hello_slow(f.ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_ETIMEDOUT);
    CHECK_EQ_INT(hello_slow(f.ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_ETIMEDOUT);
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "context deadline exceeded");
    micro_ctx_set_timeout(f.ctx, MICRO_OFF);
    const hello_msg quick = { micro_s("1") };
    CHECK_EQ_INT(hello_slow(f.ctx, "go.micro.srv.greeter", &quick, &rsp), MICRO_OK);
    call_end(&f);
}

static void *call_cancel_soon(void *arg)
{
    raw_sleep(50);
    micro_ctx_cancel(arg);
    return NULL;
}

TEST_OF_THREADS(own, call_is_canceled_from_another_thread)
{
    call_fixture f;
    hello_answer rsp;
    const hello_msg req = { micro_s("1000") };
    pthread_t t;

    REQUIRE(call_begin(&f));
    pthread_create(&t, NULL, call_cancel_soon, f.ctx);
    long long start = raw_ms();
    CHECK_EQ_INT(hello_slow(f.ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_ECANCELED);
    CHECK(raw_ms() - start < 800);
    pthread_join(t, NULL);
    CHECK_EQ_INT(hello_slow(f.ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_ECANCELED);
    call_end(&f);
}

/* ---- what goes over the wire ------------------------------------------------------------------
 */

/* A peer that reads requests and answers with fixed bytes, one after the other; NULL ends. */
typedef struct call_peer {
    int listener;
    const char *const *replies;
    char address[32];
    char seen[8192];
    int conns;
    pthread_t thread;
} call_peer;

static void *call_peer_main(void *arg)
{
    call_peer *p = arg;
    const char *const *reply = p->replies;

    while (*reply) {
        struct pollfd w = { .fd = p->listener, .events = POLLIN };
        if (poll(&w, 1, 3000) <= 0)
            break;
        int fd = accept(p->listener, NULL, NULL);
        if (fd < 0)
            break;
        p->conns++;
        for (; *reply; reply++) {
            if (!strcmp(*reply, "(close)")) {
                reply++;
                break;
            }
            char *one = raw_reply(fd, p->seen, sizeof p->seen, 3000) ? p->seen : NULL;
            if (!one[0])
                break;
            raw_send(fd, *reply);
        }
        close(fd);
    }
    return NULL;
}

static void call_peer_begin(call_peer *p, const char *const *replies)
{
    memset(p, 0, sizeof *p);
    p->replies = replies;
    p->listener = raw_listen(p->address);
    CHECK(p->listener >= 0);
    pthread_create(&p->thread, NULL, call_peer_main, p);
}

static void call_peer_end(call_peer *p)
{
    pthread_join(p->thread, NULL);
    close(p->listener);
}

static micro_err call_to(const char *address, micro_ctx *ctx, hello_answer *rsp, int attempts,
                         bool idempotent)
{
    const hello_msg req = { micro_s("John") };
    return hello_say_with(ctx, "go.micro.srv.greeter", &req, rsp,
                          MICRO_OPTS(micro_call_opts, .address = address, .timeout_ms = 2000,
                                     .attempts = attempts, .idempotent = idempotent));
}

#define CALL_OK \
    "HTTP/1.1 200 OK\r\nContent-Length: " \
    "45\r\n\r\n{\"id\":0,\"result\":{\"msg\":\"ok\"},\"error\":null}  "

TEST(call_sends_the_2018_envelope_alone_to_a_bare_address)
{
    const char *replies[] = { CALL_OK, NULL };
    call_peer p;
    micro_service *svc = micro_service_new(.name = "caller");
    micro_ctx *ctx = micro_ctx_new(svc);
    hello_answer rsp;

    call_peer_begin(&p, replies);
    micro_metadata_set(ctx, "Foo", "bar");
    micro_metadata_set(ctx, "Content-Length", "7");
    CHECK_EQ_INT(call_to(p.address, ctx, &rsp, 1, false), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "ok");
    CHECK(!strncmp(p.seen, "POST / HTTP/1.1\r\nHost: 127.0.0.1:", 33));
    CHECK(strstr(p.seen, "\r\nContent-Type: application/json\r\n") != NULL);
    CHECK(strstr(p.seen, "\r\nContent-Length: 57\r\n") != NULL);
    CHECK(strstr(p.seen, "\r\nFoo: bar\r\n") != NULL);
    CHECK(strstr(p.seen, "\r\nX-Micro-From-Service: caller\r\n") != NULL);
    CHECK(strstr(p.seen, "Micro-Method") == NULL && strstr(p.seen, "Content-Length: 7\r") == NULL);
    char *timeout = strstr(p.seen, "\r\nTimeout: ");
    CHECK(timeout && strtoull(timeout + 11, NULL, 10) > 1500000000u &&
          strtoull(timeout + 11, NULL, 10) <= 2000000000u);
    CHECK_EQ_TEXT(strstr(p.seen, "\r\n\r\n") + 4,
                  "{\"method\":\"Say.Hello\",\"params\":[{\"name\":\"John\"}],\"id\":0}\n");
    call_peer_end(&p);
    micro_ctx_free(ctx);
    micro_service_free(svc);
}

TEST(call_attempts_only_on_proof)
{
    static const struct {
        const char *what;
        const char *replies[5];
        bool idempotent;
        micro_err want;
        int conns;
    } cases[] = {
        { "connection lost after the request",
          { "", "(close)", CALL_OK, NULL },
          false,
          MICRO_EIO,
          1 },
        { "the same, idempotent", { "HTTP/1.1 ", "(close)", CALL_OK, NULL }, true, MICRO_OK, 2 },
        { "status 500",
          { "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", "(close)", NULL },
          false,
          MICRO_EPROTO,
          1 },
        { "status 500, idempotent",
          { "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", "(close)", CALL_OK, NULL },
          true,
          MICRO_OK,
          2 },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        call_peer p;
        micro_service *svc = micro_service_new(.name = "caller");
        micro_ctx *ctx = micro_ctx_new(svc);
        hello_answer rsp;
        NOTE("%s", cases[i].what);
        call_peer_begin(&p, cases[i].replies);
        CHECK_EQ_INT(call_to(p.address, ctx, &rsp, 2, cases[i].idempotent), cases[i].want);
        shutdown(p.listener, SHUT_RDWR); /* it may still wait for a second connection */
        call_peer_end(&p);
        CHECK_EQ_INT(p.conns, cases[i].conns);
        micro_ctx_free(ctx);
        micro_service_free(svc);
    }
}

TEST(call_keeps_the_connection_and_notices_a_closed_one)
{
    const char *replies[] = { CALL_OK, CALL_OK, "(close)", CALL_OK, NULL };
    call_peer p;
    micro_service *svc = micro_service_new(.name = "caller");
    micro_ctx *ctx = micro_ctx_new(svc);
    hello_answer rsp;

    call_peer_begin(&p, replies);
    CHECK_EQ_INT(call_to(p.address, ctx, &rsp, 1, false), MICRO_OK);
    CHECK_EQ_INT(call_to(p.address, ctx, &rsp, 1, false), MICRO_OK);
    raw_sleep(50); /* the peer closes meanwhile: nothing is sent into a dead connection */
    CHECK_EQ_INT(call_to(p.address, ctx, &rsp, 1, false), MICRO_OK);
    call_peer_end(&p);
    CHECK_EQ_INT(p.conns, 2);
    micro_ctx_free(ctx);
    micro_service_free(svc);
}

TEST(call_reads_replies_however_they_are_framed)
{
    static const struct {
        const char *reply, *msg;
        micro_err want;
    } cases[] = {
        { CALL_OK, "ok", MICRO_OK },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n33\r\n"
          "{\"id\":0,\"result\":{\"msg\":\"chunked\"},\"error\":null}   \r\n0\r\n\r\n",
          "chunked", MICRO_OK },
        { "HTTP/1.0 200 OK\r\n\r\n{\"id\":0,\"result\":{\"msg\":\"close\"},\"error\":null}",
          "close", MICRO_OK },
        { "HTTP/1.1 100 Continue\r\n\r\n" CALL_OK, "ok", MICRO_OK },
        { "HTTP/1.1 200 OK\r\nMicro-Error: oops\r\nContent-Length: 0\r\n\r\n", "", MICRO_EREMOTE },
        { "HTTP/1.1 200 OK\r\nMicro-Error: "
          "{\"id\":\"a\",\"code\":409,\"detail\":\"d\",\"status\":\"s\"}\r\n"
          "Content-Length: 0\r\n\r\n",
          "", 409 },
        { "HTTP/1.1 200 OK\r\nContent-Length: "
          "50\r\n\r\n{\"id\":\"\",\"result\":null,\"error\":\"x\"}",
          "", MICRO_EIO },
        { "HTTP/1.1 200 OK\r\nContent-Length: "
          "38\r\n\r\n{\"id\":\"\",\"result\":null,\"error\":\"gone\"}",
          "", MICRO_EREMOTE },
        { "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbad!", "",
          MICRO_ECODEC },
        { "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbad!", "", MICRO_EFORMAT },
        { "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n", "", MICRO_EPROTO },
        { "nonsense\r\n\r\n", "", MICRO_EPROTO },
        { "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", "", MICRO_ETOOBIG },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        const char *replies[] = { cases[i].reply, NULL };
        call_peer p;
        micro_service *svc = micro_service_new(.name = "caller");
        micro_ctx *ctx = micro_ctx_new(svc);
        hello_answer rsp = { { "stale", 5 } };
        NOTE("case %zu: %s", i, cases[i].reply);
        call_peer_begin(&p, replies);
        CHECK_EQ_INT(call_to(p.address, ctx, &rsp, 1, false), cases[i].want);
        CHECK_EQ_STR(rsp.msg, cases[i].msg);
        call_peer_end(&p);
        micro_ctx_free(ctx);
        micro_service_free(svc);
    }
}

TEST(call_bounds_interim_replies)
{
    static char endless[64 * 26 + 1];
    const char *replies[] = { endless, NULL };
    call_peer p;
    micro_service *svc = micro_service_new(.name = "caller");
    micro_ctx *ctx = micro_ctx_new(svc);
    hello_answer rsp;

    for (int i = 0; i < 64; i++)
        strcat(endless, "HTTP/1.1 100 Continue\r\n\r\n");
    call_peer_begin(&p, replies);
    CHECK_EQ_INT(call_to(p.address, ctx, &rsp, 1, false), MICRO_EPROTO);
    call_peer_end(&p);
    micro_ctx_free(ctx);
    micro_service_free(svc);
}

/* ---- chains -----------------------------------------------------------------------------------
 */

/* Calls itself name times through the network, and tells what it saw. */
static micro_err call_on_nest(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    int depth = atoi(req->name.ptr);

    if (depth == 0) {
        rsp->msg = micro_format(ctx, "%s|%s|%s|%d", micro_metadata_get(ctx, "Trace-Id").ptr,
                                micro_metadata_get(ctx, "X-Micro-From-Service").ptr,
                                micro_metadata_get(ctx, "X-Hop-Count").ptr,
                                micro_ctx_time_left(ctx) < 1000);
        return MICRO_OK;
    }
    hello_msg next = { micro_format(ctx, "%d", depth - 1) };
    return hello_say(ctx, "nest", &next, rsp);
}

TEST(call_chains_into_itself)
{
    call_fixture f;
    hello_answer rsp;
    const hello_msg req = { micro_s("5") };

    REQUIRE(call_begin(&f));
    micro_service *nest =
        micro_service_new(.name = "nest", .registry = f.reg, .address = "127.0.0.1:0");
    hello_say_handle(nest, call_on_nest, NULL);
    REQUIRE(micro_service_start(nest) == MICRO_OK);
    micro_metadata_set(f.ctx, "Trace-Id", "t7");
    micro_metadata_set(f.ctx, "Accept", "x");
    CHECK_EQ_INT(
        hello_say_with(f.ctx, "nest", &req, &rsp, MICRO_OPTS(micro_call_opts, .timeout_ms = 900)),
        MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "t7|nest||1"); /* the hop count is the library's own */
    micro_service_free(nest);
    call_end(&f);
}

/* Passes on to the address in name. */
static micro_err call_on_pass(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    const hello_msg next = { micro_s("John") };

    return hello_say_with(ctx, "x", &next, rsp,
                          MICRO_OPTS(micro_call_opts, .address = req->name.ptr));
}

TEST(call_counts_hops)
{
    const char *replies[] = { CALL_OK, NULL };
    call_fixture f;
    call_peer p;
    hello_answer rsp;

    REQUIRE(call_begin(&f));
    micro_service *pass =
        micro_service_new(.name = "pass", .registry = f.reg, .address = "127.0.0.1:0");
    hello_say_handle(pass, call_on_pass, NULL);
    REQUIRE(micro_service_start(pass) == MICRO_OK);
    call_peer_begin(&p, replies);
    const hello_msg req = { micro_s(p.address) };
    micro_metadata_set(f.ctx, "X-Hop-Count", "7"); /* not the program's to say */
    CHECK_EQ_INT(hello_say(f.ctx, "pass", &req, &rsp), MICRO_OK);
    CHECK(strstr(p.seen, "\r\nX-Hop-Count: 1\r\n") != NULL);
    call_peer_end(&p);
    micro_service_free(pass);
    call_end(&f);
}

/* ---- options and misuse -----------------------------------------------------------------------
 */

TEST(call_options_of_other_headers)
{
    struct {
        micro_call_opts o;
        int more;
    } longer = { { 0 }, 0 };
    call_fixture f;
    hello_answer rsp;
    const hello_msg req = { micro_s("John") };

    REQUIRE(call_begin(&f));
    longer.o.size_ = sizeof longer;
    CHECK_EQ_INT(hello_say_with(f.ctx, "go.micro.srv.greeter", &req, &rsp, &longer.o), MICRO_OK);
    longer.more = 1;
    CHECK_EQ_INT(hello_say_with(f.ctx, "go.micro.srv.greeter", &req, &rsp, &longer.o),
                 MICRO_EVERSION);
    longer.o.size_ = 0;
    CHECK_EQ_INT(hello_say_with(f.ctx, "go.micro.srv.greeter", &req, &rsp, &longer.o), MICRO_OK);
    call_end(&f);
}

TEST(call_null_and_sticky)
{
    hello_answer rsp = { { "stale", 5 } };
    const hello_msg req = { micro_s("John") };
    micro_ctx *loose = micro_ctx_new(NULL);

    CHECK_EQ_INT(hello_say(NULL, "x", &req, &rsp), MICRO_ENOMEM);
    CHECK_EQ_INT(hello_say(loose, "x", &req, &rsp), MICRO_EINVAL);
    CHECK_EQ_STR(rsp.msg, "");
    micro_ctx_free(loose);
    call_fixture f;
    REQUIRE(call_begin(&f));
    micro_metadata_set(f.ctx, "bad", "a\nb");
    CHECK_EQ_INT(hello_say(f.ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_EINVAL);
    CHECK_EQ_INT(hello_say(f.ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK);
    call_end(&f);
}

static bool call_refuse_all(void *arg, const micro_node *node)
{
    (void)node;
    ++*(int *)arg;
    return false;
}

TEST(call_filters)
{
    call_fixture f;
    hello_answer rsp;
    const hello_msg req = { micro_s("John") };
    int asked = 0;

    REQUIRE(call_begin(&f));
    const struct {
        micro_call_opts o;
        micro_err want;
    } cases[] = {
        { { .version = "1.0.0" }, MICRO_OK },
        { { .version = "2.0.0" }, MICRO_ENONODE },
        { { .label = "transport=http" }, MICRO_OK },
        { { .label = "transport=rabbitmq" }, MICRO_ENONODE },
        { { .listed = true }, MICRO_OK },
        { { .filter = call_refuse_all, .arg = &asked }, MICRO_ENONODE },
        { { .strategy = &micro_strategy_round_robin }, MICRO_OK },
    };
    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        NOTE("case %zu", i);
        CHECK_EQ_INT(hello_say_with(f.ctx, "go.micro.srv.greeter", &req, &rsp, &cases[i].o),
                     cases[i].want);
    }
    CHECK(asked > 0);
    call_end(&f);
}

static void *call_many_main(void *arg)
{
    call_fixture *f = arg;
    micro_ctx *ctx = micro_ctx_new(f->client);
    intptr_t bad = 0;

    for (int i = 0; i < 200; i++) {
        hello_answer rsp;
        hello_msg req = { micro_format(ctx, "%d", i) };
        micro_str want = micro_format(ctx, "Hello %d", i);
        bad += hello_say(ctx, "go.micro.srv.greeter", &req, &rsp) != MICRO_OK ||
               !micro_str_eq(rsp.msg, want);
        micro_ctx_reset(ctx);
    }
    micro_ctx_free(ctx);
    return (void *)bad;
}

TEST_OF_THREADS(own, call_from_many_threads)
{
    call_fixture f;
    pthread_t t[8];

    REQUIRE(call_begin(&f));
    for (int i = 0; i < 8; i++)
        pthread_create(&t[i], NULL, call_many_main, &f);
    for (int i = 0; i < 8; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        CHECK_EQ_INT((intptr_t)bad, 0);
    }
    call_end(&f);
}
