/* SPDX-License-Identifier: MIT */
/* micro_value: JSON without a table. */
#include "codec_fixture.h"

#include "codec_rich.h"

/* A document read and written again, or the error. */
static const char *value_echo(const char *text)
{
    static char out[1 << 14];
    micro_ctx *ctx = fixture_ctx();
    micro_value v;
    micro_str s;

    memset(&v, 0xee, sizeof v);
    micro_err err = fixture_read(ctx, &micro_type_value, text, &v);
    if (err == MICRO_OK)
        err = micro_json_write(ctx, &micro_type_value, &v, 0, &s);
    else
        CHECK(v.kind == MICRO_VALUE_NULL && v.name.ptr != NULL);
    snprintf(out, sizeof out, "%s", err == MICRO_OK ? s.ptr : fixture_error(ctx));
    fixture_end(ctx);
    return out;
}

TEST(json_value_echo)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "null", "null" },
        { " true ", "true" },
        { "false", "false" },
        { "0", "0" },
        { "-1", "-1" },
        { "9223372036854775807", "9223372036854775807" },
        { "-9223372036854775808", "-9223372036854775808" },
        { "9223372036854775808", "9223372036854775808" },
        { "18446744073709551615", "18446744073709551615" },
        { "18446744073709551616", "18446744073709552000" },
        { "-9223372036854775809", "-9223372036854776000" },
        { "-0", "-0" },
        { "1.0", "1" },
        { "0.1", "0.1" },
        { "1e3", "1000" },
        { "1e21", "1e+21" },
        { "-1.5e-9", "-1.5e-9" },
        { "1e999", "number out of range" },
        { "\"a\\u00e9\\n<\"", "\"a\xc3\xa9\\n\\u003c\"" },
        { "[]", "[]" },
        { "{}", "{}" },
        { " [ 1 , [ ] , { \"a\" : [ null ] } ] ", "[1,[],{\"a\":[null]}]" },
        { "{\"z\":1,\"a\":2,\"m\":3}", "{\"z\":1,\"a\":2,\"m\":3}" },
        { "{\"a\":1,\"b\":2,\"a\":3,\"\":4,\"b\":{\"a\":5,\"a\":6}}",
          "{\"a\":3,\"\":4,\"b\":{\"a\":6}}" },
        { "{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}" },
        { "", "JSON ends too soon" },
        { "[1,2", "JSON ends too soon" },
        { "{\"a\":[1,{\"b\":x}]}", "[\"a\"][1][\"b\"]: malformed JSON at byte 13" },
        { "[1,]", "[1]: malformed JSON at byte 3" },
        { "{\"a\":1,}", "[\"\"]: malformed JSON at byte 7" },
        { "{\"a\" 1}", "[\"a\"]: malformed JSON at byte 5" },
        { "[1 2]", "malformed JSON at byte 3" },
        { "tru", "malformed JSON at byte 0" },
        { "nulL", "malformed JSON at byte 0" },
        { "-", "malformed JSON at byte 0" },
        { "01", "malformed JSON at byte 0" },
        { "\"\xff\"", "invalid UTF-8" },
        { "{\"\xff\":1}", "[\"\"]: invalid UTF-8" },
        { "1 1", "text behind the JSON" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        NOTE("%s", cases[i].in);
        CHECK_EQ_TEXT(value_echo(cases[i].in), cases[i].out);
    }
}

TEST(json_value_kinds)
{
    static const struct {
        const char *text;
        enum micro_value_kind kind;
    } cases[] = {
        { "null", MICRO_VALUE_NULL },
        { "true", MICRO_VALUE_BOOL },
        { "-5", MICRO_VALUE_INT },
        { "5", MICRO_VALUE_INT },
        { "9223372036854775808", MICRO_VALUE_UINT },
        { "5.0", MICRO_VALUE_DOUBLE },
        { "5e0", MICRO_VALUE_DOUBLE },
        { "-0", MICRO_VALUE_DOUBLE },
        { "1E2", MICRO_VALUE_DOUBLE },
        { "\"5\"", MICRO_VALUE_TEXT },
        { "[5]", MICRO_VALUE_ARRAY },
        { "{\"a\":5}", MICRO_VALUE_OBJECT },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        micro_ctx *ctx = fixture_ctx();
        micro_value v;
        NOTE("%s", cases[i].text);
        CHECK_EQ_INT(fixture_read(ctx, &micro_type_value, cases[i].text, &v), MICRO_OK);
        CHECK_EQ_INT(v.kind, cases[i].kind);
        CHECK_EQ_STR(v.name, "");
        fixture_end(ctx);
    }
}

