/* SPDX-License-Identifier: MIT */
/* Reading JSON when memory is short or the text is damaged; skipping over JSON. */
#include "codec_fixture.h"

#include "codec_rich.h"

/* ---- memory --------------------------------------------------------------------------------- */

static const char jdamage_full[] =
    "{\"p_string\":\"a\\u00e9\",\"p_bytes\":\"AAH/"
    "\",\"p_part\":{\"part_name\":\"n\",\"nums\":[1,2,3,4,5,"
    "6,7,8,9]},\"p_self\":{\"r_self\":[{},{\"p_self\":{}}]},\"r_string\":[\"x\",\"y\"],\"m_si\":{"
    "\"b\":1,"
    "\"a\":2,\"b\":3},\"m_up\":{\"1\":{\"nums\":[1]}},\"u_self\":{\"c_text\":\"c\"}}";

TEST(json_read_without_memory)
{
    size_t n;

    for (n = 1; n < 200; n++) {
        failing_begin(n);
        micro_ctx *ctx = fixture_ctx();
        rich r;
        NOTE("%zu", n);
        micro_err err = fixture_read(ctx, &rich_type, jdamage_full, &r);
        if (err != MICRO_OK) {
            CHECK_EQ_INT(err, MICRO_ENOMEM);
            CHECK(strstr(fixture_error(ctx), "out of memory") != NULL);
            CHECK_EQ_STR(r.p_string, "");
            CHECK(r.r_string.len == 0 && r.p_self == NULL);
        }
        fixture_end(ctx);
        if (failing_end()) {
            CHECK_EQ_INT(err, MICRO_OK);
            break;
        }
    }
    CHECK(n < 200);
    for (n = 1; n < 200; n++) { /* the public function copies first */
        failing_begin(n);
        micro_ctx *ctx = fixture_ctx();
        rich r;
        micro_err err = micro_json_read(ctx, &rich_type, micro_s(jdamage_full), 0, &r);
        CHECK(err == MICRO_OK || err == MICRO_ENOMEM);
        CHECK(r.p_string.ptr != NULL);
        fixture_end(ctx);
        if (failing_end())
            break;
    }
    CHECK(n < 200);
}

/* Small memory, as a microcontroller has: what fits in the lent chunk needs no heap. */
TEST(json_read_takes_no_heap)
{
    static _Alignas(16) char lent[2048];
    static char text[sizeof jdamage_full];
    micro_ctx ctx;
    rich r;

    failing_begin(1);
    memset(&ctx, 0, sizeof ctx);
    micro__arena_init(&ctx.arena, lent, sizeof lent);
    micro__ctx_init(&ctx, NULL);
    static const char flat[] =
        "{\"p_string\":\"a\",\"r_int32\":[1,2,3],\"m_si\":{\"b\":1,\"a\":2,\"b\":3},"
        "\"c_text\":\"abc\"}";
    memcpy(text, flat, sizeof flat);
    CHECK_EQ_INT(micro__json_read(&ctx, &rich_type, text, sizeof flat - 1, 0, &r), MICRO_OK);
    CHECK_EQ_UINT(r.m_si.len, 2);
    CHECK_EQ_UINT(failing.calls, 0);
    micro__arena_free(&ctx.arena);
    failing_end();
}

/* A list of n elements costs memory in proportion to n, whatever its depth. */
TEST(json_read_memory_is_bounded)
{
    static char doc[1 << 15];
    size_t len = (size_t)sprintf(doc, "{\"r_int32\":[1");

    while (len < sizeof doc - 20)
        len += (size_t)sprintf(doc + len, ",1");
    sprintf(doc + len, "]}");
    failing_begin(0);
    micro_ctx *ctx = fixture_ctx();
    rich r;
    CHECK_EQ_INT(fixture_read(ctx, &rich_type, doc, &r), MICRO_OK);
    CHECK(r.r_int32.len > 16000);
    CHECK(failing.peak < r.r_int32.len * sizeof(int32_t) * 4 + (1 << 17));
    fixture_end(ctx);
    failing_end();
}

/* Every beginning of a document is an error, and nothing behind it is looked at. */
TEST(json_read_cut_at_every_byte)
{
    size_t len = sizeof jdamage_full - 1;

    for (size_t n = 0; n <= len; n++) {
        micro_ctx *ctx = fixture_ctx();
        rich r;
        char *text = fixture_edge(jdamage_full, n, 1);
        NOTE("%zu", n);
        micro_err err = micro__json_read(ctx, &rich_type, text, n, 0, &r);
        CHECK_EQ_INT(err, n < len ? MICRO_EFORMAT : MICRO_OK);
        CHECK_EQ_INT(text[n], '#');
        CHECK(r.p_string.ptr != NULL);
        fixture_end(ctx);
    }
}

