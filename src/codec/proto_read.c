/* SPDX-License-Identifier: MIT */
/* Protobuf into structs. */
#include "inner.h"

typedef struct proto_in {
    micro_ctx *ctx;
    unsigned depth;
    bool copy; /* bytes do not stay where they are */
    bool maps; /* there is one */
    micro__where where;
} proto_in;

static bool proto_read_message(proto_in *in, const uint8_t *p, const uint8_t *end,
                               const micro_type *type, char *obj);

/* ---- tokens --------------------------------------------------------------------------------- */

MICRO_PRIVATE_DEF const uint8_t micro__proto_wire[MICRO_KIND_chars + 1] = {
    [MICRO_KIND_double] = MICRO__PROTO_64,     [MICRO_KIND_float] = MICRO__PROTO_32,
    [MICRO_KIND_fixed32] = MICRO__PROTO_32,    [MICRO_KIND_fixed64] = MICRO__PROTO_64,
    [MICRO_KIND_sfixed32] = MICRO__PROTO_32,   [MICRO_KIND_sfixed64] = MICRO__PROTO_64,
    [MICRO_KIND_string] = MICRO__PROTO_BYTES,  [MICRO_KIND_bytes] = MICRO__PROTO_BYTES,
    [MICRO_KIND_message] = MICRO__PROTO_BYTES, [MICRO_KIND_pointer] = MICRO__PROTO_BYTES,
    [MICRO_KIND_chars] = MICRO__PROTO_BYTES, /* all others are varints */
};

/* At most ten bytes, and no bit of the tenth beyond the 64th. */
MICRO_PRIVATE const uint8_t *micro__proto_varint_slow(const uint8_t *p, const uint8_t *end,
                                                      uint64_t *v)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70 && p < end; shift += 7) {
        uint8_t byte = *p++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *v = value;
            return shift == 63 && byte > 1 ? NULL : p;
        }
    }
    return NULL;
}

/* Groups in it are counted, not recursed into. */
MICRO_PRIVATE const uint8_t *micro__proto_group(const uint8_t *p, const uint8_t *end,
                                                unsigned depth, uint32_t tag, bool *deep)
{
    uint32_t tags[MICRO_MAX_DEPTH + 1]; /* of the groups that are open */
    unsigned open = 0;

    for (;;) {
        if (depth + open >= MICRO_MAX_DEPTH) {
            *deep = true;
            return NULL;
        }
        tags[open++] = tag;
        uint64_t key, value;
        do {
            const uint8_t *start = p;
            p = micro__proto_varint(p, end, &key);
            if (!p || key < 8 || key > UINT32_MAX || p - start > 5)
                return NULL;
            tag = (uint32_t)key >> 3;
            value = 0;
            switch (key & 7) {
            case MICRO__PROTO_VARINT:
                p = micro__proto_varint(p, end, &value);
                value = 0;
                break;
            case MICRO__PROTO_BYTES:
                p = micro__proto_varint(p, end, &value);
                break;
            case MICRO__PROTO_64:
            case MICRO__PROTO_32:
                value = (key & 7) == MICRO__PROTO_64 ? 8 : 4;
                break;
            case MICRO__PROTO_GROUP:
                break;
            case MICRO__PROTO_END:
                if (tag != tags[--open])
                    return NULL;
                if (!open)
                    return p;
                break;
            default:
                return NULL;
            }
            if (!p || (size_t)(end - p) < value)
                return NULL;
            p += value;
        } while ((key & 7) != MICRO__PROTO_GROUP);
    }
}

/* ---- values --------------------------------------------------------------------------------- */

