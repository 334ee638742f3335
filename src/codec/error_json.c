/* SPDX-License-Identifier: MIT */
/* The error object that travels as text. */
#include "inner.h"

typedef struct error_json {
    micro_str id, detail, status;
    int32_t code;
} error_json;

static const micro_field error_json_rows[] = {
    MICRO_FIELD(string, error_json, id, 1),
    MICRO_FIELD(int32, error_json, code, 2),
    MICRO_FIELD(string, error_json, detail, 3),
    MICRO_FIELD(string, error_json, status, 4),
};
static const micro_type error_json_type = { sizeof(micro_type), sizeof(micro_field), 4, "Error",
                                            sizeof(error_json), error_json_rows,     0 };

MICRO_PRIVATE void micro__error_write(micro_buf *out, const micro_error *e)
{
    micro__buf_add(out, "{\"id\":", 6);
    micro__json_quote(out, e->id);
    micro__buf_add(out, ",\"code\":", 8);
    micro__buf_i64(out, e->code);
    micro__buf_add(out, ",\"detail\":", 10);
    micro__json_quote(out, e->detail);
    micro__buf_add(out, ",\"status\":", 10);
    micro__json_quote(out, e->status);
    micro__buf_byte(out, '}');
}

MICRO_PRIVATE micro_err micro__error_read(micro_ctx *ctx, micro_str text)
{
    error_json e = { { "", 0 }, { "", 0 }, { "", 0 }, 0 };
    const char *p = micro__json_blank(text.ptr, text.ptr + text.len);
    micro_err err = MICRO_OK;

    if (p < text.ptr + text.len && *p == '{')
        err = micro_json_read(ctx, &error_json_type, text, 0, &e);
    if (err == MICRO_ENOMEM)
        return err;
    if (err != MICRO_OK || (!e.id.len && !e.code && !e.detail.len && !e.status.len))
        e.detail = text; /* no object of ours: the text is all there is */
    micro__ctx_set_error(ctx, e.id, e.code, e.detail, e.status);
    return e.code >= 100 && e.code <= 999 ? e.code : MICRO_EREMOTE;
}
