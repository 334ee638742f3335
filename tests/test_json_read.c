/* SPDX-License-Identifier: MIT */
/* JSON into structs. */
#include "codec_fixture.h"

#include "codec/inner.h"
#include "codec_rich.h"

#include <math.h>

/* A document read and written again, or the error. */
static const char *jread_echo(const micro_type *type, const char *text)
{
    static char out[1 << 16];
    static union {
        rich r;
        char bytes[1 << 14];
    } obj;
    micro_ctx *ctx = fixture_ctx();
    micro_str s;

    memset(&obj, 0xee, sizeof obj);
    micro_err err = fixture_read(ctx, type, text, &obj);
    if (err == MICRO_OK)
        err = micro_json_write(ctx, type, &obj, 0, &s);
    if (err == MICRO_OK)
        snprintf(out, sizeof out, "%s", s.ptr);
    else
        snprintf(out, sizeof out, "%s %s",
                 err == MICRO_EFORMAT   ? "EFORMAT"
                 : err == MICRO_ETOOBIG ? "ETOOBIG"
                                        : "other",
                 fixture_error(ctx));
    if (err == MICRO_EFORMAT || err == MICRO_ETOOBIG) {
        static rich zero;
        micro__type_zero(type, &zero);
        CHECK(memcmp(&obj, &zero, type->size) == 0); /* "" and 0 after an error */
    }
    fixture_end(ctx);
    return out;
}

typedef struct jread_case {
    const char *in, *out;
} jread_case;

static void jread_all(const micro_type *type, const jread_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        NOTE("%.150s", cases[i].in);
        CHECK_EQ_TEXT(jread_echo(type, cases[i].in), cases[i].out);
    }
}
#define JREAD_ALL(type, cases) jread_all(&type, cases, MICRO_COUNTOF(cases))

/* ---- every kind under every label ----------------------------------------------------------- */

TEST(json_read_every_kind_and_label)
{
    static const struct {
        const char *name, *good, *same, *wrong, *what;
    } kinds[] = {
        { "double", "-1.5e3", "-1500", "true", "number expected" },
        { "float", "\"0.25\"", "0.25", "{}", "number expected" },
        { "int32", "-2147483648", "-2147483648", "2147483648", "number out of range" },
        { "int64", "\"-9223372036854775808\"", "-9223372036854775808", "\"x\"", "number expected" },
        { "uint32", "4294967295", "4294967295", "-1", "number out of range" },
        { "uint64", "18446744073709551615", "18446744073709551615", "18446744073709551616",
          "number out of range" },
        { "sint32", "2147483647", "2147483647", "[]", "number expected" },
        { "sint64", "9223372036854775807", "9223372036854775807", "9223372036854775808",
          "number out of range" },
        { "fixed32", "7", "7", "\"\"", "number expected" },
        { "fixed64", "\"9007199254740993\"", "9007199254740993", "1.5", "integer expected" },
        { "sfixed32", "-7", "-7", "-2147483649", "number out of range" },
        { "sfixed64", "-7", "-7", "nul", "number expected" },
        { "bool", "true", "true", "1", "true or false expected" },
        { "enum", "\"BLUE\"", "5", "\"GREEN\"", "unknown enum value" },
        { "string", "\"a\\u00e9\"", "\"a\xc3\xa9\"", "5", "string expected" },
        { "bytes", "\"AAH_\"", "\"AAH/\"", "\"A\"", "base64 expected" },
        { "part", "{\"nums\":[1]}", "{\"nums\":[1]}", "\"\"", "object expected" },
        { "self", "{\"p_int32\":1}", "{\"p_int32\":1}", "[]", "object expected" },
    };
    static const struct {
        const char *prefix, *open, *close, *index;
    } labels[] = {
        { "p", "", "", "" },      { "o", "", "", "" },      { "u", "", "", "" },
        { "r", "[", "]", "[0]" }, { "a", "[", "]", "[0]" }, { "l", "[", "]", "[0]" },
    };

    for (size_t k = 0; k < MICRO_COUNTOF(kinds); k++) {
        for (size_t l = 0; l < MICRO_COUNTOF(labels); l++) {
            char in[200], out[200];
            if (labels[l].prefix[0] == 'l' && k > 13)
                continue;
            NOTE("%s_%s", labels[l].prefix, kinds[k].name);
            snprintf(in, sizeof in, "{\"%s_%s\":%s%s%s}", labels[l].prefix, kinds[k].name,
                     labels[l].open, kinds[k].good, labels[l].close);
            snprintf(out, sizeof out, "{\"%s_%s\":%s%s%s}", labels[l].prefix, kinds[k].name,
                     labels[l].open, kinds[k].same, labels[l].close);
            CHECK_EQ_TEXT(jread_echo(&rich_type, in), out);
            snprintf(in, sizeof in, "{\"%s_%s\":%s%s%s}", labels[l].prefix, kinds[k].name,
                     labels[l].open, kinds[k].wrong, labels[l].close);
            snprintf(out, sizeof out, "EFORMAT %s_%s%s: %s", labels[l].prefix, kinds[k].name,
                     labels[l].index, kinds[k].what);
            CHECK_EQ_TEXT(jread_echo(&rich_type, in), out);
            if (labels[l].open[0]) {
                snprintf(in, sizeof in, "{\"%s_%s\":%s}", labels[l].prefix, kinds[k].name,
                         kinds[k].good);
                snprintf(out, sizeof out, "EFORMAT %s_%s: array expected", labels[l].prefix,
                         kinds[k].name);
                CHECK_EQ_TEXT(jread_echo(&rich_type, in), out);
            }
        }
    }
}

