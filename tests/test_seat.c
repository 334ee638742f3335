/* SPDX-License-Identifier: MIT */
/* The driver's seat: handlers that block without saying so, chains into itself, the cap, storms. */
#include "hello.h"
#include "raw.h"

#include <pthread.h>

MICRO_METHOD(seat_sleep, "Seat.Sleep", hello_msg, hello_answer);
MICRO_METHOD(seat_nest, "Seat.Nest", hello_msg, hello_answer);
MICRO_METHOD(seat_gather, "Seat.Gather", hello_msg, hello_answer);

static atomic_int seat_asleep, seat_most_asleep, seat_nested;
static atomic_bool seat_sleep_on; /* until the test says otherwise */

/* Sleeps name ms, and for as long as it has to; says nothing about it. */
static micro_err seat_on_sleep(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    int now = atomic_fetch_add(&seat_asleep, 1) + 1;

    (void)ctx;
    if (now > atomic_load(&seat_most_asleep))
        atomic_store(&seat_most_asleep, now);
    do
        usleep((useconds_t)atoi(req->name.ptr) * 1000u);
    while (atomic_load(&seat_sleep_on));
    atomic_fetch_sub(&seat_asleep, 1);
    rsp->msg = micro_s("slept");
    return MICRO_OK;
}

static micro_err seat_on_nest(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    int depth = atoi(req->name.ptr);
    hello_msg next = { micro_format(ctx, "%d", depth - 1) };

    seat_nested++;
    if (depth > 0)
        return seat_nest(ctx, "seat", &next, rsp);
    rsp->msg = micro_s("bottom");
    return MICRO_OK;
}

#define SEAT_FAN 5

static _Thread_local bool seat_waits; /* this thread, in a handler, for calls */

static void seat_on_gathered(micro_ctx *ctx, micro_err err, const hello_answer *rsp, void *arg)
{
    int *ok = arg;

    (void)ctx;
    *ok += err == MICRO_OK && micro_str_eq(rsp->msg, micro_s("together"));
}

/* Several calls to the address in name, and waits for all. */
static micro_err seat_on_gather(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    int ok = 0;

    for (int i = 0; i < SEAT_FAN; i++)
        seat_gather_start_with(ctx, "peer", req,
                               MICRO_OPTS(micro_call_opts, .address = req->name.ptr),
                               seat_on_gathered, &ok);
    seat_waits = true;
    micro_ignore(micro_ctx_wait(ctx));
    seat_waits = false;
    rsp->msg = ok == SEAT_FAN ? micro_s("all") : micro_s("not all");
    return MICRO_OK;
}

typedef struct seat_fixture {
    micro_registry *reg;
    micro_service *svc, *client;
    micro_broker *broker; /* NULL: the usual one */
    int idle_ms;
} seat_fixture;

static bool seat_setup(seat_fixture *f, int loops, int max_threads)
{
    f->reg = micro_registry_memory_new();
    f->svc = micro_service_new(.name = "seat", .registry = f->reg, .address = "127.0.0.1:0",
                               .loops = loops, .max_threads = max_threads, .drain_ms = 3000,
                               .idle_ms = f->idle_ms, .broker = f->broker);
    f->client = micro_service_new(.registry = f->reg, .name = "client");
    hello_say_handle(f->svc, hello_on_say, NULL);
    seat_sleep_handle(f->svc, seat_on_sleep, NULL);
    seat_nest_handle(f->svc, seat_on_nest, NULL);
    seat_gather_handle(f->svc, seat_on_gather, NULL);
    return CHECK_EQ_INT(micro_service_start(f->svc), MICRO_OK);
}

static void seat_teardown(seat_fixture *f)
{
    micro_service_free(f->client);
    micro_service_free(f->svc);
    micro_registry_free(f->reg);
}

typedef struct seat_caller {
    pthread_t thread;
    micro_service *client;
    const micro_method *method;
    const char *name;
    int count, failed;
} seat_caller;

