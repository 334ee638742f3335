/* SPDX-License-Identifier: MIT */
/* A ctx: its memory, metadata, values and errors. */
#include "failing.h"

#include "base/ctx.h"

typedef struct ctx_fixture {
    micro_ctx ctx;
    _Alignas(16) char lent[2048];
} ctx_fixture;

static micro_ctx *ctx_setup(ctx_fixture *f)
{
    memset(&f->ctx, 0, sizeof f->ctx);
    micro__arena_init(&f->ctx.arena, f->lent, sizeof f->lent);
    micro__ctx_init(&f->ctx, NULL);
    return &f->ctx;
}

/* "a=1 b=2" of its metadata. */
static const char *ctx_metadata(micro_ctx *ctx)
{
    static char text[1024];
    const micro_pairs *m = micro_metadata_all(ctx);
    size_t n = 0;

    text[0] = 0;
    for (size_t i = 0; i < m->len && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s=%s", i ? " " : "", m->ptr[i].key.ptr,
                              m->ptr[i].value.ptr);
    return text;
}

/* ---- memory ---------------------------------------------------------------------------------- */

TEST(ctx_memory)
{
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);

    char *p = micro_alloc(ctx, 100), *none = micro_alloc(ctx, 0);
    CHECK(p && none && none >= p + 100);
    for (int i = 0; i < 100; i++)
        CHECK_EQ_INT(p[i], 0);
    CHECK_EQ_UINT((uintptr_t)p % 16, 0);
    micro_str copy = micro_copy(ctx, micro__str("ab\0cd", 4));
    CHECK_EQ_MEM(copy.ptr, copy.len + 1, "ab\0c", 5);
    micro_str both = micro_concat(ctx, copy, micro_s("x"));
    CHECK_EQ_MEM(both.ptr, both.len + 1, "ab\0cx", 6);
    CHECK_EQ_STR(micro_concat(ctx, micro__str(NULL, 0), micro_s("")), "");
    CHECK(micro_copy(ctx, micro__str(NULL, 0)).ptr != NULL);
    CHECK_EQ_STR(micro_format(ctx, "%s-%d", "n", 7), "n-7");
    CHECK_EQ_STR(micro_format(ctx, "%s", ""), "");
    double *d = micro_new(ctx, double);
    CHECK(d && *d == 0.0);
    micro_int64s list = { NULL, 0, 0 };
    for (int i = 0; i < 50; i++) {
        int64_t *item = micro_append(ctx, &list);
        CHECK(item == &list.ptr[i]);
        *item = i;
    }
    for (int i = 0; i < 50; i++)
        CHECK_EQ_INT(list.ptr[i], i);
    CHECK(!ctx->arena.failed);
    micro__ctx_release(ctx);
}

TEST(ctx_format_at_every_fill)
{
    static ctx_fixture f;

    for (size_t size = 0; size < 200; size++) { /* ends of the chunk in all positions */
        micro_ctx *ctx = ctx_setup(&f);
        micro__arena_init(&ctx->arena, f.lent, size);
        for (int i = 0; i < 20; i++) {
            static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
            micro_str s = micro_format(ctx, "%.*s", i + 1, letters);
            CHECK_EQ_MEM(s.ptr, s.len, letters, (size_t)i + 1);
            CHECK_EQ_INT(s.ptr[s.len], 0);
        }
        micro_str large = micro_format(ctx, "%9999d", 1);
        CHECK(large.len == 9999 && large.ptr[9998] == '1');
        micro__ctx_release(ctx);
    }
}

