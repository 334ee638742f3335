/* SPDX-License-Identifier: MIT */
/* W3C trace context: what is taken, what goes on, over two hops in both protocols; log lines. */
#include "hello.h"
#include "raw.h"

#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define TRACE_SPAN "00f067aa0ba902b7"
#define TRACE_IN "00-" TRACE_ID "-" TRACE_SPAN "-01"

/* A handler waits for what it started in threads only. */
#define TRACE_WAYS (MICRO_OMIT_THREADS ? 2 : 3)

/* ---- one header --------------------------------------------------------------------------- */

static bool trace_next_of(const char *parent, const char *second, bool begin, char *out)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_pair all[] = { { micro_s("TraceParent"), micro_s(parent) },
                         { micro_s("traceparent"), micro_s(second) } };

    ctx->metadata.ptr = all;
    ctx->metadata.len = second ? 2 : 1;
    enum micro__trace_next next = micro__trace_next(ctx, begin, out);
    micro_ctx_free(ctx);
    return next == MICRO__TRACE_GOES_ON;
}

TEST(trace_takes_what_the_standard_takes)
{
    static const struct {
        const char *in, *flags; /* flags that go on; NULL: not valid */
    } rows[] = {
        { TRACE_IN, "01" },
        { "00-" TRACE_ID "-" TRACE_SPAN "-00", "00" },
        { "00-" TRACE_ID "-" TRACE_SPAN "-03", "01" },
        { "00-" TRACE_ID "-" TRACE_SPAN "-fa", "00" },
        { "00-" TRACE_ID "-" TRACE_SPAN "-fb", "01" },
        { "00-" TRACE_ID "-" TRACE_SPAN "-09", "01" },
        { "cc-" TRACE_ID "-" TRACE_SPAN "-01", "01" },
        { "cc-" TRACE_ID "-" TRACE_SPAN "-01-what the future will be like", "01" },
        { "00-" TRACE_ID "-" TRACE_SPAN "-01-what the future will be like", NULL },
        { "cc-" TRACE_ID "-" TRACE_SPAN "-01.what the future will not be like", NULL },
        { "ff-" TRACE_ID "-" TRACE_SPAN "-01", NULL },
        { "00-" TRACE_ID "-" TRACE_SPAN "-0", NULL },
        { "00-" TRACE_ID "-" TRACE_SPAN "-011", NULL },
        { "00-" TRACE_ID "-" TRACE_SPAN "-0g", NULL },
        { "00-" TRACE_ID "-" TRACE_SPAN, NULL },
        { "0-" TRACE_ID "-" TRACE_SPAN "-01", NULL },
        { ".0-" TRACE_ID "-" TRACE_SPAN "-01", NULL },
        { "00-00000000000000000000000000000000-" TRACE_SPAN "-01", NULL },
        { "00-" TRACE_ID "-0000000000000000-01", NULL },
        { "00-4BF92F3577B34DA6A3CE929D0E0E4736-" TRACE_SPAN "-01", NULL },
        { "00-" TRACE_ID "-00F067AA0BA902B7-01", NULL },
        { "00_" TRACE_ID "-" TRACE_SPAN "-01", NULL },
        { "00-" TRACE_ID "_" TRACE_SPAN "-01", NULL },
        { "00-" TRACE_ID "-" TRACE_SPAN "_01", NULL },
        { "00-" TRACE_ID "-" TRACE_SPAN "-01 ", NULL },
        { "", NULL },
        { "00-", NULL },
    };
    char out[MICRO__TRACE_MAX], again[MICRO__TRACE_MAX];

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("%s", rows[i].in);
        bool goes_on = trace_next_of(rows[i].in, NULL, false, out);
        CHECK_EQ_INT(goes_on, rows[i].flags != NULL);
        if (!goes_on)
            continue;
        CHECK(memcmp(out, "00-" TRACE_ID "-", 36) == 0);
        CHECK(memcmp(out + 36, TRACE_SPAN, 16) != 0);
        CHECK(out[52] == '-');
        CHECK_EQ_TEXT(out + 53, rows[i].flags);
        CHECK(trace_next_of(out, NULL, false, again)); /* what goes out is valid */
        CHECK(strcmp(out, again) != 0);
    }
    CHECK(!trace_next_of(TRACE_IN, TRACE_IN, false, out)); /* two are none */
}

