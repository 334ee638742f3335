/* SPDX-License-Identifier: MIT */
/* Protobuf, written; and both ways when memory is short or the bytes are damaged. */
#include "codec_fixture.h"

#include "codec_rich.h"

/* ---- writing -------------------------------------------------------------------------------- */

TEST(proto_refuses_to_write)
{
    micro_ctx *ctx = fixture_ctx();
    micro_bytes wire;
    rich r;

    micro__type_zero(&rich_type, &r);
    r.p_string = micro__str("a\xff", 2);
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &wire), MICRO_EINVAL);
    CHECK_EQ_TEXT(fixture_error(ctx), "p_string: invalid UTF-8");
    CHECK(wire.ptr != NULL && wire.len == 0);
    r.p_string = (micro_str){ NULL, 2 };
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &wire), MICRO_EINVAL);
    CHECK_EQ_TEXT(fixture_error(ctx), "p_string: text without bytes");
    micro__type_zero(&rich_type, &r);
    r.r_string.len = 1;
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &wire), MICRO_EINVAL);
    CHECK_EQ_TEXT(fixture_error(ctx), "r_string: list without elements, or too long");
    micro__type_zero(&rich_type, &r);
    r.n_a_part = 9;
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &wire), MICRO_EINVAL);
    micro__type_zero(&rich_type, &r);
    r.which_pick = 99;
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &wire), MICRO_EINVAL);
    CHECK_EQ_TEXT(fixture_error(ctx), "u_double: which_ names no member");
    micro__type_zero(&rich_type, &r);
    micro_str texts[] = { { "ok", 2 }, { "\xc3", 1 } };
    r.p_self = &(rich){ .r_string = { texts, 2, 0 } };
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &wire), MICRO_EINVAL);
    CHECK_EQ_TEXT(fixture_error(ctx), "p_self.r_string[1]: invalid UTF-8");
    memset(r.c_text, 0xff, sizeof r.c_text);
    r.p_self = NULL;
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &wire), MICRO_EINVAL);
    CHECK_EQ_TEXT(fixture_error(ctx), "c_text: invalid UTF-8");
    fixture_end(ctx);
}

TEST(proto_zero_and_null)
{
    static rich *selves[] = { NULL, NULL };
    micro_ctx *ctx = fixture_ctx();
    micro_bytes wire;
    rich r;

    memset(&r, 0, sizeof r);
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &wire), MICRO_OK);
    CHECK_EQ_UINT(wire.len, 0);
    r.p_double = -0.0; /* not zero: it has a sign */
    r.p_float = -0.0f;
    r.r_self.ptr = selves;
    r.r_self.len = 2;
    r.has_o_self = true;
    r.has_o_part = true;
    memset(&r.p_bool, 0x40, 1);
    CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &wire), MICRO_OK);
    CHECK_EQ_TEXT(fixture_hex(wire.ptr, wire.len), "090000000000000080150000008068"
                                                   "01aa0200b20200f20400f20400");
    fixture_end(ctx);
}

