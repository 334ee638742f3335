/* SPDX-License-Identifier: MIT */
/* Structs as JSON. What is written of strings, numbers and maps is as Go's encoding/json has it. */
#include "codec_fixture.h"

#include "codec_rich.h"

#include <math.h>

/* What is written, or the error. */
static const char *jwrite(const micro_type *type, const void *obj, unsigned flags)
{
    static char out[1 << 14];
    micro_ctx *ctx = fixture_ctx();
    micro_str s;

    micro_err err = micro_json_write(ctx, type, obj, flags, &s);
    if (err == MICRO_OK)
        CHECK_EQ_INT(s.ptr[s.len], 0);
    else
        CHECK_EQ_STR(s, "");
    snprintf(out, sizeof out, "%s%s",
             err == MICRO_OK       ? ""
             : err == MICRO_EINVAL ? "EINVAL "
                                   : "? ",
             err == MICRO_OK ? s.ptr : fixture_error(ctx));
    fixture_end(ctx);
    return out;
}

static rich jwrite_rich(void)
{
    rich r;

    micro__type_zero(&rich_type, &r);
    return r;
}

TEST(json_write_strings_as_go)
{
    static const struct {
        const char *text;
        size_t len;
        const char *json;
    } cases[] = {
        { "", 0, "\"\"" },
        { "plain text", 10, "\"plain text\"" },
        { "\"\\/", 3, "\"\\\"\\\\/\"" },
        { "\n\r\t", 3, "\"\\n\\r\\t\"" },
        { "\0\1\b\f\x1f\x7f", 6, "\"\\u0000\\u0001\\u0008\\u000c\\u001f\x7f\"" },
        { "<a href='x'>&amp;</a>", 21, "\"\\u003ca href='x'\\u003e\\u0026amp;\\u003c/a\\u003e\"" },
        { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
        { "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", 12,
          "\"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa\"" },
        { "\xff", 1, "\"\\ufffd\"" },
        { "a\xc3", 2, "\"a\\ufffd\"" },
        { "\xe2\x82", 2, "\"\\ufffd\\ufffd\"" },
        { "\xc0\x80", 2, "\"\\ufffd\\ufffd\"" },
        { "\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"" },
        { "\xf4\x90\x80\x80z", 5, "\"\\ufffd\\ufffd\\ufffd\\ufffdz\"" },
        { "\xef\xbf\xbd", 3, "\"\xef\xbf\xbd\"" },
        { "12345678<", 9, "\"12345678\\u003c\"" },
        { "1234567\"12345678", 16, "\"1234567\\\"12345678\"" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        micro_buf out = { NULL, 0, 0, 0, false, false, 0 };
        NOTE("%s", cases[i].json);
        micro__json_quote(&out, micro__str(cases[i].text, cases[i].len));
        CHECK_EQ_STR(micro__str(out.ptr, out.len), cases[i].json);
        micro__buf_free(&out);
    }
}

/* Every byte in every place of the steps in which text is copied. */
TEST(json_write_any_byte_in_any_place)
{
    for (int c = 0; c < 128; c++) {
        for (size_t at = 0; at < 18; at++) {
            char text[18], want[40];
            size_t n = 0;
            micro_buf out = { NULL, 0, 0, 0, false, false, 0 };
            memset(text, 'x', sizeof text);
            text[at] = (char)c;
            want[n++] = '"';
            for (size_t i = 0; i < sizeof text; i++) {
                bool named = strchr("\"\\\n\r\t", text[i]) && text[i];
                if (named)
                    n += (size_t)sprintf(want + n, "\\%c",
                                         text[i] == '\n'   ? 'n'
                                         : text[i] == '\r' ? 'r'
                                         : text[i] == '\t' ? 't'
                                                           : text[i]);
                else if (text[i] < ' ' || strchr("<>&", text[i]))
                    n += (size_t)sprintf(want + n, "\\u%04x", (unsigned)text[i]);
                else
                    want[n++] = text[i];
            }
            want[n++] = '"';
            NOTE("%d %zu", c, at);
            micro__json_quote(&out, micro__str(text, sizeof text));
            CHECK_EQ_MEM(out.ptr, out.len, want, n);
            micro__buf_free(&out);
        }
    }
}

TEST(json_write_zero_is_left_out)
{
    rich r = jwrite_rich();

    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "{}");
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, MICRO_JSON_CANONICAL), "{}");
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, MICRO_JSON_PRETTY), "{}");
    memset(&r, 0, sizeof r); /* NULL texts of the user's are "" too */
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "{}");
    r.has_o_string = r.has_o_bytes = r.has_o_part = r.has_o_self = true;
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0),
                  "{\"o_string\":\"\",\"o_bytes\":\"\",\"o_part\":{},\"o_self\":null}");
}

