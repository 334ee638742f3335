/* SPDX-License-Identifier: MIT */
/* Protobuf, read; and what is read written again. */
#include "codec_fixture.h"

#include "codec_rich.h"

#include <math.h>

/* Protobuf in hex as Go's JSON, or the error. */
static const char *proto_to_json(const char *hex)
{
    static char out[1 << 14];
    static rich r;
    micro_ctx *ctx = fixture_ctx();
    micro_bytes wire = fixture_bytes(hex);
    micro_str s;

    memset(&r, 0xee, sizeof r);
    const void *edge = fixture_edge(wire.ptr, wire.len, 0);
    micro_err err = micro__proto_read(ctx, &rich_type, edge, wire.len, &r);
    if (err != MICRO_OK) {
        static rich zero;
        micro__type_zero(&rich_type, &zero);
        CHECK(memcmp(&r, &zero, sizeof r) == 0);
    } else {
        err = micro_json_write(ctx, &rich_type, &r, 0, &s);
    }
    if (err == MICRO_OK)
        snprintf(out, sizeof out, "%s", s.ptr);
    else
        snprintf(out, sizeof out, "%s %s",
                 err == MICRO_EFORMAT   ? "EFORMAT"
                 : err == MICRO_ETOOBIG ? "ETOOBIG"
                                        : "other",
                 fixture_error(ctx));
    fixture_end(ctx);
    return out;
}

/* JSON as protobuf in hex. */
static const char *proto_from_json(const char *json)
{
    micro_ctx *ctx = fixture_ctx();
    const char *out = "unreadable";
    micro_bytes wire;
    rich r;

    if (fixture_read(ctx, &rich_type, json, &r) == MICRO_OK)
        out = micro_proto_write(ctx, &rich_type, &r, &wire) == MICRO_OK
                  ? fixture_hex(wire.ptr, wire.len)
                  : fixture_error(ctx);
    fixture_end(ctx);
    return out;
}

typedef struct proto_case {
    const char *hex, *json;
} proto_case;

static void proto_reads(const proto_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        NOTE("%s", cases[i].hex);
        CHECK_EQ_TEXT(proto_to_json(cases[i].hex), cases[i].json);
    }
}
#define PROTO_READS(cases) proto_reads(cases, MICRO_COUNTOF(cases))

/* ---- every kind under every label, both ways ------------------------------------------------ */

