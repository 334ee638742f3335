/* SPDX-License-Identifier: MIT */
/* Services as JSON: written as go-micro of 2018 does, read from every generation; as protobuf. */
#include "failing.h"
#include "harness.h"
#include "net/net.h"
#include "registry/registry.h"

/* Bodies of recorded replies of a sidecar of 2018 (GET /registry...), an entry each. */
static const char *const entrytest_golden[] = {
    "{\"name\":\"go.micro.srv.pubsub\",\"version\":\"1.0.0\",\"metadata\":null,\"endpoints\":["
    "{\"name\":\"Func\",\"request\":{\"name\":\"Event\",\"type\":\"Event\",\"values\":["
    "{\"name\":\"id\",\"type\":\"string\",\"values\":null},"
    "{\"name\":\"timestamp\",\"type\":\"int64\",\"values\":null},"
    "{\"name\":\"message\",\"type\":\"string\",\"values\":null}]},\"response\":null,"
    "\"metadata\":{\"subscriber\":\"true\",\"topic\":\"example.topic.pubsub.2\"}},"
    "{\"name\":\"Sub.Process\",\"request\":{\"name\":\"Event\",\"type\":\"Event\",\"values\":["
    "{\"name\":\"id\",\"type\":\"string\",\"values\":null},"
    "{\"name\":\"timestamp\",\"type\":\"int64\",\"values\":null},"
    "{\"name\":\"message\",\"type\":\"string\",\"values\":null}]},\"response\":null,"
    "\"metadata\":{\"subscriber\":\"true\",\"topic\":\"example.topic.pubsub.1\"}}],\"nodes\":["
    "{\"id\":\"go.micro.srv.pubsub-s1\",\"address\":\"127.0.0.1\",\"port\":9711,\"metadata\":"
    "{\"broker\":\"http\",\"registry\":\"mdns\",\"server\":\"rpc\",\"transport\":\"http\"}}]}",
    "{\"name\":\"topic:example.topic.pubsub.1\",\"version\":\"ff.http.broadcast\","
    "\"metadata\":null,\"endpoints\":null,\"nodes\":[{\"id\":\"broker-7d7b3db3-e655-11f1-817a-"
    "b7509917a42c.7d840638-e655-11f1-817a-b7509917a42c\",\"address\":\"127.0.0.1\",\"port\":9811,"
    "\"metadata\":{\"secure\":\"false\"}}]}",
    "{\"name\":\"go.micro.srv.greeter\",\"version\":\"\",\"metadata\":null,\"endpoints\":null,"
    "\"nodes\":null}",
    "{\"name\":\"foo.bar\",\"version\":\"1.2.3\",\"metadata\":null,\"endpoints\":["
    "{\"name\":\"Foo.Bar\",\"request\":null,\"response\":null,\"metadata\":{\"stream\":\"false\"}}"
    "],\"nodes\":[{\"id\":\"foo-1\",\"address\":\"127.0.0.1\",\"port\":9999,"
    "\"metadata\":{\"a\":\"b\"}}]}",
};

/* Reading may overwrite the text, up to the byte behind it, which must come back. */
static micro_err entrytest_read(micro_ctx *ctx, const char *text, micro_entry *out)
{
    size_t len = strlen(text);
    char *copy = micro__arena_text(&ctx->arena, text, len);
    copy[len] = '#';
    micro_err err = micro__entry_read(ctx, copy, len, out);
    CHECK_EQ_INT(copy[len], '#');
    return err;
}

static const char *entrytest_write(micro_ctx *ctx, const micro_entry *e)
{
    micro_buf out = { .ptr = NULL };
    CHECK_EQ_INT(micro__entry_write(ctx, e, &out), MICRO_OK);
    const char *text = micro__arena_text(&ctx->arena, out.ptr, out.len);
    micro__buf_free(&out);
    return text;
}

TEST(entry_json_golden)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    for (size_t i = 0; i < MICRO_COUNTOF(entrytest_golden); i++) {
        micro_entry e;
        NOTE("golden %zu", i);
        if (CHECK_EQ_INT(entrytest_read(ctx, entrytest_golden[i], &e), MICRO_OK))
            CHECK_EQ_TEXT(entrytest_write(ctx, &e), entrytest_golden[i]);
    }
    micro_ctx_free(ctx);
}