/* Zero is no presence by itself, but has_ and which_ are. */
TEST(json_read_presence)
{
    static const jread_case cases[] = {
        { "{\"o_int32\":0,\"o_string\":\"\",\"o_part\":{},\"o_self\":{},\"o_bool\":false}",
          "{\"o_int32\":0,\"o_bool\":false,\"o_string\":\"\",\"o_part\":{},\"o_self\":{}}" },
        { "{\"u_int64\":0}", "{\"u_int64\":0}" },
        { "{\"u_string\":\"\"}", "{\"u_string\":\"\"}" },
        { "{\"u_part\":{}}", "{\"u_part\":{}}" },
        { "{\"p_int32\":0,\"p_string\":\"\",\"p_part\":{},\"r_int32\":[],\"m_si\":{},\"a_float\":[]"
          "}",
          "{}" },
        { "{\"p_self\":{}}", "{\"p_self\":{}}" },
    };

    JREAD_ALL(rich_type, cases);
}

/* ---- null, duplicates, unknown members ------------------------------------------------------ */

TEST(json_read_null_is_absent)
{
    static const jread_case cases[] = {
        { "null", "{}" },
        { " null ", "{}" },
        { "{\"p_int32\":null,\"p_string\":null,\"p_part\":null,\"p_self\":null,\"p_bytes\":null,"
          "\"p_enum\":null,\"p_bool\":null,\"p_double\":null}",
          "{}" },
        { "{\"o_int32\":null,\"u_int64\":null,\"r_int32\":null,\"a_int32\":null,\"m_si\":null,"
          "\"c_text\":null}",
          "{}" },
        { "{\"r_int32\":[1,null,2],\"r_string\":[null,\"a\"],\"r_part\":[null],\"r_self\":[null],"
          "\"a_bool\":[null,true]}",
          "{\"r_int32\":[1,0,2],\"r_string\":[\"\",\"a\"],\"r_part\":[{}],\"r_self\":[null],"
          "\"a_bool\":[false,true]}" },
        { "{\"m_si\":{\"k\":null},\"m_up\":{\"1\":null}}",
          "{\"m_si\":{\"k\":0},\"m_up\":{\"1\":{}}}" },
        { "{\"p_int32\":nul}", "EFORMAT p_int32: number expected" },
        { "{\"u_string\":\"x\",\"u_int64\":null}", "{\"u_string\":\"x\"}" },
        { "nulL", "EFORMAT object expected" },
        { "null1", "EFORMAT text behind the JSON" },
    };

    JREAD_ALL(rich_type, cases);
}

TEST(json_read_last_duplicate_wins)
{
    static const jread_case cases[] = {
        { "{\"p_int32\":1,\"p_int32\":2}", "{\"p_int32\":2}" },
        { "{\"p_int32\":1,\"p_string\":\"a\",\"p_int32\":2,\"p_string\":\"b\"}",
          "{\"p_int32\":2,\"p_string\":\"b\"}" },
        { "{\"r_int32\":[1,2,3],\"r_int32\":[4]}", "{\"r_int32\":[4]}" },
        { "{\"r_int32\":[1,2,3],\"r_int32\":[]}", "{}" },
        { "{\"a_int32\":[1,2,3],\"a_int32\":[4]}", "{\"a_int32\":[4]}" },
        { "{\"a_string\":[\"a\",\"b\"],\"a_string\":[null]}", "{\"a_string\":[\"\"]}" },
        { "{\"p_part\":{\"part_name\":\"a\"},\"p_part\":{\"big_delta\":1}}",
          "{\"p_part\":{\"big_delta\":1}}" },
        { "{\"p_self\":{\"p_int32\":1},\"p_self\":{}}", "{\"p_self\":{}}" },
        { "{\"p_int32\":1,\"p_int32\":null}", "{}" },
        { "{\"o_int32\":1,\"o_int32\":null}", "{}" },
        { "{\"u_int64\":1,\"u_string\":\"a\"}", "{\"u_string\":\"a\"}" },
        { "{\"u_string\":\"a\",\"u_int64\":1}", "{\"u_int64\":1}" },
        { "{\"u_string\":\"a\",\"u_string\":\"b\"}", "{\"u_string\":\"b\"}" },
        { "{\"u_int64\":-1,\"u_part\":{\"nums\":[1]}}", "{\"u_part\":{\"nums\":[1]}}" },
        { "{\"u_int64\":-1,\"u_self\":{}}", "{\"u_self\":{}}" },
        { "{\"u_string\":\"a\",\"u_string\":null}", "{}" },
        { "{\"m_si\":{\"a\":1},\"m_si\":{\"b\":2}}", "{\"m_si\":{\"b\":2}}" },
        { "{\"m_si\":{\"a\":1,\"b\":2,\"a\":3}}", "{\"m_si\":{\"a\":3,\"b\":2}}" },
        { "{\"m_is\":{\"1\":\"x\",\"01\":\"y\"}}",
          "EFORMAT m_is[\"01\"]: key of another type expected" },
        { "{\"m_is\":{\"1\":\"x\",\"1.0\":\"y\"}}", "{\"m_is\":{\"1\":\"y\"}}" },
        { "{\"c_text\":\"long text\",\"c_text\":\"x\"}", "{\"c_text\":\"x\"}" },
        { "{\"p_int32\":1,\"P_INT32\":2,\"pInt32\":3}", "{\"p_int32\":3}" },
    };

    JREAD_ALL(rich_type, cases);
}