TEST(json_write_both_forms)
{
    static int32_t nums[] = { 1, -2 };
    static int64_t longs[] = { INT64_MIN, 5 };
    static rich_hue hues[] = { RICH_BLUE, (rich_hue)9 };
    static rich_entry_up up[] = { { 10, { { "ten", 3 }, 1, { NULL, 0, 0 } } },
                                  { 9, { { "", 0 }, 0, { NULL, 0, 0 } } } };
    rich r = jwrite_rich();

    r.p_int32 = -1;
    r.p_int64 = INT64_MAX;
    r.p_fixed64 = UINT64_MAX;
    r.p_bool = true;
    r.p_enum = RICH_DARK;
    r.p_bytes = (micro_bytes){ (const uint8_t *)"\0\1\xff", 3 };
    r.p_float = 0.1f;
    r.p_double = 1e21;
    r.p_part.big_delta = 7;
    r.p_part.nums.ptr = nums;
    r.p_part.nums.len = 2;
    r.r_int64.ptr = longs;
    r.r_int64.len = 2;
    r.r_enum.ptr = hues;
    r.r_enum.len = 2;
    r.m_up.ptr = up;
    r.m_up.len = 2;
    strcpy(r.c_text, "chars");
    r.which_pick = 44;
    r.u_int64 = 0;
    r.class_ = micro_s("first");
    CHECK_EQ_TEXT(
        jwrite(&rich_type, &r, 0),
        "{\"p_double\":1e+21,\"p_float\":0.1,\"p_int32\":-1,\"p_int64\":9223372036854775807,"
        "\"p_fixed64\":18446744073709551615,\"p_bool\":true,\"p_enum\":-3,"
        "\"p_bytes\":\"AAH/\",\"p_part\":{\"big_delta\":7,\"nums\":[1,-2]},\"u_int64\":0,"
        "\"r_int64\":[-9223372036854775808,5],\"r_enum\":[5,9],\"c_text\":\"chars\","
        "\"m_up\":{\"10\":{\"part_name\":\"ten\",\"big_delta\":1},\"9\":{}},"
        "\"class\":\"first\"}");
    CHECK_EQ_TEXT(
        jwrite(&rich_type, &r, MICRO_JSON_CANONICAL),
        "{\"pDouble\":1e+21,\"pFloat\":0.1,\"pInt32\":-1,\"pInt64\":\"9223372036854775807\","
        "\"pFixed64\":\"18446744073709551615\",\"pBool\":true,\"pEnum\":\"DARK\","
        "\"pBytes\":\"AAH/\",\"pPart\":{\"bigDelta\":\"7\",\"nums\":[1,-2]},\"uInt64\":\"0\","
        "\"rInt64\":[\"-9223372036854775808\",\"5\"],\"rEnum\":[\"BLUE\",9],"
        "\"cText\":\"chars\",\"mUp\":{\"9\":{},\"10\":{\"partName\":\"ten\","
        "\"bigDelta\":\"1\"}},\"class\":\"first\"}");
    r = jwrite_rich();
    r.r_int64.ptr = longs;
    r.r_int64.len = 1;
    r.m_up.ptr = up;
    r.m_up.len = 2;
    r.p_self = &(rich){ .p_int32 = 1 };
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, MICRO_JSON_PRETTY),
                  "{\n  \"p_self\": {\n    \"p_int32\": 1\n  },\n  \"r_int64\": [\n"
                  "    -9223372036854775808\n  ],\n  \"m_up\": {\n    \"10\": {\n"
                  "      \"part_name\": \"ten\",\n      \"big_delta\": 1\n    },\n    \"9\": {}\n"
                  "  }\n}");
}