TEST(ctx_out_of_memory_gives_empty_text)
{
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);
    micro_int64s list = { NULL, 0, 0 };

    failing_begin(1);
    while (micro_alloc(ctx, 16))
        ;
    CHECK(ctx->arena.failed);
    ctx->arena.failed = false;
    CHECK_EQ_STR(micro_copy(ctx, micro_s("x")), "");
    CHECK(ctx->arena.failed);
    ctx->arena.failed = false;
    CHECK_EQ_STR(micro_concat(ctx, micro_s("x"), micro_s("y")), "");
    CHECK(ctx->arena.failed);
    CHECK_EQ_STR(micro_concat(ctx, micro__str("x", SIZE_MAX), micro_s("y")), "");
    ctx->arena.failed = false;
    CHECK_EQ_STR(micro_format(ctx, "%d", 1), "");
    CHECK(ctx->arena.failed);
    CHECK(micro_append(ctx, &list) == NULL);
    CHECK_EQ_TEXT(micro_ctx_strerror(ctx), "out of memory");
    micro_ctx_reset(ctx);
    CHECK(!ctx->arena.failed);
    CHECK_EQ_TEXT(micro_ctx_strerror(ctx), "no error");
    CHECK(micro_alloc(ctx, 16) != NULL);
    failing_end();
}

TEST(ctx_null_fails_with_out_of_memory)
{
    micro_int64s list = { NULL, 0, 0 };

    CHECK(micro_alloc(NULL, 1) == NULL);
    CHECK_EQ_STR(micro_copy(NULL, micro_s("x")), "");
    CHECK_EQ_STR(micro_concat(NULL, micro_s("x"), micro_s("y")), "");
    CHECK_EQ_STR(micro_format(NULL, "%d", 1), "");
    CHECK(micro_append(NULL, &list) == NULL);
    CHECK_EQ_STR(micro_metadata_get(NULL, "x"), "");
    micro_metadata_set(NULL, "x", "y");
    CHECK_EQ_UINT(micro_metadata_all(NULL)->len, 0);
    micro_ctx_set_value(NULL, &list, &list);
    CHECK(micro_ctx_value(NULL, &list) == NULL);
    CHECK_EQ_TEXT(micro_ctx_info(NULL)->service, "");
    CHECK_EQ_TEXT(micro_ctx_info(NULL)->peer, "");
    CHECK(micro_ctx_service(NULL) == NULL && micro_ctx_state(NULL) == NULL);
    CHECK_EQ_INT(micro_fail(NULL, 400, "x"), MICRO_ENOMEM);
    CHECK_EQ_INT(micro_fail_id(NULL, "id", 400, "x"), MICRO_ENOMEM);
    CHECK_EQ_INT(micro__ctx_set_error(NULL, micro_s(""), 400, micro_s(""), micro_s("")),
                 MICRO_ENOMEM);
    CHECK_EQ_INT(micro__ctx_local(NULL, MICRO_EIO, "x"), MICRO_EIO);
    CHECK_EQ_STR(micro_ctx_error(NULL)->id, "go.micro.client");
    CHECK_EQ_INT(micro_ctx_error(NULL)->code, 500);
    CHECK_EQ_STR(micro_ctx_error(NULL)->detail, "out of memory");
    CHECK_EQ_STR(micro_ctx_error(NULL)->status, "Internal Server Error");
    CHECK_EQ_TEXT(micro_ctx_strerror(NULL), "out of memory");
    micro_ctx_reset(NULL);
    micro__ctx_clear_error(NULL);
}

/* ---- metadata and values --------------------------------------------------------------------- */

TEST(ctx_metadata_get_set_delete)
{
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);
    char key[] = "X-Trace", value[] = "1";

    CHECK_EQ_STR(micro_metadata_get(ctx, "X-Trace"), "");
    micro_metadata_set(ctx, key, value);
    key[0] = value[0] = '?';
    micro_metadata_set(ctx, "user", "j\xc3\xbcrgen");
    micro_metadata_set(ctx, "Empty", "");
    CHECK_EQ_STR(micro_metadata_get(ctx, "x-trace"), "1");
    micro_metadata_set(ctx, "x-TRACE", "2");
    CHECK_EQ_TEXT(ctx_metadata(ctx), "X-Trace=2 user=j\xc3\xbcrgen Empty=");
    micro_metadata_set(ctx, "USER", NULL);
    micro_metadata_set(ctx, "absent", NULL);
    CHECK_EQ_TEXT(ctx_metadata(ctx), "X-Trace=2 Empty=");
    CHECK_EQ_INT(ctx->sticky, MICRO_OK);
    CHECK_EQ_STR(micro_metadata_get(ctx, NULL), "");
    micro__ctx_release(ctx);
}