TEST(json_read_unknown_members_are_skipped)
{
    static const jread_case cases[] = {
        { "{\"nope\":1,\"p_int32\":2}", "{\"p_int32\":2}" },
        { "{\"p_int32\":2,\"nope\":{\"a\":[1,\"]}\",{\"b\":null}],\"c\":\"\\\"\"},\"p_int64\":3}",
          "{\"p_int32\":2,\"p_int64\":3}" },
        { "{\"nope\":[[],{},[[{}]],-1.5e-3,true,false,null,\"\\u0041\"]}", "{}" },
        { "{\"nope\": 01}", "EFORMAT malformed JSON in an unknown member" },
        { "{\"nope\":tru}", "EFORMAT malformed JSON in an unknown member" },
        { "{\"nope\":[1,]}", "EFORMAT malformed JSON in an unknown member" },
        { "{\"nope\":{\"a\" 1}}", "EFORMAT malformed JSON in an unknown member" },
        { "{\"nope\":\"\\x\"}", "EFORMAT malformed JSON in an unknown member" },
        { "{\"nope\":\"\\u12G4\"}", "EFORMAT malformed JSON in an unknown member" },
        { "{\"nope\":\"a\nb\"}", "EFORMAT malformed JSON in an unknown member" },
        { "{\"p_part\":{\"x\":}}", "EFORMAT p_part: malformed JSON in an unknown member" },
    };

    JREAD_ALL(rich_type, cases);
}

/* ---- syntax --------------------------------------------------------------------------------- */

TEST(json_read_syntax)
{
    static const jread_case cases[] = {
        { "", "EFORMAT JSON ends too soon" },
        { "   ", "EFORMAT JSON ends too soon" },
        { "{", "EFORMAT JSON ends too soon" },
        { "{\"p_int32\"", "EFORMAT JSON ends too soon" },
        { "{\"p_int32\":", "EFORMAT p_int32: JSON ends too soon" },
        { "{\"p_int32\":1", "EFORMAT JSON ends too soon" },
        { "{\"p_int32\":1,", "EFORMAT JSON ends too soon" },
        { "{\"p_string\":\"abc", "EFORMAT p_string: malformed string" },
        { "{\"p_int32\":1,}", "EFORMAT malformed JSON at byte 13" },
        { "{,\"p_int32\":1}", "EFORMAT malformed JSON at byte 1" },
        { "{\"p_int32\" 1}", "EFORMAT malformed JSON at byte 11" },
        { "{\"p_int32\":1 \"p_int64\":2}", "EFORMAT malformed JSON at byte 13" },
        { "{p_int32:1}", "EFORMAT malformed JSON at byte 1" },
        { "{'p_int32':1}", "EFORMAT malformed JSON at byte 1" },
        { "{\"p_int32\":1}}", "EFORMAT text behind the JSON" },
        { "{\"p_int32\":1} x", "EFORMAT text behind the JSON" },
        { "{\"p_part\":{\"nums\":[1 2]}}", "EFORMAT p_part.nums: malformed JSON at byte 21" },
        { "{\"r_part\":[{},{\"nums\":[1,]}]}", "EFORMAT r_part[1].nums[1]: number expected" },
        { "{\"r_part\":[{}", "EFORMAT r_part: JSON ends too soon" },
        { "{\"m_si\":{\"a\":1,}}", "EFORMAT m_si: malformed JSON at byte 15" },
        { "{\"m_si\":{\"a\" 1}}", "EFORMAT m_si: malformed JSON at byte 13" },
        { "{\"m_si\":{1:1}}", "EFORMAT m_si: malformed JSON at byte 9" },
        { "{\"m_si\":[]}", "EFORMAT m_si: object expected" },
        { "{\"m_up\":{\"7\":{\"nums\":\"\"}}}", "EFORMAT m_up[\"7\"].nums: array expected" },
        { "{\"p_self\":{\"r_self\":[{\"p_part\":{\"nums\":[0,\"a\"]}}]}}",
          "EFORMAT p_self.r_self[0].p_part.nums[1]: number expected" },
        { "[]", "EFORMAT object expected" },
        { "\"\"", "EFORMAT object expected" },
        { "{} \t\r\n", "{}" },
        { "\xef\xbb\xbf{}", "EFORMAT object expected" },
        { " \t\r\n{ \"p_int32\" \n: \t1 , \"r_int32\" : [ 1 , 2 ] , \"m_si\" : { \"a\" : 1 } } ",
          "{\"p_int32\":1,\"r_int32\":[1,2],\"m_si\":{\"a\":1}}" },
        { "{\"p_bool\":truex}", "EFORMAT malformed JSON at byte 14" },
    };

    JREAD_ALL(rich_type, cases);
}

