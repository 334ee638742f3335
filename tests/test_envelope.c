/* SPDX-License-Identifier: MIT */
/* The envelopes of 2018, JSON-RPC and PROTO-RPC, read and written. */
#include "codec_fixture.h"

#include "codec_rich.h"

static const char *envelope_show(micro_ctx *ctx, micro_err err, const micro__envelope *e)
{
    static char out[1 << 12];

    if (err != MICRO_OK)
        snprintf(out, sizeof out, "%d %s; id " MICRO_STR_FMT, err, fixture_error(ctx),
                 MICRO_STR_ARG(e->id));
    else
        snprintf(out, sizeof out, MICRO_STR_FMT "|" MICRO_STR_FMT "%s|%s" MICRO_STR_FMT "|%.*s%s%s",
                 MICRO_STR_ARG(e->method), MICRO_STR_ARG(e->id), e->has_id ? "" : " absent",
                 e->failed ? "error " : "", MICRO_STR_ARG(e->error), (int)e->body_len,
                 e->body ? e->body : "", e->body ? "" : "none", e->problem ? e->problem : "");
    return out;
}

/* JSON: the text must stay as it was, since it may turn out to be a bare message. */
static void envelope_json(bool reply, const char *text, const char *want)
{
    micro_ctx *ctx = fixture_ctx();
    micro__envelope e;
    size_t len = strlen(text);
    char *in = fixture_edge(text, len, 0);

    NOTE("%s", text);
    micro_err err = reply ? micro__jsonrpc_read_reply(ctx, in, len, &e)
                          : micro__jsonrpc_read_request(ctx, in, len, &e);
    CHECK_EQ_TEXT(envelope_show(ctx, err, &e), want);
    CHECK(memcmp(in, text, len) == 0);
    if (e.body)
        CHECK(e.body >= in && e.body + e.body_len <= in + len);
    fixture_end(ctx);
}