TEST(json_value_get)
{
    micro_ctx *ctx = fixture_ctx();
    micro_value v;

    CHECK_EQ_INT(fixture_read(ctx, &micro_type_value,
                              "{\"user\":{\"name\":\"John\",\"age\":42},\"tags\":[\"a\",7],\"\":1}",
                              &v),
                 MICRO_OK);
    const micro_value *user = micro_value_get(&v, "user");
    CHECK_EQ_INT(user->kind, MICRO_VALUE_OBJECT);
    CHECK_EQ_STR(user->name, "user");
    CHECK_EQ_STR(micro_value_get(user, "name")->as.text, "John");
    CHECK_EQ_INT(micro_value_get(user, "age")->as.i, 42);
    CHECK_EQ_INT(micro_value_get(&v, "")->as.i, 1);
    const micro_value *tags = micro_value_get(&v, "tags");
    REQUIRE(tags->kind == MICRO_VALUE_ARRAY && tags->as.items.len == 2);
    CHECK_EQ_STR(tags->as.items.ptr[0].as.text, "a");
    CHECK_EQ_INT(tags->as.items.ptr[1].as.i, 7);
    /* absent, at any depth, of anything */
    const micro_value *none = micro_value_get(micro_value_get(&v, "nope"), "deeper");
    CHECK(none != NULL && none->kind == MICRO_VALUE_NULL);
    CHECK(micro_value_get(tags, "a")->kind == MICRO_VALUE_NULL);
    CHECK(micro_value_get(user, NULL)->kind == MICRO_VALUE_NULL);
    CHECK(micro_value_get(user, "NAME")->kind == MICRO_VALUE_NULL);
    fixture_end(ctx);
}

TEST(json_value_build)
{
    micro_ctx *ctx = fixture_ctx();
    micro_value v = { MICRO_VALUE_NULL, { "", 0 }, { false } }, *item;
    char name[] = "first";
    micro_str s;

    item = micro_value_add(ctx, &v, name);
    REQUIRE(item != NULL);
    item->kind = MICRO_VALUE_INT;
    item->as.i = -7;
    name[0] = '?'; /* the name is a copy */
    item = micro_value_add(ctx, &v, "list");
    REQUIRE(item != NULL);
    for (int i = 0; i < 20; i++) {
        micro_value *element = micro_value_add(ctx, item, NULL);
        REQUIRE(element != NULL);
        element->kind = i % 2 ? MICRO_VALUE_UINT : MICRO_VALUE_BOOL;
        if (i % 2)
            element->as.u = UINT64_MAX;
        else
            element->as.on = true;
    }
    item = micro_value_add(ctx, &v, "text");
    REQUIRE(item != NULL);
    item->kind = MICRO_VALUE_TEXT;
    item->as.text = micro_s("t");
    CHECK(micro_value_add(ctx, &v, NULL) == NULL); /* an object takes no items */
    CHECK(micro_value_add(ctx, item, "x") == NULL);
    item->as.items.len = 0;
    item->kind = MICRO_VALUE_NULL;
    CHECK_EQ_INT(micro_json_write(ctx, &micro_type_value, &v, 0, &s), MICRO_OK);
    CHECK(strncmp(s.ptr, "{\"first\":-7,\"list\":[true,18446744073709551615,true,", 50) == 0);
    CHECK(strstr(s.ptr, "],\"text\":null}") != NULL);
    fixture_end(ctx);
}

/* As a member of a message, in every place a message may have. */
TEST(json_value_in_messages)
{
    typedef struct {
        micro_value one;
        MICRO_LIST(micro_value) many;
        micro_value maybe;
        bool has_maybe;
    } holder;
    static const micro_field rows[] = {
        MICRO_FIELD(message(micro_value), holder, one, 1),
        { "many", &micro_type_value, 2, offsetof(holder, many), 0, sizeof(micro_value), 0,
          MICRO_KIND_message, MICRO_MANY, 0, 0 },
        MICRO_OPTIONAL(message(micro_value), holder, maybe, 3),
    };
    static const micro_type type = { sizeof type,    sizeof rows[0], 3, "Holder",
                                     sizeof(holder), rows,           0 };
    static const char *const same[] = {
        "{}",
        "{\"one\":{\"a\":[1]}}",
        "{\"one\":false,\"many\":[1,null,\"x\",{}],\"maybe\":0}",
        "{\"many\":[[],[[]]]}",
    };
    micro_ctx *ctx;
    holder h;
    micro_str s;
    micro_bytes b;

    CHECK(micro__type_check(&type) == NULL);
    for (size_t i = 0; i < MICRO_COUNTOF(same); i++) {
        ctx = fixture_ctx();
        NOTE("%s", same[i]);
        CHECK_EQ_INT(fixture_read(ctx, &type, same[i], &h), MICRO_OK);
        CHECK_EQ_INT(micro_json_write(ctx, &type, &h, 0, &s), MICRO_OK);
        CHECK_EQ_STR(s, same[i]);
        fixture_end(ctx);
    }
    ctx = fixture_ctx();
    CHECK_EQ_INT(fixture_read(ctx, &type, "{\"one\":{\"a\":[1,tru]}}", &h), MICRO_EFORMAT);
    CHECK_EQ_TEXT(fixture_error(ctx), "one[\"a\"][1]: malformed JSON at byte 15");
    /* protobuf has no such thing, but does not mind that it is not there */
    CHECK_EQ_INT(fixture_read(ctx, &type, "{}", &h), MICRO_OK);
    CHECK_EQ_INT(micro_proto_write(ctx, &type, &h, &b), MICRO_OK);
    CHECK_EQ_UINT(b.len, 0);
    CHECK_EQ_INT(fixture_read(ctx, &type, "{\"one\":1}", &h), MICRO_OK);
    CHECK_EQ_INT(micro_proto_write(ctx, &type, &h, &b), MICRO_EINVAL);
    CHECK_EQ_TEXT(fixture_error(ctx), "one: micro_value has no protobuf form");
    CHECK_EQ_INT(micro_proto_read(ctx, &type, fixture_bytes("0a00"), &h), MICRO_EINVAL);
    CHECK_EQ_INT(micro_proto_write(ctx, &micro_type_value, &h.one, &b), MICRO_EINVAL);
    fixture_end(ctx);
}

