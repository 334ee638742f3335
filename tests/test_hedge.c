/* SPDX-License-Identifier: MIT */
/* Hedged requests: another node is asked when the answer of one takes long. */
#include "failing.h"
#include "hello.h"
#include "raw.h"
#include "service/service.h"

#include <pthread.h>

#define HEDGE_NODES 2

MICRO_METHOD_EX(hedge_ask, "Say.Hello", hello_msg, hello_answer, "ask", MICRO_IDEMPOTENT);
MICRO_METHOD_EX(hedge_once, "Say.Hello", hello_msg, hello_answer, "ask", 0);
MICRO_METHOD_EX(hedge_relay, "Say.Relay", hello_msg, hello_answer, "ask", 0);

typedef struct hedge_node {
    micro_service *svc;
    atomic_int asked, canceled;
    atomic_int delay_ms; /* < 0: until it is canceled */
    atomic_int code;
} hedge_node;

typedef struct hedge_fixture {
    micro_registry *reg;
    hedge_node node[HEDGE_NODES];
    micro_service *client;
    micro_ctx *ctx;
    int done;
    micro_err err;
    char peer[64], msg[64];
} hedge_fixture;

static void hedge_delay(micro_ctx *ctx, hedge_node *n)
{
    int ms = atomic_load(&n->delay_ms);
    micro_block_begin();
    for (int i = 0; (ms < 0 ? i < 20000 : i < ms) && !micro_ctx_canceled(ctx); i++)
        usleep(1000);
    if (micro_ctx_canceled(ctx)) {
        atomic_fetch_add(&n->canceled, 1);
        usleep(200000); /* its deadline is the caller's: the answer comes too late for sure */
    }
    micro_block_end();
}

static micro_err hedge_handler(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    hedge_node *n = micro_ctx_state(ctx);
    atomic_fetch_add(&n->asked, 1);
    if (atomic_load(&n->delay_ms))
        hedge_delay(ctx, n);
    int code = atomic_load(&n->code);
    if (code)
        return micro_fail(ctx, code, "out of order");
    rsp->msg = micro_copy(ctx, req->name);
    return MICRO_OK;
}

/* The first node in the registry's order, then the other. */
static size_t hedge_first(const micro_strategy *self, const micro_pick *from)
{
    (void)self;
    size_t first = 0;
    for (size_t i = 0; i < from->nodes->len; i++)
        if (micro_str_eq(from->nodes->ptr[i]->id, micro_s("ask-first")))
            first = i;
    return from->attempt == 1 ? first : (from->last + 1) % from->nodes->len;
}

static const micro_strategy hedge_in_order = { sizeof hedge_in_order, "in order", hedge_first };

static bool hedge_setup(hedge_fixture *f, int hedge_ms)
{
    static const char *const ids[] = { "first", "other" };
    memset(f, 0, sizeof *f);
    f->reg = micro_registry_memory_new();
    for (int i = 0; i < HEDGE_NODES; i++) {
        f->node[i].svc = micro_service_new(.name = "ask", .id = ids[i], .registry = f->reg,
                                           .address = "127.0.0.1:0");
        hedge_ask_handle(f->node[i].svc, hedge_handler, &f->node[i]);
        if (!CHECK_EQ_INT(micro_service_start(f->node[i].svc), MICRO_OK))
            return false;
    }
    const micro_call_opts call = {
        .size_ = sizeof call, .strategy = &hedge_in_order, .hedge_ms = hedge_ms, .timeout_ms = 15000
    };
    f->client = micro_service_new(.name = "caller", .registry = f->reg, .call = &call);
    f->ctx = micro_ctx_new(f->client);
    return CHECK(f->client && f->ctx);
}

static void hedge_teardown(hedge_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->client);
    for (int i = 0; i < HEDGE_NODES; i++)
        micro_service_free(f->node[i].svc);
    micro_registry_free(f->reg);
}