TEST(jsonrpc_requests)
{
    static const struct {
        const char *text, *want; /* method|id|error|body problem */
    } cases[] = {
        { "{\"method\":\"Say.Hello\",\"params\":[{\"name\":\"John\"}],\"id\":0}\n",
          "Say.Hello|0||{\"name\":\"John\"}" },
        { "{\"method\":\"Say.Hello\",\"params\":[{\"name\":\"John\"}],\"id\":\"0\"}",
          "Say.Hello|\"0\"||{\"name\":\"John\"}" },
        { " { \"id\" : 12345678901234567890 , \"params\" : [ {} , 1 , [2] ] , \"method\" : \"A.B\" "
          "} ",
          "A.B|12345678901234567890||{}" },
        { "{\"method\":\"A.B\",\"params\":[],\"id\":1}", "A.B|1||none" },
        { "{\"method\":\"A.B\",\"params\":[ ],\"id\":1}", "A.B|1||none" },
        { "{\"method\":\"A.B\",\"params\":[null],\"id\":1}", "A.B|1||none" },
        { "{\"method\":\"A.B\",\"params\":[5],\"id\":1}", "A.B|1||5" },
        { "{\"method\":\"A.B\",\"params\":{},\"id\":1}", "A.B|1||noneparams: array expected" },
        { "{\"method\":\"A.B\",\"params\":\"x\",\"id\":1}", "A.B|1||noneparams: array expected" },
        { "{\"method\":\"A.B\",\"params\":null,\"id\":1}", "A.B|1||noneparams missing" },
        { "{\"method\":\"A.B\",\"id\":1}", "A.B|1||noneparams missing" },
        { "{\"params\":[{}],\"id\":1}", "|1||{}" },
        { "{\"method\":null,\"params\":[{}],\"id\":1}", "|1||{}" },
        { "{}", "|null absent||noneparams missing" },
        /* any id comes back as it was written */
        { "{\"method\":\"A.B\",\"params\":[{}],\"id\":null}", "A.B|null||{}" },
        { "{\"method\":\"A.B\",\"params\":[{}]}", "A.B|null absent||{}" },
        { "{\"method\":\"A.B\",\"params\":[{}],\"id\":\"\"}", "A.B|\"\"||{}" },
        { "{\"method\":\"A.B\",\"params\":[{}],\"id\":-1.50e+3}", "A.B|-1.50e+3||{}" },
        { "{\"method\":\"A.B\",\"params\":[{}],\"id\":{ \"a\" : [1] }}",
          "A.B|{ \"a\" : [1] }||{}" },
        { "{\"method\":\"A.B\",\"params\":[{}],\"id\":\"a\\u0041\\\"\"}",
          "A.B|\"a\\u0041\\\"\"||{}" },
        { "{\"method\":\"A.B\",\"params\":[{}],\"id\":0,\"id\":7}", "A.B|7||{}" },
        /* other members, other letter case, escapes */
        { "{\"jsonrpc\":\"2.0\",\"METHOD\":\"A.B\",\"Params\":[{}],\"ID\":3}", "A.B|3||{}" },
        { "{\"m\\u0065thod\":\"A\\u002eB\",\"p\\u0061rams\":[{}],\"id\":3}", "A.B|3||{}" },
        { "{\"method\":\"caf\xc3\xa9.X\",\"params\":[{}],\"id\":3}", "caf\xc3\xa9.X|3||{}" },
        { "{\"method\":\"A.B\",\"params\":[{\"a\":\"]},[{\\\"\"},2],\"id\":3}",
          "A.B|3||{\"a\":\"]},[{\\\"\"}" },
        { "{\"method\":\"A.B\",\"params\":[{\"x\":1}],\"params\":[{\"y\":2}],\"id\":3}",
          "A.B|3||{\"y\":2}" },
        { "{\"method\":\"A.B\",\"params\":[{\"x\":1}],\"params\":7,\"id\":3}",
          "A.B|3||noneparams: array expected" },
        { "{\"result\":1,\"error\":2,\"method\":\"A.B\",\"params\":[{}],\"id\":3}", "A.B|3||{}" },
        /* what cannot be read */
        { "", "-11 JSON-RPC: malformed JSON; id null" },
        { "x", "-11 JSON-RPC: malformed JSON; id null" },
        { "[]", "-11 JSON-RPC: malformed JSON; id null" },
        { "{\"id\":5,\"method\":7,\"params\":[]}", "-11 JSON-RPC: method: string expected; id 5" },
        { "{\"id\":5,\"method\":\"A.B\",\"params\":[{]}", "-11 JSON-RPC: malformed JSON; id 5" },
        { "{\"id\":5,\"method\":\"A.B\",\"params\":[{}", "-11 JSON-RPC: malformed JSON; id 5" },
        { "{\"id\":5,\"method\":\"A.B\",\"params\":[{},]}", "-11 JSON-RPC: malformed JSON; id 5" },
        { "{\"id\":5,\"method\":\"A.B\",\"params\":[{}] \"x\":1}",
          "-11 JSON-RPC: malformed JSON; id 5" },
        { "{\"id\":5,}", "-11 JSON-RPC: malformed JSON; id 5" },
        { "{\"id\":5}}", "-11 JSON-RPC: text behind the object; id 5" },
        { "{\"id\":\"x", "-11 JSON-RPC: malformed JSON; id null" },
        { "{\"id\":01}", "-11 JSON-RPC: malformed JSON; id null" },
        { "{\"id\":5,\"method\":\"A\xff\"}", "-11 JSON-RPC: invalid UTF-8; id 5" },
        { "{\"id\":5,\"method\":\"A\\n\xff\"}", "-11 JSON-RPC: invalid UTF-8; id 5" },
        { "{\"id\":5,\"method\":\"A\\x\"}", "-11 JSON-RPC: malformed JSON; id 5" },
        { "{\"id\":5,\"method\":", "-11 JSON-RPC: malformed JSON; id 5" },
        { "{\"id\":5,\"method\"}", "-11 JSON-RPC: malformed JSON; id 5" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++)
        envelope_json(false, cases[i].text, cases[i].want);
}

TEST(jsonrpc_replies)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "{\"id\":0,\"result\":{\"msg\":\"Hello John\"},\"error\":null}\n",
          "|0||{\"msg\":\"Hello John\"}" },
        { "{\"id\":\"0\",\"result\":{},\"error\":null}", "|\"0\"||{}" },
        { "{\"id\":\"\",\"result\":null,\"error\":\"text\"}\n", "|\"\"|error text|none" },
        { "{\"id\":0,\"result\":{},\"error\":\"text\"}", "|0|error text|{}" },
        { "{\"id\":0,\"result\":{},\"error\":\"\"}", "|0|error |{}" },
        { "{\"error\":\"a\\n\\u00e9\"}", "|null absent|error a\n\xc3\xa9|none" },
        { "{\"id\":0,\"error\":{\"code\":400}}", "|0|error {\"code\":400}|none" },
        { "{\"id\":0,\"error\":false}", "|0|error false|none" },
        { "{\"id\":0,\"error\":404}", "|0|error 404|none" },
        { "{\"id\":0,\"result\":[1]}", "|0||[1]" },
        { "{\"result\":{\"a\":1}}", "|null absent||{\"a\":1}" },
        { "{\"Result\":{\"a\":1},\"Error\":null,\"Id\":5}", "|5||{\"a\":1}" },
        { "{\"error\":\"x\",\"error\":null,\"result\":{}}", "|null absent||{}" },
        { "{\"params\":5,\"result\":{},\"method\":7}", "|null absent||{}" },
        { "{}", "|null absent||none" },
        { "{\"error\":\"\xff\"}", "-11 JSON-RPC: invalid UTF-8; id null" },
        { "{\"result\":{\"a\":}}", "-11 JSON-RPC: malformed JSON; id null" },
        { "{\"result\":{}", "-11 JSON-RPC: malformed JSON; id null" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++)
        envelope_json(true, cases[i].text, cases[i].want);
}

