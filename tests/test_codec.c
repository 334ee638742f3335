/* SPDX-License-Identifier: MIT */
/* Tables: zero values, look-up, checks, descriptions; content types; the error object. */
#include "codec_fixture.h"

#include "codec/inner.h"
#include "codec_rich.h"

/* ---- zero ----------------------------------------------------------------------------------- */

TEST(codec_zero_has_no_null_text)
{
    rich r;

    memset(&r, 0xff, sizeof r);
    micro__type_zero(&rich_type, &r);
    CHECK_EQ_STR(r.p_string, "");
    CHECK(r.p_bytes.ptr != NULL && r.p_bytes.len == 0);
    CHECK_EQ_STR(r.p_part.part_name, "");
    CHECK_EQ_STR(r.o_string, "");
    CHECK_EQ_STR(r.o_part.part_name, "");
    for (int i = 0; i < 3; i++) {
        CHECK_EQ_STR(r.a_string[i], "");
        CHECK_EQ_STR(r.a_part[i].part_name, "");
        CHECK(r.a_self[i] == NULL);
    }
    CHECK(r.p_self == NULL && !r.has_o_double && r.which_pick == 0 && r.u_int64 == 0);
    CHECK(r.r_string.ptr == NULL && r.r_string.len == 0 && r.n_a_string == 0);
    CHECK_EQ_TEXT(r.c_text, "");
    CHECK_EQ_STR(r.class_, "");
    micro_value v;
    memset(&v, 0xff, sizeof v);
    micro__type_zero(&micro_type_value, &v);
    CHECK(v.kind == MICRO_VALUE_NULL);
    CHECK_EQ_STR(v.name, "");
    micro_bytes b = { NULL, 7 };
    micro__type_zero(&micro_type_bytes, &b);
    CHECK(b.ptr != NULL && b.len == 0);
}

/* A member made zero again leaves its neighbours alone. */
TEST(codec_zero_of_one_member)
{
    micro_ctx *ctx = fixture_ctx();
    rich r;

    CHECK_EQ_INT(fixture_read(ctx, &rich_type,
                              "{\"p_string\":\"a\",\"o_int32\":1,\"r_int32\":[1],\"a_string\":"
                              "[\"x\"],\"u_string\":\"u\",\"c_text\":\"c\",\"class\":\"k\"}",
                              &r),
                 MICRO_OK);
    for (uint32_t i = 0; i < rich_type.nfields; i++) {
        const micro_field *f = &rich_type.fields[i];
        if (strcmp(f->name, "class_") != 0 && strcmp(f->name, "u_int64") != 0)
            micro__field_zero(f, &r);
    }
    CHECK_EQ_STR(r.class_, "k");
    rich zero;
    micro__type_zero(&rich_type, &zero);
    r.class_ = zero.class_;
    CHECK(memcmp(&r, &zero, sizeof r) == 0);
    fixture_end(ctx);
}

/* ---- look-up -------------------------------------------------------------------------------- */

TEST(codec_find_names)
{
    static const struct {
        const char *name, *row; /* NULL: none */
    } cases[] = {
        { "part_name", "part_name" },
        { "partName", "part_name" },
        { "PARTNAME", "part_name" },
        { "PART_NAME", "part_name" },
        { "partname", "part_name" },
        { "Part_Name", "part_name" },
        { "part_nam", NULL },
        { "part_names", NULL },
        { "part__name", NULL },
        { "", NULL },
        { "_part_name", NULL },
        { "nums", "nums" },
        { "NumS", "nums" },
        { "part name", NULL },
        { "_", NULL },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        NOTE("%s", cases[i].name);
        uint32_t row = micro__type_find(&rich_part_type, micro_s(cases[i].name));
        if (cases[i].row && CHECK(row < rich_part_type.nfields))
            CHECK_EQ_TEXT(rich_part_type.fields[row].name, cases[i].row);
        if (!cases[i].row)
            CHECK_EQ_UINT(row, rich_part_type.nfields);
    }
}

typedef struct codec_twins {
    int32_t ab, a_b, AB, class_, class__, _x;
} codec_twins;
RICH_TYPE(codec_twins, "Twins", MICRO_FIELD(int32, codec_twins, ab, 1),
          MICRO_FIELD(int32, codec_twins, a_b, 2), MICRO_FIELD(int32, codec_twins, AB, 3),
          MICRO_FIELD(int32, codec_twins, class_, 4), MICRO_FIELD(int32, codec_twins, class__, 5),
          MICRO_FIELD(int32, codec_twins, _x, 6));