TEST(proto_every_kind_and_label)
{
    static const struct {
        const char *name, *json, *hex, *zero, *zero_hex;
        int wire; /* 2: with a length in hex */
    } kinds[] = {
        { "double", "-1.5", "000000000000f8bf", "0", "0000000000000000", 1 },
        { "float", "0.1", "cdcccc3d", "0", "00000000", 5 },
        { "int32", "-2", "feffffffffffffffff01", "0", "00", 0 },
        { "int64", "-9223372036854775808", "80808080808080808001", "0", "00", 0 },
        { "uint32", "4294967295", "ffffffff0f", "0", "00", 0 },
        { "uint64", "18446744073709551615", "ffffffffffffffffff01", "0", "00", 0 },
        { "sint32", "-2147483648", "ffffffff0f", "0", "00", 0 },
        { "sint64", "9223372036854775807", "feffffffffffffffff01", "0", "00", 0 },
        { "fixed32", "4294967295", "ffffffff", "0", "00000000", 5 },
        { "fixed64", "1", "0100000000000000", "0", "0000000000000000", 1 },
        { "sfixed32", "-2", "feffffff", "0", "00000000", 5 },
        { "sfixed64", "-2", "feffffffffffffff", "0", "0000000000000000", 1 },
        { "bool", "true", "01", "false", "00", 0 },
        { "enum", "-3", "fdffffffffffffffff01", "0", "00", 0 },
        { "string", "\"a\xc3\xa9\"", "0361c3a9", "\"\"", "00", 2 },
        { "bytes", "\"AP8=\"", "0200ff", "\"\"", "00", 2 },
        { "part", "{\"part_name\":\"n\",\"big_delta\":-1}", "050a016e1001", "{}", "00", 2 },
        { "self", "{\"p_int32\":1}", "021801", "{}", "00", 2 },
    };
    static const char labels[] = "poural";

    for (size_t k = 0; k < MICRO_COUNTOF(kinds); k++) {
        for (size_t l = 0; l < sizeof labels - 1; l++) {
            static const unsigned bases[] = { 0, 20, 40, 60, 100, 80 };
            char json[200], hex[200], key[20];
            bool list = labels[l] == 'r' || labels[l] == 'a' || labels[l] == 'l';
            bool packed = list && labels[l] != 'l' && kinds[k].wire != 2;
            if (labels[l] == 'l' && k > 13)
                continue;
            unsigned tag = bases[l] + (unsigned)k + 1;
            unsigned number = tag * 8 + (packed ? 2 : (unsigned)kinds[k].wire);
            if (number < 128)
                snprintf(key, sizeof key, "%02x", number);
            else
                snprintf(key, sizeof key, "%02x%02x", (number & 127) | 128, number >> 7);
            NOTE("%c_%s", labels[l], kinds[k].name);
            if (packed)
                snprintf(hex, sizeof hex, "%s%02x%s%s", key,
                         (unsigned)(strlen(kinds[k].hex) + strlen(kinds[k].zero_hex)) / 2,
                         kinds[k].hex, kinds[k].zero_hex);
            else if (list)
                snprintf(hex, sizeof hex, "%s%s%s%s", key, kinds[k].hex, key, kinds[k].zero_hex);
            else
                snprintf(hex, sizeof hex, "%s%s", key, kinds[k].hex);
            snprintf(json, sizeof json, list ? "{\"%c_%s\":[%s,%s]}" : "{\"%c_%s\":%s}", labels[l],
                     kinds[k].name, kinds[k].json, kinds[k].zero);
            CHECK_EQ_TEXT(proto_to_json(hex), json);
            CHECK_EQ_TEXT(proto_from_json(json), hex);
            if (labels[l] == 'o' || labels[l] == 'u') { /* presence of a zero */
                snprintf(json, sizeof json, "{\"%c_%s\":%s}", labels[l], kinds[k].name,
                         kinds[k].zero);
                snprintf(hex, sizeof hex, "%s%s", key, kinds[k].zero_hex);
                CHECK_EQ_TEXT(proto_to_json(hex), json);
                CHECK_EQ_TEXT(proto_from_json(json), hex);
            }
            if (list && kinds[k].wire != 2) { /* the other form is read as well */
                unsigned other = tag * 8 + (packed ? (unsigned)kinds[k].wire : 2);
                snprintf(key, sizeof key, "%02x%02x", (other & 127) | 128, other >> 7);
                if (packed)
                    snprintf(hex, sizeof hex, "%s%s", key, kinds[k].hex);
                else
                    snprintf(hex, sizeof hex, "%s%02x%s", key, (unsigned)strlen(kinds[k].hex) / 2,
                             kinds[k].hex);
                snprintf(json, sizeof json, "{\"%c_%s\":[%s]}", labels[l], kinds[k].name,
                         kinds[k].json);
                CHECK_EQ_TEXT(proto_to_json(hex), json);
            }
        }
    }
}

