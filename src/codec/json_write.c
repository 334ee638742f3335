/* SPDX-License-Identifier: MIT */
/* Structs as JSON, in the form of Go's encoding/json or in proto3's. */
#include "inner.h"

#include <math.h>

#define JSON_WRITE_ALL (MICRO__JSON_STOP | MICRO__JSON_HIGH | MICRO__JSON_HTML)
#define JSON_WRITE_NAME 60 /* a longer name is written in pieces */

static bool json_write_message(micro__json_out *out, const micro_type *type, const char *obj);

MICRO_PRIVATE bool micro__json_deeper(micro__json_out *out)
{
    if (out->depth >= MICRO_MAX_DEPTH)
        return micro__where_fail(&out->where, MICRO_ETOOBIG, "nested too deeply");
    out->depth++;
    return true;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void json_write_escape(micro_buf *out, unsigned c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = { '\\', 'u', '0', '0', hex[c >> 4 & 15], hex[c & 15] };
    size_t n = 2;

    switch (c) {
    case '"':
    case '\\':
        text[1] = (char)c;
        break;
    case '\n':
        text[1] = 'n';
        break;
    case '\r':
        text[1] = 'r';
        break;
    case '\t':
        text[1] = 't';
        break;
    default:
        n = 6;
    }
    micro__buf_add(out, text, n);
}

/* Bytes above ASCII, from p on: as they are but for what is no UTF-8 and for the two line ends that
 * JavaScript knows. Returns the place behind. */
static const char *json_write_high(micro_buf *out, const char *p, const char *end)
{
    size_t n = 2;

    while (n <= 4 && !((size_t)(end - p) >= n && micro__utf8_valid(p, n)))
        n++;
    if (n > 4) {
        micro__buf_add(out, "\\ufffd", 6);
        return p + 1;
    }
    if (n == 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0))
        micro__buf_add(out, p[2] == '\xa8' ? "\\u2028" : "\\u2029", 6);
    else
        micro__buf_add(out, p, n);
    return p + n;
}

static MICRO__NOINLINE void json_write_quote_slow(micro_buf *out, const char *p, const char *end)
{
    while (p < end) {
        const char *run = p;
        while (p < end && !micro__json_class[(unsigned char)*p])
            p++;
        micro__buf_add(out, run, (size_t)(p - run));
        if (p == end)
            break;
        if (micro__json_class[(unsigned char)*p] & MICRO__JSON_HIGH)
            p = json_write_high(out, p, end);
        else
            json_write_escape(out, (unsigned char)*p++);
    }
    micro__buf_byte(out, '"');
}

MICRO_PRIVATE void micro__json_quote(micro_buf *out, micro_str s)
{
    char *to = s.len < SIZE_MAX / 2 ? micro__buf_room(out, s.len + 2) : NULL;
    size_t i = 0;

    if (!to)
        return;
    *to++ = '"';
#if MICRO__SSE2
    for (; s.len - i >= 16 && !micro__json_special16(s.ptr + i, JSON_WRITE_ALL); i += 16)
        memcpy(to + i, s.ptr + i, 16);
#endif
    for (; s.len - i >= 8 && !micro__json_special(s.ptr + i, JSON_WRITE_ALL); i += 8)
        memcpy(to + i, s.ptr + i, 8);
    for (; i < s.len && !micro__json_class[(unsigned char)s.ptr[i]]; i++)
        to[i] = s.ptr[i];
    out->len += i + 1;
    if (MICRO__RARE(i < s.len)) {
        json_write_quote_slow(out, s.ptr + i, s.ptr + s.len);
        return;
    }
    to[i] = '"';
    out->len++;
}

static MICRO__NOINLINE void json_write_name_slow(micro__json_out *out, const micro_field *f,
                                                 bool first)
{
    size_t len = micro__field_name_len(f);
    bool upper = false;

    if (!first)
        micro__buf_byte(out->buf, ',');
    micro__buf_byte(out->buf, '"');
    if (!(out->flags & MICRO_JSON_CANONICAL))
        micro__buf_add(out->buf, f->name, len);
    for (size_t i = 0; i < len && out->flags & MICRO_JSON_CANONICAL; i++) { /* camelCase */
        char c = f->name[i];
        if (c != '_')
            micro__buf_byte(out->buf, upper && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c);
        upper = c == '_';
    }
    micro__buf_add(out->buf, "\":", 2);
}