TEST(entry_json_members)
{
    micro_entry e;
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx && !entrytest_read(ctx, entrytest_golden[0], &e));
    CHECK_EQ_STR(e.name, "go.micro.srv.pubsub");
    CHECK_EQ_STR(e.version, "1.0.0");
    CHECK_EQ_INT(e.metadata.len, 0);
    REQUIRE(e.endpoints.len == 2 && e.nodes.len == 1);
    CHECK_EQ_STR(e.endpoints.ptr[1].name, "Sub.Process");
    CHECK(!e.endpoints.ptr[1].response);
    CHECK_EQ_INT(e.endpoints.ptr[1].request->values.len, 3);
    CHECK_EQ_STR(e.endpoints.ptr[1].request->values.ptr[1].type, "int64");
    CHECK_EQ_STR(e.nodes.ptr[0].id, "go.micro.srv.pubsub-s1");
    CHECK_EQ_STR(e.nodes.ptr[0].address, "127.0.0.1:9711");
    CHECK_EQ_STR(e.nodes.ptr[0].version, "1.0.0");
    CHECK_EQ_STR(micro__pairs_get(&e.nodes.ptr[0].metadata, "server"), "rpc");
    micro_ctx_free(ctx);
}

/* One node: what is read as its address, and what is written from that. */
TEST(entry_json_addresses)
{
    static const struct {
        const char *members, *address, *written;
    } rows[] = {
        { "\"address\":\"10.1.2.3\",\"port\":80", "10.1.2.3:80", NULL },
        { "\"address\":\"10.1.2.3:80\"", "10.1.2.3:80", "\"address\":\"10.1.2.3\",\"port\":80" },
        { "\"address\":\"10.1.2.3:80\",\"port\":80", "10.1.2.3:80",
          "\"address\":\"10.1.2.3\",\"port\":80" },
        { "\"address\":\"::1\",\"port\":80", "[::1]:80", "\"address\":\"[::1]\",\"port\":80" },
        { "\"address\":\"[::1]\",\"port\":80", "[::1]:80", NULL },
        { "\"address\":\"[::1]:80\",\"port\":0", "[::1]:80", "\"address\":\"[::1]\",\"port\":80" },
        { "\"address\":\"fe80::1\",\"port\":0", "fe80::1", NULL },
        { "\"address\":\"subject.name\",\"port\":0", "subject.name", NULL },
        { "\"address\":\"unix:/tmp/s\",\"port\":0", "unix:/tmp/s", NULL },
        { "\"address\":\"h:0\",\"port\":0", "h:0", NULL },
        { "\"address\":\"h:080\",\"port\":0", "h:080", NULL },
        { "\"address\":\"h:65536\",\"port\":0", "h:65536", NULL },
        { "\"address\":\"h:\",\"port\":0", "h:", NULL },
        { "\"address\":\":80\",\"port\":0", ":80", NULL },
        { "\"address\":\"\",\"port\":0", "", NULL },
        { "\"address\":\"h\",\"port\":65535", "h:65535", NULL },
        { "\"address\":\"h\",\"port\":\"80\"", "h:80", "\"address\":\"h\",\"port\":80" },
    };
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        const char *form = "{\"name\":\"s\",\"version\":\"\",\"metadata\":null,\"endpoints\":null,"
                           "\"nodes\":[{\"id\":\"n\",%s,\"metadata\":null}]}";
        const char *want = rows[i].written ? rows[i].written : rows[i].members;
        micro_entry e;
        NOTE("%s", rows[i].members);
        REQUIRE(!entrytest_read(ctx, micro_format(ctx, form, rows[i].members).ptr, &e));
        CHECK_EQ_STR(e.nodes.ptr[0].address, rows[i].address);
        CHECK_EQ_TEXT(entrytest_write(ctx, &e), micro_format(ctx, form, want).ptr);
    }
    micro_ctx_free(ctx);
}

TEST(entry_json_tolerant)
{
    micro_entry e;
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    /* the manual's letter case, unknown members, another order, nulls inside */
    CHECK_EQ_INT(
        entrytest_read(ctx,
                       " { \"Nodes\": [ { \"Port\": 9091, \"Address\": \"127.0.0.1\", "
                       "\"Id\": \"foo.bar-1\", \"extra\": [1, {}] } ], \"NAME\": \"foo.bar\","
                       " \"endpoints\": [ { \"name\": \"A.B\", \"request\": null } ], "
                       "\"Version\": null, \"metadata\": { \"z\": \"1\", \"a\": null } } ",
                       &e),
        MICRO_OK);
    CHECK_EQ_TEXT(entrytest_write(ctx, &e),
                  "{\"name\":\"foo.bar\",\"version\":\"\",\"metadata\":{\"a\":\"\",\"z\":\"1\"},"
                  "\"endpoints\":[{\"name\":\"A.B\",\"request\":null,\"response\":null,"
                  "\"metadata\":null}],\"nodes\":[{\"id\":\"foo.bar-1\",\"address\":\"127.0.0.1\","
                  "\"port\":9091,\"metadata\":null}]}");
    CHECK_EQ_INT(entrytest_read(ctx, "{}", &e), MICRO_OK);
    CHECK(e.name.ptr && e.version.ptr);
    CHECK_EQ_TEXT(entrytest_write(ctx, &e), "{\"name\":\"\",\"version\":\"\",\"metadata\":null,"
                                            "\"endpoints\":null,\"nodes\":null}");
    micro_ctx_free(ctx);
}

