/* SPDX-License-Identifier: MIT */
/* What endpoints count: requests, errors by kind, what runs, latencies; as Debug.Stats tells it. */
#include "chat.h"
#include "events.h"
#include "failing.h"

#include "server/server.h"

#include <dirent.h>

/* ---- the histogram ------------------------------------------------------------------------ */

static uint64_t stats_total(const micro__stats_sum *sum)
{
    uint64_t n = 0;

    for (size_t i = 0; i < MICRO__STATS_BUCKETS; i++)
        n += sum->buckets[i];
    return n;
}

/* A time that is known is not looked up again. */
TEST(stats_begin_when_the_request_was_there)
{
    micro__stats *s = micro__stats_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    uint64_t before = micro__now_ns();

    REQUIRE(s != NULL);
    CHECK(micro__stats_begin(s, ctx) >= before);
    ctx->since = 12345;
    CHECK_EQ_UINT(micro__stats_begin(s, ctx), 12345);
    CHECK(micro__stats_end(s, ctx, before, MICRO__DONE_OK) >= before);
    micro_ctx_free(ctx);
    micro__stats_free(s);
}

TEST(stats_buckets_keep_a_time_to_a_quarter)
{
    micro_ctx *ctx = micro_ctx_new(NULL);

    for (uint64_t us = 0; us < 200000000; us += 1 + us / 7) {
        micro__stats *s = micro__stats_new();
        micro__stats_sum sum;
        NOTE("%llu us", (unsigned long long)us);
        REQUIRE(s != NULL);
        micro__stats_begin(s, ctx);
        micro__stats_end(s, ctx, micro__now_ns() - us * 1000, MICRO__DONE_OK);
        micro__stats_read(s, &sum);
        CHECK_EQ_UINT(sum.requests, 1);
        CHECK_EQ_UINT(stats_total(&sum), 1);
        CHECK(sum.time_ns >= us * 1000);
        uint64_t high = micro__stats_quantile(&sum, 1000), low = micro__stats_quantile(&sum, 0);
        uint64_t most = UINT64_C(1)
                        << MICRO__STATS_OCTAVES; /* beyond it times are not told apart */
        if (us < most)
            CHECK(high >= us * 1000 && low <= sum.time_ns && high - low <= 1000 + low / 4);
        else
            CHECK(low >= most * 1000);
        micro__stats_free(s);
    }
    micro_ctx_free(ctx);
}

TEST(stats_quantiles_of_a_known_spread)
{
    micro__stats *s = micro__stats_new();
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro__stats_sum sum;

    REQUIRE(s != NULL);
    micro__stats_read(s, &sum);
    CHECK_EQ_UINT(micro__stats_quantile(&sum, 500), 0); /* of nothing */
    for (uint64_t i = 1; i <= 1000; i++) { /* 0.1 to 100 s: far more than a test takes */
        micro__stats_begin(s, ctx);
        micro__stats_end(s, ctx, micro__now_ns() - i * 100000000, MICRO__DONE_OK);
    }
    micro__stats_read(s, &sum);
    CHECK_EQ_UINT(sum.requests, 1000);
    for (unsigned per_mille = 100; per_mille <= 900; per_mille += 100) {
        double got = (double)micro__stats_quantile(&sum, per_mille) / 1e8;
        NOTE("%u per mille: %g", per_mille, got);
        CHECK(got > per_mille * 0.8 && got < per_mille * 1.25);
    }
    micro__stats_free(s);
    micro__stats_free(NULL);
    micro_ctx_free(ctx);
}