/* ---- numbers -------------------------------------------------------------------------------- */

TEST(json_read_integers)
{
    static const jread_case cases[] = {
        { "{\"p_int32\":0}", "{}" },
        { "{\"p_int32\":-0}", "{}" },
        { "{\"p_uint32\":-0}", "{}" },
        { "{\"p_int32\":5.0}", "{\"p_int32\":5}" },
        { "{\"p_int32\":\"5.0\"}", "{\"p_int32\":5}" },
        { "{\"p_int32\":1e3}", "{\"p_int32\":1000}" },
        { "{\"p_int32\":\"1E+3\"}", "{\"p_int32\":1000}" },
        { "{\"p_int32\":1.25e2}", "{\"p_int32\":125}" },
        { "{\"p_int32\":12500e-2}", "{\"p_int32\":125}" },
        { "{\"p_int32\":0e99999999999999999999}", "{}" },
        { "{\"p_int64\":9223372036854775807.0}", "{\"p_int64\":9223372036854775807}" },
        { "{\"p_int64\":9.223372036854775807e18}", "{\"p_int64\":9223372036854775807}" },
        { "{\"p_uint64\":1.8446744073709551615e19}", "{\"p_uint64\":18446744073709551615}" },
        { "{\"p_uint64\":10000000000000000000}", "{\"p_uint64\":10000000000000000000}" },
        { "{\"p_uint64\":\"18446744073709551615\"}", "{\"p_uint64\":18446744073709551615}" },
        { "{\"p_uint64\":99999999999999999999}", "EFORMAT p_uint64: number out of range" },
        { "{\"p_int32\":1e10}", "EFORMAT p_int32: number out of range" },
        { "{\"p_int32\":1.5}", "EFORMAT p_int32: integer expected" },
        { "{\"p_int32\":\"1.5\"}", "EFORMAT p_int32: integer expected" },
        { "{\"p_int32\":1e-1}", "EFORMAT p_int32: number out of range" },
        { "{\"p_int32\":1e99999999999999999999}", "EFORMAT p_int32: number out of range" },
        { "{\"p_int32\":1e-99999999999999999999}", "EFORMAT p_int32: number out of range" },
        { "{\"p_int32\":01}", "EFORMAT p_int32: number expected" },
        { "{\"p_int32\":-}", "EFORMAT p_int32: number expected" },
        { "{\"p_int32\":+1}", "EFORMAT p_int32: number expected" },
        { "{\"p_int32\":.5}", "EFORMAT p_int32: number expected" },
        { "{\"p_int32\":5.}", "EFORMAT p_int32: number expected" },
        { "{\"p_int32\":5e}", "EFORMAT p_int32: number expected" },
        { "{\"p_int32\":0x10}", "EFORMAT malformed JSON at byte 12" },
        { "{\"p_int32\":\" 1\"}", "EFORMAT p_int32: number expected" },
        { "{\"p_int32\":\"1 \"}", "EFORMAT p_int32: number expected" },
        { "{\"p_int32\":\"1\\u0000\"}", "EFORMAT p_int32: number expected" },
        { "{\"p_int32\":\"\\u0031\"}", "{\"p_int32\":1}" },
        { "{\"p_int32\":\"+1\"}", "EFORMAT p_int32: number expected" },
        { "{\"p_int32\":\"NaN\"}", "EFORMAT p_int32: number expected" },
        { "{\"p_enum\":-3}", "{\"p_enum\":-3}" },
        { "{\"p_enum\":\"DARK\"}", "{\"p_enum\":-3}" },
        { "{\"p_enum\":\"70000\"}", "{\"p_enum\":70000}" },
        { "{\"p_enum\":99}", "{\"p_enum\":99}" },
        { "{\"p_enum\":\"blue\"}", "EFORMAT p_enum: unknown enum value" },
        { "{\"p_enum\":\"\"}", "EFORMAT p_enum: unknown enum value" },
        { "{\"p_enum\":2147483648}", "EFORMAT p_enum: number out of range" },
        { "{\"p_enum\":true}", "EFORMAT p_enum: number expected" },
    };

    JREAD_ALL(rich_type, cases);
}

