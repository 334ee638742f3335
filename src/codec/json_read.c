/* SPDX-License-Identifier: MIT */
/* JSON into structs: one pass, no tree, strings left where they are. */
#include "inner.h"

#include <math.h>

/* From here on a double rounds to infinity as a float: the middle between the largest float and
 * what would follow it. */
#define JSON_READ_FLOAT_END 3.40282356779733661637539395458142568448e38

static char *json_read_message(micro__json_in *in, char *p, const micro_type *type, char *obj);

static MICRO__NOINLINE char *json_read_expected(micro__json_in *in, const char *p, const char *what)
{
    return p >= in->end ? micro__json_syntax(in, p) : micro__json_fail(in, MICRO_EFORMAT, what);
}

static MICRO__NOINLINE char *json_read_no_memory(micro__json_in *in)
{
    return micro__json_fail(in, MICRO_ENOMEM, "out of memory");
}

static bool json_read_word(const micro__json_in *in, const char *p, const char *word, size_t len)
{
    return (size_t)(in->end - p) >= len && memcmp(p, word, len) == 0;
}

/* ---- scalars -------------------------------------------------------------------------------- */

/* A number, or a string that holds one and nothing else. *from to *to is the number; returns the
 * place behind the token. */
static char *json_read_number(micro__json_in *in, char *p, const char **from, const char **to)
{
    if (*p == '"') {
        micro_str s;
        p = micro__json_string(in, p + 1, &s);
        *from = s.ptr;
        *to = p ? s.ptr + s.len : NULL;
        return p;
    }
    *from = p;
    *to = micro__json_number_end(p, in->end);
    if (!*to)
        return json_read_expected(in, p, "number expected");
    return p + (*to - p);
}

/* Numbers in strings, with a point or an exponent, or wrong. */
static MICRO__NOINLINE char *json_read_int_slow(micro__json_in *in, char *p, const micro_field *f,
                                                void *slot)
{
    const char *from, *to;
    uint64_t mag;
    bool neg;

    p = json_read_number(in, p, &from, &to);
    if (!p)
        return NULL;
    if (from == to || micro__json_number_end(from, to) != to)
        return micro__json_fail(in, MICRO_EFORMAT, "number expected");
    bool whole = micro__json_integer(from, to, &mag, &neg);
    if (whole && micro__int_store(f, slot, mag, neg))
        return p;
    if (!whole && memchr(from, '.', (size_t)(to - from)))
        return micro__json_fail(in, MICRO_EFORMAT, "integer expected");
    return micro__json_fail(in, MICRO_EFORMAT, "number out of range");
}

static char *json_read_int(micro__json_in *in, char *p, const micro_field *f, void *slot)
{
    const micro__int_range *range = &micro__int_ranges[f->kind];
    bool neg = *p == '-';
    char *first = p + neg, *q = first;
    uint64_t mag = 0;
    unsigned digit;

    while ((digit = (unsigned)(unsigned char)*q - '0') <= 9) {
        mag = mag * 10 + digit;
        q++;
    }
    /* At most 19 digits fit for sure; what is rarer has a way of its own. */
    if (MICRO__RARE(q == first || q - first > 19 || (*first == '0' && q - first > 1) || *q == '.' ||
                    (*q | 0x20) == 'e' || mag > (neg ? range->below : range->above)))
        return json_read_int_slow(in, p, f, slot);
    mag = neg ? 0 - mag : mag;
    if (f->size == 4)
        *(uint32_t *)slot = (uint32_t)mag;
    else
        *(uint64_t *)slot = mag;
    return q;
}

static char *json_read_enum(micro__json_in *in, char *p, const micro_field *f, void *slot)
{
    const micro_enum *e = (const micro_enum *)f->sub;
    uint64_t mag;
    bool neg;
    micro_str s;

    if (*p != '"')
        return json_read_int_slow(in, p, f, slot);
    p = micro__json_string(in, p + 1, &s);
    if (!p)
        return NULL;
    for (size_t i = 0; i < e->len; i++)
        if (micro__str_is(s, e->values[i].name) && micro__enum_store(f, slot, e->values[i].number))
            return p;
    if (micro__json_integer(s.ptr, s.ptr + s.len, &mag, &neg) &&
        micro__int_store(f, slot, mag, neg))
        return p;
    return micro__json_fail(in, MICRO_EFORMAT, "unknown enum value");
}