/* The exact name goes before any other form, wherever in the table it stands. */
TEST(codec_find_prefers_the_exact_name)
{
    micro_ctx *ctx = fixture_ctx();
    codec_twins t;

    CHECK_EQ_INT(fixture_read(ctx, &codec_twins_type,
                              "{\"AB\":3,\"a_b\":2,\"ab\":1,\"class_\":5,\"class\":4,\"x\":6}", &t),
                 MICRO_OK);
    CHECK(t.ab == 1 && t.a_b == 2 && t.AB == 3 && t.class_ == 4 && t.class__ == 5 && t._x == 6);
    CHECK_EQ_INT(fixture_read(ctx, &codec_twins_type, "{\"aB\":7,\"_x\":8}", &t), MICRO_OK);
    CHECK(t.ab == 7 && t._x == 8);
    micro_str text;
    CHECK_EQ_INT(
        micro_json_write(ctx, &codec_twins_type, &(codec_twins){ 1, 2, 3, 4, 5, 6 }, 0, &text),
        MICRO_OK);
    CHECK_EQ_STR(text, "{\"ab\":1,\"a_b\":2,\"AB\":3,\"class\":4,\"class_\":5,\"_x\":6}");
    fixture_end(ctx);
}

/* Rows may be longer than this version knows, and are stepped over by the table's own size. */
TEST(codec_rows_may_grow)
{
    typedef struct codec_long_row {
        micro_field row;
        char more[24];
    } codec_long_row;
    static const codec_long_row rows[] = {
        { MICRO_FIELD(string, rich_part, part_name, 1), "later" },
        { MICRO_FIELD(sint64, rich_part, big_delta, 2), "later" },
    };
    const micro_type type = { sizeof type,       sizeof rows[0], 2, "Part",
                              sizeof(rich_part), &rows[0].row,   0 };
    micro_ctx *ctx = fixture_ctx();
    rich_part p;
    micro_str text;
    micro_bytes wire;

    CHECK(micro__type_check(&type) == NULL);
    CHECK_EQ_INT(fixture_read(ctx, &type, "{\"big_delta\":5,\"part_name\":\"n\"}", &p), MICRO_OK);
    CHECK_EQ_INT(micro_json_write(ctx, &type, &p, 0, &text), MICRO_OK);
    CHECK_EQ_STR(text, "{\"part_name\":\"n\",\"big_delta\":5}");
    CHECK_EQ_INT(micro_proto_write(ctx, &type, &p, &wire), MICRO_OK);
    CHECK_EQ_TEXT(fixture_hex(wire.ptr, wire.len), "0a016e100a");
    CHECK_EQ_INT(micro_proto_read(ctx, &type, wire, &p), MICRO_OK);
    CHECK_EQ_INT(p.big_delta, 5);
    fixture_end(ctx);
}

/* Enum members as narrow as -fshort-enums makes them. */
TEST(codec_narrow_enums)
{
    static const micro_enumerator plain_values[] = { { "A", 0 }, { "B", 200 } };
    static const micro_enumerator signed_values[] = { { "C", -5 }, { "D", 100 } };
    static const micro_enum plain = { "Plain", plain_values, 2 };
    static const micro_enum with_sign = { "Signed", signed_values, 2 };
    typedef struct codec_narrow {
        uint8_t a;
        int8_t b;
        uint16_t c;
        int16_t d;
        int64_t e;
    } narrow;
    static const micro_field rows[] = {
        { "a", &plain, 1, offsetof(narrow, a), 0, 1, 0, MICRO_KIND_enum, MICRO_PLAIN, 0, 0 },
        { "b", &with_sign, 2, offsetof(narrow, b), 0, 1, 0, MICRO_KIND_enum, MICRO_PLAIN, 0, 0 },
        { "c", &plain, 3, offsetof(narrow, c), 0, 2, 0, MICRO_KIND_enum, MICRO_PLAIN, 0, 0 },
        { "d", &with_sign, 4, offsetof(narrow, d), 0, 2, 0, MICRO_KIND_enum, MICRO_PLAIN, 0, 0 },
        { "e", &with_sign, 5, offsetof(narrow, e), 0, 8, 0, MICRO_KIND_enum, MICRO_PLAIN, 0, 0 },
    };
    static const micro_type type = { sizeof type, sizeof rows[0], 5, "N", sizeof(narrow), rows, 0 };
    static const struct {
        const char *in, *out; /* out NULL: does not fit */
    } cases[] = {
        { "{\"a\":200,\"b\":-5,\"c\":60000,\"d\":-300,\"e\":-2147483648}", NULL },
        { "{\"a\":\"B\",\"b\":\"C\",\"c\":\"B\",\"d\":\"C\",\"e\":\"D\"}",
          "{\"a\":200,\"b\":-5,\"c\":200,\"d\":-5,\"e\":100}" },
        { "{\"a\":255}", NULL },
        { "{\"a\":256}", "" },
        { "{\"a\":-1}", "" },
        { "{\"b\":-128}", NULL },
        { "{\"b\":127}", NULL },
        { "{\"b\":128}", "" },
        { "{\"c\":65535,\"d\":-32768}", NULL },
        { "{\"c\":65536}", "" },
        { "{\"d\":32768}", "" },
        { "{\"e\":2147483648}", "" },
    };
    micro_ctx *ctx = fixture_ctx();

    CHECK(micro__type_check(&type) == NULL);
    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        narrow n, again;
        micro_str text;
        micro_bytes wire;
        const char *want = cases[i].out ? cases[i].out : cases[i].in;
        NOTE("%s", cases[i].in);
        micro_err err = fixture_read(ctx, &type, cases[i].in, &n);
        CHECK_EQ_INT(err, *want ? MICRO_OK : MICRO_EFORMAT);
        if (err != MICRO_OK)
            continue;
        CHECK_EQ_INT(micro_json_write(ctx, &type, &n, 0, &text), MICRO_OK);
        CHECK_EQ_STR(text, want);
        CHECK_EQ_INT(micro_proto_write(ctx, &type, &n, &wire), MICRO_OK);
        CHECK_EQ_INT(micro_proto_read(ctx, &type, wire, &again), MICRO_OK);
        CHECK(again.a == n.a && again.b == n.b && again.c == n.c && again.d == n.d &&
              again.e == n.e);
    }
    narrow n;
    CHECK_EQ_INT(micro_proto_read(ctx, &type, fixture_bytes("08 8002"), &n), MICRO_EFORMAT);
    CHECK_EQ_TEXT(fixture_error(ctx), "a: number out of range");
    fixture_end(ctx);
}