/* Kept zeros are written; what the flag cannot mean in protobuf is left out. */
TEST(proto_kept_zeros)
{
    typedef struct {
        int32_t i;
        micro_str s;
        rich_part part;
        rich_part *ptr;
        double d;
        micro_bytes raw;
    } kept;
    static const micro_field rows[] = {
        { "i", NULL, 1, offsetof(kept, i), 0, 4, 0, MICRO_KIND_sint32, MICRO_PLAIN, MICRO_KEEP_ZERO,
          0 },
        { "s", NULL, 2, offsetof(kept, s), 0, sizeof(micro_str), 0, MICRO_KIND_string, MICRO_PLAIN,
          MICRO_KEEP_ZERO, 0 },
        { "part", &rich_part_type, 3, offsetof(kept, part), 0, sizeof(rich_part), 0,
          MICRO_KIND_message, MICRO_PLAIN, MICRO_KEEP_ZERO, 0 },
        { "ptr", &rich_part_type, 4, offsetof(kept, ptr), 0, sizeof(void *), 0, MICRO_KIND_pointer,
          MICRO_PLAIN, MICRO_KEEP_ZERO, 0 },
        { "d", NULL, 5, offsetof(kept, d), 0, 8, 0, MICRO_KIND_double, MICRO_PLAIN, MICRO_KEEP_ZERO,
          0 },
        { "raw", &micro_type_bytes, 6, offsetof(kept, raw), 0, sizeof(micro_bytes), 0,
          MICRO_KIND_message, MICRO_PLAIN, 0, 0 },
    };
    static const micro_type type = {
        sizeof type, sizeof rows[0], 6, "Kept", sizeof(kept), rows, 0
    };
    micro_ctx *ctx = fixture_ctx();
    micro_bytes wire;
    kept k;

    memset(&k, 0, sizeof k);
    CHECK_EQ_INT(micro_proto_write(ctx, &type, &k, &wire), MICRO_OK);
    CHECK_EQ_TEXT(fixture_hex(wire.ptr, wire.len), "080012001a00290000000000000000");
    k.raw = (micro_bytes){ (const uint8_t *)"\x08\x05", 2 }; /* a message passed on unread */
    CHECK_EQ_INT(micro_proto_write(ctx, &type, &k, &wire), MICRO_OK);
    CHECK_EQ_TEXT(fixture_hex(wire.ptr, wire.len), "080012001a0029000000000000000032020805");
    CHECK_EQ_INT(micro_proto_read(ctx, &type, wire, &k), MICRO_OK);
    CHECK_EQ_MEM(k.raw.ptr, k.raw.len, "\x08\x05", 2);
    k.raw = (micro_bytes){ NULL, 1 };
    CHECK_EQ_INT(micro_proto_write(ctx, &type, &k, &wire), MICRO_EINVAL);
    fixture_end(ctx);
}

/* The public function copies what it is lent; the internal one points into it. */
TEST(proto_bytes_are_lent_or_copied)
{
    micro_ctx *ctx = fixture_ctx();
    uint8_t wire[] = { 0x82, 0x01, 2, 'h', 'i' };
    micro_bytes whole;
    rich r;

    CHECK_EQ_INT(micro_proto_read(ctx, &rich_type, (micro_bytes){ wire, sizeof wire }, &r),
                 MICRO_OK);
    CHECK(r.p_bytes.ptr != wire + 3);
    CHECK_EQ_MEM(r.p_bytes.ptr, r.p_bytes.len, "hi", 2);
    CHECK_EQ_INT(micro__proto_read(ctx, &rich_type, wire, sizeof wire, &r), MICRO_OK);
    CHECK(r.p_bytes.ptr == wire + 3 && r.p_bytes.len == 2);
    CHECK_EQ_INT(micro_proto_read(ctx, &micro_type_bytes, (micro_bytes){ wire, 3 }, &whole),
                 MICRO_OK);
    CHECK(whole.ptr != wire);
    CHECK_EQ_MEM(whole.ptr, whole.len, wire, 3);
    fixture_end(ctx);
}

/* ---- limits, memory, damage ----------------------------------------------------------------- */

static const char proto_full[] =
    "{\"p_string\":\"a\",\"p_bytes\":\"AAH/"
    "\",\"p_part\":{\"part_name\":\"n\",\"big_delta\":-5,\"nums\":[1,-2,"
    "3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]},\"p_self\":{\"r_self\":[{},{\"p_self\":{\"p_double\":"
    "1}}]},"
    "\"u_float\":1,\"r_string\":[\"x\",\"y\"],\"r_double\":[1,2],\"l_fixed32\":[7,8],\"a_sint64\":["
    "-1,1],"
    "\"c_text\":\"c\",\"m_si\":{\"a\":2,\"b\":1},\"m_up\":{\"1\":{\"nums\":[1]}},\"class\":\"k\"}";

/* proto_full as protobuf; static memory. */
static micro_bytes proto_full_wire(void)
{
    static uint8_t wire[400];
    micro_ctx *ctx = fixture_ctx();
    micro_bytes made = { NULL, 0 };
    rich r;

    if (fixture_read(ctx, &rich_type, proto_full, &r) != MICRO_OK ||
        micro_proto_write(ctx, &rich_type, &r, &made) != MICRO_OK || made.len > sizeof wire)
        exit(2);
    memcpy(wire, made.ptr, made.len);
    made.ptr = wire;
    fixture_end(ctx);
    return made;
}