/* What a peer of 2.9 and later has sent. */
TEST(proto_golden)
{
    typedef struct {
        micro_str name;
        uint64_t big_number;
        uint32_t small_number;
        double ratio;
        bool is_on;
        micro_bytes raw_data;
        int32_t kind;
        micro_int64s id_list;
        rich_part one_part;
        MICRO_LIST(rich_part) part_list;
        MICRO_LIST(rich_entry_si) m;
    } peer_rich;
    typedef struct {
        micro_str part_name;
        int64_t big_delta;
    } peer_part;
    static const micro_field part_rows[] = { MICRO_FIELD(string, peer_part, part_name, 1),
                                             MICRO_FIELD(sint64, peer_part, big_delta, 2) };
    static const micro_type part = { sizeof part,       sizeof part_rows[0], 2, "Part",
                                     sizeof(rich_part), part_rows,           0 };
    static const micro_field entry_rows[] = { MICRO_FIELD(string, rich_entry_si, key, 1),
                                              MICRO_FIELD(int32, rich_entry_si, value, 2) };
    static const micro_type entry = { sizeof entry,          sizeof entry_rows[0], 2, "E",
                                      sizeof(rich_entry_si), entry_rows,           0 };
    static const micro_field rows[] = {
        MICRO_FIELD(string, peer_rich, name, 1),
        MICRO_FIELD(uint64, peer_rich, big_number, 2),
        MICRO_FIELD(uint32, peer_rich, small_number, 3),
        MICRO_FIELD(double, peer_rich, ratio, 4),
        MICRO_FIELD(bool, peer_rich, is_on, 5),
        MICRO_FIELD(bytes, peer_rich, raw_data, 6),
        MICRO_FIELD(int32, peer_rich, kind, 7),
        MICRO_REPEATED(int64, peer_rich, id_list, 8),
        { "one_part", &part, 9, offsetof(peer_rich, one_part), 0, sizeof(rich_part), 0,
          MICRO_KIND_message, MICRO_PLAIN, 0, 0 },
        { "part_list", &part, 10, offsetof(peer_rich, part_list), 0, sizeof(rich_part), 0,
          MICRO_KIND_message, MICRO_MANY, 0, 0 },
        { "count_map", &entry, 11, offsetof(peer_rich, m), 0, sizeof(rich_entry_si), 0,
          MICRO_KIND_message, MICRO_ENTRIES, 0, 0 },
    };
    static const micro_type type = { sizeof type,       sizeof rows[0], 11, "Rich",
                                     sizeof(peer_rich), rows,           0 };
    static const char wire[] = "0a03613c62108180808080808010180721000000000000f83f2801320300"
                               "01ff3801420b01feffffffffffffffff014a050a0170100552030a0171520"
                               "05a050a016b1005";
    static const char go[] =
        "{\"name\":\"a\\u003cb\",\"big_number\":9007199254740993,\"small_number\":7,\"ratio\":1.5,"
        "\"is_on\":true,\"raw_data\":\"AAH/"
        "\",\"kind\":1,\"id_list\":[1,-2],\"one_part\":{\"part_name\":"
        "\"p\",\"big_delta\":-3},\"part_list\":[{\"part_name\":\"q\"},{}],\"count_map\":{\"k\":5}}";
    static const char later[] =
        "{\"name\":\"a\\u003cb\",\"bigNumber\":\"9007199254740993\",\"smallNumber\":7,\"ratio\":1."
        "5,"
        "\"isOn\":true,\"rawData\":\"AAH/"
        "\",\"kind\":1,\"idList\":[\"1\",\"-2\"],\"onePart\":{\"partName\":"
        "\"p\",\"bigDelta\":\"-3\"},\"partList\":[{\"partName\":\"q\"},{}],\"countMap\":{\"k\":5}}";
    micro_ctx *ctx = fixture_ctx();
    peer_rich r;
    micro_str text;
    micro_bytes again;

    CHECK(micro__type_check(&type) == NULL);
    CHECK_EQ_INT(micro_proto_read(ctx, &type, fixture_bytes(wire), &r), MICRO_OK);
    CHECK_EQ_INT(micro_json_write(ctx, &type, &r, 0, &text), MICRO_OK);
    CHECK_EQ_STR(text, go);
    CHECK_EQ_INT(micro_json_write(ctx, &type, &r, MICRO_JSON_CANONICAL, &text), MICRO_OK);
    CHECK_EQ_STR(text, later);
    CHECK_EQ_INT(micro_json_read(ctx, &type, text, 0, &r), MICRO_OK);
    CHECK_EQ_INT(micro_proto_write(ctx, &type, &r, &again), MICRO_OK);
    CHECK_EQ_TEXT(fixture_hex(again.ptr, again.len), wire);
    fixture_end(ctx);
}

/* ---- varints, keys, unknown fields, groups -------------------------------------------------- */