TEST(stats_outcomes_and_what_runs)
{
    micro__stats *s = micro__stats_new();
    micro_ctx *ctxs[8];
    micro__stats_sum sum;

    REQUIRE(s != NULL);
    for (size_t i = 0; i < MICRO_COUNTOF(ctxs); i++) { /* contexts of several shards */
        ctxs[i] = micro_ctx_new(NULL);
        for (int k = 0; k < MICRO__DONE_COUNT; k++)
            micro__stats_end(s, ctxs[i], micro__stats_begin(s, ctxs[i]), (micro__outcome)k);
        micro__stats_begin(s, ctxs[i]);
    }
    micro__stats_read(s, &sum);
    CHECK_EQ_UINT(sum.requests, 8 * MICRO__DONE_COUNT);
    CHECK_EQ_UINT(sum.running, 8);
    for (int k = 0; k < MICRO__DONE_COUNT; k++)
        CHECK_EQ_UINT(sum.outcomes[k], 8);
    micro__stats_end(NULL, ctxs[0], micro__stats_begin(NULL, ctxs[0]), MICRO__DONE_OK);
    micro__stats_read(NULL, &sum);
    CHECK_EQ_UINT(sum.requests, 0);
    for (size_t i = 0; i < MICRO_COUNTOF(ctxs); i++)
        micro_ctx_free(ctxs[i]);
    micro__stats_free(s);
}

/* Each way: in the shard that is always there, in one that is made, and where none can be. */
TEST(stats_counts_without_memory)
{
    micro__stats *s = micro__stats_new();
    micro_ctx *ctxs[8];
    micro__stats_sum sum;

    REQUIRE(s != NULL);
    for (size_t i = 0; i < MICRO_COUNTOF(ctxs); i++)
        ctxs[i] = micro_ctx_new(NULL);
    failing_begin(1);
    for (size_t i = 0; i < MICRO_COUNTOF(ctxs); i++)
        micro__stats_begin(s, ctxs[i]);
    failing_end();
    for (size_t i = 0; i < MICRO_COUNTOF(ctxs); i++)
        micro__stats_end(s, ctxs[i], 0, MICRO__DONE_OK);
    micro__stats_read(s, &sum);
    CHECK_EQ_UINT(sum.requests, MICRO_COUNTOF(ctxs));
    CHECK_EQ_UINT(sum.running, 0);
    for (size_t i = 0; i < MICRO_COUNTOF(ctxs); i++)
        micro_ctx_free(ctxs[i]);
    micro__stats_free(s);
}

/* ---- Debug.Stats --------------------------------------------------------------------------- */

static const micro_method stats_method = { .size_ = sizeof stats_method,
                                           .name = "Debug.Stats",
                                           .req = &micro_type_empty,
                                           .rsp = &micro_type_value };

typedef struct stats_fixture {
    micro_registry *reg;
    micro_service *svc, *client;
    micro_ctx *ctx;
} stats_fixture;

static bool stats_start(stats_fixture *f)
{
    f->reg = micro_registry_memory_new();
    f->svc = hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = f->reg));
    f->client = micro_service_new(.registry = f->reg, .name = "client");
    f->ctx = micro_ctx_new(f->client);
    return CHECK(f->svc && f->ctx);
}

static void stats_end(stats_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->client);
    micro_service_free(f->svc);
    micro_registry_free(f->reg);
}

static uint64_t stats_number(const micro_value *in, const char *name)
{
    const micro_value *v = micro_value_get(in, name);

    return v->kind == MICRO_VALUE_INT || v->kind == MICRO_VALUE_UINT ? v->as.u : 0;
}

static const micro_value *stats_of(micro_ctx *ctx, const char *service)
{
    micro_value *all = micro_new(ctx, micro_value);
    micro_empty none = { 0 };

    CHECK_EQ_INT(micro_call(ctx, service, &stats_method, &none, all, NULL), MICRO_OK);
    return all;
}

static const micro_value *stats_ask(stats_fixture *f)
{
    return stats_of(f->ctx, "go.micro.srv.greeter");
}

static const micro_value *stats_endpoint(const micro_value *all, const char *name)
{
    const micro_value *list = micro_value_get(all, "endpoints");
    const micro_value *none = micro_value_get(all, "nothing");

    for (size_t i = 0; list->kind == MICRO_VALUE_ARRAY && i < list->as.items.len; i++) {
        const micro_value *e = &list->as.items.ptr[i];
        if (micro_str_eq(micro_value_get(e, "name")->as.text, micro_s(name)))
            return e;
    }
    CHECK(false); /* no endpoint of that name */
    return none;
}

