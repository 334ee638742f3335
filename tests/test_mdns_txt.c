/* SPDX-License-Identifier: MIT */
/* TXT payloads: every one captured from peers, ours, damaged ones. */
#include "registry/mdns.h"

#include "mdns_golden.h"

/* Calls fn for each payload of a .tsv file: hex, and the JSON that it holds. */
static int txt_pairs(const char *file, void (*fn)(char *hex, const char *json))
{
    char *text = mdns_golden_text(file);
    int n = 0;
    for (char *line = text; line && *line;) {
        char *end = strchr(line, '\n'), *tab = strchr(line, '\t');
        if (end)
            *end = '\0';
        if (tab) {
            *tab = '\0';
            NOTE("%s, line %d", file, ++n);
            fn(line, tab + 1);
        }
        line = end ? end + 1 : NULL;
    }
    free(text);
    return n;
}

static micro_err txt_read(micro_ctx *ctx, const char *hex, micro_entry *e)
{
    size_t len = strlen(hex), n = 0;
    uint8_t *record = malloc(len + len / 255 + 1), *zlib = malloc(len / 2 + 1);
    for (size_t i = 0; i < len; i += 255) {
        size_t c = len - i < 255 ? len - i : 255;
        record[n++] = (uint8_t)c;
        memcpy(record + n, hex + i, c);
        n += c;
    }
    size_t zlen = micro__mdns_txt_unhex(record, n, zlib);
    micro_err err = zlen ? micro__mdns_txt_read(ctx, zlib, zlen, e, NULL) : MICRO_EFORMAT;
    free(record);
    free(zlib);
    return err;
}

static micro_str txt_str(const micro_buf *b)
{
    return micro__str(b->ptr ? b->ptr : "", b->len);
}

/* What was read is what the JSON says: written again it is the same, and through a payload of ours
 * it comes back. */
static void txt_round(char *hex, const char *json, bool same_order)
{
    micro_ctx *ctx = micro_ctx_new(NULL), *other = micro_ctx_new(NULL);
    micro_entry e, back;
    micro_buf out = { 0 }, payload = { 0 };
    if (!CHECK_EQ_INT(txt_read(ctx, hex, &e), MICRO_OK))
        goto end;
    CHECK(e.name.len > 0 && e.version.len > 0);
    CHECK_EQ_UINT(e.nodes.len, 1);
    CHECK_EQ_INT(micro__mdns_txt_json(ctx, &e, e.nodes.ptr, MICRO__MDNS_FULL, &out), MICRO_OK);
    if (same_order)
        CHECK_EQ_STR(txt_str(&out), json);
    CHECK_EQ_INT(micro__mdns_txt_write(ctx, &e, e.nodes.ptr, MICRO__MDNS_FULL, &payload), MICRO_OK);
    micro__buf_byte(&payload, '\0');
    if (CHECK_EQ_INT(txt_read(other, payload.ptr, &back), MICRO_OK)) {
        CHECK_EQ_UINT(micro__facts_hash(&back), micro__facts_hash(&e));
        CHECK_EQ_UINT(micro__node_hash(back.nodes.ptr), micro__node_hash(e.nodes.ptr));
    }
    for (char *p = hex; *p; p++) /* upper case is the same */
        *p = (char)(*p >= 'a' && *p <= 'f' ? *p - 32 : *p);
    micro_ctx_reset(other);
    if (CHECK_EQ_INT(txt_read(other, hex, &back), MICRO_OK))
        CHECK_EQ_UINT(micro__facts_hash(&back), micro__facts_hash(&e));
end:
    micro__buf_free(&out);
    micro__buf_free(&payload);
    micro_ctx_free(ctx);
    micro_ctx_free(other);
}

static int txt_exact; /* payloads that had to be the same to the byte */

/* From 4.11 the order differs, and after 2018 empty metadata is {} where ours is null. */
static void txt_pair(char *hex, const char *json)
{
    bool form_2018 = !strncmp(json, "{\"Service\"", 10) && !strstr(json, "{}");
    txt_exact += form_2018;
    txt_round(hex, json, form_2018);
}

TEST(mdns_txt_captured)
{
    CHECK_EQ_INT(txt_pairs("mdns-txt-pairs.tsv", txt_pair), 11);
    CHECK_EQ_INT(txt_pairs("later-mdns-txt-pairs.tsv", txt_pair), 12);
    CHECK_EQ_INT(txt_exact, 10);
}