/* Text that JSON has no number for. */
static bool json_read_odd_double(const char *from, const char *to, double *v)
{
    micro_str s = micro__str(from, (size_t)(to - from));

    if (micro__str_is(s, "NaN"))
        *v = (double)NAN;
    else if (micro__str_is(s, "Infinity"))
        *v = (double)INFINITY;
    else if (micro__str_is(s, "-Infinity"))
        *v = (double)-INFINITY;
    else
        return false;
    return true;
}

static char *json_read_double(micro__json_in *in, char *p, bool single, void *slot)
{
    const char *from, *to;
    bool odd = *p == '"';
    double v;

    p = json_read_number(in, p, &from, &to);
    if (!p)
        return NULL;
    odd = odd && json_read_odd_double(from, to, &v);
    if (!odd && !micro__parse_double(micro__str(from, (size_t)(to - from)), &v)) {
        bool number = from < to && micro__json_number_end(from, to) == to;
        return micro__json_fail(in, MICRO_EFORMAT,
                                number ? "number out of range" : "number expected");
    }
    if (!single) {
        *(double *)slot = v;
        return p;
    }
    if (!odd && (v >= JSON_READ_FLOAT_END || v <= -JSON_READ_FLOAT_END))
        return micro__json_fail(in, MICRO_EFORMAT, "number out of range");
    *(float *)slot = (float)v;
    return p;
}

static char *json_read_bool(micro__json_in *in, char *p, void *slot)
{
    bool on = json_read_word(in, p, "true", 4);

    if (MICRO__RARE(!on && !json_read_word(in, p, "false", 5)))
        return json_read_expected(in, p, "true or false expected");
    *(bool *)slot = on;
    return p + 5 - on;
}

static char *json_read_bytes(micro__json_in *in, char *p, micro_bytes *slot)
{
    uint8_t *start = (uint8_t *)p;
    micro_str s;

    p = micro__json_string(in, p, &s);
    if (!p)
        return NULL;
    if (!micro__base64_decode(s.ptr, s.len, start, &slot->len))
        return micro__json_fail(in, MICRO_EFORMAT, "base64 expected");
    slot->ptr = start;
    return p;
}

static char *json_read_chars(micro__json_in *in, char *p, const micro_field *f, char *slot)
{
    micro_str s;

    p = micro__json_string(in, p, &s);
    if (!p)
        return NULL;
    if (s.len >= f->cap)
        return micro__json_fail(in, MICRO_ETOOBIG, "text too long");
    if (s.len && memchr(s.ptr, 0, s.len))
        return micro__json_fail(in, MICRO_EFORMAT, "text without NUL expected");
    memcpy(slot, s.ptr, s.len);
    memset(slot + s.len, 0, f->cap - s.len);
    return p;
}

/* ---- values of a kind ----------------------------------------------------------------------- */

static char *json_read_pointer(micro__json_in *in, char *p, const micro_field *f, void *slot)
{
    const micro_type *type = (const micro_type *)f->sub;
    char *obj = (char *)micro__arena_take(&in->ctx->arena, type->size);

    if (!obj)
        return json_read_no_memory(in);
    micro__type_zero(type, obj);
    micro__pointer_store(slot, obj);
    return json_read_message(in, p, type, obj);
}

static char *json_read_text(micro__json_in *in, char *p, const micro_field *f, void *slot)
{
    if (MICRO__RARE(*p != '"'))
        return json_read_expected(in, p, "string expected");
    if (f->kind == MICRO_KIND_string)
        return micro__json_string(in, p + 1, (micro_str *)slot);
    if (f->kind == MICRO_KIND_bytes)
        return json_read_bytes(in, p + 1, (micro_bytes *)slot);
    return json_read_chars(in, p + 1, f, (char *)slot);
}

/* A value that is not null. A message's slot is a zero message; of others nothing is assumed. */
static char *json_read_slot(micro__json_in *in, char *p, const micro_field *f, void *slot)
{
    switch (f->kind) {
    case MICRO_KIND_string:
    case MICRO_KIND_bytes:
    case MICRO_KIND_chars:
        return json_read_text(in, p, f, slot);
    case MICRO_KIND_bool:
        return json_read_bool(in, p, slot);
    case MICRO_KIND_double:
    case MICRO_KIND_float:
        return json_read_double(in, p, f->kind == MICRO_KIND_float, slot);
    case MICRO_KIND_enum:
        return json_read_enum(in, p, f, slot);
    case MICRO_KIND_message:
        return json_read_message(in, p, (const micro_type *)f->sub, (char *)slot);
    case MICRO_KIND_pointer:
        return json_read_pointer(in, p, f, slot);
    default:
        return json_read_int(in, p, f, slot);
    }
}