TEST(proto_varints)
{
    static const proto_case cases[] = {
        { "1801", "{\"p_int32\":1}" },
        { "188100", "{\"p_int32\":1}" },
        { "1881808080808080808000", "{\"p_int32\":1}" },
        { "18ffffffffffffffffff01", "{\"p_int32\":-1}" },
        { "18ffffffff0f", "{\"p_int32\":-1}" },
        { "18 8080808010", "{}" }, /* the 33rd bit and up are dropped, as everybody does */
        { "18 8180808010", "{\"p_int32\":1}" },
        { "20 ffffffffffffffffff01", "{\"p_int64\":-1}" },
        { "20 ffffffffffffffffff02", "EFORMAT malformed protobuf" },
        { "20 ffffffffffffffffff7f", "EFORMAT malformed protobuf" },
        { "20 ffffffffffffffffffff01", "EFORMAT malformed protobuf" },
        { "20 80", "EFORMAT malformed protobuf" },
        { "20", "EFORMAT malformed protobuf" },
        { "68 02", "{\"p_bool\":true}" },
        { "68 8002", "{\"p_bool\":true}" },
        { "68 80808080808080808001", "{\"p_bool\":true}" },
        { "70 8080808008", "{\"p_enum\":-2147483648}" },
        { "38 ffffffff0f", "{\"p_sint32\":-2147483648}" },
        { "18 01 18 02", "{\"p_int32\":2}" },
        { "18 01 18 00", "{}" },
    };

    PROTO_READS(cases);
}

TEST(proto_keys)
{
    static const proto_case cases[] = {
        { "", "{}" },
        { "98 8000 01", "{\"p_int32\":1}" }, /* key 0x18 in three bytes */
        { "98 80808000 01", "{\"p_int32\":1}" },
        { "98 8080808000 01", "EFORMAT malformed protobuf" },
        { "00 01", "EFORMAT malformed protobuf" },
        { "02 00", "EFORMAT malformed protobuf" },
        { "1e 00", "EFORMAT malformed protobuf" },
        { "1f 00", "EFORMAT malformed protobuf" },
        { "1c", "EFORMAT malformed protobuf" },      /* the end of no group */
        { "f8ffffff0f 01 1801", "{\"p_int32\":1}" }, /* the highest tag */
        { "f8ffffff1f 01", "EFORMAT malformed protobuf" },
        { "80", "EFORMAT malformed protobuf" },
    };

    PROTO_READS(cases);
}

TEST(proto_unknown_fields_are_skipped)
{
    static const proto_case cases[] = {
        { "c03e 05 1801", "{\"p_int32\":1}" },
        { "c13e 0102030405060708 1801", "{\"p_int32\":1}" },
        { "c23e 03 010203 1801", "{\"p_int32\":1}" },
        { "c53e 01020304 1801", "{\"p_int32\":1}" },
        { "c23e 00 1801", "{\"p_int32\":1}" },
        { "c23e 04 010203", "EFORMAT malformed protobuf" },
        { "c13e 01020304050607", "EFORMAT malformed protobuf" },
        { "c53e 010203", "EFORMAT malformed protobuf" },
        { "c23e ffffffff0f 01", "EFORMAT malformed protobuf" },
        { "c23e ffffffffffffffffff01 01", "EFORMAT malformed protobuf" },
        /* a field of ours with another wire type is unknown */
        { "1a 01 05 1801", "{\"p_int32\":1}" },
        { "1d 01000000", "{}" },
        { "7801 7a0161", "{\"p_string\":\"a\"}" },
        { "09 000000000000f83f 0d 00000000", "{\"p_double\":1.5}" },
        { "8a0100 8801 05", "{}" },
    };

    PROTO_READS(cases);
}

TEST(proto_groups_are_skipped)
{
    static const proto_case cases[] = {
        { "c33e c43e 1801", "{\"p_int32\":1}" },
        { "c33e 1805 0900000000000000000d000000007a0161 c43e 1801", "{\"p_int32\":1}" },
        { "c33e cb3e 1805 cc3e c43e 1801", "{\"p_int32\":1}" },
        { "c33e c33e c43e c43e", "{}" },
        { "1b 1805 1c 1801", "{\"p_int32\":1}" },
        { "c33e", "EFORMAT malformed protobuf" },
        { "c33e cc3e", "EFORMAT malformed protobuf" },
        { "c33e cb3e c43e cc3e", "EFORMAT malformed protobuf" },
        { "c33e 1e c43e", "EFORMAT malformed protobuf" },
        { "c33e 7a05 c43e", "EFORMAT malformed protobuf" },
        { "c33e 00 c43e", "EFORMAT malformed protobuf" },
        { "8a01 02 c33e", "EFORMAT p_part: malformed protobuf" },
    };

    PROTO_READS(cases);
}