TEST(proto_limit_is_exact)
{
    micro_bytes whole = proto_full_wire();
    micro_ctx *ctx = fixture_ctx();
    rich r;

    CHECK_EQ_INT(micro__proto_read(ctx, &rich_type, whole.ptr, whole.len, &r), MICRO_OK);
    for (size_t max = 1; max <= whole.len + 3; max++) {
        micro_buf out = { NULL, 0, 0, max + 1, false, false, 0 };
        NOTE("%zu", max);
        micro__buf_add(&out, "x", 1);
        micro_err err = micro__proto_write(ctx, &rich_type, &r, &out);
        CHECK_EQ_INT(err, max < whole.len ? MICRO_ETOOBIG : MICRO_OK);
        if (err == MICRO_OK)
            CHECK_EQ_MEM(out.ptr + 1, out.len - 1, whole.ptr, whole.len);
        else
            CHECK(out.len == 1 && !out.failed && !out.toobig && out.spare == 0);
        micro__buf_free(&out);
    }
    fixture_end(ctx);
}

TEST(proto_without_memory)
{
    micro_bytes whole = proto_full_wire();
    size_t n;

    for (n = 1; n < 200; n++) {
        failing_begin(n);
        micro_ctx *ctx = fixture_ctx();
        rich r;
        micro_bytes again = { NULL, 0 };
        NOTE("%zu", n);
        micro_err err = micro_proto_read(ctx, &rich_type, whole, &r);
        CHECK(err == MICRO_OK || err == MICRO_ENOMEM);
        if (err == MICRO_OK) {
            err = micro_proto_write(ctx, &rich_type, &r, &again);
            CHECK(err == MICRO_OK || (err == MICRO_ENOMEM && again.len == 0));
        } else {
            CHECK_EQ_STR(r.p_string, "");
        }
        if (err == MICRO_OK)
            CHECK_EQ_MEM(again.ptr, again.len, whole.ptr, whole.len);
        fixture_end(ctx);
        if (failing_end()) {
            CHECK_EQ_INT(err, MICRO_OK);
            break;
        }
    }
    CHECK(n < 200);
}

/* Cut off anywhere: an error, or a shorter message; never a byte too many is looked at. */
TEST(proto_cut_at_every_byte)
{
    micro_bytes whole = proto_full_wire();
    size_t read = 0;

    for (size_t n = 0; n <= whole.len; n++) {
        micro_ctx *ctx = fixture_ctx();
        rich r;
        micro_bytes again;
        const void *edge = fixture_edge(whole.ptr, n, 0);
        NOTE("%zu", n);
        micro_err err = micro__proto_read(ctx, &rich_type, edge, n, &r);
        CHECK(err == MICRO_OK || err == MICRO_EFORMAT);
        CHECK(r.p_string.ptr != NULL);
        if (err == MICRO_OK) {
            read++;
            CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &again), MICRO_OK);
            CHECK_EQ_MEM(again.ptr, again.len, whole.ptr, n);
        }
        fixture_end(ctx);
    }
    CHECK(read > 10 && read < whole.len / 2);
}

TEST(proto_with_any_byte_changed)
{
    static const uint8_t bytes[] = { 0,    1,    2,    3,    4,    5,    7,   8,
                                     0x0a, 0x12, 0x7f, 0x80, 0x92, 0xc3, 0xff };
    micro_bytes whole = proto_full_wire();
    size_t read = 0;

    for (size_t at = 0; at < whole.len; at++) {
        for (size_t b = 0; b < sizeof bytes; b++) {
            micro_ctx *ctx = fixture_ctx();
            rich r;
            micro_bytes once, twice;
            char *edge = fixture_edge(whole.ptr, whole.len, 0);
            edge[at] = (char)bytes[b];
            micro_err err =
                micro__proto_read(ctx, &rich_type, (const uint8_t *)edge, whole.len, &r);
            CHECK(err == MICRO_OK || err == MICRO_EFORMAT || err == MICRO_ETOOBIG);
            if (err == MICRO_OK) {
                read++;
                CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &once), MICRO_OK);
                CHECK_EQ_INT(micro_proto_read(ctx, &rich_type, once, &r), MICRO_OK);
                CHECK_EQ_INT(micro_proto_write(ctx, &rich_type, &r, &twice), MICRO_OK);
                CHECK_EQ_MEM(twice.ptr, twice.len, once.ptr, once.len);
            }
            fixture_end(ctx);
        }
    }
    CHECK(read > 500);
}