/* The body that is found is decoded where it stands. */
TEST(jsonrpc_body_is_decoded_in_place)
{
    micro_ctx *ctx = fixture_ctx();
    char in[] =
        "{\"method\":\"A.B\",\"params\":[{\"part_name\":\"a\\nb\",\"nums\":[1,2]}],\"id\":3}";
    const micro_codec *json = micro__codec_find(NULL, 0, micro_s("application/json"));
    micro__envelope e;
    rich_part p;

    CHECK_EQ_INT(micro__jsonrpc_read_request(ctx, in, sizeof in - 1, &e), MICRO_OK);
    CHECK_EQ_INT(micro__codec_decode(json, ctx, &rich_part_type, e.body, e.body_len, &p), MICRO_OK);
    CHECK_EQ_STR(p.part_name, "a\nb");
    CHECK_EQ_UINT(p.nums.len, 2);
    CHECK_EQ_INT(e.body[e.body_len], ']');
    CHECK(micro_str_eq(e.method, micro_s("A.B")) && micro_str_eq(e.id, micro_s("3")));
    fixture_end(ctx);
}

TEST(jsonrpc_depth)
{
    static char text[4 * MICRO_MAX_DEPTH];
    micro_ctx *ctx = fixture_ctx();
    micro__envelope e;

    for (int over = 0; over < 2; over++) { /* the object counts; params' array does not */
        size_t n = MICRO_MAX_DEPTH - 1 + (size_t)over;
        size_t len = (size_t)sprintf(text, "{\"method\":\"A.B\",\"params\":[");
        memset(text + len, '[', n);
        memset(text + len + n, ']', n);
        sprintf(text + len + 2 * n, "],\"id\":3}");
        CHECK_EQ_INT(micro__jsonrpc_read_request(ctx, text, strlen(text), &e),
                     over ? MICRO_ETOOBIG : MICRO_OK);
    }
    fixture_end(ctx);
}

TEST(jsonrpc_probe)
{
    static const struct {
        const char *text;
        bool is;
    } cases[] = {
        { "{\"method\":\"A.B\",\"params\":[{}],\"id\":0}\n", true },
        { "{\"id\":null,\"params\":[],\"method\":\"\"}", true },
        { "{\"method\":\"A.B\",\"params\":[{}],\"id\":\"0\",\"jsonrpc\":\"2.0\"}", true },
        { "{\"method\":\"A.B\",\"params\":[{}]}", false },
        { "{\"method\":\"A.B\",\"id\":0}", false },
        { "{\"params\":[],\"id\":0}", false },
        { "{\"method\":7,\"params\":[],\"id\":0}", false },
        { "{\"method\":\"A.B\",\"params\":{},\"id\":0}", false },
        { "{\"name\":\"John\"}", false },
        { "{\"name\":{\"method\":\"A.B\",\"params\":[],\"id\":0}}", false },
        { "{}", false },
        { "", false },
        { "[]", false },
        { "{\"method\":\"A.B\",\"params\":[{}],\"id\":0", false },
        { "{\"method\":\"A.B\",\"params\":[{}],\"id\":0}x", false },
        { "{\"method\":\"A.B\",\"params\":[{},],\"id\":0}", false },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        size_t len = strlen(cases[i].text);
        NOTE("%s", cases[i].text);
        CHECK(micro__jsonrpc_probe(fixture_edge(cases[i].text, len, 0), len) == cases[i].is);
    }
}