/* Calls n times; all of them end with err. */
static void stats_load(micro_ctx *ctx, const micro_method *m, int n, micro_err err, micro_err other)
{
    const hello_msg req = { micro_s("J") };
    hello_answer rsp;

    for (int i = 0; i < n; i++) {
        micro_err got = micro_call(ctx, "go.micro.srv.greeter", m, &req, &rsp, NULL);
        CHECK(got == err || got == other);
        micro_ctx_reset(ctx);
    }
}

TEST(stats_of_a_counted_load)
{
    stats_fixture f;
    const micro_method unknown = { .size_ = sizeof unknown,
                                   .name = "Say.Nope",
                                   .req = &micro_type_empty,
                                   .rsp = &micro_type_empty };

    REQUIRE(stats_start(&f));
    const micro_value *all = stats_ask(&f);
    CHECK_EQ_UINT(stats_number(all, "requests"), 0);
    CHECK_EQ_UINT(stats_number(stats_endpoint(all, "Say.Hello"), "requests"), 0);
    stats_load(f.ctx, &hello_say_method, 120, MICRO_OK, MICRO_OK);
    stats_load(f.ctx, &hello_fail_method, 30, 400, 400);
    stats_load(f.ctx, &hello_plain_method, 20, MICRO_EPLAIN, MICRO_EREMOTE);
    stats_load(f.ctx, &unknown, 7, MICRO_EPLAIN, MICRO_EREMOTE);
    all = stats_ask(&f);
    CHECK_EQ_UINT(stats_number(all, "requests"), 170);
    CHECK_EQ_UINT(stats_number(all, "errors"), 50);
    CHECK_EQ_UINT(stats_number(all, "rejected"), 7);
    CHECK_EQ_UINT(stats_number(all, "running"), 0);
    const micro_value *say = stats_endpoint(all, "Say.Hello");
    CHECK_EQ_UINT(stats_number(say, "requests"), 120);
    CHECK_EQ_UINT(stats_number(say, "errors"), 0);
    CHECK(stats_number(say, "time") > 0);
    CHECK(stats_number(say, "p50") <= stats_number(say, "p90"));
    CHECK(stats_number(say, "p90") <= stats_number(say, "p99"));
    const micro_value *fail = stats_endpoint(all, "Test.Fail");
    CHECK_EQ_UINT(stats_number(fail, "errors"), 30);
    CHECK_EQ_UINT(stats_number(fail, "client_errors"), 30);
    const micro_value *plain = stats_endpoint(all, "Test.Plain");
    CHECK_EQ_UINT(stats_number(plain, "errors"), 20);
    CHECK_EQ_UINT(stats_number(plain, "client_errors") + stats_number(plain, "server_errors"), 0);
    stats_end(&f);
}

static void *stats_caller(void *arg)
{
    stats_fixture *f = arg;
    micro_ctx *ctx = micro_ctx_new(f->client);

    stats_load(ctx, &hello_say_method, 150, MICRO_OK, MICRO_OK);
    stats_load(ctx, &hello_fail_method, 50, 400, 400);
    micro_ctx_free(ctx);
    return NULL;
}

/* No addition is lost between threads. */
TEST_OF_THREADS(own, stats_of_many_threads)
{
    stats_fixture f;
    pthread_t threads[6];

    REQUIRE(stats_start(&f));
    for (size_t i = 0; i < MICRO_COUNTOF(threads); i++)
        REQUIRE(pthread_create(&threads[i], NULL, stats_caller, &f) == 0);
    for (size_t i = 0; i < MICRO_COUNTOF(threads); i++)
        pthread_join(threads[i], NULL);
    const micro_value *all = stats_ask(&f);
    CHECK_EQ_UINT(stats_number(all, "requests"), 6 * 200);
    CHECK_EQ_UINT(stats_number(all, "errors"), 6 * 50);
    CHECK_EQ_UINT(stats_number(all, "running"), 0);
    stats_end(&f);
}

