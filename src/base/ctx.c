/* SPDX-License-Identifier: MIT */
/* What a ctx holds: memory, metadata, values, the last error. */
#include "ctx.h"

static const char ctx_client_id[] = "go.micro.client";

/* ---- life ------------------------------------------------------------------------------------ */

static void ctx_clear_info(micro_ctx *ctx)
{
    memset(&ctx->info, 0, sizeof ctx->info);
    ctx->info.service = ctx->info.endpoint = ctx->info.content_type = ctx->info.peer = "";
}

MICRO_PRIVATE void micro__ctx_clear_error(micro_ctx *ctx)
{
    const micro_str none = micro_s(NULL);

    if (!ctx)
        return;
    ctx->error = (micro_error){ none, 0, none, none };
    ctx->local = MICRO_OK;
    ctx->error_line = NULL;
}

MICRO_PRIVATE void micro__ctx_init(micro_ctx *ctx, micro_service *svc)
{
    ctx->svc = svc;
    ctx->hops = -1;
    ctx_clear_info(ctx);
    micro__ctx_clear_error(ctx);
    ctx->mark = micro__arena_mark(&ctx->arena);
    atomic_init(&ctx->canceled, false);
    atomic_flag_clear_explicit(&ctx->wait_lock, memory_order_relaxed);
}

MICRO_PRIVATE void micro__ctx_release(micro_ctx *ctx)
{
    micro__arena_free(&ctx->arena);
}

/* Copies metadata and values into an arena of their own. */
static bool ctx_copy_kept(const micro_ctx *ctx, micro__arena *to, micro_pairs *metadata,
                          micro__ctx_value **values)
{
    micro__ctx_value **end = values;

    *values = NULL;
    for (const micro__ctx_value *v = ctx->values; v; v = v->next) {
        micro__ctx_value *copy = (micro__ctx_value *)micro__arena_take(to, sizeof *copy);
        if (!copy)
            return false;
        *copy = *v;
        copy->next = NULL;
        *end = copy;
        end = &copy->next;
    }
    return micro__pairs_copy(to, metadata, &ctx->metadata);
}

/* Metadata and values that were set since stand amid the memory that goes: they are copied, and the
 * copy becomes the arena's newest part. Out of memory for that, all stays until the next reset. */
static void ctx_move_kept(micro_ctx *ctx)
{
    micro__arena fresh;
    micro_pairs metadata;
    micro__ctx_value *values;

    micro__arena_init(&fresh, NULL, 0);
    if (!ctx_copy_kept(ctx, &fresh, &metadata, &values)) {
        micro__arena_free(&fresh);
        ctx->arena.failed = false;
        return;
    }
    micro__arena_rewind(&ctx->arena, ctx->mark);
    micro__arena_adopt(&ctx->arena, &fresh);
    ctx->metadata = metadata;
    ctx->values = values;
    ctx->kept = micro__arena_mark(&ctx->arena);
    ctx->dirty = false;
}

MICRO_PRIVATE void micro__ctx_keep(micro_ctx *ctx)
{
    memset(&ctx->kept, 0, sizeof ctx->kept);
    ctx->mark = micro__arena_mark(&ctx->arena);
}

MICRO_API void micro_ctx_reset(micro_ctx *ctx)
{
    if (!ctx)
        return;
    micro__ctx_clear_error(ctx);
    if (!micro__stage_serves(ctx->info.stage))
        ctx_clear_info(ctx); /* its strings are in the memory that goes */
    if (ctx->dirty)
        ctx_move_kept(ctx);
    else
        micro__arena_rewind(&ctx->arena, ctx->kept.chunk ? ctx->kept : ctx->mark);
}

/* ---- memory ---------------------------------------------------------------------------------- */

MICRO_API void *micro_alloc(micro_ctx *ctx, size_t size)
{
    return ctx ? micro__arena_zero(&ctx->arena, size) : NULL;
}

MICRO_API bool micro_list_grow_(micro_ctx *ctx, void *list, size_t element_size)
{
    return ctx && micro__list_grow(&ctx->arena, list, element_size);
}