TEST(jsonrpc_written)
{
    micro_buf out = { NULL, 0, 0, 0, false, false, 0 };

    size_t at = micro__jsonrpc_request_begin(&out, micro_s("Say.Hello"));
    micro__buf_text(&out, "{\"name\":\"John\"}");
    micro__jsonrpc_request_end(&out, at, 0);
    at = micro__jsonrpc_request_begin(&out, micro_s("A\".<"));
    micro__jsonrpc_request_end(&out, at, UINT64_MAX);
    at = micro__jsonrpc_reply_begin(&out, micro_s("0"));
    micro__buf_text(&out, "{\"msg\":\"Hello John\"}");
    micro__jsonrpc_reply_end(&out, at);
    at = micro__jsonrpc_reply_begin(&out, micro_s("\"a\\u0041\""));
    micro__jsonrpc_reply_end(&out, at);
    micro__jsonrpc_error(&out, micro_s("0"), micro_s("text"));
    micro__jsonrpc_error(&out, micro_s(""), micro_s("{\"id\":\"x\"}\n"));
    CHECK_EQ_STR(micro__str(out.ptr, out.len),
                 "{\"method\":\"Say.Hello\",\"params\":[{\"name\":\"John\"}],\"id\":0}\n"
                 "{\"method\":\"A\\\".\\u003c\",\"params\":[{}],\"id\":18446744073709551615}\n"
                 "{\"id\":0,\"result\":{\"msg\":\"Hello John\"},\"error\":null}\n"
                 "{\"id\":\"a\\u0041\",\"result\":{},\"error\":null}\n"
                 "{\"id\":0,\"result\":{},\"error\":\"text\"}\n"
                 "{\"id\":null,\"result\":{},\"error\":\"{\\\"id\\\":\\\"x\\\"}\\n\"}\n");
    micro__buf_free(&out);
}

/* ---- PROTO-RPC ------------------------------------------------------------------------------ */

static const char *envelope_proto(bool reply, const char *hex)
{
    static char out[1 << 12];
    micro_ctx *ctx = fixture_ctx();
    micro__envelope e;
    micro_bytes wire = fixture_bytes(hex);
    char id[20] = "", *in = fixture_edge(wire.ptr, wire.len, 0);

    micro_err err = reply ? micro__protorpc_read_reply(ctx, in, wire.len, &e)
                          : micro__protorpc_read_request(ctx, in, wire.len, &e);
    if (err == MICRO_OK) {
        CHECK(e.has_id == (e.id.len == 8) && (e.id.len == 0 || e.id.len == 8));
        micro__hex_encode(id, e.id.ptr, e.id.len);
        id[2 * e.id.len] = 0;
        snprintf(out, sizeof out, MICRO_STR_FMT "|%s|%s" MICRO_STR_FMT "|%s",
                 MICRO_STR_ARG(e.method), id, e.failed ? "error " : "", MICRO_STR_ARG(e.error),
                 e.body ? fixture_hex(e.body, e.body_len) : "none");
    } else {
        snprintf(out, sizeof out, "%d %s", err, fixture_error(ctx));
    }
    fixture_end(ctx);
    return out;
}