TEST(json_read_doubles)
{
    static const jread_case cases[] = {
        { "{\"p_double\":0.1}", "{\"p_double\":0.1}" },
        { "{\"p_double\":1e-7}", "{\"p_double\":1e-7}" },
        { "{\"p_double\":-0}", "{\"p_double\":-0}" },
        { "{\"p_double\":-0.0}", "{\"p_double\":-0}" },
        { "{\"p_double\":5e-324}", "{\"p_double\":5e-324}" },
        { "{\"p_double\":1.7976931348623157e308}", "{\"p_double\":1.7976931348623157e+308}" },
        { "{\"p_double\":9007199254740993}", "{\"p_double\":9007199254740992}" },
        { "{\"p_double\":\"1.5\"}", "{\"p_double\":1.5}" },
        { "{\"p_double\":1e400}", "EFORMAT p_double: number out of range" },
        { "{\"p_double\":\"1e400\"}", "EFORMAT p_double: number out of range" },
        { "{\"p_double\":\"\"}", "EFORMAT p_double: number expected" },
        { "{\"p_double\":\"1.5x\"}", "EFORMAT p_double: number expected" },
        { "{\"p_double\":NaN}", "EFORMAT p_double: number expected" },
        { "{\"p_double\":\"nan\"}", "EFORMAT p_double: number expected" },
        { "{\"p_float\":3.4028234663852886e38}", "{\"p_float\":3.4028235e+38}" },
        { "{\"p_float\":3.4028235e38}", "{\"p_float\":3.4028235e+38}" },
        { "{\"p_float\":3.4028236e38}", "EFORMAT p_float: number out of range" },
        { "{\"p_float\":-1e39}", "EFORMAT p_float: number out of range" },
        { "{\"p_float\":0.1}", "{\"p_float\":0.1}" },
        { "{\"p_float\":1e-46}", "{}" },
    };
    micro_ctx *ctx = fixture_ctx();
    rich r;

    JREAD_ALL(rich_type, cases);
    ctx = fixture_ctx();
    CHECK_EQ_INT(fixture_read(ctx, &rich_type,
                              "{\"r_double\":[\"NaN\",\"Infinity\",\"-Infinity\"],"
                              "\"r_float\":[\"NaN\",\"Infinity\",\"-Infinity\"]}",
                              &r),
                 MICRO_OK);
    REQUIRE(r.r_double.len == 3 && r.r_float.len == 3);
    CHECK(isnan(r.r_double.ptr[0]) && isinf(r.r_double.ptr[1]) && r.r_double.ptr[1] > 0 &&
          isinf(r.r_double.ptr[2]) && r.r_double.ptr[2] < 0);
    CHECK(isnan(r.r_float.ptr[0]) && isinf(r.r_float.ptr[1]) && r.r_float.ptr[1] > 0 &&
          isinf(r.r_float.ptr[2]) && r.r_float.ptr[2] < 0);
    fixture_end(ctx);
}

/* ---- text ----------------------------------------------------------------------------------- */

/* The text of a string, in hex. */
static const char *jread_text(const char *json)
{
    static char out[2001];
    char doc[1000];
    rich_part p;
    micro_ctx *ctx = fixture_ctx();

    snprintf(doc, sizeof doc, "{\"part_name\":%s}", json);
    micro_err err = fixture_read(ctx, &rich_part_type, doc, &p);
    if (err == MICRO_OK) {
        CHECK_EQ_INT(p.part_name.ptr[p.part_name.len], 0);
        snprintf(out, sizeof out, "%s", fixture_hex(p.part_name.ptr, p.part_name.len));
    } else {
        snprintf(out, sizeof out, "%s", fixture_error(ctx));
    }
    fixture_end(ctx);
    return out;
}