static void *seat_caller_main(void *arg)
{
    seat_caller *c = arg;

    for (int i = 0; i < c->count; i++) {
        micro_ctx *ctx = micro_ctx_new(c->client);
        hello_msg req = { micro_s(c->name) };
        hello_answer rsp;
        if (micro_call(ctx, "seat", c->method, &req, &rsp,
                       MICRO_OPTS(micro_call_opts, .timeout_ms = 8000)))
            c->failed++;
        micro_ctx_free(ctx);
    }
    return NULL;
}

static int seat_storm(seat_fixture *f, const micro_method *m, const char *name, int callers,
                      int count)
{
    seat_caller *c = calloc((size_t)callers, sizeof *c);
    int failed = 0;

    for (int i = 0; i < callers; i++) {
        c[i] = (seat_caller){ .client = f->client, .method = m, .name = name, .count = count };
        pthread_create(&c[i].thread, NULL, seat_caller_main, &c[i]);
    }
    for (int i = 0; i < callers; i++) {
        pthread_join(c[i].thread, NULL);
        failed += c[i].failed;
    }
    free(c);
    return failed;
}

TEST_OF_THREADS(overlap, seat_undeclared_sleep_stops_nobody)
{
    seat_fixture f = { 0 };
    seat_caller slow = { 0 };

    REQUIRE(seat_setup(&f, 1, 0));
    slow =
        (seat_caller){ .client = f.client, .method = &seat_sleep_method, .name = "1", .count = 1 };
    atomic_store(&seat_sleep_on, true);
    pthread_create(&slow.thread, NULL, seat_caller_main, &slow);
    CHECK_EQ_INT(raw_until(&seat_asleep, 1), 1);
    CHECK_EQ_INT(seat_storm(&f, &hello_say_method, "x", 1, 20), 0);
    CHECK_EQ_INT(atomic_load(&seat_asleep), 1); /* all the time */
    atomic_store(&seat_sleep_on, false);
    pthread_join(slow.thread, NULL);
    CHECK_EQ_INT(slow.failed, 0);
    seat_teardown(&f);
}

TEST_OF_THREADS(overlap, seat_undeclared_sleeps_overlap)
{
    seat_fixture f = { 0 };

    REQUIRE(seat_setup(&f, 2, 0));
    CHECK_EQ_INT(seat_storm(&f, &seat_sleep_method, "100", 40, 3), 0);
    CHECK(atomic_load(&seat_most_asleep) > 6); /* one after the other on two loops: 2 */
    seat_teardown(&f);
}

TEST_OF_THREADS(chain, seat_chains_below_the_cap_complete)
{
    seat_fixture f = { 0 };

    REQUIRE(seat_setup(&f, 2, 0));
    CHECK_EQ_INT(seat_storm(&f, &seat_nest_method, "5", 16, 10), 0);
    seat_teardown(&f);
}

TEST_OF_THREADS(own, seat_at_the_cap_nothing_is_lost)
{
    seat_fixture f = { 0 };

    micro_log_set(MICRO_LOG_NONE, NULL, NULL);
    REQUIRE(seat_setup(&f, 2, 6));
    CHECK_EQ_INT(seat_storm(&f, &seat_sleep_method, "20", 30, 4), 0);
    CHECK_EQ_INT(seat_storm(&f, &hello_say_method, "x", 8, 50), 0);
    seat_teardown(&f);
}