MICRO_API micro_str micro_copy(micro_ctx *ctx, micro_str text)
{
    char *p = ctx ? micro__arena_text(&ctx->arena, text.ptr, text.len) : NULL;

    return p ? micro__str(p, text.len) : micro_s("");
}

MICRO_API micro_str micro_concat(micro_ctx *ctx, micro_str a, micro_str b)
{
    if (!ctx)
        return micro_s("");
    char *p = NULL;
    if (a.len < SIZE_MAX - b.len)
        p = (char *)micro__arena_take(&ctx->arena, a.len + b.len + 1);
    if (!p) {
        ctx->arena.failed = true;
        return micro_s("");
    }
    if (a.len)
        memcpy(p, a.ptr, a.len);
    if (b.len)
        memcpy(p + a.len, b.ptr, b.len);
    p[a.len + b.len] = 0;
    return micro__str(p, a.len + b.len);
}

/* Formats into the free part of the newest chunk, once more if that was not where it ends up. */
MICRO_API micro_str micro_vformat(micro_ctx *ctx, const char *fmt, va_list a)
{
    if (!ctx)
        return micro_s("");
    va_list again;
    va_copy(again, a);
    char *first = ctx->arena.pos;
    int n = vsnprintf(first, (size_t)(ctx->arena.end - first), fmt, a);
    char *p = n < 0 ? NULL : (char *)micro__arena_take(&ctx->arena, (size_t)n + 1);
    if (p && p != first)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    if (!p) {
        ctx->arena.failed = true;
        return micro_s("");
    }
    return micro__str(p, (size_t)n);
}

MICRO_API micro_str micro_format(micro_ctx *ctx, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    micro_str s = micro_vformat(ctx, fmt, args);
    va_end(args);
    return s;
}

/* ---- metadata and values --------------------------------------------------------------------- */