static void hedge_set(hedge_fixture *f, int i, int delay_ms, int code)
{
    atomic_store(&f->node[i].delay_ms, delay_ms);
    atomic_store(&f->node[i].code, code);
    atomic_store(&f->node[i].asked, 0);
    atomic_store(&f->node[i].canceled, 0);
}

static void hedge_note(micro_ctx *ctx, micro_err err, const hello_answer *rsp, void *arg)
{
    hedge_fixture *f = arg;
    f->done++;
    f->err = err;
    snprintf(f->peer, sizeof f->peer, "%s", micro_ctx_info(ctx)->peer);
    snprintf(f->msg, sizeof f->msg, "%s", rsp ? rsp->msg.ptr : micro_ctx_error(ctx)->detail.ptr);
}

/* A call, either way; what came of it is in f. */
static micro_err hedge_call(hedge_fixture *f, bool async, const micro_call_opts *opts)
{
    hello_msg req = { micro_s("John") };
    hello_answer rsp;
    f->done = 0;
    if (async) {
        hedge_ask_start_with(f->ctx, NULL, &req, opts, hedge_note, f);
        CHECK_EQ_INT(micro_ctx_wait(f->ctx), MICRO_OK);
        CHECK_EQ_INT(f->done, 1);
    } else {
        micro_err err = hedge_ask_with(f->ctx, NULL, &req, &rsp, opts);
        hedge_note(f->ctx, err, err ? NULL : &rsp, f);
    }
    return f->err;
}

TEST_OF_THREADS(overlap, hedge_first_answer_wins)
{
    hedge_fixture f;
    REQUIRE(hedge_setup(&f, 10));
    for (int async = 0; async < 2; async++) {
        NOTE("async %d", async);
        hedge_set(&f, 0, -1, 0); /* it would never answer */
        hedge_set(&f, 1, 0, 0);
        CHECK_EQ_INT(hedge_call(&f, async, NULL), MICRO_OK);
        CHECK_EQ_TEXT(f.msg, "John");
        CHECK_EQ_TEXT(f.peer, micro_service_address(f.node[1].svc));
        CHECK_EQ_INT(atomic_load(&f.node[0].asked), 1);
        CHECK_EQ_INT(atomic_load(&f.node[1].asked), 1);
        CHECK_EQ_INT(raw_until(&f.node[0].canceled, 1), 1); /* the other is not left working */
        CHECK_EQ_INT(micro_ctx_error(f.ctx)->code, 0);
        micro_ctx_reset(f.ctx);
    }
    hedge_teardown(&f);
}

TEST(hedge_not_sent_without_need)
{
    hedge_fixture f;
    hello_msg req = { micro_s("John") };
    hello_answer rsp;
    REQUIRE(hedge_setup(&f, 10000));
    for (int i = 0; i < 20; i++) /* the answer comes in time */
        CHECK_EQ_INT(hedge_call(&f, i % 2, NULL), MICRO_OK);
    CHECK_EQ_INT(atomic_load(&f.node[0].asked), 20);
    CHECK_EQ_INT(atomic_load(&f.node[1].asked), 0);
    hedge_set(&f, 0, 100, 0);
    const micro_call_opts soon = { .size_ = sizeof soon, .hedge_ms = 5 };
    CHECK_EQ_INT(hedge_once_with(f.ctx, NULL, &req, &rsp, &soon), MICRO_OK); /* not idempotent */
    const micro_call_opts one = { .size_ = sizeof one, .hedge_ms = 5, .attempts = 1 };
    CHECK_EQ_INT(hedge_call(&f, false, &one), MICRO_OK);
    const micro_call_opts off = { .size_ = sizeof off, .hedge_ms = MICRO_OFF };
    CHECK_EQ_INT(hedge_call(&f, false, &off), MICRO_OK);
    const micro_call_opts there = { .size_ = sizeof there,
                                    .hedge_ms = 5,
                                    .address = micro_service_address(f.node[0].svc) };
    CHECK_EQ_INT(hedge_call(&f, true, &there), MICRO_OK);
    CHECK_EQ_INT(atomic_load(&f.node[0].asked), 4);
    CHECK_EQ_INT(atomic_load(&f.node[1].asked), 0);
    micro_service_stop(f.node[1].svc); /* there is no other */
    CHECK_EQ_INT(hedge_call(&f, false, &soon), MICRO_OK);
    CHECK_EQ_INT(atomic_load(&f.node[0].asked), 5);
    hedge_teardown(&f);
}