/* All kinds at once, while connections come and go. */
TEST_OF_THREADS(own, seat_mixed_storm)
{
    int loops[] = { 1, 2, 8 };

    for (size_t k = 0; k < MICRO_COUNTOF(loops); k++) {
        seat_fixture f = { 0 };
        seat_caller c[12] = { 0 };
        NOTE("%d loops", loops[k]);
        REQUIRE(seat_setup(&f, loops[k], 0));
        for (int i = 0; i < 12; i++) {
            const struct {
                const micro_method *m;
                const char *name;
                int count;
            } kinds[] = { { &hello_say_method, "x", 200 },
                          { &seat_sleep_method, "3", 30 },
                          { &seat_nest_method, "2", 30 } };
            c[i] = (seat_caller){ .client = f.client,
                                  .method = kinds[i % 3].m,
                                  .name = kinds[i % 3].name,
                                  .count = kinds[i % 3].count };
            pthread_create(&c[i].thread, NULL, seat_caller_main, &c[i]);
        }
        for (int i = 0; i < 60; i++) {
            int fd = raw_connect(micro_service_address(f.svc));
            raw_post(fd, "Micro-Method: Seat.Sleep\r\n", "{\"name\":\"2\"}");
            raw_sleep(i % 4);
            close(fd);
        }
        for (int i = 0; i < 12; i++) {
            pthread_join(c[i].thread, NULL);
            CHECK_EQ_INT(c[i].failed, 0);
        }
        seat_teardown(&f);
    }
}

/* ---- the cap ------------------------------------------------------------------------------- */

static struct {
    atomic_int held_back, full;
} seat_log;

static void seat_on_log(void *arg, int level, const char *file, int line, const char *text,
                        size_t len)
{
    (void)arg, (void)level, (void)file, (void)line, (void)len;
    seat_log.held_back += strstr(text, "threads are few") != NULL;
    seat_log.full += strstr(text, "no thread of") != NULL;
}

/* Far more callers than threads: what has come furthest always finds one. */
TEST_OF_THREADS(chain, seat_chains_at_the_cap_complete)
{
    seat_fixture f = { 0 };

    micro_log_set(MICRO_LOG_WARN, seat_on_log, NULL);
    for (int loops = 1; loops <= 2; loops++) {
        NOTE("%d loops", loops);
        REQUIRE(seat_setup(&f, loops, 8));
        CHECK_EQ_INT(seat_storm(&f, &seat_nest_method, "2", 30, 5), 0);
        seat_teardown(&f);
    }
    CHECK_EQ_INT(seat_log.held_back, 2); /* once for each */
}

/* Of two callers that wait for threads one goes away: its request is not executed any more. */
TEST_OF_THREADS(own, seat_request_held_back_ends_with_its_caller)
{
    enum { SLEEPERS = 3 };
    seat_fixture f = { 0 };
    char out[1024];
    int fds[SLEEPERS];

    micro_log_set(MICRO_LOG_WARN, seat_on_log, NULL);
    REQUIRE(seat_setup(&f, 1, SLEEPERS + 1));
    CHECK_EQ_INT(seat_storm(&f, &seat_nest_method, "1", 1, 1), 0); /* that it waits is seen */
    CHECK_EQ_INT(seat_nested, 2);
    atomic_store(&seat_sleep_on, true);
    for (int i = 0; i < SLEEPERS; i++) {
        fds[i] = raw_connect(micro_service_address(f.svc));
        raw_post(fds[i], "Micro-Method: Seat.Sleep\r\n", "{\"name\":\"1\"}");
    }
    REQUIRE(CHECK_EQ_INT(raw_until(&seat_asleep, SLEEPERS), SLEEPERS));
    int gone = raw_connect(micro_service_address(f.svc));
    int stays = raw_connect(micro_service_address(f.svc));
    raw_post(gone, "Micro-Method: Seat.Nest\r\n", "{\"name\":\"0\"}");
    CHECK_EQ_INT(raw_until(&seat_log.held_back, 1), 1);
    raw_post(stays, "Micro-Method: Seat.Nest\r\n", "{\"name\":\"0\"}");
    close(gone);
    CHECK_EQ_INT(seat_storm(&f, &hello_say_method, "x", 1, 1), 0); /* by then it is known */
    CHECK_EQ_INT(seat_nested, 2);
    atomic_store(&seat_sleep_on, false);
    CHECK(strstr(raw_reply(stays, out, sizeof out, 4000), "bottom"));
    CHECK_EQ_INT(seat_nested, 3);
    close(stays);
    for (int i = 0; i < SLEEPERS; i++)
        close(fds[i]);
    seat_teardown(&f);
}