/* What may be the name of an HTTP header, since that is where it travels. */
static bool ctx_key_valid(micro_str key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        bool word = micro__is_digit(c) || (micro__lower(c) >= 'a' && micro__lower(c) <= 'z');
        if (!word && !(c && strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return key.len > 0;
}

static bool ctx_text_valid(micro_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (micro__is_control(text.ptr[i]))
            return false;
    return true;
}

static void ctx_stick(micro_ctx *ctx, micro_err err)
{
    if (!ctx->sticky)
        ctx->sticky = err;
}

MICRO_API micro_str micro_metadata_get(micro_ctx *ctx, const char *key)
{
    return ctx ? micro__pairs_get(&ctx->metadata, key) : micro_s("");
}

MICRO_API void micro_metadata_set(micro_ctx *ctx, const char *key, const char *value)
{
    micro_str k = micro_s(key), v = micro_s(value);

    if (!ctx)
        return;
    if (!ctx_key_valid(k) || !ctx_text_valid(v)) {
        ctx_stick(ctx, MICRO_EINVAL);
    } else if (!value) {
        micro__pairs_del(&ctx->metadata, k);
    } else {
        ctx->dirty = true;
        ctx->own_trace |= micro__str_is_nocase(k, "traceparent");
        if (!micro__pairs_set(&ctx->arena, &ctx->metadata, k, v))
            ctx_stick(ctx, MICRO_ENOMEM);
    }
}

MICRO_API const micro_pairs *micro_metadata_all(micro_ctx *ctx)
{
    static const micro_pairs none = { NULL, 0, 0 };

    return ctx ? &ctx->metadata : &none;
}

static micro__ctx_value *ctx_find_value(const micro_ctx *ctx, const void *key)
{
    micro__ctx_value *v = ctx->values;

    while (v && v->key != key)
        v = v->next;
    return v;
}

MICRO_API void *micro_ctx_value(micro_ctx *ctx, const void *key)
{
    const micro__ctx_value *v = ctx ? ctx_find_value(ctx, key) : NULL;

    return v ? v->value : NULL;
}

MICRO_API void micro_ctx_set_value(micro_ctx *ctx, const void *key, void *value)
{
    if (!ctx)
        return;
    micro__ctx_value *v = ctx_find_value(ctx, key);
    if (!v) {
        v = (micro__ctx_value *)micro__arena_take(&ctx->arena, sizeof *v);
        if (!v) {
            ctx_stick(ctx, MICRO_ENOMEM);
            return;
        }
        v->next = ctx->values;
        v->key = key;
        ctx->values = v;
        ctx->dirty = true;
    }
    v->value = value;
}

/* ---- what it is about ------------------------------------------------------------------------ */

MICRO_API const micro_info *micro_ctx_info(micro_ctx *ctx)
{
    static const micro_info none = { 0, 0, false, "", "", NULL, "", "", NULL, NULL };

    return ctx ? &ctx->info : &none;
}

MICRO_API micro_service *micro_ctx_service(micro_ctx *ctx)
{
    return ctx ? ctx->svc : NULL;
}

MICRO_API void *micro_ctx_state(micro_ctx *ctx)
{
    return ctx ? ctx->state : NULL;
}

/* ---- error ----------------------------------------------------------------------------------- */

/* A copy of s in the array if it fits, else in the arena, else what fits of it. s may be there. */
static micro_str ctx_keep_text(micro_ctx *ctx, char *array, size_t size, micro_str s)
{
    if (s.len >= size) {
        char *p = micro__arena_text(&ctx->arena, s.ptr, s.len);
        if (p)
            return micro__str(p, s.len);
        s.len = size - 1;
    }
    if (s.len)
        memmove(array, s.ptr, s.len);
    array[s.len] = 0;
    return micro__str(array, s.len);
}

MICRO_PRIVATE micro_err micro__ctx_set_error(micro_ctx *ctx, micro_str id, int code,
                                             micro_str detail, micro_str status)
{
    micro_str usual = micro_s(micro__status_text(code));

    if (!ctx)
        return MICRO_ENOMEM;
    ctx->error.id = ctx_keep_text(ctx, ctx->error_id, sizeof ctx->error_id, id);
    ctx->error.detail = ctx_keep_text(ctx, ctx->error_detail, sizeof ctx->error_detail, detail);
    ctx->error.status = usual;
    if (status.ptr && !micro_str_eq(status, usual))
        ctx->error.status = micro_copy(ctx, status);
    ctx->error.code = code;
    ctx->error_line = NULL;
    ctx->local = MICRO_OK;
    if (code >= 100 && code <= 999)
        return code;
    return code ? MICRO_EREMOTE : MICRO_EPLAIN;
}

/* The text is made beside ctx's error, whose strings may be among the arguments. */
static micro_err ctx_vfail(micro_ctx *ctx, const char *id, int code, const char *fmt, va_list a)
{
    char text[MICRO__DETAIL_MAX];
    va_list again;

    va_copy(again, a);
    int n = vsnprintf(text, sizeof text, fmt, a);
    micro_str detail = micro__str(text, n < 0 ? 0 : (size_t)n);
    if (detail.len >= sizeof text) {
        detail = micro_vformat(ctx, fmt, again);
        if (!detail.len)
            detail = micro__str(text, sizeof text - 1);
    }
    va_end(again);
    return micro__ctx_set_error(ctx, micro_s(id), code, detail, micro__str(NULL, 0));
}

/* What may be given to micro_fail: anything else is our own mistake, and that is a 500. */
static int ctx_fail_code(int code)
{
    return code == 0 || (code >= 100 && code <= 999) ? code : 500;
}

MICRO_API micro_err micro_fail(micro_ctx *ctx, int code, const char *fmt, ...)
{
    va_list args;

    if (!ctx)
        return MICRO_ENOMEM;
    const char *id = micro__stage_serves(ctx->info.stage) ? ctx->info.service : "";
    va_start(args, fmt);
    micro_err err = ctx_vfail(ctx, id, ctx_fail_code(code), fmt, args);
    va_end(args);
    return err;
}

MICRO_API micro_err micro_fail_id(micro_ctx *ctx, const char *id, int code, const char *fmt, ...)
{
    va_list args;

    if (!ctx)
        return MICRO_ENOMEM;
    va_start(args, fmt);
    micro_err err = ctx_vfail(ctx, id, ctx_fail_code(code), fmt, args);
    va_end(args);
    return err;
}

static micro_err ctx_vlocal(micro_ctx *ctx, const char *id, micro_err err, const char *fmt,
                            va_list a)
{
    int code = err == MICRO_ETIMEDOUT || err == MICRO_ECANCELED ? 408 : 500;

    if (ctx) {
        ctx_vfail(ctx, id, code, fmt, a);
        ctx->local = err;
    }
    return err;
}

MICRO_PRIVATE micro_err micro__ctx_local(micro_ctx *ctx, micro_err err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    ctx_vlocal(ctx, ctx_client_id, err, fmt, args);
    va_end(args);
    return err;
}

MICRO_PRIVATE micro_err micro__ctx_local_id(micro_ctx *ctx, const char *id, micro_err err,
                                            const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    ctx_vlocal(ctx, id, err, fmt, args);
    va_end(args);
    return err;
}

MICRO_PRIVATE micro_err micro__ctx_sticky(micro_ctx *ctx)
{
    micro_err err = ctx->sticky;

    ctx->sticky = MICRO_OK;
    return err == MICRO_OK ? err
                           : micro__ctx_local(ctx, err, "metadata or a value could not be set");
}

MICRO_PRIVATE void micro__ctx_copy_error(micro_ctx *to, const micro_ctx *from)
{
    const micro_error *e = &from->error;

    micro__ctx_set_error(to, e->id, e->code, e->detail, e->status);
    to->local = from->local;
}

MICRO_API const micro_error *micro_ctx_error(micro_ctx *ctx)
{
    static const micro_error no_memory = { { ctx_client_id, sizeof ctx_client_id - 1 },
                                           500,
                                           { "out of memory", 13 },
                                           { "Internal Server Error", 21 } };

    return ctx ? &ctx->error : &no_memory;
}

/* Text to people: what a peer wrote must not move their cursor. */
static char *ctx_put_clean(char *to, micro_str s)
{
    for (size_t i = 0; i < s.len; i++)
        *to++ = micro__is_control(s.ptr[i]) ? ' ' : s.ptr[i];
    return to;
}

/* "id: detail (code status)"; a local error is its text alone. NULL: out of memory. */
static char *ctx_make_line(micro_ctx *ctx)
{
    const micro_error *e = &ctx->error;
    micro_str id = ctx->local ? micro_s("") : e->id;
    char code[16] = "";

    if (e->code && !ctx->local)
        snprintf(code, sizeof code, "%d", e->code);
    size_t size = id.len + e->detail.len + e->status.len + sizeof code + 8;
    char *line = (char *)micro__arena_take(&ctx->arena, size);
    if (!line)
        return NULL;
    char *p = ctx_put_clean(line, id);
    if (id.len)
        p = ctx_put_clean(p, micro_s(": "));
    p = ctx_put_clean(p, e->detail);
    if (code[0]) {
        p = ctx_put_clean(p, micro_s(e->detail.len ? " (" : "("));
        p = ctx_put_clean(p, micro_s(code));
        p = ctx_put_clean(p, micro_s(e->status.len ? " " : ""));
        p = ctx_put_clean(p, e->status);
        *p++ = ')';
    }
    *p = 0;
    return line;
}

MICRO_API const char *micro_ctx_strerror(micro_ctx *ctx)
{
    if (!ctx)
        return micro_strerror(MICRO_ENOMEM);
    const micro_error *e = &ctx->error;
    if (ctx->local && !e->detail.len)
        return micro_strerror(ctx->local);
    if (!ctx->local && !e->code && !e->id.len && !e->detail.len)
        return micro_strerror(ctx->arena.failed ? MICRO_ENOMEM : MICRO_OK);
    if (!ctx->error_line)
        ctx->error_line = ctx_make_line(ctx);
    if (ctx->error_line)
        return ctx->error_line;
    return e->detail.len && ctx_text_valid(e->detail) ? e->detail.ptr
                                                      : micro_strerror(MICRO_ENOMEM);
}