/* ---- merging -------------------------------------------------------------------------------- */

TEST(proto_merge)
{
    static const proto_case cases[] = {
        /* by value, behind a pointer, optional, in a oneof */
        { "8a01 03 0a0161 8a01 02 1002", "{\"p_part\":{\"part_name\":\"a\",\"big_delta\":1}}" },
        { "9201 02 1801 9201 02 2002", "{\"p_self\":{\"p_int32\":1,\"p_int64\":2}}" },
        { "aa02 03 0a0161 aa02 02 1002", "{\"o_part\":{\"part_name\":\"a\",\"big_delta\":1}}" },
        { "ca03 03 0a0161 ca03 02 1002", "{\"u_part\":{\"part_name\":\"a\",\"big_delta\":1}}" },
        { "d203 02 1801 d203 02 2002", "{\"u_self\":{\"p_int32\":1,\"p_int64\":2}}" },
        /* another member of the oneof in between */
        { "ca03 03 0a0161 e002 05 ca03 02 1002", "{\"u_part\":{\"big_delta\":1}}" },
        { "e002 05 ba03 0161", "{\"u_string\":\"a\"}" },
        { "ba03 0161 e002 00", "{\"u_int64\":0}" },
        /* lists go on, in both forms */
        { "fa03 02 0102 f803 03 fa03 01 04", "{\"r_int32\":[1,2,3,4]}" },
        { "8a01 03 1a0101 8a01 04 1a020203", "{\"p_part\":{\"nums\":[1,2,3]}}" },
        { "fa03 00", "{}" },
        { "fa03 02 8080", "EFORMAT r_int32: malformed number" },
        { "fa03 02 0180", "EFORMAT r_int32: malformed number" },
        { "fa03 0b ffffffffffffffffffff01", "EFORMAT r_int32: malformed number" },
        { "ea03 07 00000000000000", "EFORMAT r_double: malformed list" },
        { "ba06 02 0102 b806 03", "{\"a_int32\":[1,2,3]}" },
        { "ba06 02 0102 ba06 02 0304", "ETOOBIG a_int32: too many elements" },
        { "b80601 b80602 b80603 b80604", "ETOOBIG a_int32: too many elements" },
        { "da0600 da0600 da0600", "{}" },
        { "aa0700 aa0700 aa0700", "{\"a_part\":[{},{},{}]}" },
        { "aa0700 aa0700 aa0700 aa0700", "ETOOBIG a_part: too many elements" },
    };

    PROTO_READS(cases);
}

TEST(proto_maps)
{
    static const proto_case cases[] = {
        { "ca07 05 0a0161 1002", "{\"m_si\":{\"a\":1}}" },
        { "ca07 05 1002 0a0161", "{\"m_si\":{\"a\":1}}" },
        { "ca07 03 0a0161", "{\"m_si\":{\"a\":0}}" },
        { "ca07 02 1002", "{\"m_si\":{\"\":1}}" },
        { "ca07 00", "{\"m_si\":{\"\":0}}" },
        { "ca07 05 0a0161 1002 ca07 05 0a0162 1004 ca07 05 0a0161 1006",
          "{\"m_si\":{\"a\":3,\"b\":2}}" },
        { "d207 05 0801 120178 d207 0e 08feffffffffffffffff01 120179",
          "{\"m_is\":{\"-2\":\"y\",\"1\":\"x\"}}" },
        { "da07 02 0801", "{\"m_up\":{\"1\":{}}}" },
        { "da07 07 0801 12030a0161 da07 06 0801 12021002", "{\"m_up\":{\"1\":{\"big_delta\":1}}}" },
        /* the same map in messages that are merged */
        { "9201 08 ca07050a01611002 9201 08 ca07050a01611004",
          "{\"p_self\":{\"m_si\":{\"a\":2}}}" },
        { "f204 10 ca07050a01611002ca07050a01611004 f204 00",
          "{\"r_self\":[{\"m_si\":{\"a\":2}},{}]}" },
        { "d203 10 ca07050a01611002ca07050a01611004", "{\"u_self\":{\"m_si\":{\"a\":2}}}" },
        { "ca07 03 0a01ff", "EFORMAT m_si[0].key: invalid UTF-8" },
        { "ca07 05 0a0261 1002", "EFORMAT m_si[0]: malformed protobuf" },
    };

    PROTO_READS(cases);
    CHECK_EQ_TEXT(
        proto_from_json("{\"m_si\":{\"\":0,\"a\":-1},\"m_up\":{\"0\":{}},\"m_be\":{\"false\":0}}"),
        "ca07040a001000ca07050a01611001da07040800"
        "1200e20704080010"
        "00");
}

