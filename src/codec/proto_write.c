/* SPDX-License-Identifier: MIT */
/* Structs as protobuf: one pass, lengths filled in behind. */
#include "inner.h"

typedef struct proto_out {
    micro_buf *buf;
    unsigned depth;
    micro__where where; /* of a failure that is not the buffer's */
} proto_out;

static bool proto_write_message(proto_out *out, const micro_type *type, const char *obj,
                                bool entry);

/* ---- pieces --------------------------------------------------------------------------------- */

static char *proto_write_digits(char *to, uint64_t v)
{
    while (v >= 0x80) {
        *to++ = (char)(v | 0x80);
        v >>= 7;
    }
    *to++ = (char)v;
    return to;
}

static char *proto_write_little(char *to, uint64_t v, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *to++ = (char)(v >> 8 * i);
    return to;
}

/* Room for a key and a number: at the end of the buffer, or if there is too little, in scratch. */
#define PROTO_WRITE_SMALL 16
static char *proto_write_begin(micro_buf *out, char *scratch)
{
    return MICRO__RARE(out->cap - out->len < PROTO_WRITE_SMALL) ? scratch : out->ptr + out->len;
}

static void proto_write_end(micro_buf *out, char *scratch, char *start, char *end)
{
    if (MICRO__RARE(start == scratch))
        micro__buf_add(out, start, (size_t)(end - start));
    else
        out->len += (size_t)(end - start);
}

MICRO_PRIVATE void micro__proto_put_varint(micro_buf *out, uint64_t v)
{
    char scratch[PROTO_WRITE_SMALL], *start = proto_write_begin(out, scratch);

    proto_write_end(out, scratch, start, proto_write_digits(start, v));
}

static char *proto_write_key(char *to, const micro_field *f, unsigned wire)
{
    return proto_write_digits(to, (uint64_t)f->tag << 3 | wire);
}

/* A key and a length that is not known yet: that gets one byte, and what follows is moved if it
 * needs more. Returns the place behind the length. */
static size_t proto_write_open(micro_buf *out, const micro_field *f)
{
    char scratch[PROTO_WRITE_SMALL], *start = proto_write_begin(out, scratch);
    char *end = proto_write_key(start, f, MICRO__PROTO_BYTES);

    *end = 0;
    proto_write_end(out, scratch, start, end + 1);
    return out->len;
}

static void proto_write_close(micro_buf *out, size_t at)
{
    size_t len = out->len - at, more = 0;

    if (out->failed)
        return;
    if (MICRO__RARE(len >= 0x80)) {
        for (size_t v = len >> 7; v; v >>= 7)
            more++;
        if (!micro__buf_room(out, more))
            return;
        memmove(out->ptr + at + more, out->ptr + at, len);
        out->len += more;
    }
    proto_write_digits(out->ptr + at - 1, len);
}

/* ---- values --------------------------------------------------------------------------------- */

/* How a number is loaded: four bytes with their sign, or without, eight bytes, or otherwise. */
enum proto_write_form {
    PROTO_WRITE_ODD,
    PROTO_WRITE_S32,
    PROTO_WRITE_U32,
    PROTO_WRITE_64,
    PROTO_WRITE_BOOL
};
static const uint8_t proto_write_forms[MICRO_KIND_chars + 1] = {
    [MICRO_KIND_int32] = PROTO_WRITE_S32,    [MICRO_KIND_uint32] = PROTO_WRITE_U32,
    [MICRO_KIND_float] = PROTO_WRITE_U32,    [MICRO_KIND_fixed32] = PROTO_WRITE_U32,
    [MICRO_KIND_sfixed32] = PROTO_WRITE_U32, [MICRO_KIND_int64] = PROTO_WRITE_64,
    [MICRO_KIND_uint64] = PROTO_WRITE_64,    [MICRO_KIND_double] = PROTO_WRITE_64,
    [MICRO_KIND_fixed64] = PROTO_WRITE_64,   [MICRO_KIND_sfixed64] = PROTO_WRITE_64,
    [MICRO_KIND_bool] = PROTO_WRITE_BOOL,
};