TEST(mdns_txt_members)
{
    /* a later peer's: Metadata first, name last, and in another case of letters */
    static const char text[] =
        "{\"METADATA\":{\"b\":\"2\",\"a\":\"1\"},\"Future\":[{}],\"service\":\"greeter\","
        "\"Endpoints\":[{\"request\":{\"values\":[{\"type\":\"string\",\"name\":\"name\"}],"
        "\"type\":\"Request\",\"name\":\"Request\"},\"metadata\":null,\"name\":\"Say.Hello\"}],"
        "\"Version\":\"latest\"}";
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_buf zlib = { 0 };
    micro_entry e;
    size_t inflated = 0;
    CHECK_EQ_INT(micro__zlib_deflate((const uint8_t *)text, sizeof text - 1, &zlib), MICRO_OK);
    REQUIRE(micro__mdns_txt_read(ctx, (const uint8_t *)zlib.ptr, zlib.len, &e, &inflated) == 0);
    CHECK_EQ_UINT(inflated, sizeof text - 1);
    CHECK_EQ_STR(e.name, "greeter");
    CHECK_EQ_STR(e.version, "latest");
    CHECK_EQ_STR(e.nodes.ptr[0].version, "latest");
    CHECK_EQ_STR(e.nodes.ptr[0].id, "");
    CHECK_EQ_UINT(e.nodes.ptr[0].metadata.len, 2);
    CHECK_EQ_STR(micro__pairs_get(&e.nodes.ptr[0].metadata, "a"), "1");
    REQUIRE(e.endpoints.len == 1);
    CHECK_EQ_STR(e.endpoints.ptr[0].name, "Say.Hello");
    CHECK(e.endpoints.ptr[0].response == NULL);
    REQUIRE(e.endpoints.ptr[0].request && e.endpoints.ptr[0].request->values.len == 1);
    CHECK_EQ_STR(e.endpoints.ptr[0].request->values.ptr[0].name, "name");
    CHECK_EQ_STR(e.endpoints.ptr[0].request->values.ptr[0].type, "string");
    micro__buf_free(&zlib);
    micro_ctx_free(ctx);
}

static const char *txt_json(micro_ctx *ctx, const micro_entry *e, int level)
{
    micro_buf out = { 0 };
    if (!CHECK_EQ_INT(micro__mdns_txt_json(ctx, e, e->nodes.ptr, level, &out), MICRO_OK))
        return "";
    const char *text = micro_copy(ctx, txt_str(&out)).ptr;
    micro__buf_free(&out);
    return text;
}

TEST(mdns_txt_levels)
{
    micro_desc deep[5];
    static const char *const names[] = { "zero", "one", "two", "three", "four" };
    memset(deep, 0, sizeof deep);
    for (size_t i = 0; i < 5; i++) {
        deep[i].name = deep[i].type = micro_s(names[i]);
        deep[i].values.ptr = &deep[i + 1];
        deep[i].values.len = i < 4;
    }
    micro_pair pair = { micro_s("stream"), micro_s("false") };
    micro_endpoint endpoint = { .name = micro_s("Say.Hello"), .request = &deep[0] };
    endpoint.metadata.ptr = &pair;
    endpoint.metadata.len = 1;
    micro_node node = { .id = micro_s("id"), .address = micro_s("1.2.3.4:5") };
    micro_entry e = { .name = micro_s("s"), .version = micro_s("v") };
    e.endpoints.ptr = &endpoint;
    e.endpoints.len = 1;
    e.nodes.ptr = &node;
    e.nodes.len = 1;
    micro_ctx *ctx = micro_ctx_new(NULL);
#define TXT_HEAD \
    "{\"Service\":\"s\",\"Version\":\"v\",\"Endpoints\":[{\"name\":\"Say.Hello\",\"request\":"
#define TXT_TAIL ",\"response\":null,\"metadata\":{\"stream\":\"false\"}}],\"Metadata\":null}"
#define TXT_DESC(name, values) "{\"name\":\"" name "\",\"type\":\"" name "\",\"values\":" values "}"
    CHECK_EQ_TEXT(
        txt_json(ctx, &e, MICRO__MDNS_FULL),
        TXT_HEAD TXT_DESC(
            "zero",
            "[" TXT_DESC(
                "one",
                "[" TXT_DESC("two",
                             "[" TXT_DESC("three", "[" TXT_DESC("four", "null") "]") "]") "]") "]")
            TXT_TAIL);
    CHECK_EQ_TEXT(txt_json(ctx, &e, MICRO__MDNS_DEPTH2),
                  TXT_HEAD TXT_DESC(
                      "zero", "[" TXT_DESC("one", "[" TXT_DESC("two", "null") "]") "]") TXT_TAIL);
    CHECK_EQ_TEXT(txt_json(ctx, &e, MICRO__MDNS_DEPTH1),
                  TXT_HEAD TXT_DESC("zero", "[" TXT_DESC("one", "null") "]") TXT_TAIL);
    CHECK_EQ_TEXT(txt_json(ctx, &e, MICRO__MDNS_DEPTH0),
                  TXT_HEAD TXT_DESC("zero", "null") TXT_TAIL);
    CHECK_EQ_TEXT(txt_json(ctx, &e, MICRO__MDNS_NAMES),
                  TXT_HEAD "null,\"response\":null,\"metadata\":null}],\"Metadata\":null}");
    micro_pair unsorted[] = { { micro_s("b"), micro_s("2") }, { micro_s("a"), micro_s("1") } };
    node.metadata.ptr = unsorted;
    node.metadata.len = 2;
    e.endpoints.len = 0;
    CHECK_EQ_TEXT(txt_json(ctx, &e, MICRO__MDNS_FULL),
                  "{\"Service\":\"s\",\"Version\":\"v\",\"Endpoints\":null,"
                  "\"Metadata\":{\"a\":\"1\",\"b\":\"2\"}}");
    CHECK_EQ_STR(unsorted[0].key, "b"); /* the caller's own is left alone */
    micro_ctx_free(ctx);
}