/* Errors that another attempt may not meet are no answer while one runs; others are. */
TEST_OF_THREADS(overlap, hedge_failures)
{
    static const struct {
        int delay[2], code[2];
        micro_err err;
        int peer; /* whose answer it is; -1: nobody's in particular */
    } rows[] = {
        { { 60, 600 }, { 500, 0 }, MICRO_OK, 1 }, /* the first fails, the hedge is waited for */
        { { 600, 0 }, { 0, 500 }, MICRO_OK, 0 },  /* the hedge fails, the first is waited for */
        { { -1, 0 }, { 0, 400 }, 400, 1 },        /* this is an answer */
        { { 100, -1 }, { 404, 0 }, 404, 0 },
        { { 60, 60 }, { 500, 503 }, 0, -1 }, /* all fail: the error of one of them */
    };
    hedge_fixture f;
    const micro_call_opts keep = { .size_ = sizeof keep, .eject_after = MICRO_OFF };
    REQUIRE(hedge_setup(&f, 10));
    for (size_t i = 0; i < 2 * MICRO_COUNTOF(rows); i++) {
        size_t row = i / 2;
        NOTE("row %zu, async %d", row, (int)(i % 2));
        for (int k = 0; k < HEDGE_NODES; k++)
            hedge_set(&f, k, rows[row].delay[k], rows[row].code[k]);
        micro_err err = hedge_call(&f, i % 2, &keep);
        if (rows[row].peer >= 0) {
            CHECK_EQ_INT(err, rows[row].err);
            CHECK_EQ_TEXT(f.peer, micro_service_address(f.node[rows[row].peer].svc));
        } else {
            CHECK(err == 500 || err == 503);
            CHECK(atomic_load(&f.node[0].asked) + atomic_load(&f.node[1].asked) <= 3);
        }
        CHECK_EQ_TEXT(f.msg, err ? "out of order" : "John");
        micro_ctx_reset(f.ctx);
    }
    hedge_teardown(&f);
}

static void *hedge_cancel_soon(void *arg)
{
    hedge_fixture *f = arg;
    raw_until(&f->node[1].asked, 1);
    micro_ctx_cancel(f->ctx);
    return NULL;
}

TEST_OF_THREADS(own, hedge_ends_with_its_caller)
{
    for (int async = 0; async < 2; async++) {
        hedge_fixture f;
        pthread_t thread;
        NOTE("async %d", async);
        REQUIRE(hedge_setup(&f, 10));
        hedge_set(&f, 0, -1, 0);
        hedge_set(&f, 1, -1, 0);
        const micro_call_opts brief = { .size_ = sizeof brief, .timeout_ms = 300 };
        CHECK_EQ_INT(hedge_call(&f, async, &brief), MICRO_ETIMEDOUT);
        for (int i = 0; i < HEDGE_NODES; i++) {
            int asked = atomic_load(&f.node[i].asked);
            CHECK_EQ_INT(raw_until(&f.node[i].canceled, asked), asked);
        }
        hedge_set(&f, 0, -1, 0);
        hedge_set(&f, 1, -1, 0);
        REQUIRE(!pthread_create(&thread, NULL, hedge_cancel_soon, &f));
        hello_msg req = { micro_s("John") };
        hello_answer rsp;
        if (async) {
            f.done = 0;
            hedge_ask_start(f.ctx, NULL, &req, hedge_note, &f);
            pthread_join(thread, NULL);
            micro_ignore(micro_ctx_wait(f.ctx));
            micro_ctx_free(f.ctx);
            f.ctx = NULL;
            CHECK_EQ_INT(f.done, 1);
            CHECK_EQ_INT(f.err, MICRO_ECANCELED);
        } else {
            CHECK_EQ_INT(hedge_ask(f.ctx, NULL, &req, &rsp), MICRO_ECANCELED);
            pthread_join(thread, NULL);
        }
        CHECK_EQ_INT(raw_until(&f.node[0].canceled, 1), 1);
        CHECK_EQ_INT(raw_until(&f.node[1].canceled, 1), 1);
        hedge_teardown(&f);
    }
}