TEST(json_read_strings)
{
    static const jread_case cases[] = {
        { "\"\"", "" },
        { "\"a\"", "61" },
        { "\"12345678\"", "3132333435363738" },
        { "\"123456789abcdefgh\"", "313233343536373839616263646566"
                                   "6768" },
        { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "225c2f080c0a0d09" },
        { "\"\\u0041\\u00e9\\u20ac\"", "41c3a9e282ac" },
        { "\"\\u00E9\\uABCD\"", "c3a9eaaf8d" },
        { "\"\\ud83d\\ude00\"", "f09f9880" },
        { "\"\\udbff\\udfff\"", "f48fbfbf" },
        { "\"a\\u0000b\"", "610062" },
        { "\"\\ud83d\"", "efbfbd" },
        { "\"\\ude00\"", "efbfbd" },
        { "\"\\ud83dx\"", "efbfbd78" },
        { "\"\\ud83d\\u0041\"", "efbfbd41" },
        { "\"\\ud83d\\ud83d\\ude00\"", "efbfbdf09f9880" },
        { "\"\\ude00\\ud83d\"", "efbfbdefbfbd" },
        { "\"\\ud83d\\n\"", "efbfbd0a" },
        { "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"", "636166c3a920e282ac20f09f9880" },
        { "\"caf\xc3\xa9\\n\"", "636166c3a90a" },
        { "\"\x7f\"", "7f" },
        { "\"\\x41\"", "part_name: malformed string" },
        { "\"\\u004\"", "part_name: malformed string" },
        { "\"\\u00g1\"", "part_name: malformed string" },
        { "\"\\U0041\"", "part_name: malformed string" },
        { "\"\\\"", "part_name: malformed string" },
        { "\"\x1f\"", "part_name: malformed string" },
        { "\"a\tb\"", "part_name: malformed string" },
        { "\"\x80\"", "part_name: invalid UTF-8" },
        { "\"\xc3\"", "part_name: invalid UTF-8" },
        { "\"\xc0\x80\"", "part_name: invalid UTF-8" },
        { "\"\xed\xa0\x80\"", "part_name: invalid UTF-8" },
        { "\"\xf4\x90\x80\x80\"", "part_name: invalid UTF-8" },
        { "\"\xe2\x82\\u0041\"", "part_name: invalid UTF-8" },
        { "\"\\u0041\xff\"", "part_name: invalid UTF-8" },
        { "\"\xe2\\n\x82\xac\"", "part_name: invalid UTF-8" },
    };

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        NOTE("%s", cases[i].in);
        CHECK_EQ_TEXT(jread_text(cases[i].in), cases[i].out);
    }
}

/* What ends a plain run is found in every place of it, by whatever steps it is looked for. */
TEST(json_read_special_bytes_in_every_place)
{
    static const struct {
        const char *special, *as_hex; /* NULL: wrong */
    } cases[] = {
        { "\\n", "0a" },  { "\\u00e9", "c3a9" }, { "\xc3\xa9", "c3a9" }, { "\x1f", NULL },
        { "\xff", NULL }, { "\x01", NULL },      { "<", "3c" },          { "!", "21" },
        { "#", "23" },    { "[", "5b" },         { "]", "5d" },          { "\x7f", "7f" },
        { " ", "20" },
    };

    for (size_t c = 0; c < MICRO_COUNTOF(cases); c++) {
        for (size_t before = 0; before < 20; before++) {
            for (size_t after = 0; after < 20; after += 3) {
                char json[100], want[200];
                int n = snprintf(json, sizeof json, "\"%.*s%s%.*s\"", (int)before,
                                 "xxxxxxxxxxxxxxxxxxxx", cases[c].special, (int)after,
                                 "yyyyyyyyyyyyyyyyyyyy");
                size_t w = 0;
                for (size_t i = 0; i < before; i++)
                    w += (size_t)sprintf(want + w, "78");
                w += (size_t)sprintf(want + w, "%s", cases[c].as_hex ? cases[c].as_hex : "");
                for (size_t i = 0; i < after; i++)
                    w += (size_t)sprintf(want + w, "79");
                NOTE("%zu %zu %zu of %d", c, before, after, n);
                const char *got = jread_text(json);
                if (cases[c].as_hex)
                    CHECK_EQ_TEXT(got, want);
                else
                    CHECK(strncmp(got, "part_name: ", 11) == 0);
            }
        }
    }
}

TEST(json_read_bytes)
{
    static const jread_case cases[] = {
        { "{\"p_bytes\":\"\"}", "{}" },
        { "{\"p_bytes\":\"AA==\"}", "{\"p_bytes\":\"AA==\"}" },
        { "{\"p_bytes\":\"AA\"}", "{\"p_bytes\":\"AA==\"}" },
        { "{\"p_bytes\":\"AAE=\"}", "{\"p_bytes\":\"AAE=\"}" },
        { "{\"p_bytes\":\"-_-_\"}", "{\"p_bytes\":\"+/+/\"}" },
        { "{\"p_bytes\":\"\\u0041\\/8=\"}", "{\"p_bytes\":\"A/8=\"}" },
        { "{\"p_bytes\":\"A\"}", "EFORMAT p_bytes: base64 expected" },
        { "{\"p_bytes\":\"AA=\"}", "EFORMAT p_bytes: base64 expected" },
        { "{\"p_bytes\":\"A A=\"}", "EFORMAT p_bytes: base64 expected" },
        { "{\"p_bytes\":\"\xc3\xa9==\"}", "EFORMAT p_bytes: base64 expected" },
        { "{\"p_bytes\":[1]}", "EFORMAT p_bytes: string expected" },
    };

    JREAD_ALL(rich_type, cases);
}