TEST(protorpc_read)
{
    static const struct {
        bool reply;
        const char *hex, *want;
    } cases[] = {
        { false, "00000014 0a09 5361792e48656c6c6f 11 0000000000000000 00000006 0a04 4a6f686e",
          "Say.Hello|0000000000000000||0a044a6f686e" },
        { true,
          "00000016 0a09 5361792e48656c6c6f 11 0000000000000000 1a00 0000000c 0a0a "
          "48656c6c6f204a6f686e",
          "Say.Hello|0000000000000000||0a0a48656c6c6f204a6f686e" },
        /* a seq of zero left out, an empty header, no message frame, an empty one */
        { false, "0000000b 0a09 5361792e48656c6c6f 00000000", "Say.Hello|||" },
        { true, "00000000 00000002 0a00", "|||0a00" },
        { false, "0000000b 0a09 5361792e48656c6c6f", "Say.Hello|||none" },
        { true, "00000000", "|||none" },
        { true, "00000006 1a04 74657874 00000000", "||error text|" },
        { false, "00000006 1a04 74657874 00000000", "|||" },
        { false, "00000009 11 0102030405060708 00000000", "|0102030405060708||" },
        /* twice, unknown fields, other wire types, a group */
        { false, "0000000a 0a0141 0a0142 c03e05 30 00000000", "-11 PROTO-RPC: malformed header" },
        { false, "00000009 0a0141 0a0142 c03e05 00000000", "B|||" },
        { false, "00000004 0805 1005 00000000", "|||" },
        { false, "00000007 c33e c43e 0a0141 00000000", "A|||" },
        { false, "00000002 0a00 00000001 ff ff", "|||ff" }, /* what follows is not ours */
        { false, "", "-11 PROTO-RPC: header cut off" },
        { false, "000000", "-11 PROTO-RPC: header cut off" },
        { false, "00000001", "-11 PROTO-RPC: header cut off" },
        { false, "ffffffff 0a00", "-11 PROTO-RPC: header cut off" },
        { false, "00000002 0a05", "-11 PROTO-RPC: malformed header" },
        { false, "00000001 00", "-11 PROTO-RPC: malformed header" },
        { false, "00000003 0a01ff 00000000", "-11 PROTO-RPC: invalid UTF-8 in the header" },
        { true, "00000003 1a01ff 00000000", "-11 PROTO-RPC: invalid UTF-8 in the header" },
        { false, "00000000 00", "-11 PROTO-RPC: message cut off" },
        { false, "00000000 00000002 0a", "-11 PROTO-RPC: message cut off" },
        { false, "00000000 ffffffff 0a", "-11 PROTO-RPC: message cut off" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        NOTE("%s", cases[i].hex);
        CHECK_EQ_TEXT(envelope_proto(cases[i].reply, cases[i].hex), cases[i].want);
    }
}

TEST(protorpc_written)
{
    static const char id[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    micro_buf out = { NULL, 0, 0, 0, false, false, 0 };

    size_t at = micro__protorpc_request_begin(&out, micro_s("Say.Hello"), 0);
    micro__buf_add(&out, "\x0a\x04John", 6);
    micro__protorpc_request_end(&out, at);
    CHECK_EQ_TEXT(fixture_hex(out.ptr, out.len),
                  "000000140a095361792e48656c6c6f110000000000000000000000060a044a6f686e");
    out.len = 0;
    at = micro__protorpc_reply_begin(&out, micro_s("Say.Hello"), micro_s(""));
    micro__buf_add(&out, "\x0a\x0aHello John", 12);
    micro__protorpc_reply_end(&out, at);
    CHECK_EQ_TEXT(fixture_hex(out.ptr, out.len),
                  "000000160a095361792e48656c6c6f1100000000000000001a000000000c0a0a48656c6c6f20"
                  "4a6f686e");
    out.len = 0;
    micro__protorpc_error(&out, micro_s("A.B"), micro__str(id, 8), micro_s("no"));
    CHECK_EQ_TEXT(fixture_hex(out.ptr, out.len),
                  "000000120a03412e421101020304050607081a026e6f00000000");
    out.len = 0;
    at = micro__protorpc_request_begin(&out, micro_s(""), UINT64_C(0x0102030405060708));
    micro__protorpc_request_end(&out, at);
    CHECK_EQ_TEXT(fixture_hex(out.ptr, out.len), "0000000b0a0011080706050403020100000000");
    micro__buf_free(&out);
}

/* What one side writes the other reads, whatever its size; a reply has the id of its request. */
TEST(envelope_round_trip)
{
    static char name[300];

    for (size_t len = 0; len < sizeof name; len += 7) {
        micro_ctx *ctx = fixture_ctx();
        micro__envelope e, back;
        micro_buf out = { NULL, 0, 0, 0, false, false, 0 };
        memset(name, 'n', len);
        micro_str method = micro__str(name, len);
        NOTE("%zu", len);
        size_t at = micro__jsonrpc_request_begin(&out, method);
        micro__buf_text(&out, "{}");
        micro__jsonrpc_request_end(&out, at, len);
        CHECK_EQ_INT(micro__jsonrpc_read_request(ctx, out.ptr, out.len, &e), MICRO_OK);
        CHECK(micro_str_eq(e.method, method) && e.body_len == 2);
        char id[24];
        snprintf(id, sizeof id, MICRO_STR_FMT, MICRO_STR_ARG(e.id));
        out.len = 0;
        at = micro__jsonrpc_reply_begin(&out, micro_s(id));
        micro__buf_text(&out, "[]");
        micro__jsonrpc_reply_end(&out, at);
        CHECK_EQ_INT(micro__jsonrpc_read_reply(ctx, out.ptr, out.len, &back), MICRO_OK);
        CHECK(micro__str_is(back.id, id) && !back.failed);
        out.len = 0;
        at = micro__protorpc_request_begin(&out, method, len);
        micro__buf_add(&out, name, len);
        micro__protorpc_request_end(&out, at);
        CHECK_EQ_INT(micro__protorpc_read_request(ctx, out.ptr, out.len, &e), MICRO_OK);
        CHECK(micro_str_eq(e.method, method) && e.body_len == len);
        char seq[8];
        memcpy(seq, e.id.ptr, 8);
        out.len = 0;
        micro__protorpc_error(&out, micro_s("A.B"), micro__str(seq, 8), method);
        CHECK_EQ_INT(micro__protorpc_read_reply(ctx, out.ptr, out.len, &back), MICRO_OK);
        CHECK(back.id.len == 8 && memcmp(back.id.ptr, seq, 8) == 0);
        CHECK(micro_str_eq(back.error, method) && back.failed == (len > 0));
        micro__buf_free(&out);
        fixture_end(ctx);
    }
}

static void envelope_write(int which, micro_buf *out)
{
    size_t at = 0;

    if (which == 0)
        at = micro__jsonrpc_request_begin(out, micro_s("Say.Hello"));
    else if (which == 1)
        at = micro__jsonrpc_reply_begin(out, micro_s("5"));
    else if (which == 2)
        at = micro__protorpc_request_begin(out, micro_s("Say.Hello"), 1);
    else if (which == 3)
        at = micro__protorpc_reply_begin(out, micro_s("Say.Hello"), micro_s(""));
    else if (which == 4)
        micro__jsonrpc_error(out, micro_s("5"), micro_s("text"));
    else
        micro__protorpc_error(out, micro_s("Say.Hello"), micro_s(""), micro_s("text"));
    if (which < 4)
        micro__buf_text(out, "{\"name\":\"John\"}");
    if (which == 0)
        micro__jsonrpc_request_end(out, at, 7);
    else if (which == 1)
        micro__jsonrpc_reply_end(out, at);
    else if (which == 2)
        micro__protorpc_request_end(out, at);
    else if (which == 3)
        micro__protorpc_reply_end(out, at);
}

/* A buffer that cannot take it all fails, wherever that happens, and is not written outside of. */
TEST(envelope_into_a_small_buffer)
{
    for (int which = 0; which < 6; which++) {
        micro_buf whole = { NULL, 0, 0, 0, false, false, 0 };
        envelope_write(which, &whole);
        CHECK(whole.len > 30);
        for (size_t max = 1; max <= whole.len; max++) {
            micro_buf out = { NULL, 0, 0, max, false, false, 0 };
            envelope_write(which, &out);
            NOTE("%d %zu", which, max);
            CHECK(out.len <= max && out.failed == (max < whole.len) && out.toobig == out.failed);
            micro__buf_free(&out);
        }
        micro__buf_free(&whole);
    }
}

TEST(envelope_without_memory)
{
    for (size_t n = 1; n < 10; n++) {
        failing_begin(n);
        micro_ctx *ctx = fixture_ctx();
        micro__envelope e;
        char in[] = "{\"method\":\"A\\u002eB\",\"params\":[{}],\"id\":3}";
        micro_err err = micro__jsonrpc_read_request(ctx, in, sizeof in - 1, &e);
        CHECK(err == MICRO_OK || err == MICRO_ENOMEM);
        fixture_end(ctx);
        if (failing_end()) {
            CHECK_EQ_INT(err, MICRO_OK);
            return;
        }
    }
    CHECK(false); /* it never got enough */
}