TEST(json_write_names)
{
    typedef struct {
        int32_t a, _b, c__d, e_2f, G_h, i_;
    } names;
    static const micro_field rows[] = {
        MICRO_FIELD(int32, names, a, 1),
        MICRO_FIELD(int32, names, _b, 2),
        MICRO_FIELD(int32, names, c__d, 3),
        MICRO_FIELD(int32, names, e_2f, 4),
        MICRO_FIELD(int32, names, G_h, 5),
        MICRO_FIELD(int32, names, i_, 6),
        { "a_name_that_is_longer_than_sixty_bytes_and_so_is_written_in_pieces_", NULL, 7, 0, 0, 4,
          0, MICRO_KIND_int32, MICRO_PLAIN, 0, 0 },
    };
    static const micro_type type = {
        sizeof type, sizeof rows[0], 7, "Names", sizeof(names), rows, 0
    };
    const names n = { 1, 2, 3, 4, 5, 6 };

    CHECK_EQ_TEXT(jwrite(&type, &n, 0),
                  "{\"a\":1,\"_b\":2,\"c__d\":3,\"e_2f\":4,\"G_h\":5,\"i\":6,"
                  "\"a_name_that_is_longer_than_sixty_bytes_and_so_is_written_in_pieces\":1}");
    CHECK_EQ_TEXT(jwrite(&type, &n, MICRO_JSON_CANONICAL),
                  "{\"a\":1,\"B\":2,\"cD\":3,\"e2f\":4,\"GH\":5,\"i\":6,"
                  "\"aNameThatIsLongerThanSixtyBytesAndSoIsWrittenInPieces\":1}");
}

typedef struct jwrite_kept {
    int32_t i;
    uint64_t u;
    micro_str s;
    micro_bytes b;
    rich_part part;
    rich_part *ptr;
    micro_int32s list;
    micro_pairs map;
    bool on;
    rich_hue hue;
    char text[4];
    float fixed[2];
    size_t n_fixed;
    micro_value any;
    micro_bytes raw;
} jwrite_kept;
#define JWRITE_ROW(m, tag, sub, kind, label) \
    { \
#m, sub, tag, offsetof(jwrite_kept, m), 0, sizeof(((jwrite_kept *)0)->m), 0, kind, label, \
            MICRO_KEEP_ZERO | MICRO_INT_AS_TEXT, 0 \
    }
static const micro_field jwrite_kept_rows[] = {
    JWRITE_ROW(i, 1, NULL, MICRO_KIND_int32, MICRO_PLAIN),
    JWRITE_ROW(u, 2, NULL, MICRO_KIND_uint64, MICRO_PLAIN),
    JWRITE_ROW(s, 3, NULL, MICRO_KIND_string, MICRO_PLAIN),
    JWRITE_ROW(b, 4, NULL, MICRO_KIND_bytes, MICRO_PLAIN),
    JWRITE_ROW(part, 5, &rich_part_type, MICRO_KIND_message, MICRO_PLAIN),
    JWRITE_ROW(ptr, 6, &rich_part_type, MICRO_KIND_pointer, MICRO_PLAIN),
    { "list", NULL, 7, offsetof(jwrite_kept, list), 0, 4, 0, MICRO_KIND_int32, MICRO_MANY,
      MICRO_KEEP_ZERO | MICRO_INT_AS_TEXT, 0 },
    { "map", &micro_type_pair, 8, offsetof(jwrite_kept, map), 0, sizeof(micro_pair), 0,
      MICRO_KIND_message, MICRO_ENTRIES, MICRO_KEEP_ZERO, 0 },
    JWRITE_ROW(on, 9, NULL, MICRO_KIND_bool, MICRO_PLAIN),
    JWRITE_ROW(hue, 10, &rich_hue_enum, MICRO_KIND_enum, MICRO_PLAIN),
    { "text", NULL, 11, offsetof(jwrite_kept, text), 0, 1, 4, MICRO_KIND_chars, MICRO_PLAIN,
      MICRO_KEEP_ZERO, 0 },
    { "fixed", NULL, 12, offsetof(jwrite_kept, fixed), offsetof(jwrite_kept, n_fixed), 4, 2,
      MICRO_KIND_float, MICRO_FIXED, MICRO_KEEP_ZERO, 0 },
    JWRITE_ROW(any, 13, &micro_type_value, MICRO_KIND_message, MICRO_PLAIN),
    JWRITE_ROW(raw, 14, &micro_type_bytes, MICRO_KIND_message, MICRO_PLAIN),
};
static const micro_type jwrite_kept_type = { sizeof(micro_type),  sizeof(micro_field), 14, "Kept",
                                             sizeof(jwrite_kept), jwrite_kept_rows,    0 };