TEST(json_value_refuses_to_write)
{
    micro_ctx *ctx = fixture_ctx();
    micro_value v = { MICRO_VALUE_DOUBLE, { "", 0 }, { .d = 0 } }, ring;
    micro_str s;

    v.as.d = 1e308 * 10;
    CHECK_EQ_INT(micro_json_write(ctx, &micro_type_value, &v, 0, &s), MICRO_EINVAL);
    CHECK_EQ_INT(micro_json_write(ctx, &micro_type_value, &v, MICRO_JSON_CANONICAL, &s), MICRO_OK);
    CHECK_EQ_STR(s, "\"Infinity\"");
    v.kind = (enum micro_value_kind)77;
    CHECK_EQ_INT(micro_json_write(ctx, &micro_type_value, &v, 0, &s), MICRO_EINVAL);
    v.kind = MICRO_VALUE_TEXT;
    v.as.text = (micro_str){ NULL, 1 };
    CHECK_EQ_INT(micro_json_write(ctx, &micro_type_value, &v, 0, &s), MICRO_EINVAL);
    v.kind = MICRO_VALUE_ARRAY;
    v.as.items.ptr = NULL;
    v.as.items.len = 1;
    CHECK_EQ_INT(micro_json_write(ctx, &micro_type_value, &v, 0, &s), MICRO_EINVAL);
    memset(&ring, 0, sizeof ring);
    ring.kind = MICRO_VALUE_ARRAY;
    ring.as.items.ptr = &ring;
    ring.as.items.len = 1;
    CHECK_EQ_INT(micro_json_write(ctx, &micro_type_value, &ring, 0, &s), MICRO_ETOOBIG);
    fixture_end(ctx);
}

TEST(json_value_depth_and_memory)
{
    static char deep[2 * MICRO_MAX_DEPTH + 8];
    static const char doc[] =
        "{\"a\":[1,2,3,{\"b\":\"x\",\"b\":[{},[]]}],\"c\":[0,0,0,0,0,0,0,0,0,0]}";
    size_t n;

    for (int over = 0; over < 2; over++) {
        micro_ctx *ctx = fixture_ctx();
        micro_value v;
        size_t levels = MICRO_MAX_DEPTH + (size_t)over;
        memset(deep, '[', levels);
        memset(deep + levels, ']', levels);
        deep[2 * levels] = 0;
        CHECK_EQ_INT(fixture_read(ctx, &micro_type_value, deep, &v),
                     over ? MICRO_ETOOBIG : MICRO_OK);
        fixture_end(ctx);
    }
    for (n = 1; n < 100; n++) {
        failing_begin(n);
        micro_ctx *ctx = fixture_ctx();
        micro_value v;
        micro_err err = micro_json_read(ctx, &micro_type_value, micro_s(doc), 0, &v);
        CHECK(err == MICRO_OK || (err == MICRO_ENOMEM && v.kind == MICRO_VALUE_NULL));
        micro_value *made = micro_value_add(ctx, &v, "new");
        if (made)
            CHECK_EQ_STR(made->name, "new");
        fixture_end(ctx);
        if (failing_end()) {
            CHECK_EQ_INT(err, MICRO_OK);
            CHECK(made != NULL);
            break;
        }
    }
    CHECK(n < 100);
}

TEST(json_value_cut_at_every_byte)
{
    static const char doc[] =
        "{\"a\":[1,2.5e3,-0,{\"b\":\"x\\u00e9\",\"c\":[{},[]]}],\"d\":true,\"e\":null}";

    for (size_t n = 0; n < sizeof doc; n++) {
        micro_ctx *ctx = fixture_ctx();
        micro_value v;
        char *text = fixture_edge(doc, n, 1);
        NOTE("%zu", n);
        CHECK_EQ_INT(micro__json_read(ctx, &micro_type_value, text, n, 0, &v),
                     n < sizeof doc - 1    ? MICRO_EFORMAT
                     : n == sizeof doc - 1 ? MICRO_OK
                                           : MICRO_EFORMAT);
        fixture_end(ctx);
    }
}
