/* SPDX-License-Identifier: MIT */
/* JSON without a table: micro_value, read, written, looked into and built. */
#include "inner.h"

static const micro_field value_key = {
    "name",      NULL, 1, offsetof(micro_value, name), 0, sizeof(micro_str), 0, MICRO_KIND_string,
    MICRO_PLAIN, 0,    0
};

/* ---- reading -------------------------------------------------------------------------------- */

static void value_set(micro_value *v, enum micro_value_kind kind)
{
    v->kind = kind;
    memset(&v->as, 0, sizeof v->as);
}

static char *value_read_number(micro__json_in *in, char *p, micro_value *v)
{
    const char *end = micro__json_number_end(p, in->end);
    uint64_t mag;
    bool neg;

    if (!end)
        return micro__json_syntax(in, p);
    micro_str s = micro__str(p, (size_t)(end - p));
    bool whole = !memchr(p, '.', s.len) && !memchr(p, 'e', s.len) && !memchr(p, 'E', s.len);
    if (whole && micro__json_integer(p, end, &mag, &neg) && (!neg || mag - 1 <= INT64_MAX)) {
        value_set(v, !neg && mag > INT64_MAX ? MICRO_VALUE_UINT : MICRO_VALUE_INT);
        v->as.u = neg ? 0 - mag : mag;
        return p + s.len;
    }
    value_set(v, MICRO_VALUE_DOUBLE); /* -0 too, which is no integer */
    if (!micro__parse_double(s, &v->as.d))
        return micro__json_fail(in, MICRO_EFORMAT, "number out of range");
    return p + s.len;
}

static char *value_read_word(micro__json_in *in, char *p, micro_value *v)
{
    const char *word = *p == 't' ? "true" : *p == 'f' ? "false" : "null";
    size_t len = strlen(word);

    if ((size_t)(in->end - p) < len || memcmp(p, word, len) != 0)
        return micro__json_syntax(in, p);
    value_set(v, *p == 'n' ? MICRO_VALUE_NULL : MICRO_VALUE_BOOL);
    if (*p == 't')
        v->as.on = true;
    return p + len;
}

/* An item of a list, or a member with its name. */
static char *value_read_item(micro__json_in *in, char *p, micro_value *item, bool named)
{
    memset(item, 0, sizeof *item);
    item->name.ptr = "";
    if (named) {
        if (*p != '"')
            return micro__json_syntax(in, p);
        p = micro__json_string(in, p + 1, &item->name);
        if (!p)
            return NULL;
        p = micro__json_next(p);
        if (*p != ':')
            return micro__json_syntax(in, p);
        p = micro__json_next(p + 1);
    }
    return micro__value_read(in, p, item);
}

static char *value_read_items(micro__json_in *in, char *p, bool named, micro__fill *l)
{
    char close = named ? '}' : ']';

    while (*p != close || l->len) {
        if (!micro__list_room(&in->ctx->arena, l, 1, sizeof(micro_value)))
            return micro__json_fail(in, MICRO_ENOMEM, "out of memory");
        micro_value *item = (micro_value *)(void *)l->ptr + l->len;
        p = value_read_item(in, p, item, named);
        if (!p) {
            if (named)
                micro__where_key(&in->where, item->name);
            else
                micro__where_index(&in->where, l->len);
            return NULL;
        }
        l->len++;
        p = micro__json_next(p);
        if (*p != ',')
            break;
        p = micro__json_next(p + 1);
    }
    if (*p != close)
        return micro__json_syntax(in, p);
    if (named &&
        !micro__map_dedupe(&in->ctx->arena, l->ptr, &l->len, sizeof(micro_value), &value_key))
        return micro__json_fail(in, MICRO_ENOMEM, "out of memory");
    return p + 1;
}

static char *value_read_list(micro__json_in *in, char *p, micro_value *v)
{
    bool named = *p == '{';
    micro__fill l = { NULL, 0, 0 };

    p = micro__json_enter(in, p + 1);
    if (p)
        p = value_read_items(in, p, named, &l);
    in->depth--;
    value_set(v, named ? MICRO_VALUE_OBJECT : MICRO_VALUE_ARRAY);
    v->as.items.ptr = (micro_value *)(void *)l.ptr;
    v->as.items.len = l.len;
    v->as.items.cap = l.cap;
    return p;
}