/* What fails before the time of a hedge: further attempts as without one. */
TEST(hedge_and_attempts)
{
    hedge_fixture f;
    REQUIRE(hedge_setup(&f, 10000));
    CHECK_EQ_INT(hedge_call(&f, false, NULL), MICRO_OK);
    hedge_set(&f, 0, 0, 503);
    CHECK_EQ_INT(hedge_call(&f, false, NULL), MICRO_OK);
    CHECK_EQ_INT(hedge_call(&f, true, NULL), MICRO_OK);
    CHECK_EQ_INT(atomic_load(&f.node[0].asked), 2);
    CHECK_EQ_INT(atomic_load(&f.node[1].asked), 2);
    const micro_call_opts type = { .size_ = sizeof type, .content_type = "application/unknown" };
    CHECK_EQ_INT(hedge_call(&f, false, &type), MICRO_ECODEC);
    hedge_teardown(&f);
}

/* Connecting fails at once, while the attempt is being started. */
TEST(hedge_where_nothing_listens)
{
    static const char *const nodes[] = { "unix:/nonexistent/1", "unix:/nonexistent/2" };
    const micro_call_opts call = { .size_ = sizeof call, .hedge_ms = 15000 };
    micro_selector *sel = micro_selector_static_new(nodes, MICRO_COUNTOF(nodes));
    const micro_call_opts two = { .size_ = sizeof two, .attempts = 2 };
    hedge_fixture f = { .client = NULL };
    f.client = micro_service_new(.name = "caller", .selector = sel, .call = &call);
    f.ctx = micro_ctx_new(f.client);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ_INT(hedge_call(&f, i % 2, &two), MICRO_ECONNECT);
        CHECK(strstr(f.msg, "connect: "));
    }
    micro_ctx_free(f.ctx);
    micro_service_free(f.client);
    micro_selector_free(sel);
}

/* ---- in handlers, and where the program polls -------------------------------------------------*/

static micro_err hedge_relayed(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    const micro_call_opts o = { .size_ = sizeof o, .strategy = &hedge_in_order, .hedge_ms = 10 };
    return hedge_ask_with(ctx, NULL, req, rsp, &o);
}

TEST_OF_THREADS(overlap, hedge_from_a_handler)
{
    hedge_fixture f;
    hello_msg req = { micro_s("John") };
    hello_answer rsp;
    REQUIRE(hedge_setup(&f, 0));
    hedge_set(&f, 0, -1, 0);
    micro_service *relay =
        micro_service_new(.name = "relay", .registry = f.reg, .address = "127.0.0.1:0");
    hedge_relay_handle(relay, hedge_relayed, NULL);
    REQUIRE(micro_service_start(relay) == MICRO_OK);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_INT(hedge_relay(f.ctx, "relay", &req, &rsp), MICRO_OK);
        CHECK_EQ_STR(rsp.msg, "John");
    }
    CHECK(atomic_load(&f.node[1].asked) >= 3);
    micro_service_free(relay);
    hedge_teardown(&f);
}

TEST_OF_THREADS(overlap, hedge_where_the_program_polls)
{
    hedge_fixture f;
    hello_msg req = { micro_s("John") };
    hello_answer rsp;
    REQUIRE(hedge_setup(&f, 0));
    hedge_set(&f, 0, -1, 0);
    micro_service *polled =
        micro_service_new(.name = "polled", .registry = f.reg, .loops = MICRO_OFF);
    micro_ctx *ctx = micro_ctx_new(polled);
    const micro_call_opts o = { .size_ = sizeof o, .strategy = &hedge_in_order, .hedge_ms = 10 };
    for (int i = 0; i < 3; i++)
        CHECK_EQ_INT(hedge_ask_with(ctx, NULL, &req, &rsp, &o), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "John");
    micro_ctx_free(ctx);
    micro_service_free(polled);
    hedge_teardown(&f);
}

