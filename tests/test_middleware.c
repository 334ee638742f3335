/* SPDX-License-Identifier: MIT */
/* Middleware around calls, attempts and handlers: order, refusals, answers of its own, runs again,
 * results that come later, and what it costs. */
#include "failing.h"
#include "hello.h"

typedef struct wrap_fixture {
    micro_registry *reg;
    micro_service *server, *client;
    micro_ctx *ctx;
    char trace[512];
} wrap_fixture;

/* What one middleware of a test does. */
typedef struct wrap_step {
    wrap_fixture *f;
    const char *name;
    int runs;          /* of the rest; 0: none */
    micro_err refuse;  /* instead of the rest's result; > 0 by micro_fail */
    const char *value; /* "": answers so instead of the rest; see wrap_tell */
    bool tell;         /* notes the stage, the attempt and what is called */
    bool after;        /* asks for the result, and notes it */
    micro_err turn;    /* what the result is turned into; 1: left */
} wrap_step;

static void wrap_note(wrap_fixture *f, const char *text)
{
    size_t n = strlen(f->trace);

    snprintf(f->trace + n, sizeof f->trace - n, "%s%s", n ? " " : "", text);
}

static micro_err wrap_after(micro_ctx *ctx, const micro_info *info, micro_err result, void *rsp,
                            void *arg)
{
    wrap_step *s = arg;
    char text[64];

    (void)info;
    snprintf(text, sizeof text, "%s=%d%s", s->name, result,
             result == MICRO_OK && ((hello_answer *)rsp)->msg.len ? "!" : "");
    wrap_note(s->f, text);
    if (s->turn == 1)
        return result;
    return s->turn > 0 ? micro_fail(ctx, s->turn, "turned") : s->turn;
}

static micro_err wrap_step_run(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                               micro_next *next, void *arg)
{
    wrap_step *s = arg;
    char text[128];
    micro_err err = MICRO_OK;

    (void)req;
    snprintf(text, sizeof text, "%s", s->name);
    if (s->tell)
        snprintf(text, sizeof text, "%s:%d:%d:%s:%s", s->name, info->stage, info->attempt,
                 info->service, info->endpoint);
    wrap_note(s->f, text);
    if (s->value) {
        ((hello_answer *)rsp)->msg = micro_format(ctx, "%s", s->value);
        return MICRO_OK;
    }
    if (s->after)
        micro_next_after(next, wrap_after, s);
    for (int i = 0; i < s->runs; i++) {
        err = micro_next_run(next, ctx);
        if (!info->async && s->runs > 1)
            wrap_note(s->f, err == MICRO_OK ? "ok" : "failed");
    }
    if (s->refuse > 0)
        return micro_fail(ctx, s->refuse, "refused by %s", s->name);
    return s->refuse ? s->refuse : err;
}

static bool wrap_begin(wrap_fixture *f)
{
    memset(f, 0, sizeof *f);
    f->reg = micro_registry_memory_new();
    f->server = micro_service_new(.name = "go.micro.srv.greeter", .address = "127.0.0.1:0",
                                  .registry = f->reg);
    f->client = micro_service_new(.name = "caller", .registry = f->reg);
    f->ctx = micro_ctx_new(f->client);
    return CHECK(f->server && f->client && f->ctx);
}

static bool wrap_serve(wrap_fixture *f)
{
    hello_say_handle(f->server, hello_on_say, NULL);
    hello_fail_handle(f->server, hello_on_fail, NULL);
    hello_meta_handle(f->server, hello_on_meta, NULL);
    return CHECK_EQ_INT(micro_service_start(f->server), MICRO_OK);
}

static void wrap_end(wrap_fixture *f)
{
    micro_ctx_free(f->ctx);
    micro_service_free(f->client);
    micro_service_free(f->server);
    micro_registry_free(f->reg);
}