/* ---- fixed sizes, maps, depth --------------------------------------------------------------- */

TEST(json_read_fixed_sizes)
{
    static const jread_case cases[] = {
        { "{\"a_int32\":[1,2,3]}", "{\"a_int32\":[1,2,3]}" },
        { "{\"a_int32\":[1,2,3,4]}", "ETOOBIG a_int32: too many elements" },
        { "{\"a_part\":[{},{},{},{}]}", "ETOOBIG a_part: too many elements" },
        { "{\"c_text\":\"123456789012345\"}", "{\"c_text\":\"123456789012345\"}" },
        { "{\"c_text\":\"1234567890123456\"}", "ETOOBIG c_text: text too long" },
        { "{\"c_text\":\"12345678901234\\u00e9\"}", "ETOOBIG c_text: text too long" },
        { "{\"c_text\":\"1234567890123\\u00e9\"}", "{\"c_text\":\"1234567890123\xc3\xa9\"}" },
        { "{\"c_text\":\"a\\u0000b\"}", "EFORMAT c_text: text without NUL expected" },
        { "{\"c_text\":7}", "EFORMAT c_text: string expected" },
    };

    JREAD_ALL(rich_type, cases);
}

typedef struct jread_entry {
    char key[4];
    int32_t value;
} jread_entry;
RICH_TYPE(jread_entry, "Entry", MICRO_CHARS(jread_entry, key, 1),
          MICRO_FIELD(int32, jread_entry, value, 2));
typedef struct jread_lists {
    micro_str key;
    micro_strs value;
} jread_lists;
RICH_TYPE(jread_lists, "Entry", MICRO_FIELD(string, jread_lists, key, 1),
          MICRO_REPEATED(string, jread_lists, value, 2));
typedef struct jread_maps {
    MICRO_LIST(jread_entry) short_keys;
    MICRO_LIST(jread_lists) headers;
} jread_maps;
RICH_TYPE(jread_maps, "Maps", MICRO_MAP(jread_entry, jread_maps, short_keys, 1),
          MICRO_MAP(jread_lists, jread_maps, headers, 2));

TEST(json_read_maps)
{
    static const jread_case cases[] = {
        { "{\"m_si\":{\"b\":1,\"\":2,\"a\\n\":3}}", "{\"m_si\":{\"\":2,\"a\\n\":3,\"b\":1}}" },
        { "{\"m_is\":{\"10\":\"x\",\"-1\":\"y\",\"9\":\"z\"}}",
          "{\"m_is\":{\"-1\":\"y\",\"10\":\"x\",\"9\":\"z\"}}" },
        { "{\"m_be\":{\"true\":\"BLUE\",\"false\":0}}", "{\"m_be\":{\"false\":0,\"true\":5}}" },
        { "{\"m_zd\":{\"-9223372036854775808\":1.5}}",
          "{\"m_zd\":{\"-9223372036854775808\":1.5}}" },
        { "{\"m_up\":{\"18446744073709551615\":{\"part_name\":\"p\"}}}",
          "{\"m_up\":{\"18446744073709551615\":{\"part_name\":\"p\"}}}" },
        { "{\"m_fb\":{\"4294967295\":\"AA==\"}}", "{\"m_fb\":{\"4294967295\":\"AA==\"}}" },
        { "{\"m_be\":{\"True\":0}}", "EFORMAT m_be[\"True\"]: key of another type expected" },
        { "{\"m_is\":{\"\":\"\"}}", "EFORMAT m_is[\"\"]: key of another type expected" },
        { "{\"m_is\":{\"2147483648\":\"\"}}",
          "EFORMAT m_is[\"2147483648\"]: key of another type expected" },
        { "{\"m_fb\":{\"-1\":\"\"}}", "EFORMAT m_fb[\"-1\"]: key of another type expected" },
        { "{\"m_si\":{\"k\\u0001\xc3\xa9\\\"\":true}}",
          "EFORMAT m_si[\"k???\"\"]: number expected" },
        { "{\"m_si\":{\"0123456789012345678901234567890123456789x\":true}}",
          "EFORMAT m_si[\"0123456789012345678901234567890123456789\"]...: number expected" },
    };
    static const jread_case others[] = {
        { "{\"short_keys\":{\"abc\":1,\"b\":2}}", "{\"short_keys\":{\"abc\":1,\"b\":2}}" },
        { "{\"short_keys\":{\"abcd\":1}}", "ETOOBIG short_keys[\"abcd\"]: key too long" },
        { "{\"short_keys\":{\"a\\u0000\":1}}",
          "EFORMAT short_keys[\"a?\"]: key of another type expected" },
        { "{\"headers\":{\"b\":[\"1\",\"2\"],\"a\":[]}}",
          "{\"headers\":{\"a\":null,\"b\":[\"1\",\"2\"]}}" },
    };

    JREAD_ALL(rich_type, cases);
    JREAD_ALL(jread_maps_type, others);
}