/* ---- checks --------------------------------------------------------------------------------- */

#define CODEC_CHECK_CASE(want, struct_size, ...) \
    do { \
        static const micro_field rows_[] = { __VA_ARGS__ }; \
        const micro_type t_ = { sizeof t_, sizeof rows_[0], MICRO_COUNTOF(rows_), \
                                "T",       struct_size,     rows_, \
                                0 }; \
        const char *got_ = micro__type_check(&t_); \
        CHECK_EQ_TEXT(got_ ? got_ : "sound", want); \
    } while (0)
#define CODEC_INT(name, tag, offset) \
    { \
        name, NULL, tag, offset, 0, 4, 0, MICRO_KIND_int32, MICRO_PLAIN, 0, 0 \
    }

TEST(codec_check_finds_mistakes)
{
    static const micro_type empty_entry = {
        sizeof empty_entry, sizeof(micro_field), 0, "E", 16, NULL, 0
    };
    static const micro_field float_rows[] = { { "key", NULL, 1, 0, 0, 4, 0, MICRO_KIND_float,
                                                MICRO_PLAIN, 0, 0 },
                                              CODEC_INT("value", 2, 4) };
    static const micro_type float_entry = {
        sizeof float_entry, sizeof(micro_field), 2, "E", 8, float_rows, 0
    };

    CHECK(micro__type_check(&rich_type) == NULL);
    CHECK(micro__type_check(&micro_type_empty) == NULL);
    CHECK(micro__type_check(&micro_type_bytes) == NULL);
    CHECK(micro__type_check(&micro_type_value) == NULL);
    CHECK(micro__type_check(&micro_type_pair) == NULL);
    CHECK_EQ_TEXT(micro__type_check(NULL), "no table");
    CODEC_CHECK_CASE("sound", 8, CODEC_INT("a", 1, 0), CODEC_INT("b", 2, 4));
    CODEC_CHECK_CASE("two members have one tag", 8, CODEC_INT("a", 1, 0), CODEC_INT("b", 1, 4));
    CODEC_CHECK_CASE("two members have one name", 8, CODEC_INT("a", 1, 0), CODEC_INT("a_", 2, 4));
    CODEC_CHECK_CASE("two members overlap", 8, CODEC_INT("a", 1, 0), CODEC_INT("b", 2, 2));
    CODEC_CHECK_CASE("a member lies outside the struct", 6, CODEC_INT("a", 1, 0),
                     CODEC_INT("b", 2, 4));
    CODEC_CHECK_CASE("a tag is not from 1 to 536870911", 8, CODEC_INT("a", 0, 0));
    CODEC_CHECK_CASE("a tag is not from 1 to 536870911", 8, CODEC_INT("a", 536870912, 0));
    CODEC_CHECK_CASE("a member without a name, or one with characters that JSON escapes", 8,
                     CODEC_INT(NULL, 1, 0));
    CODEC_CHECK_CASE("a member without a name, or one with characters that JSON escapes", 8,
                     CODEC_INT("a\"", 1, 0));
    CODEC_CHECK_CASE("unknown kind or label", 8,
                     { "a", NULL, 1, 0, 0, 4, 0, 20, MICRO_PLAIN, 0, 0 });
    CODEC_CHECK_CASE("unknown kind or label", 8, { "a", NULL, 1, 0, 0, 4, 0, 3, 6, 0, 0 });
    CODEC_CHECK_CASE("a message or an enum without a table", 8,
                     { "a", NULL, 1, 0, 0, 4, 0, MICRO_KIND_enum, MICRO_PLAIN, 0, 0 });
    CODEC_CHECK_CASE("a member's size is not that of its kind", 8,
                     { "a", NULL, 1, 0, 0, 4, 0, MICRO_KIND_int64, MICRO_PLAIN, 0, 0 });
    CODEC_CHECK_CASE("chars without room, or with a label", 8,
                     { "a", NULL, 1, 0, 0, 1, 0, MICRO_KIND_chars, MICRO_PLAIN, 0, 0 });
    CODEC_CHECK_CASE("an array without elements", 16,
                     { "a", NULL, 1, 8, 0, 4, 0, MICRO_KIND_int32, MICRO_FIXED, 0, 0 });
    CODEC_CHECK_CASE(
        "a map's entry has not key = 1 and value = 2", 24,
        { "a", &empty_entry, 1, 0, 0, 16, 0, MICRO_KIND_message, MICRO_ENTRIES, 0, 0 });
    CODEC_CHECK_CASE("a map's key is neither text nor integer nor bool", 24,
                     { "a", &float_entry, 1, 0, 0, 8, 0, MICRO_KIND_message, MICRO_ENTRIES, 0, 0 });
    /* has_ in the member before it */
    CODEC_CHECK_CASE("two members overlap", 8, CODEC_INT("a", 1, 0),
                     { "b", NULL, 2, 4, 3, 4, 0, MICRO_KIND_int32, MICRO_HAS, 0, 0 });
    /* members of a oneof share their place */
    CODEC_CHECK_CASE("sound", 8, { "a", NULL, 1, 0, 4, 4, 0, MICRO_KIND_int32, MICRO_WHICH, 0, 0 },
                     { "b", NULL, 2, 0, 4, 4, 0, MICRO_KIND_float, MICRO_WHICH, 0, 0 });
}