TEST(trace_begins_only_where_it_is_told_to)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    char one[MICRO__TRACE_MAX], two[MICRO__TRACE_MAX];

    micro__trace_accept(ctx, false);
    CHECK_EQ_UINT(micro_metadata_all(ctx)->len, 0);
    CHECK_EQ_INT(micro__trace_next(ctx, false, one), MICRO__TRACE_NONE);
    CHECK_EQ_INT(micro__trace_next(ctx, true, one), MICRO__TRACE_BEGUN);
    CHECK_EQ_INT(micro__trace_next(ctx, true, two), MICRO__TRACE_BEGUN);
    CHECK(trace_next_of(one, NULL, false, one));
    CHECK(memcmp(one, two, 35) != 0); /* of its own */
    micro__trace_accept(ctx, true);
    micro_str begun = micro_metadata_get(ctx, "traceparent");
    CHECK(begun.len == 55 && trace_next_of(begun.ptr, NULL, false, one));
    CHECK_EQ_TEXT(one + 53, "01");
    micro__trace_accept(ctx, true);
    CHECK_EQ_STR(micro_metadata_get(ctx, "traceparent"), begun.ptr); /* there is one now */
    micro_ctx_free(ctx);
}

/* ---- over two hops ------------------------------------------------------------------------- */

/* The first calls the last; both note what they saw. */
MICRO_METHOD(trace_first, "First.Call", hello_msg, hello_answer);
MICRO_METHOD(trace_last, "Last.Call", hello_msg, hello_answer);

typedef struct trace_seen {
    char parent[80], state[80];
} trace_seen;

typedef struct trace_pair {
    micro_registry *reg;
    micro_service *last, *first;
    trace_seen at[2];
    bool own, async;
} trace_pair;

static void trace_see(micro_ctx *ctx, trace_seen *out)
{
    snprintf(out->parent, sizeof out->parent, "%s", micro_metadata_get(ctx, "traceparent").ptr);
    snprintf(out->state, sizeof out->state, "%s", micro_metadata_get(ctx, "tracestate").ptr);
}

static micro_err trace_on_last(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    trace_pair *p = micro_ctx_state(ctx);

    (void)req;
    (void)rsp;
    trace_see(ctx, &p->at[1]);
    return MICRO_OK;
}

static micro_err trace_on_first(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    trace_pair *p = micro_ctx_state(ctx);
    micro_err err = MICRO_OK;

    trace_see(ctx, &p->at[0]);
    if (p->own)
        micro_metadata_set(ctx, "traceparent", "00-" TRACE_ID "-1111111111111111-00");
    if (!p->async)
        return trace_last_with(
            ctx, "last", req, rsp,
            MICRO_OPTS(micro_call_opts, .address = req->name.len ? req->name.ptr : NULL));
    trace_last_start(ctx, "last", req, hello_done, &err);
    micro_err waited = micro_ctx_wait(ctx);
    return err ? err : waited;
}

static bool trace_pair_start(trace_pair *p, bool begin)
{
    memset(p, 0, sizeof *p);
    p->reg = micro_registry_memory_new();
    p->last = micro_service_new(.name = "last", .registry = p->reg, .address = "127.0.0.1:0");
    p->first = micro_service_new(.name = "first", .registry = p->reg, .address = "127.0.0.1:0",
                                 .trace = begin);
    trace_last_handle(p->last, trace_on_last, p);
    trace_first_handle(p->first, trace_on_first, p);
    return CHECK_EQ_INT(micro_service_start(p->last), MICRO_OK) &&
           CHECK_EQ_INT(micro_service_start(p->first), MICRO_OK);
}