TEST(ctx_metadata_refuses_what_no_header_can_carry)
{
    static const char *const keys[] = { "",    NULL,    "a b",      "a:",  "a\n", "a\r",
                                        "\t",  "a\x7f", "\xc3\xa4", "(a)", "a,b", "a=b",
                                        "a/b", "\"",    "[",        "{",   "@",   "a\\b" };
    static const char *const values[] = { "a\nb", "a\rb", "a\tb", "\x01", "a\x7f", "\x1f" };
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);

    for (size_t i = 0; i < MICRO_COUNTOF(keys) + MICRO_COUNTOF(values); i++) {
        bool key = i < MICRO_COUNTOF(keys);
        ctx->sticky = MICRO_OK;
        if (key)
            micro_metadata_set(ctx, keys[i], "x");
        else
            micro_metadata_set(ctx, "key", values[i - MICRO_COUNTOF(keys)]);
        NOTE("%zu", i);
        CHECK_EQ_INT(ctx->sticky, MICRO_EINVAL);
        CHECK_EQ_TEXT(ctx_metadata(ctx), "");
    }
    micro_metadata_set(ctx, "az-AZ_09!#$%&'*+.^`|~", " ok \xff ");
    CHECK_EQ_UINT(micro_metadata_all(ctx)->len, 1);
    CHECK_EQ_INT(ctx->sticky, MICRO_EINVAL); /* stays until a call returns it */
    micro_ctx_reset(ctx);
    CHECK_EQ_INT(ctx->sticky, MICRO_EINVAL);
    micro__ctx_release(ctx);
}

TEST(ctx_values)
{
    static ctx_fixture f;
    static const char first, second;
    micro_ctx *ctx = ctx_setup(&f);
    int a, b;

    CHECK(micro_ctx_value(ctx, &first) == NULL);
    micro_ctx_set_value(ctx, &first, &a);
    micro_ctx_set_value(ctx, &second, &b);
    CHECK(micro_ctx_value(ctx, &first) == &a && micro_ctx_value(ctx, &second) == &b);
    micro_ctx_set_value(ctx, &first, &b);
    CHECK(micro_ctx_value(ctx, &first) == &b);
    micro_ctx_set_value(ctx, &first, NULL);
    CHECK(micro_ctx_value(ctx, &first) == NULL && micro_ctx_value(ctx, &second) == &b);
    CHECK(micro_ctx_value(ctx, NULL) == NULL);
    micro__ctx_release(ctx);
}

TEST(ctx_set_out_of_memory_sticks)
{
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);

    failing_begin(1);
    while (micro_alloc(ctx, 16))
        ;
    micro_metadata_set(ctx, "a", "b");
    CHECK_EQ_INT(ctx->sticky, MICRO_ENOMEM);
    CHECK_EQ_UINT(micro_metadata_all(ctx)->len, 0);
    micro_metadata_set(ctx, "", "b");
    CHECK_EQ_INT(ctx->sticky, MICRO_ENOMEM); /* the first counts */
    ctx->sticky = MICRO_OK;
    micro_ctx_set_value(ctx, &f, &f);
    CHECK_EQ_INT(ctx->sticky, MICRO_ENOMEM);
    CHECK(micro_ctx_value(ctx, &f) == NULL);
    micro__ctx_release(ctx);
    failing_end();
}

/* ---- reset ----------------------------------------------------------------------------------- */