static const micro_type codec_inner_type;
static const micro_field codec_outer_rows[] = { { "in", &codec_inner_type, 1, 0, 0, 8, 0,
                                                  MICRO_KIND_message, MICRO_PLAIN, 0, 0 } };
static const micro_type codec_outer_type = {
    sizeof(micro_type), sizeof(micro_field), 1, "Outer", 8, codec_outer_rows, 0
};
static const micro_field codec_inner_rows[] = { { "out", &codec_outer_type, 1, 0, 0, 8, 0,
                                                  MICRO_KIND_message, MICRO_PLAIN, 0, 0 } };
static const micro_type codec_inner_type = {
    sizeof(micro_type), sizeof(micro_field), 1, "Inner", 8, codec_inner_rows, 0
};

TEST(codec_check_finds_endless_nesting)
{
    CHECK_EQ_TEXT(micro__type_check(&codec_outer_type), "a message holds itself by value");
}

/* ---- descriptions --------------------------------------------------------------------------- */

/* name:type{children} */
static void codec_print(micro_buf *out, const micro_desc *d)
{
    micro__buf_format(out, "%s:%s", d->name.ptr, d->type.ptr);
    for (size_t i = 0; i < d->values.len; i++) {
        micro__buf_byte(out, i ? ' ' : '{');
        codec_print(out, d->values.ptr + i);
    }
    if (d->values.len)
        micro__buf_byte(out, '}');
}

/* depth -1: the whole */
static void codec_describes(const micro_type *type, int depth, const char *want)
{
    micro_ctx *ctx = fixture_ctx();
    micro_buf out = { NULL, 0, 0, 0, false, false, 0 };
    const micro_desc *d = depth < 0 ? micro__type_describe_whole(&ctx->arena, type)
                                    : micro__type_describe(&ctx->arena, type, depth);

    if (CHECK(d != NULL)) {
        codec_print(&out, d);
        CHECK_EQ_STR(micro__str(out.ptr, out.len), want);
    }
    micro__buf_free(&out);
    fixture_end(ctx);
}