/* What cannot be read or encoded counts for its endpoint, as the error that it was. */
TEST(stats_count_what_never_reached_the_handler)
{
    stats_fixture f;
    char out[4096];

    REQUIRE(stats_start(&f));
    int fd = raw_connect(micro_service_address(f.svc));
    raw_post(fd, "Micro-Method: Say.Hello\r\n", "{\"name\":1}");
    CHECK(strstr(raw_reply(fd, out, sizeof out, 30000), "Micro-Error") != NULL);
    const micro_value *say = stats_endpoint(stats_ask(&f), "Say.Hello");
    CHECK_EQ_UINT(stats_number(say, "requests"), 1);
    CHECK_EQ_UINT(stats_number(say, "client_errors"), 1);
    close(fd);
    stats_end(&f);
}

static atomic_bool stats_go;

static micro_err stats_on_hold(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    (void)ctx;
    (void)req;
    (void)rsp;
    micro_block_begin();
    while (!atomic_load(&stats_go))
        usleep(1000);
    micro_block_end();
    return MICRO_OK;
}

/* Asks until so many requests run. */
static bool stats_until_running(stats_fixture *f, uint64_t wanted)
{
    for (int i = 0; i < 5000; i++) {
        if (stats_number(stats_endpoint(stats_ask(f), "Test.Slow"), "running") == wanted)
            return true;
        micro_ctx_reset(f->ctx);
        raw_sleep(2);
    }
    return false;
}

TEST_OF_THREADS(overlap, stats_show_what_runs)
{
    stats_fixture f = { .reg = micro_registry_memory_new() };
    int fds[5];

    f.svc = micro_service_new(.name = "go.micro.srv.greeter", .registry = f.reg,
                              .address = "127.0.0.1:0");
    hello_slow_handle(f.svc, stats_on_hold, NULL);
    REQUIRE(micro_service_start(f.svc) == MICRO_OK);
    f.client = micro_service_new(.registry = f.reg, .name = "client");
    f.ctx = micro_ctx_new(f.client);
    for (size_t i = 0; i < MICRO_COUNTOF(fds); i++) {
        fds[i] = raw_connect(micro_service_address(f.svc));
        raw_post(fds[i], "Micro-Method: Test.Slow\r\n", "");
    }
    CHECK(stats_until_running(&f, MICRO_COUNTOF(fds)));
    CHECK_EQ_UINT(stats_number(stats_endpoint(stats_ask(&f), "Test.Slow"), "requests"), 0);
    atomic_store(&stats_go, true);
    CHECK(stats_until_running(&f, 0));
    CHECK_EQ_UINT(stats_number(stats_endpoint(stats_ask(&f), "Test.Slow"), "requests"),
                  MICRO_COUNTOF(fds));
    for (size_t i = 0; i < MICRO_COUNTOF(fds); i++)
        close(fds[i]);
    stats_end(&f);
}

static const micro_value *stats_of_back(chat_fixture *f)
{
    return stats_endpoint(stats_of(f->ctx, "chat"), "Chat.Back");
}

/* The service hears of a stream's end a little later. */
static void stats_until_ended(chat_fixture *f)
{
    for (int i = 0; i < 5000 && stats_number(stats_of_back(f), "running"); i++)
        raw_sleep(2);
    CHECK_EQ_UINT(stats_number(stats_of_back(f), "running"), 0);
}