TEST(ctx_reset_frees_and_keeps)
{
    static ctx_fixture f;
    static const char key;
    micro_ctx *ctx = ctx_setup(&f);

    failing_begin(0);
    char *request = micro__arena_text(&ctx->arena, "request", 7); /* the maker's */
    micro__pairs_set(&ctx->arena, &ctx->metadata, micro_s("In"), micro_s("0"));
    ctx->mark = micro__arena_mark(&ctx->arena);
    void *first = micro_alloc(ctx, 100);
    for (int i = 0; i < 1000; i++)
        micro_alloc(ctx, 1000);
    CHECK(failing.live > 1000000);
    micro_ctx_reset(ctx);
    CHECK_EQ_UINT(failing.live, 0);
    CHECK(micro_alloc(ctx, 100) == first);

    micro_metadata_set(ctx, "Out", "1"); /* amid the user's memory */
    micro_alloc(ctx, 50000);
    micro_ctx_set_value(ctx, &key, &f);
    micro_metadata_set(ctx, "In", "2");
    micro_alloc(ctx, 50000);
    micro_ctx_reset(ctx);
    CHECK(failing.live > 0 && failing.live <= 2 * MICRO_ARENA_CHUNK);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ_TEXT(ctx_metadata(ctx), "In=2 Out=1");
        CHECK(micro_ctx_value(ctx, &key) == &f);
        memset(micro_alloc(ctx, 3000), 0xee, 3000);
        micro_ctx_reset(ctx);
    }
    CHECK_EQ_TEXT(request, "request");
    micro_metadata_set(ctx, "out", NULL);
    micro_ctx_reset(ctx);
    CHECK_EQ_TEXT(ctx_metadata(ctx), "In=2");
    micro__ctx_release(ctx);
    CHECK(failing_end());
}

TEST(ctx_reset_in_a_loop_does_not_grow)
{
    static ctx_fixture f;
    static const char key;
    micro_ctx *ctx = ctx_setup(&f);
    char value[32], want[64];

    failing_begin(0);
    for (int i = 0; i < 10000; i++) {
        snprintf(value, sizeof value, "id-%d", i);
        micro_metadata_set(ctx, "Request-Id", value);
        micro_metadata_set(ctx, "Old", i == 5 ? "yes" : i == 7000 ? NULL : "no");
        micro_ctx_set_value(ctx, &key, i % 2 ? &f : NULL);
        micro_format(ctx, "%200d", i);
        micro_ctx_reset(ctx);
        if (i % 1000 == 0) {
            snprintf(want, sizeof want, "Request-Id=id-%d%s", i, i == 7000 ? "" : " Old=no");
            CHECK_EQ_TEXT(ctx_metadata(ctx), want);
        }
    }
    CHECK(failing.peak <= 4 * MICRO_ARENA_CHUNK);
    micro__ctx_release(ctx);
    CHECK(failing_end());
}

TEST(ctx_reset_out_of_memory_keeps_all)
{
    for (size_t n = 1; n < 6; n++) {
        static ctx_fixture f;
        micro_ctx *ctx = ctx_setup(&f);
        failing_begin(n);
        failing.once = true;
        micro_metadata_set(ctx, "a", "1");
        micro_ctx_set_value(ctx, &f, &f);
        for (int i = 0; i < 100; i++)
            micro_metadata_set(ctx, "b", micro_format(ctx, "%100d", i).ptr);
        micro_ctx_reset(ctx);
        CHECK_EQ_STR(micro_metadata_get(ctx, "a"), "1");
        CHECK(micro_metadata_get(ctx, "b").len == 100 || ctx->sticky == MICRO_ENOMEM);
        CHECK(micro_ctx_value(ctx, &f) == &f);
        CHECK(!ctx->arena.failed);
        micro_ctx_reset(ctx); /* the next one succeeds */
        CHECK(failing.live <= 2 * MICRO_ARENA_CHUNK);
        CHECK_EQ_STR(micro_metadata_get(ctx, "a"), "1");
        micro__ctx_release(ctx);
        failing_end();
    }
}