/* The same for an element, which may be null. */
static char *json_read_element(micro__json_in *in, char *p, const micro_field *f, void *slot)
{
    bool null = MICRO__RARE(*p == 'n') && json_read_word(in, p, "null", 4);

    if (null || f->kind == MICRO_KIND_message) {
        memset(slot, 0, f->size);
        micro__field_fill(f, slot);
    }
    return null ? p + 4 : json_read_slot(in, p, f, slot);
}

/* ---- lists and maps ------------------------------------------------------------------------- */

/* The elements, up to the bracket; l has room for a fixed number if limit says so. */
static char *json_read_elements(micro__json_in *in, char *p, const micro_field *f, micro__fill *l,
                                bool limit)
{
    char *slot = l->ptr;

    while (*p != ']' || l->len) {
        if (l->len == l->cap) {
            if (limit)
                return micro__json_fail(in, MICRO_ETOOBIG, "too many elements");
            if (!micro__list_room(&in->ctx->arena, l, 1, f->size))
                return json_read_no_memory(in);
            slot = l->ptr + l->len * f->size;
        }
        p = json_read_element(in, p, f, slot);
        if (MICRO__RARE(!p)) {
            micro__where_index(&in->where, l->len);
            return NULL;
        }
        l->len++;
        slot += f->size;
        p = micro__json_next(p);
        if (*p != ',')
            break;
        p = micro__json_next(p + 1);
    }
    return *p == ']' ? p + 1 : micro__json_syntax(in, p);
}

static char *json_read_list(micro__json_in *in, char *p, const micro_field *f, char *obj)
{
    bool fixed = f->label == MICRO_FIXED;
    micro__fill l = { fixed ? obj + f->offset : NULL, 0, fixed ? f->cap : 0 };

    if (MICRO__RARE(*p != '['))
        return json_read_expected(in, p, "array expected");
    p = micro__json_enter(in, p + 1);
    if (p)
        p = json_read_elements(in, p, f, &l, fixed);
    if (fixed)
        *(size_t *)(void *)(obj + f->aux) = l.len;
    else
        micro__list_store(obj + f->offset, &l);
    in->depth--;
    return p;
}

static char *json_read_member(micro__json_in *in, char *p, const micro_field *f, char *obj);

/* A map's key out of the text of a member name. */
static bool json_read_key(micro__json_in *in, micro_str name, const micro_field *f, char *slot)
{
    uint64_t mag;
    bool neg;

    if (f->kind == MICRO_KIND_string) {
        *(micro_str *)(void *)slot = name;
        return true;
    }
    if (f->kind == MICRO_KIND_chars && name.len >= f->cap) {
        micro__json_fail(in, MICRO_ETOOBIG, "key too long");
        return false;
    }
    if (f->kind == MICRO_KIND_chars) {
        memcpy(slot, name.ptr, name.len);
        if (strlen(slot) == name.len) /* the slot was zero */
            return true;
    } else if (f->kind == MICRO_KIND_bool) {
        *(bool *)(void *)slot = micro__str_is(name, "true");
        if (*slot || micro__str_is(name, "false"))
            return true;
    } else if (micro__json_integer(name.ptr, name.ptr + name.len, &mag, &neg) &&
               micro__int_store(f, slot, mag, neg)) {
        return true;
    }
    micro__json_fail(in, MICRO_EFORMAT, "key of another type expected");
    return false;
}

static char *json_read_entry(micro__json_in *in, char *p, const micro_field *key,
                             const micro_field *value, char *entry)
{
    micro_str name;

    if (*p != '"')
        return micro__json_syntax(in, p);
    p = micro__json_string(in, p + 1, &name);
    if (!p)
        return NULL;
    if (!json_read_key(in, name, key, entry + key->offset)) {
        micro__where_key(&in->where, name);
        return NULL;
    }
    p = micro__json_next(p);
    if (*p != ':')
        return micro__json_syntax(in, p);
    p = json_read_member(in, micro__json_next(p + 1), value, entry);
    if (!p)
        micro__where_key(&in->where, name);
    return p;
}