TEST(mdns_txt_unhex)
{
    static const struct {
        const char *record;
        size_t len, n;
    } rows[] = {
        { "", 0, 0 },
        { "\0", 1, 0 },
        { "\x04"
          "789c",
          5, 2 },
        { "\x01"
          "7"
          "\x00"
          "\x03"
          "89C",
          7, 2 },
        { "\x03"
          "789",
          4, 0 }, /* half a byte is left */
        { "\x05"
          "789c",
          5, 0 }, /* longer than the record */
        { "\x04"
          "78g0",
          5, 0 },
        { "\x04"
          "a=b ",
          5, 0 }, /* somebody else's */
    };
    for (size_t i = 0; i < MICRO_COUNTOF(rows); i++) {
        uint8_t out[8] = { 0 };
        NOTE("row %zu", i);
        size_t n = micro__mdns_txt_unhex((const uint8_t *)rows[i].record, rows[i].len, out);
        CHECK_EQ_UINT(n, rows[i].n);
        if (n)
            CHECK_EQ_MEM(out, n, "\x78\x9c", 2);
    }
}

static micro_err txt_of(const char *text, size_t len)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_buf zlib = { 0 };
    micro_entry e;
    micro_err err = micro__zlib_deflate((const uint8_t *)text, len, &zlib);
    if (!err)
        err = micro__mdns_txt_read(ctx, (const uint8_t *)zlib.ptr, zlib.len, &e, NULL);
    if (err)
        CHECK_EQ_UINT(e.nodes.len, 0);
    micro__buf_free(&zlib);
    micro_ctx_free(ctx);
    return err;
}

TEST(mdns_txt_refused)
{
    CHECK_EQ_INT(txt_of("{}", 2), MICRO_OK);
    CHECK_EQ_INT(txt_of("{", 1), MICRO_EFORMAT);
    CHECK_EQ_INT(txt_of("", 0), MICRO_EFORMAT);
    CHECK_EQ_INT(txt_of("[]", 2), MICRO_EFORMAT);
    CHECK_EQ_INT(txt_of("{\"Service\":1}", 13), MICRO_EFORMAT);
    CHECK_EQ_INT(txt_of("{\"Service\":\"\xff\"}", 15), MICRO_EFORMAT);
    char *big = malloc(MICRO__MDNS_INFLATE_MAX + 2); /* a bomb, were it not for the limit */
    memset(big, ' ', MICRO__MDNS_INFLATE_MAX + 2);
    big[0] = '{';
    big[MICRO__MDNS_INFLATE_MAX - 1] = '}';
    CHECK_EQ_INT(txt_of(big, MICRO__MDNS_INFLATE_MAX), MICRO_OK);
    CHECK_EQ_INT(txt_of(big, MICRO__MDNS_INFLATE_MAX + 1), MICRO_ETOOBIG);
    free(big);
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_entry e;
    CHECK_EQ_INT(micro__mdns_txt_read(ctx, (const uint8_t *)"\x78\x9c", 2, &e, NULL),
                 MICRO_EFORMAT);
    micro_ctx_free(ctx);
}

/* More endpoints than a payload may inflate to: said at once, not after deflating. */
TEST(mdns_txt_too_big)
{
    micro_ctx *ctx = micro_ctx_new(NULL);
    micro_node node = { .id = micro_s("id"), .address = micro_s("1.2.3.4:5") };
    micro_entry e = { .name = micro_s("s"), .version = micro_s("v") };
    micro_buf out = { 0 };
    for (int i = 0; i < 2000; i++) {
        micro_endpoint *endpoint = micro_append(ctx, &e.endpoints);
        REQUIRE(endpoint != NULL);
        endpoint->name = micro_format(ctx, "Endpoint.Number%d", i);
    }
    CHECK_EQ_INT(micro__mdns_txt_write(ctx, &e, &node, MICRO__MDNS_FULL, &out), MICRO_ETOOBIG);
    CHECK_EQ_UINT(out.len, 0);
    micro__buf_free(&out);
    micro_ctx_free(ctx);
}