TEST(ctx_handler_needs_no_heap)
{
    static ctx_fixture f;

    failing_begin(1); /* every request fails */
    for (int i = 0; i < 100; i++) {
        micro_ctx *ctx = ctx_setup(&f);
        micro_metadata_set(ctx, "a", "1");
        micro_ctx_set_value(ctx, &f, &f);
        CHECK_EQ_STR(micro_format(ctx, "%d", i), micro_format(ctx, "%d", i).ptr);
        CHECK_EQ_INT(micro_fail(ctx, 400, "no %d", i), 400);
        CHECK_EQ_INT(ctx->sticky, MICRO_OK);
        CHECK(!ctx->arena.failed);
        micro__ctx_release(ctx);
    }
    CHECK_EQ_UINT(failing.calls, 0);
    failing_end();
}

TEST(ctx_info_ends_with_reset_unless_serving)
{
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);
    const micro_info *info = micro_ctx_info(ctx);

    CHECK_EQ_TEXT(info->service, "");
    CHECK_EQ_TEXT(info->endpoint, "");
    CHECK_EQ_TEXT(info->content_type, "");
    CHECK_EQ_TEXT(info->peer, "");
    ctx->info.peer = micro_format(ctx, "10.0.0.%d", 1).ptr;
    ctx->info.attempt = 2;
    micro_ctx_reset(ctx);
    CHECK_EQ_TEXT(info->peer, "");
    CHECK_EQ_INT(info->attempt, 0);
    ctx->info.stage = MICRO_WRAP_HANDLER;
    ctx->info.peer = "10.0.0.2";
    micro_ctx_reset(ctx);
    CHECK_EQ_TEXT(info->peer, "10.0.0.2");
    ctx->state = &f;
    CHECK(micro_ctx_state(ctx) == &f);
    CHECK(micro_ctx_service(ctx) == NULL);
}

/* ---- errors ---------------------------------------------------------------------------------- */

TEST(ctx_fail)
{
    static const struct {
        int code;
        micro_err result;
        int kept;
        const char *status;
    } rows[] = {
        { 400, 400, 400, "Bad Request" },
        { 100, 100, 100, "Continue" },
        { 999, 999, 999, "" },
        { 0, MICRO_EPLAIN, 0, "" },
        { 99, 500, 500, "Internal Server Error" },
        { 1000, 500, 500, "Internal Server Error" },
        { MICRO_EIO, 500, 500, "Internal Server Error" },
    };
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);

    CHECK_EQ_INT(micro_ctx_error(ctx)->code, 0);
    CHECK_EQ_STR(micro_ctx_error(ctx)->id, "");
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "");
    CHECK_EQ_STR(micro_ctx_error(ctx)->status, "");
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("%d", rows[i].code);
        CHECK_EQ_INT(micro_fail(ctx, rows[i].code, "bad name %s", "x"), rows[i].result);
        CHECK_EQ_INT(micro_ctx_error(ctx)->code, rows[i].kept);
        CHECK_EQ_STR(micro_ctx_error(ctx)->id, "");
        CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "bad name x");
        CHECK_EQ_STR(micro_ctx_error(ctx)->status, rows[i].status);
    }
    ctx->info.stage = MICRO_WRAP_HANDLER;
    ctx->info.service = "go.micro.srv.greeter";
    CHECK_EQ_INT(micro_fail(ctx, 404, "%s", ""), 404);
    CHECK_EQ_STR(micro_ctx_error(ctx)->id, "go.micro.srv.greeter");
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "");
    CHECK_EQ_INT(micro_fail_id(ctx, "my.id", 404, "x"), 404);
    CHECK_EQ_STR(micro_ctx_error(ctx)->id, "my.id");
    CHECK_EQ_INT(micro_fail_id(ctx, NULL, 404, "x"), 404);
    CHECK_EQ_STR(micro_ctx_error(ctx)->id, "");
    micro__ctx_clear_error(ctx);
    CHECK_EQ_INT(micro_ctx_error(ctx)->code, 0);
    CHECK_EQ_STR(micro_ctx_error(ctx)->status, "");
}