TEST(entry_json_escapes)
{
    micro_pair pair = { { "k\"", 2 }, { "a\0b", 3 } };
    micro_entry e = { .name = micro_s("<&>"), .version = { NULL, 0 }, .metadata = { &pair, 1, 0 } };
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    CHECK_EQ_TEXT(entrytest_write(ctx, &e),
                  "{\"name\":\"\\u003c\\u0026\\u003e\",\"version\":\"\",\"metadata\":"
                  "{\"k\\\"\":\"a\\u0000b\"},\"endpoints\":null,\"nodes\":null}");
    micro_ctx_free(ctx);
}

TEST(entry_json_refused)
{
    static const struct {
        const char *text, *why; /* part of the error */
    } rows[] = {
        { "xx", "" },
        { "", "" },
        { "[]", "" },
        { "{\"name\":1}", "name" },
        { "{\"nodes\":{}}", "nodes" },
        { "{\"nodes\":[{\"port\":\"x\"}]}", "nodes[0].port" },
        { "{\"nodes\":[{},{\"port\":-1}]}", "nodes[1].port" },
        { "{\"nodes\":[{\"port\":65536}]}", "nodes[0].port" },
        { "{\"nodes\":[{\"port\":1.5}]}", "nodes[0].port" },
        { "{\"endpoints\":[{\"request\":{\"values\":[7]}}]}", "endpoints[0].request.values[0]" },
        { "{\"name\":\"s\"}}", "" },
    };
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        micro_entry e = { .nodes = { NULL, 9, 9 } };
        NOTE("%s", rows[i].text);
        CHECK_EQ_INT(entrytest_read(ctx, rows[i].text, &e), MICRO_EFORMAT);
        CHECK(micro_ctx_error(ctx)->detail.len > 0);
        CHECK(strstr(micro_ctx_error(ctx)->detail.ptr, rows[i].why));
        CHECK(e.nodes.len == 0 && e.name.ptr && e.name.len == 0);
    }
    micro_ctx_free(ctx);
}

TEST(entry_json_depth)
{
    micro_desc loop = { .name = micro_s("T"), .type = micro_s("T") };
    micro_endpoint endpoint = { .name = micro_s("A.B"), .request = &loop };
    micro_entry e = { .name = micro_s("s") };
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    loop.values.ptr = &loop;
    loop.values.len = 1;
    e.endpoints.ptr = &endpoint;
    e.endpoints.len = 1;
    int open = 0, trees = 0;
    for (const char *p = entrytest_write(ctx, &e); *p; p++) { /* ends, and is whole */
        open += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        trees += strncmp(p, "\"values\":", 9) == 0;
    }
    CHECK_EQ_INT(open, 0);
    CHECK_EQ_INT(trees, MICRO_MAX_DEPTH + 1);
    char *deep = micro_alloc(ctx, 1 << 20);
    REQUIRE(deep);
    size_t len = (size_t)sprintf(deep, "{\"endpoints\":[{\"request\":");
    for (int i = 0; i < 20000; i++)
        len += (size_t)sprintf(deep + len, "{\"values\":[");
    CHECK_EQ_INT(micro__entry_read(ctx, deep, len, &e), MICRO_ETOOBIG);
    micro_ctx_free(ctx);
}

TEST(entry_json_limit)
{
    micro_entry e;
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx && !entrytest_read(ctx, entrytest_golden[3], &e));
    size_t whole = strlen(entrytest_golden[3]);
    for (size_t max = 1; max <= whole; max++) {
        micro_buf out = { .max = max };
        NOTE("%zu bytes", max);
        micro_err err = micro__entry_write(ctx, &e, &out);
        CHECK_EQ_INT(err, max < whole ? MICRO_ETOOBIG : MICRO_OK);
        CHECK_EQ_UINT(out.len, err ? 0 : whole);
        micro__buf_free(&out);
    }
    micro_ctx_free(ctx);
}

/* The public way, alone and within another message. */
typedef struct entrytest_event {
    micro_str action;
    micro_entry service;
} entrytest_event;

static const micro_field entrytest_event_rows[] = {
    MICRO_FIELD(string, entrytest_event, action, 1),
    MICRO_FIELD(message(micro_entry), entrytest_event, service, 2),
};
static const micro_type entrytest_event_type = {
    sizeof(micro_type),      sizeof(micro_field),  2, "Event",
    sizeof(entrytest_event), entrytest_event_rows, 0
};