/* One chain that is longer than there are threads. */
TEST_OF_THREADS(chain, seat_chain_past_the_cap_ends_clearly)
{
    seat_fixture f = { 0 };
    hello_msg req = { micro_s("12") };
    hello_answer rsp;

    micro_log_set(MICRO_LOG_ERROR, seat_on_log, NULL);
    REQUIRE(seat_setup(&f, 2, 8));
    micro_ctx *ctx = micro_ctx_new(f.client);
    CHECK(micro_call(ctx, "seat", &seat_nest_method, &req, &rsp,
                     MICRO_OPTS(micro_call_opts, .timeout_ms = 1000)) != MICRO_OK);
    CHECK_EQ_INT(micro_ctx_error(ctx)->code, 408);
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "call timeout: context deadline exceeded");
    micro_ctx_free(ctx);
    seat_teardown(&f);
    CHECK_EQ_INT(seat_log.full, 1);
}

/* Answers, on a port of its own, when so many calls have come. */
typedef struct seat_peer {
    pthread_t thread;
    int listener, calls;
    int delay_ms; /* more */
    char address[32];
} seat_peer;

static void *seat_peer_main(void *arg)
{
    static const char body[] = "{\"id\":0,\"result\":{\"msg\":\"together\"},\"error\":null}";
    seat_peer *p = arg;
    int fds[64];
    char text[1024];

    for (int i = 0; i < p->calls; i++) {
        fds[i] = accept(p->listener, NULL, NULL);
        CHECK(recv(fds[i], text, sizeof text, 0) > 0);
    }
    snprintf(text, sizeof text,
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    raw_sleep(p->delay_ms);
    for (int i = 0; i < p->calls; i++)
        raw_send(fds[i], text);
    for (int i = 0; i < p->calls; i++) {
        CHECK(recv(fds[i], text, sizeof text, 0) == 0); /* kept, and closed in the end */
        close(fds[i]);
    }
    return NULL;
}

static bool seat_peer_start(seat_peer *p, int calls)
{
    p->calls = calls;
    p->listener = raw_listen(p->address);
    return CHECK(p->listener >= 0 && !pthread_create(&p->thread, NULL, seat_peer_main, p));
}

static void seat_peer_end(seat_peer *p)
{
    pthread_join(p->thread, NULL);
    close(p->listener);
}

/* Sends the requests, one a thread, after which no thread is left. */
static void seat_fill(seat_fixture *f, const seat_peer *peer, int *fds, int n)
{
    char body[64];

    snprintf(body, sizeof body, "{\"name\":\"%s\"}", peer->address);
    for (int i = 0; i < n; i++) {
        fds[i] = raw_connect(micro_service_address(f->svc));
        raw_post(fds[i], "Micro-Method: Seat.Gather\r\nX-Hop-Count: 9\r\n", body);
    }
}

/* All threads are in handlers that wait for calls under way: those that wait read the replies. And
 * what comes meanwhile is served when they have ended. */
TEST_OF_THREADS(own, seat_waiting_handlers_drive_at_the_cap)
{
    enum { HANDLERS = 2 };
    seat_fixture f = { 0 };
    seat_peer peer = { 0 };
    char out[1024];
    int fds[HANDLERS];
    long long start = raw_ms();

    micro_log_set(MICRO_LOG_WARN, seat_on_log, NULL);
    REQUIRE(seat_setup(&f, 1, HANDLERS));
    REQUIRE(seat_peer_start(&peer, HANDLERS * SEAT_FAN));
    seat_fill(&f, &peer, fds, HANDLERS);
    for (int i = 0; i < HANDLERS; i++)
        CHECK(strstr(raw_reply(fds[i], out, sizeof out, 4000), "\"all\""));
    CHECK(raw_ms() - start < 4000); /* the calls' own time is 5 s */
    CHECK_EQ_INT(seat_storm(&f, &hello_say_method, "x", 4, 10), 0);
    for (int i = 0; i < HANDLERS; i++)
        close(fds[i]);
    seat_teardown(&f); /* closes the connections to the peer */
    seat_peer_end(&peer);
}

/* The rest of a request has come in time, but its turn comes when the time is over. */
TEST_OF_THREADS(own, seat_request_put_aside_is_not_too_slow)
{
    enum { HANDLERS = 2, IDLE_MS = 2000 };
    seat_fixture f = { 0 };
    seat_peer peer = { .delay_ms = IDLE_MS + 500 };
    char out[1024];
    int fds[HANDLERS];

    micro_log_set(MICRO_LOG_NONE, NULL, NULL);
    f.idle_ms = IDLE_MS;
    REQUIRE(seat_setup(&f, 1, HANDLERS));
    REQUIRE(seat_peer_start(&peer, HANDLERS * SEAT_FAN));
    int fd = raw_connect(micro_service_address(f.svc));
    raw_send(fd, "POST / HTTP/1.1\r\nContent-Type: application/json\r\nMicro-Method: Say.Hello\r\n"
                 "Content-Length: 12\r\n\r\n{\"name\"");
    raw_sleep(50);
    seat_fill(&f, &peer, fds, HANDLERS);
    raw_sleep(100);
    raw_send(fd, ":\"x\"}");
    CHECK(strstr(raw_reply(fd, out, sizeof out, 8000), "Hello x"));
    for (int i = 0; i < HANDLERS; i++) {
        CHECK(strstr(raw_reply(fds[i], out, sizeof out, 4000), "\"all\""));
        close(fds[i]);
    }
    close(fd);
    seat_teardown(&f);
    seat_peer_end(&peer);
}

static micro_err seat_on_event(void *arg, micro_ctx *ctx, const char *topic, const micro_msg *msg)
{
    (void)ctx, (void)topic, (void)msg;
    CHECK(!seat_waits);
    atomic_fetch_add((atomic_int *)arg, 1);
    return MICRO_OK;
}

/* All threads are in handlers that wait. An event that comes is for none of them: its handler could
 * block, and keep the one beneath from going on. */
TEST_OF_THREADS(own, seat_no_event_begins_in_a_handler_that_waits)
{
    enum { HANDLERS = 2 };
    const micro_bytes event = { (const uint8_t *)"x", 1 };
    seat_fixture f = { .broker = micro_broker_memory_new() };
    seat_peer peer = { .delay_ms = 300 };
    atomic_int handled = 0;
    char out[1024];
    int fds[HANDLERS];
    micro_sub *sub;

    micro_log_set(MICRO_LOG_NONE, NULL, NULL);
    REQUIRE(seat_setup(&f, 1, HANDLERS));
    micro_ctx *ctx = micro_ctx_new(f.svc);
    REQUIRE(micro_broker_subscribe(f.broker, ctx, "seat", NULL, seat_on_event, &handled, &sub) ==
            MICRO_OK);
    REQUIRE(seat_peer_start(&peer, HANDLERS * SEAT_FAN));
    seat_fill(&f, &peer, fds, HANDLERS);
    raw_sleep(100);
    CHECK_EQ_INT(micro_publish(ctx, "seat", &micro_type_bytes, &event, NULL), MICRO_OK);
    for (int i = 0; i < HANDLERS; i++) {
        CHECK(strstr(raw_reply(fds[i], out, sizeof out, 30000), "\"all\""));
        close(fds[i]);
    }
    for (long long until = raw_ms() + 30000; !atomic_load(&handled) && raw_ms() < until;)
        raw_sleep(1);
    CHECK_EQ_INT(atomic_load(&handled), 1);
    micro_broker_unsubscribe(f.broker, sub);
    micro_ctx_free(ctx);
    seat_teardown(&f);
    seat_peer_end(&peer);
    micro_broker_free(f.broker);
}