/* Any one byte changed: an answer, no crash; and what can be read can be written and read again. */
TEST(json_read_with_any_byte_changed)
{
    static const char bytes[] = { 0,   1,   ' ', '"', '\\', '{', '}', '[',        ']',
                                  ':', ',', '9', 'e', '-',  'u', 'n', (char)0x80, (char)0xff };
    size_t len = sizeof jdamage_full - 1, read = 0;

    for (size_t at = 0; at < len; at++) {
        for (size_t b = 0; b < sizeof bytes; b++) {
            micro_ctx *ctx = fixture_ctx();
            rich r;
            micro_str once, twice;
            char *text = fixture_edge(jdamage_full, len, 1);
            text[at] = bytes[b];
            micro_err err = micro__json_read(ctx, &rich_type, text, len, 0, &r);
            CHECK(err == MICRO_OK || err == MICRO_EFORMAT || err == MICRO_ETOOBIG);
            if (err == MICRO_OK) {
                read++;
                CHECK_EQ_INT(micro_json_write(ctx, &rich_type, &r, 0, &once), MICRO_OK);
                CHECK_EQ_INT(micro_json_read(ctx, &rich_type, once, 0, &r), MICRO_OK);
                CHECK_EQ_INT(micro_json_write(ctx, &rich_type, &r, 0, &twice), MICRO_OK);
                CHECK(micro_str_eq(once, twice));
            }
            fixture_end(ctx);
        }
    }
    CHECK(read > 500);
}

/* The text that is lent to the public function stays as it was. */
TEST(json_read_leaves_lent_text_alone)
{
    micro_ctx *ctx = fixture_ctx();
    char text[] = "{\"part_name\":\"a\\nb\"}x", before[sizeof text];
    rich_part p;

    memcpy(before, text, sizeof text);
    CHECK_EQ_INT(micro_json_read(ctx, &rich_part_type, micro__str(text, sizeof text - 2), 0, &p),
                 MICRO_OK);
    CHECK_EQ_STR(p.part_name, "a\nb");
    CHECK(memcmp(text, before, sizeof text) == 0);
    fixture_end(ctx);
}

/* ---- skipping ------------------------------------------------------------------------------- */

TEST(json_skip)
{
    static const struct {
        const char *text;
        int end; /* -1: malformed */
    } cases[] = {
        { "1", 1 },
        { " 1 ", 2 },
        { "-0.5e+7,", 7 },
        { "01", -1 },
        { "1.", -1 },
        { "1e", -1 },
        { "-", -1 },
        { "", -1 },
        { "  ", -1 },
        { "true", 4 },
        { "truth", -1 },
        { "fals", -1 },
        { "false]", 5 },
        { "null", 4 },
        { "nul", -1 },
        { "\"\"", 2 },
        { "\"a\\\"\"", 5 },
        { "\"a", -1 },
        { "\"\\", -1 },
        { "\"\\u00", -1 },
        { "\"\xff\"", 3 },
        { "[]", 2 },
        { "[ ]", 3 },
        { "{}", 2 },
        { "{ }", 3 },
        { "[1,2]x", 5 },
        { "[1,]", -1 },
        { "[,1]", -1 },
        { "[1 2]", -1 },
        { "{\"a\":1}", 7 },
        { "{\"a\":1,}", -1 },
        { "{\"a\"}", -1 },
        { "{\"a\":}", -1 },
        { "{a:1}", -1 },
        { "{\"a\":1 \"b\":2}", -1 },
        { "[}", -1 },
        { "{]", -1 },
        { "[[[]]]", 6 },
        { "[[[]]", -1 },
        { "[{\"a\":[{}]}]", 12 },
        { "]", -1 },
        { ",", -1 },
        { ":", -1 },
        { "[\"]\"]", 5 },
        { "{\"}\":\"{\"}", 9 },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        size_t len = strlen(cases[i].text);
        const char *p = fixture_edge(cases[i].text, len, 0), *end = micro__json_skip(p, p + len);
        NOTE("%s", cases[i].text);
        CHECK_EQ_INT(end ? end - p : -1, cases[i].end);
    }
    static char deep[2 * MICRO_MAX_DEPTH + 4];
    memset(deep, '[', MICRO_MAX_DEPTH);
    memset(deep + MICRO_MAX_DEPTH, ']', MICRO_MAX_DEPTH);
    CHECK(micro__json_skip(deep, deep + strlen(deep)) == deep + strlen(deep));
    memset(deep, '[', MICRO_MAX_DEPTH + 1);
    memset(deep + MICRO_MAX_DEPTH + 1, ']', MICRO_MAX_DEPTH + 1);
    CHECK(micro__json_skip(deep, deep + strlen(deep)) == NULL);
}