typedef struct codec_tree codec_tree;
struct codec_tree {
    micro_str name;
    bool on;
    int32_t i;
    int64_t j;
    uint32_t u;
    uint64_t v;
    float f;
    double d;
    micro_bytes raw;
    rich_hue hue;
    rich_part part;
    codec_tree *kid;
    micro_strs names;
    MICRO_LIST(rich_part) parts;
    micro_bytes_list blobs;
    micro_pairs map;
    char id[8];
    uint32_t fixed[2];
    size_t n_fixed;
    micro_value any;
    micro_str class_;
};
static const micro_type codec_tree_type;
RICH_TYPE(codec_tree, "Tree", MICRO_FIELD(string, codec_tree, name, 1),
          MICRO_FIELD(bool, codec_tree, on, 2), MICRO_FIELD(sint32, codec_tree, i, 3),
          MICRO_FIELD(sfixed64, codec_tree, j, 4), MICRO_FIELD(fixed32, codec_tree, u, 5),
          MICRO_FIELD(uint64, codec_tree, v, 6), MICRO_FIELD(float, codec_tree, f, 7),
          MICRO_FIELD(double, codec_tree, d, 8), MICRO_FIELD(bytes, codec_tree, raw, 9),
          MICRO_FIELD(enum(rich_hue), codec_tree, hue, 10),
          MICRO_FIELD(message(rich_part), codec_tree, part, 11),
          MICRO_FIELD(pointer(codec_tree), codec_tree, kid, 12),
          MICRO_REPEATED(string, codec_tree, names, 13),
          MICRO_REPEATED(message(rich_part), codec_tree, parts, 14),
          MICRO_REPEATED(bytes, codec_tree, blobs, 15), MICRO_MAP(micro_pair, codec_tree, map, 16),
          MICRO_CHARS(codec_tree, id, 17), MICRO_ARRAY(uint32, codec_tree, fixed, 18),
          MICRO_FIELD(message(micro_value), codec_tree, any, 19),
          MICRO_FIELD(string, codec_tree, class_, 20));

TEST(codec_describe_as_go_reflects)
{
    codec_describes(&rich_part_type, 2,
                    "Part:Part{part_name:string big_delta:int64 nums:[]int32{int32:int32}}");
    codec_describes(&rich_part_type, 9,
                    "Part:Part{part_name:string big_delta:int64 nums:[]int32{int32:int32}}");
    codec_describes(&rich_part_type, 1, "Part:Part{part_name:string big_delta:int64 nums:[]int32}");
    codec_describes(&rich_part_type, 0, "Part:Part");
    codec_describes(&micro_type_empty, 2, "Empty:Empty");
    codec_describes(&micro_type_bytes, 2, "Bytes:Bytes");
    codec_describes(
        &codec_tree_type, 2,
        "Tree:Tree{name:string on:bool i:int32 j:int64 u:uint32 v:uint64 f:float32 d:float64 "
        "raw:[]uint8{uint8:uint8} hue:Hue part:Part{part_name:string big_delta:int64 nums:[]int32} "
        "kid:Tree{name:string on:bool i:int32 j:int64 u:uint32 v:uint64 f:float32 d:float64 "
        "raw:[]uint8 hue:Hue part:Part kid:Tree names:[]string parts:[]Part blobs:[] map: "
        "id:string fixed:[]uint32 any: class:string} "
        "names:[]string{string:string} parts:[]Part{Part:Part} blobs:[]{:[]uint8} map: id:string "
        "fixed:[]uint32{uint32:uint32} any: class:string}");
}

/* Nothing is cut off, maps have their types, and a type within itself ends. */
TEST(codec_describe_the_whole)
{
    codec_describes(
        &codec_tree_type, -1,
        "Tree:Tree{name:string on:bool i:int32 j:int64 u:uint32 v:uint64 f:float32 d:float64 "
        "raw:[]uint8{uint8:uint8} hue:Hue part:Part{part_name:string big_delta:int64 "
        "nums:[]int32{int32:int32}} kid:Tree names:[]string{string:string} "
        "parts:[]Part{Part:Part{part_name:string big_delta:int64 nums:[]int32{int32:int32}}} "
        "blobs:[][]uint8{:[]uint8{uint8:uint8}} map:map[string]string id:string "
        "fixed:[]uint32{uint32:uint32} any: class:string}");
    codec_describes(&micro_type_empty, -1, "Empty:Empty");
}

/* Each level has ten of the next: a million and more, of which some thousands are described. */
typedef struct codec_fan0 {
    int32_t n;
} codec_fan0;
RICH_TYPE(codec_fan0, "Fan0", MICRO_FIELD(int32, codec_fan0, n, 1));
#define CODEC_FAN(T, Below) \
    typedef struct T { \
        Below *a, *b, *c, *d, *e, *f, *g, *h, *i, *j; \
    } T; \
    RICH_TYPE(T, #T, MICRO_FIELD(pointer(Below), T, a, 1), MICRO_FIELD(pointer(Below), T, b, 2), \
              MICRO_FIELD(pointer(Below), T, c, 3), MICRO_FIELD(pointer(Below), T, d, 4), \
              MICRO_FIELD(pointer(Below), T, e, 5), MICRO_FIELD(pointer(Below), T, f, 6), \
              MICRO_FIELD(pointer(Below), T, g, 7), MICRO_FIELD(pointer(Below), T, h, 8), \
              MICRO_FIELD(pointer(Below), T, i, 9), MICRO_FIELD(pointer(Below), T, j, 10))
CODEC_FAN(codec_fan1, codec_fan0);
CODEC_FAN(codec_fan2, codec_fan1);
CODEC_FAN(codec_fan3, codec_fan2);
CODEC_FAN(codec_fan4, codec_fan3);
CODEC_FAN(codec_fan5, codec_fan4);
CODEC_FAN(codec_fan6, codec_fan5);