/* Kept zeros are as Go writes them without omitempty: a list that is NULL is null. */
TEST(json_write_kept_zeros)
{
    static int32_t none[1];
    static micro_pair no_pair[1];
    jwrite_kept k;

    CHECK(micro__type_check(&jwrite_kept_type) == NULL);
    micro__type_zero(&jwrite_kept_type, &k);
    CHECK_EQ_TEXT(
        jwrite(&jwrite_kept_type, &k, 0),
        "{\"i\":\"0\",\"u\":\"0\",\"s\":\"\",\"b\":\"\",\"part\":{},\"ptr\":null,\"list\":null,"
        "\"map\":null,\"on\":false,\"hue\":\"0\",\"text\":\"\",\"fixed\":[],\"any\":null,"
        "\"raw\":null}");
    k.list.ptr = none;
    k.map.ptr = no_pair;
    k.i = -5;
    k.raw = (micro_bytes){ (const uint8_t *)" [1, {\"a\":2} ]", 14 };
    CHECK_EQ_TEXT(
        jwrite(&jwrite_kept_type, &k, 0),
        "{\"i\":\"-5\",\"u\":\"0\",\"s\":\"\",\"b\":\"\",\"part\":{},\"ptr\":null,\"list\":[],"
        "\"map\":{},\"on\":false,\"hue\":\"0\",\"text\":\"\",\"fixed\":[],\"any\":null,"
        "\"raw\": [1, {\"a\":2} ]}");
    k.list.len = 1;
    memcpy(k.text, "full", 4); /* no terminator: all of it counts */
    k.raw.len = 0;
    CHECK(strstr(jwrite(&jwrite_kept_type, &k, 0),
                 "\"list\":[\"0\"],\"map\":{},\"on\":false,\"hue\":\"0\",\"text\":\"full\"") !=
          NULL);
}

/* JSON of its own inside a message passes unread, but must be JSON. */
TEST(json_write_raw_json)
{
    static const struct {
        const char *raw, *want;
    } cases[] = {
        { "{\"a\":1}", "\"raw\":{\"a\":1}}" },
        { " 5 ", "\"raw\": 5 }" },
        { "\"text\"", "\"raw\":\"text\"}" },
        { "{\"a\":}", "EINVAL raw: these bytes are no JSON" },
        { "1 2", "EINVAL raw: these bytes are no JSON" },
        { " ", "EINVAL raw: these bytes are no JSON" },
    };
    jwrite_kept k;

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        micro__type_zero(&jwrite_kept_type, &k);
        k.raw = (micro_bytes){ (const uint8_t *)cases[i].raw, strlen(cases[i].raw) };
        NOTE("%s", cases[i].raw);
        CHECK(strstr(jwrite(&jwrite_kept_type, &k, 0), cases[i].want) != NULL);
    }
    micro_ctx *ctx = fixture_ctx();
    CHECK_EQ_INT(fixture_read(ctx, &jwrite_kept_type, "{\"raw\": [1, {\"x\":null}] ,\"i\":3}", &k),
                 MICRO_OK);
    CHECK_EQ_MEM(k.raw.ptr, k.raw.len, "[1, {\"x\":null}]", 15);
    CHECK_EQ_INT(k.i, 3);
    CHECK_EQ_INT(fixture_read(ctx, &jwrite_kept_type, "{\"raw\":[1,}", &k), MICRO_EFORMAT);
    fixture_end(ctx);
}