static MICRO__NOINLINE uint64_t proto_write_odd(const micro_field *f, const void *slot)
{
    bool neg, zigzag = f->kind == MICRO_KIND_sint32 || f->kind == MICRO_KIND_sint64;
    uint64_t mag = micro__int_load(f, slot, &neg);

    if (zigzag)
        return neg ? mag * 2 - 1 : mag * 2;
    return neg ? 0 - mag : mag;
}

/* What is written of a number: its bits, or for a varint its value. */
static inline uint64_t proto_write_bits(const micro_field *f, const void *slot)
{
    uint64_t v64;
    uint32_t v32;

    switch (proto_write_forms[f->kind]) {
    case PROTO_WRITE_S32:
        return (uint64_t)(int64_t) * (const int32_t *)slot;
    case PROTO_WRITE_U32: /* a float too */
        memcpy(&v32, slot, sizeof v32);
        return v32;
    case PROTO_WRITE_64:
        memcpy(&v64, slot, sizeof v64);
        return v64;
    case PROTO_WRITE_BOOL:
        return *(const uint8_t *)slot != 0;
    default:
        return proto_write_odd(f, slot);
    }
}

static char *proto_write_number(char *to, unsigned wire, uint64_t bits)
{
    if (wire == MICRO__PROTO_VARINT)
        return proto_write_digits(to, bits);
    return proto_write_little(to, bits, wire == MICRO__PROTO_64 ? 8 : 4);
}

static size_t proto_write_chars_len(const micro_field *f, const char *slot)
{
    const char *nul = (const char *)memchr(slot, 0, f->cap);

    return nul ? (size_t)(nul - slot) : f->cap;
}

/* The text itself, with its key and length, at once into the buffer; false: no UTF-8. */
static bool proto_write_fitting(micro_buf *b, const micro_field *f, const char *ptr, size_t len)
{
    char *start = b->ptr + b->len, *to = proto_write_key(start, f, MICRO__PROTO_BYTES);

    to = proto_write_digits(to, len);
    if (MICRO__RARE(micro__text_copy(to, ptr, len) & MICRO__TEXT_HIGH) &&
        f->kind != MICRO_KIND_bytes && !micro__utf8_valid(ptr, len))
        return false;
    b->len += (size_t)(to - start) + len;
    return true;
}

static bool proto_write_pieces(micro_buf *b, const micro_field *f, const char *ptr, size_t len)
{
    if (f->kind != MICRO_KIND_bytes && !micro__utf8_valid(ptr, len))
        return false;
    micro__proto_put_varint(b, (uint64_t)f->tag << 3 | MICRO__PROTO_BYTES);
    micro__proto_put_varint(b, len);
    micro__buf_add(b, ptr, len);
    return true;
}

/* Pointer and length are loaded one by one: both at once would have to wait for the two stores that
 * have often only just put them there. */
static MICRO__NOINLINE bool proto_write_text(proto_out *out, const micro_field *f, const void *slot,
                                             bool keep)
{
    bool chars = f->kind == MICRO_KIND_chars;
    const char *ptr = chars ? (const char *)slot : (const char *)micro__pointer_load(slot);
    size_t len = chars ? proto_write_chars_len(f, ptr)
                       : *(const size_t *)(const void *)((const char *)slot + sizeof ptr);
    size_t room = out->buf->cap - out->buf->len;

    if (!len) {
        if (!keep)
            return true;
        ptr = "";
    }
    if (!ptr)
        return micro__where_fail(&out->where, MICRO_EINVAL, "text without bytes");
    bool fits = room >= PROTO_WRITE_SMALL && room - PROTO_WRITE_SMALL >= len;
    return (fits ? proto_write_fitting(out->buf, f, ptr, len)
                 : proto_write_pieces(out->buf, f, ptr, len)) ||
           micro__where_fail(&out->where, MICRO_EINVAL, "invalid UTF-8");
}