static size_t codec_count(const micro_desc *d)
{
    size_t n = 1;

    for (size_t i = 0; i < d->values.len; i++)
        n += codec_count(&d->values.ptr[i]);
    return n;
}

TEST(codec_describe_is_bounded)
{
    micro_ctx *ctx = fixture_ctx();
    const micro_desc *d = micro__type_describe_whole(&ctx->arena, &codec_fan6_type);
    size_t n = d ? codec_count(d) : 0;

    NOTE("%zu", n);
    CHECK(n > 5000 && n <= 10001);
    fixture_end(ctx);
}

TEST(codec_describe_without_memory)
{
    for (size_t n = 1; n < 10; n++) {
        failing_begin(n);
        micro__arena a;
        micro__arena_init(&a, NULL, 0);
        const micro_desc *d = n % 2 ? micro__type_describe(&a, &rich_type, 2)
                                    : micro__type_describe_whole(&a, &rich_type);
        CHECK((d != NULL) == !a.failed);
        micro__arena_free(&a);
        if (failing_end())
            return;
    }
    CHECK(false); /* it never got enough */
}

/* ---- content types -------------------------------------------------------------------------- */

static micro_err codec_own_encode(const micro_codec *c, micro_ctx *ctx, const micro_type *type,
                                  const void *obj, micro_buf *out)
{
    (void)c;
    (void)ctx;
    (void)type;
    const rich_part *p = obj;
    micro_buf_add(out, "own:", 4);
    micro_buf_add(out, p->part_name.ptr, p->part_name.len);
    return p->big_delta ? (micro_err)p->big_delta : MICRO_OK;
}

static micro_err codec_own_decode(const micro_codec *c, micro_ctx *ctx, const micro_type *type,
                                  char *in, size_t len, void *obj)
{
    (void)c;
    (void)type;
    rich_part *p = obj;
    p->part_name = micro__str(in, len);
    if (len && in[0] == '!')
        return micro_fail(ctx, 418, "no coffee");
    return len && in[0] == '?' ? MICRO_EPROTO : MICRO_OK;
}

static const micro_codec codec_own = { sizeof(micro_codec), "application/x-own", codec_own_encode,
                                       codec_own_decode };
static const micro_codec codec_mute = { sizeof(micro_codec), "application/json", NULL, NULL };

TEST(codec_content_types)
{
    static const struct {
        const char *type, *found;
        micro__wire wire;
    } cases[] = {
        { "application/json", "application/json", MICRO__WIRE_JSONRPC },
        { "application/json-rpc", "application/json-rpc", MICRO__WIRE_JSONRPC },
        { "application/protobuf", "application/protobuf", MICRO__WIRE_PROTORPC },
        { "application/proto-rpc", "application/proto-rpc", MICRO__WIRE_PROTORPC },
        { "application/octet-stream", "application/octet-stream", MICRO__WIRE_PROTORPC },
        { "application/json; charset=utf-8", NULL, MICRO__WIRE_BARE },
        { "Application/json", NULL, MICRO__WIRE_BARE },
        { "text/plain", NULL, MICRO__WIRE_BARE },
        { "", NULL, MICRO__WIRE_BARE },
        { "application/x-own", "application/x-own", MICRO__WIRE_BARE },
    };
    const micro_codec *const extra[] = { NULL, &codec_own, &codec_mute };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        NOTE("%s", cases[i].type);
        const micro_codec *c = micro__codec_find(extra, 2, micro_s(cases[i].type));
        CHECK_EQ_TEXT(c ? c->content_type : "none", cases[i].found ? cases[i].found : "none");
        CHECK_EQ_INT(micro__codec_envelope(micro_s(cases[i].type)), cases[i].wire);
    }
    CHECK(micro__codec_find(extra, 3, micro_s("application/json")) == &codec_mute);
    CHECK(micro__codec_find(NULL, 0, micro_s("application/x-own")) == NULL);
}