static micro_err wrap_call(wrap_fixture *f, hello_answer *rsp)
{
    const hello_msg req = { micro_s("John") };

    f->trace[0] = 0;
    return hello_say(f->ctx, "go.micro.srv.greeter", &req, rsp);
}

TEST(middleware_runs_in_the_order_of_registration)
{
    wrap_fixture f;
    hello_answer rsp;
    wrap_step a = { .f = &f, .name = "a", .runs = 1, .tell = true };
    wrap_step b = { .f = &f, .name = "b", .runs = 1, .tell = true };

    REQUIRE(wrap_begin(&f));
    micro_service_wrap(f.client, MICRO_WRAP_CLIENT | MICRO_WRAP_CALL, wrap_step_run, &a);
    micro_service_wrap(f.client, MICRO_WRAP_CLIENT, wrap_step_run, &b);
    micro_service_wrap(f.server, MICRO_WRAP_HANDLER, wrap_step_run, &a);
    micro_service_wrap(f.server, MICRO_WRAP_HANDLER, wrap_step_run, &b);
    REQUIRE(wrap_serve(&f));
    CHECK_EQ_INT(wrap_call(&f, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "Hello John");
    CHECK_EQ_TEXT(f.trace,
                  "a:1:0:go.micro.srv.greeter:Say.Hello b:1:0:go.micro.srv.greeter:Say.Hello "
                  "a:2:1:go.micro.srv.greeter:Say.Hello "
                  "a:4:0:go.micro.srv.greeter:Say.Hello b:4:0:go.micro.srv.greeter:Say.Hello");
    wrap_end(&f);
}

TEST(middleware_refuses)
{
    wrap_fixture f;
    hello_answer rsp;
    wrap_step outer = { .f = &f, .name = "o", .runs = 1, .after = true, .turn = 1 };
    wrap_step inner = { .f = &f, .name = "i", .runs = 0 };
    const struct {
        unsigned place;
        micro_err refuse, want;
        const char *detail, *trace;
    } rows[] = {
        { MICRO_WRAP_CLIENT, 403, 403, "refused by i", "o i o=403" },
        { MICRO_WRAP_CALL, 403, 403, "refused by i", "o i o=403" },
        { MICRO_WRAP_HANDLER, 403, 403, "refused by i", "o i o=403" },
        { MICRO_WRAP_CLIENT, MICRO_EAGAIN, MICRO_EAGAIN, "not now", "o i o=-13" },
        { MICRO_WRAP_CALL, MICRO_EAGAIN, MICRO_EAGAIN, "not now", "o i o=-13" },
        { MICRO_WRAP_HANDLER, MICRO_EAGAIN, 500, "not now", "o i o=-13" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("row %zu", i);
        REQUIRE(wrap_begin(&f));
        inner.refuse = rows[i].refuse;
        micro_service *svc = rows[i].place == MICRO_WRAP_HANDLER ? f.server : f.client;
        micro_service_wrap(svc, rows[i].place, wrap_step_run, &outer);
        micro_service_wrap(svc, rows[i].place, wrap_step_run, &inner);
        REQUIRE(wrap_serve(&f));
        CHECK_EQ_INT(wrap_call(&f, &rsp), rows[i].want);
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, rows[i].detail);
        CHECK_EQ_TEXT(f.trace, rows[i].trace);
        CHECK_EQ_STR(rsp.msg, "");
        wrap_end(&f);
    }
}

/* So a client is replaced in a test: nothing serves here. */
TEST(middleware_answers_by_itself)
{
    wrap_fixture f;
    hello_answer rsp;
    wrap_step mock = { .f = &f, .name = "m", .value = "mocked" };

    REQUIRE(wrap_begin(&f));
    micro_service_wrap(f.client, MICRO_WRAP_CLIENT, wrap_step_run, &mock);
    CHECK_EQ_INT(wrap_call(&f, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "mocked");
    CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "");
    wrap_end(&f);
    REQUIRE(wrap_begin(&f));
    micro_service_wrap(f.server, MICRO_WRAP_HANDLER, wrap_step_run, &mock);
    REQUIRE(wrap_serve(&f));
    CHECK_EQ_INT(wrap_call(&f, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "mocked");
    wrap_end(&f);
}

static micro_err wrap_fail_twice(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                                 micro_next *next, void *arg)
{
    int *n = arg;

    (void)info;
    (void)req;
    (void)rsp;
    return ++*n <= 2 ? micro_fail(ctx, 503, "try %d", *n) : micro_next_run(next, ctx);
}

TEST(middleware_runs_the_rest_more_than_once)
{
    wrap_fixture f;
    hello_answer rsp;
    const unsigned places[] = { MICRO_WRAP_CLIENT, MICRO_WRAP_CALL, MICRO_WRAP_HANDLER };

    for (size_t i = 0; i < MICRO_COUNTOF(places); i++) {
        wrap_step again = { .f = &f, .name = "again", .runs = 3 };
        int n = 0;
        NOTE("place %u", places[i]);
        REQUIRE(wrap_begin(&f));
        micro_service *svc = places[i] == MICRO_WRAP_HANDLER ? f.server : f.client;
        micro_service_wrap(svc, places[i], wrap_step_run, &again);
        micro_service_wrap(svc, places[i], wrap_fail_twice, &n);
        REQUIRE(wrap_serve(&f));
        CHECK_EQ_INT(wrap_call(&f, &rsp), MICRO_OK);
        CHECK_EQ_STR(rsp.msg, "Hello John");
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "");
        CHECK_EQ_TEXT(f.trace, "again failed failed ok");
        wrap_end(&f);
    }
}

static micro_err wrap_count(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                            micro_next *next, void *arg)
{
    int *n = arg;

    (void)req;
    (void)rsp;
    CHECK(info->stage == MICRO_WRAP_CALL && strchr(info->peer, ':') != NULL);
    CHECK(info->node && micro_str_eq(info->node->address, micro_s(info->peer)));
    CHECK_EQ_INT(info->attempt, ++*n);
    return info->attempt < 3 ? MICRO_ECONNECT : micro_next_run(next, ctx);
}

/* A failure put in where nothing was sent is proof that nothing was executed. */
TEST(middleware_sees_each_attempt_and_its_node)
{
    wrap_fixture f;
    hello_answer rsp;
    int n = 0;

    REQUIRE(wrap_begin(&f));
    micro_service_wrap(f.client, MICRO_WRAP_CALL, wrap_count, &n);
    REQUIRE(wrap_serve(&f));
    CHECK_EQ_INT(wrap_call(&f, &rsp), MICRO_OK);
    CHECK_EQ_INT(n, 3);
    CHECK_EQ_STR(rsp.msg, "Hello John");
    CHECK_EQ_INT(micro_ctx_info(f.ctx)->stage, MICRO_WRAP_CALL);
    CHECK_EQ_INT(micro_ctx_info(f.ctx)->attempt, 3);
    CHECK(micro_ctx_info(f.ctx)->node == NULL);
    wrap_end(&f);
}

TEST(middleware_changes_results)
{
    wrap_fixture f;
    hello_answer rsp;
    const unsigned places[] = { MICRO_WRAP_CLIENT, MICRO_WRAP_CALL, MICRO_WRAP_HANDLER };
    const hello_msg req = { micro_s("John") };

    for (size_t i = 0; i < MICRO_COUNTOF(places); i++) {
        wrap_step outer = { .f = &f, .name = "o", .runs = 1, .after = true, .turn = MICRO_OK };
        wrap_step inner = { .f = &f, .name = "i", .runs = 1, .after = true, .turn = 418 };
        NOTE("place %u", places[i]);
        REQUIRE(wrap_begin(&f));
        micro_service *svc = places[i] == MICRO_WRAP_HANDLER ? f.server : f.client;
        micro_service_wrap(svc, places[i], wrap_step_run, &outer);
        micro_service_wrap(svc, places[i], wrap_step_run, &inner);
        REQUIRE(wrap_serve(&f));
        CHECK_EQ_INT(wrap_call(&f, &rsp), MICRO_OK);
        CHECK_EQ_TEXT(f.trace, "o i i=0! o=418");
        f.trace[0] = 0;
        outer.turn = 1;
        CHECK_EQ_INT(hello_say(f.ctx, "go.micro.srv.greeter", &req, &rsp), 418);
        CHECK_EQ_STR(rsp.msg, "");
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "turned");
        wrap_end(&f);
    }
}