TEST(entry_json_in_public)
{
    micro_entry e;
    micro_str text;
    entrytest_event event;
    micro_ctx *ctx = micro_ctx_new(NULL);
    REQUIRE(ctx);
    for (size_t i = 0; i < MICRO_COUNTOF(entrytest_golden); i++) {
        micro_str golden = micro_s(entrytest_golden[i]);
        NOTE("golden %zu", i);
        CHECK_EQ_INT(micro_json_read(ctx, &micro_type_entry, golden, 0, &e), MICRO_OK);
        CHECK_EQ_INT(micro_json_write(ctx, &micro_type_entry, &e, 0, &text), MICRO_OK);
        CHECK_EQ_STR(text, golden.ptr);
        micro_str whole = micro_format(ctx, "{\"action\":\"create\",\"service\":%s}", golden.ptr);
        CHECK_EQ_INT(micro_json_read(ctx, &entrytest_event_type, whole, 0, &event), MICRO_OK);
        CHECK_EQ_INT(micro_json_write(ctx, &entrytest_event_type, &event, 0, &text), MICRO_OK);
        CHECK_EQ_STR(text, whole.ptr);
    }
    CHECK_EQ_INT(
        micro_json_read(ctx, &entrytest_event_type,
                        micro_s("{\"service\":{\"nodes\":[{\"port\":-1}]},\"action\":\"x\"}"), 0,
                        &event),
        MICRO_EFORMAT);
    CHECK_EQ_STR(micro_ctx_error(ctx)->detail, "service: nodes[0].port: not a port");
    CHECK(event.service.name.ptr && event.service.nodes.len == 0);
    CHECK_EQ_INT(micro_json_read(ctx, &micro_type_entry, micro_s("{\"name\":\"s\"} x"), 0, &e),
                 MICRO_EFORMAT);
    CHECK_EQ_INT(micro_json_read(ctx, &micro_type_entry, micro_s("{\"name\""), 0, &e),
                 MICRO_EFORMAT);
    CHECK_EQ_INT(micro_json_read(ctx, &micro_type_entry, micro_s("null"), 0, &e), MICRO_OK);
    CHECK_EQ_INT(micro_json_write(ctx, &micro_type_entry, &e, MICRO_JSON_PRETTY, &text), MICRO_OK);
    CHECK_EQ_STR(text, "{\n  \"name\": \"\",\n  \"version\": \"\",\n  \"metadata\": null,\n"
                       "  \"endpoints\": null,\n  \"nodes\": null\n}");
    CHECK_EQ_INT(micro_json_read(ctx, &micro_type_entry, micro_s(entrytest_golden[3]), 0, &e),
                 MICRO_OK);
    CHECK_EQ_INT(micro_json_write(ctx, &micro_type_entry, &e, MICRO_JSON_CANONICAL, &text),
                 MICRO_OK);
    CHECK(strstr(text.ptr, "\"address\":\"127.0.0.1:9999\""));
    micro_ctx_free(ctx);
}

TEST(entry_as_protobuf)
{
    micro_entry e, back;
    micro_bytes bytes;
    micro_ctx *ctx = micro_ctx_new(NULL);
    CHECK_EQ_TEXT(micro__type_check(&micro_type_entry), NULL);
    REQUIRE(ctx && !entrytest_read(ctx, entrytest_golden[0], &e));
    REQUIRE(!micro_proto_write(ctx, &micro_type_entry, &e, &bytes));
    REQUIRE(!micro_proto_read(ctx, &micro_type_entry, bytes, &back));
    CHECK_EQ_TEXT(entrytest_write(ctx, &back), entrytest_golden[0]);
    micro_ctx_free(ctx);
}

TEST(entry_json_out_of_memory)
{
    bool whole = false;
    for (size_t n = 1; n < 200 && !whole; n++) {
        micro_entry e;
        micro_buf out = { .ptr = NULL };
        NOTE("request %zu", n);
        failing_begin(n);
        micro_ctx *ctx = micro_ctx_new(NULL);
        for (size_t i = 0; ctx && i < 8; i++) { /* enough to leave the first chunk */
            char text[900];
            strcpy(text, entrytest_golden[i % 4]);
            micro_err err = micro__entry_read(ctx, text, strlen(text), &e);
            CHECK(!err || err == MICRO_ENOMEM);
            if (!err)
                err = micro__entry_write(ctx, &e, &out);
            CHECK(!err || err == MICRO_ENOMEM);
        }
        micro__buf_free(&out);
        micro_ctx_free(ctx);
        micro__ctx_spare_free();
        whole = failing_end();
    }
    CHECK(whole);
}