/* Bytes pass as they are in any content type, and an empty message is an empty message. */
TEST(codec_bytes_and_empty)
{
    static const struct {
        const char *type, *empty;
    } cases[] = {
        { "application/json", "{}" },
        { "application/protobuf", "" },
        { "application/octet-stream", "" },
        { "application/x-own", NULL },
    };
    const micro_codec *const extra[] = { &codec_own };
    micro_ctx *ctx = fixture_ctx();

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        const micro_codec *c = micro__codec_find(extra, 1, micro_s(cases[i].type));
        micro_buf out = { NULL, 0, 0, 0, false, false, 0 };
        micro_bytes raw = { (const uint8_t *)"\0not {JSON", 10 }, got;
        char body[] = "\0not {JSON";
        NOTE("%s", cases[i].type);
        micro__buf_add(&out, "before", 6);
        CHECK_EQ_INT(micro__codec_encode(c, ctx, &micro_type_bytes, &raw, &out), MICRO_OK);
        CHECK_EQ_MEM(out.ptr, out.len, "before\0not {JSON", 16);
        raw.ptr = NULL;
        CHECK_EQ_INT(micro__codec_encode(c, ctx, &micro_type_bytes, &raw, &out), MICRO_EINVAL);
        CHECK_EQ_UINT(out.len, 16);
        CHECK_EQ_INT(micro__codec_decode(c, ctx, &micro_type_bytes, body, 10, &got), MICRO_OK);
        CHECK(got.ptr == (uint8_t *)body && got.len == 10);
        CHECK_EQ_INT(micro__codec_decode(c, ctx, &micro_type_bytes, NULL, 0, &got), MICRO_OK);
        CHECK(got.ptr != NULL && got.len == 0);
        if (cases[i].empty) {
            micro_empty e;
            char text[] = "{}";
            out.len = 0;
            CHECK_EQ_INT(micro__codec_encode(c, ctx, &micro_type_empty, &e, &out), MICRO_OK);
            CHECK_EQ_MEM(out.ptr, out.len, cases[i].empty, strlen(cases[i].empty));
            CHECK_EQ_INT(
                micro__codec_decode(c, ctx, &micro_type_empty, text, strlen(cases[i].empty), &e),
                MICRO_OK);
            CHECK_EQ_INT(micro__codec_decode(c, ctx, &micro_type_empty, NULL, 0, &e), MICRO_OK);
        }
        micro__buf_free(&out);
    }
    fixture_end(ctx);
}

/* A codec of the user's that fails is given words, and leaves nothing behind. */
TEST(codec_of_the_user)
{
    micro_ctx *ctx = fixture_ctx();
    micro_buf out = { NULL, 0, 0, 14, false, false, 0 };
    rich_part p;
    char good[] = "text", bad[] = "!text", silent[] = "?text";

    micro__type_zero(&rich_part_type, &p);
    p.part_name = micro_s("n");
    micro__buf_add(&out, "before ", 7);
    CHECK_EQ_INT(micro__codec_encode(&codec_own, ctx, &rich_part_type, &p, &out), MICRO_OK);
    CHECK_EQ_MEM(out.ptr, out.len, "before own:n", 12);
    p.big_delta = MICRO_EIO;
    CHECK_EQ_INT(micro__codec_encode(&codec_own, ctx, &rich_part_type, &p, &out), MICRO_EIO);
    CHECK_EQ_UINT(out.len, 12);
    CHECK_EQ_TEXT(fixture_error(ctx), "application/x-own: cannot encode the message");
    p.big_delta = 0;
    CHECK_EQ_INT(micro__codec_encode(&codec_own, ctx, &rich_part_type, &p, &out), MICRO_ETOOBIG);
    CHECK(out.len == 12 && !out.failed && !out.toobig);
    micro__buf_add(&out, "..", 2);
    CHECK(out.len == 14 && !out.failed);
    CHECK_EQ_INT(micro__codec_decode(&codec_own, ctx, &rich_part_type, good, 4, &p), MICRO_OK);
    CHECK_EQ_STR(p.part_name, "text");
    CHECK_EQ_INT(micro__codec_decode(&codec_own, ctx, &rich_part_type, bad, 5, &p), 418);
    CHECK_EQ_STR(p.part_name, "");
    CHECK_EQ_TEXT(fixture_error(ctx), "no coffee");
    CHECK_EQ_INT(micro__codec_decode(&codec_own, ctx, &rich_part_type, silent, 5, &p),
                 MICRO_EPROTO);
    CHECK_EQ_TEXT(fixture_error(ctx), "application/x-own: cannot decode the message");
    CHECK_EQ_INT(micro__codec_decode(&codec_mute, ctx, &rich_part_type, good, 4, &p), MICRO_ECODEC);
    CHECK_EQ_INT(micro__codec_encode(&codec_mute, ctx, &rich_part_type, &p, &out), MICRO_ECODEC);
    micro__buf_free(&out);
    fixture_end(ctx);
}

