/* SPDX-License-Identifier: MIT */
/* Errors of reading and writing: the path to the member at fault, and going back to what was. */
#include "inner.h"

#define WHERE_MAX 160    /* bytes of a path */
#define WHERE_KEY_MAX 40 /* bytes of a map's key in it */

typedef struct where_path {
    char text[WHERE_MAX];
    size_t at; /* filled from the end: the innermost step is known first */
} where_path;

static void where_put(where_path *w, const char *text, size_t len)
{
    if (len > w->at) {
        text += len - w->at;
        len = w->at;
    }
    w->at -= len;
    memcpy(w->text + w->at, text, len);
}

/* A key comes from outside: nothing but printable ASCII of it gets into a message. */
static void where_key(where_path *w, micro_str key)
{
    char text[WHERE_KEY_MAX];
    size_t len = key.len < sizeof text ? key.len : sizeof text;

    for (size_t i = 0; i < len; i++)
        text[i] = key.ptr[i] >= ' ' && key.ptr[i] <= '~' ? key.ptr[i] : '?';
    if (len < key.len)
        where_put(w, "\"...]", 5);
    else
        where_put(w, "\"]", 2);
    where_put(w, text, len);
    where_put(w, "[\"", 2);
}

static void where_step(where_path *w, const micro__where *at)
{
    char digits[20];

    if (at->field) {
        where_put(w, at->field->name, micro__field_name_len(at->field));
        if (at->up)
            where_put(w, ".", 1);
    } else if (at->key) {
        where_key(w, *at->key);
    } else if (at->index != MICRO__WHERE_SELF) {
        where_put(w, "]", 1);
        where_put(w, digits, micro__format_u64(digits, at->index));
        where_put(w, "[", 1);
    }
}

MICRO_PRIVATE micro_err micro__where_fail(micro_ctx *ctx, const micro__where *at, micro_err err,
                                          const char *what)
{
    where_path w;

    w.at = sizeof w.text;
    for (; at; at = at->up)
        where_step(&w, at);
    micro_str path = micro__str(w.text + w.at, sizeof w.text - w.at);
    return micro__ctx_local(ctx, err, MICRO_STR_FMT "%s%s", MICRO_STR_ARG(path),
                            path.len ? ": " : "", what);
}

MICRO_PRIVATE micro_err micro__undo(micro_ctx *ctx, micro_buf *out, size_t len, micro_err err)
{
    if (err == MICRO_OK) {
        err = out->toobig ? MICRO_ETOOBIG : MICRO_ENOMEM;
        micro__ctx_local(ctx, err, "%s",
                         out->toobig ? "message over the size limit" : "out of memory");
    }
    out->len = len;
    out->cap += out->spare;
    out->spare = 0;
    out->failed = out->toobig = false;
    return err;
}