static void trace_pair_end(trace_pair *p)
{
    micro_service_free(p->first);
    micro_service_free(p->last);
    micro_registry_free(p->reg);
}

/* A request to the first service with these header lines; address: where it calls the last one, so
 * that the envelope of 2018 is what it sends; "" by name, which means bare messages. */
static bool trace_ask(trace_pair *p, const char *lines, const char *address)
{
    char more[512], body[128], out[4096];
    int fd = raw_connect(micro_service_address(p->first));

    memset(p->at, 0, sizeof p->at);
    snprintf(body, sizeof body, "{\"name\":\"%s\"}", address);
    snprintf(more, sizeof more, "Micro-Method: First.Call\r\n%s", lines);
    raw_post(fd, more, body);
    const char *got = raw_reply(fd, out, sizeof out, 30000);
    close(fd);
    return CHECK(strncmp(got, "HTTP/1.1 200 OK", 15) == 0 && !strstr(got, "Micro-Error"));
}

TEST(trace_goes_on_over_two_hops_in_both_protocols)
{
    trace_pair p;

    REQUIRE(trace_pair_start(&p, false));
    for (int k = 0; k < TRACE_WAYS; k++) {
        NOTE("%s", k == 0 ? "bare" : k == 1 ? "envelope" : "asynchronous");
        p.async = k == 2;
        if (!trace_ask(&p, "Traceparent: " TRACE_IN "\r\nTracestate: a=1,b=2\r\n",
                       k == 1 ? micro_service_address(p.last) : ""))
            break;
        CHECK_EQ_TEXT(p.at[0].parent, TRACE_IN);
        CHECK(memcmp(p.at[1].parent, "00-" TRACE_ID "-", 36) == 0);
        CHECK(strstr(p.at[1].parent, TRACE_SPAN) == NULL);
        CHECK_EQ_TEXT(p.at[1].parent + 52, "-01");
        CHECK_EQ_TEXT(p.at[1].state, "a=1,b=2");
    }
    p.own = true; /* what the handler sets itself goes out as it is */
    for (int k = 0; k < TRACE_WAYS - 1; k++) {
        NOTE("own, %s", k ? "asynchronous" : "blocking");
        p.async = k;
        trace_ask(&p, "traceparent: " TRACE_IN "\r\n", "");
        CHECK_EQ_TEXT(p.at[1].parent, "00-" TRACE_ID "-1111111111111111-00");
    }
    trace_pair_end(&p);
}

TEST(trace_drops_what_is_none_and_invents_nothing)
{
    static const char *const lines[] = {
        "",
        "Traceparent: 00-" TRACE_ID "-" TRACE_SPAN "-0\r\nTracestate: a=1\r\n",
        "Tracestate: a=1\r\n",
        "Traceparent: " TRACE_IN "\r\ntraceparent: " TRACE_IN "\r\nTracestate: a=1\r\n",
        "Traceparent: \r\n",
    };
    trace_pair p;

    REQUIRE(trace_pair_start(&p, false));
    for (size_t i = 0; i < MICRO_COUNTOF(lines); i++) {
        NOTE("row %zu", i);
        trace_ask(&p, lines[i], "");
        for (int k = 0; k < 2; k++) {
            CHECK_EQ_TEXT(p.at[k].parent, "");
            CHECK_EQ_TEXT(p.at[k].state, "");
        }
    }
    trace_pair_end(&p);
    REQUIRE(trace_pair_start(&p, true)); /* begins them */
    for (size_t i = 0; i < MICRO_COUNTOF(lines); i++) {
        char out[MICRO__TRACE_MAX];
        NOTE("row %zu, begun", i);
        trace_ask(&p, lines[i], "");
        CHECK(trace_next_of(p.at[0].parent, NULL, false, out));
        CHECK(memcmp(p.at[0].parent, p.at[1].parent, 36) == 0); /* one trace */
        CHECK(strcmp(p.at[0].parent, p.at[1].parent) != 0);     /* two parents */
        CHECK_EQ_TEXT(p.at[0].state, "");
    }
    trace_pair_end(&p);
}