/* A stream runs, whether or not a thread does, until it has ended. */
TEST_OF_THREADS(stream, stats_of_streams)
{
    chat_fixture f;
    micro_stream *st;
    chat_msg m = { 1, micro_s("a") }, got;

    REQUIRE(chat_begin(&f));
    REQUIRE(CHECK_EQ_INT(chat_back(f.ctx, "chat", &st), MICRO_OK));
    CHECK_EQ_INT(chat_back_send_req(st, &m), MICRO_OK);
    CHECK_EQ_INT(chat_back_recv_rsp(st, &got), MICRO_OK);
    CHECK_EQ_UINT(stats_number(stats_of_back(&f), "running"), 1);
    CHECK_EQ_UINT(stats_number(stats_of_back(&f), "requests"), 0);
    m.text = micro_s("fail");
    CHECK_EQ_INT(chat_back_send_req(st, &m), MICRO_OK);
    CHECK_EQ_INT(chat_back_recv_rsp(st, &got), 403);
    micro_stream_close(st, MICRO_OK);
    stats_until_ended(&f);
    CHECK_EQ_UINT(stats_number(stats_of_back(&f), "requests"), 1);
    CHECK_EQ_UINT(stats_number(stats_of_back(&f), "client_errors"), 1);
    REQUIRE(CHECK_EQ_INT(chat_back(f.ctx, "chat", &st), MICRO_OK));
    CHECK_EQ_INT(micro_stream_end(st), MICRO_OK);
    CHECK_EQ_INT(chat_back_recv_rsp(st, &got), MICRO_EOS);
    micro_stream_close(st, MICRO_OK);
    stats_until_ended(&f);
    CHECK_EQ_UINT(stats_number(stats_of_back(&f), "requests"), 2);
    CHECK_EQ_UINT(stats_number(stats_of_back(&f), "errors"), 1);
    chat_finish(&f);
}

/* Each handling of an event counts, under the name of its topic. */
TEST(stats_of_events)
{
    const char *one = "example.topic.pubsub.1";
    events_seen good = EVENTS_SEEN, bad = EVENTS_SEEN;
    const events_msg msg = { micro_s("id"), 1, micro_s("hello") };
    stats_fixture f = { .reg = micro_registry_memory_new() };
    micro_broker *broker = micro_broker_memory_new();

    bad.result = 404;
    f.svc = micro_service_new(.name = "go.micro.srv.greeter", .registry = f.reg, .broker = broker,
                              .address = "127.0.0.1:0");
    events_one_subscribe(f.svc, events_on, &good);
    events_one_subscribe(f.svc, events_on, &bad);
    events_two_subscribe(f.svc, events_on, &good);
    REQUIRE(micro_service_start(f.svc) == MICRO_OK);
    f.client = micro_service_new(.registry = f.reg, .broker = broker, .name = "client");
    f.ctx = micro_ctx_new(f.client);
    for (int i = 0; i < 10; i++)
        CHECK_EQ_INT(events_one_publish(f.ctx, &msg), MICRO_OK);
    const micro_value *all = stats_ask(&f);
    for (int i = 0; i < 5000 && stats_number(all, "requests") < 20; i++) {
        raw_sleep(2);
        all = stats_ask(&f);
    }
    const micro_value *counted = stats_endpoint(all, one);
    CHECK_EQ_UINT(stats_number(counted, "requests"), 20);
    CHECK_EQ_UINT(stats_number(counted, "client_errors"), 10);
    CHECK_EQ_UINT(stats_number(counted, "errors"), 10);
    CHECK_EQ_UINT(stats_number(stats_endpoint(all, "example.topic.pubsub.2"), "requests"), 0);
    CHECK_EQ_UINT(micro_value_get(all, "endpoints")->as.items.len, 2); /* one a topic */
    stats_end(&f);
    micro_broker_free(broker);
}

/* ---- against /proc ------------------------------------------------------------------------- */

static uint64_t stats_tasks(void)
{
    DIR *dir = opendir("/proc/self/task");
    uint64_t n = 0;

    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static uint64_t stats_resident(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kilobytes = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %llu", &kilobytes) == 1)
            break;
    if (f)
        fclose(f);
    return kilobytes * 1024;
}

/* The service is in this process. What its threads count as memory is off by a little, and it may
 * start or end a thread meanwhile. */
TEST(stats_agree_with_proc)
{
    stats_fixture f;
    bool same = false;

    REQUIRE(stats_start(&f));
    for (int i = 0; i < 100 && !same; i++) {
        uint64_t tasks = stats_tasks(), resident = stats_resident();
        const micro_value *all = stats_ask(&f);
        uint64_t memory = stats_number(all, "memory");
        same = tasks == stats_number(all, "threads") && tasks == stats_tasks() &&
               memory > resident - resident / 4 && memory < resident + resident / 4;
        micro_ctx_reset(f.ctx);
    }
    CHECK(same);
    stats_end(&f);
}