static const char wrap_key;

static micro_err wrap_leave(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                            micro_next *next, void *arg)
{
    (void)info;
    (void)req;
    (void)rsp;
    micro_ctx_set_value(ctx, &wrap_key, arg);
    micro_metadata_set(ctx, "X-Left", "by middleware");
    micro_ctx_reset(ctx); /* nothing of what it was given is lost */
    micro_format(ctx, "%0100d", 7);
    return micro_next_run(next, ctx);
}

static micro_err wrap_find(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    micro_ctx_reset(ctx);
    memset(micro_alloc(ctx, 2000), 'x', 2000);
    rsp->msg =
        micro_format(ctx, "%s %s %s", req->name.ptr, (const char *)micro_ctx_value(ctx, &wrap_key),
                     micro_metadata_get(ctx, "X-Left").ptr);
    return MICRO_OK;
}

TEST(middleware_leaves_values_and_metadata)
{
    wrap_fixture f;
    hello_answer rsp;
    const hello_msg key = { micro_s("X-Left") }, john = { micro_s("John") };
    char value[] = "a value";

    REQUIRE(wrap_begin(&f));
    micro_service_wrap(f.server, MICRO_WRAP_HANDLER, wrap_leave, value);
    micro_service_wrap(f.client, MICRO_WRAP_CLIENT, wrap_leave, value);
    hello_plain_handle(f.server, wrap_find, NULL);
    REQUIRE(wrap_serve(&f));
    CHECK_EQ_INT(hello_plain(f.ctx, "go.micro.srv.greeter", &john, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "John a value by middleware");
    CHECK_EQ_INT(hello_meta(f.ctx, "go.micro.srv.greeter", &key, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "by middleware");
    CHECK(micro_ctx_value(f.ctx, &wrap_key) == value);
    wrap_end(&f);
}

static micro_err wrap_bad_metadata(micro_ctx *ctx, const micro_info *info, const void *req,
                                   void *rsp, micro_next *next, void *arg)
{
    (void)info;
    (void)req;
    (void)rsp;
    (void)arg;
    micro_metadata_set(ctx, "X-Bad", "a\nb");
    return micro_next_run(next, ctx);
}

TEST(middleware_that_cannot_set_fails_the_call)
{
    wrap_fixture f;
    hello_answer rsp;
    const unsigned places[] = { MICRO_WRAP_CLIENT, MICRO_WRAP_CALL };

    for (size_t i = 0; i < MICRO_COUNTOF(places); i++) {
        REQUIRE(wrap_begin(&f));
        micro_service_wrap(f.client, places[i], wrap_bad_metadata, NULL);
        REQUIRE(wrap_serve(&f));
        CHECK_EQ_INT(wrap_call(&f, &rsp), MICRO_EINVAL);
        CHECK_EQ_STR(micro_ctx_error(f.ctx)->detail, "metadata or a value could not be set");
        wrap_end(&f);
    }
}

/* A handler's own calls go through its service's client middleware, which does not disturb what the
 * handler knows of its request. */
static micro_err wrap_nested(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    micro_err err = hello_say(ctx, "go.micro.srv.greeter", req, rsp);

    CHECK_EQ_TEXT(micro_ctx_info(ctx)->endpoint, "Test.Plain");
    CHECK_EQ_INT(micro_ctx_info(ctx)->stage, MICRO_WRAP_HANDLER);
    return err;
}

TEST(middleware_of_calls_from_a_handler)
{
    wrap_fixture f;
    hello_answer rsp;
    wrap_step a = { .f = &f, .name = "a", .runs = 1, .tell = true };
    const hello_msg john = { micro_s("John") };

    REQUIRE(wrap_begin(&f));
    micro_service_wrap(f.server, MICRO_WRAP_CLIENT, wrap_step_run, &a);
    hello_plain_handle(f.server, wrap_nested, NULL);
    REQUIRE(wrap_serve(&f));
    CHECK_EQ_INT(hello_plain(f.ctx, "go.micro.srv.greeter", &john, &rsp), MICRO_OK);
    CHECK_EQ_STR(rsp.msg, "Hello John");
    CHECK_EQ_TEXT(f.trace, "a:1:0:go.micro.srv.greeter:Say.Hello");
    wrap_end(&f);
}

/* ---- results that come later ----------------------------------------------------------------- */

typedef struct wrap_done_state {
    wrap_fixture *f;
    micro_err err;
    int n;
    char msg[64];
} wrap_done_state;

static void wrap_done(micro_ctx *ctx, micro_err err, const hello_answer *rsp, void *arg)
{
    wrap_done_state *d = arg;

    d->err = err;
    d->n++;
    snprintf(d->msg, sizeof d->msg, "%s", rsp ? rsp->msg.ptr : micro_ctx_error(ctx)->detail.ptr);
    CHECK((rsp != NULL) == (err == MICRO_OK));
    micro_ctx_reset(ctx); /* what the library keeps there stays */
    void *more = micro_alloc(ctx, 3000);
    if (more)
        memset(more, 'x', 3000);
    wrap_note(d->f, "done");
}

static void wrap_start(wrap_fixture *f, wrap_done_state *d)
{
    const hello_msg req = { micro_s("John") };

    f->trace[0] = 0;
    memset(d, 0, sizeof *d);
    d->f = f;
    hello_say_start(f->ctx, "go.micro.srv.greeter", &req, wrap_done, d);
    CHECK_EQ_INT(micro_ctx_wait(f->ctx), MICRO_OK);
    CHECK_EQ_INT(d->n, 1);
}

TEST(middleware_of_started_calls)
{
    wrap_fixture f;
    wrap_done_state d;
    wrap_step o = { .f = &f, .name = "o", .runs = 1, .after = true, .turn = 1 };
    wrap_step i = { .f = &f, .name = "i", .runs = 1, .after = true, .turn = 1 };
    const unsigned places[] = { MICRO_WRAP_CLIENT, MICRO_WRAP_CALL };

    for (size_t p = 0; p < MICRO_COUNTOF(places); p++) {
        NOTE("place %u", places[p]);
        REQUIRE(wrap_begin(&f));
        o.turn = i.turn = 1;
        o.refuse = i.refuse = MICRO_OK;
        i.value = NULL;
        micro_service_wrap(f.client, places[p], wrap_step_run, &o);
        micro_service_wrap(f.client, places[p], wrap_step_run, &i);
        REQUIRE(wrap_serve(&f));
        wrap_start(&f, &d);
        CHECK_EQ_INT(d.err, MICRO_OK);
        CHECK_EQ_TEXT(d.msg, "Hello John");
        CHECK_EQ_TEXT(f.trace, "o i i=0! o=0! done");
        i.turn = 418; /* turned on the way out */
        wrap_start(&f, &d);
        CHECK_EQ_INT(d.err, 418);
        CHECK_EQ_TEXT(d.msg, "turned");
        CHECK_EQ_TEXT(f.trace, "o i i=0! o=418 done");
        o.turn = MICRO_OK; /* and back */
        wrap_start(&f, &d);
        CHECK_EQ_INT(d.err, MICRO_OK);
        o.turn = i.turn = 1;
        i.value = "mocked"; /* nothing is started */
        wrap_start(&f, &d);
        CHECK_EQ_INT(d.err, MICRO_OK);
        CHECK_EQ_TEXT(d.msg, "mocked");
        CHECK_EQ_TEXT(f.trace, "o i o=0! done");
        i.value = NULL;
        i.runs = 0;
        i.refuse = 403;
        wrap_start(&f, &d);
        CHECK_EQ_INT(d.err, 403);
        CHECK_EQ_TEXT(d.msg, "refused by i");
        CHECK_EQ_TEXT(f.trace, "o i o=403 done");
        i.runs = 1;
        i.refuse = MICRO_OK;
        o.refuse = MICRO_EAGAIN; /* after the start: taken back, and all see it */
        wrap_start(&f, &d);
        CHECK_EQ_INT(d.err, MICRO_EAGAIN);
        CHECK_EQ_TEXT(d.msg, "not now");
        CHECK_EQ_TEXT(f.trace, "o i i=-13 o=-13 done");
        o.refuse = MICRO_OK;
        o.runs = 2; /* what is started once is not started again */
        wrap_start(&f, &d);
        CHECK_EQ_INT(d.err, MICRO_EINVAL);
        CHECK_EQ_TEXT(d.msg, "middleware has started it already");
        o.runs = 1;
        wrap_end(&f);
    }
}

TEST(middleware_sees_each_attempt_of_a_started_call)
{
    wrap_fixture f;
    wrap_done_state d;
    int n = 0;

    REQUIRE(wrap_begin(&f));
    micro_service_wrap(f.client, MICRO_WRAP_CALL, wrap_count, &n);
    REQUIRE(wrap_serve(&f));
    wrap_start(&f, &d);
    CHECK_EQ_INT(d.err, MICRO_OK);
    CHECK_EQ_TEXT(d.msg, "Hello John");
    CHECK_EQ_INT(n, 3);
    wrap_end(&f);
}

/* A transport that only knows how to block: its attempts are ordinary ones. */
TEST(middleware_of_started_calls_over_another_transport)
{
    wrap_fixture f;
    wrap_done_state d;
    wrap_step o = { .f = &f, .name = "o", .runs = 1, .after = true, .turn = 1 };
    micro_transport *t = micro_transport_memory_new();

    memset(&f, 0, sizeof f);
    f.reg = micro_registry_memory_new();
    f.server = micro_service_new(.name = "go.micro.srv.greeter", .address = ":0", .registry = f.reg,
                                 .transport = t);
    f.client = micro_service_new(.name = "caller", .registry = f.reg, .transport = t);
    f.ctx = micro_ctx_new(f.client);
    micro_service_wrap(f.client, MICRO_WRAP_CLIENT | MICRO_WRAP_CALL, wrap_step_run, &o);
    REQUIRE(wrap_serve(&f));
    wrap_start(&f, &d);
    CHECK_EQ_INT(d.err, MICRO_OK);
    CHECK_EQ_TEXT(d.msg, "Hello John");
    CHECK_EQ_TEXT(f.trace, "o o o=0! o=0! done");
    wrap_end(&f);
    micro_transport_free(t);
}

/* ---- cost, memory, misuse -------------------------------------------------------------------- */

TEST(middleware_takes_nothing_from_the_heap)
{
    wrap_fixture f;
    hello_answer rsp;
    wrap_step o = { .f = &f, .name = "", .runs = 1, .after = true, .turn = 1 };
    int n = 0;

    failing_begin(0);
    REQUIRE(wrap_begin(&f));
    micro_service_wrap(f.client, MICRO_WRAP_CLIENT | MICRO_WRAP_CALL, wrap_step_run, &o);
    micro_service_wrap(f.server, MICRO_WRAP_HANDLER, wrap_step_run, &o);
    REQUIRE(wrap_serve(&f));
    size_t before = 0;
    for (int i = 0; i < 200; i++) {
        if (i == 100)
            before = failing_calls();
        n += wrap_call(&f, &rsp) == MICRO_OK;
        micro_ctx_reset(f.ctx);
    }
    CHECK_EQ_UINT(failing_calls() - before, 0);
    CHECK_EQ_INT(n, 200);
    wrap_end(&f);
    failing_end();
}

TEST(middleware_out_of_memory)
{
    wrap_fixture f;
    hello_answer rsp;
    wrap_done_state d;
    bool over = false;

    for (size_t at = 1; !over && at < 400; at++) {
        wrap_step o = { .f = &f, .name = "o", .runs = 1, .after = true, .turn = 1 };
        const hello_msg req = { micro_s("John") };
        memset(&f, 0, sizeof f);
        memset(&d, 0, sizeof d);
        d.f = &f;
        failing_begin(at);
        f.client = micro_service_new(.name = "caller");
        f.ctx = micro_ctx_new(f.client);
        micro_service_wrap(f.client, MICRO_WRAP_CLIENT | MICRO_WRAP_CALL, wrap_step_run, &o);
        const micro_call_opts *to =
            MICRO_OPTS(micro_call_opts, .address = "127.0.0.1:1", .attempts = 1);
        micro_err err = hello_say_with(f.ctx, "x", &req, &rsp, to);
        hello_say_start_with(f.ctx, "x", &req, to, wrap_done, &d);
        micro_ignore(micro_ctx_wait(f.ctx));
        over = err == MICRO_ECONNECT && d.err == MICRO_ECONNECT;
        CHECK(over || err == MICRO_ENOMEM || d.err == MICRO_ENOMEM);
        CHECK_EQ_INT(d.n, 1);
        micro_ctx_free(f.ctx);
        micro_service_free(f.client);
        over &= failing_end();
    }
    CHECK(over);
}

static micro_err wrap_other_ctx(micro_ctx *ctx, const micro_info *info, const void *req, void *rsp,
                                micro_next *next, void *arg)
{
    micro_ctx *other = micro_ctx_new(micro_ctx_service(ctx));
    micro_err err = micro_next_run(next, other);

    (void)info;
    (void)req;
    (void)rsp;
    (void)arg;
    CHECK_EQ_STR(micro_ctx_error(other)->detail, "middleware runs the rest on its own ctx");
    micro_ctx_free(other);
    return err;
}

TEST(middleware_misused)
{
    wrap_fixture f;
    hello_answer rsp;

    micro_service_wrap(NULL, MICRO_WRAP_CLIENT, wrap_other_ctx, NULL);
    micro_next_after(NULL, NULL, NULL);
    CHECK_EQ_INT(micro_next_run(NULL, NULL), MICRO_ENOMEM);
    const struct {
        unsigned places;
        micro_middleware *fn;
    } rows[] = { { 0, wrap_other_ctx }, { 16, wrap_other_ctx }, { MICRO_WRAP_CALL, NULL } };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro_service *svc = micro_service_new(.name = "x");
        micro_service_wrap(svc, rows[i].places, rows[i].fn, NULL);
        CHECK_EQ_INT(micro_service_error(svc), MICRO_EINVAL);
        micro_service_free(svc);
    }
    REQUIRE(wrap_begin(&f));
    micro_service_wrap(f.client, MICRO_WRAP_CLIENT, wrap_other_ctx, NULL);
    REQUIRE(wrap_serve(&f));
    CHECK_EQ_INT(wrap_call(&f, &rsp), MICRO_EINVAL);
    micro_service_wrap(f.server, MICRO_WRAP_HANDLER, wrap_other_ctx, NULL);
    CHECK_EQ_INT(micro_service_error(f.server), MICRO_EINVAL); /* too late */
    wrap_end(&f);
}