/* Many merged messages with a map each take time in proportion to their number. */
TEST(proto_merged_maps_are_not_quadratic)
{
    enum { N = 60000 };
    static uint8_t wire[N * 12];
    size_t len = 0;
    micro_ctx *ctx = fixture_ctx();
    rich r;

    for (unsigned i = 0; i < N; i++) {
        static const uint8_t piece[] = { 0x92, 0x01, 8, 0xf2, 0x07, 5, 0x0d };
        memcpy(wire + len, piece, sizeof piece);
        len += sizeof piece;
        for (int b = 0; b < 4; b++)
            wire[len++] = (uint8_t)((N - i) * 7u >> 8 * b);
    }
    CHECK_EQ_INT(micro__proto_read(ctx, &rich_type, wire, len, &r), MICRO_OK);
    REQUIRE(r.p_self != NULL);
    CHECK_EQ_UINT(r.p_self->m_fb.len, N);
    fixture_end(ctx);
}

/* ---- text, sizes, depth --------------------------------------------------------------------- */

TEST(proto_text)
{
    static const proto_case cases[] = {
        { "7a 00", "{}" },
        { "7a 03 610062", "{\"p_string\":\"a\\u0000b\"}" },
        { "7a 02 c3a9", "{\"p_string\":\"\xc3\xa9\"}" },
        { "7a 01 ff", "EFORMAT p_string: invalid UTF-8" },
        { "7a 03 eda080", "EFORMAT p_string: invalid UTF-8" },
        { "7a 12 6161616161616161 6161616161616161 61c3", "EFORMAT p_string: invalid UTF-8" },
        { "7a 08 61616161616161 ff", "EFORMAT p_string: invalid UTF-8" },
        { "7a 08 ff 61616161616161", "EFORMAT p_string: invalid UTF-8" },
        { "7a 05 6161 ff 6161", "EFORMAT p_string: invalid UTF-8" },
        { "7a 03 61 ff 61", "EFORMAT p_string: invalid UTF-8" },
        { "7a 0b 6161616161 ff 6161616161", "EFORMAT p_string: invalid UTF-8" },
        { "da04 0161 da04 01ff", "EFORMAT r_string[1]: invalid UTF-8" },
        { "9201 03 7a01ff", "EFORMAT p_self.p_string: invalid UTF-8" },
        { "c207 0f 313233343536373839303132333435", "{\"c_text\":\"123456789012345\"}" },
        { "c207 10 31323334353637383930313233343536", "ETOOBIG c_text: text too long" },
        { "c207 03 610062", "EFORMAT c_text: text without NUL expected" },
        { "c207 01 ff", "EFORMAT c_text: invalid UTF-8" },
        { "c207 03 616263 c207 01 78", "{\"c_text\":\"x\"}" },
        { "8201 01 ff", "{\"p_bytes\":\"/w==\"}" },
        { "827d 01 6b", "{\"class\":\"k\"}" },
    };

    PROTO_READS(cases);
}

/* Text of every length is copied right, and ends in a NUL. */
TEST(proto_text_of_every_length)
{
    for (size_t len = 0; len < 140; len++) {
        micro_ctx *ctx = fixture_ctx();
        char text[140];
        rich_part p, q;
        micro_bytes wire;
        micro__type_zero(&rich_part_type, &p);
        for (size_t i = 0; i < len; i++)
            text[i] = (char)('a' + i % 26);
        p.part_name = micro__str(text, len);
        NOTE("%zu", len);
        CHECK_EQ_INT(micro_proto_write(ctx, &rich_part_type, &p, &wire), MICRO_OK);
        CHECK_EQ_UINT(wire.len, len ? len + 2 + (len > 127) : 0);
        const void *edge = fixture_edge(wire.ptr, wire.len, 0);
        CHECK_EQ_INT(micro__proto_read(ctx, &rich_part_type, edge, wire.len, &q), MICRO_OK);
        CHECK_EQ_MEM(q.part_name.ptr, q.part_name.len, text, len);
        CHECK_EQ_INT(q.part_name.ptr[len], 0);
        fixture_end(ctx);
    }
}