/* keep: an empty message is written too. */
static MICRO__NOINLINE bool proto_write_sub(proto_out *out, const micro_field *f, const char *slot,
                                            bool keep)
{
    size_t start = out->buf->len;

    if (f->kind == MICRO_KIND_pointer)
        slot = (const char *)micro__pointer_load(slot);
    if (!slot && f->label == MICRO_PLAIN)
        return true;
    if (MICRO__RARE(!keep && out->depth >= MICRO_MAX_DEPTH) && f->kind == MICRO_KIND_message &&
        micro__type_nothing((const micro_type *)f->sub, slot))
        return true; /* it could not be written to see whether it is empty */
    size_t body = proto_write_open(out->buf, f);
    if (slot &&
        !proto_write_message(out, (const micro_type *)f->sub, slot, f->label == MICRO_ENTRIES))
        return false;
    if (out->buf->len == body && !keep && f->kind == MICRO_KIND_message && !out->buf->failed)
        out->buf->len = start;
    else
        proto_write_close(out->buf, body);
    return true;
}

static MICRO__NOINLINE bool proto_write_keyed(proto_out *out, const micro_field *f,
                                              const void *slot, bool keep)
{
    unsigned wire = micro__proto_wire[f->kind];
    uint64_t bits = proto_write_bits(f, slot);

    if (bits || keep) {
        char scratch[PROTO_WRITE_SMALL], *start = proto_write_begin(out->buf, scratch);
        char *end = proto_write_key(start, f, wire);
        proto_write_end(out->buf, scratch, start, proto_write_number(end, wire, bits));
    }
    return true;
}

/* A value with its key; unless keep is set, not if it is zero. */
static inline bool proto_write_slot(proto_out *out, const micro_field *f, const char *slot,
                                    bool keep)
{
    switch (f->kind) {
    case MICRO_KIND_message:
    case MICRO_KIND_pointer:
        return proto_write_sub(out, f, slot, keep);
    case MICRO_KIND_string:
    case MICRO_KIND_bytes:
    case MICRO_KIND_chars:
        return proto_write_text(out, f, slot, keep);
    default:
        return proto_write_keyed(out, f, slot, keep);
    }
}

static bool proto_write_each(proto_out *out, const micro_field *f, const char *slot, size_t n)
{
    for (size_t i = 0; i < n && !out->buf->failed; i++)
        if (!proto_write_slot(out, f, slot + i * f->size, true))
            return micro__where_index(&out->where, i);
    return true;
}

#define PROTO_WRITE_RUN 16 /* varints of a packed list that are written at once */

static char *proto_write_run(char *to, const micro_field *f, const char *slot, size_t n)
{
    if (f->kind == MICRO_KIND_int32) { /* what lists are mostly made of */
        for (size_t i = 0; i < n; i++)
            to =
                proto_write_digits(to, (uint64_t)(int64_t)((const int32_t *)(const void *)slot)[i]);
        return to;
    }
    for (size_t i = 0; i < n; i++)
        to = proto_write_digits(to, proto_write_bits(f, slot + i * f->size));
    return to;
}

static void proto_write_varints(micro_buf *b, const micro_field *f, const char *slot, size_t n)
{
    char scratch[PROTO_WRITE_RUN * 10];

    while (n > 0 && !b->failed) {
        size_t run = n < PROTO_WRITE_RUN ? n : PROTO_WRITE_RUN;
        bool fits = b->cap - b->len >= sizeof scratch;
        char *start = fits ? b->ptr + b->len : scratch;
        size_t len = (size_t)(proto_write_run(start, f, slot, run) - start);
        if (fits)
            b->len += len;
        else
            micro__buf_add(b, start, len);
        slot += run * f->size;
        n -= run;
    }
}

static void proto_write_fixed(micro_buf *b, const micro_field *f, const char *slot, size_t n)
{
    if (micro__little_endian() && n <= SIZE_MAX / f->size) {
        micro__buf_add(b, slot, n * f->size);
        return;
    }
    for (size_t i = 0; i < n && !b->failed; i++) {
        char bytes[8];
        proto_write_little(bytes, proto_write_bits(f, slot + i * f->size), f->size);
        micro__buf_add(b, bytes, f->size);
    }
}

static MICRO__NOINLINE bool proto_write_list(proto_out *out, const micro_field *f, const char *obj)
{
    unsigned wire = micro__proto_wire[f->kind];
    const char *slot;
    size_t n;

    if (!micro__field_values(f, obj, &slot, &n))
        return micro__where_fail(&out->where, MICRO_EINVAL, "list without elements, or too long");
    if (!n)
        return true;
    if (wire == MICRO__PROTO_BYTES || f->flags & MICRO_UNPACKED)
        return proto_write_each(out, f, slot, n);
    size_t body = proto_write_open(out->buf, f);
    if (wire == MICRO__PROTO_VARINT)
        proto_write_varints(out->buf, f, slot, n);
    else
        proto_write_fixed(out->buf, f, slot, n);
    proto_write_close(out->buf, body);
    return true;
}