TEST(trace_of_a_client)
{
    const hello_msg req = { micro_s("traceparent") };
    hello_answer rsp;

    micro_registry *reg = micro_registry_memory_new();
    micro_service *svc =
        hello_start(MICRO_OPTS(micro_service_opts, .abi_ = MICRO_ABI, .registry = reg));
    for (int begin = 0; begin < 2; begin++) {
        micro_service *client = micro_service_new(.registry = reg, .trace = begin);
        micro_ctx *ctx = micro_ctx_new(client);
        CHECK_EQ_INT(hello_meta(ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK);
        CHECK_EQ_UINT(rsp.msg.len, begin ? 55 : 0);
        micro_metadata_set(ctx, "traceparent", TRACE_IN);
        CHECK_EQ_INT(hello_meta(ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK);
        CHECK_EQ_STR(rsp.msg, TRACE_IN);
        micro_metadata_set(ctx, "traceparent", "nonsense");
        CHECK_EQ_INT(hello_meta(ctx, "go.micro.srv.greeter", &req, &rsp), MICRO_OK);
        CHECK_EQ_UINT(rsp.msg.len, begin ? 55 : 0);
        micro_ctx_free(ctx);
        micro_service_free(client);
    }
    micro_service_free(svc);
    micro_registry_free(reg);
}

/* ---- log lines ----------------------------------------------------------------------------- */

static char trace_line[1024];

static void trace_log(void *arg, int level, const char *file, int line, const char *text,
                      size_t len)
{
    (void)arg;
    (void)level;
    (void)file;
    (void)line;
    CHECK(len < 512 && text[len] == 0);
    snprintf(trace_line, sizeof trace_line, "%s", text);
}

static micro_err trace_on_log(micro_ctx *ctx, const hello_msg *req, hello_answer *rsp)
{
    (void)ctx;
    (void)rsp;
    MICRO_LOG(MICRO_LOG_WARN, "name=%s", req->name.ptr);
    return MICRO_OK;
}

TEST(trace_is_in_log_lines_of_a_handler)
{
    const char *fields = " endpoint=First.Call trace=" TRACE_ID;
    micro_registry *reg = micro_registry_memory_new();
    trace_pair p = { .first = micro_service_new(.registry = reg, .address = "127.0.0.1:0") };
    char name[601], want[700];

    trace_first_handle(p.first, trace_on_log, NULL);
    REQUIRE(micro_service_start(p.first) == MICRO_OK);
    micro_log_set(MICRO_LOG_WARN, trace_log, NULL);
    trace_ask(&p, "", "ann");
    CHECK_EQ_TEXT(trace_line, "name=ann endpoint=First.Call");
    trace_ask(&p, "traceparent: " TRACE_IN "\r\n", "ann");
    snprintf(want, sizeof want, "name=ann%s", fields);
    CHECK_EQ_TEXT(trace_line, want);
    memset(name, 'x', sizeof name - 1); /* the text is cut, not the fields */
    name[sizeof name - 1] = 0;
    micro_ctx *ctx = micro_ctx_new(p.first);
    const hello_msg req = { micro_s(name) };
    hello_answer rsp;
    micro_metadata_set(ctx, "traceparent", TRACE_IN);
    CHECK_EQ_INT(
        trace_first_with(ctx, "x", &req, &rsp,
                         MICRO_OPTS(micro_call_opts, .address = micro_service_address(p.first))),
        MICRO_OK);
    CHECK_EQ_UINT(strlen(trace_line), 511);
    CHECK_EQ_TEXT(trace_line + 511 - strlen(fields), fields);
    MICRO_LOG(MICRO_LOG_WARN, "outside");
    CHECK_EQ_TEXT(trace_line, "outside");
    micro_log_set(MICRO_LOG_ERROR, NULL, NULL);
    micro_ctx_free(ctx);
    micro_service_free(p.first);
    micro_registry_free(reg);
}