/* ---- what cannot be written ----------------------------------------------------------------- */

TEST(json_write_refuses)
{
    rich r = jwrite_rich();

    r.p_double = (double)NAN;
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "EINVAL p_double: JSON has no such number");
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, MICRO_JSON_CANONICAL), "{\"pDouble\":\"NaN\"}");
    r.p_double = (double)-INFINITY;
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "EINVAL p_double: JSON has no such number");
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, MICRO_JSON_CANONICAL), "{\"pDouble\":\"-Infinity\"}");
    r = jwrite_rich();
    r.a_float[0] = 1;
    r.a_float[1] = INFINITY;
    r.n_a_float = 2;
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "EINVAL a_float[1]: JSON has no such number");
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, MICRO_JSON_CANONICAL), "{\"aFloat\":[1,\"Infinity\"]}");
    r = jwrite_rich();
    r.which_pick = 40;
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "EINVAL u_double: which_ names no member");
    r = jwrite_rich();
    r.n_a_int32 = 4;
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "EINVAL a_int32: list without elements, or too long");
    r = jwrite_rich();
    r.r_int32.len = 1;
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "EINVAL r_int32: list without elements, or too long");
    r = jwrite_rich();
    r.p_string = (micro_str){ NULL, 3 };
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "EINVAL p_string: text without bytes");
    r = jwrite_rich();
    r.p_bytes = (micro_bytes){ NULL, 3 };
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "EINVAL p_bytes: text without bytes");
    r = jwrite_rich();
    rich inner = jwrite_rich(), *list[] = { NULL, &inner };
    rich_entry_zd bad[] = { { 5, (double)NAN }, { 1, 2 } };
    inner.m_zd.ptr = bad;
    inner.m_zd.len = 2;
    r.r_self.ptr = list;
    r.r_self.len = 2;
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "EINVAL r_self[1].m_zd[0]: JSON has no such number");
}

/* Tables that the check would have refused: an error, nothing worse. */
TEST(json_write_unsound_maps)
{
    typedef struct {
        rich_entry_zd *ptr;
        size_t len, cap;
    } list;
    static const micro_field no_key[] = { { "value", NULL, 2, 8, 0, 8, 0, MICRO_KIND_double,
                                            MICRO_PLAIN, 0, 0 } };
    static const micro_field odd_key[] = {
        { "key", NULL, 1, 0, 0, 8, 0, MICRO_KIND_double, MICRO_PLAIN, 0, 0 },
        { "value", NULL, 2, 8, 0, 8, 0, MICRO_KIND_double, MICRO_PLAIN, 0, 0 },
    };
    static const micro_type entries[] = {
        { sizeof(micro_type), sizeof(micro_field), 1, "E", sizeof(rich_entry_zd), no_key, 0 },
        { sizeof(micro_type), sizeof(micro_field), 2, "E", sizeof(rich_entry_zd), odd_key, 0 },
    };
    static rich_entry_zd one[] = { { 1, 2 } };

    for (int i = 0; i < 2; i++) {
        const micro_field row = {
            "m",           &entries[i], 1, 0, 0, sizeof(rich_entry_zd), 0, MICRO_KIND_message,
            MICRO_ENTRIES, 0,           0
        };
        const micro_type type = { sizeof type, sizeof row, 1, "T", sizeof(list), &row, 0 };
        list l = { one, 1, 0 };
        micro_ctx *ctx = fixture_ctx();
        NOTE("%d", i);
        CHECK(micro__type_check(&type) != NULL);
        CHECK_EQ_TEXT(jwrite(&type, &l, 0), i ? "EINVAL m[0]: no type for the key of a map"
                                              : "EINVAL m: map entry without key or value");
        CHECK_EQ_INT(fixture_read(ctx, &type, "{\"m\":{\"1\":2}}", &l), MICRO_EFORMAT);
        CHECK(l.ptr == NULL && l.len == 0);
        fixture_end(ctx);
    }
}