static micro_err hedge_pass(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                            micro_next *next, void *arg)
{
    (void)info, (void)req, (void)rsp;
    ++*(int *)arg;
    return micro_next_run(next, ctx);
}

/* Middleware around calls sees one call; that around attempts has it sent once at a time. */
TEST(hedge_and_middleware)
{
    hedge_fixture f;
    int calls = 0, attempts = 0;
    REQUIRE(hedge_setup(&f, 10));
    micro_service_wrap(f.client, MICRO_WRAP_CLIENT, hedge_pass, &calls);
    hedge_set(&f, 0, 200, 0);
    CHECK_EQ_INT(hedge_call(&f, false, NULL), MICRO_OK);
    CHECK_EQ_INT(hedge_call(&f, true, NULL), MICRO_OK);
    CHECK_EQ_INT(calls, 2);
    hedge_teardown(&f);
    REQUIRE(hedge_setup(&f, 10));
    micro_service_wrap(f.client, MICRO_WRAP_CALL, hedge_pass, &attempts);
    hedge_set(&f, 0, 100, 0);
    CHECK_EQ_INT(hedge_call(&f, false, NULL), MICRO_OK);
    CHECK_EQ_INT(hedge_call(&f, true, NULL), MICRO_OK);
    CHECK_EQ_INT(attempts, 2);
    CHECK_EQ_INT(atomic_load(&f.node[1].asked), 0);
    hedge_teardown(&f);
}

static void hedge_fail_at(size_t n)
{
    pthread_mutex_lock(&failing_lock);
    failing.fail_at = n ? failing.calls + n : 0;
    failing.once = true;
    pthread_mutex_unlock(&failing_lock);
}

TEST(hedge_out_of_memory)
{
    hedge_fixture f;
    micro__log_level(MICRO_LOG_NONE);
    failing_begin(0);
    REQUIRE(hedge_setup(&f, 1));
    hedge_set(&f, 0, 20, 0);
    CHECK_EQ_INT(hedge_call(&f, false, NULL), MICRO_OK);
    int good = 0;
    for (size_t n = 1; n < 25; n++) {
        hedge_fail_at(n);
        micro_err err = hedge_call(&f, n % 2, NULL);
        hedge_fail_at(0);
        good += err == MICRO_OK;
        CHECK(err == MICRO_OK || err == MICRO_ENOMEM || err == 500 || err == MICRO_EIO);
        micro_ctx_free(f.ctx);
        f.ctx = micro_ctx_new(f.client);
    }
    CHECK(good > 0);
    hedge_teardown(&f);
    failing_end();
}

/* Many at once, winners and losers crossing. */
TEST(hedge_storm)
{
    enum { CALLS = 400 };
    hedge_fixture f;
    hello_msg req = { micro_s("John") };
    REQUIRE(hedge_setup(&f, 2));
    hedge_set(&f, 0, 3, 0);
    hedge_set(&f, 1, 3, 0);
    f.err = MICRO_OK;
    const micro_call_opts o = { .size_ = sizeof o,
                                .strategy = &micro_strategy_random,
                                .retry_budget = MICRO_OFF };
    for (int i = 0; i < CALLS; i++) {
        hedge_ask_start_with(f.ctx, NULL, &req, &o, hedge_note, &f);
        if (i % 40 == 39) {
            CHECK_EQ_INT(micro_ctx_wait(f.ctx), MICRO_OK);
            CHECK_EQ_INT(f.err, MICRO_OK);
        }
    }
    CHECK_EQ_INT(f.done, CALLS);
    CHECK(atomic_load(&f.node[0].asked) + atomic_load(&f.node[1].asked) > CALLS);
    micro_service_stop(f.node[0].svc);
    micro_service_stop(f.node[1].svc);
    hedge_teardown(&f);
}