/* Lengths that need more bytes than were set aside for them, in messages and packed lists. */
TEST(proto_lengths_of_every_size)
{
    static int32_t numbers[30000];
    static const size_t sizes[] = {
        1, 2, 126, 127, 128, 129, 130, 16380, 16383, 16384, 16385, 29000
    };

    for (size_t i = 0; i < MICRO_COUNTOF(sizes); i++) {
        micro_ctx *ctx = fixture_ctx();
        rich a, b, inner;
        micro_bytes wire, again;
        micro__type_zero(&rich_type, &a);
        micro__type_zero(&rich_type, &inner);
        inner.p_part.nums.ptr = numbers;
        inner.p_part.nums.len = sizes[i];
        inner.class_ = micro_s("behind");
        a.p_self = &inner;
        a.class_ = micro_s("end");
        NOTE("%zu", sizes[i]);
        CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &a, &wire), MICRO_OK);
        CHECK_EQ_INT(micro_proto_read(ctx, &rich_type, wire, &b), MICRO_OK);
        REQUIRE(b.p_self != NULL);
        CHECK_EQ_UINT(b.p_self->p_part.nums.len, sizes[i]);
        CHECK_EQ_STR(b.p_self->class_, "behind");
        CHECK_EQ_STR(b.class_, "end");
        CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &b, &again), MICRO_OK);
        CHECK_EQ_MEM(again.ptr, again.len, wire.ptr, wire.len);
        fixture_end(ctx);
    }
}

TEST(proto_depth)
{
    static rich chain[MICRO_MAX_DEPTH + 1];
    static uint8_t group[4 * MICRO_MAX_DEPTH + 8];
    micro_ctx *ctx = fixture_ctx();
    micro_bytes wire;
    rich back;

    for (int i = 0; i <= MICRO_MAX_DEPTH; i++) {
        micro__type_zero(&rich_type, &chain[i]);
        chain[i].p_self = i ? &chain[i - 1] : NULL;
    }
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &chain[MICRO_MAX_DEPTH - 1], &wire), MICRO_OK);
    CHECK_EQ_INT(micro_proto_read(ctx, &rich_type, wire, &back), MICRO_OK);
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &chain[MICRO_MAX_DEPTH], &wire), MICRO_ETOOBIG);
    CHECK_EQ_UINT(wire.len, 0);
    for (int over = 0; over < 2; over++) { /* one level is the message itself */
        size_t n = MICRO_MAX_DEPTH - 1 + (size_t)over;
        for (size_t i = 0; i < n; i++) {
            group[2 * i] = 0xc3;
            group[2 * i + 1] = 0x3e;
            group[2 * n + 2 * i] = 0xc4;
            group[2 * n + 2 * i + 1] = 0x3e;
        }
        CHECK_EQ_INT(micro__proto_read(ctx, &rich_type, group, 4 * n, &back),
                     over ? MICRO_ETOOBIG : MICRO_OK);
    }
    CHECK_EQ_TEXT(fixture_error(ctx), "nested too deeply");
    /* a message one deeper than allowed, by hand */
    static uint8_t deep[4 * MICRO_MAX_DEPTH + 8];
    size_t at = sizeof deep;
    for (int i = 0; i < MICRO_MAX_DEPTH; i++) {
        size_t len = sizeof deep - at;
        if (len >= 128) {
            deep[--at] = (uint8_t)(len >> 7);
            deep[--at] = (uint8_t)(len | 0x80);
        } else {
            deep[--at] = (uint8_t)len;
        }
        deep[--at] = 0x01;
        deep[--at] = 0x92;
    }
    CHECK_EQ_INT(micro__proto_read(ctx, &rich_type, deep + at, sizeof deep - at, &back),
                 MICRO_ETOOBIG);
    fixture_end(ctx);
}