TEST(ctx_error_texts_of_every_length)
{
    static ctx_fixture f;
    static char text[600];

    for (size_t len = 0; len < sizeof text; len += len < 50 || (len > 250 && len < 260) ? 1 : 13) {
        micro_ctx *ctx = ctx_setup(&f);
        failing_begin(0);
        memset(text, 'd', len);
        text[len] = 0;
        CHECK_EQ_INT(micro_fail_id(ctx, text, 400, "%s", text), 400);
        CHECK_EQ_STR(micro_ctx_error(ctx)->id, text);
        CHECK_EQ_STR(micro_ctx_error(ctx)->detail, text);
        CHECK_EQ_INT(micro_ctx_error(ctx)->detail.ptr[len], 0);
        micro__ctx_release(ctx);
        CHECK(failing_end());
        /* out of memory: what fits is kept */
        ctx = ctx_setup(&f);
        failing_begin(1);
        while (micro_alloc(ctx, 16))
            ;
        CHECK_EQ_INT(micro_fail_id(ctx, text, 400, "%s", text), 400);
        CHECK_EQ_UINT(micro_ctx_error(ctx)->id.len, len < 63 ? len : 63);
        CHECK_EQ_UINT(micro_ctx_error(ctx)->detail.len, len < 255 ? len : 255);
        micro__ctx_release(ctx);
        failing_end();
    }
}

TEST(ctx_error_made_of_itself)
{
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);

    micro_fail_id(ctx, "first.id", 404, "inner");
    CHECK_EQ_INT(micro_fail_id(ctx, micro_ctx_error(ctx)->id.ptr, 500, "outer: %s",
                               micro_ctx_error(ctx)->detail.ptr),
                 500);
    CHECK_EQ_STR(micro_ctx_error(ctx)->id, "first.id");
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "outer: inner");
    for (int i = 0; i < 100; i++)
        micro_fail(ctx, 500, "outer: %s", micro_ctx_error(ctx)->detail.ptr);
    CHECK_EQ_UINT(micro_ctx_error(ctx)->detail.len, 101 * 7 + 5);
    const micro_error e = *micro_ctx_error(ctx);
    CHECK_EQ_INT(micro__ctx_set_error(ctx, e.id, e.code, e.detail, e.status), 500);
    CHECK_EQ_UINT(micro_ctx_error(ctx)->detail.len, 101 * 7 + 5);
    micro__ctx_release(ctx);
}

TEST(ctx_error_as_received)
{
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);

    CHECK_EQ_INT(micro__ctx_set_error(ctx, micro_s("id"), 404, micro_s("d"), micro__str(NULL, 0)),
                 404);
    CHECK_EQ_STR(micro_ctx_error(ctx)->status, "Not Found");
    CHECK_EQ_INT(micro__ctx_set_error(ctx, micro_s("id"), 404, micro_s("d"), micro_s("")), 404);
    CHECK_EQ_STR(micro_ctx_error(ctx)->status, "");
    char status[] = "Gone fishing";
    CHECK_EQ_INT(
        micro__ctx_set_error(ctx, micro_s("id"), 1234, micro__str("a\0b", 3), micro_s(status)),
        MICRO_EREMOTE);
    status[0] = '?';
    CHECK_EQ_STR(micro_ctx_error(ctx)->status, "Gone fishing");
    CHECK_EQ_MEM(micro_ctx_error(ctx)->detail.ptr, micro_ctx_error(ctx)->detail.len, "a\0b", 3);
    CHECK_EQ_INT(micro_ctx_error(ctx)->code, 1234);
    CHECK_EQ_INT(micro__ctx_set_error(ctx, micro_s(""), 0, micro_s("plain"), micro_s("")),
                 MICRO_EPLAIN);
    CHECK_EQ_INT(micro__ctx_set_error(ctx, micro_s(""), -5, micro_s(""), micro_s("")),
                 MICRO_EREMOTE);
    micro__ctx_release(ctx);
}