MICRO_PRIVATE char *micro__value_read(micro__json_in *in, char *p, micro_value *v)
{
    switch (*p) {
    case '{':
    case '[':
        return value_read_list(in, p, v);
    case '"':
        value_set(v, MICRO_VALUE_TEXT);
        return micro__json_string(in, p + 1, &v->as.text);
    case 't':
    case 'f':
    case 'n':
        return value_read_word(in, p, v);
    default:
        return value_read_number(in, p, v);
    }
}

/* ---- writing -------------------------------------------------------------------------------- */

static bool value_write_items(micro__json_out *out, const micro_value *v)
{
    const micro_values *items = &v->as.items;
    bool named = v->kind == MICRO_VALUE_OBJECT;

    if (items->len && !items->ptr)
        return micro__where_fail(&out->where, MICRO_EINVAL, "list without elements");
    if (!micro__json_deeper(out))
        return false;
    micro__buf_byte(out->buf, named ? '{' : '[');
    for (size_t i = 0; i < items->len && !out->buf->failed; i++) {
        const micro_value *item = items->ptr + i;
        if (i)
            micro__buf_byte(out->buf, ',');
        if (named) {
            micro__json_quote(out->buf, item->name);
            micro__buf_byte(out->buf, ':');
        }
        if (!micro__value_write(out, item))
            return named ? micro__where_key(&out->where, item->name)
                         : micro__where_index(&out->where, i);
    }
    micro__buf_byte(out->buf, named ? '}' : ']');
    out->depth--;
    return true;
}

static bool value_write_text(micro__json_out *out, micro_str s)
{
    if (s.len && !s.ptr)
        return micro__where_fail(&out->where, MICRO_EINVAL, "text without bytes");
    micro__json_quote(out->buf, s);
    return true;
}

MICRO_PRIVATE bool micro__value_write(micro__json_out *out, const micro_value *v)
{
    switch (v->kind) {
    case MICRO_VALUE_NULL:
        micro__buf_add(out->buf, "null", 4);
        return true;
    case MICRO_VALUE_BOOL:
        micro__buf_text(out->buf, *(const uint8_t *)&v->as.on ? "true" : "false");
        return true;
    case MICRO_VALUE_INT:
        micro__buf_i64(out->buf, v->as.i);
        return true;
    case MICRO_VALUE_UINT:
        micro__buf_u64(out->buf, v->as.u);
        return true;
    case MICRO_VALUE_DOUBLE:
        return micro__json_write_double(out, v->as.d, false);
    case MICRO_VALUE_TEXT:
        return value_write_text(out, v->as.text);
    case MICRO_VALUE_ARRAY:
    case MICRO_VALUE_OBJECT:
        return value_write_items(out, v);
    default:
        return micro__where_fail(&out->where, MICRO_EINVAL, "unknown kind of value");
    }
}

/* ---- for users ------------------------------------------------------------------------------ */

MICRO_API const micro_value *micro_value_get(const micro_value *object, const char *name)
{
    static const micro_value absent = { MICRO_VALUE_NULL, { "", 0 }, { false } };

    if (!object || !name || object->kind != MICRO_VALUE_OBJECT)
        return &absent;
    for (size_t i = object->as.items.len; i > 0; i--) /* of two with a name the last one counts */
        if (micro__str_is(object->as.items.ptr[i - 1].name, name))
            return object->as.items.ptr + i - 1;
    return &absent;
}

MICRO_API micro_value *micro_value_add(micro_ctx *ctx, micro_value *to, const char *name)
{
    enum micro_value_kind kind = name ? MICRO_VALUE_OBJECT : MICRO_VALUE_ARRAY;
    micro_str key = { "", 0 };

    if (!ctx || !to || (to->kind != MICRO_VALUE_NULL && to->kind != kind))
        return NULL;
    if (name) {
        key.len = strlen(name);
        key.ptr = micro__arena_text(&ctx->arena, name, key.len);
        if (!key.ptr)
            return NULL;
    }
    if (to->kind == MICRO_VALUE_NULL)
        value_set(to, kind);
    micro_value *item = micro_append(ctx, &to->as.items);
    if (item)
        item->name = key;
    return item;
}