/* A bool that is neither 0 nor 1, as wild memory has it, is true and nothing worse. */
TEST(json_write_odd_bool)
{
    rich r = jwrite_rich();

    memset(&r.p_bool, 0x5a, 1);
    memset(&r.has_o_int32, 0x80, 1);
    CHECK_EQ_TEXT(jwrite(&rich_type, &r, 0), "{\"p_bool\":true,\"o_int32\":0}");
}

TEST(json_write_depth)
{
    static rich chain[MICRO_MAX_DEPTH + 1];
    micro_ctx *ctx = fixture_ctx();
    micro_str s;

    for (int i = 0; i <= MICRO_MAX_DEPTH; i++) {
        micro__type_zero(&rich_type, &chain[i]);
        chain[i].p_self = i ? &chain[i - 1] : NULL;
    }
    CHECK_EQ_INT(micro_json_write(ctx, &rich_type, &chain[MICRO_MAX_DEPTH - 1], 0, &s), MICRO_OK);
    rich back;
    CHECK_EQ_INT(micro_json_read(ctx, &rich_type, s, 0, &back), MICRO_OK);
    CHECK_EQ_INT(micro_json_write(ctx, &rich_type, &chain[MICRO_MAX_DEPTH], 0, &s), MICRO_ETOOBIG);
    CHECK_EQ_STR(s, "");
    CHECK(strstr(fixture_error(ctx), "p_self.p_self: nested too deeply") != NULL);
    chain[0].p_self = &chain[3]; /* a ring */
    CHECK_EQ_INT(micro_json_write(ctx, &rich_type, &chain[3], MICRO_JSON_PRETTY, &s),
                 MICRO_ETOOBIG);
    fixture_end(ctx);
}

/* ---- buffers -------------------------------------------------------------------------------- */

static rich jwrite_sample(void)
{
    static micro_str tags[] = { { "one", 3 }, { "<two>", 5 } };
    static rich_entry_si si[] = { { { "b", 1 }, 1 }, { { "a", 1 }, -2 } };
    rich r = jwrite_rich();

    r.p_int64 = 1234567;
    r.p_double = 2.5;
    r.p_string = micro_s("caf\xc3\xa9");
    r.p_bytes = (micro_bytes){ (const uint8_t *)"bytes", 5 };
    r.p_enum = RICH_LARGE;
    r.r_string.ptr = tags;
    r.r_string.len = 2;
    r.m_si.ptr = si;
    r.m_si.len = 2;
    strcpy(r.c_text, "x");
    return r;
}

/* A limit is exact: the message that just fits is written, one byte less and nothing is. */
TEST(json_write_limit_is_exact)
{
    rich r = jwrite_sample();

    for (unsigned flags = 0; flags < 4; flags++) {
        micro_ctx *ctx = fixture_ctx();
        micro_str whole;
        REQUIRE(micro_json_write(ctx, &rich_type, &r, flags, &whole) == MICRO_OK);
        for (size_t max = 8; max <= whole.len + 8; max++) {
            micro_buf out = { NULL, 0, 0, max, false, false, 0 };
            NOTE("%u %zu", flags, max);
            micro__buf_add(&out, "in front", 8);
            micro_err err = micro__json_write(ctx, &rich_type, &r, flags, &out);
            if (max < whole.len + 8) {
                CHECK_EQ_INT(err, MICRO_ETOOBIG);
                CHECK_EQ_MEM(out.ptr, out.len, "in front", 8);
                CHECK(!out.failed && !out.toobig && out.spare == 0);
                micro__buf_add(&out, "", max - 8 > 0);
                CHECK(!out.failed);
            } else {
                CHECK_EQ_INT(err, MICRO_OK);
                CHECK_EQ_MEM(out.ptr + 8, out.len - 8, whole.ptr, whole.len);
            }
            micro__buf_free(&out);
        }
        fixture_end(ctx);
    }
}