TEST(ctx_local_errors)
{
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);

    CHECK_EQ_INT(micro__ctx_local(ctx, MICRO_ETIMEDOUT, "call to %s timed out", "x"),
                 MICRO_ETIMEDOUT);
    CHECK_EQ_STR(micro_ctx_error(ctx)->id, "go.micro.client");
    CHECK_EQ_INT(micro_ctx_error(ctx)->code, 408);
    CHECK_EQ_STR(micro_ctx_error(ctx)->status, "Request Timeout");
    CHECK_EQ_TEXT(micro_ctx_strerror(ctx), "call to x timed out");
    CHECK_EQ_INT(micro__ctx_local(ctx, MICRO_ECANCELED, "%s", ""), MICRO_ECANCELED);
    CHECK_EQ_INT(micro_ctx_error(ctx)->code, 408);
    CHECK_EQ_TEXT(micro_ctx_strerror(ctx), "canceled");
    CHECK_EQ_INT(micro__ctx_local_id(ctx, "go.micro.server", MICRO_EIO, "gone"), MICRO_EIO);
    CHECK_EQ_STR(micro_ctx_error(ctx)->id, "go.micro.server");
    CHECK_EQ_INT(micro_ctx_error(ctx)->code, 500);
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "gone");
    CHECK_EQ_TEXT(micro_ctx_strerror(ctx), "gone");
    micro_fail(ctx, 500, "gone"); /* no longer local */
    CHECK_EQ_TEXT(micro_ctx_strerror(ctx), "gone (500 Internal Server Error)");
}

TEST(ctx_error_in_one_line)
{
    static const struct {
        const char *id;
        int code;
        const char *detail, *status, *line;
    } rows[] = {
        { "", 0, "", "", "no error" },
        { "go.micro.srv.a", 400, "bad name", "Bad Request",
          "go.micro.srv.a: bad name (400 Bad Request)" },
        { "", 400, "bad name", "Bad Request", "bad name (400 Bad Request)" },
        { "", 0, "plain", "", "plain" },
        { "id", 0, "plain", "", "id: plain" },
        { "id", 499, "odd", "", "id: odd (499)" },
        { "id", 404, "", "Not Found", "id: (404 Not Found)" },
        { "id\n", 404, "a\r\nb\x1b[2J", "Not\tFound", "id : a  b [2J (404 Not Found)" },
        { "", -7, "d", "", "d (-7)" },
    };
    static ctx_fixture f;
    micro_ctx *ctx = ctx_setup(&f);

    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        NOTE("%zu", i);
        micro__ctx_set_error(ctx, micro_s(rows[i].id), rows[i].code, micro_s(rows[i].detail),
                             micro_s(rows[i].status));
        const char *line = micro_ctx_strerror(ctx);
        CHECK_EQ_TEXT(line, rows[i].line);
        CHECK(micro_ctx_strerror(ctx) == line); /* made once */
    }
    micro__ctx_set_error(ctx, micro_s(""), 0, micro__str("a\0b", 3), micro_s(""));
    CHECK_EQ_TEXT(micro_ctx_strerror(ctx), "a b");
    failing_begin(1);
    while (micro_alloc(ctx, 16))
        ;
    micro_fail(ctx, 400, "x");
    CHECK_EQ_TEXT(micro_ctx_strerror(ctx), "x"); /* the line does not fit, but this does */
    micro_fail(ctx, 400, "x\x1b[2J");
    CHECK_EQ_TEXT(micro_ctx_strerror(ctx), "out of memory");
    failing_end();
    micro_ctx_reset(ctx);
    CHECK_EQ_TEXT(micro_ctx_strerror(ctx), "no error");
}