/* The last of equal keys wins in maps of every size, and the others keep their order. */
TEST(json_read_large_maps)
{
    static char doc[1 << 15];
    rich r;

    for (unsigned n = 1; n < 400; n = n * 3 + 1) {
        micro_ctx *ctx = fixture_ctx();
        size_t len = (size_t)sprintf(doc, "{\"m_si\":{");
        for (unsigned i = 0; i < n; i++) /* every key twice at least, in no order */
            len += (size_t)sprintf(doc + len, "\"k%u\":%u,\"k%u\":%u%s", i * 7 % n, i,
                                   (i * 5 + 1) % n, n + i, i + 1 < n ? "," : "");
        sprintf(doc + len, "}}");
        NOTE("%u", n);
        CHECK_EQ_INT(fixture_read(ctx, &rich_type, doc, &r), MICRO_OK);
        CHECK(r.m_si.len <= n);
        for (size_t i = 0; i < r.m_si.len; i++) {
            char key[30];
            int last = -1;
            for (unsigned k = 0; k < n; k++) {
                snprintf(key, sizeof key, "k%u", k * 7 % n);
                last = strcmp(key, r.m_si.ptr[i].key.ptr) == 0 ? (int)k : last;
                snprintf(key, sizeof key, "k%u", (k * 5 + 1) % n);
                last = strcmp(key, r.m_si.ptr[i].key.ptr) == 0 ? (int)(n + k) : last;
                if (last == (int)(n + k) && r.m_si.ptr[i].value < last)
                    last = r.m_si.ptr[i].value > last ? r.m_si.ptr[i].value : last;
            }
            CHECK_EQ_INT(r.m_si.ptr[i].value, last);
            for (size_t k = 0; k < i; k++)
                CHECK(!micro_str_eq(r.m_si.ptr[i].key, r.m_si.ptr[k].key));
        }
        fixture_end(ctx);
    }
}

static void jread_nest(char *out, const char *open, const char *middle, const char *close, int n)
{
    *out = 0;
    for (int i = 0; i < n; i++)
        out += sprintf(out, "%s", open);
    out += sprintf(out, "%s", middle);
    for (int i = 0; i < n; i++)
        out += sprintf(out, "%s", close);
}

TEST(json_read_depth)
{
    static char doc[8192], inner[4096];
    static const struct {
        const char *open, *middle, *close, *around;
        int most;
    } cases[] = {
        { "{\"p_self\":", "{}", "}", "%s", MICRO_MAX_DEPTH - 1 },
        { "[", "", "]", "{\"nope\":%s}", MICRO_MAX_DEPTH - 1 },
        { "{\"a\":", "1", "}", "{\"nope\":%s}", MICRO_MAX_DEPTH - 1 },
        { "{\"r_self\":[", "{}", "]}", "%s", (MICRO_MAX_DEPTH - 1) / 2 },
    };
    rich r;

    for (size_t i = 0; i < MICRO_COUNTOF(cases); i++) {
        for (int over = 0; over < 2; over++) {
            micro_ctx *ctx = fixture_ctx();
            jread_nest(inner, cases[i].open, cases[i].middle, cases[i].close, cases[i].most + over);
            snprintf(doc, sizeof doc, cases[i].around, inner);
            NOTE("%zu %d", i, over);
            CHECK_EQ_INT(fixture_read(ctx, &rich_type, doc, &r), over ? MICRO_ETOOBIG : MICRO_OK);
            if (over)
                CHECK(strstr(fixture_error(ctx), "nested too deeply") != NULL);
            fixture_end(ctx);
        }
    }
}

/* ---- where a string ends ------------------------------------------------------------------- */

static const char *jread_run(const char *p, const char *end, unsigned classes)
{
    while (p < end && !(micro__json_class[(unsigned char)*p] & classes))
        p++;
    return p;
}

/* The quick search against the table, each byte at each place of texts of each length. */
TEST(json_runs_end_at_the_first_special_byte)
{
    static const unsigned sets[] = { MICRO__JSON_STOP, MICRO__JSON_STOP | MICRO__JSON_HIGH,
                                     MICRO__JSON_STOP | MICRO__JSON_HTML,
                                     MICRO__JSON_STOP | MICRO__JSON_HIGH | MICRO__JSON_HTML };
    char text[48];
    size_t wrong = 0;

    for (size_t len = 0; len <= sizeof text; len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++)
                for (size_t k = 0; k < MICRO_COUNTOF(sets); k++) {
                    memset(text, 'a', len);
                    text[at] = (char)c;
                    if (at + 1 < len)
                        text[len - 1] = '"';
                    wrong += micro__json_run(text, text + len, sets[k]) !=
                             jread_run(text, text + len, sets[k]);
                }
    CHECK_EQ_UINT(wrong, 0);
}