/* "name": with a comma in front unless it is the first. */
static void json_write_name(micro__json_out *out, const micro_field *f, bool first)
{
    micro_buf *b = out->buf;
    size_t n = 0;

    if (MICRO__RARE(b->cap - b->len < JSON_WRITE_NAME + 4 || out->flags & MICRO_JSON_CANONICAL)) {
        json_write_name_slow(out, f, first);
        return;
    }
    char *start = b->ptr + b->len, *to = start;
    *to = ',';
    to += !first;
    *to++ = '"';
    for (; n < JSON_WRITE_NAME && f->name[n]; n++)
        to[n] = f->name[n];
    if (MICRO__RARE(f->name[n])) {
        json_write_name_slow(out, f, first);
        return;
    }
    if (MICRO__RARE(to[n - 1] == '_' && n > 1))
        n--;
    to[n] = '"';
    to[n + 1] = ':';
    b->len += (size_t)(to - start) + n + 2;
}

/* ---- scalars -------------------------------------------------------------------------------- */

MICRO_PRIVATE bool micro__json_write_double(micro__json_out *out, double v, bool single)
{
    char text[32];

    if (MICRO__RARE(!isfinite(v))) {
        if (!(out->flags & MICRO_JSON_CANONICAL))
            return micro__where_fail(&out->where, MICRO_EINVAL, "JSON has no such number");
        micro__buf_text(out->buf, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return true;
    }
    size_t n = single ? micro__format_float(text, (float)v) : micro__format_double(text, v);
    micro__buf_add(out->buf, text, n);
    return true;
}

static bool json_write_wide(uint8_t kind)
{
    return kind == MICRO_KIND_int64 || kind == MICRO_KIND_uint64 || kind == MICRO_KIND_sint64 ||
           kind == MICRO_KIND_fixed64 || kind == MICRO_KIND_sfixed64;
}

static bool json_write_int(micro__json_out *out, const micro_field *f, const char *slot)
{
    bool neg, quoted = f->flags & MICRO_INT_AS_TEXT;
    uint64_t v = micro__int_load(f, slot, &neg);
    char text[24], *to = text;

    if (quoted || (out->flags & MICRO_JSON_CANONICAL && json_write_wide(f->kind))) {
        quoted = true;
        *to++ = '"';
    }
    *to = '-';
    to += neg;
    to += micro__format_u64(to, v);
    *to = '"';
    to += quoted;
    micro__buf_add(out->buf, text, (size_t)(to - text));
    return true;
}

static bool json_write_enum(micro__json_out *out, const micro_field *f, const char *slot)
{
    const char *name = NULL;

    if (out->flags & MICRO_JSON_CANONICAL)
        name = micro__enum_name((const micro_enum *)f->sub, micro__enum_load(f, slot));
    if (!name)
        return json_write_int(out, f, slot);
    micro__json_quote(out->buf, micro_s(name));
    return true;
}

static bool json_write_text(micro__json_out *out, const micro_field *f, const void *slot)
{
    micro_str s = { (const char *)slot, f->cap };

    if (f->kind == MICRO_KIND_string)
        s = *(const micro_str *)slot;
    else if (f->kind == MICRO_KIND_bytes)
        s = micro__str((const char *)((const micro_bytes *)slot)->ptr,
                       ((const micro_bytes *)slot)->len);
    else if (memchr(slot, 0, f->cap))
        s.len = strlen(s.ptr);
    if (s.len && !s.ptr)
        return micro__where_fail(&out->where, MICRO_EINVAL, "text without bytes");
    if (f->kind != MICRO_KIND_bytes) {
        micro__json_quote(out->buf, s);
        return true;
    }
    micro__buf_byte(out->buf, '"');
    micro__base64_encode(out->buf, s.ptr, s.len);
    micro__buf_byte(out->buf, '"');
    return true;
}

/* ---- values of a kind ----------------------------------------------------------------------- */

static bool json_write_pointer(micro__json_out *out, const micro_field *f, const char *slot)
{
    const char *obj = (const char *)micro__pointer_load(slot);

    if (obj)
        return json_write_message(out, (const micro_type *)f->sub, obj);
    micro__buf_add(out->buf, "null", 4);
    return true;
}

static bool json_write_slot(micro__json_out *out, const micro_field *f, const char *slot)
{
    const void *p = slot;

    switch (f->kind) {
    case MICRO_KIND_string:
    case MICRO_KIND_bytes:
    case MICRO_KIND_chars:
        return json_write_text(out, f, slot);
    case MICRO_KIND_bool:
        micro__buf_text(out->buf, *(const uint8_t *)p ? "true" : "false");
        return true;
    case MICRO_KIND_double:
        return micro__json_write_double(out, *(const double *)p, false);
    case MICRO_KIND_float:
        return micro__json_write_double(out, (double)*(const float *)p, true);
    case MICRO_KIND_enum:
        return json_write_enum(out, f, slot);
    case MICRO_KIND_message:
        return json_write_message(out, (const micro_type *)f->sub, slot);
    case MICRO_KIND_pointer:
        return json_write_pointer(out, f, slot);
    default:
        return json_write_int(out, f, slot);
    }
}

static bool json_write_list(micro__json_out *out, const micro_field *f, const char *slot, size_t n)
{
    micro__buf_byte(out->buf, '[');
    for (size_t i = 0; i < n && !out->buf->failed; i++) {
        if (i)
            micro__buf_byte(out->buf, ',');
        if (!json_write_slot(out, f, slot + i * f->size))
            return micro__where_index(&out->where, i);
    }
    micro__buf_byte(out->buf, ']');
    return true;
}

static bool json_write_key(micro__json_out *out, const micro_field *f, const char *slot)
{
    bool neg;
    char text[24];

    if (f->kind == MICRO_KIND_string || f->kind == MICRO_KIND_chars)
        return json_write_slot(out, f, slot);
    if (f->kind == MICRO_KIND_double || f->kind == MICRO_KIND_float || f->kind >= MICRO_KIND_bytes)
        return micro__where_fail(&out->where, MICRO_EINVAL, "no type for the key of a map");
    uint64_t v = micro__int_load(f, slot, &neg);
    if (f->kind == MICRO_KIND_bool) {
        micro__buf_text(out->buf, v ? "\"true\"" : "\"false\"");
        return true;
    }
    text[0] = '"';
    text[1] = '-';
    size_t len = 1 + neg + micro__format_u64(text + 1 + neg, v);
    text[len++] = '"';
    micro__buf_add(out->buf, text, len);
    return true;
}

static bool json_write_value(micro__json_out *out, const micro_field *f, const char *obj);

static bool json_write_entries(micro__json_out *out, const micro_field *f, const char *list,
                               size_t n, const uint32_t *order)
{
    const micro_type *type = (const micro_type *)f->sub;
    const micro_field *key = micro__type_tagged(type, 1), *value = micro__type_tagged(type, 2);

    micro__buf_byte(out->buf, '{');
    for (size_t i = 0; i < n && !out->buf->failed; i++) {
        size_t index = order ? order[i] : i;
        const char *entry = list + index * f->size;
        if (i)
            micro__buf_byte(out->buf, ',');
        if (!json_write_key(out, key, entry + key->offset))
            return micro__where_index(&out->where, index);
        micro__buf_byte(out->buf, ':');
        if (!json_write_value(out, value, entry))
            return micro__where_index(&out->where, index);
    }
    micro__buf_byte(out->buf, '}');
    return true;
}

/* Sorted by key: Go sorts what the keys look like, proto3's form what they are. */
static bool json_write_map(micro__json_out *out, const micro_field *f, const char *list, size_t n)
{
    const micro_type *type = (const micro_type *)f->sub;
    const micro_field *key = micro__type_tagged(type, 1);
    micro__arena *arena = &out->ctx->arena;
    micro__mark mark = micro__arena_mark(arena);
    bool failed = arena->failed; /* which going back to the mark would forget */
    uint32_t *order;

    if (!key || !micro__type_tagged(type, 2))
        return micro__where_fail(&out->where, MICRO_EINVAL, "map entry without key or value");
    if (!micro__map_order(arena, list, n, f->size, key, !(out->flags & MICRO_JSON_CANONICAL),
                          &order))
        return micro__where_fail(&out->where, MICRO_ENOMEM, "out of memory");
    bool ok = json_write_entries(out, f, list, n, order);
    if (ok && order) {
        micro__arena_rewind(arena, mark);
        arena->failed = failed;
    }
    return ok;
}

/* ---- messages ------------------------------------------------------------------------------- */

/* A member's value, whatever its label. */
static bool json_write_value(micro__json_out *out, const micro_field *f, const char *obj)
{
    const char *slot;
    size_t n;

    if (f->label < MICRO_MANY)
        return json_write_slot(out, f, obj + f->offset);
    if (!micro__field_values(f, obj, &slot, &n))
        return micro__where_fail(&out->where, MICRO_EINVAL, "list without elements, or too long");
    if (!slot) {
        micro__buf_add(out->buf, "null", 4);
        return true;
    }
    if (!micro__json_deeper(out))
        return false;
    bool ok = f->label == MICRO_ENTRIES ? json_write_map(out, f, slot, n)
                                        : json_write_list(out, f, slot, n);
    out->depth--;
    return ok;
}

/* A message by value has no other way to say that it is not there: if nothing but brackets came of
 * it, go back to before its name. */
static void json_write_drop(micro_buf *b, const micro_type *type, size_t start, size_t value)
{
    const char *absent = type->flags & (MICRO__TYPE_ANY | MICRO__TYPE_RAW) ? "null" : "{}";

    if (!b->failed && micro__str_is(micro__str(b->ptr + value, b->len - value), absent))
        b->len = start;
}

static bool json_write_member(micro__json_out *out, const micro_field *f, const char *obj,
                              size_t first)
{
    const micro_type *sub = (const micro_type *)f->sub;
    size_t start = out->buf->len;
    bool drop =
        f->kind == MICRO_KIND_message && f->label == MICRO_PLAIN && !(f->flags & MICRO_KEEP_ZERO);

    if (MICRO__RARE(drop && out->depth >= MICRO_MAX_DEPTH) &&
        micro__type_nothing(sub, obj + f->offset))
        return true; /* it could not be written to see whether it is empty */
    json_write_name(out, f, start == first);
    size_t value = out->buf->len;
    if (!json_write_value(out, f, obj))
        return false;
    if (drop)
        json_write_drop(out->buf, sub, start, value);
    return true;
}

static bool json_write_members(micro__json_out *out, const micro_type *type, const char *obj)
{
    size_t first = out->buf->len;

    for (uint32_t i = 0; i < type->nfields; i++) {
        const micro_field *f = micro__type_field(type, i);
        bool set = micro__field_set(f, obj), ok = true;
        if (MICRO__RARE(f->label == MICRO_WHICH && !set && !micro__type_which_ok(type, i, obj)))
            ok = micro__where_fail(&out->where, MICRO_EINVAL, "which_ names no member");
        if (!set && f->flags & MICRO_KEEP_ZERO)
            set = f->label != MICRO_HAS && f->label != MICRO_WHICH;
        if (ok && set)
            ok = json_write_member(out, f, obj, first);
        if (MICRO__RARE(!ok))
            return micro__where_field(&out->where, f);
    }
    return true;
}

static bool json_write_raw(micro__json_out *out, const micro_bytes *raw)
{
    const char *text = (const char *)raw->ptr;

    if (!raw->len) {
        micro__buf_add(out->buf, "null", 4);
        return true;
    }
    const char *end = text ? micro__json_skip(text, text + raw->len) : NULL;
    if (!end || micro__json_blank(end, text + raw->len) != text + raw->len)
        return micro__where_fail(&out->where, MICRO_EINVAL, "these bytes are no JSON");
    micro__buf_add(out->buf, text, raw->len);
    return true;
}

static bool json_write_own(micro__json_out *out, const micro_type *type, const char *obj)
{
    const micro__type_own *own = micro__type_field(type, type->nfields)->sub;
    micro_err err = own->write(out->ctx, obj, out->buf);

    return !err || out->buf->failed || micro__where_fail(&out->where, err, micro_strerror(err));
}

static bool json_write_message(micro__json_out *out, const micro_type *type, const char *obj)
{
    if (MICRO__RARE(type->flags)) { /* one of the ready-made */
        if (type->flags & MICRO__TYPE_ANY)
            return micro__value_write(out, (const micro_value *)(const void *)obj);
        if (type->flags & MICRO__TYPE_RAW)
            return json_write_raw(out, (const micro_bytes *)(const void *)obj);
        if (type->flags & MICRO__TYPE_OWN && !(out->flags & MICRO_JSON_CANONICAL))
            return json_write_own(out, type, obj);
    }
    if (!micro__json_deeper(out))
        return false;
    micro__buf_byte(out->buf, '{');
    if (!json_write_members(out, type, obj))
        return false;
    micro__buf_byte(out->buf, '}');
    out->depth--;
    return true;
}

/* A body of raw bytes, in whatever form they are. */
static bool json_write_whole(micro__json_out *out, const micro_bytes *raw)
{
    if (raw->len && !raw->ptr)
        return micro__where_fail(&out->where, MICRO_EINVAL, "bytes without bytes");
    micro__buf_add(out->buf, raw->ptr, raw->len);
    return true;
}

static bool json_write_pretty(micro__json_out *out, const micro_type *type, const char *obj)
{
    micro_buf compact = { NULL, 0, 0, 0, false, false, 0 }, *to = out->buf;

    out->buf = &compact;
    bool ok = json_write_message(out, type, obj);
    out->buf = to;
    if (ok && compact.failed)
        ok = micro__where_fail(&out->where, MICRO_ENOMEM, "out of memory");
    if (ok)
        micro__json_indent(to, micro__str(compact.ptr, compact.len), "  ");
    micro__buf_free(&compact);
    return ok;
}

MICRO_PRIVATE micro_err micro__json_write(micro_ctx *ctx, const micro_type *type, const void *obj,
                                          unsigned flags, micro_buf *out)
{
    micro__json_out w;
    size_t start = out->len;

    if (out->failed)
        return micro__ctx_local(ctx, MICRO_ENOMEM, "buffer without room");
    w.ctx = ctx;
    w.buf = out;
    w.flags = flags;
    w.depth = 0;
    micro__where_init(&w.where);
    if (type->flags & MICRO__TYPE_RAW)
        json_write_whole(&w, (const micro_bytes *)obj);
    else if (flags & MICRO_JSON_PRETTY)
        json_write_pretty(&w, type, (const char *)obj);
    else
        json_write_message(&w, type, (const char *)obj);
    if (MICRO__RARE(out->failed))
        return micro__undo(ctx, out, start, MICRO_OK);
    if (MICRO__RARE(w.where.err != MICRO_OK))
        return micro__undo(ctx, out, start, micro__where_report(&w.where, ctx));
    return MICRO_OK;
}

MICRO_API micro_err micro_json_write(micro_ctx *ctx, const micro_type *type, const void *obj,
                                     unsigned flags, micro_str *out)
{
    micro_buf b = { NULL, 0, 0, 0, false, false, 0 };

    if (out)
        *out = micro__str("", 0);
    if (!ctx)
        return MICRO_ENOMEM;
    if (!type || !obj || !out)
        return micro__ctx_local(ctx, MICRO_EINVAL, "micro_json_write without type, object or out");
    micro_err err = micro__json_write(ctx, type, obj, flags, &b);
    const char *copy = err == MICRO_OK ? micro__arena_text(&ctx->arena, b.ptr, b.len) : NULL;
    if (copy)
        *out = micro__str(copy, b.len);
    else if (err == MICRO_OK)
        err = micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    micro__buf_free(&b);
    return err;
}

/* ---- white space ---------------------------------------------------------------------------- */

static void json_write_line(micro_buf *out, const char *indent, size_t depth)
{
    if (!indent)
        return;
    micro__buf_byte(out, '\n');
    for (size_t i = 0; i < depth && !out->failed; i++)
        micro__buf_text(out, indent);
}

MICRO_PRIVATE void micro__json_indent(micro_buf *out, micro_str json, const char *indent)
{
    const char *p = json.ptr, *end = p + json.len;
    size_t depth = 0;
    bool fresh = false; /* just behind an opening bracket */
    bool escaped;

    while ((p = micro__json_blank(p, end)) < end && !out->failed) {
        const char *from = p++;
        bool closing = *from == '}' || *from == ']';
        if (closing && depth)
            depth--;
        if (fresh ? !closing : closing)
            json_write_line(out, indent, depth);
        fresh = *from == '{' || *from == '[';
        depth += fresh;
        if (*from == '"') {
            const char *close = micro__json_string_end(p, end, &escaped);
            p = close ? close + 1 : end;
        }
        micro__buf_add(out, from, (size_t)(p - from));
        if (*from == ',')
            json_write_line(out, indent, depth);
        if (*from == ':' && indent)
            micro__buf_byte(out, ' ');
    }
}