TEST(json_write_without_memory)
{
    rich r = jwrite_sample();

    for (unsigned flags = 0; flags < 4; flags++) {
        size_t n;
        for (n = 1; n < 100; n++) {
            failing_begin(n);
            micro_ctx *ctx = fixture_ctx();
            micro_str s;
            micro_err err = micro_json_write(ctx, &rich_type, &r, flags, &s);
            NOTE("%u %zu", flags, n);
            CHECK(err == MICRO_OK || err == MICRO_ENOMEM);
            CHECK((s.len > 0) == (err == MICRO_OK));
            fixture_end(ctx);
            if (failing_end())
                break;
        }
        CHECK(n < 100);
    }
}

/* Sorting a map takes memory of the ctx and gives it back; a failure of the ctx stays known. */
TEST(json_write_map_leaves_the_arena_as_it_was)
{
    micro_ctx *ctx = fixture_ctx();
    rich r = jwrite_sample();
    micro_buf out = { NULL, 0, 0, 0, false, false, 0 };

    REQUIRE(micro_alloc(ctx, 10) != NULL);
    micro__mark before = micro__arena_mark(&ctx->arena);
    ctx->arena.failed = true;
    CHECK_EQ_INT(micro__json_write(ctx, &rich_type, &r, 0, &out), MICRO_OK);
    micro__mark after = micro__arena_mark(&ctx->arena);
    CHECK(before.pos == after.pos && before.chunk == after.chunk && ctx->arena.failed);
    CHECK_EQ_INT(fixture_read(ctx, &rich_type, "{\"m_si\":{\"b\":1,\"a\":2,\"b\":3}}", &r),
                 MICRO_OK);
    CHECK(ctx->arena.failed);
    micro__buf_free(&out);
    fixture_end(ctx);
}

/* A buffer that has failed before is not written to, and stays failed. */
TEST(json_write_into_a_failed_buffer)
{
    micro_ctx *ctx = fixture_ctx();
    micro_buf out = { NULL, 0, 0, 4, false, false, 0 };
    rich r = jwrite_sample();

    micro__buf_add(&out, "too long", 8);
    CHECK(out.failed);
    CHECK_EQ_INT(micro__json_write(ctx, &rich_type, &r, 0, &out), MICRO_ENOMEM);
    CHECK_EQ_INT(micro__proto_write(ctx, &rich_type, &r, &out), MICRO_ENOMEM);
    CHECK(out.failed && out.len == 0);
    micro__buf_free(&out);
    fixture_end(ctx);
}

/* ---- white space ---------------------------------------------------------------------------- */

TEST(json_indent)
{
    static const struct {
        const char *in, *compact, *tabs;
    } cases[] = {
        { "{}", "{}", "{}" },
        { " [ ] ", "[]", "[]" },
        { "1", "1", "1" },
        { "\"a b\"", "\"a b\"", "\"a b\"" },
        { "{ \"a\" : 1 , \"b\" : [ ] , \"c\" : { } }", "{\"a\":1,\"b\":[],\"c\":{}}",
          "{\n\t\"a\": 1,\n\t\"b\": [],\n\t\"c\": {}\n}" },
        { "[1,[2,[3]],{\"x\":[true,null]}]", "[1,[2,[3]],{\"x\":[true,null]}]",
          "[\n\t1,\n\t[\n\t\t2,\n\t\t[\n\t\t\t3\n\t\t]\n\t],\n\t{\n\t\t\"x\": [\n\t\t\ttrue,\n"
          "\t\t\tnull\n\t\t]\n\t}\n]" },
        { "{\"a,:{}[]\\\"\":\" , \"}", "{\"a,:{}[]\\\"\":\" , \"}",
          "{\n\t\"a,:{}[]\\\"\": \" , \"\n}" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        micro_buf out = { NULL, 0, 0, 0, false, false, 0 };
        NOTE("%s", cases[i].in);
        micro__json_indent(&out, micro_s(cases[i].in), NULL);
        CHECK_EQ_STR(micro__str(out.ptr, out.len), cases[i].compact);
        out.len = 0;
        micro__json_indent(&out, micro_s(cases[i].in), "\t");
        CHECK_EQ_STR(micro__str(out.ptr, out.len), cases[i].tabs);
        micro__buf_free(&out);
    }
}