TEST(codec_null_arguments)
{
    micro_ctx *ctx = fixture_ctx();
    micro_str text = { NULL, 1 };
    micro_bytes wire = { NULL, 1 };
    rich_part p;

    CHECK_EQ_INT(micro_json_write(NULL, &rich_part_type, &p, 0, &text), MICRO_ENOMEM);
    CHECK_EQ_STR(text, "");
    CHECK_EQ_INT(micro_proto_write(NULL, &rich_part_type, &p, &wire), MICRO_ENOMEM);
    CHECK(wire.ptr != NULL && wire.len == 0);
    CHECK_EQ_INT(micro_json_read(NULL, &rich_part_type, micro_s("{}"), 0, &p), MICRO_ENOMEM);
    CHECK_EQ_INT(micro_proto_read(NULL, &rich_part_type, wire, &p), MICRO_ENOMEM);
    CHECK_EQ_INT(micro_json_write(ctx, NULL, &p, 0, &text), MICRO_EINVAL);
    CHECK_EQ_INT(micro_json_write(ctx, &rich_part_type, NULL, 0, &text), MICRO_EINVAL);
    CHECK_EQ_INT(micro_json_write(ctx, &rich_part_type, &p, 0, NULL), MICRO_EINVAL);
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_part_type, NULL, &wire), MICRO_EINVAL);
    CHECK_EQ_INT(micro_json_read(ctx, &rich_part_type, micro_s("{}"), 0, NULL), MICRO_EINVAL);
    CHECK_EQ_INT(micro_proto_read(ctx, NULL, wire, &p), MICRO_EINVAL);
    CHECK_EQ_INT(micro_proto_read(ctx, &rich_part_type, (micro_bytes){ NULL, 0 }, &p), MICRO_OK);
    CHECK_EQ_INT(micro_json_read(ctx, &rich_part_type, (micro_str){ NULL, 0 }, 0, &p),
                 MICRO_EFORMAT);
    CHECK(micro_value_get(NULL, "x")->kind == MICRO_VALUE_NULL);
    CHECK(micro_value_add(NULL, NULL, "x") == NULL);
    fixture_end(ctx);
}

/* ---- the error object ----------------------------------------------------------------------- */

TEST(codec_error_is_written_in_full)
{
    micro_buf out = { NULL, 0, 0, 0, false, false, 0 };
    micro_error e = {
        { "go.micro.srv.greeter", 20 }, 400, { "bad <name> \"John\"", 17 }, { "Bad Request", 11 }
    };

    micro__error_write(&out, &e);
    micro__buf_byte(&out, '|');
    e = (micro_error){ { "", 0 }, -3, { "", 0 }, { "", 0 } };
    micro__error_write(&out, &e);
    CHECK_EQ_STR(
        micro__str(out.ptr, out.len),
        "{\"id\":\"go.micro.srv.greeter\",\"code\":400,\"detail\":\"bad \\u003cname\\u003e "
        "\\\"John\\\"\",\"status\":\"Bad Request\"}|"
        "{\"id\":\"\",\"code\":-3,\"detail\":\"\",\"status\":\"\"}");
    micro__buf_free(&out);
}

TEST(codec_error_is_read)
{
    static const struct {
        const char *text;
        int code;
        const char *id, *detail, *status;
        micro_err err;
    } cases[] = {
        { "{\"id\":\"a.b\",\"code\":400,\"detail\":\"d\",\"status\":\"Bad Request\"}", 400, "a.b",
          "d", "Bad Request", 400 },
        { " {\"Status\":\"Own\",\"CODE\":\"404\",\"new\":[1,{}],\"detail\":\"d\"}", 404, "", "d",
          "Own", 404 },
        { "{\"code\":999,\"detail\":null}", 999, "", "", "", 999 },
        { "{\"code\":99,\"detail\":\"d\"}", 99, "", "d", "", MICRO_EREMOTE },
        { "{\"code\":1000,\"detail\":\"d\"}", 1000, "", "d", "", MICRO_EREMOTE },
        { "{\"code\":0,\"detail\":\"d\"}", 0, "", "d", "", MICRO_EREMOTE },
        { "{\"code\":-1,\"id\":\"x\"}", -1, "x", "", "", MICRO_EREMOTE },
        { "rpc: can't find service Foo", 0, "", "rpc: can't find service Foo", "", MICRO_EREMOTE },
        { "", 0, "", "", "", MICRO_EREMOTE },
        { "{\"code\":\"x\"}", 0, "", "{\"code\":\"x\"}", "", MICRO_EREMOTE },
        { "{\"code\":400", 0, "", "{\"code\":400", "", MICRO_EREMOTE },
        { "{}", 0, "", "{}", "", MICRO_EREMOTE },
        { "{\"error\":\"other\"}", 0, "", "{\"error\":\"other\"}", "", MICRO_EREMOTE },
        { "[400]", 0, "", "[400]", "", MICRO_EREMOTE },
    };
    micro_ctx *ctx = fixture_ctx();

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        NOTE("%s", cases[i].text);
        CHECK_EQ_INT(micro__error_read(ctx, micro_s(cases[i].text)), cases[i].err);
        const micro_error *e = micro_ctx_error(ctx);
        CHECK_EQ_INT(e->code, cases[i].code);
        CHECK_EQ_STR(e->id, cases[i].id);
        CHECK_EQ_STR(e->detail, cases[i].detail);
        CHECK_EQ_STR(e->status, cases[i].status);
    }
    fixture_end(ctx);
}