static uint64_t proto_read_little(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

static void proto_read_fixed(const uint8_t *p, size_t size, void *slot)
{
    uint64_t v = proto_read_little(p, size);
    uint32_t v32 = (uint32_t)v;

    memcpy(slot, size == 4 ? (const void *)&v32 : (const void *)&v, size);
}

/* False: the enum's C type cannot hold the number. */
static bool proto_read_varint(const micro_field *f, uint64_t v, void *slot)
{
    uint32_t v32 = (uint32_t)v;

    switch (f->kind) {
    case MICRO_KIND_int32:
    case MICRO_KIND_uint32:
        *(uint32_t *)slot = v32;
        return true;
    case MICRO_KIND_sint32:
        *(uint32_t *)slot = v32 >> 1 ^ (0 - (v32 & 1));
        return true;
    case MICRO_KIND_int64:
    case MICRO_KIND_uint64:
        *(uint64_t *)slot = v;
        return true;
    case MICRO_KIND_sint64:
        *(uint64_t *)slot = v >> 1 ^ (0 - (v & 1));
        return true;
    case MICRO_KIND_bool:
        *(bool *)slot = v != 0;
        return true;
    default:
        return micro__enum_store(f, slot, v32 > INT32_MAX ? (int64_t)v32 - UINT32_MAX - 1 : v32);
    }
}

static MICRO__NOINLINE bool proto_read_string(proto_in *in, const micro__proto_token *t,
                                              micro_str *slot)
{
    char *copy = (char *)micro__arena_take(&in->ctx->arena, t->len + 1);

    if (MICRO__RARE(!copy))
        return micro__where_fail(&in->where, MICRO_ENOMEM, "out of memory");
    if (MICRO__RARE(micro__text_copy(copy, (const char *)t->ptr, t->len) & MICRO__TEXT_HIGH) &&
        !micro__utf8_valid(copy, t->len))
        return micro__where_fail(&in->where, MICRO_EFORMAT, "invalid UTF-8");
    copy[t->len] = 0;
    slot->ptr = copy;
    slot->len = t->len;
    return true;
}

static MICRO__NOINLINE bool proto_read_chars(proto_in *in, const micro__proto_token *t,
                                             const micro_field *f, char *slot)
{
    if (t->len >= f->cap)
        return micro__where_fail(&in->where, MICRO_ETOOBIG, "text too long");
    if (!micro__utf8_valid((const char *)t->ptr, t->len))
        return micro__where_fail(&in->where, MICRO_EFORMAT, "invalid UTF-8");
    if (t->len && memchr(t->ptr, 0, t->len))
        return micro__where_fail(&in->where, MICRO_EFORMAT, "text without NUL expected");
    memset(slot, 0, f->cap);
    memcpy(slot, t->ptr, t->len);
    return true;
}

static MICRO__NOINLINE bool proto_read_bytes(proto_in *in, const micro__proto_token *t,
                                             micro_bytes *slot)
{
    slot->ptr = t->ptr;
    slot->len = t->len;
    if (in->copy)
        slot->ptr =
            (const uint8_t *)micro__arena_text(&in->ctx->arena, (const char *)t->ptr, t->len);
    return slot->ptr || micro__where_fail(&in->where, MICRO_ENOMEM, "out of memory");
}

/* A message behind a pointer: merged into the one that is there. */
static MICRO__NOINLINE bool proto_read_pointer(proto_in *in, const micro__proto_token *t,
                                               const micro_field *f, void *slot)
{
    const micro_type *type = (const micro_type *)f->sub;
    char *obj = (char *)micro__pointer_load(slot);

    if (!obj) {
        obj = (char *)micro__arena_take(&in->ctx->arena, type->size);
        if (!obj)
            return micro__where_fail(&in->where, MICRO_ENOMEM, "out of memory");
        micro__type_zero(type, obj);
        micro__pointer_store(slot, obj);
    }
    return proto_read_message(in, t->ptr, t->ptr + t->len, type, obj);
}

/* One value. Messages are merged into what the slot holds. */
static bool proto_read_slot(proto_in *in, const micro__proto_token *t, const micro_field *f,
                            void *slot)
{
    switch (f->kind) {
    case MICRO_KIND_string:
        return proto_read_string(in, t, (micro_str *)slot);
    case MICRO_KIND_bytes:
        return proto_read_bytes(in, t, (micro_bytes *)slot);
    case MICRO_KIND_chars:
        return proto_read_chars(in, t, f, (char *)slot);
    case MICRO_KIND_message:
        return proto_read_message(in, t->ptr, t->ptr + t->len, (const micro_type *)f->sub,
                                  (char *)slot);
    case MICRO_KIND_pointer:
        return proto_read_pointer(in, t, f, slot);
    default:
        break;
    }
    if (t->ptr) {
        proto_read_fixed(t->ptr, t->len, slot);
        return true;
    }
    return proto_read_varint(f, t->value, slot) ||
           micro__where_fail(&in->where, MICRO_EFORMAT, "number out of range");
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* How many numbers a packed list holds. */
static bool proto_read_count(const micro__proto_token *t, unsigned wire, size_t *n)
{
    *n = 0;
    if (wire != MICRO__PROTO_VARINT) {
        *n = t->len / (wire == MICRO__PROTO_64 ? 8 : 4);
        return t->len % (wire == MICRO__PROTO_64 ? 8 : 4) == 0;
    }
    for (size_t i = 0; i < t->len; i++)
        *n += t->ptr[i] < 0x80;
    return true;
}

/* A packed list's numbers into slots for which there is room. */
static bool proto_read_packed(proto_in *in, const micro__proto_token *t, const micro_field *f,
                              char *slot)
{
    const uint8_t *p = t->ptr, *end = p + t->len;
    unsigned wire = micro__proto_wire[f->kind];
    uint64_t v;

    for (; p < end; slot += f->size) {
        if (wire == MICRO__PROTO_VARINT) {
            p = micro__proto_varint(p, end, &v);
            if (!p)
                return micro__where_fail(&in->where, MICRO_EFORMAT, "malformed number");
            if (!proto_read_varint(f, v, slot))
                return micro__where_fail(&in->where, MICRO_EFORMAT, "number out of range");
        } else {
            size_t size = wire == MICRO__PROTO_64 ? 8 : 4;
            proto_read_fixed(p, size, slot);
            p += size;
        }
    }
    return true;
}

static bool proto_read_repeated(proto_in *in, const micro__proto_token *t, const micro_field *f,
                                char *obj)
{
    bool fixed = f->label == MICRO_FIXED, ok;
    bool packed = (t->key & 7) != micro__proto_wire[f->kind];
    char *slot = obj + f->offset;
    size_t *count = (size_t *)(void *)(obj + f->aux), n = 1;
    micro__fill l = { slot, fixed ? *count : 0, f->cap };

    if (!fixed)
        l = micro__list_load(slot);
    if (packed && !proto_read_count(t, micro__proto_wire[f->kind], &n))
        return micro__where_fail(&in->where, MICRO_EFORMAT, "malformed list");
    if (n == 0)
        return t->len == 0 || micro__where_fail(&in->where, MICRO_EFORMAT, "malformed number");
    if (n > l.cap - l.len) {
        if (fixed)
            return micro__where_fail(&in->where, MICRO_ETOOBIG, "too many elements");
        if (!micro__list_room(&in->ctx->arena, &l, n, f->size))
            return micro__where_fail(&in->where, MICRO_ENOMEM, "out of memory");
    }
    slot = l.ptr + l.len * f->size;
    if (packed) {
        ok = proto_read_packed(in, t, f, slot);
    } else {
        if (f->kind >= MICRO_KIND_string) {
            memset(slot, 0, f->size);
            micro__field_fill(f, slot);
        }
        ok = proto_read_slot(in, t, f, slot) || micro__where_index(&in->where, l.len);
    }
    l.len += n;
    if (fixed)
        *count = l.len;
    else
        micro__list_store(obj + f->offset, &l);
    return ok;
}

/* ---- messages ------------------------------------------------------------------------------- */

static MICRO__NOINLINE bool proto_read_field(proto_in *in, const micro__proto_token *t,
                                             const micro_field *f, char *obj)
{
    char *slot = obj + f->offset, *aux = obj + f->aux;

    switch (f->label) {
    case MICRO_ENTRIES:
        in->maps = true;
        return proto_read_repeated(in, t, f, obj);
    case MICRO_MANY:
    case MICRO_FIXED:
        return proto_read_repeated(in, t, f, obj);
    case MICRO_HAS:
        *(bool *)(void *)aux = true;
        break;
    case MICRO_WHICH:
        if (*(uint32_t *)(void *)aux != f->tag) { /* what another member of the oneof left there */
            *(uint32_t *)(void *)aux = f->tag;
            memset(slot, 0, f->size);
            micro__field_fill(f, slot);
        }
        break;
    default:
        break;
    }
    return proto_read_slot(in, t, f, slot);
}

/* The row with a tag: the one at *row or the one behind it, or else wherever it is. */
static inline const micro_field *proto_read_find(const micro_type *type, uint32_t tag,
                                                 uint32_t *row)
{
    for (uint32_t i = *row; i < type->nfields && i < *row + 2; i++) {
        const micro_field *f = micro__type_field(type, i);
        if (f->tag == tag) {
            *row = i;
            return f;
        }
    }
    for (uint32_t i = 0; i < type->nfields; i++) {
        const micro_field *f = micro__type_field(type, i);
        if (f->tag == tag) {
            *row = i;
            return f;
        }
    }
    return NULL;
}

/* A value of another wire type than the member's is treated as an unknown field. */
static bool proto_read_fits(const micro_field *f, unsigned wire)
{
    unsigned want = micro__proto_wire[f->kind];

    return wire == want ||
           (wire == MICRO__PROTO_BYTES && (f->label == MICRO_MANY || f->label == MICRO_FIXED));
}

static bool proto_read_special(proto_in *in, const uint8_t *p, const uint8_t *end,
                               const micro_type *type, char *obj)
{
    micro__proto_token t = { 0, 0, p, (size_t)(end - p) };

    if (type->flags & MICRO__TYPE_RAW)
        return proto_read_bytes(in, &t, (micro_bytes *)(void *)obj);
    return micro__where_fail(&in->where, MICRO_EINVAL, "micro_value has no protobuf form");
}

static bool proto_read_message(proto_in *in, const uint8_t *p, const uint8_t *end,
                               const micro_type *type, char *obj)
{
    micro__proto_token t = { 0, 0, NULL, 0 };
    uint32_t row = 0;
    bool deep = false;

    if (MICRO__RARE(type->flags & (MICRO__TYPE_RAW | MICRO__TYPE_ANY)))
        return proto_read_special(in, p, end, type, obj);
    if (in->depth >= MICRO_MAX_DEPTH)
        return micro__where_fail(&in->where, MICRO_ETOOBIG, "nested too deeply");
    in->depth++;
    while (p < end) {
        p = micro__proto_next(p, end, in->depth, &t, &deep);
        if (MICRO__RARE(!p))
            return micro__where_fail(&in->where, deep ? MICRO_ETOOBIG : MICRO_EFORMAT,
                                     deep ? "nested too deeply" : "malformed protobuf");
        const micro_field *f = proto_read_find(type, t.key >> 3, &row);
        if (!f || MICRO__RARE(!proto_read_fits(f, t.key & 7)))
            continue;
        if (f->label == MICRO_PLAIN ? !proto_read_slot(in, &t, f, obj + f->offset)
                                    : !proto_read_field(in, &t, f, obj))
            return micro__where_field(&in->where, f);
    }
    in->depth--;
    return true;
}

/* Of entries with the same key the last one counts. Merged messages may add to a map at any time,
 * so this is done once, at the end. */
static bool proto_read_settle(proto_in *in, const micro_type *type, char *obj)
{
    for (uint32_t i = 0; i < type->nfields; i++) {
        const micro_field *f = micro__type_field(type, i);
        bool list = f->label == MICRO_MANY || f->label == MICRO_ENTRIES;
        micro__fill l = { obj + f->offset, 1, 0 };
        if ((f->kind != MICRO_KIND_message && f->kind != MICRO_KIND_pointer) ||
            (f->label == MICRO_WHICH && !micro__field_set(f, obj)))
            continue;
        const micro_type *sub = (const micro_type *)f->sub;
        if (list)
            l = micro__list_load(obj + f->offset);
        else if (f->label == MICRO_FIXED)
            l.len = *(size_t *)(void *)(obj + f->aux);
        if (f->label == MICRO_ENTRIES) {
            const micro_field *key = micro__type_tagged(sub, 1);
            if (key && !micro__map_dedupe(&in->ctx->arena, l.ptr, &l.len, f->size, key))
                return micro__where_fail(&in->where, MICRO_ENOMEM, "out of memory");
            micro__list_store(obj + f->offset, &l);
        }
        for (size_t k = 0; k < l.len; k++) {
            char *member = l.ptr + k * f->size;
            if (f->kind == MICRO_KIND_pointer)
                member = (char *)micro__pointer_load(member);
            if (member && !proto_read_settle(in, sub, member))
                return false;
        }
    }
    return true;
}

static micro_err proto_read_all(micro_ctx *ctx, const micro_type *type, const uint8_t *data,
                                size_t len, bool copy, void *obj)
{
    proto_in in;

    in.ctx = ctx;
    in.depth = 0;
    in.copy = copy;
    in.maps = false;
    micro__where_init(&in.where);
    micro__type_zero(type, obj);
    if (!data) /* no bytes at all */
        data = (const uint8_t *)"";
    bool ok = proto_read_message(&in, data, data + len, type, (char *)obj);
    if (ok && in.maps)
        ok = proto_read_settle(&in, type, (char *)obj);
    if (ok)
        return MICRO_OK;
    micro__type_zero(type, obj);
    return micro__where_report(&in.where, ctx);
}

MICRO_PRIVATE micro_err micro__proto_read(micro_ctx *ctx, const micro_type *type,
                                          const uint8_t *data, size_t len, void *obj)
{
    return proto_read_all(ctx, type, data, len, false, obj);
}

MICRO_API micro_err micro_proto_read(micro_ctx *ctx, const micro_type *type, micro_bytes data,
                                     void *obj)
{
    if (!ctx)
        return MICRO_ENOMEM;
    if (!type || !obj || (!data.ptr && data.len))
        return micro__ctx_local(ctx, MICRO_EINVAL, "micro_proto_read without a type or an object");
    return proto_read_all(ctx, type, data.ptr, data.len, true, obj);
}