static char *json_read_entries(micro__json_in *in, char *p, const micro_field *f, micro__fill *l)
{
    const micro_type *type = (const micro_type *)f->sub;
    const micro_field *key = micro__type_tagged(type, 1), *value = micro__type_tagged(type, 2);

    if (!key || !value)
        return micro__json_fail(in, MICRO_EFORMAT, "map entry without key or value");
    bool texts = key->kind == MICRO_KIND_string && value->kind == MICRO_KIND_string &&
                 value->label == MICRO_PLAIN && type->nfields == 2; /* both are always stored */
    while (*p != '}' || l->len) {
        if (l->len == l->cap && !micro__list_room(&in->ctx->arena, l, 1, f->size))
            return json_read_no_memory(in);
        char *entry = l->ptr + l->len++ * f->size;
        if (!texts)
            micro__type_zero(type, entry);
        p = json_read_entry(in, p, key, value, entry);
        if (!p)
            return NULL;
        p = micro__json_next(p);
        if (*p != ',')
            break;
        p = micro__json_next(p + 1);
    }
    if (*p != '}')
        return micro__json_syntax(in, p);
    if (!micro__map_dedupe(&in->ctx->arena, l->ptr, &l->len, f->size, key))
        return json_read_no_memory(in);
    return p + 1;
}

static char *json_read_map(micro__json_in *in, char *p, const micro_field *f, char *obj)
{
    micro__fill l = { NULL, 0, 0 };

    if (MICRO__RARE(*p != '{'))
        return json_read_expected(in, p, "object expected");
    p = micro__json_enter(in, p + 1);
    if (p)
        p = json_read_entries(in, p, f, &l);
    micro__list_store(obj + f->offset, &l);
    in->depth--;
    return p;
}

/* ---- messages ------------------------------------------------------------------------------- */

/* A member that has a label, or is null. */
static MICRO__NOINLINE char *json_read_labelled(micro__json_in *in, char *p, const micro_field *f,
                                                char *obj)
{
    char *slot = obj + f->offset, *aux = obj + f->aux;

    if (*p == 'n' && json_read_word(in, p, "null", 4)) {
        micro__field_zero(f, obj);
        return p + 4;
    }
    switch (f->label) {
    case MICRO_MANY:
    case MICRO_FIXED:
        return json_read_list(in, p, f, obj);
    case MICRO_ENTRIES:
        return json_read_map(in, p, f, obj);
    case MICRO_HAS:
        *(bool *)(void *)aux = true;
        break;
    case MICRO_WHICH: /* what another member of the oneof left there */
        *(uint32_t *)(void *)aux = f->tag;
        memset(slot, 0, f->size);
        micro__field_fill(f, slot);
        break;
    default:
        break;
    }
    return json_read_slot(in, p, f, slot);
}

/* The value of a member; the member is zero so far. */
static char *json_read_member(micro__json_in *in, char *p, const micro_field *f, char *obj)
{
    char *slot = obj + f->offset;

    if (f->label != MICRO_PLAIN || *p == 'n')
        return json_read_labelled(in, p, f, obj);
    if (f->kind == MICRO_KIND_string && *p == '"') /* the usual case, for which no call is made */
        return micro__json_string(in, p + 1, (micro_str *)(void *)slot);
    return json_read_slot(in, p, f, slot);
}

/* If the text at p is the member's name and a quote: the place behind, else NULL. */
static char *json_read_same(char *p, const char *name)
{
    size_t n = 0;

    while (name[n] && name[n] == p[n])
        n++;
    bool same = n < 2 || name[n - 1] != '_'; /* with an underscore at its end it is another name */
    if (MICRO__RARE(name[n]))
        same = n && name[n] == '_' && !name[n + 1];
    return same && p[n] == '"' ? p + n + 1 : NULL;
}

/* A member name and its colon: *row is nfields if there is no such member. */
static char *json_read_name(micro__json_in *in, char *p, const micro_type *type, uint32_t *row)
{
    char *q = NULL;
    micro_str name;

    if (MICRO__RARE(*p != '"'))
        return micro__json_syntax(in, p);
    if (*row < type->nfields)
        q = json_read_same(p + 1, micro__type_field(type, *row)->name);
    if (!q) {
        q = micro__json_string(in, p + 1, &name);
        if (!q)
            return NULL;
        *row = micro__type_find(type, name);
    }
    q = micro__json_next(q);
    if (MICRO__RARE(*q != ':'))
        return micro__json_syntax(in, q);
    return micro__json_next(q + 1);
}

static char *json_read_unknown(micro__json_in *in, char *p)
{
    bool deep;
    const char *end = micro__json_skip_at(p, in->end, in->depth, &deep);

    if (end)
        return p + (end - p);
    if (deep)
        return micro__json_fail(in, MICRO_ETOOBIG, "nested too deeply");
    return micro__json_fail(in, MICRO_EFORMAT, "malformed JSON in an unknown member");
}