/* ---- messages ------------------------------------------------------------------------------- */

static bool proto_write_special(proto_out *out, const micro_type *type, const char *obj)
{
    const micro_bytes *raw = (const micro_bytes *)(const void *)obj;

    if (type->flags & MICRO__TYPE_ANY) /* as a member it may at least be absent */
        return (out->depth && ((const micro_value *)(const void *)obj)->kind == MICRO_VALUE_NULL) ||
               micro__where_fail(&out->where, MICRO_EINVAL, "micro_value has no protobuf form");
    if (raw->len && !raw->ptr)
        return micro__where_fail(&out->where, MICRO_EINVAL, "bytes without bytes");
    micro__buf_add(out->buf, raw->ptr, raw->len);
    return true;
}

/* A member that has a label. */
static MICRO__NOINLINE bool proto_write_labelled(proto_out *out, const micro_type *type, uint32_t i,
                                                 const char *obj)
{
    const micro_field *f = micro__type_field(type, i);

    if (f->label >= MICRO_MANY)
        return proto_write_list(out, f, obj);
    if (micro__field_set(f, obj))
        return proto_write_slot(out, f, obj + f->offset, true);
    if (f->label == MICRO_WHICH && !micro__type_which_ok(type, i, obj))
        return micro__where_fail(&out->where, MICRO_EINVAL, "which_ names no member");
    return true;
}

/* entry: of a map, where key and value are written even if they are zero. */
static bool proto_write_message(proto_out *out, const micro_type *type, const char *obj, bool entry)
{
    if (MICRO__RARE(type->flags & (MICRO__TYPE_RAW | MICRO__TYPE_ANY)))
        return proto_write_special(out, type, obj);
    if (out->depth >= MICRO_MAX_DEPTH)
        return micro__where_fail(&out->where, MICRO_ETOOBIG, "nested too deeply");
    out->depth++;
    for (uint32_t i = 0; i < type->nfields; i++) {
        const micro_field *f = micro__type_field(type, i);
        bool keep = entry || f->flags & MICRO_KEEP_ZERO;
        bool ok = f->label == MICRO_PLAIN ? proto_write_slot(out, f, obj + f->offset, keep)
                                          : proto_write_labelled(out, type, i, obj);
        if (MICRO__RARE(!ok))
            return micro__where_field(&out->where, f);
    }
    out->depth--;
    return true;
}

MICRO_PRIVATE micro_err micro__proto_write(micro_ctx *ctx, const micro_type *type, const void *obj,
                                           micro_buf *out)
{
    proto_out w;
    size_t start = out->len;

    if (out->failed)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "buffer without room");
    w.buf = out;
    w.depth = 0;
    micro__where_init(&w.where);
    proto_write_message(&w, type, (const char *)obj, false);
    if (MICRO__RARE(out->failed))
        return micro__undo(ctx, out, start, MICRO_OK);
    if (MICRO__RARE(w.where.err != MICRO_OK))
        return micro__undo(ctx, out, start, micro__where_report(&w.where, ctx));
    return MICRO_OK;
}

MICRO_API micro_err micro_proto_write(micro_ctx *ctx, const micro_type *type, const void *obj,
                                      micro_bytes *out)
{
    micro_buf b = { NULL, 0, 0, 0, false, false, 0 };

    if (out)
        *out = (micro_bytes){ (const uint8_t *)"", 0 };
    if (!ctx)
        return MICRO_ENOMEM;
    if (!type || !obj || !out)
        return micro__ctx_local(ctx, MICRO_EINVAL, "micro_proto_write without type, object or out");
    micro_err err = micro__proto_write(ctx, type, obj, &b);
    const char *copy = err == MICRO_OK ? micro__arena_text(&ctx->arena, b.ptr, b.len) : NULL;
    if (copy)
        *out = (micro_bytes){ (const uint8_t *)copy, b.len };
    else if (err == MICRO_OK)
        err = micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    micro__buf_free(&b);
    return err;
}
