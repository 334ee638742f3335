/* SPDX-License-Identifier: MIT */
/* Errors of reading and writing: the path to the member at fault, and going back to what was. */
#include "inner.h"

#define WHERE_KEY_MAX 40 /* bytes of a map's key in a path */

static void where_put(micro__where *w, const char *text, size_t len)
{
    if (len > w->at) { /* the innermost steps are what counts */
        text += len - w->at;
        len = w->at;
    }
    w->at -= len;
    memcpy(w->text + w->at, text, len);
}

MICRO_PRIVATE bool micro__where_fail(micro__where *w, micro_err err, const char *what)
{
    w->err = err;
    w->what = what;
    return false;
}

MICRO_PRIVATE bool micro__where_field(micro__where *w, const micro_field *f)
{
    if (w->at < sizeof w->text && w->text[w->at] != '[')
        where_put(w, ".", 1);
    where_put(w, f->name, micro__field_name_len(f));
    return false;
}

MICRO_PRIVATE bool micro__where_index(micro__where *w, size_t index)
{
    char digits[20];

    if (w->at < sizeof w->text && w->text[w->at] != '[')
        where_put(w, ".", 1);
    where_put(w, "]", 1);
    where_put(w, digits, micro__format_u64(digits, index));
    where_put(w, "[", 1);
    return false;
}

/* A key comes from outside: nothing but printable ASCII of it gets into a message. */
MICRO_PRIVATE bool micro__where_key(micro__where *w, micro_str key)
{
    char text[WHERE_KEY_MAX];
    size_t len = key.len < sizeof text ? key.len : sizeof text;

    if (w->at < sizeof w->text && w->text[w->at] != '[')
        where_put(w, ".", 1);
    for (size_t i = 0; i < len; i++)
        text[i] = key.ptr[i] >= ' ' && key.ptr[i] <= '~' ? key.ptr[i] : '?';
    if (len < key.len)
        where_put(w, "...", 3);
    where_put(w, "\"]", 2);
    where_put(w, text, len);
    where_put(w, "[\"", 2);
    return false;
}

MICRO_PRIVATE micro_err micro__where_report(const micro__where *w, micro_ctx *ctx)
{
    micro_str path = micro__str(w->text + w->at, sizeof w->text - w->at);
    const char *colon = path.len ? ": " : "";

    if (w->what)
        return micro__ctx_local(ctx, w->err, MICRO_STR_FMT "%s%s", MICRO_STR_ARG(path), colon,
                                w->what);
    return micro__ctx_local(ctx, w->err, MICRO_STR_FMT "%smalformed JSON at byte %lu",
                            MICRO_STR_ARG(path), colon, (unsigned long)w->byte);
}

MICRO_PRIVATE micro_err micro__undo(micro_ctx *ctx, micro_buf *out, size_t len, micro_err err)
{
    if (err == MICRO_OK && out->toobig)
        err = micro__ctx_local(ctx, MICRO_ETOOBIG, "message over the size limit");
    else if (err == MICRO_OK)
        err = micro__ctx_local(ctx, MICRO_ENOMEM, "out of memory");
    out->len = len;
    out->cap += out->spare;
    out->spare = 0;
    out->failed = out->toobig = false;
    return err;
}