/* The members, up to the bracket. */
static char *json_read_members(micro__json_in *in, char *p, const micro_type *type, char *obj)
{
    uint32_t row = 0, seen = 0; /* the row expected; rows below seen may have been met */

    for (;;) {
        p = json_read_name(in, p, type, &row);
        if (MICRO__RARE(!p))
            return NULL;
        if (MICRO__RARE(row == type->nfields)) {
            p = json_read_unknown(in, p);
            if (!p)
                return NULL;
            row = seen;
        } else {
            const micro_field *f = micro__type_field(type, row);
            if (MICRO__RARE(row < seen)) /* of a member that comes twice the last one counts */
                micro__field_zero(f, obj);
            else
                seen = row + 1;
            row++;
            p = json_read_member(in, p, f, obj);
            if (MICRO__RARE(!p)) {
                micro__where_field(&in->where, f);
                return NULL;
            }
        }
        p = micro__json_next(p);
        if (*p != ',')
            break;
        p = micro__json_next(p + 1);
    }
    return *p == '}' ? p + 1 : micro__json_syntax(in, p);
}

static char *json_read_own(micro__json_in *in, char *p, char *end, const micro_type *type,
                           char *obj)
{
    const micro__type_own *own = micro__type_field(type, type->nfields)->sub;
    micro_err err = end ? own->read(in->ctx, p, (size_t)(end - p), obj) : MICRO_OK;

    /* The text is copied, since telling where this was is going to overwrite it. */
    return err ? micro__json_fail(in, err, micro_copy(in->ctx, in->ctx->error.detail).ptr) : end;
}

static char *json_read_special(micro__json_in *in, char *p, const micro_type *type, char *obj)
{
    micro_bytes *raw = (micro_bytes *)(void *)obj;

    if (type->flags & MICRO__TYPE_ANY)
        return micro__value_read(in, p, (micro_value *)(void *)obj);
    char *end = json_read_unknown(in, p);
    if (type->flags & MICRO__TYPE_OWN)
        return json_read_own(in, p, end, type, obj);
    raw->ptr = (const uint8_t *)p;
    raw->len = end ? (size_t)(end - p) : 0;
    return end;
}

static char *json_read_message(micro__json_in *in, char *p, const micro_type *type, char *obj)
{
    if (MICRO__RARE(type->flags & (MICRO__TYPE_ANY | MICRO__TYPE_RAW | MICRO__TYPE_OWN)))
        return json_read_special(in, p, type, obj);
    if (MICRO__RARE(*p != '{'))
        return json_read_expected(in, p, "object expected");
    p = micro__json_enter(in, p + 1);
    if (!p)
        return NULL;
    p = *p == '}' ? p + 1 : json_read_members(in, p, type, obj);
    in->depth--;
    return p;
}

/* The whole text. */
static char *json_read_all(micro__json_in *in, const micro_type *type, void *obj)
{
    char *p = micro__json_next(in->start);

    if (json_read_word(in, p, "null", 4))
        p += 4;
    else
        p = json_read_message(in, p, type, (char *)obj);
    if (!p)
        return NULL;
    p = micro__json_next(p);
    return p == in->end ? p : micro__json_fail(in, MICRO_EFORMAT, "text behind the JSON");
}

MICRO_PRIVATE micro_err micro__json_read(micro_ctx *ctx, const micro_type *type, char *text,
                                         size_t len, unsigned flags, void *obj)
{
    micro__json_in in;

    (void)flags; /* both forms are read whatever the flags are */
    micro__type_zero(type, obj);
    if (type->flags & MICRO__TYPE_RAW) {
        *(micro_bytes *)obj = (micro_bytes){ (const uint8_t *)text, len };
        return MICRO_OK;
    }
    in.ctx = ctx;
    in.start = text;
    in.end = text + len;
    in.depth = 0;
    micro__where_init(&in.where);
    char behind = text[len]; /* perhaps the first byte of somebody else's text */
    text[len] = 0;
    bool ok = json_read_all(&in, type, obj) != NULL;
    text[len] = behind;
    if (ok)
        return MICRO_OK;
    micro__type_zero(type, obj);
    return micro__where_report(&in.where, ctx);
}

MICRO_API micro_err micro_json_read(micro_ctx *ctx, const micro_type *type, micro_str text,
                                    unsigned flags, void *obj)
{
    if (!ctx)
        return MICRO_ENOMEM;
    if (!type || !obj || (!text.ptr && text.len))
        return micro__ctx_local(ctx, MICRO_EINVAL, "micro_json_read without a type or an object");
    char *copy = micro__arena_text(&ctx->arena, text.ptr, text.len);
    if (!copy) {
        micro__type_zero(type, obj);
        return micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    }
    return micro__json_read(ctx, type, copy, text.len, flags, obj);
}
